/* plain.h: runs of bytes that a JSON string holds as they are, eight at a time: most of what is decoded or
 * encoded. Private to protocol/. */
#ifndef PROTOCOL_PLAIN_H
#define PROTOCOL_PLAIN_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define PLAIN_EACH(byte) (UINT64_C(0x0101010101010101) * (byte))

/* Whether any of the eight bytes is a quote, a backslash or a control character; it may say so where there is
 * none, never the other way round. */
static inline int plain_ends_in(uint64_t bytes)
{
    uint64_t quote = bytes ^ PLAIN_EACH('"'), backslash = bytes ^ PLAIN_EACH('\\');

    return ((((bytes - PLAIN_EACH(0x20)) & ~bytes) | ((quote - PLAIN_EACH(1)) & ~quote) |
             ((backslash - PLAIN_EACH(1)) & ~backslash)) &
            PLAIN_EACH(0x80)) != 0;
}

/* How many bytes from the start need no escape. */
static inline size_t plain_len(const char *text, size_t len)
{
    size_t i = 0;
    uint64_t bytes;

    for (; len - i >= sizeof bytes; i += sizeof bytes) {
        memcpy(&bytes, text + i, sizeof bytes);
        if (plain_ends_in(bytes))
            break;
    }
    while (i < len && (unsigned char)text[i] >= 0x20 && text[i] != '"' && text[i] != '\\')
        i++;
    return i;
}

#endif
