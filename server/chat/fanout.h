/* fanout.h: the members that a room has on this reactor, and how what the room says reaches each of them.
 *
 * A member is at the head of its room's order, and gets each chunk as it is made; or it is behind, because it
 * joined with `after` or reads too slowly, and is fed from what is kept whenever its queue is short, until it
 * is at the head again. */
#ifndef CHAT_FANOUT_H
#define CHAT_FANOUT_H

#include "common/chunk.h"
#include "common/table.h"
#include "protocol/message.h"

#include <stdbool.h>
#include <stdint.h>

struct chat;
struct reactor;
struct room;
struct session;

enum member_state {
    MEMBER_JOINING, /* the room's home has been asked */
    MEMBER_LIVE,    /* at the head */
    MEMBER_BEHIND,  /* to be fed from what is after its cursor */
    MEMBER_FEEDING, /* the same, and the home has been asked for more */
};

struct member {
    struct session *session; /* NULL: it is in no list any more */
    struct audience *audience;
    struct member *next; /* of the session */
    uint64_t cursor;     /* behind: the last seq that it was given */
    uint64_t until;      /* its session is ending, and this is the last seq that it gets; else 0 */
    uint64_t heard;      /* the number of the presence event of its own coming */
    uint32_t place;      /* in the audience, unless it is joining */
    uint8_t state;
    bool is_told : 1; /* the log says that it is behind */
    bool leaving : 1; /* the room's home has been asked to let it go; until it answers, messages still come */
    bool is_anew : 1; /* feeding, and by now it wants what is after another cursor */
    bool is_put_off : 1; /* what it needs could not be read: it is fed on when a second has passed */
    uint8_t tries : 6;   /* to read on that have failed, one after the other */
    uint8_t asks;        /* under way that speak of it: it is freed when it is in nothing and none is left */
};

struct audience {
    struct table_link link;
    struct reactor *reactor;
    struct reactor *home;
    struct room *room; /* where it is at home on this reactor and members are in it; else NULL */
    struct member **members;
    uint32_t count, cap;
    uint32_t pending; /* asks under way about it: it must not go before they are back */
    uint8_t name_len;
    char name[];
};

struct audience *audience_find(struct chat *chat, const char *room, size_t len);
struct audience *audience_get(struct chat *chat, const char *room,
                              size_t len); /* makes it where there is none */
void audience_release(struct audience *a); /* frees it when nobody is in it or asks about it */

/* Hands a chunk to every member at the head; what it has of messages goes to the others by their cursor. */
void audience_deliver(struct audience *a, struct chunk *chunk);
void audience_tell(struct audience *a, struct chunk *chunk); /* a chunk of presence lines: presence.h */

/* The session's member of that room, not one that is leaving; or NULL. */
struct member *member_find(struct session *s, const char *room, size_t len);
struct member *member_add(struct session *s, struct audience *a); /* JOINING; not in the audience yet */
void member_enter(struct member *m, enum member_state state, uint64_t cursor);
void member_part(struct member *m); /* out of its session and its audience; freed once no ask speaks of it */
void member_ask_back(struct member *m);

/* The session leaves the room without waiting for an answer; the room is told event ("leave", "detach"). */
void member_remove(struct member *m, const char *event);

/* From now on, or again, it is behind: it has had everything up to that seq. */
void member_fall_behind(struct member *m, uint64_t cursor);
void member_replay(struct member *m, uint64_t after); /* it wants what is after that, be it behind or not */

/* Where little waits to be written to it: the next of its members that are behind is fed, one at a time, so that a
 * connection holds one piece, in however many rooms it is behind and whatever it asks for. */
void member_feed_next(struct session *s);
void fanout_free_timer(struct chat *chat);

/* The session is about to end: what its rooms have said so far may still be on its way from other reactors.
 * It is held until all that is here. */
void member_await_all(struct session *s);

/* The session, a guest until now, is an account: its rooms are told. was: the identity that it had. */
void member_promote_all(struct session *s, uint64_t was);

#endif
