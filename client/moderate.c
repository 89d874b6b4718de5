/* moderate.c: see moderate.h. */
#include "client/moderate.h"

#include "common/utf8.h"
#include "protocol/codec.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* ---- requests ---- */

static char *next_word(char **rest)
{
    char *word = *rest + strspn(*rest, " "), *end = word + strcspn(word, " ");

    *rest = end + strspn(end, " ");
    *end = '\0';
    return word;
}

/* Takes a word like 10m or 2h off the front; 0: there is none. */
static uint64_t take_duration(char **args)
{
    size_t digits = strspn(*args, "0123456789"), len = strcspn(*args, " ");
    uint64_t n = digits > 0 && digits < 10 ? strtoull(*args, NULL, 10) : 0;

    if (n == 0 || len != digits + 1)
        return 0;
    switch ((*args)[digits]) {
    case 's':
        break;
    case 'm':
        n *= 60;
        break;
    case 'h':
        n *= 3600;
        break;
    case 'd':
        n *= 86400;
        break;
    default:
        return 0;
    }
    next_word(args);
    return n;
}

static bool has_nick(enum message_type type)
{
    return type != MESSAGE_ACCESS && type != MESSAGE_BANS;
}

static void put_rest(struct buf *b, enum message_type type, char *args)
{
    uint64_t seconds = type == MESSAGE_BAN || type == MESSAGE_MUTE ? take_duration(&args) : 0;

    if (type == MESSAGE_ROLE)
        codec_add_text(b, FIELD_ROLE, args);
    else if (type == MESSAGE_ACCESS)
        codec_add_text(b, FIELD_ACCESS, args);
    else if (args[0] != '\0')
        codec_add_text(b, FIELD_REASON, args);
    if (seconds > 0)
        codec_add_uint(b, FIELD_SECONDS, seconds);
}

const char *moderate_put_request(struct buf *b, enum message_type type, const char *room, char *args)
{
    char *nick = has_nick(type) ? next_word(&args) : NULL;

    if (room[0] == '@')
        return "a direct conversation is nobody's: /room goes to a room";
    if (nick != NULL && nick[0] == '@')
        nick++;
    if (nick != NULL && !utf8_is_nick(nick, strlen(nick)))
        return "that can't be a nick";
    if (type == MESSAGE_ROLE && args[0] == '\0')
        return "/role takes a nick and a role: owner, moderator or member";
    codec_begin(b, type);
    codec_add_text(b, FIELD_ROOM, room);
    if (nick != NULL)
        codec_add_text(b, FIELD_NICK, nick);
    put_rest(b, type, args);
    return NULL;
}

/* ---- sentences ---- */

static const struct value nothing = {.text = "", .kind = VALUE_STRING};

static const struct value *get(const struct message *m, enum message_field f)
{
    const struct value *v = message_get_kind(m, f, VALUE_STRING);

    return v != NULL ? v : &nothing;
}

static bool is(const struct value *v, const char *text)
{
    return v->len == strlen(text) && memcmp(v->text, text, v->len) == 0;
}

static void put(struct buf *b, const struct value *v)
{
    buf_put(b, v->text, v->len);
}

static void put_subject(struct buf *b, const struct value *by, const char *own_nick)
{
    if (is(by, own_nick)) {
        buf_puts(b, "you have ");
    } else {
        put(b, by);
        buf_puts(b, " has ");
    }
}

static void put_object(struct buf *b, const struct value *nick, const char *own_nick)
{
    if (is(nick, own_nick))
        buf_puts(b, "you");
    else
        put(b, nick);
}

static void put_when(struct buf *b, uint64_t ms, uint64_t now_ms)
{
    time_t then = (time_t)(ms / 1000), now = (time_t)(now_ms / 1000);
    struct tm at, today;
    char text[40];

    localtime_r(&then, &at);
    localtime_r(&now, &today);
    strftime(text, sizeof text,
             at.tm_year == today.tm_year && at.tm_yday == today.tm_yday ? "%H:%M" : "%Y-%m-%d %H:%M", &at);
    buf_puts(b, text);
}

static void put_until(struct buf *b, const struct message *m, uint64_t now_ms)
{
    const struct value *until = message_get_kind(m, FIELD_UNTIL, VALUE_UINT);

    if (until == NULL)
        return;
    buf_puts(b, " until ");
    put_when(b, until->number, now_ms);
}

static void put_reason(struct buf *b, const struct message *m)
{
    const struct value *reason = get(m, FIELD_REASON);

    if (reason->len > 0)
        buf_puts(b, ": ");
    put(b, reason);
}

/* ann has <verb> bob <where> general until 12:30: the reason. */
static void put_deed(struct buf *b, const struct message *m, const char *own_nick, const char *verb,
                     const char *where, uint64_t now_ms)
{
    put_subject(b, get(m, FIELD_BY), own_nick);
    buf_puts(b, verb);
    if (m->type == MESSAGE_LEFT) /* it is told to the one concerned, and to nobody else */
        buf_puts(b, "you");
    else
        put_object(b, get(m, FIELD_NICK), own_nick);
    buf_puts(b, where);
    put(b, get(m, FIELD_ROOM));
    put_until(b, m, now_ms);
    put_reason(b, m);
}

static void put_role(struct buf *b, const struct message *m, const char *own_nick)
{
    const struct value *role = get(m, FIELD_ROLE);

    put_subject(b, get(m, FIELD_BY), own_nick);
    buf_puts(b, "made ");
    put_object(b, get(m, FIELD_NICK), own_nick);
    buf_puts(b, is(role, "owner")       ? " an owner of "
                : is(role, "moderator") ? " a moderator of "
                                        : " an ordinary member of ");
    put(b, get(m, FIELD_ROOM));
}

static void put_access(struct buf *b, const struct value *room, const struct value *access)
{
    put(b, room);
    buf_puts(b, is(access, "invited")    ? " is for those who are invited"
                : is(access, "accounts") ? " is for accounts, and for those who are invited"
                                         : " is open to everyone");
}

static void put_made(struct buf *b, const struct value *room, const struct value *access)
{
    buf_puts(b, "made ");
    put(b, room);
    buf_puts(b, is(access, "invited")    ? " a room for those who are invited"
                : is(access, "accounts") ? " a room for accounts, and for those who are invited"
                                         : " open to everyone");
}

static bool put_moderation(struct buf *b, const struct message *m, const char *own_nick, uint64_t now_ms)
{
    const struct value *event = get(m, FIELD_EVENT), *room = get(m, FIELD_ROOM);
    bool is_own = is(get(m, FIELD_NICK), own_nick);

    if (is(event, "kick")) {
        put_deed(b, m, own_nick, "put ", " out of ", now_ms);
    } else if (is(event, "ban")) {
        put_deed(b, m, own_nick, "banned ", " from ", now_ms);
    } else if (is(event, "unban")) {
        put_deed(b, m, own_nick, "let ", " into ", now_ms);
        buf_puts(b, " again");
    } else if (is(event, "mute")) {
        put_deed(b, m, own_nick, "muted ", " in ", now_ms);
        if (is_own)
            buf_puts(b, "; you can read on");
    } else if (is(event, "unmute")) {
        put_deed(b, m, own_nick, "let ", " speak again in ", now_ms);
    } else if (is(event, "role")) {
        put_role(b, m, own_nick);
    } else if (is(event, "access")) {
        put_subject(b, get(m, FIELD_BY), own_nick);
        put_made(b, room, get(m, FIELD_ACCESS));
    } else if (is(event, "invite")) {
        put_deed(b, m, own_nick, "invited ", " to ", now_ms);
        if (is_own)
            buf_putf(b, ": /join %.*s", (int)room->len, room->text);
    } else {
        return false;
    }
    return true;
}

static bool put_left(struct buf *b, const struct message *m, const char *own_nick, uint64_t now_ms)
{
    const struct value *code = get(m, FIELD_CODE), *room = get(m, FIELD_ROOM);
    bool is_ban = is(code, "banned");

    if (!is_ban && !is(code, "kicked"))
        return false;
    put_deed(b, m, own_nick, is_ban ? "banned " : "put ", is_ban ? " from " : " out of ", now_ms);
    if (!is_ban)
        buf_putf(b, "; you may come back: /join %.*s", (int)room->len, room->text);
    else if (message_get(m, FIELD_UNTIL) == NULL)
        buf_puts(b, "; its owners and moderators can lift that");
    return true;
}

/* bob is banned by ann since 12:30 until 13:00: the reason. */
static void put_listed(struct buf *b, const struct message *m, uint64_t now_ms)
{
    const struct value *time = message_get_kind(m, FIELD_TIME, VALUE_UINT);

    put(b, get(m, FIELD_NICK));
    buf_puts(b, m->type == MESSAGE_BAN ? " is banned by " : " is muted by ");
    put(b, get(m, FIELD_BY));
    buf_puts(b, " since ");
    put_when(b, time != NULL ? time->number : now_ms, now_ms);
    put_until(b, m, now_ms);
    put_reason(b, m);
}

bool moderate_put_sentence(struct buf *b, const struct message *m, const char *own_nick, uint64_t now_ms)
{
    switch (m->type) {
    case MESSAGE_MODERATION:
        return put_moderation(b, m, own_nick, now_ms);
    case MESSAGE_LEFT:
        return put_left(b, m, own_nick, now_ms);
    case MESSAGE_BAN:
    case MESSAGE_MUTE:
        put_listed(b, m, now_ms);
        return true;
    default:
        return false;
    }
}

bool moderate_put_joined(struct buf *b, const struct message *m, bool is_guest)
{
    const struct value *room = get(m, FIELD_ROOM), *role = get(m, FIELD_ROLE), *access = get(m, FIELD_ACCESS);

    if (role->len > 0) {
        buf_puts(b, is(role, "owner") ? "you own " : "you are a moderator of ");
        put(b, room);
        if (is_guest)
            buf_puts(b, " until you go (/register makes it last)");
    }
    if (role->len > 0 && access->len > 0)
        buf_puts(b, "; ");
    if (access->len > 0)
        put_access(b, room, access);
    return role->len > 0 || access->len > 0;
}

bool moderate_puts_out(const struct message *m)
{
    const struct value *event = get(m, FIELD_EVENT);

    return m->type == MESSAGE_MODERATION && (is(event, "kick") || is(event, "ban"));
}

const char *moderate_access(const struct message *m)
{
    const struct value *access = get(m, FIELD_ACCESS);

    return is(access, "invited")    ? ", for those who are invited"
           : is(access, "accounts") ? ", for accounts, and for those who are invited"
                                    : "";
}
