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

static int open_file;

static int prepare_file(void)
{
    close(make_file(path_of("file"), SIZE));
    return 1;
}

static void remove_file(void)
{
    unlink(path_of("file"));
}

static int prepare_large(void)
{
    open_file = make_file(path_of("file"), LARGE);
    return 1;
}

static void remove_large(void)
{
    close(open_file);
    remove_file();
}

static int prepare_folder(void)
{
    char name[16];
    for (int i = 0; i < FILES; i++) {
        snprintf(name, sizeof(name), "%d", i);
        close(make_file(path_of(name), 1));
    }
    return 1;
}

static void empty_folder(void)
{
    char name[16];
    for (int i = 0; i < FILES; i++) {
        snprintf(name, sizeof(name), "%d", i);
        unlink(path_of(name));
    }
}

static uint64_t run_stat(long count)
{
    const char *path = path_of("file");
    struct stat about = { 0 };
    while (count-- > 0)
        if (stat(path, &about) != 0)
            fail(path);
    return about.st_size;
}

static uint64_t run_read_file(long count)
{
    const char *path = path_of("file");
    while (count-- > 0) {
        int file = open(path, O_RDONLY);
        if (file < 0 || read(file, data, SIZE) != SIZE)
            fail(path);
        close(file);
    }
    return 0;
}

static uint64_t run_make_file(long count)
{
    const char *path = path_of("new");
    while (count-- > 0) {
        close(make_file(path, SIZE));
        unlink(path);
    }
    return 0;
}

static uint64_t run_rewrite(long count)
{
    for (long i = 0; i < count; i++) {
        off_t offset = i * 7 % (LARGE / SIZE) * SIZE;
        if (pread(open_file, data, SIZE, offset) != SIZE || pwrite(open_file, data, SIZE, offset) != SIZE)
            fail("read and write");
    }
    return 0;
}

static uint64_t run_large(long count)
{
    while (count-- > 0)
        if (pwrite(open_file, data, LARGE, 0) != LARGE || pread(open_file, data, LARGE, 0) != LARGE)
            fail("write and read");
    return 0;
}

static uint64_t run_list(long count)
{
    uint64_t entries = 0;
    while (count-- > 0) {
        DIR *folder = opendir(scratch_folder);
        if (folder == NULL)
            fail(scratch_folder);
        for (entries = 0; readdir(folder) != NULL; entries++)
            continue;
        closedir(folder);
    }
    return entries;
}

const struct test file_tests[] = {
    { "file.stat", run_stat, 1, prepare_file, remove_file },
    { "file.open-read-close", run_read_file, 1, prepare_file, remove_file },
    { "file.create-write-unlink", run_make_file, 1, NULL, NULL },
    { "file.read-write-4K", run_rewrite, 1, prepare_large, remove_large },
    { "file.write-read-1M", run_large, 1, prepare_large, remove_large },
    { "file.list-100", run_list, 1, prepare_folder, empty_folder },
    { 0 },
};
