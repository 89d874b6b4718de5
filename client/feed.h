/* feed.h: standard input as lines, for the views that are not a terminal. It reads only while it is asked to,
 * so that what the server can't take yet stays where it comes from. The event loop's thread. */
#ifndef CLIENT_FEED_H
#define CLIENT_FEED_H

#include "common/buf.h"

#include <event2/event.h>
#include <stdbool.h>

#define FEED_MAX_LINE (1024 * 1024)

struct feed {
    struct event *event;
    struct buf in;
    size_t taken; /* of in: lines that were handed out */
    bool (*wants_more)(void *owner);
    void (*line)(void *owner, const char *line, size_t len); /* without LF; a last line without one counts */
    void (*end)(void *owner, const char *why);               /* once; why: what failed, or NULL at the end */
    void *owner;
    bool ended, told;
};

/* fd is read when feed_start is called, and not before. */
void feed_init(struct feed *f, struct event_base *base, int fd);
void feed_deinit(struct feed *f);

/* Reads on for as long as wants_more says so; to be called again when that has changed. May call back. */
void feed_start(struct feed *f);
void feed_stop(struct feed *f); /* for good: neither line nor end comes any more */

#endif
