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

void buf_grow(struct buf *b, size_t more)
{
    size_t cap = b->cap > 0 ? b->cap : 128;

    while (cap - b->len < more)
        cap *= 2;
    b->data = mem_realloc(b->data, cap);
    b->cap = cap;
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

static const char pairs[] = "00010203040506070809101112131415161718192021222324252627282930313233343536373839"
                            "40414243444546474849505152535455565758596061626364656667686970717273747576777879"
                            "8081828384858687888990919293949596979899";

/* Eight digits, as two halves that a processor can work on side by side. */
static void put_eight(char *out, uint32_t value)
{
    uint32_t high = value / 10000, low = value % 10000;

    memcpy(out, pairs + high / 100 * 2, 2);
    memcpy(out + 2, pairs + high % 100 * 2, 2);
    memcpy(out + 4, pairs + low / 100 * 2, 2);
    memcpy(out + 6, pairs + low % 100 * 2, 2);
}

/* Every message has a seq and a time, and so has its acknowledgement. */
void buf_put_uint(struct buf *b, uint64_t value)
{
    char digits[24];
    size_t at = sizeof digits;

    for (; value >= 100000000; value /= 100000000) {
        at -= 8;
        put_eight(digits + at, (uint32_t)(value % 100000000));
    }
    for (; value >= 100; value /= 100) {
        at -= 2;
        memcpy(digits + at, pairs + value % 100 * 2, 2);
    }
    if (value >= 10) {
        at -= 2;
        memcpy(digits + at, pairs + value * 2, 2);
    } else {
        digits[--at] = (char)('0' + value);
    }
    buf_put(b, digits + at, sizeof digits - at);
}
