/* bot.c: a bot's connection: how it opens, and what is sent; see bot.h. */
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

/* Connections of one source address: there are some 28,000 ports to choose from. */
#define SOURCE_BOTS 20000

static void on_up(struct link *l, void *owner);
static bool on_trust(struct link *l, const struct link_certificate *c, void *owner);
static void on_drained(struct link *l, void *owner);
static void on_watch(struct link *l, enum link_event e, void *owner);

static const struct link_handler handler = {
    .up = on_up,
    .trust = on_trust,
    .line = bot_take_line,
    .end = bot_on_end,
    .drained = on_drained,
    .closed = bot_on_closed,
    .watch = on_watch,
};

static void on_wrong(void *arg, enum check_fault f, const char *text)
{
    struct bot *b = arg;

    if (f != CHECK_EPOCH || !b->run->settings.new_epochs)
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

/* How many addresses are to be connected from: as many as asked for, or as the ports demand. */
static unsigned count_sources(const struct run *r)
{
    return r->settings.sources > 0 ? (unsigned)r->settings.sources : r->bot_count / SOURCE_BOTS + 1;
}

/* 127.0.0.1, .2, … in turn, and then only to the host's address there. */
static void choose_source(const struct bot *b, struct tcp_addr *source, struct link_options *o)
{
    const struct tcp_addr *to = run_find_loopback4(host_of(b));
    unsigned sources = count_sources(b->run), n = b->index % sources + 1;

    if (sources < 2 || to == NULL)
        return;
    *source = (struct tcp_addr){.family = AF_INET, .ip = {127, 0, (uint8_t)(n >> 8), (uint8_t)n}};
    o->source = source;
    o->addresses = to;
    o->address_count = 1;
}

void bot_connect(struct bot *b)
{
    const struct run_host *host = host_of(b);
    struct tcp_addr source;
    struct link_options o = {.addresses = host->addresses,
                             .address_count = host->address_count,
                             .quiet = true,
                             .tls = b->tls ? b->run->tls : NULL,
                             .connect_ms = (unsigned)(b->run->settings.within * 1000)};
    int ret;

    if (b->link == NULL)
        b->link = link_new(b->run->base, &handler, b);
    choose_source(b, &source, &o);
    b->bye = -1;
    b->expected = 0;
    b->answered = UINT64_MAX; /* what was asked on the connection before is not answered on this one */
    b->welcomed = b->greeted = b->spoke_after_bye = b->stays = b->slow = false;
    link_resume(b->link);
    link_read_slowly(b->link, 0);
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
        bot_count_bytes(b);
        b->bytes_in = b->bytes_out = 0;
    }
}

void bot_count_bytes(struct bot *b)
{
    const struct lifecycle *life = b->link != NULL && link_is_open(b->link) ? link_life(b->link) : NULL;

    if (life == NULL)
        return;
    b->run->stats.now.bytes_in += life->bytes_in - b->bytes_in;
    b->run->stats.now.bytes_out += life->bytes_out - b->bytes_out;
    b->bytes_in = life->bytes_in;
    b->bytes_out = life->bytes_out;
}

static void on_drained(struct link *l, void *owner)
{
    (void)l;
    script_drained(owner);
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

int bot_write(struct bot *b, const void *data, size_t len)
{
    if (b->link == NULL)
        return -EPIPE;
    b->spoke_after_bye |= b->bye >= 0;
    return link_send(b->link, data, len);
}

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
    b->answered <<= 1;
    put_id(line, 'q', b->asked);
    codec_end(line);
    return bot_write(b, line->data, line->len);
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
    b->greeted = true;
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
    if (size < r->text.len) {
        r->stretched++;
        r->longest_mark = r->text.len > r->longest_mark ? r->text.len : r->longest_mark;
    }
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
    serial = check_will_send(&b->check, at, text_hash(text, len),
                             key != NULL ? text_hash(key, strlen(key)) : 0, due_us);
    put_id(line, 's', serial);
    codec_end(line);
    b->run->stats.now.sends++;
    bot_write(b, line->data, line->len);
    return serial;
}

bool bot_step_trickle(struct bot *b)
{
    struct bot_trickle *t = b->trickle;
    size_t n = t->rate >= 50 ? (size_t)(t->rate / 10) : 1;

    n = n < t->len - t->at ? n : t->len - t->at;
    if (bot_write(b, t->data + t->at, n) < 0)
        return false;
    t->at += n;
    if (t->at == t->len)
        return false;
    timers_set(&b->run->timers, &b->timer, clock_mono_us() + (uint64_t)((double)n * 1e6 / t->rate));
    return true;
}
