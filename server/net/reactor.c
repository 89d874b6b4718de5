/* reactor.c: see reactor.h. */
#include "server/net/reactor.h"

#include "common/clock.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/trace.h"
#include "common/transport.h"
#include "server/net/conn.h"

#include <errno.h>
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PACE_MS         100  /* how long one who asks too much is not read */
#define TRIM_HANDSHAKES 1024 /* each leaves a hole of 33 KB among what lives on: trimmed after that many, */
#define TRIM_FEWEST     64
#define TRIM_MS         100  /* or after fewer, when for so long no more have come */
#define TRACE_MS        100  /* how old an event may get before it is written */
#define STOP_LINGER_MS  1000 /* at a stop, before it is looked who has all and just does not close */

uint64_t reactor_now(struct reactor *r)
{
    if (r->now_us == 0) {
        r->now_us = clock_mono_us();
        r->wall_ms = clock_wall_us() / 1000;
    }
    return r->now_us;
}

static uint32_t duration_ms(const struct reactor *r, enum timer_kind kind)
{
    const struct net_limits *limits = &r->limits;

    if (kind >= TIMER_PING && kind <= TIMER_PING_LAST)
        return limits->ping_ms >> (kind - TIMER_PING);
    switch (kind) {
    case TIMER_LOGIN:
        return limits->login_ms;
    case TIMER_IDLE:
        return limits->idle_ms;
    case TIMER_STALL:
        return limits->stall_ms;
    case TIMER_LINGER:
        return r->stopping && limits->linger_ms > STOP_LINGER_MS ? STOP_LINGER_MS : limits->linger_ms;
    case TIMER_PING:
    case TIMER_PING_LAST:
    case TIMER_PACE:
    case TIMER_COUNT:
        break;
    }
    return PACE_MS;
}

void reactor_drop_timer(struct reactor *r, struct conn *c)
{
    if (c->timer == TIMER_COUNT)
        return;
    TAILQ_REMOVE(&r->timers[c->timer], c, timer_link);
    c->timer = TIMER_COUNT;
}

/* When the timer is due is kept here: libevent tells it as a time of day, which may be set while the timer
 * runs. */
static void arm_tick(struct reactor *r, uint32_t within_ms)
{
    struct timeval within = {.tv_sec = within_ms / 1000, .tv_usec = (suseconds_t)(within_ms % 1000) * 1000};
    uint64_t due_ms = reactor_now(r) / 1000 + within_ms;

    if (r->tick_due_ms != 0 && r->tick_due_ms <= due_ms)
        return;
    r->tick_due_ms = due_ms;
    evtimer_add(r->tick, &within);
}

void reactor_set_ping_timer(struct reactor *r, struct conn *c)
{
    uint32_t silent = (uint32_t)(reactor_now(r) / 1000) - c->last_in_ms;
    enum timer_kind kind = TIMER_PING;

    while (kind < TIMER_PING_LAST && silent + duration_ms(r, kind) > r->limits.ping_ms)
        kind++;
    reactor_set_timer(r, c, kind);
}

void reactor_set_timer(struct reactor *r, struct conn *c, enum timer_kind kind)
{
    uint32_t ms = duration_ms(r, kind);
    bool first = TAILQ_EMPTY(&r->timers[kind]);

    reactor_drop_timer(r, c);
    c->timer = (uint8_t)kind;
    c->deadline_ms = (uint32_t)(reactor_now(r) / 1000 + ms);
    TAILQ_INSERT_TAIL(&r->timers[kind], c, timer_link);
    if (first)
        arm_tick(r, ms);
}

/* Deadlines are 32 bits of ms: compare them as a circle. */
static int32_t ms_until(const struct reactor *r, const struct conn *c)
{
    return (int32_t)(c->deadline_ms - (uint32_t)(r->now_us / 1000));
}

/* All that wait in a queue wait longer by so much, or shorter: so it stays in order. */
static void shift_queue(struct reactor *r, enum timer_kind kind, uint32_t by_ms)
{
    struct conn *c, *first = TAILQ_FIRST(&r->timers[kind]);
    int32_t left;

    if (by_ms == 0 || first == NULL)
        return;
    TAILQ_FOREACH(c, &r->timers[kind], timer_link)
    c->deadline_ms += by_ms;
    left = ms_until(r, first);
    arm_tick(r, left > 0 ? (uint32_t)left + 1 : 0);
}

void reactor_set_limits(struct reactor *r, const struct net_limits *limits)
{
    uint32_t before[TIMER_COUNT];

    reactor_now(r);
    for (enum timer_kind kind = 0; kind < TIMER_COUNT; kind++)
        before[kind] = duration_ms(r, kind);
    r->limits = *limits;
    for (enum timer_kind kind = 0; kind < TIMER_COUNT; kind++)
        shift_queue(r, kind, duration_ms(r, kind) - before[kind]);
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
    struct reactor *r = arg;
    int32_t next = INT32_MAX;

    (void)fd, (void)what;
    reactor_now(r);
    r->tick_due_ms = 0;
    for (int kind = 0; kind < TIMER_COUNT; kind++) {
        struct conn *c;

        while ((c = TAILQ_FIRST(&r->timers[kind])) != NULL && ms_until(r, c) <= 0)
            conn_timeout(c); /* closes it, or puts it into another queue or behind in this one */
        if (c != NULL && ms_until(r, c) < next)
            next = ms_until(r, c);
    }
    if (next != INT32_MAX)
        arm_tick(r, (uint32_t)next + 1);
}

static void on_trim(evutil_socket_t fd, short what, void *arg)
{
    struct reactor *r = arg;
    struct timeval later = {.tv_usec = TRIM_MS * 1000};

    (void)fd, (void)what;
    if (r->handshakes < TRIM_HANDSHAKES && r->handshakes != r->handshakes_seen) {
        r->handshakes_seen = r->handshakes;
        evtimer_add(r->trim, &later);
        return;
    }
    r->handshakes = r->handshakes_seen = 0;
    mem_trim();
}

void reactor_count_handshake(struct reactor *r)
{
    struct timeval later = {.tv_usec = TRIM_MS * 1000};

    if (++r->handshakes == TRIM_FEWEST)
        evtimer_add(r->trim, &later);
    else if (r->handshakes == TRIM_HANDSHAKES)
        event_active(r->trim, EV_TIMEOUT, 0);
}

static void on_mail(evutil_socket_t fd, short what, void *arg)
{
    struct reactor *r = arg;
    struct post *p = mailbox_take(&r->box), *next;

    (void)fd, (void)what;
    for (; p != NULL; p = next) {
        next = p->next;
        p->run(r, p);
    }
}

void reactor_post(struct reactor *r, struct reactor *to, struct post *p, post_fn *run)
{
    p->run = run;
    if (to == r) {
        run(r, p);
        return;
    }
    p->next = r->outgoing[to->index];
    if (p->next == NULL)
        r->outgoing_oldest[to->index] = p;
    r->outgoing[to->index] = p;
}

void reactor_post_from_outside(struct reactor *to, struct post *p, post_fn *run)
{
    p->run = run;
    mailbox_put(&to->box, p, p);
}

static void send_posts(struct reactor *r)
{
    for (unsigned i = 0; i < r->net->count; i++) {
        struct post *first = r->outgoing[i];

        if (first == NULL)
            continue;
        r->outgoing[i] = NULL;
        mailbox_put(&r->net->reactors[i]->box, first, r->outgoing_oldest[i]);
    }
}

static void list_add(struct conn_list *l, struct conn *c)
{
    if (l->n == l->cap) {
        l->cap = l->cap > 0 ? l->cap * 2 : 64;
        l->v = mem_realloc(l->v, l->cap * sizeof(struct conn *));
    }
    l->v[l->n++] = c;
}

void reactor_add_dirty(struct reactor *r, struct conn *c)
{
    if (!c->is_dirty)
        list_add(&r->dirty, c);
    c->is_dirty = true;
}

void reactor_add_resumed(struct reactor *r, struct conn *c)
{
    if (!c->is_resumed)
        list_add(&r->resumed, c);
    c->is_resumed = true;
}

void reactor_add_dead(struct reactor *r, struct conn *c)
{
    list_add(&r->dead, c);
}

/* Hands out a list whole, so that what is added meanwhile waits for the next round. */
static struct conn_list take_list(struct reactor *r, struct conn_list *from)
{
    struct conn_list all = *from;

    *from = r->spare;
    from->n = 0;
    r->spare = (struct conn_list){0};
    return all;
}

static void give_back(struct reactor *r, struct conn_list *l)
{
    free(r->spare.v);
    r->spare = *l;
}

static void flush_dirty(struct reactor *r)
{
    struct conn_list all = take_list(r, &r->dirty);

    for (uint32_t i = 0; i < all.n; i++) {
        if (i + 1 < all.n)
            conn_prefetch(all.v[i + 1]);
        all.v[i]->is_dirty = false;
        conn_flush(all.v[i]);
    }
    give_back(r, &all);
}

static void resume_paused(struct reactor *r)
{
    struct conn_list all = take_list(r, &r->resumed);

    for (uint32_t i = 0; i < all.n; i++) {
        all.v[i]->is_resumed = false;
        conn_read_on(all.v[i]);
    }
    give_back(r, &all);
}

/* One that still is in another list waits for the next turn. */
static void free_dead(struct reactor *r)
{
    struct conn_list all = take_list(r, &r->dead);

    for (uint32_t i = 0; i < all.n; i++) {
        if (all.v[i]->is_dirty || all.v[i]->is_resumed)
            list_add(&r->dead, all.v[i]);
        else
            free(all.v[i]);
    }
    give_back(r, &all);
}

static void free_lists(struct reactor *r)
{
    struct conn_list *lists[] = {&r->dirty, &r->dead, &r->resumed, &r->spare};

    for (int i = 0; i < 4; i++)
        free(lists[i]->v);
}

static void on_trace_due(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what, (void)arg;
    trace_flush();
}

/* A write a turn would cost more than the events: they wait for others, but not for long. */
static void flush_trace_soon(struct reactor *r)
{
    struct timeval soon = {.tv_usec = TRACE_MS * 1000};

    if (trace_is_due() && !evtimer_pending(r->trace_due, NULL))
        evtimer_add(r->trace_due, &soon);
}

/* Writing can drain a queue, which can make a reader behind the head be fed again, and so on: all of it
 * belongs to this turn, but no more than some rounds of it, so that others get theirs. */
static void end_turn(struct reactor *r)
{
    int rounds = 0;

    do {
        resume_paused(r);
        r->net->ops->turn_end(r);
        send_posts(r); /* others begin to write while this one does */
        flush_dirty(r);
    } while ((r->dirty.n > 0 || r->resumed.n > 0) && ++rounds < 8);
    if (r->dirty.n > 0 || r->resumed.n > 0)
        event_active(r->mail, EV_TIMEOUT, 0);
    send_posts(r);
    free_dead(r);
    log_flush();
    if (trace_is_on())
        flush_trace_soon(r);
    r->now_us = 0;
}

static bool is_over(const struct reactor *r)
{
    struct net *net = r->net;

    return r->stopping && atomic_load(&net->stopping) == net->count && atomic_load(&net->connections) == 0 &&
           atomic_load(&net->refused) == 0;
}

void reactor_conn_gone(struct reactor *r)
{
    if (!is_over(r))
        return;
    for (unsigned i = 0; i < r->net->count; i++)
        mailbox_wake(&r->net->reactors[i]->box);
}

void reactor_stop(struct reactor *r)
{
    uint32_t before = duration_ms(r, TIMER_LINGER);

    if (!r->stopping)
        atomic_fetch_add(&r->net->stopping, 1);
    r->stopping = true;
    reactor_now(r);
    shift_queue(r, TIMER_LINGER, duration_ms(r, TIMER_LINGER) - before);
    reactor_conn_gone(r);
}

static void *run(void *arg)
{
    struct reactor *r = arg;

    log_batch(true);
    while (!is_over(r)) {
        if (event_base_loop(r->base, EVLOOP_ONCE) < 0) {
            log_event(LOG_ERROR, "reactor", "index=%u why=\"event_base_loop failed\"", r->index);
            break;
        }
        end_turn(r);
    }
    log_batch(false);
    trace_close_thread();
    transport_end_thread();
    return NULL;
}

struct reactor *reactor_new(struct net *net, unsigned index, const struct net_limits *limits, SSL_CTX *tls,
                            char *err, size_t err_size)
{
    struct reactor *r = mem_zalloc(sizeof *r);
    struct event_config *config = event_config_new();
    int failed;

    event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK);
    r->base = event_base_new_with_config(config);
    event_config_free(config);
    failed = r->base == NULL ? -ENOMEM : mailbox_init(&r->box);
    if (failed < 0) {
        snprintf(err, err_size, "an event loop could not be made: %s", strerror(-failed));
        if (r->base != NULL)
            event_base_free(r->base);
        free(r);
        return NULL;
    }
    r->net = net;
    r->index = index;
    r->limits = *limits;
    r->tls = tls;
    SSL_CTX_up_ref(tls);
    for (int i = 0; i < TIMER_COUNT; i++)
        TAILQ_INIT(&r->timers[i]);
    r->raw = mem_alloc(REACTOR_READ);
    r->plain = mem_alloc(REACTOR_READ);
    r->poller = poller_new(r->base, conn_on_ready);
    if (r->poller == NULL)
        abort();
    r->mail = event_new(r->base, r->box.wake_fd, EV_READ | EV_PERSIST, on_mail, r);
    r->tick = evtimer_new(r->base, on_tick, r);
    r->trim = evtimer_new(r->base, on_trim, r);
    r->trace_due = evtimer_new(r->base, on_trace_due, NULL);
    event_add(r->mail, NULL);
    return r;
}

int reactor_start(struct reactor *r)
{
    return -pthread_create(&r->thread, NULL, run, r);
}

void reactor_join(struct reactor *r)
{
    pthread_join(r->thread, NULL);
}

bool reactor_settle(struct reactor *r)
{
    struct post *p = mailbox_take(&r->box), *next;
    bool any = p != NULL;

    for (; p != NULL; p = next) {
        next = p->next;
        p->run(r, p);
    }
    end_turn(r);
    return any;
}

void reactor_each(struct reactor *r, void (*fn)(struct conn *c, void *arg), void *arg)
{
    for (int kind = 0; kind < TIMER_COUNT; kind++) {
        struct conn_queue all;
        struct conn *c;

        TAILQ_INIT(&all);
        TAILQ_CONCAT(&all, &r->timers[kind], timer_link);
        while ((c = TAILQ_FIRST(&all)) != NULL) {
            TAILQ_REMOVE(&all, c, timer_link);
            TAILQ_INSERT_TAIL(&r->timers[kind], c, timer_link);
            fn(c, arg);
        }
    }
}

void reactor_free(struct reactor *r)
{
    if (r == NULL)
        return;
    free_lists(r);
    poller_free(r->poller);
    event_free(r->mail);
    event_free(r->tick);
    event_free(r->trim);
    event_free(r->trace_due);
    event_base_free(r->base);
    mailbox_deinit(&r->box);
    outq_pool_deinit(&r->pool);
    buf_deinit(&r->scratch);
    SSL_CTX_free(r->tls);
    free(r->raw);
    free(r->plain);
    free(r);
}
