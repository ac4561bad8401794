#define _GNU_SOURCE
#include "suite.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { MOST_REPETITIONS = 99 };

const char *scratch_folder, *program_folder;

static const struct test *const all[] = {
    integer_tests, float_tests, vector_tests, string_tests, system_tests, process_tests, file_tests,
};

void fail(const char *text)
{
    fprintf(stderr, "suite: %s: %s\n", text, strerror(errno));
    exit(1);
}

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec + time.tv_nsec * 1e-9;
}

static double measure(const struct test *test, long count, uint64_t *checksum)
{
    double start = now();
    *checksum = test->run(count);
    return now() - start;
}

static int compare(const void *left, const void *right)
{
    double difference = *(const double *)left - *(const double *)right;
    return (difference > 0) - (difference < 0);
}

/* Prints: name, fastest and median nanoseconds of one operation, checksum. */
static void run_prepared(const struct test *test, double shortest, int repetitions)
{
    double times[MOST_REPETITIONS];
    uint64_t checksum, again;
    long count = 1;
    measure(test, count, &checksum); /* the first time has costs of its own */
    for (;;) {
        double time = measure(test, count, &checksum);
        if (time >= shortest)
            break;
        double factor = time > 0 ? 1.2 * shortest / time : 10;
        count = factor > 10 ? count * 10 : (long)(count * factor) + 1;
    }
    for (int i = 0; i < repetitions; i++) {
        times[i] = measure(test, count, &again) * 1e9 / count / test->operations;
        if (again != checksum) {
            printf("%s differs: %llx, then %llx\n", test->name, (unsigned long long)checksum, (unsigned long long)again);
            return;
        }
    }
    qsort(times, repetitions, sizeof(times[0]), compare);
    printf("%s %.6f %.6f %llx\n", test->name, times[0], times[repetitions / 2], (unsigned long long)checksum);
}

static void run(const struct test *test, double shortest, int repetitions)
{
    if (test->prepare != NULL && !test->prepare())
        return;
    run_prepared(test, shortest, repetitions);
    if (test->finish != NULL)
        test->finish();
}

static int wanted(const char *name, char **names, int count)
{
    if (count == 0)
        return 1;
    for (int i = 0; i < count; i++)
        if (strncmp(name, names[i], strlen(names[i])) == 0)
            return 1;
    return 0;
}

static void use_one_processor(void)
{
    /* A guest may have one only, and two programs on two processors are another thing than two on one. */
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(sched_getcpu(), &set);
    sched_setaffinity(0, sizeof(set), &set);
}

int main(int argc, char **argv)
{
    static char scratch[256], folder[256];
    double shortest = 0.3;
    int repetitions = 3, option, list = 0;
    const char *where = "/dev/shm";
    while ((option = getopt(argc, argv, "d:lr:t:")) != -1) {
        switch (option) {
        case 'd': where = optarg; break;
        case 'l': list = 1; break;
        case 'r': repetitions = atoi(optarg); break;
        case 't': shortest = atof(optarg); break;
        default: repetitions = 0;
        }
    }
    if (repetitions < 1 || repetitions > MOST_REPETITIONS || !(shortest > 0)) {
        fprintf(stderr, "usage: suite [-l] [-r repetitions] [-t seconds] [-d folder on tmpfs] [start of a name ...]\n");
        return 2;
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    const char *slash = strrchr(argv[0], '/');
    snprintf(folder, sizeof(folder), "%.*s", slash ? (int)(slash - argv[0]) : 1, slash ? argv[0] : ".");
    program_folder = folder;
    if (!list) {
        use_one_processor();
        snprintf(scratch, sizeof(scratch), "%s/suite-%d", where, (int)getpid());
        scratch_folder = scratch;
        if (mkdir(scratch, 0700) != 0)
            fail(scratch);
        printf("clock %.3f\n", now());
    }
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
        for (const struct test *test = all[i]; test->name != NULL; test++) {
            if (!wanted(test->name, argv + optind, argc - optind))
                continue;
            if (list)
                puts(test->name);
            else
                run(test, shortest, repetitions);
        }
    if (!list) {
        printf("clock %.3f\n", now());
        rmdir(scratch);
    }
    return 0;
}
