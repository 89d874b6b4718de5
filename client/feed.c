/* feed.c: see feed.h. */
#include "client/feed.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define READ_SIZE (64 * 1024)

/* Hands out lines while more are wanted; true when there is nothing left but the start of one. */
static bool hand_out(struct feed *f)
{
    while (f->wants_more(f->owner) && !f->told) {
        char *at = f->in.data + f->taken, *lf;
        size_t left = f->in.len - f->taken, n;

        lf = left > 0 ? memchr(at, '\n', left) : NULL;
        if (lf == NULL && !(f->ended && left > 0)) {
            if (left > 0)
                memmove(f->in.data, at, left);
            f->in.len = left;
            f->taken = 0;
            return true;
        }
        n = lf != NULL ? (size_t)(lf - at) : left;
        f->taken += n + (lf != NULL);
        f->line(f->owner, at, n > 0 && at[n - 1] == '\r' ? n - 1 : n);
    }
    return false;
}

static void finish(struct feed *f, const char *why)
{
    if (f->told)
        return;
    f->told = true;
    event_del(f->event);
    f->end(f->owner, why);
}

static void go_on(struct feed *f)
{
    if (f->told)
        return;
    if (!hand_out(f))
        event_del(f->event);
    else if (f->ended)
        finish(f, NULL);
    else if (f->in.len > FEED_MAX_LINE)
        finish(f, "a line of the input is longer than 1 MiB");
    else
        event_add(f->event, NULL);
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
    struct feed *f = arg;
    ssize_t n = read(fd, buf_reserve(&f->in, READ_SIZE), READ_SIZE);

    (void)what;
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n < 0) {
        finish(f, strerror(errno));
        return;
    }
    f->in.len += (size_t)n;
    f->ended = n == 0;
    go_on(f);
}

void feed_init(struct feed *f, struct event_base *base, int fd)
{
    f->event = event_new(base, fd, EV_READ | EV_PERSIST, on_readable, f);
}

void feed_deinit(struct feed *f)
{
    event_free(f->event);
    buf_deinit(&f->in);
}

void feed_start(struct feed *f)
{
    go_on(f);
}

void feed_stop(struct feed *f)
{
    f->told = true;
    event_del(f->event);
}
