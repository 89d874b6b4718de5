/* room_read.h: reads of the store on behalf of an ask: what room_read.c and room_history.c share. The home's
 * thread. */
#ifndef CHAT_ROOM_READ_H
#define CHAT_ROOM_READ_H

#include "server/chat/room.h"

/* The room stays as long as it is under way. */
struct reading {
    struct store_read read; /* first */
    struct room *room;
    struct ask *ask;
    uint64_t newest; /* for a history answer: what was kept when it was asked for */
    void (*found)(struct room *room, struct ask *a, char *line, size_t len); /* for room_find_line */
    bool goes_on; /* the answer goes on with what is in memory */
};

/* From the store, up to last or up to what is in memory; pivot: struct store_read. It comes back in a later turn. */
struct reading *room_read_kept(struct room *room, struct ask *a, uint64_t after, uint64_t last,
                               uint64_t pivot, uint64_t most_bytes, post_fn *done);
void reading_free(struct reading *reading);

/* The oldest message that there is for the asker. */
uint64_t room_oldest_for(const struct room *room, const struct ask *a);

/* A line `gap` in an answer. */
void room_put_gap(struct ask *a, const char *room, size_t len, uint64_t from, uint64_t to);

#endif
