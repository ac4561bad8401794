/* System calls, switches between processes and threads, and memory of the kernel's giving. */
#define _GNU_SOURCE
#include "suite.h"

#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { PAGE = 4096, PAGES = 4096, APART = 4 << 20 };

static uint64_t run_getppid(long count)
{
    while (count-- > 0)
        syscall(SYS_getppid);
    return 0;
}

static uint64_t run_clock(long count)
{
    struct timespec time;
    while (count-- > 0)
        clock_gettime(CLOCK_MONOTONIC, &time);
    return 0;
}

static uint64_t run_yield(long count)
{
    while (count-- > 0)
        syscall(SYS_sched_yield);
    return 0;
}

static void on_signal(int number) { (void)number; }

static uint64_t run_signal(long count)
{
    signal(SIGUSR1, on_signal);
    pid_t self = getpid();
    while (count-- > 0)
        kill(self, SIGUSR1);
    signal(SIGUSR1, SIG_DFL);
    return 0;
}

static int there[2], back[2];
static pid_t child;

static int start_child(void)
{
    char byte;
    if (pipe(there) != 0 || pipe(back) != 0)
        fail("pipe");
    child = fork();
    if (child < 0)
        fail("fork");
    if (child == 0) {
        close(there[1]);
        close(back[0]);
        while (read(there[0], &byte, 1) == 1)
            if (write(back[1], &byte, 1) != 1)
                _exit(1);
        _exit(0);
    }
    close(there[0]);
    close(back[1]);
    return 1;
}

static uint64_t run_pipe(long count)
{
    char byte = 1;
    while (count-- > 0)
        if (write(there[1], &byte, 1) != 1 || read(back[0], &byte, 1) != 1)
            fail("pipe round trip");
    return 0;
}

static void stop_child(void)
{
    close(there[1]);
    close(back[0]);
    waitpid(child, NULL, 0);
}

enum turn { MINE, THEIRS, END };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static enum turn turn;
static pthread_t thread;

static void set_turn(enum turn next)
{
    turn = next;
    pthread_cond_signal(&changed);
}

static void *other_thread(void *argument)
{
    pthread_mutex_lock(&lock);
    while (turn != END) {
        if (turn == THEIRS)
            set_turn(MINE);
        else
            pthread_cond_wait(&changed, &lock);
    }
    pthread_mutex_unlock(&lock);
    return argument;
}

static int start_thread(void)
{
    turn = MINE;
    if (pthread_create(&thread, NULL, other_thread, NULL) != 0)
        fail("pthread_create");
    return 1;
}

static uint64_t run_threads(long count)
{
    pthread_mutex_lock(&lock);
    while (count-- > 0) {
        set_turn(THEIRS);
        while (turn != MINE)
            pthread_cond_wait(&changed, &lock);
    }
    pthread_mutex_unlock(&lock);
    return 0;
}

static void stop_thread(void)
{
    pthread_mutex_lock(&lock);
    set_turn(END);
    pthread_mutex_unlock(&lock);
    pthread_join(thread, NULL);
}

static void *empty_thread(void *argument)
{
    return argument;
}

static uint64_t run_thread_start(long count)
{
    while (count-- > 0) {
        pthread_t thread;
        if (pthread_create(&thread, NULL, empty_thread, NULL) != 0)
            fail("pthread_create");
        pthread_join(thread, NULL);
    }
    return 0;
}

static uint64_t run_fault(long count)
{
    while (count-- > 0) {
        char *memory = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (memory == MAP_FAILED)
            fail("mmap");
        madvise(memory, PAGES * PAGE, MADV_NOHUGEPAGE);
        for (int i = 0; i < PAGES; i++)
            ((volatile char *)memory)[i * PAGE] = 1;
        munmap(memory, PAGES * PAGE);
    }
    return 0;
}

static uint64_t run_map(long count)
{
    while (count-- > 0) {
        char *memory = mmap(NULL, 16 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (memory == MAP_FAILED)
            fail("mmap");
        *(volatile char *)memory = 1;
        munmap(memory, 16 * PAGE);
    }
    return 0;
}

static uint64_t run_protect(long count)
{
    static char *memory;
    if (memory == NULL) {
        memory = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (memory == MAP_FAILED)
            fail("mmap");
    }
    while (count-- > 0) {
        if (mprotect(memory, PAGE, PROT_READ) != 0 || mprotect(memory, PAGE, PROT_READ | PROT_WRITE) != 0)
            fail("mprotect");
        *(volatile char *)memory = 1;
    }
    return 0;
}

static char *pair;

static int map_pair(void)
{
    pair = mmap(NULL, 2 * APART, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (pair == MAP_FAILED)
        fail("mmap");
    memset(pair, 1, 2 * APART);
    return 1;
}

/* Two arrays at a distance that is a power of two, read in turn. */
static uint64_t run_alias(long count)
{
    uint64_t sum = 0;
    while (count-- > 0) {
        const volatile uint64_t *first = (void *)pair, *second = (void *)(pair + APART);
        sum = 0;
        for (int i = 0; i < PAGES; i++)
            sum += first[i] * second[i];
    }
    return sum;
}

static void unmap_pair(void)
{
    munmap(pair, 2 * APART);
}

const struct test system_tests[] = {
    { "system.getppid", run_getppid, 1, NULL, NULL },
    { "system.clock_gettime", run_clock, 1, NULL, NULL },
    { "system.sched_yield", run_yield, 1, NULL, NULL },
    { "system.signal", run_signal, 1, NULL, NULL },
    { "switch.pipe", run_pipe, 1, start_child, stop_child },
    { "switch.threads", run_threads, 1, start_thread, stop_thread },
    { "memory.fault", run_fault, PAGES, NULL, NULL },
    { "memory.map", run_map, 1, NULL, NULL },
    { "memory.protect", run_protect, 1, NULL, NULL },
    { "memory.alias", run_alias, PAGES, map_pair, unmap_pair },
    { "process.thread", run_thread_start, 1, NULL, NULL },
    { 0 },
};
