/* digest.c: see digest.h. */
#include "common/digest.h"

#include <openssl/sha.h>

void digest_sha256(const void *data, size_t len, unsigned char out[DIGEST_SIZE])
{
    SHA256(data, len, out);
}
