/* server.c: see server.h. The main thread waits for signals; all that it wants of a reactor is posted to it.
 *
 * What always holds: reactors exist from server_start to server_end, their threads from one to the other; the
 * settings that others read without asking (whom to trust) are swapped under a lock. */
#include "server/server.h"

#include "common/lifecycle.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/sockdiag.h"
#include "common/tls.h"
#include "server/chat/chat.h"
#include "server/chat/store.h"
#include "server/data.h"
#include "server/listen.h"
#include "server/net/listener.h"
#include "server/peers.h"

#include <errno.h>
#include <event2/event.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define LINGER_BYTES      (4U << 20) /* read and thrown away after our FIN, before a RST */
#define DESTROYED_AT_ONCE 8
#define MAX_ANSWERS       (1U << 20) /* answers that wait, before a client's requests are no longer read */

struct server {
    struct config *config;
    struct config reloaded; /* where config points after a SIGHUP */
    int argc;
    char **argv;
    struct net net;
    struct chat_shared shared;
    struct chat *chats[REACTOR_MAX];
    struct listener *listener;
    SSL_CTX *tls;
    struct event_base *base;
    struct event *signals[3], *ended, *drain_timer, *destroyed, *trace_due;
    uint16_t ports[LISTEN_MAX]; /* 0 behind the last one */
    unsigned destroyed_lately;  /* wake-ups for sockets that were freed, since trace_due ran */
    int status;
    bool draining;
};

static struct server server;

/* What the main thread tells each reactor. */
struct order {
    struct post post;
    struct net_limits net;
    struct chat_limits chat;
    SSL_CTX *tls;
};

static struct net_limits net_limits_of(const struct config *c)
{
    static const enum plain_policy plain[] = {[CONFIG_PLAIN_LOOPBACK] = PLAIN_LOOPBACK,
                                              [CONFIG_PLAIN_ANY] = PLAIN_ANY,
                                              [CONFIG_PLAIN_OFF] = PLAIN_OFF};

    return (struct net_limits){
        .max_line = (uint32_t)c->max_line,
        .max_out = (uint32_t)c->max_out,
        .max_answers = MAX_ANSWERS,
        .requests_per_s = c->requests_per_second,
        .max_connections = c->max_connections,
        .max_per_address = c->max_per_address,
        .login_ms = c->login_seconds * 1000,
        .ping_ms = c->ping_seconds * 1000,
        .idle_ms = (c->idle_seconds - c->ping_seconds) * 1000,
        .stall_ms = c->stall_seconds * 1000,
        .linger_ms = c->linger_seconds * 1000,
        .linger_most_ms = c->linger_total_seconds * 1000,
        .linger_bytes = LINGER_BYTES,
        .plain = plain[c->plain],
    };
}

static struct chat_limits chat_limits_of(const struct config *c)
{
    return (struct chat_limits){
        .max_rooms = c->max_rooms,
        .max_kept_rooms = c->max_kept_rooms,
        .max_accounts = c->max_accounts,
        .max_rooms_per_connection = c->max_rooms_per_connection,
        .max_members = c->max_members,
        .history = c->history,
        .history_bytes = c->history_bytes,
        .history_total = c->history_total,
        .presence_max = c->presence_max,
    };
}

static void tell_all(post_fn *run, const struct order *what)
{
    for (unsigned i = 0; i < server.net.count; i++) {
        struct order *o = mem_alloc(sizeof *o);

        *o = *what;
        if (o->tls != NULL)
            SSL_CTX_up_ref(o->tls);
        reactor_post_from_outside(server.net.reactors[i], &o->post, run);
    }
}

static void on_drain(struct reactor *r, struct post *p)
{
    if (r->listener != NULL)
        listener_stop(r->listener);
    chat_drain(chat_of(r));
    free(p);
}

static void on_cut(struct reactor *r, struct post *p)
{
    if (r->listener != NULL)
        listener_stop(r->listener);
    chat_cut(chat_of(r));
    free(p);
}

static void on_settings(struct reactor *r, struct post *p)
{
    struct order *o = (struct order *)p;

    reactor_set_limits(r, &o->net);
    if (r->listener != NULL)
        listener_set_limits(r->listener);
    chat_of(r)->limits = o->chat;
    SSL_CTX_free(r->tls);
    r->tls = o->tls;
    free(o);
}

static void on_drain_over(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what, (void)arg;
    log_event(LOG_WARN, "drain-over", "connections=%u after=%us", atomic_load(&server.net.connections),
              server.config->drain_seconds);
    tell_all(on_cut, &(struct order){0});
    event_base_loopbreak(server.base);
}

static void begin_drain(const char *why)
{
    struct timeval within = {.tv_sec = server.config->drain_seconds};

    server.draining = true;
    log_event(LOG_INFO, "drain", "why=%s connections=%u within=%us", why,
              atomic_load(&server.net.connections), server.config->drain_seconds);
    tell_all(on_drain, &(struct order){0});
    evtimer_add(server.drain_timer, &within);
}

static void on_stop_signal(evutil_socket_t number, short what, void *arg)
{
    const char *name = number == SIGTERM ? "SIGTERM" : "SIGINT";

    (void)what, (void)arg;
    if (!server.draining) {
        begin_drain(name);
        return;
    }
    log_event(LOG_WARN, "stop-now", "why=%s connections=%u", name, atomic_load(&server.net.connections));
    tell_all(on_cut, &(struct order){0});
    event_base_loopbreak(server.base);
}

static SSL_CTX *make_tls(const struct config *c, char err[TLS_ERROR_SIZE])
{
    return tls_new_server(c->cert, c->key, &(struct tls_own){c->data, c->name}, c->tls_tickets, err);
}

static void use_log(const struct config *fresh)
{
    char why[LOG_QUOTED_SIZE], where[LOG_QUOTED_SIZE];
    int ret = log_move(fresh->log);

    if (ret < 0)
        log_event(LOG_ERROR, "reload",
                  "what=log file=%s why=%s todo=\"mend it and send SIGHUP again: the log goes on here\"",
                  log_quote_text(fresh->log, where), log_quote_text(strerror(-ret), why));
    log_set_level((enum log_level)fresh->log_level);
}

static void apply(struct config *fresh, SSL_CTX *tls)
{
    struct order o = {.net = net_limits_of(fresh), .chat = chat_limits_of(fresh), .tls = tls};

    use_log(fresh);
    peers_configure(fresh);
    config_deinit(server.config);
    server.reloaded = *fresh;
    server.config = &server.reloaded;
    SSL_CTX_free(server.tls);
    server.tls = tls;
    tell_all(on_settings, &o);
}

static void on_reload_signal(evutil_socket_t number, short what, void *arg)
{
    struct config fresh;
    char err[CONFIG_ERROR_MAX], restart[256] = "", why[LOG_QUOTED_SIZE], tls_err[TLS_ERROR_SIZE];
    SSL_CTX *tls;
    int ret = log_reopen();

    (void)number, (void)what, (void)arg;
    if (ret < 0)
        log_event(LOG_ERROR, "reload", "what=log why=%s", log_quote_text(strerror(-ret), why));
    ret = config_reload(server.config, server.argc, server.argv, &fresh, restart, sizeof restart, err,
                        sizeof err);
    if (ret < 0) {
        log_event(LOG_ERROR, "reload",
                  "what=config why=%s todo=\"mend it and send SIGHUP again: nothing has changed\"",
                  log_quote_text(err, why));
        return;
    }
    tls = make_tls(&fresh, tls_err);
    if (tls == NULL) {
        log_event(LOG_ERROR, "reload",
                  "what=certificate why=%s todo=\"mend it and send SIGHUP again: nothing has changed\"",
                  log_quote_text(tls_err, why));
        config_deinit(&fresh);
        return;
    }
    apply(&fresh, tls);
    log_event(LOG_INFO, "reload", "what=all restart-for=%s",
              log_quote_text(ret == CONFIG_RESTART ? restart : "nothing", why));
}

static void conn_gone(const struct tcp_addr *peer, bool exempt)
{
    if (!exempt)
        peers_leave(peer);
    if (server.listener != NULL)
        listener_retry(server.listener);
}

static bool may_connect(const struct tcp_addr *peer)
{
    return peers_enter(peer);
}

static int make_reactors(void)
{
    struct net_limits net = net_limits_of(server.config);
    struct chat_limits chat = chat_limits_of(server.config);
    char err[256];

    server.net.ops = &chat_ops;
    server.net.is_trusted = peers_is_trusted;
    server.net.may_connect = may_connect;
    server.net.conn_gone = conn_gone;
    server.shared.net = &server.net;
    server.shared.server = "chatd " CHATD_VERSION;
    directory_init(&server.shared.directory, server.shared.store->newest_ms);
    accounts_init(&server.shared.accounts);
    for (unsigned i = 0; i < server.config->threads; i++) {
        struct reactor *r = reactor_new(&server.net, i, &net, server.tls, err, sizeof err);

        if (r == NULL) {
            fprintf(stderr, "chatd: %s\n", err);
            return -1;
        }
        server.net.reactors[server.net.count++] = r;
        server.chats[i] = chat_new(&server.shared, r, &chat);
    }
    accounts_start(&server.shared.accounts, server.shared.store, server.net.reactors[0]);
    return 0;
}

/* The soft limit of open files is raised as far as it goes; root may raise the hard one too. */
static void raise_files(void)
{
    struct rlimit limit, wanted;

    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || getenv("CHATD_KEEP_NOFILE") != NULL)
        return;
    wanted = limit;
    if (limit.rlim_max < (rlim_t)server.config->max_connections + 256) {
        wanted.rlim_max = wanted.rlim_cur = (rlim_t)server.config->max_connections + 256;
        if (setrlimit(RLIMIT_NOFILE, &wanted) == 0)
            return;
    }
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
}

static void watch_signals(void)
{
    static const int stops[] = {SIGTERM, SIGINT};

    signal(SIGPIPE, SIG_IGN);
    server.base = event_base_new();
    for (int i = 0; i < 2; i++) {
        server.signals[i] = evsignal_new(server.base, stops[i], on_stop_signal, NULL);
        event_add(server.signals[i], NULL);
    }
    server.signals[2] = evsignal_new(server.base, SIGHUP, on_reload_signal, NULL);
    event_add(server.signals[2], NULL);
    server.drain_timer = evtimer_new(server.base, on_drain_over, NULL);
}

/* Signals go to the main thread: the others start with all of them blocked. */
static int start_threads(void)
{
    sigset_t all, old;
    int ret = 0;

    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &old);
    for (unsigned i = 0; i < server.net.count && ret == 0; i++)
        ret = reactor_start(server.net.reactors[i]);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    return ret;
}

static void on_one_destroyed(const struct sockdiag_socket *s, void *arg)
{
    (void)arg;
    for (const uint16_t *port = server.ports; port < server.ports + LISTEN_MAX && *port != 0; port++)
        if (*port == s->local.port && s->peer.port != 0)
            trace_socket_state(s->cookie, TCP_STATE_CLOSED, "destroy",
                               s->facts.source != NULL ? &s->facts : NULL);
}

/* A few are taken at once, for their time; where many come, those of a moment come together, as a wake-up for
 * each would cost more than all that is written. */
static void on_destroyed(evutil_socket_t fd, short what, void *arg)
{
    struct timeval soon = {.tv_usec = 50000};

    (void)what, (void)arg;
    sockdiag_read_destroyed(fd, on_one_destroyed, NULL);
    if (!evtimer_pending(server.trace_due, NULL))
        evtimer_add(server.trace_due, &soon);
    if (++server.destroyed_lately == DESTROYED_AT_ONCE)
        event_del(server.destroyed);
}

static void on_trace_due(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what, (void)arg;
    sockdiag_read_destroyed(event_get_fd(server.destroyed), on_one_destroyed, NULL);
    trace_flush();
    server.destroyed_lately = 0;
    event_add(server.destroyed, NULL);
}

/* With an event log: keeps each client's SYN, and listens for the kernel's word that a socket is gone. */
static void watch_for_trace(const int *fds, int count)
{
    struct tcp_addr at;
    int fd;

    if (!trace_is_on())
        return;
    for (int i = 0; i < count; i++) {
        tcp_save_syn(fds[i]);
        tcp_get_local(fds[i], &at);
        server.ports[i] = at.port;
    }
    server.trace_due = evtimer_new(server.base, on_trace_due, NULL);
    fd = sockdiag_open_destroyed(server.ports, (unsigned)count);
    if (fd < 0)
        return; /* such a host has the states that TCP_INFO tells */
    server.destroyed = event_new(server.base, fd, EV_READ | EV_PERSIST, on_destroyed, NULL);
    event_add(server.destroyed, NULL);
}

static void end_trace(void)
{
    if (server.destroyed != NULL) {
        on_destroyed(event_get_fd(server.destroyed), EV_READ, NULL);
        close(event_get_fd(server.destroyed));
        event_free(server.destroyed);
    }
    if (server.trace_due != NULL)
        event_free(server.trace_due);
    trace_close_thread();
}

/* Joins the reactors' threads, then wakes the main thread by closing a pipe. */
static void *wait_for_reactors(void *arg)
{
    const int *wake = arg;

    for (unsigned i = 0; i < server.net.count; i++)
        reactor_join(server.net.reactors[i]);
    close(*wake);
    return NULL;
}

static void on_all_ended(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what, (void)arg;
    event_base_loopbreak(server.base);
}

static int run_until_stopped(void)
{
    pthread_t waiter;
    sigset_t all, old;
    int ends[2];

    if (pipe(ends) != 0)
        return -errno;
    server.ended = event_new(server.base, ends[0], EV_READ, on_all_ended, NULL);
    event_add(server.ended, NULL);
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &old);
    if (pthread_create(&waiter, NULL, wait_for_reactors, &ends[1]) != 0)
        return -EAGAIN;
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    event_base_dispatch(server.base);
    pthread_join(waiter, NULL);
    close(ends[0]);
    return 0;
}

static void free_event(struct event *event)
{
    if (event != NULL)
        event_free(event);
}

static void end(void)
{
    bool any = true;

    while (any) { /* until nothing comes back from the store either */
        any = accounts_settle(&server.shared.accounts);
        any |= server.shared.store != NULL && store_settle(server.shared.store);
        for (unsigned i = 0; i < server.net.count; i++)
            any |= reactor_settle(server.net.reactors[i]);
    }
    store_close(server.shared.store);
    listener_free(server.listener);
    server.listener = NULL;
    for (unsigned i = 0; i < server.net.count; i++)
        chat_free(server.chats[i]);
    for (unsigned i = 0; i < server.net.count; i++)
        reactor_free(server.net.reactors[i]);
    for (int i = 0; i < 3; i++)
        free_event(server.signals[i]);
    end_trace();
    free_event(server.ended);
    free_event(server.drain_timer);
    if (server.base != NULL)
        event_base_free(server.base);
    SSL_CTX_free(server.tls);
    directory_deinit(&server.shared.directory);
    accounts_deinit(&server.shared.accounts);
    peers_deinit();
}

static int fail(int status, const char *what, const char *why)
{
    fprintf(stderr, "chatd: %s: %s\n", what, why);
    return status;
}

static int open_trace(const struct config *c)
{
    struct trace_options o = {
        .dir = c->trace != NULL ? c->trace : trace_default_dir(),
        .program = "chatd",
        .side = "server",
        .prefix = lifecycle_id_prefix(),
        .level = c->trace_detail == 0 ? TRACE_CALLS : TRACE_MESSAGES,
    };

    return o.dir != NULL ? trace_open(&o) : 0;
}

static int prepare(void)
{
    struct config *c = server.config;
    int ret = log_open(c->log);

    if (ret < 0)
        return fail(SERVER_EXIT_FAILED, c->log, strerror(-ret));
    log_set_level((enum log_level)c->log_level);
    lifecycle_set_side("server");
    if (!data_make_dir(c->data))
        return SERVER_EXIT_STORAGE;
    ret = open_trace(c);
    if (ret < 0)
        return fail(SERVER_EXIT_FAILED, c->trace, strerror(-ret));
    peers_configure(c);
    raise_files();
    return 0;
}

/* In this order: a port in use is told before data in use, and what is in the data directory belongs to who
 * has its lock. */
static int open_all(int fds[LISTEN_MAX], int *n)
{
    char err[CONFIG_ERROR_MAX], tls_err[TLS_ERROR_SIZE];

    *n = listen_open(server.config, fds, err, sizeof err);
    if (*n < 0) {
        fprintf(stderr, "%s\n", err);
        return SERVER_EXIT_LISTEN;
    }
    server.shared.store = data_open_store(server.config);
    if (server.shared.store == NULL)
        return SERVER_EXIT_STORAGE;
    server.tls = make_tls(server.config, tls_err);
    if (server.tls == NULL)
        return fail(SERVER_EXIT_USAGE, "TLS", tls_err);
    if (make_reactors() != 0)
        return SERVER_EXIT_FAILED;
    log_event(LOG_INFO, "start", "name=%s version=%s", server.config->name, CHATD_VERSION);
    data_tell_where(server.config);
    return 0;
}

static int listen_and_run(void)
{
    int fds[LISTEN_MAX], n, ret;
    char err[CONFIG_ERROR_MAX];

    ret = open_all(fds, &n);
    if (ret != 0)
        return ret;
    server.listener = listener_new(
        server.net.reactors[0], fds, (unsigned)n,
        "{\"type\":\"bye\",\"code\":\"limit\",\"text\":\"there are as many connections as there may be\","
        "\"retry_after_ms\":5000}\n");
    server.net.reactors[0]->listener = server.listener;
    watch_signals();
    watch_for_trace(fds, n);
    ret = start_threads();
    if (ret < 0)
        _exit(fail(SERVER_EXIT_FAILED, "a thread could not be started",
                   strerror(-ret))); /* others may be running */
    if (listen_write_ports(server.config, fds, n, err, sizeof err) < 0) {
        fprintf(stderr, "%s\n", err);
        server.status = SERVER_EXIT_FAILED;
        tell_all(on_cut, &(struct order){0});
    }
    ret = run_until_stopped();
    if (ret < 0)
        _exit(fail(SERVER_EXIT_FAILED, "the server could not be watched over", strerror(-ret)));
    return server.status;
}

int server_run(struct config *config, int argc, char **argv)
{
    int status;

    server.config = config;
    server.argc = argc;
    server.argv = argv;
    status = prepare();
    if (status == 0)
        status = listen_and_run();
    end();
    if (server.net.count > 0)
        log_event(LOG_INFO, "end", "status=%d", status);
    log_close();
    config_deinit(server.config);
    return status;
}
