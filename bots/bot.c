/* bot.c: a bot's connection: how it opens, what is sent, how it ends; see bot.h. */
#include "bots/bot.h"

#include "bots/script.h"
#include "common/clock.h"
#include "common/mem.h"
#include "protocol/codec.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SOURCE_BOTS 20000 /* connections of one source address; there are some 28,000 ports to choose from */

static void on_up(struct link *l, void *owner);
static bool on_trust(struct link *l, const struct link_certificate *c, void *owner);
static void on_end(struct link *l, bool truncated, void *owner);
static void on_drained(struct link *l, void *owner);
static void on_closed(struct link *l, const struct link_verdict *v, void *owner);
static void on_watch(struct link *l, enum link_event e, void *owner);

static const struct link_handler handler = {
    .up = on_up,
    .trust = on_trust,
    .line = bot_take_line,
    .end = on_end,
    .drained = on_drained,
    .closed = on_closed,
    .watch = on_watch,
};

static void on_wrong(void *arg, enum check_fault f, const char *text)
{
    struct bot *b = arg;

    run_wrong(b->run, b, f, text);
}

void bot_wrong(struct bot *b, enum check_fault f, const char *format, ...)
{
    char text[512];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    run_wrong(b->run, b, f, text);
}

const char *bot_role(const struct bot *b)
{
    return b->run->roles[b->role].name;
}

void bot_init(struct bot *b, struct run *r, uint32_t index)
{
    struct buf nick = {0};

    *b = (struct bot){.run = r, .index = index, .bye = -1, .join_after = -1};
    b->co_ref = b->self_ref = b->lines_ref = LUA_NOREF;
    check_init(&b->check, &r->ledger, on_wrong, b);
    buf_putf(&nick, "bot%" PRIu32 ".", index + 1);
    text_put_base36(&nick, r->id);
    snprintf(b->nick, sizeof b->nick, "%.*s", (int)nick.len, nick.data);
    buf_deinit(&nick);
    r->stats.states[STATE_WAITING]++;
}

void bot_deinit(struct bot *b)
{
    bot_stop_waiting(b);
    link_free(b->link);
    check_deinit(&b->check);
    free(b->trickle);
    free(b->resume);
}

void bot_set_state(struct bot *b, enum stats_state to)
{
    stats_move(&b->run->stats, (enum stats_state)b->state, to);
    b->state = (uint8_t)to;
}

/* ---- opening */

static const struct run_host *host_of(const struct bot *b)
{
    return &b->run->hosts[b->index % b->run->host_count];
}

/* 127.0.0.1, .2, … in turn: as many as asked for, or as the ports demand. false: any address will do. */
static bool choose_source(const struct bot *b, struct tcp_addr *source)
{
    unsigned sources = (unsigned)b->run->settings.sources;
    const struct tcp_addr *to = &host_of(b)->addr;

    if (sources == 0)
        sources = b->run->bot_count / SOURCE_BOTS + 1;
    if (sources < 2 || to->family != AF_INET || !tcp_addr_is_loopback(to))
        return false;
    *source = (struct tcp_addr){.family = AF_INET, .ip = {127, 0, 0, 0}};
    source->ip[2] = (uint8_t)((b->index % sources + 1) >> 8);
    source->ip[3] = (uint8_t)(b->index % sources + 1);
    return true;
}

void bot_connect(struct bot *b)
{
    const struct run_host *host = host_of(b);
    struct tcp_addr source;
    struct link_options o = {.addresses = &host->addr,
                             .address_count = 1,
                             .quiet = true,
                             .tls = b->tls ? b->run->tls : NULL,
                             .connect_ms = (unsigned)(b->run->settings.within * 1000)};
    int ret;

    if (b->link == NULL)
        b->link = link_new(b->run->base, &handler, b);
    if (choose_source(b, &source))
        o.source = &source;
    b->bye = -1;
    b->expected = 0;
    b->welcomed = b->stays = b->slow = false;
    ret = link_open(b->link, &o);
    if (ret < 0)
        bot_wrong(b, CHECK_SCRIPT, "the connection could not be begun: %s", strerror(-ret));
    else
        bot_set_state(b, STATE_CONNECTING);
}

static bool on_trust(struct link *l, const struct link_certificate *c, void *owner)
{
    (void)l;
    (void)c;
    (void)owner;
    return true; /* what is measured here is the server, not who it is */
}

static void on_watch(struct link *l, enum link_event e, void *owner)
{
    struct bot *b = owner;
    uint64_t now;

    (void)l;
    if (e == LINK_CONNECTED) {
        now = clock_mono_us();
        stats_latency(&b->run->stats, LATENCY_CONNECT, b->entry_us, now);
        b->step_us = now;
        bot_set_state(b, b->tls ? STATE_SECURING : STATE_CONNECTED);
    } else if (e == LINK_SECURED) {
        stats_latency(&b->run->stats, LATENCY_TLS, b->step_us, clock_mono_us());
        bot_set_state(b, STATE_CONNECTED);
    } else if (e == LINK_CLOSING) {
        b->run->stats.now.bytes_in += link_life(b->link)->bytes_in;
        b->run->stats.now.bytes_out += link_life(b->link)->bytes_out;
    }
}

static void on_up(struct link *l, void *owner)
{
    struct bot *b = owner;

    (void)l;
    b->run->ever_connected = true;
    b->run->stats.now.connects++;
    script_up(b);
}

/* ---- sending */

struct buf *bot_begin_request(struct bot *b, enum message_type type)
{
    struct buf *line = &b->run->scratch;

    b->asking = message_type_name(type);
    buf_clear(line);
    codec_begin(line, type);
    return line;
}

static void put_id(struct buf *line, char kind, uint32_t n)
{
    buf_put_literal(line, ",\"id\":\"");
    buf_put(line, &kind, 1);
    text_put_base36(line, n);
    buf_put_literal(line, "\"");
}

int bot_end_request(struct bot *b)
{
    struct buf *line = &b->run->scratch;

    b->asked = b->next_ask++;
    put_id(line, 'q', b->asked);
    codec_end(line);
    return b->link != NULL ? link_send(b->link, line->data, line->len) : -EPIPE;
}

void bot_hello(struct bot *b)
{
    struct buf *line = bot_begin_request(b, MESSAGE_HELLO);

    codec_add_uint(line, FIELD_VERSION, PROTOCOL_VERSION);
    codec_add_text(line, FIELD_NICK, b->nick);
    codec_add_text(line, FIELD_AGENT, "chatbot");
    if (b->stays)
        codec_add_text(line, FIELD_ON_EOF, "stay");
    if (b->resume != NULL)
        codec_add_text(line, FIELD_RESUME, b->resume);
    b->step_us = clock_mono_us();
    bot_end_request(b);
}

static void make_text(struct bot *b, uint64_t due_us)
{
    struct run *r = b->run;
    const struct settings *s = &r->settings;
    size_t size = text_pick_size(&r->dice, s->size_min, s->size_max);
    struct text_mark mark = {.run = r->id, .bot = b->index, .serial = b->check.next, .due_us = due_us};

    buf_clear(&r->text);
    text_put_mark(&r->text, &mark);
    if (size > r->text.len)
        text_put(&r->text, &r->dice, s->text, size - r->text.len);
}

int64_t bot_send(struct bot *b, const char *room, size_t room_len, const char *text, size_t len,
                 const char *key, uint64_t due_us)
{
    int at = check_find(&b->check, room, room_len);
    struct buf *line;
    uint32_t serial;

    if (b->link == NULL || !link_is_up(b->link) || link_has_shut_down(b->link))
        return -EPIPE;
    if (at < 0)
        return -ENOENT;
    if (text == NULL) {
        make_text(b, due_us);
        text = b->run->text.data;
        len = b->run->text.len;
    }
    line = bot_begin_request(b, MESSAGE_SEND);
    codec_add(line, FIELD_ROOM, room, room_len);
    codec_add(line, FIELD_TEXT, text, len);
    if (key != NULL)
        codec_add_text(line, FIELD_KEY, key);
    serial = check_will_send(&b->check, at, text_hash(text, len), due_us);
    put_id(line, 's', serial);
    codec_end(line);
    b->run->stats.now.sends++;
    link_send(b->link, line->data, line->len);
    return serial;
}

bool bot_step_trickle(struct bot *b)
{
    struct bot_trickle *t = b->trickle;
    size_t n = t->rate >= 50 ? (size_t)(t->rate / 10) : 1;

    n = n < t->len - t->at ? n : t->len - t->at;
    if (b->link == NULL || link_send(b->link, t->data + t->at, n) < 0)
        return false;
    t->at += n;
    if (t->at == t->len)
        return false;
    timers_set(&b->run->timers, &b->timer, clock_mono_us() + (uint64_t)((double)n * 1e6 / t->rate));
    return true;
}

/* ---- the end */

void bot_shutdown(struct bot *b, bool rudely)
{
    if (b->link == NULL || !link_is_up(b->link) || link_has_shut_down(b->link))
        return;
    check_owe(&b->check);
    if (!b->stays)
        b->expected |= 1u << END_EOF;
    if (rudely)
        link_shutdown_rudely(b->link);
    else
        link_shutdown(b->link);
    if (b->state != STATE_ENDED)
        bot_set_state(b, STATE_HALF_CLOSED);
}

static void list_ends(uint32_t ends, char *out, size_t size)
{
    size_t at = 0;

    snprintf(out, size, "none");
    for (int i = 0; i < ENDS && at < size; i++)
        if (ends >> i & 1)
            at += (size_t)snprintf(out + at, size - at, "%s%s", at > 0 ? " or " : "",
                                   stats_end_name((enum stats_end)i));
}

/* The connection is gone, however that came. */
static void record_end(struct bot *b, enum stats_end end, bool was_up)
{
    uint32_t expected = b->expected | b->allowed;
    bool by_bot = end == END_CLOSED || end == END_WAS_RESET;
    char list[128];

    b->end = (uint8_t)end;
    b->run->stats.ends[end]++;
    b->welcomed = false;
    bot_set_state(b, b->is_over ? STATE_DONE : STATE_WAITING);
    if (!by_bot && !(expected >> end & 1)) {
        b->gone = true;
        list_ends(expected, list, sizeof list);
        bot_wrong(b, CHECK_CLOSE, "%s ended by %s; expected: %s",
                  was_up ? "the connection was" : "connecting was", stats_end_name(end), list);
    }
    check_end(&b->check, end == END_EOF || end == END_BYE, end == END_BYE);
}

static enum stats_end end_of(const struct bot *b, const struct link_verdict *v)
{
    switch (v->how) {
    case LINK_ENDED:
        return b->bye >= 0 ? (enum stats_end)b->bye : END_NO_BYE;
    case LINK_TRUNCATED:
        return END_TRUNCATED;
    case LINK_RESET:
        return b->bye >= 0 ? (enum stats_end)b->bye : END_RESET;
    case LINK_TIMED_OUT:
        return END_TIMEOUT;
    case LINK_REFUSED:
        return END_REFUSED;
    case LINK_TLS_FAILED:
    case LINK_DISTRUSTED:
        return END_TLS;
    case LINK_TOO_LONG:
        return END_LINE;
    case LINK_UNREACHABLE:
    case LINK_UNRESOLVED:
        return END_UNREACHABLE;
    }
    return END_OTHER;
}

/* After its bye the server says nothing more, so there is nothing to keep our side open for. */
static void on_end(struct link *l, bool truncated, void *owner)
{
    struct bot *b = owner;

    (void)truncated;
    if (!link_has_shut_down(l)) {
        bot_set_state(b, STATE_ENDED);
        link_shutdown(l);
    }
}

static void on_closed(struct link *l, const struct link_verdict *v, void *owner)
{
    struct bot *b = owner;

    (void)l;
    record_end(b, end_of(b, v), v->was_up);
    script_ended(b);
}

static void on_drained(struct link *l, void *owner)
{
    (void)l;
    script_drained(owner);
}

void bot_close(struct bot *b, bool with_reset)
{
    if (b->link == NULL || !link_is_open(b->link))
        return;
    if (with_reset)
        link_reset(b->link);
    else
        link_close(b->link);
    link_resume(b->link);
    link_read_slowly(b->link, 0);
    record_end(b, with_reset ? END_WAS_RESET : END_CLOSED, true);
}

/* ---- waiting */

void bot_wait(struct bot *b, enum bot_wait what, uint64_t until_us)
{
    b->wait = (uint8_t)what;
    if (until_us != 0)
        timers_set(&b->run->timers, &b->timer, until_us);
    else
        timers_cancel(&b->run->timers, &b->timer);
    if (!b->ready && what >= WAIT_LINE && what != WAIT_ROOM && what != WAIT_ACKS && what != WAIT_TAIL) {
        b->ready = true;
        run_bot_is_ready(b->run);
    }
}

void bot_stop_waiting(struct bot *b)
{
    timers_cancel(&b->run->timers, &b->timer);
    b->waited = b->wait;
    b->wait = WAIT_NOTHING;
    bot_free_wanted(b->wanted);
    b->wanted = NULL;
}

void bot_free_wanted(struct bot_wanted *w)
{
    if (w == NULL)
        return;
    for (size_t i = 0; i < w->count; i++)
        free(w->fields[i].text);
    free(w);
}

bool bot_matches(const struct bot_wanted *w, const struct message *m)
{
    if (w->type != MESSAGE_UNKNOWN && w->type != m->type)
        return false;
    for (size_t i = 0; i < w->count; i++) {
        const struct value *v = message_get(m, w->fields[i].field);

        if (v == NULL || (v->kind == VALUE_UINT) != w->fields[i].is_number)
            return false;
        if (w->fields[i].is_number
                ? v->number != w->fields[i].number
                : v->len != w->fields[i].len || memcmp(v->text, w->fields[i].text, v->len) != 0)
            return false;
    }
    return true;
}
