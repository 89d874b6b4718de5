/* command_moderate.c: role, access, invite, kick, ban, unban, mute, unmute, bans: their fields. What comes of
 * them is decided at the room's home: room_moderate.h. See command.h. */
#include "common/utf8.h"
#include "server/chat/command.h"
#include "server/chat/fanout.h"
#include "server/chat/room.h"
#include "server/chat/session.h"

#include <string.h>

static void on_answered(struct reactor *r, struct post *p)
{
    struct ask *a = (struct ask *)p;

    (void)r;
    if (a->what == MESSAGE_BANS)
        session_go_on(a->session);
    ask_deliver(a);
    ask_free(a);
}

static bool take_nick(struct session *s, const struct message *m, const struct value *id, struct ask *a)
{
    const struct value *nick;
    size_t len = 0;

    if (!command_need_string(s, m, id, FIELD_NICK, 0, PROTOCOL_MAX_LINE, &nick))
        return false;
    if (utf8_is_nick(nick->text, nick->len))
        len = utf8_fold_nick(nick->text, nick->len, a->other_folded);
    if (len == 0) {
        session_error(s, id, "bad_nick", "a nick is 1 to %d bytes of letters, digits, _, - and .",
                      UTF8_NICK_MAX);
        return false;
    }
    a->other_folded_len = (uint8_t)len;
    memcpy(a->other, nick->text, nick->len);
    a->other_len = (uint8_t)nick->len;
    return true;
}

static bool take_role(struct session *s, const struct message *m, const struct value *id, struct ask *a)
{
    enum rights_role role = ROLE_MEMBER;
    const struct value *v;

    if (!command_need_string(s, m, id, FIELD_ROLE, 0, PROTOCOL_MAX_LINE, &v))
        return false;
    if (!rights_find_role(v->text, v->len, &role)) {
        session_error_field(s, id, "bad_request", "role", 0, "role takes owner, moderator or member");
        return false;
    }
    a->choice = (uint8_t)role;
    return true;
}

static bool take_access(struct session *s, const struct message *m, const struct value *id, struct ask *a)
{
    enum rights_access access = ACCESS_OPEN;
    const struct value *v;

    if (!command_need_string(s, m, id, FIELD_ACCESS, 0, PROTOCOL_MAX_LINE, &v))
        return false;
    if (!rights_find_access(v->text, v->len, &access)) {
        session_error_field(s, id, "bad_request", "access", 0, "access takes open, invited or accounts");
        return false;
    }
    a->choice = (uint8_t)access;
    return true;
}

static bool take_reason(struct session *s, const struct message *m, const struct value *id, struct ask *a)
{
    const struct value *reason, *seconds = NULL;

    if (!command_take_string(s, m, id, FIELD_REASON, 0, RIGHTS_MAX_REASON, &reason))
        return false;
    if (a->what != MESSAGE_KICK &&
        !command_take_uint(s, m, id, FIELD_SECONDS, 1, RIGHTS_MAX_SECONDS, &seconds))
        return false;
    if (reason != NULL) /* it is kept as a C string */
        buf_put(&a->text, reason->text, strnlen(reason->text, reason->len));
    a->seconds = seconds != NULL ? seconds->number : 0;
    return true;
}

static bool take_fields(struct session *s, const struct message *m, const struct value *id, struct ask *a)
{
    switch (m->type) {
    case MESSAGE_BANS:
        return true;
    case MESSAGE_ACCESS:
        return take_access(s, m, id, a);
    case MESSAGE_ROLE:
        return take_nick(s, m, id, a) && take_role(s, m, id, a);
    case MESSAGE_KICK:
    case MESSAGE_BAN:
    case MESSAGE_MUTE:
        return take_nick(s, m, id, a) && take_reason(s, m, id, a);
    default:
        return take_nick(s, m, id, a);
    }
}

void command_moderate(struct session *s, const struct message *m, const struct value *id)
{
    const struct value *room;
    struct member *member;
    struct ask *a;

    if (!command_need_real_room(s, m, id, &room, "a direct conversation is nobody's"))
        return;
    a = ask_new(s->conn.reactor, s, id, room_on_moderate, on_answered);
    a->what = m->type;
    member = take_fields(s, m, id, a) ? command_need_member(s, id, room) : NULL;
    if (member == NULL) {
        ask_free(a);
        return;
    }
    ask_set_room(a, room->text, room->len);
    ask_set_nick(a, s);
    if (m->type == MESSAGE_BANS)
        session_wait(s); /* its answer may be large */
    ask_send(a, member->audience->home);
}
