/* watch.c: see watch.h. The ends are under the lock; the changes belong to the thread until it has been
 * joined. */
#include "trace/watch.h"

#include "common/clock.h"
#include "common/mem.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>

#define TURN_NS      200000 /* between two rounds of questions */
#define SEARCH_TURNS 8      /* a search for new connections each so many turns: it costs more */

struct end {
    struct tcp_addr local, peer;
    enum tcp_state state;
    bool was_seen, is_gone;
};

struct watch {
    struct diag *diag;
    pthread_t thread;
    pthread_mutex_t lock;
    atomic_bool stop;
    bool all, is_joined;
    struct end *ends;
    size_t end_count, end_cap;
    struct watch_change *changes;
    size_t change_count, change_cap;
};

static bool same_end(const struct end *e, const struct tcp_addr *local, const struct tcp_addr *peer)
{
    return memcmp(&e->local, local, sizeof *local) == 0 && memcmp(&e->peer, peer, sizeof *peer) == 0;
}

/* With the lock. */
static struct end *find_end(struct watch *w, const struct tcp_addr *local, const struct tcp_addr *peer)
{
    for (size_t i = 0; i < w->end_count; i++)
        if (same_end(&w->ends[i], local, peer))
            return &w->ends[i];
    return NULL;
}

/* With the lock. */
static void add_end(struct watch *w, const struct tcp_addr *local, const struct tcp_addr *peer)
{
    struct end *e = find_end(w, local, peer);

    if (e != NULL) {
        e->is_gone = false; /* the ports' next connection */
        return;
    }
    if (w->end_count == w->end_cap) {
        w->end_cap = w->end_cap == 0 ? 16 : w->end_cap * 2;
        w->ends = mem_realloc(w->ends, w->end_cap * sizeof *w->ends);
    }
    w->ends[w->end_count++] = (struct end){.local = *local, .peer = *peer};
}

static void keep_change(struct watch *w, const struct diag_socket *s)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    if (w->change_count == w->change_cap) {
        w->change_cap = w->change_cap == 0 ? 64 : w->change_cap * 2;
        w->changes = mem_realloc(w->changes, w->change_cap * sizeof *w->changes);
    }
    w->changes[w->change_count++] = (struct watch_change){
        .time_ns = (int64_t)now.tv_sec * 1000000000 + now.tv_nsec,
        .socket = *s,
    };
}

static void ask_for(struct watch *w, struct end *e)
{
    struct diag_socket s;
    int result = diag_find(w->diag, &e->local, &e->peer, &s);

    if (result == 0) {
        s.local = e->local;
        s.peer = e->peer;
        e->is_gone = false;
    } else if (result == -ENOENT && e->was_seen) {
        s = (struct diag_socket){.local = e->local, .peer = e->peer, .state = TCP_STATE_CLOSED};
        e->is_gone = true;
    } else {
        return;
    }
    if (!e->was_seen || s.state != e->state)
        keep_change(w, &s);
    e->was_seen = true;
    e->state = s.state;
}

static bool found(const struct diag_socket *s, void *arg)
{
    struct watch *w = arg;

    if (s->peer.port != 0) {
        add_end(w, &s->local, &s->peer);
        add_end(w, &s->peer, &s->local);
    }
    return true;
}

static void turn(struct watch *w, unsigned number)
{
    pthread_mutex_lock(&w->lock);
    if (w->all && number % SEARCH_TURNS == 0)
        diag_each(w->diag, AF_INET, found, w);
    for (size_t i = 0; i < w->end_count; i++) {
        if (!w->ends[i].is_gone)
            ask_for(w, &w->ends[i]);
    }
    pthread_mutex_unlock(&w->lock);
}

static void *run(void *arg)
{
    struct watch *w = arg;
    const struct timespec pause = {.tv_nsec = TURN_NS};

    prctl(PR_SET_TIMERSLACK, 1000UL);
    for (unsigned n = 0; !atomic_load(&w->stop); n++) {
        turn(w, n);
        nanosleep(&pause, NULL);
    }
    turn(w, 0); /* how it is at the end */
    return NULL;
}

struct watch *watch_start(bool all)
{
    struct watch *w = mem_zalloc(sizeof *w);

    w->all = all;
    w->diag = diag_new();
    pthread_mutex_init(&w->lock, NULL);
    if (w->diag != NULL && pthread_create(&w->thread, NULL, run, w) == 0)
        return w;
    w->is_joined = true;
    watch_free(w);
    return NULL;
}

void watch_add(struct watch *w, const struct tcp_addr *a, const struct tcp_addr *b)
{
    pthread_mutex_lock(&w->lock);
    add_end(w, a, b);
    add_end(w, b, a);
    pthread_mutex_unlock(&w->lock);
}

enum tcp_state watch_ask(struct watch *w, const struct tcp_addr *local, const struct tcp_addr *peer)
{
    enum tcp_state state = TCP_STATE_UNKNOWN;
    struct end *e;

    pthread_mutex_lock(&w->lock);
    e = find_end(w, local, peer);
    if (e != NULL) {
        ask_for(w, e);
        state = e->was_seen ? e->state : TCP_STATE_CLOSED;
    }
    pthread_mutex_unlock(&w->lock);
    return state;
}

const struct watch_change *watch_stop(struct watch *w, size_t *count)
{
    if (!w->is_joined) {
        atomic_store(&w->stop, true);
        pthread_join(w->thread, NULL);
        w->is_joined = true;
    }
    *count = w->change_count;
    return w->changes;
}

void watch_free(struct watch *w)
{
    size_t count;

    if (w == NULL)
        return;
    watch_stop(w, &count);
    diag_free(w->diag);
    pthread_mutex_destroy(&w->lock);
    free(w->ends);
    free(w->changes);
    free(w);
}
