/* mailbox.h: a reactor's queue for what other threads have to tell it: many writers, one reader, no lock.
 *
 * A post is a struct of the sender's that starts with a struct post. It belongs to the mailbox from
 * mailbox_put until its run is called, on the reader's thread, and run frees it or passes it on. Posts of one
 * sender arrive in the order in which they were put; that is what the order of every room rests on. */
#ifndef NET_MAILBOX_H
#define NET_MAILBOX_H

#include <stdatomic.h>

struct reactor;
struct post;

typedef void post_fn(struct reactor *reader, struct post *p);

struct post {
    struct post *next;
    post_fn *run;
};

struct mailbox {
    _Atomic(struct post *) newest;
    int wake_fd; /* readable when there is something: an eventfd, or a pipe's reading end */
    int wake_write_fd;
};

int mailbox_init(struct mailbox *m); /* 0 or -errno */
void mailbox_deinit(struct mailbox *m);

/* Puts the posts from first (the newest) along next to last (the oldest). Wakes the reader if the box was
 * empty. */
void mailbox_put(struct mailbox *m, struct post *first, struct post *last);

void mailbox_wake(struct mailbox *m); /* any thread: the reader looks, whatever there is */

/* The reader: all there is, oldest first, or NULL. */
struct post *mailbox_take(struct mailbox *m);

#endif
