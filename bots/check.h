/* check.h: what one bot holds the server to: each room's order, and the fate of each of its sends.
 *
 * It is told of every line that matters and of every send, and calls `wrong` for each promise of PROTOCOL.md
 * that was broken. It knows nothing of connections, so that tests can tell it stories. One thread. */
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
    CHECK_GAP,      /* a gap line that fits nowhere, or that nobody expects */
    CHECK_EPOCH,    /* a room has begun a new order: what it had is lost */
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
    uint64_t epoch;           /* that this bot was told; 0: none yet */
    uint64_t last;            /* the newest seq that came */
    uint64_t missing_from, missing_to, gap_from, gap_to; /* the latest of each; 0: none */
    uint64_t replayed; /* up to here it is told what was said before it came */
    uint64_t owed;     /* has to come before the end */
    uint64_t told;     /* direct: the newest that the other end knows to be stored */
    bool in;
    bool unsure; /* direct: what comes next may have any number, as the bot has been away */
};

struct check_sent {
    uint64_t hash, due_us;
    uint64_t key; /* a hash of it; 0: none */
    uint64_t seq; /* 0: not known */
    uint32_t room;
    bool acked, seen, done, refused;
};

struct check {
    struct ledger *ledger;
    check_wrong_fn *wrong;
    void *arg;
    struct check_room *rooms;
    struct check_sent *sent; /* a ring: serial s is at s & (sent_size - 1); NULL while nothing is under way */
    uint32_t sent_size, base, next; /* serials: base is the oldest under way, next the one to come */
    uint32_t oldest;                /* from here to base: settled, and remembered */
    uint32_t floor;                 /* of those below, the fate is not known: their connection has ended */
    bool in_doubt;                  /* some of those may come yet */
    bool was_away;                  /* a connection has ended */
    uint32_t room_count, room_cap, latest;
    const struct ledger_room *joining; /* what was asked for last; how far its order was by then */
    uint64_t joining_epoch, joining_newest;
};

struct check_message {
    const char *room;
    size_t room_len;
    uint64_t seq, hash;
    bool mine;      /* from this bot's nick */
    bool is_alone;  /* nobody else has that nick */
    bool of_guests; /* direct: neither of the two is an account, so that it begins at 1 */
    int64_t serial; /* of its mark, or -1 */
};

struct check_acked {
    const char *room; /* NULL: the ack names none */
    size_t room_len;
    uint64_t seq;
    bool repeat;
};

void check_init(struct check *c, struct ledger *ledger, check_wrong_fn *wrong, void *arg);
void check_deinit(struct check *c);

/* The room's index, or -1 where the bot has never been in it. A direct conversation is made when it is asked
 * for. */
int check_find(struct check *c, const char *room, size_t len);

/* join is asked: the answer cannot know less of the room than anyone has seen by now. */
void check_will_join(struct check *c, const char *room, size_t len);
void check_joined(struct check *c, const char *room, size_t len, uint64_t epoch, uint64_t seq, int64_t after);
void check_left(struct check *c, const char *room, size_t len);

/* Before it is sent: gives the serial that its id will carry. room is an index, hash that of the text, key
 * that of its key or 0, due_us monotonic. */
uint32_t check_will_send(struct check *c, int room, uint64_t hash, uint64_t key, uint64_t due_us);
uint32_t check_under_way(const struct check *c); /* not acknowledged, or not come back */
bool check_all_acked(struct check *c);

/* Both say when the send was due, or 0. */
uint64_t check_ack(struct check *c, uint32_t serial, const struct check_acked *a);
uint64_t check_refused(struct check *c, uint32_t serial); /* an error instead of the ack */

/* When the send behind this message of this bot's was due, as far as it knows; 0. Not for direct
 * conversations. */
uint64_t check_due(struct check *c, const struct check_message *m);

void check_message(struct check *c, const struct check_message *m);
bool check_is_replay(struct check *c, const char *room, size_t len, uint64_t seq);
void check_gap(struct check *c, const char *room, size_t len, uint64_t from, uint64_t to);

/* The other end of a direct conversation has an ack for that one: it has to come here too. */
void check_tell(struct check *c, const char *room, size_t len, uint64_t seq);

/* One of an answer to `history`: its text only. */
void check_old_message(struct check *c, const char *room, size_t len, uint64_t seq, uint64_t hash);

/* The bot ends its side: from each room all that anyone has by now has to come. */
void check_owe(struct check *c);
bool check_has_all(const struct check *c); /* what is owed has come */

/* The connection has ended. in_order: the server had the time to say everything, so everything has to be
 * there. */
void check_end(struct check *c, bool in_order, bool acks_only);

#endif
