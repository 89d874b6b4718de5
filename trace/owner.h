/* owner.h: which TCP connections are a process's and its descendants', as far as looking every few
 * milliseconds tells.
 *
 * A connection that is over between two looks is nobody's. One thread of its own (owner_start). Linux. */
#ifndef TRACE_OWNER_H
#define TRACE_OWNER_H

#include "common/tcp.h"

#include <sys/types.h>

enum owner_who { OWNER_UNKNOWN, OWNER_OURS, OWNER_OTHERS };

struct owner;

struct owner *owner_start(void);               /* what is there now is others' */
void owner_watch(struct owner *o, pid_t root); /* from now on: that process and all below it */
void owner_stop(struct owner *o);

/* Of an end, after owner_stop. */
enum owner_who owner_of(const struct owner *o, const struct tcp_addr *local, const struct tcp_addr *peer);
void owner_free(struct owner *o); /* stops where that is still to do; NULL is fine */

#endif
