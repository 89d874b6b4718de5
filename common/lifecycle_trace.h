/* lifecycle_trace.h: private to lifecycle*.c: what of a connection's life goes into the event log (trace.h).
 * Nothing happens where tracing is off, but where it is said. The thread that owns the connection. */
#ifndef COMMON_LIFECYCLE_TRACE_H
#define COMMON_LIFECYCLE_TRACE_H

#include "common/lifecycle.h"
#include "common/trace.h"

/* A call that returned, and the kernel's state after it where facts has one. */
void lifecycle_trace_call(struct lifecycle *l, const char *call, long ret, const struct tcp_facts *facts,
                          const char *more);

/* A state: recorded where it is not the one that was recorded last. facts may be NULL. */
void lifecycle_trace_state(struct lifecycle *l, enum tcp_state state, const char *source,
                           const struct tcp_facts *facts);

/* Finds the local end, and records both, the cookie and, on an accepted connection, the client's first sequence
 * number. One question to the kernel serves for both where it has kept the SYN. */
void lifecycle_trace_ends(struct lifecycle *l, int fd, struct tcp_addr *local, uint64_t cookie);

/* TCP_INFO says CLOSED of a socket in TIME_WAIT: whether the kernel knows one of these ends. Also without
 * tracing; false where it can't be asked. */
bool lifecycle_is_in_time_wait(const struct lifecycle *l, int fd);

/* What is to be known before close() and what after it; from one call to the other on the stack of the
 * caller. */
struct lifecycle_last {
    struct tcp_addr local; /* family 0: not needed */
    int unread;            /* bytes: where there are any, close() sends RST */
};

void lifecycle_trace_closing(const struct lifecycle *l, int fd, struct lifecycle_last *last);
void lifecycle_trace_closed(struct lifecycle *l, const struct lifecycle_last *last, long ret, bool abort,
                            const char *reason, const char *how, const struct tcp_facts *before);

#endif
