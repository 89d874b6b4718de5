/* room.c: see room.h. Who is in it, and its turns; room_say.c is what it says, room_read.c reads what it has
 * said. */
#include "server/chat/room.h"

#include "common/clock.h"
#include "common/mem.h"
#include "server/chat/marks.h"
#include "server/chat/session.h"

#include <stdlib.h>
#include <string.h>

/* What one reactor gets of a room's turn. */
struct delivery {
    struct post post;
    struct audience *audience; /* NULL: only acknowledgements */
    struct chunk *chunk;
    bool is_presence;
    struct ack *acks;
    uint32_t ack_count;
    struct buf ack_lines;
};

static int matches(const struct table_link *link, const void *key, size_t len)
{
    const struct room *room = table_of(link, struct room, link);

    return room->name_len == len && memcmp(room->name, key, len) == 0;
}

struct room *room_find(struct chat *chat, const char *name, size_t len, uint32_t hash)
{
    struct table_link *link = table_find(&chat->rooms, hash, name, len, matches);

    return link != NULL ? table_of(link, struct room, link) : NULL;
}

struct room *room_find_asked(struct reactor *r, const struct ask *a)
{
    return room_find(chat_of(r), a->room, a->room_len, table_hash(a->room, a->room_len));
}

struct room *room_find_or_refuse(struct reactor *r, struct ask *a)
{
    struct room *room = room_find_asked(r, a);

    if (room == NULL) {
        ask_fail(a, "not_member", 0, "you are not in that room");
        ask_return(a, r);
    }
    return room;
}

/* An empty room of this home, to make place for a new one; the first that is found. */
static bool give_up_one(struct chat *chat)
{
    uint32_t at;

    for (struct table_link *link = table_first(&chat->rooms, &at); link != NULL;
         link = table_next(&chat->rooms, &at, link)) {
        struct room *room = table_of(link, struct room, link);

        if (room->members == 0 && !room_is_busy(room)) {
            room_free(room);
            return true;
        }
    }
    return false;
}

struct room *room_make(struct chat *chat, const char *name, size_t len, struct direct *direct)
{
    struct room *room;

    if (atomic_fetch_add(&chat->shared->rooms, 1) >= chat->limits.max_rooms && !give_up_one(chat)) {
        atomic_fetch_sub(&chat->shared->rooms, 1);
        free(direct);
        return NULL;
    }
    room = mem_zalloc(sizeof *room + chat->shared->net->count * sizeof *room->shares);
    room->chat = chat;
    room->epoch = clock_wall_us() / 1000;
    room->oldest = 1;
    room->direct = direct;
    room->name_len = (uint8_t)len;
    memcpy(room->name, name, len);
    table_insert(&chat->rooms, &room->link, table_hash(name, len));
    room_load(room);
    return room;
}

void room_free(struct room *room)
{
    struct chat *chat = room->chat;

    if (room->counted > 0) {
        atomic_fetch_sub(&chat->shared->history_bytes, room->counted);
        TAILQ_REMOVE(&chat->remembered, room, remembered);
    }
    table_remove(&chat->rooms, &room->link);
    atomic_fetch_sub(&chat->shared->rooms, 1);
    presence_deinit(room);
    rights_deinit(&room->rights);
    people_deinit(&room->people);
    history_deinit(&room->history);
    keys_deinit(&room->keys);
    buf_deinit(&room->lines);
    buf_deinit(&room->ack_lines);
    buf_deinit(&room->said_keys);
    buf_deinit(&room->said_changes);
    buf_deinit(&room->changes);
    free(room->acks);
    free(room->topic);
    free(room->direct);
    free(room);
}

/* ---- handing out ---- */

void room_settle_acks(const struct ack *acks, uint32_t count, const struct reactor *of, const char *lines)
{
    for (uint32_t i = 0; i < count; i++) {
        struct session *s = acks[i].session;

        if (acks[i].reactor != of)
            continue;
        if (acks[i].len > 0) {
            s->conn.life.msgs_out++;
            conn_answer(&s->conn, lines + acks[i].at, acks[i].len);
        }
        session_unhold(s);
    }
}

static void give(struct audience *a, struct chunk *chunk, bool is_presence)
{
    if (is_presence)
        audience_tell(a, chunk);
    else
        audience_deliver(a, chunk);
}

static void on_delivery(struct reactor *r, struct post *p)
{
    struct delivery *d = (struct delivery *)p;

    room_settle_acks(d->acks, d->ack_count, r, d->ack_lines.data);
    if (d->audience != NULL && d->chunk != NULL)
        give(d->audience, d->chunk, d->is_presence);
    chunk_unref(d->chunk);
    free(d->acks);
    buf_deinit(&d->ack_lines);
    free(d);
}

static void take_acks(struct delivery *d, const struct turn *turn, const struct reactor *to)
{
    for (uint32_t i = 0; i < turn->ack_count; i++) {
        struct ack ack = turn->acks[i];

        if (ack.reactor != to)
            continue;
        if (d->acks == NULL)
            d->acks = mem_alloc((turn->ack_count - i) * sizeof *d->acks);
        buf_put(&d->ack_lines, turn->ack_lines.data + ack.at, ack.len);
        ack.at = (uint32_t)d->ack_lines.len - ack.len;
        d->acks[d->ack_count++] = ack;
    }
}

static void hand_over(struct room *room, struct reactor *to, struct chunk *chunk, bool is_presence,
                      const struct turn *turn)
{
    struct share *share = &room->shares[to->index];
    struct delivery *d;

    if (share->members == 0 && (turn == NULL || turn->ack_count == 0))
        return;
    d = mem_zalloc(sizeof *d);
    if (turn != NULL)
        take_acks(d, turn, to);
    d->audience = share->members > 0 ? share->audience : NULL;
    if (d->ack_count == 0 && d->audience == NULL) {
        free(d);
        return;
    }
    d->chunk = chunk != NULL && d->audience != NULL ? chunk_ref(chunk) : NULL;
    d->is_presence = is_presence;
    reactor_post(room->chat->reactor, to, &d->post, on_delivery);
}

void room_hand_out(struct room *room, struct chunk *chunk, bool is_presence, const struct turn *turn)
{
    struct net *net = room->chat->shared->net;
    struct reactor *here = room->chat->reactor;

    for (unsigned i = 0; i < net->count; i++)
        if (net->reactors[i] != here)
            hand_over(room, net->reactors[i], chunk, is_presence, turn);
    if (turn != NULL)
        room_settle_acks(turn->acks, turn->ack_count, here, turn->ack_lines.data);
    if (chunk != NULL && room->shares[here->index].members > 0)
        give(room->shares[here->index].audience, chunk, is_presence);
    if (chunk != NULL && room->direct != NULL)
        direct_tell(room, chunk);
}

/* The lines said make a chunk; what was allocated for many is not kept for few. */
static struct chunk *take_lines(struct room *room)
{
    struct chunk *chunk = chunk_new_copy(room->lines.data, room->lines.len);

    chunk->first_seq = room->first_seq;
    chunk->count = room->count;
    room->count = 0;
    buf_clear(&room->lines);
    if (room->lines.cap > 65536)
        buf_deinit(&room->lines);
    return chunk;
}

void room_flush(struct room *room)
{
    struct turn *turn;

    if (room->count == 0 && room->ack_count == 0)
        return;
    turn = room_new_turn(room);
    if (room->count > 0) {
        turn->chunk = turn->write.chunk = take_lines(room);
        turn->write.keys = room->said_keys;
        turn->write.changes = room->said_changes;
        room->said_keys = room->said_changes = (struct buf){0};
    }
    room_keep(room, turn);
}

void room_flush_all(struct chat *chat)
{
    struct room *room;

    while ((room = chat->dirty_rooms) != NULL) {
        chat->dirty_rooms = room->next_dirty;
        room->is_dirty = false;
        room_flush(room);
    }
}

void room_mark_dirty(struct room *room)
{
    if (room->is_dirty)
        return;
    room->is_dirty = true;
    room->next_dirty = room->chat->dirty_rooms;
    room->chat->dirty_rooms = room;
}

/* ---- coming and going ---- */

void room_answer_joined(const struct room *room, struct ask *a)
{
    bool direct = room->direct != NULL;
    const char *topic = room->topic != NULL ? room->topic : "";

    codec_begin(&a->answer, MESSAGE_JOINED);
    if (a->id_len > 0)
        codec_add(&a->answer, FIELD_RE, a->id, a->id_len);
    codec_add(&a->answer, FIELD_ROOM, direct ? a->other : room->name, direct ? a->other_len : room->name_len);
    codec_add_uint(&a->answer, FIELD_EPOCH, room->epoch);
    codec_add_uint(&a->answer, FIELD_SEQ, room->kept);
    codec_add_uint(&a->answer, FIELD_MEMBERS, direct ? 2 : room->members);
    codec_add_text(&a->answer, FIELD_TOPIC, topic);
    room_add_rights(&a->answer, room, a);
    marks_put(room, a);
    codec_end(&a->answer);
    a->answer_lines = 1;
    a->seq = room->kept;
    a->heard = room->presence.events;
    if (a->id_len == 0)
        buf_clear(&a->answer);
}

static void enter_share(struct room *room, const struct ask *a)
{
    struct share *share = &room->shares[a->from->index];

    share->audience = a->audience;
    share->members++;
    if (a->from == room->chat->reactor)
        a->audience->room = room;
}

static void leave_share(struct room *room, const struct ask *a)
{
    struct share *share = &room->shares[a->from->index];

    if (--share->members > 0)
        return;
    if (a->from == room->chat->reactor)
        share->audience->room = NULL;
    share->audience = NULL;
}

static void come_in(struct room *room, const struct ask *a)
{
    enter_share(room, a);
    if (a->is_account && !people_come(&room->people, a->identity))
        return;
    room->members++;
    presence_tell(room, a->nick, a->nick_len, "join");
}

static void go_out(struct room *room, struct ask *a)
{
    if (room->direct != NULL) {
        direct_view(room, a);
        room->members--;
        return;
    }
    leave_share(room, a);
    if (a->is_account && !people_go(&room->people, a->identity))
        return;
    room->members--;
    if (a->event != NULL)
        presence_tell(room, a->nick, a->nick_len, a->event);
    else
        room_put_out_is_gone(room, a);
}

/* A new one, in which messages would be kept. */
static bool is_one_too_many(const struct room *room, const struct ask *a)
{
    uint64_t kept = atomic_load_explicit(&room->chat->shared->store->rooms, memory_order_relaxed);

    return room->is_unclaimed &&
           kept >= (a->is_account ? STORE_ROOMS_MAX : room->chat->limits.max_kept_rooms);
}

void room_on_join(struct reactor *r, struct post *p)
{
    struct ask *a = (struct ask *)p;
    struct chat *chat = chat_of(r);
    struct room *room = room_find_asked(r, a);
    struct refusal f;

    if (room == NULL)
        room = room_make(chat, a->room, a->room_len, NULL);
    if (room == NULL) {
        ask_fail(a, "server_rooms", chat->limits.max_rooms, "the server has as many rooms as it may");
    } else if (room_put_off(room, a, false)) {
        return;
    } else if (is_one_too_many(room, a)) {
        ask_fail(
            a, "server_rooms", a->is_account ? STORE_ROOMS_MAX : chat->limits.max_kept_rooms,
            "the server keeps so many rooms that guests may begin no new ones: join one that there is, or use an account");
    } else if (room_claim(room, a)) {
        return;
    } else if (a->is_new && room_refuses_join(room, a, &f)) {
        ask_refuse(a, &f);
    } else if (a->is_new && room->members >= chat->limits.max_members) {
        ask_fail(a, "room_full", chat->limits.max_members, "the room is full");
    } else {
        if (a->is_new)
            come_in(room, a);
        room_answer_joined(room, a);
    }
    ask_return(a, r);
}

static void on_left(struct reactor *r, struct post *p)
{
    struct ask *a = (struct ask *)p;
    struct audience *audience = a->audience;

    (void)r;
    if (a->waits)
        session_go_on(a->session);
    ask_deliver(a);
    if (a->member != NULL) {
        if (a->member->session != NULL)
            member_part(a->member);
        member_ask_back(a->member);
    }
    ask_free(a);
    audience->pending--;
    audience_release(audience);
}

struct ask *room_new_leave(struct session *s, struct audience *audience, const struct value *id,
                           const char *event)
{
    struct ask *a = ask_new(s->conn.reactor, id != NULL ? s : NULL, id, room_on_leave, on_left);

    ask_set_room(a, audience->name, audience->name_len);
    if (s->nick != NULL)
        ask_set_nick(a, s);
    a->audience = audience;
    a->event = event;
    audience->pending++;
    return a;
}

void room_on_leave(struct reactor *r, struct post *p)
{
    struct ask *a = (struct ask *)p;
    struct room *room = room_find_asked(r, a);

    if (room != NULL && room_put_off(room, a, true))
        return;
    if (room != NULL) {
        room_guest_left(room, a);
        go_out(room, a);
    }
    if (a->id_len > 0) {
        bool direct = a->other_len > 0;

        codec_begin(&a->answer, MESSAGE_LEFT);
        codec_add(&a->answer, FIELD_RE, a->id, a->id_len);
        codec_add(&a->answer, FIELD_ROOM, direct ? a->other : a->room, direct ? a->other_len : a->room_len);
        codec_end(&a->answer);
        a->answer_lines = 1;
    }
    ask_return(a, r);
}

void room_on_promote(struct reactor *r, struct post *p)
{
    struct ask *a = (struct ask *)p;
    struct room *room = room_find_asked(r, a);

    if (room != NULL)
        people_come(&room->people, a->identity);
    if (room == NULL || !room_promotes_right(room, a))
        ask_return(a, r);
}
