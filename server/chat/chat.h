/* chat.h: what the chat keeps a reactor, and what all reactors share.
 *
 * Every room has a home: the reactor that its name hashes to, which gives out its seq (room.h). Every reactor
 * knows its own members of a room (fanout.h). What crosses over is posted. */
#ifndef CHAT_CHAT_H
#define CHAT_CHAT_H

#include "common/table.h"
#include "server/chat/accounts.h"
#include "server/chat/directory.h"
#include "server/net/reactor.h"

#include <stdatomic.h>
#include <stdint.h>
#include <sys/queue.h>

struct room;
struct session;
struct store;

/* What a peer can make grow here. Copied to each reactor; a reload posts a new copy. */
struct chat_limits {
    uint32_t max_rooms;      /* of the server */
    uint32_t max_kept_rooms; /* on disk, beyond which guests begin no new ones */
    uint32_t max_accounts;   /* of the server */
    uint32_t max_rooms_per_connection;
    uint32_t max_members;   /* of a room */
    uint32_t history;       /* messages kept a room */
    uint64_t history_bytes; /* bytes kept a room */
    uint64_t history_total; /* bytes kept of all rooms */
    uint32_t presence_max;  /* members of a room up to which each coming and going is told */
};

struct chat_shared {
    struct net *net;
    const char *server; /* "chatd 0.1.0" */
    struct store *store;
    struct directory directory;
    struct accounts accounts;
    atomic_uint rooms;
    atomic_uint searches;               /* under way */
    atomic_uint_fast64_t history_bytes; /* kept of all rooms */
};

TAILQ_HEAD(room_queue, room);
TAILQ_HEAD(mark_queue, mark);

struct chat {
    struct reactor *reactor;
    struct chat_shared *shared;
    struct chat_limits limits;
    struct table rooms;     /* those at home here */
    struct table audiences; /* members on this reactor, by room */
    struct table pairs;     /* direct conversations of guests at home here */
    struct pair *pairs_oldest, *pairs_newest;
    struct table marks; /* of accounts at home here; marks.h */
    struct mark_queue idle_marks;
    struct room *dirty_rooms;
    struct room_queue remembered; /* rooms at home here that keep messages, the longest silent one first */
    struct room *telling;         /* rooms that have presence to tell */
    struct event *tell_timer, *feed_timer;
    struct session *finishing;
};

extern const struct conn_ops chat_ops;

struct chat *chat_new(struct chat_shared *shared, struct reactor *r, const struct chat_limits *limits);
void chat_free(struct chat *chat);

static inline struct chat *chat_of(const struct reactor *r)
{
    return r->upper;
}

/* The reactor where a room or pair of that name is at home. */
struct reactor *chat_home(const struct chat *chat, uint32_t hash);

/* The reactor's thread: says bye `shutdown` to everyone and ends; chat_cut gives up on those who are left. */
void chat_drain(struct chat *chat);
void chat_cut(struct chat *chat);

#endif
