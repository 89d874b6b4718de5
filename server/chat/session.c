/* session.c: see session.h. Here the connection's life meets the chat's: opened, silent, ended, gone. */
#include "server/chat/session.h"

#include "common/mem.h"
#include "common/utf8.h"
#include "server/chat/fanout.h"
#include "server/chat/login.h"
#include "server/chat/room.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ASKED_MOST 1024 /* requests of one session under way: a disk that stalls must not make them pile up */

void session_send(struct session *s, const struct buf *line)
{
    s->conn.life.msgs_out++;
    conn_answer(&s->conn, line->data, line->len);
}

static void put_error(struct session *s, const struct value *id, const char *code, const char *name,
                      uint64_t max, const char *format, va_list args)
{
    struct buf *b = &s->conn.reactor->scratch;
    char text[512];

    vsnprintf(text, sizeof text, format, args);
    for (size_t len = strlen(text); !utf8_is_valid(text, len); text[--len] = '\0')
        ; /* it may have been cut inside a character */
    buf_clear(b);
    codec_begin(b, MESSAGE_ERROR);
    if (id != NULL)
        codec_add(b, FIELD_RE, id->text, id->len);
    codec_add_text(b, FIELD_CODE, code);
    codec_add_text(b, FIELD_TEXT, text);
    if (name != NULL)
        codec_add_text(b, FIELD_FIELD, name);
    if (max != 0)
        codec_add_uint(b, FIELD_MAX, max);
    codec_end(b);
    session_send(s, b);
}

void session_error(struct session *s, const struct value *id, const char *code, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    put_error(s, id, code, NULL, 0, format, args);
    va_end(args);
}

void session_error_field(struct session *s, const struct value *id, const char *code, const char *name,
                         uint64_t max, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    put_error(s, id, code, name, max, format, args);
    va_end(args);
}

void session_hold(struct session *s)
{
    conn_hold(&s->conn);
    if (s->conn.held >= ASKED_MOST)
        conn_pause(&s->conn, CONN_PAUSE_ASKED);
}

void session_unhold(struct session *s)
{
    conn_unhold(&s->conn);
    if (s->conn.state == CONN_CLOSED)
        return;
    if (s->conn.held <= ASKED_MOST / 2)
        conn_resume(&s->conn, CONN_PAUSE_ASKED);
    session_consider_finish(s);
}

void session_wait(struct session *s)
{
    conn_pause(&s->conn, CONN_PAUSE_BUSY);
}

void session_go_on(struct session *s)
{
    if (!s->is_stopped)
        conn_resume(&s->conn, CONN_PAUSE_BUSY);
}

void session_bye(struct session *s, const char *code, const char *text)
{
    struct buf *b = &s->conn.reactor->scratch;

    if (s->said_bye || !conn_can_speak(&s->conn))
        return;
    s->said_bye = true;
    buf_clear(b);
    codec_begin(b, MESSAGE_BYE);
    if (s->wants_bye && s->end != NULL && s->end->id_len > 0)
        codec_add(b, FIELD_RE, s->end->id, s->end->id_len);
    codec_add_text(b, FIELD_CODE, code);
    codec_add_text(b, FIELD_TEXT, text);
    codec_end(b);
    session_send(s, b);
    conn_end(&s->conn, code);
}

void session_let_go(struct session *s, const char *event)
{
    if (s->nick == NULL)
        return;
    while (s->members != NULL)
        member_remove(s->members, event);
    if (s->nick == NULL)
        return; /* what was said in a room before it left was too much for it: done within */
    directory_remove(&session_chat(s)->shared->directory, s->nick);
    free(s->nick);
    s->nick = NULL;
}

bool session_is_ending(const struct session *s)
{
    return s->wants_bye || s->is_stopped || (s->at_eof && !s->stays);
}

struct session_end *session_get_end(struct session *s)
{
    if (s->end == NULL)
        s->end = mem_zalloc(sizeof *s->end);
    return s->end;
}

void session_consider_finish(struct session *s)
{
    struct chat *chat = session_chat(s);

    if (!session_is_ending(s) || s->is_finishing || s->said_bye || s->conn.held > 0 || s->behind > 0)
        return;
    s->is_finishing = true;
    session_get_end(s)->next = chat->finishing;
    chat->finishing = s;
}

void session_finish_all(struct chat *chat)
{
    struct session *s;

    while ((s = chat->finishing) != NULL) {
        chat->finishing = s->end->next;
        s->is_finishing = false;
        if (s->conn.state == CONN_CLOSED || s->conn.held > 0 || s->behind > 0)
            continue; /* it has fallen behind in this turn: it is considered again when it has caught up */
        session_let_go(s, s->wants_bye ? "leave" : "detach");
        if (s->is_stopped)
            session_bye(s, "shutdown", "the server is stopping");
        else if (s->wants_bye)
            session_bye(s, "bye", "until next time");
        else
            session_bye(s, "eof", "you have ended your side, and this was all");
    }
}

static void on_opened(struct conn *c)
{
    (void)c; /* nothing is said before hello: a client may have to send its bytes first */
}

static void on_line(struct conn *c, char *line, size_t len)
{
    command_run(session_of(c), line, len);
}

static void on_too_long(struct conn *c)
{
    uint32_t max = c->reactor->limits.max_line;

    session_error_field(session_of(c), NULL, "too_long", NULL, max,
                        "a line is longer than %u bytes and was skipped", max);
}

static void on_eof(struct conn *c, size_t unfinished)
{
    struct session *s = session_of(c);

    if (unfinished > 0)
        session_error(s, NULL, "incomplete",
                      "the input ended inside a line: its %zu bytes are not carried out", unfinished);
    s->at_eof = true;
    if (!s->stays)
        member_await_all(s);
    session_consider_finish(s);
}

static void on_drained(struct conn *c)
{
    member_feed_next(session_of(c));
}

static void on_timeout(struct conn *c, enum timer_kind which)
{
    struct session *s = session_of(c);
    struct buf *b = &c->reactor->scratch;

    switch (which) {
    case TIMER_PING:
        if (c->state !=
            CONN_OPEN) { /* it can't answer: whether it lives, the kernel's probes tell (listener.c) */
            reactor_set_timer(c->reactor, c, TIMER_PING);
            return;
        }
        buf_clear(b);
        codec_begin(b, MESSAGE_PING);
        codec_end(b);
        session_send(s, b);
        return;
    case TIMER_LOGIN:
        session_bye(s, "idle", "no hello came in time");
        return;
    default:
        session_let_go(s, "detach");
        session_bye(s, "idle", "nothing came for too long, not even an answer to a ping");
    }
}

static void on_refused(struct conn *c, const char *why)
{
    struct session *s = session_of(c);

    session_error(s, NULL, "plain_refused", "%s: connect with TLS (openssl s_client, chat --tls)", why);
    session_bye(s, "protocol", why);
}

static void on_closed(struct conn *c)
{
    struct session *s = session_of(c);
    struct chat *chat = session_chat(s);

    if (s->is_finishing) {
        struct session **at = &chat->finishing;

        while (*at != s)
            at = &(*at)->end->next;
        *at = s->end->next;
        s->is_finishing = false;
    }
    session_let_go(s, "detach");
    login_free(s->login);
    s->login = NULL;
    free(s->end);
    s->end = NULL;
}

static void on_turn_end(struct reactor *r)
{
    struct chat *chat = chat_of(r);

    while (chat->dirty_rooms != NULL || chat->finishing != NULL) {
        room_flush_all(chat);
        session_finish_all(chat);
    }
}

const struct conn_ops chat_ops = {
    .conn_size = sizeof(struct session),
    .opened = on_opened,
    .line = on_line,
    .too_long = on_too_long,
    .eof = on_eof,
    .drained = on_drained,
    .timeout = on_timeout,
    .refused = on_refused,
    .closed = on_closed,
    .turn_end = on_turn_end,
};
