/* command_message.c: send, edit and remove, history. See command.h. */
#include "server/chat/command.h"
#include "server/chat/direct.h"
#include "server/chat/fanout.h"
#include "server/chat/room.h"
#include "server/chat/session.h"

#include <string.h>

#define HISTORY_DEFAULT 50
#define HISTORY_MOST    1000

/* Whoever was put out meanwhile gets nothing more of the room. */
static void on_read(struct reactor *r, struct post *p)
{
    struct ask *a = (struct ask *)p;

    session_go_on(a->session);
    if (a->room[0] != '@' && a->result == ASK_OK && member_find(a->session, a->room, a->room_len) == NULL)
        ask_fail(a, "not_member", 0, "you are not in that room any more");
    command_on_answered(r, p);
}

static void put_message(struct ask *a, const struct value *key, const struct value *text)
{
    if (key != NULL) {
        memcpy(a->key, key->text, key->len);
        a->key_len = (uint8_t)key->len;
    }
    buf_put(&a->text, text->text, text->len);
}

static void send_to_room(struct session *s, struct audience *audience, const struct value *id,
                         const struct value *key, const struct value *text)
{
    struct ask *a;

    if (audience->room != NULL && !audience->room->takes_asks_only) {
        room_send_here(audience->room, s, id, key, text);
        return;
    }
    a = ask_new(s->conn.reactor, s, id, room_on_send, command_on_answered);
    ask_set_room(a, audience->name, audience->name_len);
    ask_set_nick(a, s);
    put_message(a, key, text);
    ask_send(a, audience->home);
}

void command_send(struct session *s, const struct message *m, const struct value *id)
{
    const struct value *room, *text, *key;
    struct member *member;
    struct ask *a;

    if (!command_need_room(s, m, id, &room) ||
        !command_need_string(s, m, id, FIELD_TEXT, 1, PROTOCOL_MAX_TEXT, &text) ||
        !command_take_string(s, m, id, FIELD_KEY, 1, PROTOCOL_MAX_ID, &key))
        return;
    if (command_is_direct(room)) {
        a = command_new_direct(s, id, room, direct_on_send, command_on_answered);
        if (a == NULL)
            return;
        put_message(a, key, text);
        ask_send(a, chat_home(session_chat(s), table_hash(a->room, a->room_len)));
        return;
    }
    member = command_need_member(s, id, room);
    if (member != NULL)
        send_to_room(s, member->audience, id, key, text);
}

/* Its session is held once for the ask and once for the acknowledgement, which comes when the event is
 * kept. */
static void on_edited(struct reactor *r, struct post *p)
{
    struct ask *a = (struct ask *)p;
    struct session *s = a->session;
    bool is_said = a->result == ASK_OK;

    (void)r;
    session_go_on(s);
    ask_deliver(a);
    ask_free(a);
    if (!is_said)
        session_unhold(s);
}

static struct ask *new_change(struct session *s, const struct value *id, const struct value *room)
{
    struct ask *a;

    if (command_is_direct(room))
        return command_new_direct(s, id, room, direct_on_edit, on_edited);
    if (command_need_member(s, id, room) == NULL)
        return NULL;
    a = ask_new(s->conn.reactor, s, id, room_on_edit, on_edited);
    ask_set_room(a, room->text, room->len);
    ask_set_nick(a, s);
    return a;
}

static void change(struct session *s, const struct message *m, const struct value *id, bool removes)
{
    static const struct value nothing = {.text = "", .kind = VALUE_STRING};
    const struct value *room, *seq, *text = &nothing, *key;
    struct ask *a;

    if (!command_need_room(s, m, id, &room) ||
        !command_need_uint(s, m, id, FIELD_SEQ, 1, PROTOCOL_MAX_NUMBER, &seq) ||
        (!removes && !command_need_string(s, m, id, FIELD_TEXT, 1, PROTOCOL_MAX_TEXT, &text)) ||
        !command_take_string(s, m, id, FIELD_KEY, 1, PROTOCOL_MAX_ID, &key))
        return;
    a = new_change(s, id, room);
    if (a == NULL)
        return;
    put_message(a, key, text);
    a->after = seq->number;
    a->removes = removes;
    session_hold(s);
    session_wait(s); /* what comes behind it is said behind it */
    ask_send(a, chat_home(session_chat(s), table_hash(a->room, a->room_len)));
}

void command_edit(struct session *s, const struct message *m, const struct value *id)
{
    change(s, m, id, false);
}

void command_remove(struct session *s, const struct message *m, const struct value *id)
{
    change(s, m, id, true);
}

static bool choose_read(struct session *s, const struct message *m, const struct value *id,
                        enum ask_read *read, uint64_t *at)
{
    static const enum message_field fields[] = {FIELD_BEFORE, FIELD_AFTER, FIELD_AROUND};
    static const enum ask_read reads[] = {READ_BEFORE, READ_AFTER, READ_AROUND};
    const struct value *v;

    *read = READ_NEWEST;
    for (int i = 0; i < 3; i++) {
        if (!command_take_uint(s, m, id, fields[i], 0, PROTOCOL_MAX_NUMBER, &v))
            return false;
        if (v == NULL)
            continue;
        if (*read != READ_NEWEST) {
            session_error_field(s, id, "bad_request", message_field_name(fields[i]), 0,
                                "only one of before, after and around can be asked for");
            return false;
        }
        *read = reads[i];
        *at = v->number;
    }
    return true;
}

void command_history(struct session *s, const struct message *m, const struct value *id)
{
    const struct value *room, *limit;
    enum ask_read read;
    uint64_t at = 0;
    struct ask *a;

    if (!command_need_room(s, m, id, &room) || !choose_read(s, m, id, &read, &at) ||
        !command_take_uint(s, m, id, FIELD_LIMIT, 1, HISTORY_MOST, &limit))
        return;
    if (command_is_direct(room)) {
        a = command_new_direct(s, id, room, direct_on_history, on_read);
    } else {
        a = command_need_member(s, id, room) != NULL
                ? ask_new(s->conn.reactor, s, id, room_on_history, on_read)
                : NULL;
        if (a != NULL)
            ask_set_room(a, room->text, room->len);
    }
    if (a == NULL)
        return;
    a->read = read;
    a->after = at;
    session_wait(s);
    a->limit = limit != NULL ? (uint32_t)limit->number : HISTORY_DEFAULT;
    ask_send(a, chat_home(session_chat(s), table_hash(a->room, a->room_len)));
}
