/* rungs.h: the ladder of chat's own connection, from what the program itself did and was told: what `/tcp`
 * draws.
 *
 * It listens to common/trace.h, keeps the events of the latest connection in memory, RUNGS_KEPT of them at
 * most (of a long one the bytes moved in its middle become one call each way), and draws them by the same
 * code as chat-trace. This file alone of chat's knows that code. One thread. */
#ifndef CLIENT_RUNGS_H
#define CLIENT_RUNGS_H

#include "common/buf.h"

#include <stdbool.h>

#define RUNGS_KEPT  256
#define RUNGS_WIDTH 60 /* columns that it takes at least */

struct rungs;

struct rungs_style {
    unsigned width; /* columns, from RUNGS_WIDTH */
    bool color, ascii;
};

/* From now on it listens. news: something happened, inside of whatever call did it; only while it is
 * followed. over: the events of that connection make place for those of another one right after this. */
struct rungs *rungs_new(void (*news)(void *arg), void (*over)(void *arg), void *arg);
void rungs_free(struct rungs *r); /* NULL is fine; nothing may happen any more then */

/* The latest connection so far; where it is long and not all is asked for, its beginning and its end. False:
 * there was none. */
bool rungs_put(struct rungs *r, struct buf *b, const struct rungs_style *s, bool all);

void rungs_follow(struct rungs *r, bool on); /* what is new begins now, and news and over are called */
bool rungs_is_followed(const struct rungs *r);

/* What has come since the last call, under a head where a connection is new. What is so young that something
 * may still belong to it is held back unless `all`: true, and it is to be called again some ms later. */
bool rungs_put_new(struct rungs *r, struct buf *b, const struct rungs_style *s, bool all);

#endif
