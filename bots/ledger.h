/* ledger.h: what all bots together know of each room: which text stands under which seq, and the newest seq.
 *
 * The first bot that sees a number writes down its text's hash, each later one is compared with that. A room
 * remembers its newest messages; when a slow reader asks for an older one, the room is made to remember more,
 * up to 65536. One thread. */
#ifndef BOTS_LEDGER_H
#define BOTS_LEDGER_H

#include "common/table.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ledger_slot {
    uint64_t seq, hash; /* seq 0: nothing */
    uint64_t due_us;    /* when its send was due; 0: not known */
};

struct ledger_room {
    struct table_link link;
    struct ledger_slot *ring;
    uint64_t epoch, newest; /* newest: seen or acknowledged by anyone */
    uint32_t size;          /* of the ring; a power of two, 0 before the first message */
    uint16_t name_len;
    char name[];
};

struct ledger {
    struct table rooms;
    uint64_t forgotten; /* comparisons that could not be made: too far back */
    uint64_t epochs;    /* orders that were replaced by another */
};

enum ledger_verdict {
    LEDGER_FIRST, /* nobody has seen this number before */
    LEDGER_SAME,
    LEDGER_DIFFERENT, /* another text has been seen under it */
    LEDGER_FORGOTTEN,
};

struct ledger_room *ledger_get(struct ledger *l, const char *name,
                               size_t len); /* makes it where there is none */

struct ledger_room *ledger_find(const struct ledger *l, const char *name, size_t len); /* or NULL */

/* A bot has joined and was told this epoch; a new one makes the room forget all. true if there was another
 * before. */
bool ledger_enter(struct ledger *l, struct ledger_room *r, uint64_t epoch);

enum ledger_verdict ledger_note(struct ledger *l, struct ledger_room *r, uint64_t seq, uint64_t hash);

/* When the send of a message was due, as its sender knows once it has an ack or the message. 0: not known. */
void ledger_set_due(struct ledger_room *r, uint64_t seq, uint64_t due_us);
uint64_t ledger_due(const struct ledger_room *r, uint64_t seq);

void ledger_deinit(struct ledger *l);

#endif
