/* client_line.c: what a line of the server means to the model, and the requests that follow from it; see
 * client.h. */
#include "client/client.h"

#include "client/explain.h"
#include "client/sanitize.h"
#include "common/clock.h"
#include "common/mem.h"
#include "common/utf8.h"
#include "protocol/codec.h"

#include <stdio.h>
#include <stdlib.h>

#ifndef CHAT_VERSION
#define CHAT_VERSION "0.1.0"
#endif

#define HELLO_ID   "chat.hello"
#define JOIN_ID    "chat.join." /* and the room's name, as far as it fits into an id */
#define NICK_TRIES 4
#define BEHIND_MS  5000 /* old when it comes */

static void copy(char *out, size_t size, const struct value *v)
{
    snprintf(out, size, "%.*s", v != NULL ? (int)v->len : 0, v != NULL ? v->text : "");
}

static bool is_text(const struct value *v, const char *text)
{
    return v != NULL && v->len == strlen(text) && memcmp(v->text, text, v->len) == 0;
}

static const struct value *get_string(const struct message *m, enum message_field f)
{
    return message_get_kind(m, f, VALUE_STRING);
}

/* A nick that is none is not remembered: it would be offered for completion. */
static void hear_of(struct model_room *r, const struct value *nick)
{
    if (nick != NULL && utf8_is_nick(nick->text, nick->len))
        model_heard_of(r, nick->text, nick->len);
}

static uint64_t get_uint(const struct message *m, enum message_field f)
{
    const struct value *v = message_get_kind(m, f, VALUE_UINT);

    return v != NULL ? v->number : 0;
}

void client_greet(struct client *c)
{
    struct buf b = {0};

    codec_begin(&b, MESSAGE_HELLO);
    codec_add_uint(&b, FIELD_VERSION, PROTOCOL_VERSION);
    codec_add_text(&b, FIELD_NICK, c->nick);
    codec_add_text(&b, FIELD_AGENT, "chat " CHAT_VERSION);
    if (c->config.stay)
        codec_add_text(&b, FIELD_ON_EOF, "stay");
    if (c->resume != NULL)
        codec_add_text(&b, FIELD_RESUME, c->resume);
    codec_add_text(&b, FIELD_ID, HELLO_ID);
    codec_end(&b);
    link_send(c->link, b.data, b.len);
    buf_deinit(&b);
}

static void send_join(struct client *c, const struct model_room *r, bool with_after)
{
    struct buf b = {0};
    char id[PROTOCOL_MAX_ID + 1];

    snprintf(id, sizeof id, JOIN_ID "%.50s", r->name);
    codec_begin(&b, MESSAGE_JOIN);
    codec_add_text(&b, FIELD_ROOM, r->name);
    if (with_after)
        codec_add_uint(&b, FIELD_AFTER, r->seq);
    codec_add_text(&b, FIELD_ID, id);
    codec_end(&b);
    link_send(c->link, b.data, b.len);
    buf_deinit(&b);
}

void client_join(struct client *c, struct model_room *r)
{
    send_join(c, r, r->epoch != 0 || r->reads_on);
}

void client_want_room(struct client *c, const char *name)
{
    struct model_room *r = model_get(&c->model, name, strlen(name));

    r->wanted = true;
    if (c->state == CLIENT_ON && !r->joined)
        client_join(c, r);
}

void client_leave_room(struct client *c, struct model_room *r)
{
    struct buf b = {0};

    r->wanted = false;
    codec_begin(&b, MESSAGE_LEAVE);
    codec_add_text(&b, FIELD_ROOM, r->name);
    codec_add_text(&b, FIELD_ID, "chat.leave");
    codec_end(&b);
    client_request(c, b.data, b.len);
    buf_deinit(&b);
}

/* Lines that this connection has not been given yet, or whose time to try again has come. */
void client_send_pending(struct client *c)
{
    uint64_t now = clock_mono_us();
    struct model_line *line;
    struct buf b = {0};

    TAILQ_FOREACH(line, &c->model.lines, link)
    {
        if (line->on_wire && (line->retry_us == 0 || now < line->retry_us))
            continue;
        line->on_wire = true;
        line->retry_us = 0;
        line->sent++;
        model_put_send(&b, line);
    }
    if (b.len > 0)
        link_send(c->link, b.data, b.len);
    buf_deinit(&b);
}

/* A number in `limits`, which the codec leaves as it is. */
static uint32_t find_limit(const struct message *m, const char *name, uint32_t otherwise)
{
    const struct value *limits = message_get_kind(m, FIELD_LIMITS, VALUE_NESTED);
    char text[1024], quoted[40], *at;
    unsigned long n;

    copy(text, sizeof text, limits);
    snprintf(quoted, sizeof quoted, "\"%s\":", name);
    at = strstr(text, quoted);
    n = at != NULL ? strtoul(at + strlen(quoted), NULL, 10) : 0;
    return n > 0 && n < 1U << 30 ? (uint32_t)n : otherwise;
}

/* Under another nick the keys mean nothing: what was under way may have arrived, or not. */
static void drop_uncertain(struct client *c)
{
    struct model_line *line, *next;

    for (line = TAILQ_FIRST(&c->model.lines); line != NULL; line = next) {
        next = TAILQ_NEXT(line, link);
        if (line->sent == 0)
            continue;
        c->exit_code = EXIT_FAILED;
        if (c->view->own_line != NULL)
            c->view->own_line(c->view_arg, line, LINE_FAILED, "it is not known whether it arrived");
        model_drop_line(&c->model, line);
    }
}

static void take_welcome(struct client *c, const struct message *m)
{
    const struct value *nick = get_string(m, FIELD_NICK), *resume = get_string(m, FIELD_RESUME);
    struct model_room *r;
    char given[sizeof c->nick];

    if (c->state != CLIENT_CONNECTING)
        return;
    copy(given, sizeof given, nick);
    if (c->was_on && nick != NULL && strcmp(given, c->nick) != 0)
        drop_uncertain(c);
    if (nick != NULL && utf8_is_nick(nick->text, nick->len))
        memcpy(c->nick, given, sizeof given);
    c->is_account = message_get_kind(m, FIELD_ACCOUNT, VALUE_TRUE) != NULL;
    copy(c->session, sizeof c->session, get_string(m, FIELD_SESSION));
    copy(c->agent, sizeof c->agent, get_string(m, FIELD_SERVER));
    free(c->resume);
    c->resume = resume != NULL ? mem_strndup(resume->text, resume->len) : NULL;
    c->max_text = find_limit(m, "max_text", PROTOCOL_MAX_TEXT);
    c->ping_s = find_limit(m, "ping_s", 0);
    c->nick_tries = 0;
    c->ahead_ms = (int64_t)get_uint(m, FIELD_TIME) - (int64_t)(clock_wall_us() / 1000);
    client_came_on(c);
    TAILQ_FOREACH(r, &c->model.rooms, link)
    if (r->wanted)
        client_join(c, r);
    model_forget_wire(&c->model);
    client_send_pending(c);
    if (c->user_ended)
        client_end(c);
    else if (c->view->may_say != NULL)
        c->view->may_say(c->view_arg);
}

/* The nick with one more `_`, where that is still a nick. */
static bool lengthen_nick(struct client *c)
{
    size_t len = strlen(c->nick);

    if (len >= UTF8_NICK_MAX || c->nick_tries >= NICK_TRIES)
        return false;
    c->nick[len] = '_';
    c->nick[len + 1] = '\0';
    c->nick_tries++;
    return true;
}

void client_take_other_nick(struct client *c)
{
    char taken[sizeof c->nick];

    memcpy(taken, c->nick, sizeof taken);
    if (!c->config.other_nick || !lengthen_nick(c)) {
        client_give_up(c, c->was_on ? EXIT_LOST : EXIT_NOT_CONNECTED,
                       "the nick %s is taken at %s: choose another one with -n, for example -n %.30s_", taken,
                       c->config.server, taken);
        return;
    }
    if (c->was_on)
        drop_uncertain(c);
    client_tell(c, CLIENT_NICK, "the nick %s is taken: trying %s", taken, c->nick);
    client_greet(c);
}

static void hello_failed(struct client *c, const struct message *m)
{
    const struct value *code = get_string(m, FIELD_CODE), *text = get_string(m, FIELD_TEXT);
    uint64_t min = get_uint(m, FIELD_MIN), max = get_uint(m, FIELD_MAX);

    if (is_text(code, "nick_in_use")) {
        client_take_other_nick(c);
    } else if (is_text(code, "login_required")) {
        client_login_required(c, m);
    } else if (is_text(code, "bad_version")) {
        client_give_up(
            c, EXIT_PROTOCOL,
            "%s speaks version %llu%s%.0llu of the protocol, this chat version %d: the %s is too old",
            c->config.server, (unsigned long long)min, max > min ? " to " : "",
            (unsigned long long)(max > min ? max : 0), PROTOCOL_VERSION,
            min > PROTOCOL_VERSION ? "chat" : "server");
    } else if (is_text(code, "plain_refused")) {
        client_give_up(c, EXIT_PROTOCOL, "%s takes no plain connections from here: use --tls",
                       c->config.server);
    } else {
        client_give_up(c, is_text(code, "bad_nick") ? EXIT_USAGE : EXIT_NOT_CONNECTED,
                       "%s does not let you in as %s: %.*s", c->config.server, c->nick,
                       text != NULL ? (int)text->len : 0, text != NULL ? text->text : "");
    }
}

static void tell_joined(struct client *c, struct model_room *r)
{
    if (model_caught_up(r) && r->missed > 0)
        client_tell(c, CLIENT_CAUGHT_UP, "caught up in %s: %llu message%s", r->name,
                    (unsigned long long)r->missed, r->missed == 1 ? "" : "s");
}

/* A message that is old when it comes: the server, or the way, has more of them. How many, the answer to
 * another join says. */
static void watch_lag(struct client *c, const struct message *m, struct model_room *r)
{
    int64_t lag = (int64_t)(clock_wall_us() / 1000) + c->ahead_ms - (int64_t)get_uint(m, FIELD_TIME);

    if (lag < BEHIND_MS || r->lag_ms > 0 || r->target > 0 || !r->joined || model_is_direct(r) ||
        c->state != CLIENT_ON)
        return;
    r->lag_ms = (uint64_t)lag;
    send_join(c, r, false);
}

/* It has come: where nothing is missed, it is the clocks that differ. */
static void take_standing(struct client *c, struct model_room *r, uint64_t lag_ms)
{
    if (r->missed == 0)
        c->ahead_ms -= (int64_t)lag_ms;
    else
        client_tell(c, CLIENT_BEHIND, "behind in %s: %llu message%s to come", r->name,
                    (unsigned long long)r->missed, r->missed == 1 ? "" : "s");
}

static void take_joined(struct client *c, const struct message *m, struct model_room *r)
{
    uint64_t lag_ms = r->lag_ms;
    enum model_join how;

    if (c->config.passes_requests)
        return;
    how = model_joined(r, get_uint(m, FIELD_EPOCH), get_uint(m, FIELD_SEQ), get_uint(m, FIELD_MEMBERS));
    r->wanted = true;
    r->lag_ms = 0;
    client_take_read(r, m);
    if (how == MODEL_START_OVER) {
        client_tell(c, CLIENT_STARTED_OVER, "%s was begun anew by the server: its numbers start at 1 again",
                    r->name);
        client_join(c, r);
        return;
    }
    if (lag_ms > 0)
        take_standing(c, r, lag_ms);
    else if (c->view->room != NULL)
        c->view->room(c->view_arg, r, true);
    tell_joined(c, r);
}

/* Remembers what was said last by oneself: that is what `/edit` and `/remove` are about. */
static void note_own(const struct client *c, const struct message *m, struct model_room *r, uint64_t seq)
{
    uint64_t removed = get_uint(m, FIELD_REMOVES);

    if (!is_text(get_string(m, FIELD_NICK), c->nick))
        return;
    if (removed > 0 && removed == r->own)
        r->own = 0;
    else if (removed == 0 && message_get(m, FIELD_EDITS) == NULL && seq > r->own)
        r->own = seq;
}

/* Whether the view is to see it. */
static bool take_msg(struct client *c, const struct message *m, struct model_room *r)
{
    const struct value *nick = get_string(m, FIELD_NICK);
    uint64_t hole = 0, seq = get_uint(m, FIELD_SEQ);
    enum model_take how;

    if (c->config.passes_requests || message_get(m, FIELD_RE) != NULL)
        return true;
    if (c->config.tells_read && client_keeps_back(c, r))
        return false;
    how = model_take(r, seq, &hole);
    if (how == MODEL_SEEN)
        return false;
    if (how == MODEL_HOLE)
        client_tell(c, CLIENT_GAP, "messages %llu to %llu of %s are missing, and the server did not say why",
                    (unsigned long long)hole, (unsigned long long)(seq - 1), r->name);
    note_own(c, m, r, seq);
    hear_of(r, nick);
    watch_lag(c, m, r);
    client_count(c, r, seq, is_text(nick, c->nick));
    return true;
}

static void take_gap(struct client *c, const struct message *m, struct model_room *r)
{
    uint64_t from = get_uint(m, FIELD_FROM), to = get_uint(m, FIELD_TO);

    if (message_get(m, FIELD_RE) == NULL)
        model_take_gap(r, to);
    client_tell(c, CLIENT_GAP, "messages %llu to %llu of %s are no longer kept by the server",
                (unsigned long long)from, (unsigned long long)to, r->name);
}

static void take_presence(const struct message *m, struct model_room *r)
{
    const struct value *event = get_string(m, FIELD_EVENT), *nick = get_string(m, FIELD_NICK);

    if (is_text(event, "count")) {
        r->members = get_uint(m, FIELD_MEMBERS);
    } else if (nick != NULL && is_text(event, "join")) {
        r->members++;
        hear_of(r, nick);
    } else if (nick != NULL) {
        r->members -= r->members > 0;
        model_forget_nick(r, nick->text, nick->len);
    }
}

static void take_ack(struct client *c, const struct message *m)
{
    const struct value *re = get_string(m, FIELD_RE);
    struct model_line *line = re != NULL ? model_find_line(&c->model, re->text, re->len) : NULL;

    if (line == NULL)
        return;
    if (c->view->own_line != NULL)
        c->view->own_line(c->view_arg, line, LINE_SENT, NULL);
    model_drop_line(&c->model, line);
}

/* An error about one of our own lines. */
static void line_failed(struct client *c, const struct message *m, struct model_line *line)
{
    const struct value *code = get_string(m, FIELD_CODE), *text = get_string(m, FIELD_TEXT);
    struct buf why = {0};

    if (is_text(code, "overloaded")) {
        line->retry_us = clock_mono_us() + (get_uint(m, FIELD_RETRY) + 1) * 1000;
        return;
    }
    if (text != NULL)
        sanitize_put(&why, text->text, text->len);
    buf_put(&why, "", 1);
    c->exit_code = EXIT_FAILED;
    if (c->view->own_line != NULL)
        c->view->own_line(c->view_arg, line, LINE_FAILED, why.data);
    model_drop_line(&c->model, line);
    buf_deinit(&why);
}

static void take_error(struct client *c, const struct message *m)
{
    const struct value *re = get_string(m, FIELD_RE), *code = get_string(m, FIELD_CODE);
    struct model_line *line = re != NULL ? model_find_line(&c->model, re->text, re->len) : NULL;

    if (is_text(re, HELLO_ID) ||
        (c->state == CLIENT_CONNECTING && (re == NULL || is_text(code, "plain_refused"))))
        hello_failed(c, m);
    else if (line != NULL)
        line_failed(c, m, line);
    else
        c->exit_code = EXIT_FAILED;
}

/* A join that failed is not tried again. */
static void forget_wanted(struct client *c, const struct message *m)
{
    const struct value *re = get_string(m, FIELD_RE);
    struct model_room *r;

    if (re == NULL || re->len <= sizeof JOIN_ID - 1 || memcmp(re->text, JOIN_ID, sizeof JOIN_ID - 1) != 0)
        return;
    TAILQ_FOREACH(r, &c->model.rooms, link)
    if (!r->joined && strncmp(r->name, re->text + sizeof JOIN_ID - 1, re->len - sizeof JOIN_ID + 1) == 0) {
        r->wanted = r->reads_on = false;
        if (c->view->room != NULL)
            c->view->room(c->view_arg, r, false);
    }
}

static void take_bye(struct client *c, const struct message *m)
{
    const struct value *text = get_string(m, FIELD_TEXT);
    struct buf fit = {0};

    copy(c->bye_code, sizeof c->bye_code, get_string(m, FIELD_CODE));
    if (text != NULL)
        sanitize_put(&fit, text->text, text->len);
    buf_put(&fit, "", 1);
    free(c->bye_text);
    c->bye_text = fit.data;
    c->retry_after_ms = (uint32_t)get_uint(m, FIELD_RETRY);
    c->got_bye = true;
}

static void take_left(struct client *c, struct model_room *r)
{
    r->wanted = r->joined = r->reads_on = false;
    if (c->view->room != NULL)
        c->view->room(c->view_arg, r, false);
    r->epoch = 0;
}

/* The room that a pushed line is about; one that is not known is made for what is said to us directly. */
static struct model_room *room_of(struct client *c, const struct message *m)
{
    const struct value *room = get_string(m, FIELD_ROOM);

    if (room == NULL || room->len == 0 || room->len > PROTOCOL_MAX_ROOM)
        return NULL;
    if (m->type == MESSAGE_JOINED || (m->type == MESSAGE_UNREAD && c->config.tells_read) ||
        (m->type == MESSAGE_MSG && message_get(m, FIELD_RE) == NULL))
        return model_get(&c->model, room->text, room->len);
    return model_find(&c->model, room->text, room->len);
}

static bool take_room_line(struct client *c, const struct message *m, struct model_room *r)
{
    switch (m->type) {
    case MESSAGE_JOINED:
        take_joined(c, m, r);
        return true;
    case MESSAGE_MSG:
        return take_msg(c, m, r);
    case MESSAGE_GAP:
        take_gap(c, m, r);
        return true;
    case MESSAGE_LEFT:
        take_left(c, r);
        return true;
    case MESSAGE_UNREAD:
        client_take_unread(r, m);
        return true;
    case MESSAGE_READ:
        client_take_read(r, m);
        return true;
    case MESSAGE_PRESENCE:
        take_presence(m, r);
        return true;
    case MESSAGE_MEMBER:
        hear_of(r, get_string(m, FIELD_NICK));
        return true;
    default:
        return true;
    }
}

/* What a login is needed for is told by whatever comes of it. */
static bool is_login_required(struct client *c, const struct message *m)
{
    if (m->type != MESSAGE_ERROR || c->state != CLIENT_CONNECTING ||
        !is_text(get_string(m, FIELD_CODE), "login_required"))
        return false;
    take_error(c, m);
    return true;
}

static void take_message(struct client *c, const struct message *m)
{
    struct model_room *r;

    if (client_login_take(c, m) || is_login_required(c, m))
        return;
    r = room_of(c, m);
    if (m->type == MESSAGE_WELCOME)
        take_welcome(c, m);
    else if (m->type == MESSAGE_ACK)
        take_ack(c, m);
    else if (m->type == MESSAGE_ERROR)
        take_error(c, m);
    else if (m->type == MESSAGE_BYE)
        take_bye(c, m);
    else if (m->type == MESSAGE_REGISTERED)
        c->is_account = true;
    else if (m->type == MESSAGE_PING && c->state == CLIENT_ON)
        link_send(c->link, "\n", 1);
    if (r != NULL && !take_room_line(c, m, r))
        return;
    if (m->type == MESSAGE_ERROR)
        forget_wanted(c, m);
    if (c->view->message != NULL && !c->is_over)
        c->view->message(c->view_arg, m);
    if (r != NULL && (m->type == MESSAGE_MSG || m->type == MESSAGE_GAP))
        tell_joined(c, r);
}

void client_take_line(struct client *c, char *line, size_t len)
{
    struct message m;
    const char *where;
    enum codec_result ret;
    char head[80];

    if (c->is_over)
        return;
    snprintf(head, sizeof head, "%s", line);
    ret = codec_decode(line, len, &m, &where);
    if ((ret == CODEC_OK || ret == CODEC_TWICE) &&
        (c->state != CLIENT_CONNECTING || m.type != MESSAGE_UNKNOWN)) {
        if (m.type != MESSAGE_UNKNOWN)
            take_message(c, &m);
        return;
    }
    if (c->state == CLIENT_CONNECTING)
        client_give_up(c, EXIT_PROTOCOL, "%s is no chat server: it says \"%s\"", c->config.server, head);
    else
        client_give_up(c, EXIT_PROTOCOL, "%s sent a line that is not of the protocol (%s): \"%s\"",
                       c->config.server, where != NULL ? where : "", head);
}
