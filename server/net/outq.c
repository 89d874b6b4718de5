/* outq.c: see outq.h. */
#include "server/net/outq.h"

#include "common/mem.h"

#include <stdlib.h>
#include <string.h>

#define ANSWER_CHUNK 1000 /* bytes: answers of one turn mostly fit in one */
#define POOL_MAX     4096 /* nodes that a reactor keeps for later */

static struct outq_node *push_node(struct outq *q, struct outq_pool *pool, struct chunk *chunk, uint32_t at,
                                   uint32_t len)
{
    struct outq_node *n = pool->free;

    if (n != NULL) {
        pool->free = n->next;
        pool->count--;
    } else {
        n = mem_alloc(sizeof *n);
    }
    *n = (struct outq_node){.chunk = chunk, .at = at, .len = len};
    if (q->tail != NULL)
        q->tail->next = n;
    else
        q->head = n;
    q->tail = n;
    q->bytes += len;
    return n;
}

void outq_push(struct outq *q, struct outq_pool *pool, struct chunk *chunk, uint32_t at, uint32_t len)
{
    if (len > 0)
        push_node(q, pool, chunk_ref(chunk), at, len);
}

static bool is_own(const struct chunk *c)
{
    return c->first_seq == UINT64_MAX;
}

void outq_append(struct outq *q, struct outq_pool *pool, const void *data, size_t len)
{
    struct outq_node *n = q->tail;
    struct chunk *c = n != NULL ? n->chunk : NULL;

    if (len == 0)
        return;
    if (c == NULL || !is_own(c) || c->cap - c->len < len) {
        c = chunk_new(len > ANSWER_CHUNK ? len : ANSWER_CHUNK);
        c->first_seq = UINT64_MAX; /* the mark of an answer */
        n = push_node(q, pool, c, 0, 0);
    }
    memcpy(c->data + c->len, data, len);
    c->len += (uint32_t)len;
    n->len += (uint32_t)len;
    q->bytes += (uint32_t)len;
    q->own += (uint32_t)len;
}

int outq_gather(const struct outq *q, struct iovec *parts, int most)
{
    int n = 0;

    for (const struct outq_node *at = q->head; at != NULL && n < most; at = at->next) {
        parts[n].iov_base = at->chunk->data + at->at;
        parts[n].iov_len = at->len;
        n++;
    }
    return n;
}

size_t outq_copy(const struct outq *q, char *to, size_t size)
{
    size_t done = 0;

    for (const struct outq_node *at = q->head; at != NULL && done < size; at = at->next) {
        size_t n = at->len < size - done ? at->len : size - done;

        memcpy(to + done, at->chunk->data + at->at, n);
        done += n;
    }
    return done;
}

static void drop_head(struct outq *q, struct outq_pool *pool)
{
    struct outq_node *n = q->head;

    q->head = n->next;
    if (q->head == NULL)
        q->tail = NULL;
    chunk_unref(n->chunk);
    if (pool->count < POOL_MAX) {
        n->next = pool->free;
        pool->free = n;
        pool->count++;
    } else {
        free(n);
    }
}

void outq_consume(struct outq *q, struct outq_pool *pool, size_t len)
{
    while (len > 0) {
        struct outq_node *n = q->head;
        uint32_t part = n->len < len ? n->len : (uint32_t)len;

        n->at += part;
        n->len -= part;
        q->bytes -= part;
        if (is_own(n->chunk))
            q->own -= part;
        len -= part;
        if (n->len == 0)
            drop_head(q, pool);
    }
}

void outq_clear(struct outq *q, struct outq_pool *pool)
{
    while (q->head != NULL)
        drop_head(q, pool);
    q->bytes = q->own = 0;
}

void outq_pool_deinit(struct outq_pool *pool)
{
    struct outq_node *next;

    for (; pool->free != NULL; pool->free = next) {
        next = pool->free->next;
        free(pool->free);
    }
    pool->count = 0;
}
