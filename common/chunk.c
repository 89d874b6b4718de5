/* chunk.c: see chunk.h. Any thread. */
#include "common/chunk.h"

#include "common/mem.h"

#include <stdlib.h>
#include <string.h>

struct chunk *chunk_new(size_t cap)
{
    struct chunk *c = mem_alloc(sizeof *c + cap);

    atomic_init(&c->refs, 1);
    c->len = 0;
    c->cap = (uint32_t)cap;
    c->count = 0;
    c->first_seq = 0;
    return c;
}

struct chunk *chunk_new_copy(const void *data, size_t len)
{
    struct chunk *c = chunk_new(len);

    memcpy(c->data, data, len);
    c->len = (uint32_t)len;
    return c;
}

void chunk_unref(struct chunk *c)
{
    if (c != NULL && atomic_fetch_sub_explicit(&c->refs, 1, memory_order_acq_rel) == 1)
        free(c);
}
