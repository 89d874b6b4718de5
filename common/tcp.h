/* tcp.h: the socket calls that the project makes, and what the kernel knows of a connection.
 *
 * Each returns what its system call returns, or -errno instead of -1, and retries EINTR. Nothing here logs: a
 * connection's calls are recorded by lifecycle.h. Descriptors are non-blocking and close-on-exec. Any
 * thread. */
#ifndef COMMON_TCP_H
#define COMMON_TCP_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/uio.h>

/* An endpoint's address in 20 bytes. family is AF_INET, AF_INET6, or 0 when unknown; port in host order. An
 * IPv4 address mapped into IPv6 is kept as IPv4. */
struct tcp_addr {
    uint16_t family, port;
    uint8_t ip[16];
};

#define TCP_ADDR_TEXT 56 /* "[ffff:...:255.255.255.255]:65535" and a NUL */

void tcp_addr_from(struct tcp_addr *a, const struct sockaddr *from);
socklen_t tcp_addr_to(const struct tcp_addr *a, struct sockaddr_storage *to);
const char *tcp_addr_format(const struct tcp_addr *a,
                            char out[TCP_ADDR_TEXT]); /* "unknown" where family is 0 */
bool tcp_addr_is_loopback(const struct tcp_addr *a);

/* RFC 9293's states, section 3.3.2; TCP_UNKNOWN where the platform does not tell. */
enum tcp_state {
    TCP_STATE_UNKNOWN,
    TCP_STATE_ESTABLISHED,
    TCP_STATE_SYN_SENT,
    TCP_STATE_SYN_RECEIVED,
    TCP_STATE_FIN_WAIT_1,
    TCP_STATE_FIN_WAIT_2,
    TCP_STATE_TIME_WAIT,
    TCP_STATE_CLOSED,
    TCP_STATE_CLOSE_WAIT,
    TCP_STATE_LAST_ACK,
    TCP_STATE_LISTEN,
    TCP_STATE_CLOSING,
};

const char *tcp_state_name(enum tcp_state s);

/* What the kernel says of a connection at one moment. Counts are bytes of payload. */
struct tcp_facts {
    enum tcp_state state;
    const char *source; /* "tcp_info", or "none" on a platform that does not tell */
    uint32_t rtt_us, rto_us;
    uint32_t unacked;     /* segments sent and not acknowledged */
    uint32_t retransmits; /* of the segment at the head now */
    uint32_t total_retrans;
    uint32_t unsent;  /* bytes not sent yet */
    uint32_t cwnd;    /* segments */
    uint32_t snd_wnd; /* the peer's window, bytes; 0 too where the kernel does not tell */
    uint64_t bytes_acked, bytes_received;
};

/* 0, or -errno and facts hold TCP_STATE_UNKNOWN. Linux: TCP_INFO (tcp(7)); platform file. */
int tcp_get_facts(int fd, struct tcp_facts *facts);
uint64_t
tcp_get_cookie(int fd); /* SO_COOKIE: stays with the connection; 0 where there is none. Platform file. */
void tcp_ack_at_once(int fd); /* TCP_QUICKACK: acknowledges a bare FIN without delay. Platform file. */

/* TCP_SAVE_SYN on a listener, and what it kept for a connection, readable once: the client's initial sequence
 * number, and the address that it connected to, which is what tcp_get_local says. false where there is none
 * (a SYN cookie's). Platform file. */
struct tcp_syn {
    struct tcp_addr local;
    uint32_t isn;
};

void tcp_save_syn(int listener);
bool tcp_take_saved_syn(int fd, struct tcp_syn *syn);

int tcp_socket(int family);
/* The descriptor. both: an IPv6 address takes IPv4 too. */
int tcp_listen(const struct sockaddr *at, socklen_t len, bool both, int backlog);
int tcp_accept(int listener, struct tcp_addr *peer); /* the descriptor */
int tcp_connect(int fd, const struct sockaddr *to, socklen_t len);
int tcp_get_error(int fd); /* SO_ERROR: 0 or a positive errno; reading it clears it */
void tcp_set_nodelay(int fd);
void tcp_set_keepalive(int fd, int idle_seconds, int interval_seconds, int probes);
/* How long what was sent may stay unacknowledged, or a probe unanswered, before the connection is given up
 * with ETIMEDOUT (tcp(7), TCP_USER_TIMEOUT). Platform file. */
void tcp_set_user_timeout(int fd, unsigned ms);

ssize_t tcp_read(int fd, void *to, size_t size);
ssize_t tcp_write(int fd, const void *from, size_t len); /* no SIGPIPE */
ssize_t tcp_writev(int fd, const struct iovec *parts, int count);
/* What is written from here on fills segments, and the last one leaves with the FIN of tcp_shutdown_write,
 * which is to follow. 0 or -errno: -ENOTSUP where the platform cannot. tcp(7), TCP_CORK. Platform file. */
int tcp_hold_until_end(int fd);
int tcp_shutdown_write(int fd);
int tcp_close(int fd);
int tcp_close_reset(int fd); /* SO_LINGER{1,0}: RST instead of FIN */
void tcp_get_local(int fd, struct tcp_addr *a);
void tcp_get_peer(int fd, struct tcp_addr *a);

#endif
