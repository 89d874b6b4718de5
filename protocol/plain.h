/* plain.h: runs of bytes that a JSON string holds as they are, sixteen at a time: most of what is decoded or
 * encoded. Private to protocol/. */
#ifndef PROTOCOL_PLAIN_H
#define PROTOCOL_PLAIN_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define PLAIN_BLOCK 16

/* The compiler's own vectors, which gcc and clang have for every processor. */
typedef uint8_t plain_block __attribute__((vector_size(PLAIN_BLOCK)));

/* In memory order, whichever end of a word comes first there. */
static inline size_t plain_first_set(uint64_t bytes)
{
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    return (size_t)__builtin_ctzll(bytes) / 8;
#else
    return (size_t)__builtin_clzll(bytes) / 8;
#endif
}

/* How many of PLAIN_BLOCK bytes come before the first quote, backslash or control character. */
static inline size_t plain_in_block(const char *text)
{
    plain_block block, ends;
    uint64_t halves[2];

    memcpy(&block, text, sizeof block);
    ends = (plain_block)((block < 0x20) | (block == '"') | (block == '\\'));
    memcpy(halves, &ends, sizeof halves);
    if (halves[0] != 0)
        return plain_first_set(halves[0]);
    return halves[1] != 0 ? 8 + plain_first_set(halves[1]) : PLAIN_BLOCK;
}

/* How many bytes from the start need no escape. */
static inline size_t plain_len(const char *text, size_t len)
{
    size_t i = 0;

    for (; len - i >= PLAIN_BLOCK; i += PLAIN_BLOCK) {
        size_t n = plain_in_block(text + i);

        if (n < PLAIN_BLOCK)
            return i + n;
    }
    if (i > 0 && i < len) /* the last block once more, with bytes that are known to be plain in front */
        return len - PLAIN_BLOCK + plain_in_block(text + len - PLAIN_BLOCK);
    while (i < len && (unsigned char)text[i] >= 0x20 && text[i] != '"' && text[i] != '\\')
        i++;
    return i;
}

#endif
