/* live.h: where the ladder of chat's connection (rungs.h) is drawn: on request, and rung by rung while it is
 * followed. The event loop's thread. */
#ifndef CLIENT_LIVE_H
#define CLIENT_LIVE_H

#include "client/rungs.h"

#include <event2/event.h>

struct live;

struct live_options {
    bool color, follow; /* follow: from the start */

    /* Whole lines. NULL: standard error, which is then also what decides on the width. */
    void (*print)(void *arg, const char *text, size_t len);
    int (*width)(void); /* columns; 0: not known */
    void *arg;
};

struct live *live_new(struct event_base *base, const struct live_options *o);
void live_free(struct live *l); /* draws what was still held back; NULL is fine */

/* Each draws, or says in `why` what stands against it: a static text, NULL where all is well. */
const char *live_show(struct live *l, bool all);
const char *live_follow(struct live *l, bool on);
bool live_is_followed(const struct live *l);

#endif
