/* listen_fds.c: see listen_fds.h. */
#include "server/listen_fds.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define FIRST 3 /* where sd_listen_fds(3) says that they begin */

/* A variable that is a whole number; 0 if it is absent, -1 if it is something else. */
static long read_number(const char *name)
{
    const char *text = getenv(name);
    char *end;
    long value;

    if (text == NULL)
        return 0;
    errno = 0;
    value = strtol(text, &end, 10);
    return errno == 0 && end != text && *end == '\0' && value >= 0 ? value : -1;
}

static bool is_listening_tcp(int fd)
{
    struct sockaddr_storage addr;
    socklen_t addrlen = sizeof addr, len = sizeof(int);
    int type = 0, listening = 0;

    if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) != 0 || type != SOCK_STREAM)
        return false;
    len = sizeof listening;
    if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &len) != 0 || !listening)
        return false;
    return getsockname(fd, (struct sockaddr *)&addr, &addrlen) == 0 &&
           (addr.ss_family == AF_INET || addr.ss_family == AF_INET6);
}

static bool prepare(int fd)
{
    int flags = fcntl(fd, F_GETFL);

    return flags >= 0 && fcntl(fd, F_SETFL, flags | O_NONBLOCK) == 0 && fcntl(fd, F_SETFD, FD_CLOEXEC) == 0;
}

static int take(long n, int fds[LISTEN_FDS_MAX], char *err, size_t errlen)
{
    if (n < 0 || n > LISTEN_FDS_MAX) {
        snprintf(err, errlen, "chatd: LISTEN_FDS is not a number of sockets from 0 to %d", LISTEN_FDS_MAX);
        return -EINVAL;
    }
    for (int i = 0; i < n; i++) {
        fds[i] = FIRST + i;
        if (!is_listening_tcp(fds[i]) || !prepare(fds[i])) {
            snprintf(err, errlen,
                     "chatd: descriptor %d, handed over in LISTEN_FDS, is not a listening TCP socket; "
                     "the socket unit needs ListenStream= with an address and port, and Accept=no",
                     fds[i]);
            return -EINVAL;
        }
    }
    return (int)n;
}

int listen_fds_take(int fds[LISTEN_FDS_MAX], char *err, size_t errlen)
{
    int n = 0;

    if (read_number("LISTEN_PID") == (long)getpid())
        n = take(read_number("LISTEN_FDS"), fds, err, errlen);
    unsetenv("LISTEN_PID");
    unsetenv("LISTEN_FDS");
    unsetenv("LISTEN_FDNAMES");
    return n;
}
