/* presence.c: see presence.h.
 *
 * A chunk of presence lines has the number of its first event as first_seq, no messages, and behind its lines
 * the places where they begin. */
#include "server/chat/presence.h"

#include "server/chat/room.h"
#include "server/chat/session.h"

#include <event2/event.h>
#include <string.h>

#define GATHER_MS     200
#define GATHER_BYTES  16384 /* or sooner, when it is so much */
#define COUNT_SECONDS 5     /* between two counts of a large room */

static void on_timer(evutil_socket_t fd, short what, void *arg);

static void list(struct room *room)
{
    struct chat *chat = room->chat;
    struct timeval later = {.tv_usec = GATHER_MS * 1000};

    if (room->presence.is_listed)
        return;
    room->presence.is_listed = true;
    room->presence.next_listed = chat->telling;
    chat->telling = room;
    if (chat->tell_timer == NULL)
        chat->tell_timer = evtimer_new(chat->reactor->base, on_timer, chat);
    if (!evtimer_pending(chat->tell_timer, NULL))
        evtimer_add(chat->tell_timer, &later);
}

void presence_free_timer(struct chat *chat)
{
    if (chat->tell_timer != NULL)
        event_free(chat->tell_timer);
}

void presence_deinit(struct room *room)
{
    struct room **at = &room->chat->telling;

    while (*at != NULL && *at != room)
        at = &(*at)->presence.next_listed;
    if (*at != NULL)
        *at = room->presence.next_listed;
    buf_deinit(&room->presence.lines);
    buf_deinit(&room->presence.begins);
}

static bool is_large(const struct room *room)
{
    return room->members > room->chat->limits.presence_max;
}

void presence_tell(struct room *room, const char *nick, size_t len, const char *event)
{
    struct presence *p = &room->presence;
    uint32_t begin = (uint32_t)p->lines.len;

    if (is_large(room)) {
        list(room);
        return;
    }
    if (room->members == 0)
        return;
    p->events++;
    buf_put(&p->begins, &begin, sizeof begin);
    codec_begin(&p->lines, MESSAGE_PRESENCE);
    codec_add(&p->lines, FIELD_ROOM, room->name, room->name_len);
    codec_add(&p->lines, FIELD_NICK, nick, len);
    codec_add_text(&p->lines, FIELD_EVENT, event);
    codec_end(&p->lines);
    if (p->lines.len > GATHER_BYTES)
        presence_flush(room);
    else
        list(room);
}

void presence_flush(struct room *room)
{
    struct presence *p = &room->presence;
    struct chunk *chunk;

    if (p->lines.len == 0)
        return;
    chunk = chunk_new(p->lines.len + p->begins.len);
    memcpy(chunk->data, p->lines.data, p->lines.len);
    memcpy(chunk->data + p->lines.len, p->begins.data, p->begins.len);
    chunk->len = (uint32_t)p->lines.len;
    chunk->first_seq = p->events + 1 - p->begins.len / sizeof(uint32_t);
    buf_deinit(&p->lines);
    buf_deinit(&p->begins);
    room_hand_out(room, chunk, true, NULL);
    chunk_unref(chunk);
}

uint32_t presence_skip(const struct chunk *chunk, uint64_t heard)
{
    uint64_t count = (chunk->cap - chunk->len) / sizeof(uint32_t), skip = heard + 1 - chunk->first_seq;
    uint32_t begin;

    if (heard < chunk->first_seq)
        return 0;
    if (skip >= count)
        return chunk->len;
    memcpy(&begin, chunk->data + chunk->len + skip * sizeof begin, sizeof begin);
    return begin;
}

/* Whether there is nothing more to tell for now. */
static bool tell_count(struct room *room, uint64_t now_us)
{
    struct presence *p = &room->presence;
    struct buf line = {0};
    struct chunk *chunk;

    if (!is_large(room) || room->members == p->counted)
        return true;
    if (p->counted_us != 0 && now_us - p->counted_us < COUNT_SECONDS * 1000000ULL)
        return false;
    p->counted_us = now_us;
    p->counted = room->members;
    codec_begin(&line, MESSAGE_PRESENCE);
    codec_add(&line, FIELD_ROOM, room->name, room->name_len);
    codec_add_text(&line, FIELD_EVENT, "count");
    codec_add_uint(&line, FIELD_MEMBERS, room->members);
    codec_end(&line);
    chunk = chunk_new_copy(line.data, line.len);
    room_hand_out(room, chunk, false, NULL);
    chunk_unref(chunk);
    buf_deinit(&line);
    return true;
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    struct chat *chat = arg;
    struct room *room = chat->telling, *next;

    (void)fd, (void)what;
    chat->telling = NULL;
    for (; room != NULL; room = next) {
        next = room->presence.next_listed;
        room->presence.is_listed = false;
        room_flush(room);
        presence_flush(room);
        if (!tell_count(room, reactor_now(chat->reactor)))
            list(room);
    }
}
