/* Measures a file or block device: sequential and random reads and writes of 4 KiB, 64 KiB and 1 MiB, with one request and with several
 * in flight. Overwrites it. usage: block FILE direct|cached SECONDS [NAME], with a name only that work. Each line: name, MiB/s. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { MOST_DEPTH = 16, ALIGNMENT = 4096, MOST_SIZE = 1 << 20 };

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec + time.tv_nsec * 1e-9;
}

static void fail(const char *what)
{
    perror(what);
    exit(1);
}

static uint64_t next_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

static double measure(int file, int64_t length, int is_write, int is_random, int size, int depth, char *memory, double seconds)
{
    aio_context_t context = 0;
    struct iocb blocks[MOST_DEPTH];
    struct io_event events[MOST_DEPTH];
    struct iocb *list[MOST_DEPTH];
    uint64_t state = 88172645463325252u;
    int64_t places = length / size, place = 0, done = 0;
    double start, end;
    int i, count, ready = depth;

    if (syscall(SYS_io_setup, depth, &context) < 0)
        fail("io_setup");
    for (i = 0; i < depth; i++) {
        memset(&blocks[i], 0, sizeof blocks[i]);
        blocks[i].aio_data = i;
        blocks[i].aio_fildes = file;
        blocks[i].aio_lio_opcode = is_write ? IOCB_CMD_PWRITE : IOCB_CMD_PREAD;
        blocks[i].aio_buf = (uintptr_t)(memory + (size_t)i * MOST_SIZE);
        blocks[i].aio_nbytes = size;
        list[i] = &blocks[i];
    }
    start = now();
    do {
        for (i = 0; i < ready; i++) {
            list[i]->aio_offset = (is_random ? (int64_t)(next_random(&state) % places) : place++ % places) * size;
            /* Other data each time: nobody may get away with writing the same again. */
            *(uint64_t *)(uintptr_t)list[i]->aio_buf = next_random(&state);
        }
        if (syscall(SYS_io_submit, context, ready, list) != ready)
            fail("io_submit");
        count = syscall(SYS_io_getevents, context, 1, depth, events, NULL);
        if (count < 1)
            fail("io_getevents");
        for (i = 0; i < count; i++) {
            if (events[i].res != size) {
                fprintf(stderr, "block: a request moved %lld bytes\n", (long long)events[i].res);
                exit(1);
            }
            list[i] = &blocks[events[i].data];
        }
        ready = count;
        done += count;
        end = now();
    } while (end - start < seconds);
    syscall(SYS_io_destroy, context); /* waits for the rest */
    return done * (double)size / (end - start) / (1 << 20);
}

int main(int argc, char **argv)
{
    static const int sizes[] = { 4 << 10, 64 << 10, 1 << 20 };
    static const int depths[] = { 1, 8 };
    int file, is_write, is_random, size, depth;
    int64_t length;
    char *memory;

    if (argc != 4 && argc != 5) {
        fprintf(stderr, "usage: block FILE direct|cached SECONDS [NAME]\n");
        return 2;
    }
    file = open(argv[1], O_RDWR | (strcmp(argv[2], "direct") == 0 ? O_DIRECT : 0));
    if (file < 0)
        fail(argv[1]);
    length = lseek(file, 0, SEEK_END);
    memory = aligned_alloc(ALIGNMENT, (size_t)MOST_DEPTH * MOST_SIZE);
    memset(memory, 0x5a, (size_t)MOST_DEPTH * MOST_SIZE);
    for (is_write = 0; is_write < 2; is_write++)
        for (is_random = 0; is_random < 2; is_random++)
            for (size = 0; size < 3; size++)
                for (depth = 0; depth < 2; depth++) {
                    char name[64];
                    snprintf(name, sizeof name, "%s-%s-%dk-%d", is_random ? "random" : "sequential", is_write ? "write" : "read", sizes[size] >> 10, depths[depth]);
                    if (argc == 5 && strcmp(name, argv[4]) != 0)
                        continue;
                    printf("%s %.1f\n", name, measure(file, length, is_write, is_random, sizes[size], depths[depth], memory, atof(argv[3])));
                    fflush(stdout);
                    if (is_write)
                        fsync(file);
                }
    return 0;
}
