/* room.h: a room at its home: the one who gives out seq, keeps the history and knows on which reactors members are.
 *
 * The home's thread. What is said in a turn is gathered, encoded once into a chunk, kept, and then handed to each reactor
 * that has members, along with the acknowledgements for those who said it: kept before anyone sees it. */
#ifndef CHAT_ROOM_H
#define CHAT_ROOM_H

#include "common/buf.h"
#include "common/table.h"
#include "server/chat/ask.h"
#include "server/chat/chat.h"
#include "server/chat/fanout.h"
#include "server/chat/history.h"
#include "server/chat/keys.h"
#include "server/chat/presence.h"

/* A room's members on one reactor. */
struct share {
    struct audience *audience; /* of that reactor: only passed back to it */
    uint32_t members;
};

/* An answer to a send of this turn, in room->ack_lines; len 0: there was no id, it only is no longer under way. */
struct ack {
    struct session *session;
    struct reactor *reactor;
    uint32_t at, len;
};

struct room {
    struct table_link link;
    struct chat *chat;
    uint64_t epoch, seq, last_time_ms;
    uint32_t members;
    struct presence presence;
    struct history history;
    struct keys keys;
    char *topic; /* NULL: none */

    struct buf lines; /* said in this turn and not handed out yet */
    uint64_t first_seq;
    uint32_t count;
    struct ack *acks;
    uint32_t ack_count, ack_cap;
    struct buf ack_lines;
    struct room *next_dirty;
    TAILQ_ENTRY(room) remembered; /* in chat->remembered while it keeps messages */
    bool is_dirty;

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
void room_on_read_on(struct reactor *r, struct post *ask); /* for those who are behind */

/* A leave by s of the room of a: with id where an answer is wanted and s is held; event as the room is told. */
struct ask *room_new_leave(struct session *s, struct audience *a, const struct value *id, const char *event);

/* The short way for a send to a room that is at home on the session's own reactor; the session is held until it is
 * acknowledged. */
void room_send_here(struct room *room, struct session *s, const struct value *id, const struct value *key,
                    const struct value *text);
struct room *room_find(struct chat *chat, const char *name, size_t len, uint32_t hash);

/* Gives a chunk, or NULL, to every reactor that has members, with the acknowledgements that are due. */
void room_hand_out(struct room *room, struct chunk *chunk, bool is_presence);

void room_flush(struct room *room); /* keeps and hands out what was said and not handed out yet */
void room_flush_all(struct chat *chat); /* at the end of a turn */
void room_free(struct room *room);

/* The lines of a history answer: from what is kept, for a room or a direct conversation (room: its name to put in, or NULL). */
void room_answer_history(struct ask *a, const struct history *h, uint64_t newest, const char *room, size_t room_len);

#endif
