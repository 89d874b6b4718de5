/* listener.c: see listener.h. */
#include "server/net/listener.h"

#include "common/lifecycle.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/table.h"
#include "server/net/conn.h"

#include <errno.h>
#include <event2/event.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define ACCEPT_BURST 128 /* connections accepted before others get their turn */
#define RETRY_MS     1000
#define SAY_AGAIN_US 10000000
#define REFUSED_MAX  128 /* connections that are being told that they are too many */
#define PROBES       4   /* between ping_ms and idle_ms of silence */

struct listener {
    struct reactor *reactor;
    struct event **events;
    struct event *retry;
    unsigned count, next;
    const char *refuse;
    uint64_t refused_said_us, paused_said_us, resumed_said_us;
    atomic_bool paused;
    bool stopped;
};

struct newcomer {
    struct post post;
    int fd;
    struct tcp_addr peer;
    bool trusted;
    const char *refuse; /* NULL: welcome */
};

static void on_newcomer(struct reactor *r, struct post *p)
{
    struct newcomer *n = (struct newcomer *)p;
    struct conn *c = conn_new(r, n->fd, &n->peer, n->trusted, n->refuse == NULL);

    if (c != NULL && r->stopping)
        conn_close(c, "shutdown"); /* it has come a moment too late */
    else if (c != NULL && n->refuse != NULL)
        conn_refuse(c, n->refuse, "limit");
    free(n);
}

static const char *why_not(struct listener *l, const struct tcp_addr *peer, bool trusted)
{
    struct net *net = l->reactor->net;

    if (atomic_fetch_add(&net->connections, 1) >= l->reactor->limits.max_connections) {
        atomic_fetch_sub(&net->connections, 1);
        return "max-connections is reached";
    }
    if (trusted || net->may_connect(peer))
        return NULL;
    atomic_fetch_sub(&net->connections, 1);
    return "max-per-address is reached";
}

/* One too many is told so, in plain, by a connection that ends at once; when even those are many, it is just
 * closed. */
static bool turn_away(struct listener *l, const struct tcp_addr *peer, const char *why)
{
    uint64_t now = reactor_now(l->reactor);
    char text[TCP_ADDR_TEXT];

    if (now - l->refused_said_us >= 1000000 || l->refused_said_us == 0) {
        l->refused_said_us = now;
        log_event(LOG_WARN, "refused", "peer=%s why=\"%s\" connections=%u", tcp_addr_format(peer, text), why,
                  atomic_load(&l->reactor->net->connections));
    }
    return atomic_load(&l->reactor->net->refused) < REFUSED_MAX;
}

static void place(struct listener *l, int fd, const struct tcp_addr *peer)
{
    struct net *net = l->reactor->net;
    bool trusted = net->is_trusted(peer);
    const char *why = why_not(l, peer, trusted);
    struct newcomer *n;

    if (why != NULL && !turn_away(l, peer, why)) {
        tcp_close(fd);
        return;
    }
    if (why != NULL)
        atomic_fetch_add(&net->refused, 1);
    n = mem_alloc(sizeof *n);
    *n = (struct newcomer){
        .fd = fd, .peer = *peer, .trusted = trusted, .refuse = why != NULL ? l->refuse : NULL};
    reactor_post(l->reactor, net->reactors[l->next++ % net->count], &n->post, on_newcomer);
}

/* At the limit every connection that goes lets one in: that is said once in a while, not each time. */
static bool may_say(struct listener *l, uint64_t *said_us)
{
    uint64_t now = reactor_now(l->reactor);

    if (*said_us != 0 && now - *said_us < SAY_AGAIN_US)
        return false;
    *said_us = now;
    return true;
}

static void set_paused(struct listener *l, bool paused, const char *why)
{
    struct timeval later = {.tv_sec = RETRY_MS / 1000};

    if (paused && !atomic_load(&l->paused) && may_say(l, &l->paused_said_us))
        log_event(
            LOG_WARN, "accept-paused",
            "why=\"%s\" connections=%u todo=\"raise the limit of open files (ulimit -n, LimitNOFILE=)\"", why,
            atomic_load(&l->reactor->net->connections));
    if (!paused && atomic_load(&l->paused) && may_say(l, &l->resumed_said_us))
        log_event(LOG_WARN, "accept-resumed", "connections=%u", atomic_load(&l->reactor->net->connections));
    atomic_store(&l->paused, paused);
    for (unsigned i = 0; i < l->count; i++) {
        if (paused)
            event_del(l->events[i]);
        else
            event_add(l->events[i], NULL);
    }
    if (paused)
        event_add(l->retry, &later);
}

static void on_ready(evutil_socket_t fd, short what, void *arg)
{
    struct listener *l = arg;
    struct tcp_addr peer;

    (void)what;
    for (int i = 0; i < ACCEPT_BURST; i++) {
        int got = tcp_accept(fd, &peer);

        if (got >= 0) {
            place(l, got, &peer);
            continue;
        }
        if (got == -EMFILE || got == -ENFILE || got == -ENOBUFS || got == -ENOMEM)
            set_paused(l, true,
                       got == -EMFILE || got == -ENFILE ? "out of descriptors (EMFILE)" : strerror(-got));
        if (got != -ECONNABORTED)
            return;
    }
}

static void on_retry(evutil_socket_t fd, short what, void *arg)
{
    struct listener *l = arg;

    (void)fd, (void)what;
    if (atomic_load(&l->paused) && !l->stopped)
        set_paused(l, false, NULL);
}

/* A peer that is gone without a word is noticed also where none is expected of it. Connections inherit what
 * their listener has: no call is made for each. Probes begin later than pings, whose answers make them
 * needless. */
void listener_set_limits(struct listener *l)
{
    const struct net_limits *limits = &l->reactor->limits;
    unsigned idle_ms = limits->ping_ms + limits->idle_ms;
    int every = (int)(limits->idle_ms / 1000 / PROBES);

    if (l->stopped)
        return;
    every = every > 0 ? every : 1;
    for (unsigned i = 0; i < l->count; i++) {
        int fd = event_get_fd(l->events[i]);

        tcp_set_keepalive(fd, (int)(limits->ping_ms / 1000) + every, every, PROBES);
        tcp_set_user_timeout(fd, idle_ms > limits->stall_ms ? idle_ms : limits->stall_ms);
    }
}

struct listener *listener_new(struct reactor *r, const int *fds, unsigned count, const char *refuse)
{
    struct listener *l = mem_zalloc(sizeof *l);

    l->reactor = r;
    l->refuse = refuse;
    l->count = count;
    l->events = mem_zalloc(count * sizeof(struct event *));
    l->retry = evtimer_new(r->base, on_retry, l);
    for (unsigned i = 0; i < count; i++) {
        l->events[i] = event_new(r->base, fds[i], EV_READ | EV_PERSIST, on_ready, l);
        event_add(l->events[i], NULL);
    }
    listener_set_limits(l);
    return l;
}

void listener_stop(struct listener *l)
{
    if (l->stopped)
        return;
    l->stopped = true;
    event_del(l->retry);
    for (unsigned i = 0; i < l->count; i++) {
        event_del(l->events[i]);
        tcp_close(event_get_fd(l->events[i]));
    }
}

void listener_free(struct listener *l)
{
    if (l == NULL)
        return;
    listener_stop(l);
    for (unsigned i = 0; i < l->count; i++)
        event_free(l->events[i]);
    event_free(l->retry);
    free(l->events);
    free(l);
}

static void on_freed(struct reactor *r, struct post *p)
{
    struct listener *l = r->listener;

    (void)r;
    free(p);
    if (l != NULL)
        on_retry(-1, 0, l);
}

void listener_retry(struct listener *l)
{
    struct post *p;

    if (!atomic_load_explicit(&l->paused, memory_order_relaxed))
        return;
    p = mem_alloc(sizeof *p);
    reactor_post_from_outside(l->reactor, p, on_freed);
}
