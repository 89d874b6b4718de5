/* client.c: the state of a user's connection: opening, trusting, losing it, coming back, leaving; see
 * client.h. The thread of its event_base. One timer serves every wait: to connect again, and to find out
 * whether the server lives. */
#include "client/client.h"

#include "client/explain.h"
#include "client/sanitize.h"
#include "common/clock.h"
#include "common/mem.h"
#include "common/utf8.h"
#include "protocol/codec.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

#define WELCOME_MS    10000 /* for the answer to hello */
#define ANSWER_END_MS 5000  /* for the server's FIN once it has said bye */
#define TICK_MS       1000
#define PATIENCE_S    15 /* for the answer to our ping, or ping_s where that is less */
#define PENDING_LINES 1000
#define PENDING_BYTES (1024 * 1024)
#define KEEPALIVE_S   30
#define TELL_FIRST    2 /* tries to come back that are told one by one */
#define TELL_EVERY    20
#define PING          "{\"type\":\"ping\",\"id\":\"chat.ping\"}\n"
#define BYE           "{\"type\":\"bye\",\"id\":\"chat.bye\"}\n"
#define OLD_ENOUGH_US                                                                                        \
    5000000 /* a connection that lived that long was a good one: the next wait is short again */

static void open_link(struct client *c);

void client_tell(struct client *c, enum client_news what, const char *format, ...)
{
    struct buf fit = {0};
    va_list args;
    char text[1024];

    if (c->view->news == NULL)
        return;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    sanitize_put_lines(&fit, text, strlen(text), "");
    buf_put(&fit, "", 1);
    c->view->news(c->view_arg, what, fit.data);
    buf_deinit(&fit);
}

static void start_timer(struct client *c, uint32_t ms)
{
    struct timeval wait = {.tv_sec = (time_t)(ms / 1000), .tv_usec = (suseconds_t)(ms % 1000) * 1000};

    event_add(c->timer, &wait);
}

static void be_over(struct client *c, int exit_code, const char *why)
{
    if (c->is_over)
        return;
    c->is_over = true;
    c->state = CLIENT_OFF;
    event_del(c->timer);
    if (exit_code != EXIT_CLEAN)
        c->exit_code = exit_code;
    if (c->view->over != NULL)
        c->view->over(c->view_arg, c->exit_code, why);
}

void client_give_up(struct client *c, int exit_code, const char *format, ...)
{
    struct buf fit = {0};
    va_list args;
    char text[1024];

    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    sanitize_put_lines(&fit, text, strlen(text), "");
    buf_put(&fit, "", 1);
    link_close_politely(c->link);
    be_over(c, exit_code, fit.data);
    buf_deinit(&fit);
}

static void on_up(struct link *l, void *owner)
{
    struct client *c = owner;

    c->connected_us = c->heard_us = clock_mono_us();
    link_set_deadline(l, WELCOME_MS);
    client_greet(c);
}

static bool on_trust(struct link *l, const struct link_certificate *cert, void *owner)
{
    (void)l;
    return client_trusts(owner, cert);
}

static void tell_may_say(struct client *c)
{
    if (c->state == CLIENT_ON && c->view->may_say != NULL && !client_is_full(c))
        c->view->may_say(c->view_arg);
}

static void on_line(struct link *l, char *line, size_t len, void *owner)
{
    struct client *c = owner;

    (void)l;
    c->heard_us = clock_mono_us();
    c->ping_sent = false;
    if (c->view->raw != NULL && c->state != CLIENT_OFF)
        c->view->raw(c->view_arg, line, len);
    client_take_line(c, line, len);
    tell_may_say(c);
}

static void on_end(struct link *l, bool truncated, void *owner)
{
    (void)truncated, (void)owner;
    link_shutdown(l);
    link_set_deadline(l, ANSWER_END_MS);
}

static void on_drained(struct link *l, void *owner)
{
    struct client *c = owner;

    (void)l;
    tell_may_say(c);
}

static void on_watch(struct link *l, enum link_event e, void *owner)
{
    struct client *c = owner;

    (void)l;
    if (c->view->watch != NULL)
        c->view->watch(c->view_arg, e);
}

/* Whether the server has said that coming back by itself is not wanted. */
static bool bye_is_final(const struct client *c)
{
    return c->got_bye && (strcmp(c->bye_code, "replaced") == 0 || strcmp(c->bye_code, "kicked") == 0 ||
                          strcmp(c->bye_code, "protocol") == 0);
}

void client_wait(struct client *c, uint32_t ms)
{
    c->state = CLIENT_WAITING;
    start_timer(c, ms);
}

/* Whether one more try that failed is worth a word: the prompt shows that there is no connection. */
static bool is_worth_telling(unsigned tries)
{
    return tries <= TELL_FIRST || tries % TELL_EVERY == 0;
}

void client_come_back(struct client *c, bool was_on, const char *why)
{
    uint32_t random = 0, ms;
    char wait[32];

    if (getentropy(&random, sizeof random) != 0)
        abort();
    ms = backoff_next(&c->backoff, c->retry_after_ms, random);
    c->retry_after_ms = 0;
    snprintf(wait, sizeof wait, "%.1f s", (ms + 99) / 100 / 10.0); /* a fraction is enough for a person */
    client_wait(c, ms);
    if (was_on)
        client_tell(c, CLIENT_LOST, "%s; connecting again in %s", why, wait);
    else if (is_worth_telling(++c->returns))
        client_tell(c, CLIENT_RETRYING, "still no way to %s (%s); trying again in %s%s", c->config.server,
                    why, wait,
                    c->returns == TELL_FIRST ? ", and so on: that is told seldom from now on" : "");
}

void client_fail_line(struct client *c, struct model_line *line, const char *why)
{
    c->exit_code = EXIT_FAILED;
    if (c->view->own_line != NULL)
        c->view->own_line(c->view_arg, line, LINE_FAILED, why);
    model_drop_line(&c->model, line);
}

/* A server that ends in good order behind our own end has answered what it meant to answer: what it has left
 * out it would leave out again. */
static void fail_unanswered(struct client *c)
{
    struct model_line *line, *next;

    for (line = TAILQ_FIRST(&c->model.lines); line != NULL; line = next) {
        next = TAILQ_NEXT(line, link);
        if (line->on_wire && line->retry_us == 0)
            client_fail_line(c, line, "the server ended the connection without an answer to it");
    }
}

/* The user goes, and leaves that behind. */
static void be_over_with_pending(struct client *c)
{
    char why[100];

    snprintf(why, sizeof why, "%zu line%s of yours may not have arrived: there was no answer to %s",
             c->model.line_count, c->model.line_count == 1 ? "" : "s",
             c->model.line_count == 1 ? "it" : "them");
    be_over(c, EXIT_LOST, why);
}

/* The user has ended it: what counts is whether the server has had everything. */
static void end_wanted(struct client *c, const struct link_verdict *v, const char *why)
{
    if (c->model.line_count > 0 && c->said_bye)
        be_over_with_pending(c);
    else if (c->model.line_count > 0 || (v->how != LINK_ENDED && !c->said_bye))
        be_over(c, EXIT_LOST, why);
    else
        be_over(c, c->exit_code, NULL);
}

static void on_closed(struct link *l, const struct link_verdict *v, void *owner)
{
    struct client *c = owner;
    bool was_on = c->state == CLIENT_ON || c->state == CLIENT_ENDING, may_return;
    struct buf why = {0};

    (void)l;
    if (c->is_over)
        return;
    model_detach(&c->model);
    explain_verdict(&why, c, v);
    if (v->how == LINK_ENDED && c->got_bye && strcmp(c->bye_code, "eof") == 0)
        fail_unanswered(c);
    may_return = c->config.reconnect && c->was_on && !bye_is_final(c) && v->how != LINK_DISTRUSTED;
    if (c->connected_us != 0 && clock_mono_us() - c->connected_us > OLD_ENOUGH_US)
        backoff_reset(&c->backoff);
    if (c->config.passes_requests && v->how == LINK_ENDED && c->got_bye && strcmp(c->bye_code, "bye") == 0) {
        be_over(c, c->exit_code, NULL); /* the script has said `bye` itself */
    } else if (c->half_closed) {
        c->state = CLIENT_OFF;
        client_tell(c, CLIENT_OVER, "%s", why.data);
    } else if (c->user_ended && (c->model.line_count == 0 || !may_return || c->said_bye)) {
        end_wanted(c, v, why.data);
    } else if (may_return) {
        client_come_back(c, was_on, was_on ? why.data : explain_briefly(v));
    } else if (!c->was_on) {
        be_over(c, explain_exit_code(c, v), why.data);
    } else {
        be_over(c, v->how == LINK_DISTRUSTED ? EXIT_DISTRUSTED : EXIT_LOST, why.data);
    }
    buf_deinit(&why);
}

static const struct link_handler handler = {
    .up = on_up,
    .trust = on_trust,
    .line = on_line,
    .end = on_end,
    .drained = on_drained,
    .closed = on_closed,
    .watch = on_watch,
};

static void open_link(struct client *c)
{
    struct link_options o = {
        .host = c->config.host,
        .port = c->config.port,
        .tls = c->config.tls,
        .keepalive_s = KEEPALIVE_S,
        .quiet = c->config.quiet,
    };

    c->state = CLIENT_CONNECTING;
    c->login.step = LOGIN_NOT;
    c->login.is_done = false;
    c->got_bye = c->ping_sent = c->half_closed = false;
    c->connected_us = 0;
    free(c->bye_text);
    c->bye_text = NULL;
    link_open(c->link, &o);
}

/* A server that hears nothing of us asks with `ping`, so that we hear from it at least that often; when we
 * do not, we ask ourselves, and take silence for a loss. Behind our own end it has to be done with us in
 * the same time, or to be heard. */
static void check_silence(struct client *c)
{
    uint64_t silent = (clock_mono_us() - c->heard_us) / 1000000;
    unsigned patience = c->ping_s < PATIENCE_S ? c->ping_s : PATIENCE_S;
    bool ends = c->state == CLIENT_ENDING && !c->config.stay && !c->said_bye; /* nothing can be asked then */

    if (c->ping_s == 0 || (c->state != CLIENT_ON && !ends) || silent < c->ping_s + patience)
        return;
    if (ends) {
        if (silent >= c->ping_s + 2 * patience)
            link_set_deadline(c->link, 1);
    } else if (!c->ping_sent) {
        link_send(c->link, PING, sizeof PING - 1);
        c->ping_sent = true;
    } else if (silent >= c->ping_s + 2 * patience) {
        client_tell(c, CLIENT_PROBLEM, "%s has not been heard of for %u s", c->config.server,
                    (unsigned)silent);
        client_reconnect(c);
    }
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    struct client *c = arg;

    (void)fd, (void)what;
    if (c->state == CLIENT_WAITING) {
        open_link(c);
        return;
    }
    check_silence(c);
    if (c->state == CLIENT_ON) {
        client_rejoin(c);
        client_send_pending(c);
        client_send_reads(c);
    }
    if (c->state == CLIENT_ON || c->state == CLIENT_ENDING)
        start_timer(c, TICK_MS);
}

void client_init(struct client *c, struct event_base *base, const struct client_config *config,
                 const struct client_view *view, void *view_arg)
{
    *c = (struct client){.base = base, .config = *config, .view = view, .view_arg = view_arg};
    c->max_text = PROTOCOL_MAX_TEXT;
    c->max_line = PROTOCOL_MAX_LINE;
    snprintf(c->nick, sizeof c->nick, "%s", config->nick);
    if (config->password != NULL)
        c->login.password = mem_strdup(config->password);
    c->login.is_needed = config->password != NULL;
    model_init(&c->model);
    c->link = link_new(base, &handler, c);
    c->timer = evtimer_new(base, on_timer, c);
}

void client_deinit(struct client *c)
{
    link_free(c->link);
    event_free(c->timer);
    model_deinit(&c->model);
    client_login_deinit(c);
    free(c->resume);
    free(c->bye_text);
}

void client_start(struct client *c)
{
    open_link(c);
}

void client_came_on(struct client *c)
{
    bool again = c->was_on;
    char how[160];

    c->state = CLIENT_ON;
    c->was_on = true;
    c->returns = 0;
    link_set_deadline(c->link, 0);
    explain_connection(c, how, sizeof how);
    client_tell(c, again ? CLIENT_RECONNECTED : CLIENT_CONNECTED, "%s", how);
    start_timer(c, TICK_MS);
}

int client_say(struct client *c, const char *room, const char *text, size_t len)
{
    struct model_line *line;

    if (c->is_over || c->user_ended || c->half_closed)
        return -EPIPE;
    if (len == 0 || len > c->max_text)
        return -EMSGSIZE;
    if (!utf8_is_valid(text, len) || memchr(text, '\0', len) != NULL)
        return -EILSEQ;
    line = model_say(&c->model, room, text, len);
    if (model_send_size(line) > c->max_line) {
        model_drop_line(&c->model, line);
        return -E2BIG;
    }
    if (c->state == CLIENT_ON)
        client_send_pending(c);
    if (c->view->own_line != NULL)
        c->view->own_line(c->view_arg, line, LINE_PENDING, NULL);
    return 0;
}

int client_request(struct client *c, const char *line, size_t len)
{
    return c->state == CLIENT_ON ? link_send(c->link, line, len) : -ENOTCONN;
}

bool client_is_full(const struct client *c)
{
    return link_is_full(c->link) || c->model.line_count >= PENDING_LINES ||
           c->model.line_bytes >= PENDING_BYTES;
}

void client_end(struct client *c)
{
    client_send_reads(c);
    c->user_ended = true;
    if (c->state == CLIENT_ON) {
        c->state = CLIENT_ENDING;
        link_shutdown(c->link);
    } else if (c->was_on && c->model.line_count == 0 &&
               (c->state == CLIENT_WAITING || c->state == CLIENT_CONNECTING)) {
        link_close(c->link); /* nothing is left to come back for */
        be_over(c, EXIT_CLEAN, NULL);
    }
}

void client_half_close(struct client *c)
{
    if (c->state != CLIENT_ON)
        return;
    client_send_reads(c);
    c->half_closed = true;
    c->state = CLIENT_ENDING;
    link_shutdown(c->link);
}

void client_quit(struct client *c, unsigned ms)
{
    client_send_reads(c);
    c->user_ended = c->said_bye = true;
    c->half_closed = false;
    link_set_reason(c->link, "quit");
    if (c->state == CLIENT_ON) {
        link_send(c->link, BYE, sizeof BYE - 1);
        c->state = CLIENT_ENDING;
        link_set_deadline(c->link, ms);
    } else if (c->state == CLIENT_ENDING && link_is_open(c->link)) {
        link_set_deadline(c->link, 1); /* it is half-closed by hand: nothing more can be said */
    } else {
        link_close(c->link);
        if (c->model.line_count > 0)
            be_over_with_pending(c);
        else
            be_over(c, c->exit_code, NULL);
    }
}

void client_reconnect(struct client *c)
{
    if (c->is_over)
        return;
    link_set_reason(c->link, "reconnect");
    link_close(c->link);
    model_detach(&c->model);
    event_del(c->timer);
    c->user_ended = false;
    c->returns = 0; /* what comes of it is told */
    open_link(c);
}
