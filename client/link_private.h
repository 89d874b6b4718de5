/* link_private.h: what link.c (its life), link_connect.c (opening) and link_io.c (bytes) share. Nobody
 * else. */
#ifndef CLIENT_LINK_PRIVATE_H
#define CLIENT_LINK_PRIVATE_H

#include "client/link.h"
#include "common/buf.h"
#include "common/transport.h"

#include <event2/event_struct.h>

enum link_state {
    LINK_STATE_CLOSED,
    LINK_STATE_STARTING, /* link_open was called; the event loop goes on */
    LINK_STATE_RESOLVING,
    LINK_STATE_CONNECTING,
    LINK_STATE_HANDSHAKE,
    LINK_STATE_OPEN,
};

struct resolve;

/* What is needed only until the link is up. */
struct link_target {
    char *host;
    struct tcp_addr *addresses;
    size_t count, at; /* at: the next one to try */
    struct resolve *resolve;
    struct tcp_addr source; /* family 0: any */
    SSL_CTX *tls;
    uint64_t deadline_us; /* for all of it */
    int receive_buffer;
    unsigned keepalive_s;
    uint16_t port;
    enum link_how how; /* of the last address that failed */
    int error;
};

struct link {
    struct event event;
    struct event_base *base;
    const struct link_handler *handler;
    void *owner;
    struct link_target *target;
    struct transport *transport;
    struct lifecycle life;
    struct buf in;  /* the start of a line; while paused, whatever came */
    struct buf out; /* from out_at on: not yet given to the kernel or to TLS */
    size_t out_at;
    uint64_t deadline_us, read_at_us; /* monotonic; 0: none. read_at_us: a slow reader's next time */
    const char *reason, *why;
    uint32_t max_line, read_rate;
    int fd, error; /* error: what broke outside of the event loop, for the loop to find */
    enum link_how how;
    short interest;
    uint8_t state;
    bool quiet : 1, busy : 1, woken : 1, doomed : 1, tell_closed : 1;
    bool paused : 1, was_full : 1, was_up : 1;
    bool shutdown_wanted : 1, notify_sent : 1, fin_sent : 1, fin_received : 1, end_told : 1, end_waits : 1,
        in_waits : 1;
};

/* link.c */
void link_set_state(struct link *l, enum link_state to);
void link_finish(struct link *l, enum link_how how, int error,
                 const char *why);        /* closes; `closed` will be told */
void link_wake(struct link *l);           /* lets the event loop look again */
void link_unwatch_socket(struct link *l); /* before its descriptor is closed */
void link_watch(struct link *l, enum link_event e);
void link_broken(struct link *l, const char *call, int err);

/* link_connect.c: a step of opening, in the event loop */
struct link_target *link_target_new(const struct link_options *o);
void link_target_free(struct link_target *t); /* NULL is fine */
void link_start(struct link *l);
void link_check_connect(struct link *l, bool timed_out);
void link_handshake(struct link *l);
void link_came_up(struct link *l);

/* link_io.c */
void link_read(struct link *l);
void link_decrypt(struct link *l);      /* what is in TLS already */
void link_take_waiting(struct link *l); /* what came while paused */
void link_flush(struct link *l);
void link_drain(struct link *l, unsigned ms); /* waits for the server's end; nobody is given what comes */

#endif
