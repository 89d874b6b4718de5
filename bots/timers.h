/* timers.h: thousands of times to wake up at, behind one timer of the event loop.
 *
 * A heap of timers that their owners embed; all go to one function. One thread, that of the event_base. */
#ifndef BOTS_TIMERS_H
#define BOTS_TIMERS_H

#include <event2/event.h>
#include <stddef.h>
#include <stdint.h>

struct timer {
    uint64_t at_us;
    uint32_t index; /* in the heap, from 1; 0: not set */
};

/* t is no longer set when this is called, and may be set again. */
typedef void timers_fire_fn(struct timer *t, void *arg);

struct timers {
    struct timer **heap; /* from index 1 */
    uint32_t count, cap;
    struct event *event;
    timers_fire_fn *fire;
    void *arg;
    uint64_t armed_us; /* what event is set to; 0: nothing */
};

#define timers_of(timer, type, member) ((type *)(void *)((char *)(timer)-offsetof(type, member)))

void timers_init(struct timers *ts, struct event_base *base, timers_fire_fn *fire, void *arg);
void timers_deinit(struct timers *ts);
void timers_set(struct timers *ts, struct timer *t, uint64_t at_us); /* monotonic µs; moves one that is set */
void timers_fire_due(struct timers *ts);                /* now, not when the event loop gets to it */
void timers_cancel(struct timers *ts, struct timer *t); /* also one that is not set */

#endif
