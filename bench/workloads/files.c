/* Small files on tmpfs. */
#define _GNU_SOURCE
#include "suite.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SIZE = 4096, FILES = 100, LARGE = 1 << 20 };

static char data[LARGE];

static const char *path_of(const char *name)
{
    static char path[300];
    snprintf(path, sizeof(path), "%s/%s", scratch_folder, name);
    return path;
}

static int make_file(const char *path, size_t size)
{
    int file = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
    if (file < 0 || write(file, data, size) != (ssize_t)size)
        fail(path);
    return file;
}

static uint64_t run_stat(long count)
{
    const char *path = path_of("file");
    struct stat about = { 0 };
    close(make_file(path, SIZE));
    while (count-- > 0)
        if (stat(path, &about) != 0)
            fail(path);
    unlink(path);
    return about.st_size;
}

static uint64_t run_read_file(long count)
{
    const char *path = path_of("file");
    close(make_file(path, SIZE));
    while (count-- > 0) {
        int file = open(path, O_RDONLY);
        if (file < 0 || read(file, data, SIZE) != SIZE)
            fail(path);
        close(file);
    }
    unlink(path);
    return 0;
}

static uint64_t run_make_file(long count)
{
    const char *path = path_of("file");
    while (count-- > 0) {
        close(make_file(path, SIZE));
        unlink(path);
    }
    return 0;
}

static uint64_t run_rewrite(long count)
{
    const char *path = path_of("file");
    int file = make_file(path, LARGE);
    for (long i = 0; i < count; i++) {
        off_t offset = i * 7 % (LARGE / SIZE) * SIZE;
        if (pread(file, data, SIZE, offset) != SIZE || pwrite(file, data, SIZE, offset) != SIZE)
            fail(path);
    }
    close(file);
    unlink(path);
    return 0;
}

static uint64_t run_large(long count)
{
    const char *path = path_of("file");
    int file = make_file(path, LARGE);
    while (count-- > 0)
        if (pwrite(file, data, LARGE, 0) != LARGE || pread(file, data, LARGE, 0) != LARGE)
            fail(path);
    close(file);
    unlink(path);
    return 0;
}

static uint64_t run_list(long count)
{
    char name[16];
    uint64_t entries = 0;
    for (int i = 0; i < FILES; i++) {
        snprintf(name, sizeof(name), "%d", i);
        close(make_file(path_of(name), 1));
    }
    while (count-- > 0) {
        DIR *folder = opendir(scratch_folder);
        if (folder == NULL)
            fail(scratch_folder);
        for (entries = 0; readdir(folder) != NULL; entries++)
            continue;
        closedir(folder);
    }
    for (int i = 0; i < FILES; i++) {
        snprintf(name, sizeof(name), "%d", i);
        unlink(path_of(name));
    }
    return entries;
}

const struct test file_tests[] = {
    { "file.stat", run_stat, 1, NULL },
    { "file.open-read-close", run_read_file, 1, NULL },
    { "file.create-write-unlink", run_make_file, 1, NULL },
    { "file.read-write-4K", run_rewrite, 1, NULL },
    { "file.write-read-1M", run_large, 1, NULL },
    { "file.list-100", run_list, 1, NULL },
    { 0 },
};
