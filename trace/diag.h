/* diag.h: what the kernel knows of TCP sockets that nobody has a descriptor of: inet_diag (sock_diag(7)).
 *
 * TIME_WAIT and SYN_RECEIVED are seen here only. common/sockdiag.h answers for one socket, for the programs;
 * this one also finds sockets, and tells of queues, windows and probes. Needs no privilege. One thread a
 * struct diag. Linux. */
#ifndef TRACE_DIAG_H
#define TRACE_DIAG_H

#include "common/tcp.h"

#include <stdbool.h>
#include <stdint.h>

struct diag_socket {
    struct tcp_addr local, peer;
    uint64_t cookie; /* as SO_COOKIE says; 0: none yet */
    enum tcp_state state;
    uint32_t inode;          /* of the descriptor, as in /proc/PID/fd; 0: nobody's */
    uint8_t timer;           /* enum diag_timer */
    uint8_t retransmits;     /* that timer's count */
    uint32_t expires_ms;     /* until that timer */
    uint32_t unread, unsent; /* bytes in the queues; of a listener: connections waiting, and how many may */
    bool has_info;
    uint32_t send_window, backoff,
        probes;             /* with has_info: bytes the peer takes; doublings; probes unanswered */
    struct tcp_facts facts; /* with has_info */
};

enum diag_timer { DIAG_NO_TIMER, DIAG_RETRANSMIT, DIAG_KEEPALIVE, DIAG_TIME_WAIT, DIAG_PROBE };

struct diag;

struct diag *diag_new(void); /* NULL, and errno, where the kernel has none of it */
void diag_free(struct diag *d);

/* One end of one connection. 0; -ENOENT where there is none (any more); another -errno. */
int diag_find(struct diag *d, const struct tcp_addr *local, const struct tcp_addr *peer,
              struct diag_socket *s);

/* All TCP sockets of that family but listeners; stops where each says false. 0, or -errno. */
typedef bool diag_each_fn(const struct diag_socket *s, void *arg);
int diag_each(struct diag *d, int family, diag_each_fn *each, void *arg);

#endif
