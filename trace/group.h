/* group.h: which TCP connections are a command's, exactly: it runs in a control group of its own, and the
 * kernel notes each connection that a process in there opens or accepts, however short, by a BPF program
 * (sock_ops) on that group.
 *
 * Needs a cgroup2 hierarchy that can be written to and CAP_BPF with CAP_NET_ADMIN, as root usually has; where
 * that is not so, owner.h looks. One thread. Linux. */
#ifndef TRACE_GROUP_H
#define TRACE_GROUP_H

#include "common/tcp.h"

#define GROUP_CONNS 65536 /* that are noted at most */

struct group;

struct group *group_new(void); /* NULL, and errno, where this host does not let us */
int group_enter(
    const struct group *g);       /* the calling process and all that it starts are in it; 0 or -errno */
void group_read(struct group *g); /* takes what has been noted */
bool group_is_full(const struct group *g); /* then connections may be missing */

/* After group_read. Whether a process in there had that end, or listens there: at an address of this host. */
bool group_has(const struct group *g, const struct tcp_addr *local, const struct tcp_addr *peer);
bool group_listens(const struct group *g, const struct tcp_addr *local);
void group_free(
    struct group *g); /* NULL is fine; the control group goes, unless something in it still runs */

#endif
