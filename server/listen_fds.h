/* listen_fds.h: the sockets that a service manager opened for chatd, as systemd's socket activation hands
 * them over: sd_listen_fds(3). */
#ifndef SERVER_LISTEN_FDS_H
#define SERVER_LISTEN_FDS_H

#include <stddef.h>

#define LISTEN_FDS_MAX 64

/*
 * Takes over the sockets that LISTEN_PID and LISTEN_FDS speak of, if they are meant for this process, and
 * removes these variables so that no child takes them for its own. Returns how many are in fds, which the
 * caller then owns: each a listening TCP socket, non-blocking and close-on-exec. 0: none was handed over.
 * -EINVAL: what was handed over is no such thing, err says what in one sentence that starts with "chatd: ",
 * and nothing is owned. Main thread, before there are others.
 */
int listen_fds_take(int fds[LISTEN_FDS_MAX], char *err, size_t errlen);

#endif
