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

#define BEHIND_MS 5000 /* old when it comes */

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
    codec_add_text(&b, FIELD_ID, CLIENT_HELLO_ID);
    codec_end(&b);
    link_send(c->link, b.data, b.len);
    buf_deinit(&b);
}

void client_join_id(const struct model_room *r, char id[PROTOCOL_MAX_ID + 1])
{
    snprintf(id, PROTOCOL_MAX_ID + 1, "chat.join.%.50s", r->name);
}

static void send_join(struct client *c, const struct model_room *r, bool with_after)
{
    struct buf b = {0};
    char id[PROTOCOL_MAX_ID + 1];

    client_join_id(r, id);
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
    r->rejoin_us = 0;
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

    r->wanted = r->is_put_off = false;
    if (!r->joined) { /* it is not gone back into, that is all */
        r->epoch = r->rejoin_us = 0;
        return;
    }
    codec_begin(&b, MESSAGE_LEAVE);
    codec_add_text(&b, FIELD_ROOM, r->name);
    codec_add_text(&b, FIELD_ID, "chat.leave");
    codec_end(&b);
    client_request(c, b.data, b.len);
    buf_deinit(&b);
}

/* The server could not let us back into the line's room yet. */
static bool is_held(const struct client *c, const struct model_line *line)
{
    const struct model_room *r = model_find(&c->model, line->room, strlen(line->room));

    return r != NULL && r->is_put_off;
}

/* Lines that this connection has not been given yet, or whose time to try again has come. */
void client_send_pending(struct client *c)
{
    uint64_t now = clock_mono_us();
    struct model_line *line, *next;
    struct buf b = {0};

    for (line = TAILQ_FIRST(&c->model.lines); line != NULL; line = next) {
        size_t before = b.len;

        next = TAILQ_NEXT(line, link);
        if ((line->on_wire && (line->retry_us == 0 || now < line->retry_us)) || is_held(c, line))
            continue;
        model_put_send(&b, line);
        if (b.len - before > c->max_line) { /* it was said while another server's limit held */
            b.len = before;
            client_fail_line(c, line, "it is a longer line than the server takes");
            continue;
        }
        line->on_wire = true;
        line->retry_us = 0;
        line->sent++;
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

static void take_welcome(struct client *c, const struct message *m)
{
    const struct value *nick = get_string(m, FIELD_NICK), *resume = get_string(m, FIELD_RESUME);
    struct model_room *r;
    char given[sizeof c->nick];

    if (c->state != CLIENT_CONNECTING ||
        !client_login_suffices(c, message_get_kind(m, FIELD_ACCOUNT, VALUE_TRUE) != NULL))
        return;
    copy(given, sizeof given, nick);
    if (c->was_on && nick != NULL && strcmp(given, c->nick) != 0)
        client_drop_uncertain(c);
    if (nick != NULL && utf8_is_nick(nick->text, nick->len))
        memcpy(c->nick, given, sizeof given);
    c->is_account = message_get_kind(m, FIELD_ACCOUNT, VALUE_TRUE) != NULL;
    copy(c->session, sizeof c->session, get_string(m, FIELD_SESSION));
    copy(c->agent, sizeof c->agent, get_string(m, FIELD_SERVER));
    free(c->resume);
    c->resume = resume != NULL ? mem_strndup(resume->text, resume->len) : NULL;
    c->max_text = find_limit(m, "max_text", PROTOCOL_MAX_TEXT);
    c->max_line = find_limit(m, "max_line", PROTOCOL_MAX_LINE);
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
    bool was_put_off;

    if (c->config.passes_requests)
        return;
    how = model_joined(r, get_uint(m, FIELD_EPOCH), get_uint(m, FIELD_SEQ), get_uint(m, FIELD_MEMBERS));
    r->wanted = true;
    r->lag_ms = 0;
    was_put_off = r->is_put_off;
    r->is_put_off = r->reads_failed = false;
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
    if (was_put_off)
        client_send_pending(c);
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
    c->retry_after_ms = client_retry_ms(m);
    c->got_bye = true;
}

static void take_left(struct client *c, struct model_room *r)
{
    r->wanted = r->joined = r->reads_on = r->is_put_off = false;
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
    client_take_error(c, m);
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
    else if (m->type == MESSAGE_ERROR && client_take_error(c, m))
        return;
    else if (m->type == MESSAGE_BYE)
        take_bye(c, m);
    else if (m->type == MESSAGE_REGISTERED)
        c->is_account = c->login.is_needed = true;
    else if (m->type == MESSAGE_PING && c->state == CLIENT_ON)
        link_send(c->link, "\n", 1);
    if (r != NULL && !take_room_line(c, m, r))
        return;
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
