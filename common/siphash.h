/* siphash.h: SipHash (Aumasson and Bernstein, 2012), a keyed hash of short texts that nobody without the key
 * can predict. Any thread. */
#ifndef COMMON_SIPHASH_H
#define COMMON_SIPHASH_H

#include <stddef.h>
#include <stdint.h>

uint64_t siphash13(const uint64_t key[2], const void *data, size_t len); /* for hash tables */
uint64_t siphash24(const uint64_t key[2], const void *data,
                   size_t len); /* as a message authentication code */

#endif
