/* AVX2 and FMA; compiled for x86-64-v3. */
#include "suite.h"

#include <immintrin.h>

enum { SIDE = 192, WIDTH = 128, HEIGHT = 64, ITERATIONS = 256, PIXELS = 1 << 16 };

static float a[SIDE][SIDE] __attribute__((aligned(32))), b[SIDE][SIDE] __attribute__((aligned(32))), c[SIDE][SIDE] __attribute__((aligned(32)));
static uint8_t first[PIXELS], second[PIXELS + 32];

static int can_run(void)
{
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}

static int prepare_matrices(void)
{
    uint32_t state = 9;
    for (int i = 0; i < SIDE; i++)
        for (int j = 0; j < SIDE; j++) {
            a[i][j] = (next_random(&state) >> 16) / 65536.0f;
            b[i][j] = (next_random(&state) >> 16) / 65536.0f;
        }
    return can_run();
}

static uint64_t run_matmul(long count)
{
    uint64_t sum = 0;
    while (count-- > 0) {
        for (int i = 0; i < SIDE; i += 2)
            for (int j = 0; j < SIDE; j += 16) {
                __m256 s00 = _mm256_setzero_ps(), s01 = s00, s10 = s00, s11 = s00;
                for (int k = 0; k < SIDE; k++) {
                    __m256 b0 = _mm256_load_ps(&b[k][j]), b1 = _mm256_load_ps(&b[k][j + 8]);
                    __m256 a0 = _mm256_broadcast_ss(&a[i][k]), a1 = _mm256_broadcast_ss(&a[i + 1][k]);
                    s00 = _mm256_fmadd_ps(a0, b0, s00);
                    s01 = _mm256_fmadd_ps(a0, b1, s01);
                    s10 = _mm256_fmadd_ps(a1, b0, s10);
                    s11 = _mm256_fmadd_ps(a1, b1, s11);
                }
                _mm256_store_ps(&c[i][j], s00);
                _mm256_store_ps(&c[i][j + 8], s01);
                _mm256_store_ps(&c[i + 1][j], s10);
                _mm256_store_ps(&c[i + 1][j + 8], s11);
            }
        sum = 0;
        for (int i = 0; i < SIDE; i++)
            sum = sum * 31 + (uint64_t)(c[i][i] * 1000);
    }
    return sum;
}

static uint64_t run_mandelbrot(long count)
{
    uint64_t sum = 0;
    while (count-- > 0) {
        sum = 0;
        for (int y = 0; y < HEIGHT; y++)
            for (int x = 0; x < WIDTH; x += 4) {
                __m256d cr = _mm256_add_pd(_mm256_set1_pd(-2 + x * 2.5 / WIDTH), _mm256_set_pd(3 * 2.5 / WIDTH, 2 * 2.5 / WIDTH, 2.5 / WIDTH, 0));
                __m256d ci = _mm256_set1_pd(-1.25 + y * 2.5 / HEIGHT), zr = _mm256_setzero_pd(), zi = zr;
                __m256i steps = _mm256_setzero_si256();
                for (int i = 0; i < ITERATIONS; i++) {
                    __m256d rr = _mm256_mul_pd(zr, zr), ii = _mm256_mul_pd(zi, zi);
                    __m256d inside = _mm256_cmp_pd(_mm256_add_pd(rr, ii), _mm256_set1_pd(4), _CMP_LT_OQ);
                    if (_mm256_testz_pd(inside, inside))
                        break;
                    steps = _mm256_sub_epi64(steps, _mm256_castpd_si256(inside));
                    zi = _mm256_fmadd_pd(_mm256_add_pd(zr, zr), zi, ci);
                    zr = _mm256_add_pd(_mm256_sub_pd(rr, ii), cr);
                }
                sum += _mm256_extract_epi64(steps, 0) + _mm256_extract_epi64(steps, 1) * 3
                    + _mm256_extract_epi64(steps, 2) * 5 + _mm256_extract_epi64(steps, 3) * 7;
            }
    }
    return sum;
}

static int prepare_pixels(void)
{
    uint32_t state = 11;
    for (int i = 0; i < PIXELS; i++) {
        first[i] = next_random(&state) >> 16;
        second[i] = next_random(&state) >> 16;
    }
    return can_run();
}

/* Blends two pictures and sums their differences, one of them not aligned: what video and compression do. */
static uint64_t run_pixels(long count)
{
    uint64_t sums[4];
    while (count-- > 0) {
        __m256i sum = _mm256_setzero_si256();
        for (int i = 0; i < PIXELS; i += 32) {
            __m256i p = _mm256_loadu_si256((const __m256i *)(first + i)), q = _mm256_loadu_si256((const __m256i *)(second + i + 3));
            __m256i mean = _mm256_avg_epu8(p, q);
            mean = _mm256_shuffle_epi8(mean, _mm256_set1_epi32(0x0C0D0E0F));
            sum = _mm256_add_epi64(sum, _mm256_sad_epu8(mean, q));
        }
        _mm256_storeu_si256((__m256i *)sums, sum);
    }
    return sums[0] + sums[1] * 3 + sums[2] * 5 + sums[3] * 7;
}

const struct test vector_tests[] = {
    { "vector.matmul", run_matmul, SIDE * SIDE, prepare_matrices, NULL },
    { "vector.mandelbrot", run_mandelbrot, WIDTH * HEIGHT, can_run, NULL },
    { "vector.pixels", run_pixels, PIXELS, prepare_pixels, NULL },
    { 0 },
};
