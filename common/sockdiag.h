/* sockdiag.h: what the kernel tells of sockets that one has no descriptor for any more: TIME_WAIT,
 * FIN_WAIT_2 without an owner, and that a socket was freed.
 *
 * Linux: NETLINK_SOCK_DIAG (sock_diag(7)), without privilege. Elsewhere each function says that there is
 * nothing. A descriptor from here belongs to the caller, who closes it; one thread at a time. */
#ifndef COMMON_SOCKDIAG_H
#define COMMON_SOCKDIAG_H

#include "common/tcp.h"

#define SOCKDIAG_PORTS 8 /* that can be told apart in the kernel */

struct sockdiag_socket {
    struct tcp_addr local, peer;
    enum tcp_state state;
    uint64_t cookie;
    uint32_t timer_ms;      /* until the state's timer runs out (TIME_WAIT, retransmission); 0: none runs */
    struct tcp_facts facts; /* its last TCP_INFO; source NULL where none came with it */
};

int sockdiag_open(void); /* for questions; the descriptor, or -errno */

/* The socket with these two ends: 1 and *s, 0 where there is none, or -errno. Does not wait but for the
 * kernel. */
int sockdiag_find(int fd, const struct tcp_addr *local, const struct tcp_addr *peer,
                  struct sockdiag_socket *s);

/* Non-blocking; readable when TCP sockets were freed: of these local ports where there are at most
 * SOCKDIAG_PORTS, else of all. The descriptor, or -errno. */
int sockdiag_open_destroyed(const uint16_t *ports, unsigned count);

/* Calls fn for each socket that was freed since. The last state that the kernel had of it is in state. */
void sockdiag_read_destroyed(int fd, void (*fn)(const struct sockdiag_socket *s, void *arg), void *arg);

#endif
