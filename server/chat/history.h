/* history.h: the messages that are kept of one room in memory: the chunks that were delivered, as long as
 * they fit.
 *
 * The thread of the room's home. Nothing is copied: a chunk is shared with the outqs that still write it. */
#ifndef CHAT_HISTORY_H
#define CHAT_HISTORY_H

#include "common/chunk.h"

#include <stddef.h>
#include <stdint.h>

struct history {
    struct chunk **ring; /* NULL while empty */
    uint32_t first, count, cap;
    uint64_t messages, bytes;
};

/* A part of a chunk: whole lines. Holds a reference of its own. */
struct slice {
    struct chunk *chunk;
    uint32_t at, len, count;
};

void history_deinit(struct history *h);
void history_append(struct history *h, struct chunk *chunk, uint64_t most_messages,
                    uint64_t most_bytes); /* own reference */

void history_append_all(struct history *h, const struct history *newer); /* what is there, to be shared */
void history_drop_oldest(struct history *h); /* its oldest chunk; there must be one */

/* The seq of the oldest message kept; next where there is none (next: what the next message will get). */
uint64_t history_oldest(const struct history *h, uint64_t next);

/* Messages after a seq, up to most_messages and about most_bytes, at least one where there is any; into at
 * most size slices. How many slices; each to be given to slice_unref. */
size_t history_read(const struct history *h, uint64_t after, uint64_t most_messages, uint64_t most_bytes,
                    struct slice *slices, size_t size);
void slice_unref(struct slice *s);

#endif
