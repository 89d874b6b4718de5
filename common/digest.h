/* digest.h: SHA-256, for names that are made of something longer. Any thread. */
#ifndef COMMON_DIGEST_H
#define COMMON_DIGEST_H

#include <stddef.h>

#define DIGEST_SIZE 32

void digest_sha256(const void *data, size_t len, unsigned char out[DIGEST_SIZE]);

#endif
