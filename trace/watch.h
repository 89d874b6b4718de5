/* watch.h: a thread that asks the kernel for connections' states some thousand times a second, and keeps each
 * change.
 *
 * It sees what no call of the application's would show: FIN_WAIT_1 while it lasts, TIME_WAIT, the other
 * process's end. What lasts less than a turn (a quarter of a millisecond) can be missed. Linux (diag.h). */
#ifndef TRACE_WATCH_H
#define TRACE_WATCH_H

#include "trace/diag.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* One change: the socket as it then was. After an end is gone its state is TCP_STATE_CLOSED. */
struct watch_change {
    int64_t time_ns; /* since the Unix epoch */
    struct diag_socket socket;
};

struct watch;

/* all: finds connections by itself, each that is in this network; else only those that watch_add names. NULL
 * where the kernel has no inet_diag. */
struct watch *watch_start(bool all);
void watch_add(struct watch *w, const struct tcp_addr *a,
               const struct tcp_addr *b); /* both ends; any thread */

/* Asks for that end now, on the caller's thread: for who waits for a state that must not be missed because
 * the watching thread does not get to run. A change is kept as any other. Its state; TCP_STATE_UNKNOWN where
 * it was not named. */
enum tcp_state watch_ask(struct watch *w, const struct tcp_addr *local, const struct tcp_addr *peer);

/* Ends the thread. The changes, in order of time, until watch_free. */
const struct watch_change *watch_stop(struct watch *w, size_t *count);
void watch_free(struct watch *w); /* stops where that is still to do; NULL is fine */

#endif
