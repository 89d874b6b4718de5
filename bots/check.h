/* check.h: what one bot holds the server to: each room's order, and the fate of each of its sends.
 *
 * It is told of every line that matters and of every send, and calls `wrong` for each promise of PROTOCOL.md that was
 * broken. It knows nothing of connections, so that tests can tell it stories. One thread. */
#ifndef BOTS_CHECK_H
#define BOTS_CHECK_H

#include "bots/ledger.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum check_fault {
    CHECK_MISSING,  /* a number was skipped */
    CHECK_ORDER,    /* a number came after a later one */
    CHECK_REPEATED, /* a message came twice */
    CHECK_ALTERED,  /* a text that is not what was sent, or not what others got under that number */
    CHECK_ACK,      /* an ack that fits no send, or names another message */
    CHECK_UNACKED,  /* a send that was never acknowledged */
    CHECK_UNSEEN,   /* acknowledged, and never delivered to its sender */
    CHECK_TAIL,     /* the last messages of a room did not come */
    CHECK_GAP,      /* a gap line that fits nowhere */
    CHECK_STRAY,    /* something of a room that the bot is not in */
    CHECK_CLOSE,    /* another end of the connection than was due */
    CHECK_ANSWER,   /* an error, or no answer in time */
    CHECK_LINE,     /* not a line of the protocol */
    CHECK_SCRIPT,   /* the script failed, or found something wrong itself */
    CHECK_FAULTS,
};

const char *check_fault_name(enum check_fault f);

typedef void check_wrong_fn(void *arg, enum check_fault f, const char *text);

struct check_room {
    struct ledger_room *room; /* NULL for a direct conversation: nobody else has its order */
    char *direct;             /* its name, "@nick"; else NULL */
    uint64_t last;            /* the newest seq that came */
    uint64_t missing_from, missing_to, gap_from, gap_to; /* the latest of each; 0: none */
    uint64_t replayed; /* up to here it is told what was said before it came */
    uint64_t owed;     /* has to come before the end */
    bool in;
};

struct check_sent {
    uint64_t hash, due_us, seq;
    uint16_t room;
    bool acked, seen, done;
};

struct check {
    struct ledger *ledger;
    check_wrong_fn *wrong;
    void *arg;
    struct check_room *rooms;
    struct check_sent *sent; /* a ring: serial s is at s & (sent_size - 1); NULL while nothing is under way */
    uint32_t sent_size, base, next; /* serials: base is the oldest under way, next the one to come */
    uint32_t floor;                 /* of those below, the fate is not known: their connection has ended */
    uint16_t room_count, room_cap, latest;
};

struct check_message {
    const char *room;
    size_t room_len;
    uint64_t seq, hash;
    bool mine;      /* from this bot's nick */
    int64_t serial; /* of its mark, or -1 */
};

void check_init(struct check *c, struct ledger *ledger, check_wrong_fn *wrong, void *arg);
void check_deinit(struct check *c);

/* The room's index, or -1 where the bot has never been in it. A direct conversation is made when it is asked for. */
int check_find(struct check *c, const char *room, size_t len);
void check_joined(struct check *c, const char *room, size_t len, uint64_t epoch, uint64_t seq, int64_t after);
void check_left(struct check *c, const char *room, size_t len);

/* Before it is sent: gives the serial that its id will carry. room is an index, hash that of the text, due_us monotonic. */
uint32_t check_will_send(struct check *c, int room, uint64_t hash, uint64_t due_us);
uint32_t check_under_way(const struct check *c); /* not acknowledged, or not come back */
bool check_all_acked(struct check *c);

/* Both say when the send was due, or 0. */
uint64_t check_ack(struct check *c, uint32_t serial, uint64_t seq, bool repeat);
uint64_t check_refused(struct check *c, uint32_t serial); /* an error instead of the ack */

void check_message(struct check *c, const struct check_message *m);
bool check_is_replay(struct check *c, const char *room, size_t len, uint64_t seq);
void check_gap(struct check *c, const char *room, size_t len, uint64_t from, uint64_t to);

/* One of an answer to `history`: its text only. */
void check_old_message(struct check *c, const char *room, size_t len, uint64_t seq, uint64_t hash);

/* The bot ends its side: from each room all that anyone has by now has to come. */
void check_owe(struct check *c);
bool check_has_all(const struct check *c); /* what is owed has come */

/* The connection has ended. in_order: the server had the time to say everything, so everything has to be there. */
void check_end(struct check *c, bool in_order, bool acks_only);

#endif
