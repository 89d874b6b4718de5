/* room_rights_code.c: what a room knows of a nick as the JSON object that is kept; see room_rights.h.
 *
 * The lines of the protocol serve, one inside the other by `data`, so that one object holds all that is known
 * of a nick: {"type":"member","nick":"Ann","data":{"type":"role","role":"owner","data":{"type":"ban",...}}}.
 * */
#include "protocol/codec.h"
#include "server/chat/room_rights.h"

#include <string.h>

/* Opens one more object inside the last one. */
static void open_part(struct buf *b, unsigned *depth, enum message_type type)
{
    if (++*depth > 1)
        buf_put_literal(b, ",\"data\":");
    codec_begin(b, type);
}

static void put_sentence(struct buf *b, unsigned *depth, enum message_type type, const struct sentence *s)
{
    if (s->by == NULL)
        return;
    open_part(b, depth, type);
    codec_add_text(b, FIELD_BY, s->by);
    codec_add_text(b, FIELD_REASON, s->reason);
    codec_add_uint(b, FIELD_TIME, s->since_ms);
    if (s->until_ms != 0)
        codec_add_uint(b, FIELD_UNTIL, s->until_ms);
}

void right_encode(struct buf *b, const struct right *right)
{
    bool is_guests = right->identity != 0;
    unsigned depth = 0;
    size_t begin = b->len;

    open_part(b, &depth, MESSAGE_MEMBER);
    codec_add(b, FIELD_NICK, right_nick(right), right->nick_len);
    if (right->role != ROLE_MEMBER && !is_guests) {
        open_part(b, &depth, MESSAGE_ROLE);
        codec_add_text(b, FIELD_ROLE, rights_role_name(right->role));
    }
    if (right->invited && !is_guests)
        open_part(b, &depth, MESSAGE_INVITE);
    put_sentence(b, &depth, MESSAGE_BAN, &right->ban);
    put_sentence(b, &depth, MESSAGE_MUTE, &right->mute);
    if (depth == 1)
        b->len = begin;
    for (; depth > 1; depth--)
        buf_put_literal(b, "}");
    if (b->len > begin)
        buf_put_literal(b, "}");
}

void rights_encode_access(struct buf *b, enum rights_access access)
{
    if (access == ACCESS_OPEN)
        return;
    codec_begin(b, MESSAGE_ACCESS);
    codec_add_text(b, FIELD_ACCESS, rights_access_name(access));
    buf_put_literal(b, "}");
}

static const struct value *get_text(const struct message *m, enum message_field f, size_t max)
{
    const struct value *v = message_get_kind(m, f, VALUE_STRING);

    return v != NULL && v->len <= max ? v : NULL;
}

static uint64_t get_number(const struct message *m, enum message_field f)
{
    const struct value *v = message_get_kind(m, f, VALUE_UINT);

    return v != NULL ? v->number : 0;
}

static bool take_sentence(struct sentence *s, const struct message *m)
{
    const struct value *by = get_text(m, FIELD_BY, UTF8_NICK_MAX),
                       *reason = get_text(m, FIELD_REASON, RIGHTS_MAX_REASON);

    if (by == NULL || reason == NULL)
        return false;
    sentence_set(s, by->text, by->len, reason->text, reason->len, get_number(m, FIELD_TIME),
                 get_number(m, FIELD_UNTIL));
    return message_get(m, FIELD_UNTIL) == NULL || s->until_ms != 0;
}

static bool take_role(struct right *right, const struct message *m)
{
    const struct value *v = get_text(m, FIELD_ROLE, UTF8_NICK_MAX);
    enum rights_role role = ROLE_MEMBER;

    if (v == NULL || !rights_find_role(v->text, v->len, &role))
        return false;
    right->role = (uint8_t)role;
    return true;
}

static bool take_part(struct right *right, const struct message *m)
{
    switch (m->type) {
    case MESSAGE_MEMBER:
        return true;
    case MESSAGE_ROLE:
        return take_role(right, m);
    case MESSAGE_INVITE:
        right->invited = true;
        return true;
    case MESSAGE_BAN:
        return take_sentence(&right->ban, m);
    case MESSAGE_MUTE:
        return take_sentence(&right->mute, m);
    default:
        return false;
    }
}

static bool decode(struct buf *copy, const char *json, size_t len, struct message *m)
{
    const char *where;

    buf_clear(copy);
    buf_put(copy, json, len);
    return len > 0 && codec_decode(copy->data, len, m, &where) == CODEC_OK;
}

static bool decode_access(struct rights *r, const struct message *m)
{
    const struct value *v = get_text(m, FIELD_ACCESS, UTF8_NICK_MAX);
    enum rights_access access = ACCESS_OPEN;

    if (m->type != MESSAGE_ACCESS || v == NULL || !rights_find_access(v->text, v->len, &access))
        return false;
    r->access = (uint8_t)access;
    return true;
}

/* The parts inside the first one; each is decoded in a copy, since decoding writes. */
static bool decode_parts(struct right *right, struct buf *copy, struct message *m)
{
    const struct value *data;
    struct buf next = {0};
    bool good = take_part(right, m);

    while (good && (data = message_get(m, FIELD_DATA)) != NULL) {
        buf_clear(&next);
        buf_put(&next, data->text, data->len);
        good = data->kind == VALUE_NESTED && decode(copy, next.data, next.len, m) && take_part(right, m);
    }
    buf_deinit(&next);
    return good;
}

static bool decode_right(struct rights *r, const char *folded, size_t folded_len, struct buf *copy,
                         struct message *m)
{
    const struct value *nick = get_text(m, FIELD_NICK, UTF8_NICK_MAX);
    struct right *right;
    bool good;

    if (m->type != MESSAGE_MEMBER || nick == NULL || folded_len > UTF8_FOLD_MAX)
        return false;
    right = right_new(folded, folded_len, nick->text, nick->len);
    good = decode_parts(right, copy, m);
    if (right->ban.by != NULL) {
        right->role = ROLE_MEMBER;
        right->invited = false;
    }
    rights_put(r, right);
    return good;
}

bool rights_decode(struct rights *r, const char *folded, size_t folded_len, const char *json, size_t len)
{
    struct buf copy = {0};
    struct message m;
    bool good = decode(&copy, json, len, &m);

    if (good)
        good = folded_len == 0 ? decode_access(r, &m) : decode_right(r, folded, folded_len, &copy, &m);
    r->is_damaged |= !good;
    buf_deinit(&copy);
    return good;
}
