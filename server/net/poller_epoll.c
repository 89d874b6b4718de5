/* poller_epoll.c: see poller.h. An epoll set within libevent's own: epoll(7) allows it. */
#include "server/net/poller.h"

#include "common/mem.h"

#include <errno.h>
#include <event2/event.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#define BATCH 512 /* connections handled in one turn */

struct poller {
    int fd;
    poller_fn *tell;
    struct event *event;
    struct epoll_event ready[BATCH];
};

static void on_ready(evutil_socket_t fd, short what, void *arg)
{
    struct poller *p = arg;
    int n = epoll_wait(fd, p->ready, BATCH, 0);

    (void)what;
    for (int i = 0; i < n; i++) {
        struct poller_slot *slot = p->ready[i].data.ptr;
        uint32_t events = p->ready[i].events;
        int ready = 0;

        if (!slot->is_watched)
            continue;
        if (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR))
            ready |= POLLER_READ;
        if (events & (EPOLLOUT | EPOLLHUP | EPOLLERR))
            ready |= POLLER_WRITE;
        p->tell(slot, ready);
    }
}

struct poller *poller_new(struct event_base *base, poller_fn *tell)
{
    struct poller *p = mem_zalloc(sizeof *p);

    p->tell = tell;
    p->fd = epoll_create1(EPOLL_CLOEXEC);
    if (p->fd < 0) {
        free(p);
        return NULL;
    }
    p->event = event_new(base, p->fd, EV_READ | EV_PERSIST, on_ready, p);
    event_add(p->event, NULL);
    return p;
}

void poller_free(struct poller *p)
{
    if (p == NULL)
        return;
    event_free(p->event);
    close(p->fd);
    free(p);
}

int poller_watch(struct poller *p, struct poller_slot *slot, int interest)
{
    struct epoll_event e = {.data.ptr = slot};
    int op = slot->is_watched ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;

    if (slot->is_watched && slot->interest == interest)
        return 0;
    e.events = (interest & POLLER_READ ? EPOLLIN : 0U) | (interest & POLLER_WRITE ? EPOLLOUT : 0U) |
               (interest & POLLER_EDGE ? EPOLLET : 0U);
    if (epoll_ctl(p->fd, op, slot->fd, &e) != 0)
        return -errno;
    slot->is_watched = 1;
    slot->interest = (uint8_t)interest;
    return 0;
}

void poller_drop(struct poller *p, struct poller_slot *slot)
{
    if (slot->is_watched)
        epoll_ctl(p->fd, EPOLL_CTL_DEL, slot->fd, NULL);
    slot->is_watched = 0;
}
