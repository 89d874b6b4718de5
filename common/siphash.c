/* siphash.c: see siphash.h. */
#include "common/siphash.h"

#include <string.h>

#define ROTL(x, b) (((x) << (b)) | ((x) >> (64 - (b))))

static inline void rounds(uint64_t v[4], int n)
{
    while (n-- > 0) {
        v[0] += v[1], v[1] = ROTL(v[1], 13), v[1] ^= v[0], v[0] = ROTL(v[0], 32);
        v[2] += v[3], v[3] = ROTL(v[3], 16), v[3] ^= v[2];
        v[0] += v[3], v[3] = ROTL(v[3], 21), v[3] ^= v[0];
        v[2] += v[1], v[1] = ROTL(v[1], 17), v[1] ^= v[2], v[2] = ROTL(v[2], 32);
    }
}

static inline uint64_t siphash(const uint64_t key[2], const void *data, size_t len, int compress, int finish)
{
    const unsigned char *p = data;
    uint64_t v[4], m, last = (uint64_t)len << 56;

    v[0] = key[0] ^ 0x736f6d6570736575U, v[1] = key[1] ^ 0x646f72616e646f6dU;
    v[2] = key[0] ^ 0x6c7967656e657261U, v[3] = key[1] ^ 0x7465646279746573U;
    for (; len >= 8; p += 8, len -= 8) {
        memcpy(&m, p, 8); /* little-endian machines give the published values */
        v[3] ^= m;
        rounds(v, compress);
        v[0] ^= m;
    }
    for (size_t i = 0; i < len; i++)
        last |= (uint64_t)p[i] << (8 * i);
    v[3] ^= last;
    rounds(v, compress);
    v[0] ^= last;
    v[2] ^= 0xff;
    rounds(v, finish);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

uint64_t siphash13(const uint64_t key[2], const void *data, size_t len)
{
    return siphash(key, data, len, 1, 3);
}

uint64_t siphash24(const uint64_t key[2], const void *data, size_t len)
{
    return siphash(key, data, len, 2, 4);
}
