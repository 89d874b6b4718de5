/* command_direct.c: what requests about direct conversations have in common; read. See command.h. */
#include "common/utf8.h"
#include "server/chat/command.h"
#include "server/chat/direct.h"
#include "server/chat/fanout.h"
#include "server/chat/marks.h"
#include "server/chat/room.h"
#include "server/chat/session.h"

#include <string.h>

struct ask *command_new_direct(struct session *s, const struct value *id, const struct value *room,
                               post_fn *home, post_fn *done)
{
    char folded[UTF8_FOLD_MAX];
    size_t len = utf8_fold_nick(room->text + 1, room->len - 1, folded);
    struct ask *a;

    if (len == 0) {
        session_error(s, id, "bad_room", "that is no nick");
        return NULL;
    }
    if (len == s->nick->folded_len && memcmp(folded, s->nick->text, len) == 0) {
        session_error_field(s, id, "bad_request", "room", 0, "that is yourself");
        return NULL;
    }
    a = ask_new(s->conn.reactor, s, id, home, done);
    ask_set_nick(a, s);
    memcpy(a->other, room->text, room->len);
    a->other_len = (uint8_t)room->len;
    memcpy(a->other_folded, folded, len);
    a->other_folded_len = (uint8_t)len;
    direct_set_name(a);
    return a;
}

static struct ask *new_room_read(struct session *s, const struct value *id, const struct value *room)
{
    const struct member *member = member_find(s, room->text, room->len);
    struct ask *a;

    if (member == NULL || member->state == MEMBER_JOINING) {
        session_error(s, id, "not_member", "you are not in %.*s: join it first", (int)room->len, room->text);
        return NULL;
    }
    a = ask_new(s->conn.reactor, s, id, room_on_mark, command_on_answered);
    ask_set_nick(a, s);
    ask_set_room(a, room->text, room->len);
    return a;
}

void command_read(struct session *s, const struct message *m, const struct value *id)
{
    const struct value *room, *seq;
    struct ask *a;

    if (!command_need_room(s, m, id, &room) ||
        !command_need_uint(s, m, id, FIELD_SEQ, 0, PROTOCOL_MAX_NUMBER, &seq))
        return;
    if (!s->nick->is_account) {
        session_error(s, id, "account_needed", "how far you have read is kept for accounts: register first");
        return;
    }
    a = command_is_direct(room) ? command_new_direct(s, id, room, direct_on_mark, command_on_answered)
                                : new_room_read(s, id, room);
    if (a == NULL)
        return;
    a->seq = seq->number;
    ask_send(a, chat_home(session_chat(s), table_hash(a->room, a->room_len)));
}
