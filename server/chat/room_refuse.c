/* room_refuse.c: what a room does not let somebody do, and how that is said. See room_moderate.h. */
#include "protocol/codec.h"
#include "server/chat/room.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void refusal_say(struct refusal *f, const char *code, const char *format, ...)
{
    va_list args;

    *f = (struct refusal){.code = code};
    va_start(args, format);
    vsnprintf(f->text, sizeof f->text, format, args);
    va_end(args);
}

void refusal_put(struct buf *b, const char *re, size_t re_len, const struct refusal *f)
{
    codec_begin(b, MESSAGE_ERROR);
    if (re_len > 0)
        codec_add(b, FIELD_RE, re, re_len);
    codec_add_text(b, FIELD_CODE, f->code);
    codec_add_text(b, FIELD_TEXT, f->text);
    if (f->field != NULL)
        codec_add_text(b, FIELD_FIELD, f->field);
    if (f->why != NULL) {
        codec_add_text(b, FIELD_BY, f->why->by);
        codec_add_text(b, FIELD_REASON, f->why->reason);
    }
    if (f->until_ms > 0)
        codec_add_uint(b, FIELD_UNTIL, f->until_ms);
    if (f->retry_ms > 0)
        codec_add_uint(b, FIELD_RETRY, f->retry_ms);
    if (f->max > 0)
        codec_add_uint(b, FIELD_MAX, f->max);
    codec_end(b);
}

void ask_refuse(struct ask *a, const struct refusal *f)
{
    a->result = ASK_FAILED;
    buf_clear(&a->answer);
    refusal_put(&a->answer, a->id, a->id_len, f);
    a->answer_lines = 1;
}

static uint64_t wall_ms(const struct room *room)
{
    reactor_now(room->chat->reactor);
    return room->chat->reactor->wall_ms;
}

/* " for another 5 min", or nothing where it is for good. */
static const char *format_rest(uint64_t until_ms, uint64_t now_ms, char out[48])
{
    uint64_t s = until_ms > now_ms ? (until_ms - now_ms + 999) / 1000 : 0;
    const char *unit = s < 120 ? "s" : s < 120 * 60 ? "min" : s < 48 * 3600 ? "h" : "days";
    uint64_t one = s < 120 ? 1 : s < 120 * 60 ? 60 : s < 48 * 3600 ? 3600 : 86400;

    out[0] = '\0';
    if (until_ms > 0)
        snprintf(out, 48, " for another %llu %s", (unsigned long long)((s + one - 1) / one), unit);
    return out;
}

static void say_sentence(struct refusal *f, const char *code, const char *room, const struct sentence *s,
                         uint64_t now_ms)
{
    char rest[48];

    refusal_say(f, code, "you are %s %s %s%s, by %s%s%s", code, strcmp(code, "banned") == 0 ? "from" : "in",
                room, format_rest(s->until_ms, now_ms, rest), s->by, s->reason[0] != '\0' ? ": " : "",
                s->reason);
    f->why = s;
    f->until_ms = s->until_ms;
    if (s->until_ms > now_ms)
        f->retry_ms = s->until_ms - now_ms;
}

bool room_is_going_out(const struct room *room, const struct reactor *from, const char *folded, size_t len)
{
    const struct moderation *m = &room->moderation;

    return m->is_putting_out && (m->out >> from->index & 1) && m->now->other_folded_len == len &&
           memcmp(m->now->other_folded, folded, len) == 0;
}

bool room_refuses_join(struct room *room, const struct ask *a, struct refusal *f)
{
    struct rights *r = &room->rights;
    struct who who = ask_who(a);
    const struct sentence *ban;

    if (r->nicks.count == 0 && r->access == ACCESS_OPEN)
        return false;
    room_review_rights(room);
    ban = rights_ban(r, a->folded, a->folded_len, wall_ms(room));
    if (ban != NULL) {
        say_sentence(f, "banned", room->name, ban, wall_ms(room));
        return true;
    }
    if (r->access == ACCESS_OPEN || rights_is_invited(r, &who) ||
        (r->access == ACCESS_ACCOUNTS && a->is_account))
        return false;
    if (r->access == ACCESS_INVITED)
        refusal_say(f, "invited_only",
                    "%s is for those who are invited: its owners and moderators can invite you", room->name);
    else
        refusal_say(f, "account_needed",
                    "%s is for accounts and for those who are invited: register your nick, or be invited",
                    room->name);
    return true;
}

bool room_refuses_topic(struct room *room, const struct ask *a, struct refusal *f)
{
    struct who who = ask_who(a);

    if (room_is_going_out(room, a->from, a->folded, a->folded_len)) {
        refusal_say(f, "not_member", "you have been put out of %s", room->name);
        return true;
    }
    if (room->rights.holders > 0)
        room_review_rights(room);
    if (room->rights.holders == 0 || rights_role_of(&room->rights, &who) != ROLE_MEMBER)
        return false;
    refusal_say(f, "not_allowed", "only its owners and moderators set the topic of %s", room->name);
    return true;
}

bool room_refuses_send(const struct room *room, const struct reactor *from, const char *folded, size_t len,
                       struct refusal *f)
{
    const struct sentence *mute;

    if (room_is_going_out(room, from, folded, len)) {
        refusal_say(f, "not_member", "you have been put out of %s", room->name);
        return true;
    }
    mute = rights_mute(&room->rights, folded, len, wall_ms(room));
    if (mute != NULL)
        say_sentence(f, "muted", room->name, mute, wall_ms(room));
    return mute != NULL;
}

void room_guard(struct room *room)
{
    room->is_guarded = room->moderation.is_putting_out || room->rights.mutes > 0;
}

void room_add_rights(struct buf *b, const struct room *room, const struct ask *a)
{
    struct who who = ask_who(a);
    enum rights_role role = rights_role_of(&room->rights, &who);

    if (role != ROLE_MEMBER)
        codec_add_text(b, FIELD_ROLE, rights_role_name(role));
    if (room->rights.access != ACCESS_OPEN)
        codec_add_text(b, FIELD_ACCESS, rights_access_name((enum rights_access)room->rights.access));
}

/* ---- changing rights ---- */

static bool check_power(const struct room *room, const struct ask *a, enum rights_role role,
                        struct refusal *f)
{
    bool wants_owner = a->what == MESSAGE_ROLE && room->rights.owners > 0;

    if (role == ROLE_OWNER || (role == ROLE_MODERATOR && !wants_owner))
        return true;
    if (room->rights.holders == 0)
        refusal_say(f, "not_allowed", "nobody owns %s: it is everyone's, and nobody is put out of it",
                    room->name);
    else
        refusal_say(f, "not_allowed", "only %s of %s may do that",
                    wants_owner ? "an owner" : "owners and moderators", room->name);
    return false;
}

static bool is_self(const struct ask *a)
{
    return a->other_folded_len == a->folded_len && memcmp(a->other_folded, a->folded, a->folded_len) == 0;
}

/* Whether one of that role has a say about the one it is about. */
static bool check_rank(const struct room *room, const struct ask *a, enum rights_role role, struct refusal *f)
{
    const struct right *right = rights_find(&room->rights, a->other_folded, a->other_folded_len);

    if (role == ROLE_OWNER || right == NULL || right->role == ROLE_MEMBER)
        return true;
    refusal_say(f, "not_allowed", "%s is %s of %s: only an owner may do that", right_nick(right),
                right->role == ROLE_OWNER ? "an owner" : "a moderator", room->name);
    return false;
}

/* Whether the one it is about may be put out or muted by one of that role. */
static bool check_target(const struct room *room, const struct ask *a, enum rights_role role,
                         struct refusal *f)
{
    if (!is_self(a))
        return check_rank(room, a, role, f);
    refusal_say(f, "bad_request", "that is yourself: to go out, leave the room");
    f->field = "nick";
    return false;
}

static bool check_role(struct room *room, const struct ask *a, struct refusal *f)
{
    const struct right *right = rights_find(&room->rights, a->other_folded, a->other_folded_len);

    if (rights_ban(&room->rights, a->other_folded, a->other_folded_len, wall_ms(room)) != NULL) {
        refusal_say(f, "not_allowed", "%.*s is banned from %s: unban first", a->other_len, a->other,
                    room->name);
        return false;
    }
    if (a->what == MESSAGE_INVITE || right == NULL || right->role != ROLE_OWNER || a->choice == ROLE_OWNER ||
        room->rights.owners > 1)
        return true;
    refusal_say(f, "not_allowed", "%s is the only owner of %s: name another one first (role owner)",
                right_nick(right), room->name);
    return false;
}

static bool check_lifting(struct room *room, const struct ask *a, struct refusal *f)
{
    bool ban = a->what == MESSAGE_UNBAN;
    const struct sentence *s =
        ban ? rights_ban(&room->rights, a->other_folded, a->other_folded_len, wall_ms(room))
            : rights_mute(&room->rights, a->other_folded, a->other_folded_len, wall_ms(room));

    if (s == NULL)
        refusal_say(f, "no_such_nick", "%.*s is not %s in %s", a->other_len, a->other,
                    ban ? "banned" : "muted", room->name);
    return s != NULL;
}

bool room_refuses_change(struct room *room, const struct ask *a, struct refusal *f)
{
    struct who asker = ask_who(a);
    enum rights_role role = rights_role_of(&room->rights, &asker);

    if (!check_power(room, a, role, f))
        return true;
    switch (a->what) {
    case MESSAGE_KICK:
    case MESSAGE_BAN:
    case MESSAGE_MUTE:
        return !check_target(room, a, role, f);
    case MESSAGE_ROLE:
    case MESSAGE_INVITE:
        return !check_role(room, a, f);
    case MESSAGE_UNBAN:
    case MESSAGE_UNMUTE: /* a moderator whom an owner has muted does not undo it */
        return !check_lifting(room, a, f) || !check_rank(room, a, role, f);
    default:
        return false;
    }
}
