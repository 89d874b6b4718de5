/* merge_clock.c: two hosts' clocks on one scale. See merge.h.
 *
 * Bytes have numbers, so that the moment at which one side sent the n-th and the other received it are known
 * from both logs. The difference is the way's delay plus the clocks' offset; in the other direction it is
 * the delay minus the offset. The least difference of each direction is the one with the least waiting in
 * it: half of what they differ by is the offset, as exact as the two ways are alike. */
#include "trace/merge.h"

#include <stdlib.h>
#include <string.h>

struct progress {
    size_t at;      /* the next event to look at */
    uint64_t bytes; /* moved up to there */
    int64_t time_ns;
};

static bool is_sending(const struct model_call *call)
{
    return strncmp(call->name, "send", 4) == 0 || strncmp(call->name, "write", 5) == 0;
}

static bool is_receiving(const struct model_call *call)
{
    return strncmp(call->name, "recv", 4) == 0 || strncmp(call->name, "read", 4) == 0;
}

/* On to the next call of that side which moved bytes; false at the end. Events are as the log has them, in
 * order. */
static bool step(const struct model_conn *c, struct progress *p, enum model_side side, bool sending)
{
    for (; p->at < c->count; p->at++) {
        const struct model_event *e = &c->events[p->at];

        if (e->kind != MODEL_CALL || e->call.side != side || e->call.err != 0 || e->call.result <= 0 ||
            !(sending ? is_sending(&e->call) : is_receiving(&e->call)))
            continue;
        p->bytes += (uint64_t)e->call.result;
        p->time_ns = e->time_ns;
        p->at++;
        return true;
    }
    return false;
}

/* The least time from sending a byte to receiving it, by each one's own clock. */
static bool least_delay(const struct model_conn *c, enum model_side from, int64_t *least)
{
    struct progress sent = {0}, got = {0};
    bool any = false;

    while (step(c, &got, model_other(from), false)) {
        while (sent.bytes < got.bytes)
            if (!step(c, &sent, from, true))
                return any;
        if (!any || got.time_ns - sent.time_ns < *least)
            *least = got.time_ns - sent.time_ns;
        any = true;
    }
    return any;
}

static int by_own_time(const void *a, const void *b)
{
    const struct model_event *x = a, *y = b;

    return x->time_ns < y->time_ns ? -1 : x->time_ns > y->time_ns;
}

void merge_estimate_offset(struct model_conn *c)
{
    const struct model_end *client = &c->end[MODEL_CLIENT], *server = &c->end[MODEL_SERVER];
    int64_t there = 0, back = 0;
    bool has_there, has_back;

    if (!client->has_log || !server->has_log || client->host == NULL || server->host == NULL ||
        strcmp(client->host, server->host) == 0)
        return;
    qsort(c->events, c->count, sizeof *c->events, by_own_time);
    has_there = least_delay(c, MODEL_CLIENT, &there);
    has_back = least_delay(c, MODEL_SERVER, &back);
    if (has_there && has_back)
        c->end[MODEL_SERVER].clock_offset_ns = -(there - back) / 2;
    else if (has_there)
        c->end[MODEL_SERVER].clock_offset_ns = -there;
    else if (has_back)
        c->end[MODEL_SERVER].clock_offset_ns = back;
}

static bool same_segment(const struct model_segment *a, const struct model_segment *b)
{
    return a->from == b->from && a->flags == b->flags && a->seq == b->seq && a->ack == b->ack &&
           a->len == b->len;
}

/* The n-th of its kind in one capture is the n-th of its kind in the other: what was sent again has twins. */
static struct model_event *find_twin(struct model_conn *c, const struct model_segment *s)
{
    for (size_t i = 0; i < c->count; i++) {
        struct model_event *e = &c->events[i];

        if (e->kind == MODEL_SEGMENT && e->segment.arrive_ns == 0 && same_segment(&e->segment, s))
            return e;
    }
    return NULL;
}

/* By how much `from`'s clock is ahead of `into`'s. */
static int64_t offset_of_captures(struct model_conn *into, struct model_conn *from)
{
    int64_t least[MODEL_SIDES] = {INT64_MAX, INT64_MAX}, most[MODEL_SIDES] = {INT64_MIN, INT64_MIN};

    for (size_t i = 0; i < from->count; i++) {
        struct model_event *e = &from->events[i], *twin;

        if (e->kind != MODEL_SEGMENT || (twin = find_twin(into, &e->segment)) == NULL)
            continue;
        if (e->time_ns - twin->time_ns < least[e->segment.from])
            least[e->segment.from] = e->time_ns - twin->time_ns;
        if (e->time_ns - twin->time_ns > most[e->segment.from])
            most[e->segment.from] = e->time_ns - twin->time_ns;
    }
    if (least[0] == INT64_MAX || least[1] == INT64_MAX)
        return least[0] != INT64_MAX ? least[0] : least[1] != INT64_MAX ? least[1] : 0;
    if (least[0] > least[1]) /* the client's segments come to `from` late: it is the server's capture */
        return (least[0] + most[1]) / 2;
    return (least[1] + most[0]) / 2;
}

void merge_captures(struct model_conn *into, struct model_conn *from)
{
    int64_t offset = offset_of_captures(into, from);
    size_t kept = 0;

    for (size_t i = 0; i < from->count; i++) {
        struct model_event *e = &from->events[i], *twin = NULL;

        e->time_ns -= offset;
        if (e->kind == MODEL_SEGMENT)
            twin = find_twin(into, &e->segment);
        if (twin == NULL) {
            from->events[kept++] = *e;
            continue;
        }
        twin->segment.arrive_ns = e->time_ns > twin->time_ns ? e->time_ns : twin->time_ns;
        if (e->time_ns < twin->time_ns)
            twin->time_ns = e->time_ns;
        free((void *)(uintptr_t)e->segment.packet.data);
    }
    from->count = kept;
}
