/* utf8.c: see utf8.h. ASCII takes the short way through each function. */
#include "common/utf8.h"

#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

#define HIGH_BITS 0x8080808080808080U

/* The length of the sequence at p, of which there are n > 0 bytes, or 0 when it is not well formed. */
static size_t sequence_len(const unsigned char *p, size_t n)
{
    if (p[0] < 0x80)
        return 1;
    if (p[0] < 0xc2)
        return 0;
    if (p[0] < 0xe0)
        return n >= 2 && (p[1] & 0xc0) == 0x80 ? 2 : 0;
    if (p[0] < 0xf0) {
        if (n < 3 || (p[1] & 0xc0) != 0x80 || (p[2] & 0xc0) != 0x80)
            return 0;
        return (p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f) ? 0 : 3;
    }
    if (p[0] > 0xf4 || n < 4 || (p[1] & 0xc0) != 0x80 || (p[2] & 0xc0) != 0x80 || (p[3] & 0xc0) != 0x80)
        return 0;
    return (p[0] == 0xf0 && p[1] < 0x90) || (p[0] == 0xf4 && p[1] > 0x8f) ? 0 : 4;
}

bool utf8_is_valid(const char *text, size_t len)
{
    const unsigned char *p = (const unsigned char *)text, *end = p + len;

    while (p < end) {
        uint64_t word;
        size_t n;

        if (end - p >= 8) {
            memcpy(&word, p, 8);
            if ((word & HIGH_BITS) == 0) {
                p += 8;
                continue;
            }
        } else if (len >= 8) { /* the last eight, with bytes in front that have been looked at */
            memcpy(&word, end - 8, 8);
            if ((word & HIGH_BITS) == 0)
                return true;
        }
        n = sequence_len(p, (size_t)(end - p));
        if (n == 0)
            return false;
        p += n;
    }
    return true;
}

size_t utf8_encode(uint32_t c, char *out)
{
    if (c < 0x80) {
        out[0] = (char)c;
        return 1;
    }
    if (c < 0x800) {
        out[0] = (char)(0xc0 | c >> 6);
        out[1] = (char)(0x80 | (c & 0x3f));
        return 2;
    }
    if (c < 0x10000) {
        out[0] = (char)(0xe0 | c >> 12);
        out[1] = (char)(0x80 | (c >> 6 & 0x3f));
        out[2] = (char)(0x80 | (c & 0x3f));
        return 3;
    }
    out[0] = (char)(0xf0 | c >> 18);
    out[1] = (char)(0x80 | (c >> 12 & 0x3f));
    out[2] = (char)(0x80 | (c >> 6 & 0x3f));
    out[3] = (char)(0x80 | (c & 0x3f));
    return 4;
}

static bool is_nick_ascii(unsigned char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-' || c == '.';
}

static bool is_nick_point(utf8proc_int32_t c)
{
    switch (utf8proc_category(c)) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_MC:
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_NO:
        return true;
    default:
        return false;
    }
}

static bool is_mark(utf8proc_int32_t c)
{
    utf8proc_category_t category = utf8proc_category(c);

    return category == UTF8PROC_CATEGORY_MN || category == UTF8PROC_CATEGORY_MC;
}

bool utf8_is_nick(const char *text, size_t len)
{
    const unsigned char *p = (const unsigned char *)text;
    size_t at = 0;

    if (len < 1 || len > UTF8_NICK_MAX)
        return false;
    while (at < len && is_nick_ascii(p[at]))
        at++;
    while (at < len) {
        utf8proc_int32_t c;
        utf8proc_ssize_t n = utf8proc_iterate(p + at, (utf8proc_ssize_t)(len - at), &c);

        if (n <= 0 || !(c < 0x80 ? is_nick_ascii((unsigned char)c) : is_nick_point(c)) ||
            (at == 0 && is_mark(c)))
            return false;
        at += (size_t)n;
    }
    return true;
}

size_t utf8_fold_nick(const char *text, size_t len, char out[UTF8_FOLD_MAX])
{
    utf8proc_uint8_t *folded = NULL;
    utf8proc_ssize_t n;
    size_t at;

    for (at = 0; at < len && !(text[at] & 0x80); at++)
        out[at] = (char)(text[at] >= 'A' && text[at] <= 'Z' ? text[at] | 0x20 : text[at]);
    if (at == len)
        return len;
    n = utf8proc_map((const utf8proc_uint8_t *)text, (utf8proc_ssize_t)len, &folded,
                     UTF8PROC_STABLE | UTF8PROC_COMPOSE | UTF8PROC_COMPAT | UTF8PROC_CASEFOLD |
                         UTF8PROC_IGNORE);
    if (n <= 0 || n > UTF8_FOLD_MAX)
        n = 0;
    else
        memcpy(out, folded, (size_t)n);
    free(folded);
    return (size_t)n;
}
