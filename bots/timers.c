/* timers.c: see timers.h. */
#include "bots/timers.h"

#include "common/clock.h"
#include "common/mem.h"

#include <stdlib.h>

#define FIRST_CAP 64

static void place(struct timers *ts, uint32_t i, struct timer *t)
{
    ts->heap[i] = t;
    t->index = i;
}

static void move_up(struct timers *ts, struct timer *t)
{
    uint32_t i = t->index;

    while (i > 1 && ts->heap[i / 2]->at_us > t->at_us) {
        place(ts, i, ts->heap[i / 2]);
        i /= 2;
    }
    place(ts, i, t);
}

static void move_down(struct timers *ts, struct timer *t)
{
    uint32_t i = t->index, child;

    while ((child = i * 2) <= ts->count) {
        if (child < ts->count && ts->heap[child + 1]->at_us < ts->heap[child]->at_us)
            child++;
        if (ts->heap[child]->at_us >= t->at_us)
            break;
        place(ts, i, ts->heap[child]);
        i = child;
    }
    place(ts, i, t);
}

/* Lets the event loop wake up for the first one. It may wake up early for one that was taken away; that does
 * no harm. */
static void arm(struct timers *ts)
{
    struct timeval wait = {0};
    uint64_t now, first;

    if (ts->count == 0 || (ts->armed_us != 0 && ts->armed_us <= ts->heap[1]->at_us))
        return;
    first = ts->heap[1]->at_us;
    now = clock_mono_us();
    if (first > now) {
        wait.tv_sec = (time_t)((first - now) / 1000000);
        wait.tv_usec = (suseconds_t)((first - now) % 1000000);
    }
    ts->armed_us = first;
    event_add(ts->event, &wait);
}

void timers_fire_due(struct timers *ts)
{
    uint64_t now = clock_mono_us();

    ts->armed_us = UINT64_MAX; /* while firing nothing is armed; once below */
    while (ts->count > 0 && ts->heap[1]->at_us <= now) {
        struct timer *t = ts->heap[1];

        timers_cancel(ts, t);
        ts->fire(t, ts->arg);
    }
    ts->armed_us = 0;
    arm(ts);
}

static void on_time(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    timers_fire_due(arg);
}

void timers_init(struct timers *ts, struct event_base *base, timers_fire_fn *fire, void *arg)
{
    *ts = (struct timers){.cap = FIRST_CAP, .fire = fire, .arg = arg};
    ts->heap = mem_alloc(FIRST_CAP * sizeof *ts->heap);
    ts->event = event_new(base, -1, 0, on_time, ts);
}

void timers_deinit(struct timers *ts)
{
    if (ts->event != NULL)
        event_free(ts->event);
    free(ts->heap);
    *ts = (struct timers){0};
}

void timers_set(struct timers *ts, struct timer *t, uint64_t at_us)
{
    uint64_t old = t->at_us;

    t->at_us = at_us;
    if (t->index == 0) {
        if (ts->count + 1 >= ts->cap)
            ts->heap = mem_realloc(ts->heap, (ts->cap *= 2) * sizeof *ts->heap);
        place(ts, ++ts->count, t);
        move_up(ts, t);
    } else if (at_us < old) {
        move_up(ts, t);
    } else {
        move_down(ts, t);
    }
    if (ts->armed_us != UINT64_MAX)
        arm(ts);
}

void timers_cancel(struct timers *ts, struct timer *t)
{
    struct timer *last;
    uint32_t i = t->index;

    if (i == 0)
        return;
    last = ts->heap[ts->count--];
    t->index = 0;
    if (last == t)
        return;
    place(ts, i, last);
    move_up(ts, last);
    move_down(ts, last);
}
