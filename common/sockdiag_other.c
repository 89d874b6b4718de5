/* sockdiag_other.c: no sock_diag here. See sockdiag.h. */
#include "common/sockdiag.h"

#include <errno.h>

int sockdiag_open(void)
{
    return -ENOSYS;
}

int sockdiag_find(int fd, const struct tcp_addr *local, const struct tcp_addr *peer,
                  struct sockdiag_socket *s)
{
    (void)fd, (void)local, (void)peer, (void)s;
    return -ENOSYS;
}

int sockdiag_open_destroyed(const uint16_t *ports, unsigned count)
{
    (void)ports, (void)count;
    return -ENOSYS;
}

void sockdiag_read_destroyed(int fd, void (*fn)(const struct sockdiag_socket *s, void *arg), void *arg)
{
    (void)fd, (void)fn, (void)arg;
}
