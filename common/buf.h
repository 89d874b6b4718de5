/* buf.h: bytes that grow, and the few ways to append to them. One owner, one thread. */
#ifndef COMMON_BUF_H
#define COMMON_BUF_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct buf {
    char *data; /* NULL until something is appended */
    size_t len, cap;
};

void buf_deinit(struct buf *b); /* frees; b is empty and usable after it */

void buf_grow(struct buf *b, size_t more); /* for buf_reserve */

/* Makes room for more bytes and says where they go; the caller then adds to len what it wrote. */
static inline char *buf_reserve(struct buf *b, size_t more)
{
    if (b->cap - b->len < more)
        buf_grow(b, more);
    return b->data + b->len;
}

void buf_putf(struct buf *b, const char *format, ...) __attribute__((format(printf, 2, 3)));
void buf_put_uint(struct buf *b, uint64_t value);

static inline void buf_clear(struct buf *b)
{
    b->len = 0;
}

static inline void buf_put(struct buf *b, const void *data, size_t len)
{
    if (len == 0)
        return;
    memcpy(buf_reserve(b, len), data, len);
    b->len += len;
}

static inline void buf_puts(struct buf *b, const char *text)
{
    buf_put(b, text, strlen(text));
}

/* A string literal, its length known when compiled. */
#define buf_put_literal(b, text) buf_put((b), "" text, sizeof(text) - 1)

#endif
