/* chunk.h: immutable, reference-counted bytes.
 *
 * A room's messages of one turn are encoded once into a chunk; every member's outq on every reactor, and the
 * history, refer to that one copy. A chunk may be written to only by the one who made it, and only while
 * nobody else has a reference. The count is atomic: references are taken and dropped on any thread. */
#ifndef COMMON_CHUNK_H
#define COMMON_CHUNK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct chunk {
    atomic_uint refs;
    uint32_t len, cap;
    uint32_t count;     /* messages in it; 0 where it carries none (answers, presence) */
    uint64_t first_seq; /* seq of its first message, where count > 0 */
    char data[];
};

struct chunk *chunk_new(size_t cap); /* one reference, the caller's */
struct chunk *chunk_new_copy(const void *data, size_t len);
void chunk_unref(struct chunk *c); /* NULL is fine */

static inline struct chunk *chunk_ref(struct chunk *c)
{
    atomic_fetch_add_explicit(&c->refs, 1, memory_order_relaxed);
    return c;
}

/* Whether the caller, who holds a reference, is the only one: then he may append. */
static inline bool chunk_is_sole(const struct chunk *c)
{
    return atomic_load_explicit(&((struct chunk *)(uintptr_t)c)->refs, memory_order_acquire) == 1;
}

#endif
