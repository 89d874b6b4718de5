/* listener.h: accepts connections and deals them out to the reactors in turn.
 *
 * Runs on the first reactor's thread. When descriptors run out it stops accepting, says so once, and goes on
 * when one is free again; nobody who waits in the kernel's queue is refused meanwhile. */
#ifndef NET_LISTENER_H
#define NET_LISTENER_H

#include "server/net/reactor.h"

struct listener;

/* Listens with fds (taken over, also on failure) on r's thread, which must not have started yet. refuse: a
 * line to say to one connection too many, with its LF. */
struct listener *listener_new(struct reactor *r, const int *fds, unsigned count, const char *refuse);
/* After the reactor's limits have changed: for the connections taken from now on. */
void listener_set_limits(struct listener *l);

void listener_stop(struct listener *l); /* r's thread: closes the listening sockets; idempotent */
void listener_free(struct listener *l); /* after r's thread has ended */

/* Any thread: a descriptor or a place has become free. */
void listener_retry(struct listener *l);

#endif
