/* outq.h: what a connection still has to write: references to chunks, in order.
 *
 * An empty one holds no memory; nodes come from a pool of the reactor. The reactor's thread. */
#ifndef NET_OUTQ_H
#define NET_OUTQ_H

#include "common/chunk.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

struct outq_node {
    struct outq_node *next;
    struct chunk *chunk;
    uint32_t at, len; /* what is left of the slice */
};

struct outq_pool {
    struct outq_node *free;
    uint32_t count;
};

struct outq {
    struct outq_node *head, *tail;
    uint32_t bytes; /* all that waits */
    uint32_t own;   /* of it, answers to this connection alone */
};

void outq_push(struct outq *q, struct outq_pool *pool, struct chunk *chunk, uint32_t at,
               uint32_t len); /* takes its own reference */
void outq_append(struct outq *q, struct outq_pool *pool, const void *data,
                 size_t len); /* copies: an answer */
int outq_gather(const struct outq *q, struct iovec *parts, int most);
size_t outq_copy(const struct outq *q, char *to, size_t size); /* the first bytes, at most size */
void outq_consume(struct outq *q, struct outq_pool *pool, size_t len);
void outq_clear(struct outq *q, struct outq_pool *pool);
void outq_pool_deinit(struct outq_pool *pool);

#endif
