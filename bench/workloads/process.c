/* Processes: the short-lived ones that shell scripts are made of. */
#define _GNU_SOURCE
#include "suite.h"

#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

enum { ROUNDS = 20 };

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

/* Debian's Lua with its libraries, where it was put next to this program; started through its own loader. */
static const char *lua(const char *file)
{
    static char paths[4][300];
    static int next;
    char *path = paths[next++ % 4];
    snprintf(path, sizeof(paths[0]), "%s/%s", program_folder, file);
    return path;
}

static int has_lua(void)
{
    return access(lua("lua/lua5.4"), X_OK) == 0;
}

static void start_lua(long rounds_wanted)
{
    char rounds[24];
    snprintf(rounds, sizeof(rounds), "%ld", rounds_wanted);
    pid_t child = fork();
    if (child == 0) {
        execl(lua("lua/ld-linux-x86-64.so.2"), "lua", "--library-path", lua("lua"), lua("lua/lua5.4"), lua("program.lua"), rounds, NULL);
        _exit(127);
    }
    wait_for(child);
}

static uint64_t run_lua(long count)
{
    start_lua(count * ROUNDS);
    return 0;
}

/* A program of several shared libraries that does nothing. */
static uint64_t run_dynamic(long count)
{
    while (count-- > 0)
        start_lua(0);
    return 0;
}

const struct test process_tests[] = {
    { "process.fork-exit", run_fork, 1, NULL, NULL },
    { "process.fork-exec-exit", run_exec, 1, NULL, NULL },
    { "process.dynamic-exec", run_dynamic, 1, has_lua, NULL },
    { "program.lua", run_lua, ROUNDS, has_lua, NULL },
    { 0 },
};
