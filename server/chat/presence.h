/* presence.h: who comes to a room and who goes, told to the others.
 *
 * In a small room each by name, gathered for a fifth of a second, so that N who come at once cost N lines a
 * member and not N writes; in a large one as a count, at most one each five seconds. What is gathered goes
 * out before the room's next message, so that nobody speaks before he has come. Each member is told of what
 * is later than its own coming. The home's thread. */
#ifndef CHAT_PRESENCE_H
#define CHAT_PRESENCE_H

#include "common/buf.h"
#include "common/chunk.h"

#include <stdbool.h>
#include <stdint.h>

struct chat;
struct room;

struct presence {
    struct buf lines;    /* gathered, and where each begins */
    struct buf begins;   /* of uint32_t */
    uint64_t events;     /* the number of the last one, from 1 on */
    uint64_t counted_us; /* when the last count was told */
    uint32_t counted;
    bool is_listed;
    struct room *next_listed;
};

void presence_deinit(struct room *room);
void presence_tell(struct room *room, const char *nick, size_t len, const char *event);
void presence_flush(struct room *room);
void presence_free_timer(struct chat *chat);

/* For a chunk of presence lines: the first byte that is for a member which has heard of events up to that
 * number. */
uint32_t presence_skip(const struct chunk *chunk, uint64_t heard);

#endif
