/* leave.h: SIGINT, SIGTERM and SIGHUP for the views without a terminal: the first one says bye, the second
 * ends at once. */
#ifndef CLIENT_LEAVE_H
#define CLIENT_LEAVE_H

#include "client/chat.h"

#define LEAVE_MS 3000 /* for the server's answer to bye */

struct leave {
    struct chat *chat;
    struct event *events[3];
    void (*stop)(void *view); /* called first */
    void *view;
    bool leaving;
};

void leave_init(struct leave *l, struct chat *chat, void (*stop)(void *view), void *view);
void leave_deinit(struct leave *l);

#endif
