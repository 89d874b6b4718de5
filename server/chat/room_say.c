/* room_say.c: what is said in a room: a line in its turn, in its one order, with a time, a key and an
 * acknowledgement. The home's thread. See room.h. */
#include "server/chat/room.h"

#include "common/mem.h"
#include "protocol/codec.h"
#include "server/chat/session.h"

#define CHUNK_MAX (256 * 1024) /* bytes said in one turn, before they are handed out early */

uint64_t room_time(struct room *room)
{
    reactor_now(room->chat->reactor);
    if (room->chat->reactor->wall_ms >
        room->last_time_ms) /* the clock may be set back; a room's time is not */
        room->last_time_ms = room->chat->reactor->wall_ms;
    return room->last_time_ms;
}

static struct ack *new_ack(struct room *room, struct session *s, struct reactor *from)
{
    if (room->ack_count == room->ack_cap) {
        room->ack_cap = room->ack_cap > 0 ? room->ack_cap * 2 : 4;
        room->acks = mem_realloc(room->acks, room->ack_cap * sizeof *room->acks);
    }
    room_mark_dirty(room);
    room->acks[room->ack_count] = (struct ack){s, from, (uint32_t)room->ack_lines.len, 0, 0, false};
    return &room->acks[room->ack_count++];
}

static void put_ack(struct room *room, struct session *s, struct reactor *from, const struct said *said,
                    uint64_t seq, uint64_t time_ms, bool repeat)
{
    struct ack *ack = new_ack(room, s, from);
    struct buf *b = &room->ack_lines;
    size_t at;

    if (said->id_len == 0)
        return;
    codec_begin(b, MESSAGE_ACK);
    at = b->len;
    codec_add(b, FIELD_RE, said->id, said->id_len);
    ack->re_len = (uint16_t)(b->len - at);
    codec_add(b, FIELD_ROOM, said->room, said->room_len);
    if (seq > 0)
        codec_add_uint(b, FIELD_SEQ, seq);
    codec_add_uint(b, FIELD_TIME, time_ms);
    if (repeat)
        codec_add_bool(b, FIELD_REPEAT, true);
    codec_end(b);
    ack->len = (uint32_t)(b->len - ack->at);
}

static void add_key(struct room *room, const struct said *said, uint64_t now)
{
    keys_add(&room->keys, &said->sender, said->key, said->key_len, room->seq, now);
    if (room_lasts(room))
        keys_pack(&room->said_keys, said->sender.folded, said->sender.len, said->key, said->key_len,
                  room->seq, now);
}

/* Whether the one who says it may not: then the error goes the way of an acknowledgement. */
static bool is_refused(struct room *room, struct session *s, struct reactor *from, const struct said *said)
{
    struct refusal f;
    struct ack *ack;

    if (!room_refuses_send(room, from, said->sender.folded, said->sender.len, &f))
        return false;
    ack = new_ack(room, s, from);
    refusal_put(&room->ack_lines, said->id, said->id_len, &f);
    ack->len = (uint32_t)room->ack_lines.len - ack->at;
    ack->is_error = true;
    return true;
}

/* Earlier messages are just failing: what is said now has no place behind them. */
static void refuse(struct room *room, struct session *s, struct reactor *from, const struct said *said)
{
    put_ack(room, s, from, said, 0, 0, false);
    room_fail_acks(&room->acks[room->ack_count - 1], 1, &room->ack_lines);
}

static void put_change(struct room *room, const struct said *said, uint64_t now)
{
    struct store_change change = {room->seq, said->of, said->about == FIELD_REMOVES};

    codec_put_msg_about(&room->lines, room->name, room->name_len, room->seq, said->nick, said->nick_len, now,
                        said->about, said->of, said->text, said->text_len);
    buf_put(&room->said_changes, &change, sizeof change);
}

/* Not before its sender has had the nick: whose it is, is told by that (room_edit.c). */
static uint64_t time_of(struct room *room, const struct said *said)
{
    uint64_t now = room_time(room);

    if (now < said->sender.since_ms)
        now = room->last_time_ms = said->sender.since_ms;
    return now;
}

void room_say(struct room *room, struct session *s, struct reactor *from, const struct said *said)
{
    const struct key *old = NULL;
    uint64_t now = time_of(room, said);

    if (room->is_failing) {
        refuse(room, s, from, said);
        return;
    }
    if (said->key_len > 0)
        old = keys_find(&room->keys, &said->sender, said->key, said->key_len);
    if (old != NULL) {
        put_ack(room, s, from, said, old->seq, old->time_ms, true);
        return;
    }
    if (room->is_guarded && is_refused(room, s, from, said))
        return;
    if (room->count++ == 0)
        room->first_seq = room->seq + 1;
    room->seq++;
    if (said->about == 0)
        codec_put_msg(&room->lines, room->name, room->name_len, room->seq, said->nick, said->nick_len, now,
                      said->text, said->text_len);
    else
        put_change(room, said, now);
    if (said->key_len > 0)
        add_key(room, said, now);
    put_ack(room, s, from, said, room->seq, now, false);
    if (room->lines.len > CHUNK_MAX)
        room_flush(room);
}

void room_send_here(struct room *room, struct session *s, const struct value *id, const struct value *key,
                    const struct value *text)
{
    const struct nick *n = s->nick;
    struct said said = {.room = room->name,
                        .room_len = room->name_len,
                        .nick = nick_text(n),
                        .nick_len = n->len,
                        .sender = {n->text, n->folded_len, n->identity, n->since_ms},
                        .text = text->text,
                        .text_len = text->len};

    if (id != NULL)
        said.id = id->text, said.id_len = id->len;
    if (key != NULL)
        said.key = key->text, said.key_len = key->len;
    session_hold(s);
    room_say(room, s, s->conn.reactor, &said);
}

void room_say_asked(struct room *room, const struct ask *a, enum message_field about)
{
    bool direct = room->direct != NULL;

    room_say(room, a->session, a->from,
             &(struct said){.room = direct ? a->other : room->name,
                            .room_len = direct ? a->other_len : room->name_len,
                            .nick = a->nick,
                            .nick_len = a->nick_len,
                            .sender = ask_sender(a),
                            .id = a->id,
                            .id_len = a->id_len,
                            .key = a->key,
                            .key_len = a->key_len,
                            .text = a->text.data,
                            .text_len = a->text.len,
                            .about = about,
                            .of = a->after});
}

void room_take_send(struct room *room, struct ask *a)
{
    room_say_asked(room, a, 0);
    a->session = NULL; /* held on, until the acknowledgement is back */
    ask_return(a, room->chat->reactor);
}

void room_on_send(struct reactor *r, struct post *p)
{
    struct ask *a = (struct ask *)p;
    struct room *room = room_find_or_refuse(r, a);

    if (room != NULL && !room_put_off_for_keys(room, a) && !room_lacks_keys(room, a))
        room_take_send(room, a);
}

void room_acknowledge(struct room *room, struct ask *a, uint64_t now_ms)
{
    put_ack(room, a->session, a->from,
            &(struct said){.room = room->name, .room_len = room->name_len, .id = a->id, .id_len = a->id_len},
            0, now_ms, false);
    a->session = NULL;
}
