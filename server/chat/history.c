/* history.c: see history.h. A ring of chunks, oldest first. */
#include "server/chat/history.h"

#include "common/mem.h"

#include <stdlib.h>
#include <string.h>

static struct chunk *chunk_at(const struct history *h, uint32_t i)
{
    return h->ring[(h->first + i) & (h->cap - 1)];
}

void history_drop_oldest(struct history *h)
{
    struct chunk *c = chunk_at(h, 0);

    h->first = (h->first + 1) & (h->cap - 1);
    h->count--;
    h->messages -= c->count;
    h->bytes -= c->len + sizeof *c;
    chunk_unref(c);
}

void history_deinit(struct history *h)
{
    while (h->count > 0)
        history_drop_oldest(h);
    free(h->ring);
    *h = (struct history){0};
}

static void grow(struct history *h)
{
    uint32_t cap = h->cap > 0 ? h->cap * 2 : 4;
    struct chunk **ring = mem_alloc(cap * sizeof(struct chunk *));

    for (uint32_t i = 0; i < h->count; i++)
        ring[i] = chunk_at(h, i);
    free(h->ring);
    h->ring = ring;
    h->first = 0;
    h->cap = cap;
}

void history_append(struct history *h, struct chunk *chunk, uint64_t most_messages, uint64_t most_bytes)
{
    if (h->count == h->cap)
        grow(h);
    h->ring[(h->first + h->count++) & (h->cap - 1)] = chunk_ref(chunk);
    h->messages += chunk->count;
    h->bytes += chunk->len + sizeof *chunk;
    while (h->count > 1 && (h->messages - chunk_at(h, 0)->count >= most_messages || h->bytes > most_bytes))
        history_drop_oldest(h);
}

uint64_t history_oldest(const struct history *h, uint64_t next)
{
    return h->count > 0 ? chunk_at(h, 0)->first_seq : next;
}

/* The index of the chunk that has the first message after that seq. */
static uint32_t find_chunk(const struct history *h, uint64_t after)
{
    uint32_t low = 0, high = h->count;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        const struct chunk *c = chunk_at(h, middle);

        if (c->first_seq + c->count - 1 <= after)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static uint32_t skip_lines(const struct chunk *c, uint32_t at, uint64_t lines)
{
    while (lines-- > 0)
        at = (uint32_t)((const char *)memchr(c->data + at, '\n', c->len - at) + 1 - c->data);
    return at;
}

size_t history_read(const struct history *h, uint64_t after, uint64_t most_messages, uint64_t most_bytes,
                    struct slice *slices, size_t size)
{
    uint64_t bytes = 0;
    size_t n = 0;

    for (uint32_t i = find_chunk(h, after); i < h->count && n < size && most_messages > 0; i++) {
        struct chunk *c = chunk_at(h, i);
        uint64_t skip = after >= c->first_seq ? after - c->first_seq + 1 : 0;
        uint64_t count = c->count - skip < most_messages ? c->count - skip : most_messages;
        uint32_t from = skip_lines(c, 0, skip);
        uint32_t to = skip + count == c->count ? c->len : skip_lines(c, from, count);

        if (n > 0 && bytes + (to - from) > most_bytes)
            break;
        slices[n++] = (struct slice){chunk_ref(c), from, to - from, (uint32_t)count};
        bytes += to - from;
        most_messages -= count;
    }
    return n;
}

void slice_unref(struct slice *s)
{
    chunk_unref(s->chunk);
    s->chunk = NULL;
}
