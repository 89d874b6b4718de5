/* merge_clock.c: two hosts' clocks on one scale. See merge.h.
 *
 * Bytes have numbers, so that the moment at which one side sent the n-th and the other received it are known
 * from both logs. The difference is the way's delay plus the clocks' offset; in the other direction it is
 * the delay minus the offset. The least difference of each direction is the one with the least waiting in
 * it: half of what they differ by is the offset, as exact as the two ways are alike. */
#include "trace/merge.h"

#include "common/mem.h"

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

    if (c->has_one_clock || !client->has_log || !server->has_log || client->host == NULL ||
        server->host == NULL || strcmp(client->host, server->host) == 0)
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

/* ---- whose clock a capture has ---- */

static int64_t distance(int64_t a, int64_t b)
{
    return a < b ? b - a : a - b;
}

static bool is_captured(const struct model_event *e)
{
    return e->kind == MODEL_SEGMENT && e->segment.source == MODEL_CAPTURE;
}

/* The least time between a call that sent a byte and the segment that has it, by their clocks; where no such
 * byte is known, between the first call and the first segment. INT64_MAX: there is neither. */
static int64_t least_gap(const struct model_conn *c, enum model_side side)
{
    struct progress sent = {0};
    int64_t least = INT64_MAX;
    size_t at = 0, call = 0, first = 0;

    while (step(c, &sent, side, true)) {
        const struct model_segment *s = NULL;

        for (; at < c->count; at++) {
            s = &c->events[at].segment;
            if (is_captured(&c->events[at]) && s->from == side &&
                (int32_t)(s->seq + s->len - (uint32_t)sent.bytes) > 0)
                break;
        }
        if (at == c->count)
            break;
        if (distance(c->events[at].time_ns, sent.time_ns) < least)
            least = distance(c->events[at].time_ns, sent.time_ns);
    }
    if (least != INT64_MAX)
        return least;
    while (call < c->count && (c->events[call].kind != MODEL_CALL || c->events[call].call.side != side))
        call++;
    while (first < c->count && !is_captured(&c->events[first]))
        first++;
    return call < c->count && first < c->count ? distance(c->events[call].time_ns, c->events[first].time_ns)
                                               : INT64_MAX;
}

void merge_place_capture(struct model_conn *c)
{
    c->capture_side = MODEL_CLIENT;
    if (c->has_capture && c->end[MODEL_SERVER].clock_offset_ns != 0 &&
        least_gap(c, MODEL_SERVER) < least_gap(c, MODEL_CLIENT))
        c->capture_side = MODEL_SERVER;
}

/* ---- two captures of one connection ---- */

/* A segment of a capture; what was sent again has as many of one kind. */
struct sight {
    const struct model_segment *s;
    size_t at; /* its event */
};

/* What a segment of the one capture is in the other. */
struct pair {
    struct model_event *twin; /* NULL: it is not there */
    bool is_alone;            /* no other in either is like it: there is no doubt */
};

static int compare_kinds(const struct model_segment *a, const struct model_segment *b)
{
    if (a->from != b->from)
        return a->from < b->from ? -1 : 1;
    if (a->seq != b->seq)
        return a->seq < b->seq ? -1 : 1;
    if (a->ack != b->ack)
        return a->ack < b->ack ? -1 : 1;
    if (a->len != b->len)
        return a->len < b->len ? -1 : 1;
    return (int)a->flags - (int)b->flags;
}

static int by_kind(const void *a, const void *b)
{
    const struct sight *x = a, *y = b;
    int order = compare_kinds(x->s, y->s);

    return order != 0 ? order : x->at < y->at ? -1 : x->at > y->at;
}

static struct sight *sort_sights(const struct model_conn *c, size_t *count)
{
    struct sight *all = mem_alloc((c->count + 1) * sizeof *all);

    *count = 0;
    for (size_t i = 0; i < c->count; i++)
        if (is_captured(&c->events[i]))
            all[(*count)++] = (struct sight){&c->events[i].segment, i};
    qsort(all, *count, sizeof *all, by_kind);
    return all;
}

static size_t count_alike(const struct sight *all, size_t count, size_t at)
{
    size_t n = 1;

    while (at + n < count && compare_kinds(all[at].s, all[at + n].s) == 0)
        n++;
    return n;
}

/* The n-th of its kind in one capture is the n-th of its kind in the other. Where one has fewer, its last one
 * is the other's last one: those before were lost on the way, or came before it began. */
static void pair_kind(struct model_conn *into, struct pair *pairs, const struct sight *a, size_t a_count,
                      const struct sight *b, size_t b_count)
{
    size_t n = a_count < b_count ? a_count : b_count;

    for (size_t i = 1; i <= n; i++)
        pairs[b[b_count - i].at] =
            (struct pair){&into->events[a[a_count - i].at], a_count == 1 && b_count == 1};
}

/* By from's events. */
static struct pair *pair_captures(struct model_conn *into, const struct model_conn *from)
{
    struct pair *pairs = mem_zalloc((from->count + 1) * sizeof *pairs);
    size_t a_count, b_count, i = 0, k = 0;
    struct sight *a = sort_sights(into, &a_count), *b = sort_sights(from, &b_count);

    while (i < a_count && k < b_count) {
        int order = compare_kinds(a[i].s, b[k].s);
        size_t n = count_alike(a, a_count, i), m = count_alike(b, b_count, k);

        if (order == 0)
            pair_kind(into, pairs, a + i, n, b + k, m);
        i += order <= 0 ? n : 0;
        k += order >= 0 ? m : 0;
    }
    free(a);
    free(b);
    return pairs;
}

struct span {
    int64_t least, most;
};

/* How far from's clock seems to be ahead, by what that side has sent. false: it has sent nothing that both
 * have. */
static bool measure(const struct model_conn *from, const struct pair *pairs, enum model_side side,
                    bool only_alone, struct span *to)
{
    *to = (struct span){INT64_MAX, INT64_MIN};
    for (size_t i = 0; i < from->count; i++) {
        int64_t ahead;

        if (pairs[i].twin == NULL || from->events[i].segment.from != side ||
            (only_alone && !pairs[i].is_alone))
            continue;
        ahead = from->events[i].time_ns - pairs[i].twin->time_ns;
        to->least = ahead < to->least ? ahead : to->least;
        to->most = ahead > to->most ? ahead : to->most;
    }
    return to->least != INT64_MAX;
}

/* By how much `from`'s clock is ahead of `into`'s. */
static int64_t offset_of_captures(const struct model_conn *from, const struct pair *pairs)
{
    struct span of[MODEL_SIDES];
    bool any[MODEL_SIDES];

    for (int side = 0; side < MODEL_SIDES; side++)
        any[side] = measure(from, pairs, (enum model_side)side, true, &of[side]) ||
                    measure(from, pairs, (enum model_side)side, false, &of[side]);
    if (!any[0] || !any[1])
        return any[0] ? of[0].least : any[1] ? of[1].least : 0;
    if (of[0].least > of[1].least) /* the client's come to `from` late: it is the server's capture */
        return (of[0].least + of[1].most) / 2;
    return (of[1].least + of[0].most) / 2;
}

void merge_captures(struct model_conn *into, struct model_conn *from)
{
    struct pair *pairs = pair_captures(into, from);
    int64_t offset = offset_of_captures(from, pairs);
    size_t kept = 0;

    for (size_t i = 0; i < from->count; i++) {
        struct model_event *e = &from->events[i], *twin = pairs[i].twin;

        e->time_ns -= offset;
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
    from->watched_ns -= offset;
    free(pairs);
}
