/* poller_event.c: see poller.h. For platforms without epoll: an event of libevent's for each connection. */
#include "server/net/poller.h"

#include "common/mem.h"

#include <errno.h>
#include <event2/event.h>
#include <stdlib.h>

struct poller {
    struct event_base *base;
    poller_fn *tell;
};

struct watched {
    struct poller *poller;
    struct poller_slot *slot;
    struct event *event;
};

static void on_ready(evutil_socket_t fd, short what, void *arg)
{
    struct watched *w = arg;

    (void)fd;
    w->poller->tell(w->slot, (what & EV_READ ? POLLER_READ : 0) | (what & EV_WRITE ? POLLER_WRITE : 0));
}

struct poller *poller_new(struct event_base *base, poller_fn *tell)
{
    struct poller *p = mem_zalloc(sizeof *p);

    p->base = base;
    p->tell = tell;
    return p;
}

void poller_free(struct poller *p)
{
    free(p);
}

void poller_drop(struct poller *p, struct poller_slot *slot)
{
    struct watched *w = slot->handle;

    (void)p;
    if (slot->is_watched) {
        event_free(w->event);
        free(w);
    }
    slot->handle = NULL;
    slot->is_watched = 0;
}

int poller_watch(struct poller *p, struct poller_slot *slot, int interest)
{
    short events = (short)((interest & POLLER_READ ? EV_READ : 0) | (interest & POLLER_WRITE ? EV_WRITE : 0) |
                           (interest & POLLER_EDGE ? EV_ET : 0) | EV_PERSIST);
    struct watched *w;

    if (slot->is_watched && slot->interest == interest)
        return 0;
    poller_drop(p, slot);
    w = mem_zalloc(sizeof *w);
    w->poller = p;
    w->slot = slot;
    w->event = event_new(p->base, slot->fd, events, on_ready, w);
    slot->handle = w;
    slot->is_watched = 1;
    slot->interest = (uint8_t)interest;
    return event_add(w->event, NULL) == 0 ? 0 : -ENOMEM;
}
