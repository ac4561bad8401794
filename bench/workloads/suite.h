/* Programs whose speed is compared between the host and guests. */
#ifndef SUITE_H
#define SUITE_H

#include <stdint.h>

struct test {
    const char *name;
    /* Runs the work `count` times; returns a checksum that does not depend on count, so that a wrong result is seen. */
    uint64_t (*run)(long count);
    /* Operations in one run, for the printed time of one operation. */
    double operations;
    /* Makes the test's data, not measured; may be null. Returns 0 where the machine cannot run the test. */
    int (*prepare)(void);
    /* Takes away what prepare made; may be null. */
    void (*finish)(void);
};

/* Lists of tests, each ended by an entry without a name. */
extern const struct test integer_tests[], float_tests[], vector_tests[], string_tests[], system_tests[], process_tests[], file_tests[];

/* A folder on tmpfs that is empty at first, and the folder of this program. */
extern const char *scratch_folder, *program_folder;

/* Prints the text and the error of the last system call, and ends the program. */
_Noreturn void fail(const char *text);

static inline uint32_t next_random(uint32_t *state)
{
    uint32_t x = *state;
    x ^= x << 13;
    x ^= x >> 17;
    x ^= x << 5;
    return *state = x;
}

/* Hides from the compiler what happens to memory behind the pointer. */
static inline void *escape(void *pointer)
{
    __asm__ volatile("" : "+r"(pointer) : : "memory");
    return pointer;
}

#endif
