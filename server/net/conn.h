/* conn.h: one TCP connection of the server: its state, its one setter, its one close path with a reason.
 *
 * The reactor's thread. The layer above embeds a struct conn at the start of its own struct
 * (conn_ops.conn_size). A conn that is closed stays allocated while it is held: posts about it may still be
 * under way. */
#ifndef NET_CONN_H
#define NET_CONN_H

#include "common/lifecycle.h"
#include "server/net/outq.h"
#include "server/net/poller.h"
#include "server/net/reactor.h"

struct transport;

enum conn_state {
    CONN_NEW,        /* accepted; its first byte will tell plain from TLS */
    CONN_HANDSHAKE,  /* TLS */
    CONN_OPEN,       /* both ways */
    CONN_PEER_ENDED, /* it has ended its side: its requests are carried out, what is queued is delivered */
    CONN_ENDING,     /* its bye is queued; when all is written, our FIN follows */
    CONN_SELF_ENDED, /* our FIN is out: what still comes is read and thrown away, up to its FIN */
    CONN_LAST_ACK,   /* both FINs are out; ours is not acknowledged yet */
    CONN_CLOSED,
};

/* Why its input is not read at the moment; it is read on when none holds. */
enum conn_pause {
    CONN_PAUSE_PACE = 1,    /* more requests than it may ask in a second */
    CONN_PAUSE_ANSWERS = 2, /* it does not read its answers */
    CONN_PAUSE_BUSY = 4,    /* the layer above waits for something before the next line makes sense */
    CONN_PAUSE_ASKED = 8,   /* as many of its requests as may be are under way */
    CONN_PAUSE_TLS = 16,    /* it makes TLS itself answer (by KeyUpdates), and does not read that */
};

struct conn {
    struct poller_slot slot; /* first: the poller hands it back */
    struct lifecycle life;
    struct reactor *reactor;
    struct transport *transport; /* NULL: plain, or not known yet */
    struct outq out;
    TAILQ_ENTRY(conn) timer_link;
    char *partial; /* input that waits: the start of a line, or more while paused */
    uint32_t partial_len;
    union {
        uint32_t partial_cap;
        uint32_t lingered; /* once our FIN is out: bytes thrown away since */
    };
    uint32_t deadline_ms;
    union {
        uint32_t last_in_ms;
        uint32_t acked_ms; /* once our FIN is out: when the peer was last seen to have taken more */
    };
    union {
        uint64_t paced_us; /* where its requests stand against requests_per_s */
        struct {           /* once our FIN is out */
            uint32_t ended_ms;
            uint32_t acked; /* bytes that the peer had acknowledged at acked_ms; the low 32 bits */
        };
    };
    const char *reason; /* a static text; why it ends, once that is decided */
    uint16_t held;
    uint8_t state, timer, paused;
    bool is_dirty : 1, is_resumed : 1, skipping : 1, trusted : 1, is_blocked : 1, counted : 1, greeted : 1;
    bool is_searched : 1; /* there is no LF in what waits */
};

/* Takes over an accepted descriptor. NULL when it could not be watched (and fd is closed). */
struct conn *conn_new(struct reactor *r, int fd, const struct tcp_addr *peer, bool trusted, bool counted);

/* Queues bytes for it: a slice of a chunk that others share, or an answer of its own. Nothing happens in a
 * state in which nothing may be said any more. Written at the end of the turn. */
void conn_push(struct conn *c, struct chunk *chunk, uint32_t at, uint32_t len);
void conn_answer(struct conn *c, const void *data, size_t len);

/* For a connection that was never welcome: says one line in plain and ends our side. */
void conn_refuse(struct conn *c, const char *line, const char *reason);

/* Ends our side once everything that is queued is written. reason is static. Idempotent. */
void conn_end(struct conn *c, const char *reason);

/* The one close path: idempotent; frees at the end of the turn, or when it is no longer held. */
void conn_close(struct conn *c, const char *reason);
void conn_abort(struct conn *c, const char *reason); /* with RST */

void conn_hold(struct conn *c);
void conn_unhold(struct conn *c);

void conn_pause(struct conn *c, enum conn_pause why);
void conn_resume(struct conn *c,
                 enum conn_pause why); /* its waiting input is handled at the end of the turn */

/* The request that was just handed up counts as so many more. */
void conn_charge(struct conn *c, unsigned requests);

void conn_greet(struct conn *c); /* it has said who it is: from now on it may be idle */

static inline bool conn_can_speak(const struct conn *c)
{
    return c->state == CONN_OPEN || c->state == CONN_PEER_ENDED;
}

/* For the reactor. */
void conn_flush(struct conn *c);
void conn_read_on(struct conn *c);
void conn_timeout(struct conn *c);

/* Within net/: the setter, and what conn.c and conn_io.c call of each other. */
void conn_set_state(struct conn *c, enum conn_state to);
void conn_watch(struct conn *c, int interest);
void conn_on_ready(struct poller_slot *slot, int ready);
void conn_on_drained(struct conn *c);
void conn_broken(struct conn *c, const char *call, long err);

/* What a push and a flush touch is on its way from memory while others are handled. */
static inline void conn_prefetch(const struct conn *c)
{
    __builtin_prefetch(&c->slot, 1);
    __builtin_prefetch(&c->life.bytes_out, 1);
    __builtin_prefetch(&c->out, 1);
    __builtin_prefetch(&c->state, 1);
}

static inline int conn_fd(const struct conn *c)
{
    return c->slot.fd;
}

#endif
