/* chat.h: the program chat: what its views share. One thread, one event_base. */
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

/* The whole program; the exit code. */
int chat_main(int argc, char **argv);

/* The views: each runs until it is over, with its exit code in chat->exit_code. The client is started by
 * chat_run. */
void view_pipe_run(struct chat *chat);
void view_json_run(struct chat *chat);
void view_line_run(struct chat *chat);

/* Makes the client with that view, wants the rooms, starts, and runs the event loop until `over`. */
void chat_init_client(struct chat *chat, const struct client_view *view, void *view_arg, bool reconnect,
                      bool passes);
void chat_run(struct chat *chat);

/* For a view's `over`. why: for stderr, or NULL. */
void chat_over(struct chat *chat, int exit_code, const char *why);

/* "chat: …" on stderr. */
void chat_complain(const char *why);

#endif
