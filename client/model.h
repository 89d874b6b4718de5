/* model.h: what a user has: the rooms he is in and how far he has seen each, and the lines he said that are
 * not yet acknowledged. It knows the protocol's promises and no socket; client.h tells it what came.
 *
 * What always holds: a room's seq is that of the last message that was taken, and messages are taken in the
 * order of their seq, each once; a line is in the list from when it was said until its ack, its error, or the
 * end. One thread. */
#ifndef CLIENT_MODEL_H
#define CLIENT_MODEL_H

#include "common/buf.h"
#include "protocol/message.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#define MODEL_NICKS    256 /* remembered of each room, for completion; those that were heard of last */
#define MODEL_KEY_SIZE 40

struct model_room {
    TAILQ_ENTRY(model_room) link;
    char name[PROTOCOL_MAX_ROOM + 1]; /* or @nick: a direct conversation */
    char **nicks;                     /* the newest first */
    size_t nick_count;
    uint64_t epoch;  /* 0: not known yet */
    uint64_t seq;    /* of the last message taken */
    uint64_t own;    /* of the last message of one's own that was seen and can be changed; 0: none */
    uint64_t target; /* catching up until seq is that; 0: not */
    uint64_t missed; /* how many that were, when it began */
    uint64_t lag_ms; /* how old the message was for which the room's standing was asked for; 0: it was not */
    uint64_t members;
    uint64_t read;      /* the account has, as far as the server knows */
    uint64_t seen;      /* the user has, here */
    uint64_t waiting;   /* the newest of what he has not fetched yet in a direct conversation; 0: nothing */
    bool is_counted;    /* read is known */
    bool reads_on;      /* what waits has been asked for */
    bool wanted;        /* to be joined again after a reconnect */
    bool joined;        /* on this connection */
    bool reads_failed;  /* that request has */
    bool is_put_off;    /* the server could not let us back in yet: what is said there waits */
    uint64_t rejoin_us; /* monotonic: when to ask again; 0: not, or it has been asked */
    bool starting_over; /* its order was lost: everything is ignored until the answer to a join from 0 */
};

struct model_line {
    TAILQ_ENTRY(model_line) link;
    char key[MODEL_KEY_SIZE]; /* also the request's id */
    char room[PROTOCOL_MAX_ROOM + 1];
    char *text;
    size_t len;
    uint64_t said_us;  /* monotonic */
    unsigned sent;     /* how often it was given to a connection */
    uint64_t retry_us; /* monotonic; the server asked to wait until then; 0: no */
    bool on_wire;      /* given to the connection of the moment */
    bool shown;        /* as pending, by a view */
};

TAILQ_HEAD(model_rooms, model_room);
TAILQ_HEAD(model_lines, model_line);

struct model {
    struct model_rooms rooms;
    struct model_lines lines; /* pending, oldest first */
    size_t line_count, line_bytes;
    char key_prefix[20];
    uint64_t last_key;
};

void model_init(struct model *m);
void model_deinit(struct model *m);

struct model_room *model_find(const struct model *m, const char *name, size_t len); /* or NULL */
struct model_room *model_get(struct model *m, const char *name, size_t len); /* made where there is none */
void model_remove(struct model *m, struct model_room *r);
static inline bool model_is_direct(const struct model_room *r)
{
    return r->name[0] == '@';
}

/* The connection is gone: no room is joined, direct conversations that were not joined are over. */
void model_detach(struct model *m);

enum model_join {
    MODEL_FRESH,      /* the first time */
    MODEL_RESUMED,    /* goes on after seq; room->missed says how many are coming */
    MODEL_START_OVER, /* another order than before: join again after 0 */
};

enum model_join model_joined(struct model_room *r, uint64_t epoch, uint64_t seq, uint64_t members);

enum model_take {
    MODEL_NEW,
    MODEL_SEEN, /* it was there before: not to be shown again */
    MODEL_HOLE, /* new, but those from *hole to seq-1 never came and no gap stood for them */
};

enum model_take model_take(struct model_room *r, uint64_t seq, uint64_t *hole);
void model_take_gap(struct model_room *r, uint64_t to);

/* Whether the room has just caught up: true once. */
bool model_caught_up(struct model_room *r);

uint64_t model_unread(const struct model_room *r);

/* Whether two names are of one room: nicks in them are compared as the server does. */
bool model_is_same(const char *a, size_t a_len, const char *b, size_t b_len);

void model_heard_of(struct model_room *r, const char *nick, size_t len);
void model_forget_nick(struct model_room *r, const char *nick, size_t len);

/* A line that was said; the model owns it. */
struct model_line *model_say(struct model *m, const char *room, const char *text, size_t len);
struct model_line *model_find_line(const struct model *m, const char *key, size_t len);
void model_drop_line(struct model *m, struct model_line *line); /* acknowledged or failed */

/* A new connection: nothing has been given to it. */
void model_forget_wire(struct model *m);

/* The `send` request of a line, with its key as id, so that it can be sent again without fear. */
void model_put_send(struct buf *b, const struct model_line *line);
size_t model_send_size(const struct model_line *line); /* of that request, in bytes */

#endif
