/* poller.h: readiness of a reactor's connections, by the thousand.
 *
 * libevent drives the reactor: its timers, its mail, its listeners. Connections wait in a set of their own
 * which libevent sees as one descriptor: a struct event costs 128 bytes and a map entry 40 more, and changing
 * an interest through it costs two system calls where one does. poller_epoll.c is for Linux; poller_event.c,
 * on libevent alone, for the rest. The reactor's thread. */
#ifndef NET_POLLER_H
#define NET_POLLER_H

#include <stdint.h>

struct event_base;
struct poller;

enum poller_interest {
    POLLER_READ = 1,
    POLLER_WRITE = 2,
    POLLER_EDGE = 4, /* told when something has changed, not for as long as it holds */
};

/* What a poller keeps in what it watches. */
struct poller_slot {
    int fd;
    uint8_t interest;
    uint8_t is_watched;
#ifndef __linux__
    void *handle;
#endif
};

/* ready: a set of POLLER_READ and POLLER_WRITE; errors and hang-ups count as both. slot is in what was
 * watched. */
typedef void poller_fn(struct poller_slot *slot, int ready);

struct poller *poller_new(struct event_base *base, poller_fn *tell); /* NULL: errno says why */
void poller_free(struct poller *p);

/* Watches slot->fd for these; 0: for errors only. 0 or -errno. Not called again for a slot after poller_drop,
 * even where it was ready in this turn; the memory must stay until the end of the turn. */
int poller_watch(struct poller *p, struct poller_slot *slot, int interest);
int poller_ask_again(struct poller *p,
                     struct poller_slot *slot); /* EDGE: tells also what it has told before */
void poller_drop(struct poller *p, struct poller_slot *slot);

#endif
