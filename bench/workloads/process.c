/* Processes: the short-lived ones that shell scripts are made of. */
#define _GNU_SOURCE
#include "suite.h"

#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

static void wait_for(pid_t child)
{
    int status;
    if (child < 0)
        fail("fork");
    if (waitpid(child, &status, 0) != child || status != 0)
        fail("a child process failed");
}

static uint64_t run_fork(long count)
{
    while (count-- > 0) {
        pid_t child = fork();
        if (child == 0)
            _exit(0);
        wait_for(child);
    }
    return 0;
}

static uint64_t run_exec(long count)
{
    char path[300];
    char *arguments[] = { path, NULL };
    snprintf(path, sizeof(path), "%s/true", program_folder);
    while (count-- > 0) {
        pid_t child = fork();
        if (child == 0) {
            execv(path, arguments);
            _exit(127);
        }
        wait_for(child);
    }
    return 0;
}

const struct test process_tests[] = {
    { "process.fork-exit", run_fork, 1, NULL },
    { "process.fork-exec-exit", run_exec, 1, NULL },
    { 0 },
};
