/* leave.c: see leave.h. */
#include "client/leave.h"

#include <signal.h>

static void on_signal(evutil_socket_t number, short what, void *arg)
{
    struct leave *l = arg;

    (void)what;
    if (l->leaving) {
        chat_over(l->chat, 128 + (int)number, NULL);
        return;
    }
    l->leaving = true;
    l->stop(l->view);
    client_quit(&l->chat->client, LEAVE_MS);
}

void leave_init(struct leave *l, struct chat *chat, void (*stop)(void *view), void *view)
{
    static const int signals[] = {SIGINT, SIGTERM, SIGHUP};
    struct sigaction was;

    *l = (struct leave){.chat = chat, .stop = stop, .view = view};
    for (int i = 0; i < 3; i++) {
        l->events[i] = evsignal_new(chat->base, signals[i], on_signal, l);
        if (sigaction(signals[i], NULL, &was) != 0 || was.sa_handler != SIG_IGN) /* nohup means it */
            evsignal_add(l->events[i], NULL);
    }
}

void leave_deinit(struct leave *l)
{
    for (int i = 0; i < 3; i++)
        event_free(l->events[i]);
}
