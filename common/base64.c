/* base64.c: see base64.h. */
#include "common/base64.h"

#include <stdint.h>

size_t base64_encode(const void *data, size_t len, char *out)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const unsigned char *from = data;
    char *to = out;

    for (size_t i = 0; i < len; i += 3) {
        uint32_t bits = (uint32_t)from[i] << 16;

        if (i + 1 < len)
            bits |= (uint32_t)from[i + 1] << 8;
        if (i + 2 < len)
            bits |= from[i + 2];
        *to++ = digits[bits >> 18];
        *to++ = digits[bits >> 12 & 63];
        *to++ = i + 1 < len ? digits[bits >> 6 & 63] : '=';
        *to++ = i + 2 < len ? digits[bits & 63] : '=';
    }
    *to = '\0';
    return (size_t)(to - out);
}

static int value_of(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

ssize_t base64_decode(const char *text, size_t len, void *out, size_t size)
{
    size_t padding = len >= 4 && text[len - 1] == '=' ? 1U + (text[len - 2] == '=') : 0, n = 0;
    unsigned char *to = out;
    uint32_t bits = 0;

    if (len % 4 != 0 || len / 4 * 3 - padding > size)
        return -1;
    for (size_t i = 0; i < len; i++) {
        int value = i >= len - padding ? 0 : value_of(text[i]);

        if (value < 0)
            return -1;
        bits = bits << 6 | (uint32_t)value;
        if (i % 4 != 3)
            continue;
        for (int shift = 16; shift >= 0; shift -= 8)
            if (n < len / 4 * 3 - padding)
                to[n++] = (unsigned char)(bits >> shift);
            else if ((bits >> shift & 0xff) != 0)
                return -1; /* one text for the same bytes, not several */
    }
    return (ssize_t)n;
}
