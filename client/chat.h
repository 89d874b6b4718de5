/* chat.h: what the views of chat share. One thread, one event_base. */
#ifndef CLIENT_CHAT_H
#define CLIENT_CHAT_H

#include "client/client.h"
#include "client/live.h"
#include "client/options.h"

#include <event2/event.h>

struct chat {
    struct options options;
    struct event_base *base;
    SSL_CTX *tls;   /* NULL: plain */
    char *password; /* that a file gave, or NULL */
    struct client client;
    struct live *live; /* the connection's ladder; NULL: nobody looks at it */
    int exit_code;
};

/* Makes the client with that view, wants the rooms, starts, and runs the event loop until `over`. */
void chat_init_client(struct chat *chat, const struct client_view *view, void *view_arg, bool reconnect,
                      bool passes);
void chat_run(struct chat *chat);

/* For a view's `over`. why: for stderr, or NULL. */
void chat_over(struct chat *chat, int exit_code, const char *why);

/* "chat: …" on stderr, made fit for a terminal. */
void chat_complain(const char *why);

#endif
