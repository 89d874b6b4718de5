/* room_edit.c: editing and removing what one has said: an event of its own that refers to the message, in the
 * room's one order. The home's thread. See room.h.
 *
 * Whose the message is, is read from its line, in memory or in the store; only what asks waits for that,
 * other sends go on. Who has been put out of the room by then says nothing any more. */
#include "protocol/codec.h"
#include "server/chat/room.h"

#include <string.h>

static void say(struct room *room, struct ask *a)
{
    room_say_asked(room, a, a->removes ? FIELD_REMOVES : FIELD_EDITS);
    ask_return(a, room->chat->reactor);
}

static void refuse(struct room *room, struct ask *a, const char *code, const char *text)
{
    ask_fail(a, code, 0, text);
    ask_return(a, room->chat->reactor);
}

static void refuse_missing(struct room *room, struct ask *a)
{
    refuse(room, a, "no_such_message", "there is no message of that seq, or it is no longer kept");
}

static void refuse_gone(struct room *room, struct ask *a)
{
    refuse(room, a, "not_member", "you have been put out of that room");
}

/* The same folded nick, had by the same one ever since. */
static bool is_own(const struct ask *a, const struct message *m)
{
    const struct value *nick = message_get_kind(m, FIELD_NICK, VALUE_STRING);
    const struct value *time = message_get_kind(m, FIELD_TIME, VALUE_UINT);
    char folded[UTF8_FOLD_MAX];
    size_t len;

    if (nick == NULL || time == NULL || nick->len > UTF8_NICK_MAX)
        return false;
    len = utf8_fold_nick(nick->text, nick->len, folded);
    return len == a->folded_len && memcmp(folded, a->folded, len) == 0 && a->since_ms <= time->number;
}

static void on_found(struct room *room, struct ask *a, char *line, size_t len)
{
    struct message m;
    const char *where;

    if (a->is_out)
        refuse_gone(room, a);
    else if (line == NULL || codec_decode(line, len, &m, &where) != CODEC_OK)
        refuse_missing(room, a);
    else if (message_get(&m, FIELD_EDITS) != NULL || message_get(&m, FIELD_REMOVES) != NULL)
        refuse(room, a, "no_such_message",
               "that is an edit or a removal itself: name the message that it is about");
    else if (!is_own(a, &m))
        refuse(room, a, "not_yours", "only the one who said it may change it");
    else
        say(room, a);
}

static bool has_been_made(const struct room *room, const struct ask *a)
{
    const struct keys_sender sender = ask_sender(a);

    return a->key_len > 0 && keys_find(&room->keys, &sender, a->key, a->key_len) != NULL;
}

void room_take_edit(struct room *room, struct ask *a)
{
    uint64_t oldest = room_oldest(room);

    if (room->direct != NULL && a->first > oldest) /* what is before it was somebody else's */
        oldest = a->first;
    if (has_been_made(room, a))
        say(room, a); /* its first acknowledgement again, whatever has become of the message since */
    else if (a->after > room->kept || a->after < oldest)
        refuse_missing(room, a);
    else
        room_find_line(room, a, on_found);
}

void room_on_edit(struct reactor *r, struct post *p)
{
    struct ask *a = (struct ask *)p;
    struct room *room = room_find(chat_of(r), a->room, a->room_len, table_hash(a->room, a->room_len));

    if (room == NULL) {
        ask_fail(a, "not_member", 0, "you are not in that room");
        ask_return(a, r);
    } else if (room_is_going_out(room, a->from, a->folded, a->folded_len)) {
        refuse_gone(room, a);
    } else if (room_put_off_for_keys(room, a) || room_lacks_keys(room, a)) {
        return;
    } else if (!has_been_made(room, a) && a->after > room->kept && a->after <= room->seq &&
               room_put_off(room, a, true)) {
        return;
    } else {
        room_take_edit(room, a);
    }
}
