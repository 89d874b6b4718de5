/* reactor.h: a thread with one event_base, which owns its connections: nobody else touches them.
 *
 * A turn: libevent's ready events (reads, mail, timers), then turn_end of the layer above (rooms hand out
 * what was said), then posts to other reactors, then one write for each connection that has something to say,
 * then what was closed is freed and the log is written. Nothing in a turn blocks. */
#ifndef NET_REACTOR_H
#define NET_REACTOR_H

#include "common/buf.h"
#include "common/tcp.h"
#include "server/net/mailbox.h"
#include "server/net/outq.h"

#include <openssl/ssl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

struct conn;
struct listener;
struct event;
struct event_base;
struct poller;

#define REACTOR_MAX  64
#define REACTOR_READ 65536 /* bytes read from one connection at a time */

enum plain_policy { PLAIN_OFF, PLAIN_LOOPBACK, PLAIN_ANY };

/* What a peer can make grow, and how long it may take. Copied to each reactor; a reload posts a new copy. */
struct net_limits {
    uint32_t max_line;    /* bytes of one line, LF included */
    uint32_t max_out;     /* bytes of rooms' messages that wait for one connection before it falls behind */
    uint32_t max_answers; /* bytes of answers that wait before its requests are no longer read */
    uint32_t requests_per_s; /* 0: no limit */
    uint32_t max_connections, max_per_address;
    uint32_t login_ms, ping_ms, idle_ms, stall_ms, linger_ms;
    uint32_t linger_most_ms; /* after our FIN, also for a peer that goes on taking what waits for it */
    uint32_t linger_bytes;   /* read and thrown away after our FIN, before a RST */
    enum plain_policy plain;
};

/* The queues in which connections wait for a time; each has one duration, so that a queue is in order by
 * itself. A connection is in exactly one of them as long as it lives. */
enum timer_kind {
    TIMER_LOGIN, /* to say hello, or to finish the handshake */
    TIMER_PING,  /* silent: to be pinged; those up to TIMER_PING_LAST: when a half, a quarter, … is left */
    TIMER_PING_LAST = TIMER_PING + 6,
    TIMER_IDLE,   /* pinged: to answer */
    TIMER_PACE,   /* has asked too much: to be read again */
    TIMER_STALL,  /* the kernel takes no more for it: to make progress */
    TIMER_LINGER, /* our FIN is out: to end its side */
    TIMER_COUNT
};

/* The layer above. Every function runs on the reactor's thread. */
struct conn_ops {
    size_t conn_size;                                     /* of the struct that starts with a struct conn */
    void (*opened)(struct conn *c);                       /* its transport is known and ready */
    void (*line)(struct conn *c, char *line, size_t len); /* without its end; writable; gone on return */
    void (*too_long)(struct conn *c);
    void (*eof)(struct conn *c, size_t unfinished);         /* bytes of a line that has no LF */
    void (*drained)(struct conn *c);                        /* nothing waits to be written any more */
    void (*timeout)(struct conn *c, enum timer_kind which); /* LOGIN, PING, IDLE */
    void (*refused)(struct conn *c, const char *why); /* plain where it must not be; not TLS and not ours */
    void (*closed)(struct conn *c);                   /* the last call; c lives on while it is held */
    void (*turn_end)(struct reactor *r);
};

TAILQ_HEAD(conn_queue, conn);

struct conn_list {
    struct conn **v;
    uint32_t n, cap;
};

struct net {
    unsigned count;
    struct reactor *reactors[REACTOR_MAX];
    const struct conn_ops *ops;
    atomic_uint connections;
    atomic_uint refused;                             /* connections beyond a limit, which are only told so */
    atomic_uint stopping;                            /* reactors that are */
    bool (*is_trusted)(const struct tcp_addr *peer); /* exempt from the limits per address and per second */
    bool (*may_connect)(
        const struct tcp_addr *peer); /* counts it; false: its address has enough. Any thread, as all here */
    void (*conn_gone)(const struct tcp_addr *peer, bool trusted); /* a place and a descriptor are free */
};

struct reactor {
    struct net *net;
    unsigned index;
    struct event_base *base;
    struct event *mail, *tick, *trace_due;
    struct poller *poller; /* of the connections */
    pthread_t thread;
    void *upper; /* the layer above's */
    struct net_limits limits;
    SSL_CTX *tls;
    struct listener *listener; /* the first reactor's */

    uint64_t now_us, wall_ms; /* of this turn; see reactor_now */
    struct conn_list dirty, dead, resumed, spare;
    struct conn_queue timers[TIMER_COUNT];
    uint64_t tick_due_ms; /* when the first of them is looked at next; 0: not */
    struct outq_pool pool;
    struct mailbox box;
    struct post *outgoing[REACTOR_MAX], *outgoing_oldest[REACTOR_MAX];
    char *raw, *plain; /* REACTOR_READ bytes each */
    struct buf
        scratch; /* for lines being made; whoever uses it clears it first and is done within one call */
    unsigned handshakes,
        handshakes_seen; /* TLS, since memory was last trimmed; and when that was last looked at */
    struct event *trim;
    bool stopping; /* see reactor_stop */
};

struct reactor *reactor_new(struct net *net, unsigned index, const struct net_limits *limits, SSL_CTX *tls,
                            char *err, size_t err_size);
int reactor_start(struct reactor *r); /* its thread; 0 or -errno */
void reactor_join(struct reactor *r);
/* r's thread: it takes no new connection in, and ends when all reactors are stopping and none has a
 * connection left: until then the others may need what is at home here. */
void reactor_stop(struct reactor *r);
void reactor_conn_gone(struct reactor *r); /* one has just been closed and is not counted any more */

/* When all threads are joined: runs what was still under way, so that it is undone by its own hand. Whether
 * there was any; to be called for all reactors in turn until there is none. */
bool reactor_settle(struct reactor *r);
void reactor_free(struct reactor *r);

/* From r's own thread: for another reactor, sent at the end of the turn. To itself: run at once. */
void reactor_post(struct reactor *r, struct reactor *to, struct post *p, post_fn *run);
/* From any thread that is no reactor's. */
void reactor_post_from_outside(struct reactor *to, struct post *p, post_fn *run);

/* The time of this turn: monotonic µs, and ms since the Unix epoch in r->wall_ms. */
uint64_t reactor_now(struct reactor *r);

/* For every connection of r that is not closed; fn may close it. */
void reactor_each(struct reactor *r, void (*fn)(struct conn *c, void *arg), void *arg);

/* Lists of this turn: who has something to write, whose waiting input is to be handled, and who is to be
 * freed. */
void reactor_add_dirty(struct reactor *r, struct conn *c);
void reactor_add_resumed(struct reactor *r, struct conn *c);
void reactor_add_dead(struct reactor *r, struct conn *c);

/* A TLS handshake is done: a burst of them leaves holes in memory, which are given back when it is over. */
void reactor_count_handshake(struct reactor *r);

/* Other settings from now on: who waits for a time that is another now is not spared it. */
void reactor_set_limits(struct reactor *r, const struct net_limits *limits);

/* Timers. A connection that is in a queue leaves it. */
void reactor_set_timer(struct reactor *r, struct conn *c, enum timer_kind kind);
void reactor_drop_timer(struct reactor *r, struct conn *c);

/* To be pinged when it has been silent for that time. A queue has one duration: the rest of it is waited for
 * in a few of them, and is late by a 64th of the whole at most. */
void reactor_set_ping_timer(struct reactor *r, struct conn *c);

#endif
