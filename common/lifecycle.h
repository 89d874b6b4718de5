/* lifecycle.h: the record of one connection's life, from its first call to its one `close` line.
 *
 * Both programs embed a struct lifecycle in each connection and tell it of every call and every end. It
 * writes the lifecycle log (log.h), one line an event, in which a connection has one id from first to last:
 *
 *     time=… conn=k3v-17 side=server event=accept call=accept4 ret=9 state=ESTABLISHED source=tcp_info …
 *     time=… conn=k3v-17 side=server event=recv-fin call=recv ret=0 state=CLOSE_WAIT source=tcp_info
 *     time=… conn=k3v-17 side=server event=shutdown call=shutdown ret=0 state=LAST_ACK source=tcp_info …
 *     time=… conn=k3v-17 side=server event=close call=close ret=0 state=CLOSED … ended-first=peer …
 *
 * The state is the kernel's own, read right after the call; `source` names where it is from. What always
 * holds: exactly one close line for each connection that was given an id, and nothing after it. The thread
 * that owns the connection calls these; none of them fails. RFC 9293 has the states, docs/lifecycle.md each
 * line's fields. */
#ifndef COMMON_LIFECYCLE_H
#define COMMON_LIFECYCLE_H

#include "common/tcp.h"
#include "common/trace.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum lifecycle_end { LIFECYCLE_NONE, LIFECYCLE_SELF, LIFECYCLE_PEER };

struct lifecycle {
    uint64_t id;                  /* 0 before lifecycle_begin and after the close line */
    uint64_t began_us;            /* monotonic, as all below */
    uint64_t first_end_us;        /* when the first side ended; once both have, how long it was half-closed */
    uint64_t bytes_in, bytes_out; /* of the application: what TLS carried, not its records */
    uint32_t msgs_in, msgs_out;   /* lines */
    uint32_t msgs_at_first_end;   /* in the direction that stayed open */
    struct tcp_addr peer;
    uint8_t ended_first;                          /* enum lifecycle_end */
    uint8_t traced_state;                         /* enum tcp_state: the last one in the event log */
    bool is_tls : 1, both_ended : 1, passive : 1; /* passive: by TCP, the peer closed first */
    bool self_ended : 1, peer_ended : 1;          /* by FIN */
    bool got_notify : 1, sent_notify : 1;         /* TLS close_notify (RFC 8446, section 6.1) */
    bool was_reset : 1, was_truncated : 1, was_refused : 1, timed_out : 1, established : 1, quiet : 1;
    bool traced_ends : 1, accepted : 1, is_gone : 1; /* is_gone: the kernel has said CLOSED */
};

#define LIFECYCLE_ID_SIZE 32

/* Once, before any connection: `side` is "server" or "client". */
void lifecycle_set_side(const char *side);
const char *lifecycle_id_prefix(void); /* what each id of this process starts with */

/* Gives the connection its id. Where quiet, its lines are not written (bots by the thousand). */
void lifecycle_begin(struct lifecycle *l, bool quiet);
const char *lifecycle_format_id(const struct lifecycle *l, char out[LIFECYCLE_ID_SIZE]);

/* One event that has a call: what it returned (negative: -errno), and more fields ("key=value …", or
 * NULL). */
void lifecycle_event(struct lifecycle *l, int fd, const char *event, const char *call, long ret,
                     const char *more);

/* A read or write that moved bytes, or a write that the kernel refused (-EAGAIN), or an option that changes what
 * is sent when: for the event log alone. */
void lifecycle_trace_io(struct lifecycle *l, int fd, const char *call, long ret);

static inline void lifecycle_io(struct lifecycle *l, int fd, const char *call, long ret)
{
    if (trace_is_on())
        lifecycle_trace_io(l, fd, call, ret);
}

/* A line of the protocol, for the event log where it is to have them. */
static inline void lifecycle_message(const struct lifecycle *l, bool is_incoming, const char *line,
                                     size_t len)
{
    if (trace_level == TRACE_MESSAGES && l->id != 0)
        trace_message(l->id, is_incoming, line, len);
}

/* Whole lines that are to be sent, each with its end. */
static inline void lifecycle_messages(const struct lifecycle *l, const char *lines, size_t len)
{
    if (trace_level == TRACE_MESSAGES && l->id != 0)
        trace_messages(l->id, lines, len);
}

/* The events in order of a life. */
void lifecycle_socket(struct lifecycle *l, int fd);
void lifecycle_connect(struct lifecycle *l, int fd,
                       long ret); /* ret of connect(), then 0 or -errno when it is decided */
void lifecycle_accept(struct lifecycle *l, int fd, const struct tcp_addr *peer);
void lifecycle_handshake(struct lifecycle *l, int fd, long ret, const char *more);
void lifecycle_recv_fin(struct lifecycle *l, int fd);
void lifecycle_recv_notify(struct lifecycle *l, int fd);
void lifecycle_send_notify(struct lifecycle *l, int fd, long ret);
void lifecycle_shutdown(struct lifecycle *l, int fd, long ret);
void lifecycle_broken(struct lifecycle *l, int fd, const char *call,
                      long err); /* ECONNRESET, EPIPE, ETIMEDOUT, … */

/* Closes fd (with RST where abort) and writes the close line. reason is a word or a short text. */
void lifecycle_close(struct lifecycle *l, int fd, bool abort, const char *reason);

#endif
