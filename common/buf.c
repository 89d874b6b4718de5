/* buf.c: see buf.h. */
#include "common/buf.h"

#include "common/mem.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

void buf_deinit(struct buf *b)
{
    free(b->data);
    *b = (struct buf){0};
}

char *buf_reserve(struct buf *b, size_t more)
{
    if (b->cap - b->len < more) {
        size_t cap = b->cap > 0 ? b->cap : 128;

        while (cap - b->len < more)
            cap *= 2;
        b->data = mem_realloc(b->data, cap);
        b->cap = cap;
    }
    return b->data + b->len;
}

void buf_putf(struct buf *b, const char *format, ...)
{
    char *at = buf_reserve(b, 128);
    size_t size = b->cap - b->len;
    va_list args;
    int n;

    va_start(args, format);
    n = vsnprintf(at, size, format, args);
    va_end(args);
    if (n > 0 && (size_t)n >= size) {
        at = buf_reserve(b, (size_t)n + 1);
        va_start(args, format);
        vsnprintf(at, (size_t)n + 1, format, args);
        va_end(args);
    }
    b->len += n > 0 ? (size_t)n : 0;
}

/* Two digits a step: every message and every acknowledgement has a seq and a time. */
void buf_put_uint(struct buf *b, uint64_t value)
{
    static const char pairs[] =
        "00010203040506070809101112131415161718192021222324252627282930313233343536373839"
        "40414243444546474849505152535455565758596061626364656667686970717273747576777879"
        "8081828384858687888990919293949596979899";
    char digits[20];
    size_t at = sizeof digits;

    while (value >= 100) {
        at -= 2;
        memcpy(digits + at, pairs + value % 100 * 2, 2);
        value /= 100;
    }
    if (value >= 10) {
        at -= 2;
        memcpy(digits + at, pairs + value * 2, 2);
    } else {
        digits[--at] = (char)('0' + value);
    }
    buf_put(b, digits + at, sizeof digits - at);
}
