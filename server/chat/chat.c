/* chat.c: a reactor's part of the chat, from its start to its end. See chat.h. */
#include "server/chat/chat.h"

#include "common/mem.h"
#include "server/chat/fanout.h"
#include "server/chat/marks.h"
#include "server/chat/pair.h"
#include "server/chat/room.h"
#include "server/chat/session.h"

#include <stdlib.h>

struct chat *chat_new(struct chat_shared *shared, struct reactor *r, const struct chat_limits *limits)
{
    struct chat *chat = mem_zalloc(sizeof *chat);

    chat->reactor = r;
    chat->shared = shared;
    chat->limits = *limits;
    TAILQ_INIT(&chat->remembered);
    TAILQ_INIT(&chat->idle_marks);
    r->upper = chat;
    return chat;
}

void chat_free(struct chat *chat)
{
    uint32_t at;

    if (chat == NULL)
        return;
    for (struct table_link *link = table_first(&chat->rooms, &at), *next; link != NULL; link = next) {
        next = table_next(&chat->rooms, &at, link);
        room_free(table_of(link, struct room, link));
    }
    pair_free_all(chat);
    marks_free_all(chat);
    table_deinit(&chat->rooms);
    table_deinit(&chat->audiences);
    table_deinit(&chat->pairs);
    presence_free_timer(chat);
    fanout_free_timer(chat);
    free(chat);
}

struct reactor *chat_home(const struct chat *chat, uint32_t hash)
{
    const struct net *net = chat->shared->net;

    return net->reactors[(hash >> 16) % net->count]; /* the low bits choose the slot in its tables */
}

static void drain_one(struct conn *c, void *arg)
{
    struct session *s = session_of(c);

    (void)arg;
    if (!conn_can_speak(c)) {
        if (c->state == CONN_NEW || c->state == CONN_HANDSHAKE)
            conn_close(c, "shutdown");
        return;
    }
    s->is_stopped = true;
    member_await_all(s);
    conn_pause(c, CONN_PAUSE_BUSY);
    session_consider_finish(s);
}

void chat_drain(struct chat *chat)
{
    room_flush_all(chat);
    reactor_each(chat->reactor, drain_one, NULL);
    reactor_stop(chat->reactor);
}

static void cut_one(struct conn *c, void *arg)
{
    (void)arg;
    conn_abort(c, "shutdown");
}

void chat_cut(struct chat *chat)
{
    reactor_stop(chat->reactor);
    reactor_each(chat->reactor, cut_one, NULL);
}
