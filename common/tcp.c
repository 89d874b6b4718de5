/* tcp.c: see tcp.h. What differs between platforms is in tcp_linux.c and tcp_other.c. */
#include "common/tcp.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

void tcp_addr_from(struct tcp_addr *a, const struct sockaddr *from)
{
    static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

    *a = (struct tcp_addr){0};
    if (from->sa_family == AF_INET) {
        const struct sockaddr_in *in = (const void *)from;

        a->family = AF_INET;
        a->port = ntohs(in->sin_port);
        memcpy(a->ip, &in->sin_addr, 4);
    } else if (from->sa_family == AF_INET6) {
        const struct sockaddr_in6 *in6 = (const void *)from;
        const uint8_t *ip = in6->sin6_addr.s6_addr;

        a->port = ntohs(in6->sin6_port);
        if (memcmp(ip, mapped, sizeof mapped) == 0) {
            a->family = AF_INET;
            memcpy(a->ip, ip + 12, 4);
        } else {
            a->family = AF_INET6;
            memcpy(a->ip, ip, 16);
        }
    }
}

socklen_t tcp_addr_to(const struct tcp_addr *a, struct sockaddr_storage *to)
{
    memset(to, 0, sizeof *to);
    to->ss_family = a->family;
    if (a->family == AF_INET6) {
        struct sockaddr_in6 *in6 = (void *)to;

        in6->sin6_port = htons(a->port);
        memcpy(&in6->sin6_addr, a->ip, 16);
        return sizeof *in6;
    } else {
        struct sockaddr_in *in = (void *)to;

        in->sin_port = htons(a->port);
        memcpy(&in->sin_addr, a->ip, 4);
        return sizeof *in;
    }
}

const char *tcp_addr_format(const struct tcp_addr *a, char out[TCP_ADDR_TEXT])
{
    char ip[INET6_ADDRSTRLEN];

    if (a->family == 0 || inet_ntop(a->family, a->ip, ip, sizeof ip) == NULL)
        snprintf(out, TCP_ADDR_TEXT, "unknown");
    else
        snprintf(out, TCP_ADDR_TEXT, a->family == AF_INET6 ? "[%s]:%u" : "%s:%u", ip, a->port);
    return out;
}

bool tcp_addr_is_loopback(const struct tcp_addr *a)
{
    static const uint8_t one[16] = {[15] = 1};

    return a->family == AF_INET ? a->ip[0] == 127 : a->family == AF_INET6 && memcmp(a->ip, one, 16) == 0;
}

const char *tcp_state_name(enum tcp_state s)
{
    static const char *const names[] = {"UNKNOWN",    "ESTABLISHED", "SYN_SENT",  "SYN_RECEIVED",
                                        "FIN_WAIT_1", "FIN_WAIT_2",  "TIME_WAIT", "CLOSED",
                                        "CLOSE_WAIT", "LAST_ACK",    "LISTEN",    "CLOSING"};

    return (unsigned)s < sizeof names / sizeof *names ? names[s] : "UNKNOWN";
}

int tcp_listen(const struct sockaddr *at, socklen_t len, bool both, int backlog)
{
    int fd = tcp_socket(at->sa_family), on = 1, alone = !both, err;

    if (fd < 0)
        return fd;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (at->sa_family == AF_INET6)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &alone, sizeof alone);
    if (bind(fd, at, len) == 0 && listen(fd, backlog) == 0)
        return fd;
    err = -errno;
    close(fd);
    return err;
}

int tcp_connect(int fd, const struct sockaddr *to, socklen_t len)
{
    return connect(fd, to, len) == 0 ? 0 : -errno;
}

int tcp_get_error(int fd)
{
    int err = 0;
    socklen_t len = sizeof err;

    return getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &len) == 0 ? err : errno;
}

void tcp_set_nodelay(int fd)
{
    int on = 1;

    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

void tcp_set_keepalive(int fd, int idle_seconds, int interval_seconds, int probes)
{
    int on = 1;

    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
#ifdef TCP_KEEPIDLE
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle_seconds, sizeof idle_seconds);
#endif
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval_seconds, sizeof interval_seconds);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof probes);
}

ssize_t tcp_read(int fd, void *to, size_t size)
{
    ssize_t n;

    do
        n = recv(fd, to, size, 0);
    while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : n;
}

ssize_t tcp_writev(int fd, const struct iovec *parts, int count)
{
    struct msghdr m = {.msg_iov = (struct iovec *)(uintptr_t)parts};
    ssize_t n;

    if (count == 1)
        return tcp_write(fd, parts->iov_base, parts->iov_len);
    m.msg_iovlen = (size_t)count;
    do
        n = sendmsg(fd, &m, MSG_NOSIGNAL);
    while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : n;
}

int tcp_shutdown_write(int fd)
{
    return shutdown(fd, SHUT_WR) == 0 ? 0 : -errno;
}

int tcp_close(int fd)
{
    return close(fd) == 0 ? 0 : -errno;
}

int tcp_close_reset(int fd)
{
    struct linger now = {.l_onoff = 1, .l_linger = 0};

    setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    return tcp_close(fd);
}

void tcp_get_local(int fd, struct tcp_addr *a)
{
    struct sockaddr_storage s;
    socklen_t len = sizeof s;

    *a = (struct tcp_addr){0};
    if (getsockname(fd, (struct sockaddr *)&s, &len) == 0)
        tcp_addr_from(a, (struct sockaddr *)&s);
}

void tcp_get_peer(int fd, struct tcp_addr *a)
{
    struct sockaddr_storage s;
    socklen_t len = sizeof s;

    *a = (struct tcp_addr){0};
    if (getpeername(fd, (struct sockaddr *)&s, &len) == 0)
        tcp_addr_from(a, (struct sockaddr *)&s);
}
