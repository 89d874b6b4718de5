/* listen.h: the sockets that chatd listens on, and the file that tells their ports. The main thread, at the
 * start. */
#ifndef SERVER_LISTEN_H
#define SERVER_LISTEN_H

#include "server/config.h"
#include "server/listen_fds.h"

#define LISTEN_MAX (LISTEN_FDS_MAX + CONFIG_OPTIONS_MAX)

/* Opens what the settings say, or takes what a service manager has opened, unless --listen was given too. How
 * many are in fds; or -errno, and err holds one sentence that says what to do. */
int listen_open(const struct config *c, int fds[LISTEN_MAX], char *err, size_t errlen);

/* Writes the ports, one a line, to --port-file by a temporary name, and one log line each. 0 or -errno with
 * err. */
int listen_write_ports(const struct config *c, const int *fds, int count, char *err, size_t errlen);

#endif
