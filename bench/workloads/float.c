/* Floating point as compilers make it for any x86-64, the mathematics library, and SHA-256. */
#include "suite.h"

#include <math.h>
#include <string.h>

enum { BODIES = 5, STEPS = 1000, HASHED = 1 << 16, VALUES = 1024 };

struct body {
    double x, y, z, vx, vy, vz, mass;
};

static uint64_t bits(double value)
{
    uint64_t result;
    memcpy(&result, &value, sizeof(result));
    return result;
}

static uint64_t run_bodies(long count)
{
    double energy = 0;
    while (count-- > 0) {
        struct body bodies[BODIES];
        for (int i = 0; i < BODIES; i++)
            bodies[i] = (struct body){ i * 3.0, i * i - 4.0, 5.0 / (i + 1), 0.1 * i, -0.2 + 0.05 * i, 0.01, 1.0 / (1 + i * i) };
        for (int step = 0; step < STEPS; step++) {
            for (int i = 0; i < BODIES; i++)
                for (int j = i + 1; j < BODIES; j++) {
                    struct body *a = &bodies[i], *b = &bodies[j];
                    double dx = a->x - b->x, dy = a->y - b->y, dz = a->z - b->z;
                    double square = dx * dx + dy * dy + dz * dz;
                    double force = 0.001 / (square * sqrt(square));
                    a->vx -= dx * b->mass * force;
                    a->vy -= dy * b->mass * force;
                    a->vz -= dz * b->mass * force;
                    b->vx += dx * a->mass * force;
                    b->vy += dy * a->mass * force;
                    b->vz += dz * a->mass * force;
                }
            for (int i = 0; i < BODIES; i++) {
                bodies[i].x += 0.001 * bodies[i].vx;
                bodies[i].y += 0.001 * bodies[i].vy;
                bodies[i].z += 0.001 * bodies[i].vz;
            }
        }
        energy = 0;
        for (int i = 0; i < BODIES; i++)
            energy += bodies[i].mass * (bodies[i].vx * bodies[i].vx + bodies[i].vy * bodies[i].vy + bodies[i].vz * bodies[i].vz);
    }
    return bits(energy);
}

static uint64_t run_mathematics(long count)
{
    double sum = 0;
    while (count-- > 0) {
        sum = 0;
        for (int i = 1; i <= VALUES; i++) {
            double x = i * 0.01;
            sum += sin(x) + exp(-x) + log(x) + pow(x, 0.3);
        }
    }
    /* Not all bits: the library chooses its functions by what the processor has. */
    return (uint64_t)(sum * 1e6);
}

static const uint32_t constants[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5, 0xd807aa98, 0x12835b01, 0x243185be,
    0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa,
    0x5cb0a9dc, 0x76f988da, 0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967, 0x27b70a85,
    0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85, 0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3,
    0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070, 0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f,
    0x682e6ff3, 0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

static inline uint32_t rotate(uint32_t x, int by) { return x >> by | x << (32 - by); }

static void hash_block(uint32_t state[8], const uint8_t *block)
{
    uint32_t w[64], s[8];
    for (int i = 0; i < 16; i++) {
        uint32_t word;
        memcpy(&word, block + i * 4, 4);
        w[i] = __builtin_bswap32(word);
    }
    for (int i = 16; i < 64; i++)
        w[i] = w[i - 16] + w[i - 7] + (rotate(w[i - 15], 7) ^ rotate(w[i - 15], 18) ^ w[i - 15] >> 3)
            + (rotate(w[i - 2], 17) ^ rotate(w[i - 2], 19) ^ w[i - 2] >> 10);
    memcpy(s, state, sizeof(s));
    for (int i = 0; i < 64; i++) {
        uint32_t t1 = s[7] + (rotate(s[4], 6) ^ rotate(s[4], 11) ^ rotate(s[4], 25)) + ((s[4] & s[5]) ^ (~s[4] & s[6])) + constants[i] + w[i];
        uint32_t t2 = (rotate(s[0], 2) ^ rotate(s[0], 13) ^ rotate(s[0], 22)) + ((s[0] & s[1]) ^ (s[0] & s[2]) ^ (s[1] & s[2]));
        memmove(s + 1, s, 28);
        s[4] += t1;
        s[0] = t1 + t2;
    }
    for (int i = 0; i < 8; i++)
        state[i] += s[i];
}

static uint64_t run_sha256(long count)
{
    static uint8_t data[HASHED];
    uint32_t state[8];
    for (int i = 0; i < HASHED; i++)
        data[i] = i * 7;
    while (count-- > 0) {
        static const uint32_t initial[8] = { 0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19 };
        memcpy(state, initial, sizeof(state));
        for (int i = 0; i < HASHED; i += 64)
            hash_block(state, data + i);
    }
    return (uint64_t)state[0] << 32 | state[1];
}

const struct test float_tests[] = {
    { "float.nbody", run_bodies, STEPS, NULL, NULL },
    { "float.libm", run_mathematics, VALUES, NULL, NULL },
    { "float.sha256", run_sha256, HASHED, NULL, NULL },
    { 0 },
};
