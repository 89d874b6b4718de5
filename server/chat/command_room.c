/* command_room.c: join, leave, topic. See command.h. */
#include "common/log.h"
#include "common/utf8.h"
#include "server/chat/command.h"
#include "server/chat/direct.h"
#include "server/chat/fanout.h"
#include "server/chat/marks.h"
#include "server/chat/room.h"
#include "server/chat/session.h"

#include <string.h>

static bool is_room_byte(unsigned char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '-';
}

bool command_is_room_name(const struct value *v)
{
    if (v->len < 1 || v->len > PROTOCOL_MAX_ROOM)
        return false;
    for (uint32_t i = 0; i < v->len; i++)
        if (!is_room_byte((unsigned char)v->text[i]))
            return false;
    return true;
}

bool command_is_direct(const struct value *room)
{
    return room->len > 0 && room->text[0] == '@';
}

bool command_need_room(struct session *s, const struct message *m, const struct value *id,
                       const struct value **room)
{
    const struct value *v = message_get(m, FIELD_ROOM);

    *room = v;
    if (v == NULL || v->kind != VALUE_STRING) {
        session_error_field(s, id, "bad_request", "room", 0,
                            v == NULL ? "room is missing" : "room takes a string");
        return false;
    }
    if (command_is_room_name(v) || (command_is_direct(v) && utf8_is_nick(v->text + 1, v->len - 1)))
        return true;
    session_error(s, id, "bad_room", "a room is 1 to %d of a to z, 0 to 9, '.', '_' and '-'; or @ and a nick",
                  PROTOCOL_MAX_ROOM);
    return false;
}

/* A join under way is waited for before the next request is run: one that is joining still has failed. */
struct member *command_need_member(struct session *s, const struct value *id, const struct value *room)
{
    struct member *member = member_find(s, room->text, room->len);

    if (member != NULL && member->state != MEMBER_JOINING)
        return member;
    session_error(s, id, "not_member", "you are not in %.*s: join it first", (int)room->len, room->text);
    return NULL;
}

bool command_need_real_room(struct session *s, const struct message *m, const struct value *id,
                            const struct value **room, const char *why)
{
    if (!command_need_room(s, m, id, room))
        return false;
    if (!command_is_direct(*room))
        return true;
    session_error_field(s, id, "bad_request", "room", 0, "%s", why);
    return false;
}

static void begin_replay(struct member *m, const struct ask *a)
{
    if (a->has_after && (a->after < a->seq || m->state != MEMBER_LIVE))
        member_replay(m, a->after < a->seq ? a->after : a->seq);
}

static void enter(struct ask *a)
{
    struct member *m = a->member;

    m->heard = a->heard;
    if (a->has_after && a->after < a->seq)
        member_enter(m, MEMBER_BEHIND, a->after);
    else
        member_enter(m, MEMBER_LIVE, a->seq);
}

static void on_joined(struct reactor *r, struct post *p)
{
    struct ask *a = (struct ask *)p, *leave = NULL;
    struct member *m = a->member;
    struct audience *audience = a->audience;

    if (a->waits)
        session_go_on(a->session);
    if (m->session == NULL && !a->is_new && a->result == ASK_OK)
        ask_fail(a, "not_member", 0, "you have been put out of that room");
    ask_deliver(a);
    if (m->session == NULL) { /* it went while the room was asked */
        if (a->is_new && a->result == ASK_OK)
            leave = room_new_leave(a->session, audience, NULL, "detach");
        if (leave != NULL)
            ask_copy_nick(leave, a);
    } else if (a->result == ASK_FAILED) {
        if (a->is_new)
            member_part(m);
    } else if (a->is_new) {
        enter(a);
    } else {
        begin_replay(m, a);
    }
    member_ask_back(m);
    ask_free(a);
    audience->pending--;
    if (leave != NULL)
        reactor_post(r, audience->home, &leave->post, leave->home);
    else
        audience_release(audience);
}

/* An ask about the room or, for an account, about a direct conversation; NULL where the answer, an error, is
 * given. */
static struct ask *new_join(struct session *s, const struct value *id, const struct value *room)
{
    struct ask *a;

    if (!command_is_direct(room)) {
        a = ask_new(s->conn.reactor, s, id, room_on_join, on_joined);
        ask_set_room(a, room->text, room->len);
        ask_set_nick(a, s);
        return a;
    }
    if (s->nick->is_account)
        return command_new_direct(s, id, room, direct_on_join, on_joined);
    session_error_field(s, id, "bad_request", "room", 0,
                        "a direct conversation needs no join: just send to it; an account can read on there");
    return NULL;
}

static void send_join(struct ask *a, struct member *member)
{
    struct session *s = a->session;
    struct audience *audience = audience_get(session_chat(s), a->room, a->room_len);

    a->is_new = member == NULL;
    a->member = member != NULL ? member : member_add(s, audience);
    if (a->is_new) /* what is said meanwhile comes by itself only where it is not read on anyway: note.c */
        a->member->cursor = a->has_after ? a->after : UINT64_MAX;
    a->member->asks++;
    a->audience = audience;
    audience->pending++;
    if (a->is_account)
        marks_send_by(a, audience->home);
    else
        ask_send(a, audience->home);
}

void command_join(struct session *s, const struct message *m, const struct value *id)
{
    struct chat *chat = session_chat(s);
    const struct value *room, *after;
    struct member *member;
    struct ask *a;

    if (!command_need_room(s, m, id, &room) ||
        !command_take_uint(s, m, id, FIELD_AFTER, 0, PROTOCOL_MAX_NUMBER, &after))
        return;
    a = new_join(s, id, room);
    if (a == NULL)
        return;
    a->has_after = after != NULL;
    a->after = after != NULL ? after->number : 0;
    member = member_find(s, a->room, a->room_len);
    if (member != NULL || s->member_count < chat->limits.max_rooms_per_connection) {
        a->waits = true;
        session_wait(s); /* what comes behind it may need the membership */
        send_join(a, member);
        return;
    }
    session_error_field(s, id, "too_many_rooms", NULL, chat->limits.max_rooms_per_connection,
                        "you are in as many rooms as you may: leave one first");
    ask_free(a);
}

bool command_read_on(struct session *s, const char *room, size_t room_len, const char *other,
                     size_t other_len, uint64_t after)
{
    struct ask *a;

    if (s->member_count >= session_chat(s)->limits.max_rooms_per_connection)
        return false;
    a = ask_new(s->conn.reactor, s, NULL, direct_on_join, on_joined);
    ask_set_room(a, room, room_len);
    ask_set_nick(a, s);
    memcpy(a->other_folded, other, other_len);
    a->other_folded_len = (uint8_t)other_len;
    a->has_after = true;
    a->after = after;
    send_join(a, NULL); /* nobody asked for it: whatever is being asked goes on as it does */
    return true;
}

/* The member of a room, or of a direct conversation that is read on; NULL where the answer, an error, is
 * given. */
static struct member *need_any_member(struct session *s, const struct value *id, const struct value *room)
{
    struct member *member;
    struct ask *a;

    if (!command_is_direct(room))
        return command_need_member(s, id, room);
    a = command_new_direct(s, id, room, NULL, NULL);
    if (a == NULL)
        return NULL;
    member = member_find(s, a->room, a->room_len);
    ask_free(a);
    if (member != NULL && member->state != MEMBER_JOINING)
        return member;
    session_error_field(s, id, "bad_request", "room", 0,
                        "a direct conversation that was not joined can't be left");
    return NULL;
}

void command_leave(struct session *s, const struct message *m, const struct value *id)
{
    const struct value *room;
    struct member *member;
    struct ask *a;

    if (!command_need_room(s, m, id, &room))
        return;
    member = need_any_member(s, id, room);
    if (member == NULL)
        return;
    a = room_new_leave(s, member->audience, id, "leave");
    if (a->session == NULL) {
        a->session = s;
        session_hold(s);
    }
    if (s->nick->is_account) { /* a join behind it goes another way (marks.h), and would get there first */
        a->waits = true;
        session_wait(s);
    }
    a->member = member;
    member->asks++;
    member->leaving = true;
    s->member_count--; /* a room that is being left is none that one is in */
    ask_send(a, member->audience->home);
}

void command_topic(struct session *s, const struct message *m, const struct value *id)
{
    const struct value *room, *text;
    struct member *member;
    struct ask *a;

    if (!command_need_real_room(s, m, id, &room, "a direct conversation has no topic") ||
        !command_need_string(s, m, id, FIELD_TEXT, 0, PROTOCOL_MAX_TOPIC, &text))
        return;
    if (memchr(text->text, '\0', text->len) != NULL) { /* it is kept as a C string */
        session_error_field(s, id, "bad_request", "text", 0, "a topic holds no U+0000");
        return;
    }
    member = command_need_member(s, id, room);
    if (member == NULL)
        return;
    a = ask_new(s->conn.reactor, s, id, room_on_topic, command_on_answered);
    ask_set_room(a, room->text, room->len);
    ask_set_nick(a, s);
    buf_put(&a->text, text->text, text->len);
    ask_send(a, member->audience->home);
}
