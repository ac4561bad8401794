/* The C library's string functions, at several sizes and alignments. */
#include "suite.h"

#include <string.h>
#include <sys/mman.h>

/* The distance keeps the two apart in caches and TLBs that take some bits of the address; memory.alias does not. */
enum { ROOM = 4 << 20, BATCH = 64, DISTANCE = 37 * 4096 };

static char *source, *target;

static int prepare(void)
{
    if (source == NULL) {
        source = mmap(NULL, 2 * ROOM + DISTANCE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (source == MAP_FAILED)
            fail("mmap");
        target = source + ROOM + DISTANCE;
    }
    memset(source, 'x', ROOM);
    memset(target, 'x', ROOM);
    return 1;
}

/* Small strings lie at changing places, as in programs, so that not all is the same line of the cache. */
#define PLACE(pointer, i, stride, shift) ((char *)escape((pointer) + (i) * (stride) + (shift)))

/* The sizes are variables to the compiler, which would put its own code in place of the calls else. */
static size_t unknown(size_t size)
{
    __asm__ volatile("" : "+r"(size));
    return size;
}

#define TEXT_TEST(name, size, expression)                  \
    static uint64_t name(long count)                       \
    {                                                      \
        uint64_t sum = 0;                                  \
        size_t length = unknown(size), stride = size < 180 ? 192 : size + 192; \
        for (int i = 0; i < BATCH; i++)                    \
            source[i * stride + length + 5] = 0;           \
        for (; count > 0; count--) {                       \
            sum = 0;                                       \
            for (int i = 0; i < BATCH; i++) {              \
                char *p = PLACE(source, i, stride, 5);             \
                sum += (expression);                       \
            }                                              \
        }                                                  \
        return sum;                                        \
    }

#define BLOCK_TEST(name, size, expression)                 \
    static uint64_t name(long count)                       \
    {                                                      \
        uint64_t sum = 0;                                  \
        size_t length = unknown(size);                     \
        for (; count > 0; count--)                         \
            for (int i = 0; i < BATCH; i++) {              \
                char *p = PLACE(source, i, 192, 0), *q = PLACE(target, i, 192, 0); \
                (void)p, (void)q;                          \
                sum = (uint64_t)(expression);              \
            }                                              \
        return sum;                                        \
    }

BLOCK_TEST(memcpy_16, 16, ((char *)memcpy(q, p, length))[0])
BLOCK_TEST(memcpy_64, 64, ((char *)memcpy(q, p + 3, length))[0])
BLOCK_TEST(memcpy_100, 100, ((char *)memcpy(q + 1, p + 7, length))[0])
BLOCK_TEST(memcpy_1024, 1024, ((char *)memcpy(q, p, length))[0])
BLOCK_TEST(memcpy_4096, 4096, ((char *)memcpy(q, p, length))[0])
BLOCK_TEST(memcpy_4096_odd, 4096, ((char *)memcpy(q + 1, p + 11, length))[0])
BLOCK_TEST(memcpy_1m, 1 << 20, ((char *)memcpy(q, p, length))[0])
BLOCK_TEST(memmove_4096, 4096, ((char *)memmove(p + 64, p, length))[0])
BLOCK_TEST(memset_64, 64, ((char *)memset(q, 'x', length))[0])
BLOCK_TEST(memset_4096, 4096, ((char *)memset(q, 'x', length))[0])
BLOCK_TEST(memcmp_4096, 4096, memcmp(p + 1, q, length))
BLOCK_TEST(memchr_64, 64, memchr(p, 'y', length) == NULL)
BLOCK_TEST(memchr_4096, 4096, memchr(p + 9, 'y', length) == NULL)
TEXT_TEST(strlen_10, 10, strlen(p))
TEXT_TEST(strlen_100, 100, strlen(p))
TEXT_TEST(strlen_4096, 4096, strlen(p))
TEXT_TEST(strcmp_20, 20, strcmp(p, source + ((i + 1) & 31) * stride + 5) == 0)
TEXT_TEST(strchr_100, 100, strchr(p, 'y') == NULL)

const struct test string_tests[] = {
    { "string.memcpy-16", memcpy_16, BATCH, prepare, NULL },
    { "string.memcpy-64", memcpy_64, BATCH, prepare, NULL },
    { "string.memcpy-100-unaligned", memcpy_100, BATCH, prepare, NULL },
    { "string.memcpy-1024", memcpy_1024, BATCH, prepare, NULL },
    { "string.memcpy-4096", memcpy_4096, BATCH, prepare, NULL },
    { "string.memcpy-4096-unaligned", memcpy_4096_odd, BATCH, prepare, NULL },
    { "string.memcpy-1M", memcpy_1m, BATCH, prepare, NULL },
    { "string.memmove-4096", memmove_4096, BATCH, prepare, NULL },
    { "string.memset-64", memset_64, BATCH, prepare, NULL },
    { "string.memset-4096", memset_4096, BATCH, prepare, NULL },
    { "string.memcmp-4096", memcmp_4096, BATCH, prepare, NULL },
    { "string.memchr-64", memchr_64, BATCH, prepare, NULL },
    { "string.memchr-4096", memchr_4096, BATCH, prepare, NULL },
    { "string.strlen-10", strlen_10, BATCH, prepare, NULL },
    { "string.strlen-100", strlen_100, BATCH, prepare, NULL },
    { "string.strlen-4096", strlen_4096, BATCH, prepare, NULL },
    { "string.strcmp-20", strcmp_20, BATCH, prepare, NULL },
    { "string.strchr-100", strchr_100, BATCH, prepare, NULL },
    { 0 },
};
