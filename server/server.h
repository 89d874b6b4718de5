/* server.h: chatd as a whole: start, reload, drain, stop. The main thread. */
#ifndef SERVER_SERVER_H
#define SERVER_SERVER_H

#include "server/config.h"

#define CHATD_VERSION "0.1.0"

/* What the process ends with. */
enum server_exit {
    SERVER_EXIT_OK = 0,
    SERVER_EXIT_FAILED = 1,
    SERVER_EXIT_USAGE = 2,
    SERVER_EXIT_LISTEN = 3,
    SERVER_EXIT_STORAGE = 4,
};

/* Runs until it is told to stop by a signal. config is the server's from here on. argc and argv: for
 * SIGHUP. */
int server_run(struct config *config, int argc, char **argv);

#endif
