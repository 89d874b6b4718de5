/* room.h: a room at its home: the one who gives out seq, has the messages kept and knows on which reactors
 * members are.
 *
 * The home's thread. What is said in a turn is gathered, encoded once into a chunk, given to the store, and
 * when that has kept it, handed to each reactor that has members, along with the acknowledgements for those
 * who said it: kept before anyone sees it. Turns come back in their order. A turn that could not be kept
 * takes those behind it along; its numbers are given out again. */
#ifndef CHAT_ROOM_H
#define CHAT_ROOM_H

#include "common/buf.h"
#include "common/table.h"
#include "server/chat/ask.h"
#include "server/chat/chat.h"
#include "server/chat/direct.h"
#include "server/chat/fanout.h"
#include "server/chat/history.h"
#include "server/chat/keys.h"
#include "server/chat/people.h"
#include "server/chat/presence.h"
#include "server/chat/room_moderate.h"
#include "server/chat/room_rights.h"
#include "server/chat/store.h"

/* A room's members on one reactor. */
struct share {
    struct audience *audience; /* of that reactor: only passed back to it */
    uint32_t members;          /* sessions */
};

/* An answer to a send of this turn, in room->ack_lines; len 0: there was no id, it only is no longer under
 * way. */
struct ack {
    struct session *session;
    struct reactor *reactor;
    uint32_t at, len;
    uint16_t re_len; /* of its field `re` */
    bool is_error;
};

/* What a room said in one turn, on its way to the store and back. */
struct turn {
    struct store_write write; /* first */
    struct room *room;
    struct turn *next;
    struct chunk *chunk; /* to be handed out; NULL: there are only acknowledgements */
    char *topic;         /* NULL: as it was */
    struct ack *acks;
    uint32_t ack_count;
    struct buf ack_lines;
    bool is_back, is_held; /* held: for the turn behind it */
};

struct room {
    struct table_link link;
    struct chat *chat;
    uint64_t epoch, seq, last_time_ms; /* seq: given out; what is behind kept nobody has seen yet */
    uint64_t kept, oldest;             /* the newest seq that is kept, and the oldest */
    uint32_t members;                  /* an account with several connections is one */
    struct people people;
    struct presence presence;
    struct history history; /* the newest messages, in memory */
    struct keys keys;
    struct buf changes; /* where nothing lasts: struct store_change, of what is in history */
    char *topic;        /* NULL: none */
    struct rights rights;
    struct moderation moderation;
    bool is_unclaimed; /* it is new, and the first to join will own it */

    struct buf lines; /* said in this turn and not handed out yet */
    uint64_t first_seq;
    uint32_t count;
    struct ack *acks;
    uint32_t ack_count, ack_cap;
    struct buf ack_lines;
    struct buf said_keys, said_changes;
    struct room *next_dirty;
    struct direct *direct;        /* NULL: a room; else whose conversation it is */
    TAILQ_ENTRY(room) remembered; /* in chat->remembered while it has messages or keys in memory */
    uint64_t counted;             /* bytes of history and keys, in chat_shared.history_bytes */
    bool is_dirty;
    bool
        keys_are_out; /* memory was needed: they are on the disk, and read again before anything more is said */
    bool takes_asks_only; /* the same, and until the asks that have come meanwhile are carried out */

    struct store_place place;
    struct turn *turns, *newest_turn; /* at the store */
    uint64_t turns_given, turns_done;
    struct ask *waiting, *newest_waiting; /* until all before them is kept */
    struct ask *seeking;                  /* for whom one message is read from the store */
    uint32_t reads;                       /* under way */
    bool is_loading, is_failing;          /* failing: until all turns are back, nothing is taken */
    bool is_guarded;                      /* not everyone may send: room_refuses_send */

    uint8_t name_len;
    char name[PROTOCOL_MAX_ROOM + 1];
    struct share shares[]; /* one a reactor */
};

/* What a session asks of a room's home; each is run there and returns the ask. */
void room_on_join(struct reactor *r, struct post *ask);
void room_on_leave(struct reactor *r, struct post *ask);
void room_on_send(struct reactor *r, struct post *ask);
void room_on_history(struct reactor *r, struct post *ask);
void room_on_topic(struct reactor *r, struct post *ask);
void room_on_mark(struct reactor *r, struct post *ask);    /* read: see marks.h */
void room_on_promote(struct reactor *r, struct post *ask); /* a member who was a guest is an account now */
void room_on_edit(struct reactor *r, struct post *ask);    /* and remove; the asker's session is held twice */
void room_take_edit(struct room *room, struct ask *ask); /* the same, and all that was said before is kept */
void room_on_read_on(struct reactor *r, struct post *ask); /* for those who are behind */

/* A leave by s of the room of a: with id where an answer is wanted and s is held; event as the room is told;
 * NULL: it is put out. */
struct ask *room_new_leave(struct session *s, struct audience *a, const struct value *id, const char *event);

/* What somebody says. about: 0, or FIELD_EDITS or FIELD_REMOVES, of an earlier message. */
struct said {
    const char *room; /* as the one who says it knows it */
    const char *nick, *id, *key, *text;
    size_t room_len, nick_len, id_len, key_len, text_len;
    struct keys_sender sender;
    enum message_field about;
    uint64_t of;
};

/* It is in this turn, and s, which is held, gets its acknowledgement when it is kept. */
void room_say(struct room *room, struct session *s, struct reactor *from, const struct said *said);
/* The same of what was asked for elsewhere; about: as in struct said. */
void room_say_asked(struct room *room, const struct ask *a, enum message_field about);

/* The short way for a send to a room that is at home on the session's own reactor; the session is held until
 * it is acknowledged. */
void room_send_here(struct room *room, struct session *s, const struct value *id, const struct value *key,
                    const struct value *text);

/* At home, an ask `send` about a direct conversation: the same, and the ask returned. */
void room_take_send(struct room *room, struct ask *a);
void room_answer_joined(const struct room *room, struct ask *a);

/* One that is not there; direct: it becomes its own, or NULL. NULL where there are as many as may be. */
struct room *room_make(struct chat *chat, const char *name, size_t len, struct direct *direct);
struct room *room_find(struct chat *chat, const char *name, size_t len, uint32_t hash);
struct room *room_find_asked(struct reactor *r, const struct ask *a); /* at home on r */
struct room *room_find_or_refuse(struct reactor *r, struct ask *a);   /* NULL: a was told `not_member` */

/* Gives a chunk, or NULL, to every reactor that has members, with a turn's acknowledgements (or NULL). */
void room_hand_out(struct room *room, struct chunk *chunk, bool is_presence, const struct turn *turn);

/* Acknowledges a request that gives out no seq, in the room's next turn; a then has no session any more. */
void room_acknowledge(struct room *room, struct ask *a, uint64_t now_ms);
uint64_t room_time(struct room *room);   /* never goes back */
void room_mark_dirty(struct room *room); /* its turn has something to be flushed */

void room_flush(struct room *room);     /* gives the store what was said and not given to it yet */
void room_flush_all(struct chat *chat); /* at the end of a turn */

/* Gives the store a turn with the acknowledgements that are due; what else is in it is the caller's to
 * set. */
struct turn *room_new_turn(struct room *room);
void room_keep(struct room *room, struct turn *turn);

/* Finds the message a->after for an ask and then calls found on the home's thread, at once or when it is
 * read: line is NULL where it is not kept. The line is the callee's to write to. Meanwhile the ask is in
 * room->seeking. */
void room_find_line(struct room *room, struct ask *a,
                    void (*found)(struct room *room, struct ask *a, char *line, size_t len));

/* A search, where all is in memory: of the rooms that are at home here. */
struct search;
void room_search(struct chat *chat, struct search *s);

/* Makes errors out of acknowledgements, all of which are in lines. */
void room_fail_acks(struct ack *acks, uint32_t count, struct buf *lines);
void room_settle_acks(const struct ack *acks, uint32_t count, const struct reactor *of, const char *lines);

/* Whether an ask has to wait: for the room to be loaded, for others that wait, or, where it says so, for what
 * was said before it to be kept. Then it is run again by itself. */
bool room_put_off(struct room *room, struct ask *a, bool needs_kept);
void room_wait_first(struct room *room,
                     struct ask *a); /* until it is loaded, and before all others that wait */
void room_run_waiting(struct room *room);
void room_fail_waiting(struct room *room); /* it could not be loaded */

/* Whether what is said has to wait for the room's keys to be read again; then it is run again by itself. And behind
 * that, whether it has failed, and the ask was answered: with a key nothing can be said without them. */
bool room_put_off_for_keys(struct room *room, struct ask *a);
bool room_lacks_keys(const struct room *room, struct ask *a);

/* What is kept of it, asked of the store; those who want to join wait meanwhile. */
void room_load(struct room *room);
void room_loaded(struct room *room, const char *failed); /* all of it; or why not, and then it is gone */
bool room_is_busy(const struct room *room);              /* something is under way that speaks of it */
bool room_lasts(const struct room *room);
uint64_t
room_oldest(const struct room *room); /* the seq of the oldest message that can be read; behind kept: none */
void room_free(struct room *room);

/* The lines of a history answer: from h, for a room or a direct conversation (room: its name to put in, or
 * NULL). oldest: below it nothing is kept. */
void room_answer_or_read(struct room *room, struct ask *a); /* from memory, or from the store */
void room_answer_history(struct ask *a, const struct history *h, uint64_t oldest, uint64_t newest,
                         const char *room, size_t room_len);

#endif
