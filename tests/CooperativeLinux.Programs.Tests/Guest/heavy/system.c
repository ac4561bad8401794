// What a C program asks of processor and kernel: threads, signals, memory, processes, floating point, new code.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <fenv.h>
#include <immintrin.h>
#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

static sigjmp_buf back;
static volatile int last_signal, last_code;
static volatile uintptr_t last_address;
static volatile unsigned long long last_trap, last_error;
static char *page;

static void escape(int number, siginfo_t *info, void *context)
{
    ucontext_t *uc = context;
    last_signal = number;
    last_code = info->si_code;
    last_address = (uintptr_t)info->si_addr;
    last_trap = uc->uc_mcontext.gregs[REG_TRAPNO];
    last_error = uc->uc_mcontext.gregs[REG_ERR];
    siglongjmp(back, 1);
}

static void handle(int number, void (*handler)(int, siginfo_t *, void *), int flags)
{
    struct sigaction action = { .sa_sigaction = handler, .sa_flags = SA_SIGINFO | flags };
    sigemptyset(&action.sa_mask);
    sigaction(number, &action, NULL);
}

#define FAULT(what, action, has_address) do { last_signal = 0; if (!sigsetjmp(back, 1)) { action; } \
    printf("%s: signal %d code %d trap %llu error %llu", what, last_signal, last_code, last_trap, last_error); \
    if (has_address) printf(" at page%+ld", (long)(last_address - (uintptr_t)page)); puts(""); } while (0)

static void skip_two(int number, siginfo_t *info, void *context)
{
    (void)number; (void)info;
    ucontext_t *uc = context;
    uc->uc_mcontext.gregs[REG_RIP] += 2;
    uc->uc_mcontext.gregs[REG_RAX] = 4711;
}

static volatile int zero;
static int recurse(volatile char *p) { char frame[4096]; frame[0] = *p; return recurse(frame) + frame[0]; }

static void faults(void)
{
    stack_t alternative = { .ss_sp = malloc(1 << 16), .ss_size = 1 << 16 };
    sigaltstack(&alternative, NULL);
    handle(SIGSEGV, escape, SA_ONSTACK); handle(SIGFPE, escape, 0); handle(SIGILL, escape, 0); handle(SIGBUS, escape, 0); handle(SIGTRAP, escape, 0);
    page = mmap(NULL, 3 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    mprotect(page + 4096, 4096, PROT_READ); munmap(page + 8192, 4096);
    FAULT("write to read-only", page[4096 + 5] = 1, 1);
    FAULT("read of unmapped", printf("%d", *(volatile int *)(page + 8190)), 1);
    FAULT("execute data", ((void (*)(void))page)(), 1);
    FAULT("non-canonical", *(volatile int *)0x8000000000000123ull = 1, 0);
    FAULT("kernel address", printf("%d", *(volatile int *)0xffff888000001000ull), 0);
    FAULT("divide", printf("%d", 1 / zero), 0);
    FAULT("divide overflow", asm volatile("mov $0x80000000, %%eax; cltd; idivl %0" :: "r"(-1) : "eax", "edx"), 0);
    FAULT("ud2", asm volatile("ud2"), 0);
    FAULT("int3", asm volatile("int3"), 0);
    FAULT("hlt", asm volatile("hlt"), 0);
    FAULT("cli", asm volatile("cli"), 0);
    FAULT("in", asm volatile("inb $0x60, %%al" ::: "eax"), 0);
    FAULT("rdmsr", asm volatile("rdmsr" :: "c"(0x10) : "eax", "edx"), 0);
    FAULT("wrong movaps", asm volatile("movaps (%0), %%xmm0" :: "r"(page + 1) : "xmm0"), 0);
    FAULT("overflow of the stack", printf("%d", recurse(page)), 0);
    feenableexcept(FE_DIVBYZERO);
    FAULT("sse divide", printf("%g", 1.0 / (double)zero), 0);
    fedisableexcept(FE_ALL_EXCEPT); feclearexcept(FE_ALL_EXCEPT);
    FAULT("raise", raise(SIGFPE), 0);
    handle(SIGILL, skip_two, 0);
    long rax = 1;
    asm volatile("ud2" : "+a"(rax));
    printf("skipped, rax %ld\n", rax);
    char *file = mmap(NULL, 8192, PROT_READ, MAP_PRIVATE, open("/etc/passwd", O_RDONLY), 0);
    page = file;
    FAULT("beyond the file", printf("%d", file[4096]), 1);
}

static atomic_long counter;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static long shared, turn;
static __thread long mine;

static void *work(void *argument)
{
    long id = (long)argument;
    for (int i = 0; i < 50000; i++) { counter++; mine++; pthread_mutex_lock(&lock); shared += id; pthread_mutex_unlock(&lock); }
    for (int i = 0; i < 50; i++)
    {
        pthread_mutex_lock(&lock);
        while (turn % 8 != id) pthread_cond_wait(&changed, &lock);
        turn++;
        pthread_cond_broadcast(&changed);
        pthread_mutex_unlock(&lock);
    }
    return (void *)mine;
}

static void threads(void)
{
    pthread_t thread[8];
    long sum = 0;
    for (long i = 0; i < 8; i++) pthread_create(&thread[i], NULL, work, (void *)i);
    for (int i = 0; i < 8; i++) { void *result; pthread_join(thread[i], &result); sum += (long)result; }
    printf("threads: %ld %ld %ld %ld\n", (long)counter, shared, sum, turn);
}

static volatile sig_atomic_t ticks;
static void tick(int number) { (void)number; ticks++; }

static void processes(void)
{
    int down[2], up[2], status;
    char buffer[65536];
    if (pipe(down) || pipe(up)) exit(1);
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) { dup2(down[0], 0); dup2(up[1], 1); close(down[0]); close(down[1]); close(up[0]); close(up[1]); execlp("tr", "tr", "a-z", "A-Z", (char *)NULL); _exit(9); }
    close(down[0]); close(up[1]);
    dprintf(down[1], "through a pipe\n"); close(down[1]);
    ssize_t length = read(up[0], buffer, sizeof buffer);
    waitpid(child, &status, 0);
    printf("exec: %d %.*s", status, (int)length, buffer);
    int *both = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0), own = 5;
    fflush(stdout);
    for (int i = 0; i < 20; i++) if (fork() == 0) { own += i; __atomic_fetch_add(both, own, __ATOMIC_SEQ_CST); _exit(i); }
    int total = 0;
    while (wait(&status) > 0) total += WEXITSTATUS(status);
    printf("fork: %d %d %d\n", total, *both, own);
    for (int number = 1; number < 16; number++)
    {
        if (number == SIGSTOP) continue;
        if ((child = fork()) == 0) { struct rlimit none = { 0, 0 }; setrlimit(RLIMIT_CORE, &none); signal(number, SIG_DFL); raise(number); _exit(0); }
        waitpid(child, &status, 0);
        printf("%d>%d ", number, WTERMSIG(status));
    }
    puts("");
    signal(SIGALRM, tick);
    struct itimerval timer = { { 0, 5000 }, { 0, 5000 } };
    setitimer(ITIMER_REAL, &timer, NULL);
    double x = 1; long spins = 0;
    while (ticks < 20) { x = sqrt(x + 2); spins++; }
    timer.it_value.tv_usec = 0; setitimer(ITIMER_REAL, &timer, NULL);
    printf("timer: %.12f %s\n", spins > 60 ? x : 0, ticks >= 20 ? "ticked" : "late");
}

static void numbers(void)
{
    printf("%.17g %a %Lg %.30Lf\n", 0.1 + 0.2, 1.0 / 3, 1.0L / 3, sqrtl(2));
    double values[] = { 1e-310, 5e-324, 1.7976931348623157e308, -0.0, INFINITY, NAN, 123456789.125 };
    for (int i = 0; i < 7; i++) printf("%g %.3e %d ", values[i], values[i] / 3, fpclassify(values[i]));
    puts("");
    int modes[] = { FE_TONEAREST, FE_UPWARD, FE_DOWNWARD, FE_TOWARDZERO };
    for (int i = 0; i < 4; i++) { fesetround(modes[i]); volatile double a = 1, b = 3; printf("%a %ld %.0f ", a / b, lrint(2.5), nearbyint(-2.5)); }
    fesetround(FE_TONEAREST);
    double sum = 0; long double wide = 0;
    for (int i = 1; i < 300000; i++) { sum += sin(i) * exp(-i / 1e5) / log(i + 1); wide += 1.0L / i; }
    printf("\n%.15g %.18Lg %.15g %.15g\n", sum, wide, tgamma(4.5), fma(1e16, 1.0000000001, -1e16));
    unsigned __int128 big = 1;
    for (int i = 1; i < 33; i++) big *= i;
    printf("%016llx%016llx %llu\n", (unsigned long long)(big >> 64), (unsigned long long)big, (unsigned long long)(big % 1000000007));
}

__attribute__((target("avx2,fma,bmi2,popcnt,lzcnt"))) static void vectors(void)
{
    float f[64]; int n[64]; uint64_t hash = 0;
    for (int i = 0; i < 64; i++) { f[i] = i * 0.37f - 3; n[i] = i * 2654435761u; }
    for (int round = 0; round < 100000; round++)
    {
        __m256 a = _mm256_loadu_ps(f + round % 56), b = _mm256_set1_ps(1.0001f);
        _mm256_storeu_ps(f + round % 56, _mm256_fmadd_ps(a, b, _mm256_permute2f128_ps(_mm256_mul_ps(a, _mm256_set1_ps(1e-6f)), a, 1)));
        __m256i x = _mm256_loadu_si256((__m256i *)(n + round % 56));
        __m256i y = _mm256_shuffle_epi8(_mm256_add_epi32(x, _mm256_i32gather_epi32(n, _mm256_and_si256(x, _mm256_set1_epi32(63)), 4)), _mm256_set1_epi64x(0x0706050403020001ull));
        _mm256_storeu_si256((__m256i *)(n + round % 56), _mm256_xor_si256(y, _mm256_srlv_epi32(x, _mm256_set1_epi32(round & 31))));
        hash = hash * 31 + _mm256_movemask_epi8(_mm256_cmpgt_epi32(x, y)) + _pdep_u64(round, 0x5555) + _pext_u64(hash, 0xff00ff00) + __builtin_popcountll(hash);
    }
    for (int i = 0; i < 64; i++) hash = hash * 33 + n[i];
    double total = 0;
    for (int i = 0; i < 64; i++) total += f[i];
    printf("vectors: %016llx %.6g\n", (unsigned long long)hash, total);
}

static void new_code(void)
{
    unsigned char *code = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    unsigned char text[] = { 0xb8, 0, 0, 0, 0, 0xc3 };
    memcpy(code, text, sizeof text);
    long sum = 0;
    for (int i = 0; i < 3000; i++) { memcpy(code + 1, &i, 4); sum += ((int (*)(void))code)(); }
    unsigned char self[] = { 0xc7, 0x05, 1, 0, 0, 0, 42, 0, 0, 0, 0xb8, 1, 0, 0, 0, 0xc3 };
    memcpy(code + 64, self, sizeof self);
    int first = ((int (*)(void))(code + 64))();
    for (int i = 0; i < 200; i++) { mprotect(code, 4096, PROT_READ | PROT_WRITE); memcpy(code, text, sizeof text); memcpy(code + 1, &i, 4); mprotect(code, 4096, PROT_READ | PROT_EXEC); sum += ((int (*)(void))code)(); }
    for (int i = 0; i < 200; i++)
    {
        unsigned char *other = mmap(code, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
        memcpy(other, text, sizeof text); other[1] = i; sum += ((int (*)(void))other)();
    }
    printf("new code: %ld %d\n", sum, first);
}

static void memory(void)
{
    uint64_t hash = 0;
    for (int i = 0; i < 300; i++)
    {
        size_t size = (i % 60 + 1) * 8192;
        unsigned char *a = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        for (size_t j = 0; j < size; j += 4096) { hash += a[j]; a[j] = i; }
        a = mremap(a, size, size * 2, MREMAP_MAYMOVE);
        for (size_t j = 0; j < size * 2; j += 4096) hash = hash * 31 + a[j];
        madvise(a, size, MADV_DONTNEED);
        hash = hash * 31 + a[0];
        munmap(a, size * 2);
    }
    jmp_buf place; volatile int jumps = 0;
    if (setjmp(place) < 1000) longjmp(place, ++jumps);
    printf("memory: %016llx jumps %d\n", (unsigned long long)hash, jumps);
}

int main(void)
{
    threads(); faults(); processes(); numbers(); vectors(); new_code(); memory();
    return 0;
}
