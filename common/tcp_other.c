/* tcp_other.c: a platform without TCP_INFO as Linux has it. The log then names no source. */
#include "common/tcp.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

static int set_flags(int fd)
{
    if (fcntl(fd, F_SETFL, O_NONBLOCK) < 0 || fcntl(fd, F_SETFD, FD_CLOEXEC) < 0) {
        int err = -errno;

        close(fd);
        return err;
    }
    return fd;
}

int tcp_socket(int family)
{
    int fd = socket(family, SOCK_STREAM, 0);

    return fd < 0 ? -errno : set_flags(fd);
}

int tcp_accept(int listener, struct tcp_addr *peer)
{
    struct sockaddr_storage from;
    socklen_t len = sizeof from;
    int fd;

    do
        fd = accept(listener, (struct sockaddr *)&from, &len);
    while (fd < 0 && errno == EINTR);
    if (fd < 0)
        return -errno;
    tcp_addr_from(peer, (struct sockaddr *)&from);
    return set_flags(fd);
}

int tcp_get_facts(int fd, struct tcp_facts *facts)
{
    (void)fd;
    *facts = (struct tcp_facts){.source = "none"};
    return -ENOTSUP;
}

uint64_t tcp_get_cookie(int fd)
{
    (void)fd;
    return 0;
}

void tcp_ack_at_once(int fd)
{
    (void)fd;
}

void tcp_save_syn(int listener)
{
    (void)listener;
}

bool tcp_take_saved_syn(int fd, struct tcp_syn *syn)
{
    (void)fd, (void)syn;
    return false;
}

void tcp_set_user_timeout(int fd, unsigned ms)
{
    (void)fd, (void)ms;
}

int tcp_hold_until_end(int fd)
{
    (void)fd;
    return -ENOTSUP;
}

ssize_t tcp_write(int fd, const void *from, size_t len)
{
    ssize_t n;

    do
        n = send(fd, from, len, MSG_NOSIGNAL);
    while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : n;
}
