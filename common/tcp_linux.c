/* tcp_linux.c: what the Linux kernel tells of a connection: TCP_INFO, SO_COOKIE, SIOCOUTQNSD. */
#include "common/tcp.h"

#include <errno.h>
#include <linux/sockios.h>
#include <linux/tcp.h>
#include <stddef.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef SO_COOKIE
#define SO_COOKIE 57
#endif

/* Index: the kernel's number (include/net/tcp_states.h). */
static const enum tcp_state states[] = {
    TCP_STATE_UNKNOWN,    TCP_STATE_ESTABLISHED, TCP_STATE_SYN_SENT,  TCP_STATE_SYN_RECEIVED,
    TCP_STATE_FIN_WAIT_1, TCP_STATE_FIN_WAIT_2,  TCP_STATE_TIME_WAIT, TCP_STATE_CLOSED,
    TCP_STATE_CLOSE_WAIT, TCP_STATE_LAST_ACK,    TCP_STATE_LISTEN,    TCP_STATE_CLOSING,
};

int tcp_socket(int family)
{
    int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    return fd < 0 ? -errno : fd;
}

int tcp_accept(int listener, struct tcp_addr *peer)
{
    struct sockaddr_storage from;
    socklen_t len = sizeof from;
    int fd;

    do
        fd = accept4(listener, (struct sockaddr *)&from, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
    while (fd < 0 && errno == EINTR);
    if (fd < 0)
        return -errno;
    tcp_addr_from(peer, (struct sockaddr *)&from);
    return fd;
}

int tcp_get_facts(int fd, struct tcp_facts *facts)
{
    struct tcp_info info;
    socklen_t len = sizeof info;

    *facts = (struct tcp_facts){.source = "none"};
    memset(&info, 0, sizeof info); /* an older kernel fills less of it */
    if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) != 0)
        return -errno;
    facts->source = "tcp_info";
    if (info.tcpi_state < sizeof states / sizeof *states)
        facts->state = states[info.tcpi_state];
    facts->rtt_us = info.tcpi_rtt;
    facts->rto_us = info.tcpi_rto;
    facts->unacked = info.tcpi_unacked;
    facts->retransmits = info.tcpi_retransmits;
    facts->total_retrans = info.tcpi_total_retrans;
    facts->unsent = info.tcpi_notsent_bytes;
    facts->bytes_acked = info.tcpi_bytes_acked;
    facts->bytes_received = info.tcpi_bytes_received;
    facts->cwnd = info.tcpi_snd_cwnd;
    facts->snd_wnd = info.tcpi_snd_wnd;
    return 0;
}

uint64_t tcp_get_cookie(int fd)
{
    uint64_t cookie = 0;
    socklen_t len = sizeof cookie;

    return getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie, &len) == 0 ? cookie : 0;
}

void tcp_save_syn(int listener)
{
    int on = 1;

    setsockopt(listener, IPPROTO_TCP, TCP_SAVE_SYN, &on, sizeof on);
}

/* Big-endian, as headers have it. */
static uint32_t number_at(const uint8_t *from, size_t size)
{
    uint32_t n = 0;

    for (size_t i = 0; i < size; i++)
        n = n << 8 | from[i];
    return n;
}

/* What is kept is the SYN's IP header and all behind it (RFC 791, RFC 8200). */
bool tcp_take_saved_syn(int fd, struct tcp_syn *syn)
{
    uint8_t kept[256];
    socklen_t len = sizeof kept;
    bool is_v4;
    size_t at;

    if (getsockopt(fd, IPPROTO_TCP, TCP_SAVED_SYN, kept, &len) != 0 || len < 40)
        return false;
    is_v4 = kept[0] >> 4 == 4;
    at = is_v4 ? (size_t)(kept[0] & 15) * 4 : 40;
    if (at + 8 > len || (!is_v4 && kept[6] != IPPROTO_TCP)) /* extension headers: not worth reading */
        return false;
    *syn = (struct tcp_syn){.isn = number_at(kept + at + 4, 4)};
    syn->local.family = is_v4 ? AF_INET : AF_INET6;
    syn->local.port = (uint16_t)number_at(kept + at + 2, 2);
    memcpy(syn->local.ip, kept + (is_v4 ? 16 : 24), is_v4 ? 4 : 16);
    return true;
}

void tcp_ack_at_once(int fd)
{
    int on = 1;

    setsockopt(fd, IPPROTO_TCP, TCP_QUICKACK, &on, sizeof on);
}

void tcp_set_user_timeout(int fd, unsigned ms)
{
    setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &ms, sizeof ms);
}

int tcp_hold_until_end(int fd)
{
    int on = 1;

    return setsockopt(fd, IPPROTO_TCP, TCP_CORK, &on, sizeof on) == 0 ? 0 : -errno;
}

/* The call itself: the C library's send() is a point where a thread may be cancelled, which none of ours ever
 * is, and saying so to it costs two atomic operations a message and member. */
ssize_t tcp_write(int fd, const void *from, size_t len)
{
    ssize_t n;

    do
        n = syscall(SYS_sendto, fd, from, len, MSG_NOSIGNAL, NULL, 0);
    while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : n;
}
