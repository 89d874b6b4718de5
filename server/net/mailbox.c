/* mailbox.c: see mailbox.h. A stack that the reader takes whole and turns over. */
#include "server/net/mailbox.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <unistd.h>

int mailbox_init(struct mailbox *m)
{
    int ends[2];

    if (pipe(ends) != 0)
        return -errno;
    for (int i = 0; i < 2; i++) {
        fcntl(ends[i], F_SETFL, O_NONBLOCK);
        fcntl(ends[i], F_SETFD, FD_CLOEXEC);
    }
    m->wake_fd = ends[0];
    m->wake_write_fd = ends[1];
    atomic_init(&m->newest, NULL);
    return 0;
}

void mailbox_deinit(struct mailbox *m)
{
    close(m->wake_fd);
    close(m->wake_write_fd);
}

void mailbox_wake(struct mailbox *m)
{
    ssize_t ignored = write(m->wake_write_fd, "", 1); /* a full pipe is a wake-up already */

    (void)ignored;
}

void mailbox_put(struct mailbox *m, struct post *first, struct post *last)
{
    struct post *old = atomic_load_explicit(&m->newest, memory_order_relaxed);

    do
        last->next = old;
    while (!atomic_compare_exchange_weak_explicit(&m->newest, &old, first, memory_order_release,
                                                  memory_order_relaxed));
    if (old == NULL)
        mailbox_wake(m);
}

struct post *mailbox_take(struct mailbox *m)
{
    struct post *at, *next, *oldest = NULL;
    char sink[64];

    while (read(m->wake_fd, sink, sizeof sink) == (ssize_t)sizeof sink)
        ;
    at = atomic_exchange_explicit(&m->newest, NULL, memory_order_acquire);
    for (; at != NULL; at = next) {
        next = at->next;
        at->next = oldest;
        oldest = at;
    }
    return oldest;
}
