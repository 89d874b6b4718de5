/* resolve.c: see resolve.h. The job is shared by the look-up's thread and the event loop; the last one of
 * them frees it. The thread says that it is done by closing its end of a pipe. */
#include "client/resolve.h"

#include "common/mem.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct resolve {
    atomic_int refs;
    atomic_bool is_found; /* what the thread wrote may be read */
    struct event *done_event;
    resolve_fn *done;
    void *arg;
    int read_fd, write_fd;
    char *host;
    char port[8];
    struct tcp_addr found[RESOLVE_MAX]; /* the thread writes these, before it closes write_fd */
    size_t count;
    const char *why;
};

bool resolve_literal(const char *host, uint16_t port, struct tcp_addr *a)
{
    struct in_addr in;
    struct in6_addr in6;

    *a = (struct tcp_addr){.port = port};
    if (inet_pton(AF_INET, host, &in) == 1) {
        a->family = AF_INET;
        memcpy(a->ip, &in, 4);
    } else if (inet_pton(AF_INET6, host, &in6) == 1) {
        a->family = AF_INET6;
        memcpy(a->ip, &in6, 16);
    }
    return a->family != 0;
}

static void unref(struct resolve *r)
{
    if (atomic_fetch_sub(&r->refs, 1) != 1)
        return;
    free(r->host);
    free(r);
}

static void *look_up(void *arg)
{
    struct addrinfo want = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG}, *list = NULL;
    struct resolve *r = arg;
    int err = getaddrinfo(r->host, r->port, &want, &list);

    if (err != 0)
        r->why = gai_strerror(err);
    for (struct addrinfo *at = list; at != NULL && r->count < RESOLVE_MAX; at = at->ai_next)
        if (at->ai_family == AF_INET || at->ai_family == AF_INET6)
            tcp_addr_from(&r->found[r->count++], at->ai_addr);
    if (list != NULL)
        freeaddrinfo(list);
    atomic_store(&r->is_found, true);
    close(r->write_fd);
    unref(r);
    return NULL;
}

static void drop_loop_side(struct resolve *r)
{
    event_free(r->done_event);
    close(r->read_fd);
    unref(r);
}

static void on_done(evutil_socket_t fd, short what, void *arg)
{
    struct resolve *r = arg;
    struct tcp_addr found[RESOLVE_MAX];
    size_t count = atomic_load(&r->is_found) ? r->count : 0;
    const char *why = r->why != NULL ? r->why : "the name has no address";
    resolve_fn *done = r->done;
    void *owner = r->arg;

    (void)fd, (void)what;
    memcpy(found, r->found, count * sizeof *found);
    drop_loop_side(r);
    done(owner, found, count, why);
}

/* A detached thread that takes no signals: those are the event loop's. */
static int start_thread(struct resolve *r)
{
    pthread_attr_t attr;
    pthread_t thread;
    sigset_t all, old;
    int err;

    sigfillset(&all);
    pthread_attr_init(&attr);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    err = pthread_create(&thread, &attr, look_up, r);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    pthread_attr_destroy(&attr);
    return -err;
}

struct resolve *resolve_start(struct event_base *base, const char *host, uint16_t port, resolve_fn *done,
                              void *arg)
{
    struct resolve *r;
    int ends[2];

    if (pipe(ends) != 0)
        return NULL;
    fcntl(ends[0], F_SETFD, FD_CLOEXEC);
    fcntl(ends[1], F_SETFD, FD_CLOEXEC);
    r = mem_zalloc(sizeof *r);
    r->done = done;
    r->arg = arg;
    r->host = mem_strdup(host);
    r->read_fd = ends[0];
    r->write_fd = ends[1];
    snprintf(r->port, sizeof r->port, "%u", port);
    atomic_init(&r->refs, 2);
    r->done_event = event_new(base, r->read_fd, EV_READ, on_done, r);
    if (r->done_event == NULL || event_add(r->done_event, NULL) != 0 || start_thread(r) != 0) {
        close(r->write_fd);
        atomic_store(&r->refs, 1);
        drop_loop_side(r);
        return NULL;
    }
    return r;
}

void resolve_cancel(struct resolve *r)
{
    if (r != NULL)
        drop_loop_side(r);
}
