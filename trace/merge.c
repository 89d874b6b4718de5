/* merge.c: see merge.h. */
#include "trace/merge.h"

#include "common/mem.h"

#include <stdlib.h>
#include <string.h>

#define TOGETHER_NS                                                                                          \
    2000000000LL /* the two sides' views of one connection lie no further apart, by one clock */

/* ---- states told by cookie ---- */

struct owner {
    uint64_t cookie; /* each host counts its own */
    const char *host;
    struct model_conn *conn;
    enum model_side side;
};

static int by_cookie(const void *a, const void *b)
{
    const struct owner *x = a, *y = b;

    if (x->cookie != y->cookie)
        return x->cookie < y->cookie ? -1 : 1;
    return strcmp(x->host, y->host);
}

static bool has_state(const struct model_conn *c, enum model_side side, enum tcp_state state)
{
    for (size_t i = 0; i < c->count; i++)
        if (c->events[i].kind == MODEL_STATE && c->events[i].state.side == side &&
            c->events[i].state.state == state)
            return true;
    return false;
}

/* A socket is freed when TIME_WAIT begins, as a smaller one keeps that state: then it is no CLOSED. */
static void give_state(struct model *m, struct model_conn *c, enum model_side side,
                       const struct model_orphan *o)
{
    struct model_state s = o->state;

    s.side = side;
    if (s.source != MODEL_DESTROY || !has_state(c, side, TCP_STATE_TIME_WAIT))
        model_add_state(m, c, &s);
}

static void give_orphans(struct model *m)
{
    struct owner *owners = mem_alloc((m->count * MODEL_SIDES + 1) * sizeof *owners);
    size_t n = 0;

    for (size_t i = 0; i < m->count; i++)
        for (int side = 0; side < MODEL_SIDES; side++)
            if (m->conns[i]->end[side].cookie != 0 && m->conns[i]->end[side].host != NULL)
                owners[n++] = (struct owner){m->conns[i]->end[side].cookie, m->conns[i]->end[side].host,
                                             m->conns[i], (enum model_side)side};
    qsort(owners, n, sizeof *owners, by_cookie);
    for (size_t i = 0; i < m->orphan_count && n > 0; i++) {
        const struct model_orphan *o = &m->orphans[i];
        struct owner key = {.cookie = o->cookie, .host = o->host},
                     *at = bsearch(&key, owners, n, sizeof *owners, by_cookie);

        if (at != NULL)
            give_state(m, at->conn, at->side, o);
    }
    free(owners);
}

/* ---- which are one ---- */

static int compare_addr(const struct tcp_addr *a, const struct tcp_addr *b)
{
    if (a->family != b->family)
        return a->family < b->family ? -1 : 1;
    if (a->port != b->port)
        return a->port < b->port ? -1 : 1;
    return memcmp(a->ip, b->ip, sizeof a->ip);
}

static int64_t first_time(const struct model_conn *c)
{
    int64_t first = INT64_MAX;

    for (size_t i = 0; i < c->count; i++)
        if (c->events[i].time_ns < first)
            first = c->events[i].time_ns;
    return first;
}

static int64_t last_time(const struct model_conn *c)
{
    int64_t last = INT64_MIN;

    for (size_t i = 0; i < c->count; i++)
        if (c->events[i].time_ns > last)
            last = c->events[i].time_ns;
    return last;
}

static void order_ends(const struct model_conn *c, const struct tcp_addr **low, const struct tcp_addr **high)
{
    const struct tcp_addr *a = &c->end[0].addr, *b = &c->end[1].addr;
    bool swap = compare_addr(a, b) > 0;

    *low = swap ? b : a;
    *high = swap ? a : b;
}

static int by_ends_then_start(const void *a, const void *b)
{
    const struct model_conn *x = *(struct model_conn *const *)a, *y = *(struct model_conn *const *)b;
    const struct tcp_addr *xl, *xh, *yl, *yh;
    int order;

    order_ends(x, &xl, &xh);
    order_ends(y, &yl, &yh);
    order = compare_addr(xl, yl);
    if (order == 0)
        order = compare_addr(xh, yh);
    if (order != 0)
        return order;
    return x->start_ns < y->start_ns ? -1 : x->start_ns > y->start_ns;
}

static int by_start(const void *a, const void *b)
{
    const struct model_conn *x = *(struct model_conn *const *)a, *y = *(struct model_conn *const *)b;

    return x->start_ns < y->start_ns ? -1 : x->start_ns > y->start_ns;
}

static bool same_ends(const struct model_conn *a, const struct model_conn *b)
{
    const struct tcp_addr *al, *ah, *bl, *bh;

    order_ends(a, &al, &ah);
    order_ends(b, &bl, &bh);
    return al->family != 0 && compare_addr(al, bl) == 0 && compare_addr(ah, bh) == 0;
}

static bool has_any_log(const struct model_conn *c)
{
    return c->end[MODEL_CLIENT].has_log || c->end[MODEL_SERVER].has_log;
}

static bool have_one_clock(const struct model_conn *a, const struct model_conn *b)
{
    const char *host = NULL;

    for (int side = 0; side < MODEL_SIDES; side++) {
        const char *hosts[] = {a->end[side].host, b->end[side].host};

        for (int i = 0; i < 2; i++) {
            if (hosts[i] != NULL && host != NULL && strcmp(hosts[i], host) != 0)
                return false;
            host = hosts[i] != NULL ? hosts[i] : host;
        }
    }
    return true;
}

/* What both know of the first sequence numbers: 1 the same, -1 not the same, 0 nothing. They are drawn anew
 * for each connection. */
static int compare_isns(const struct model_conn *a, const struct model_conn *b)
{
    bool is_turned = compare_addr(&a->end[0].addr, &b->end[0].addr) != 0;
    int found = 0;

    for (int side = 0; side < MODEL_SIDES; side++) {
        const struct model_end *x = &a->end[side], *y = &b->end[is_turned ? 1 - side : side];

        if (x->has_isn && y->has_isn && x->isn != y->isn)
            return -1;
        found |= x->has_isn && y->has_isn;
    }
    return found;
}

static bool can_be_one(const struct model_conn *a, const struct model_conn *b)
{
    if (!same_ends(a, b) || compare_isns(a, b) < 0)
        return false;
    for (int side = 0; side < MODEL_SIDES; side++)
        if (a->end[side].has_log && b->end[side].has_log)
            return false;
    return !a->has_capture || !b->has_capture || strcmp(a->origin, b->origin) != 0;
}

/* Ports are used again: what is one connection also lies at the same time, as far as one clock says so. Two
 * captures beside logs are two hosts': each goes with its own host's log first. */
static bool are_one_by_time(const struct model_conn *a, const struct model_conn *b)
{
    return can_be_one(a, b) && have_one_clock(a, b) &&
           (!a->has_capture || !b->has_capture || (!has_any_log(a) && !has_any_log(b))) &&
           b->start_ns <= last_time(a) + TOGETHER_NS && a->start_ns <= last_time(b) + TOGETHER_NS;
}

/* By other clocks: two hosts' logs, whatever captures are with them; or the same first sequence numbers. */
static bool are_one_elsewhere(const struct model_conn *a, const struct model_conn *b)
{
    return can_be_one(a, b) && (!have_one_clock(a, b) || compare_isns(a, b) > 0);
}

static void turn_round(struct model_conn *c)
{
    struct model_end end = c->end[0];

    c->end[0] = c->end[1];
    c->end[1] = end;
    for (size_t i = 0; i < c->count; i++) {
        struct model_event *e = &c->events[i];

        if (e->kind == MODEL_CALL)
            e->call.side = model_other(e->call.side);
        else if (e->kind == MODEL_STATE)
            e->state.side = model_other(e->state.side);
        else if (e->kind == MODEL_SEGMENT)
            e->segment.from = model_other(e->segment.from);
        else
            e->note.side = model_other(e->note.side);
    }
}

static void take_end(struct model_end *to, const struct model_end *from)
{
    if (!to->has_isn && from->has_isn) {
        to->has_isn = true;
        to->isn = from->isn;
    }
    if (to->has_log || !from->has_log)
        return;
    to->cookie = from->cookie;
    to->id = from->id;
    to->program = from->program;
    to->host = from->host;
    to->has_log = true;
}

static void fold(struct model_conn *into, struct model_conn *from)
{
    bool turned = compare_addr(&into->end[0].addr, &from->end[0].addr) != 0;

    into->has_one_clock |= from->has_one_clock ||
                           (into->has_capture && from->has_capture && has_any_log(into) && has_any_log(from));
    if (turned && has_any_log(from) &&
        !has_any_log(into)) /* programs know who called; captures may have to guess */
        turn_round(into);
    else if (turned)
        turn_round(from);
    for (int side = 0; side < MODEL_SIDES; side++)
        take_end(&into->end[side], &from->end[side]);
    if (into->has_capture && from->has_capture)
        merge_captures(into, from);
    into->events = mem_realloc(into->events, (into->count + from->count + 1) * sizeof *into->events);
    memcpy(into->events + into->count, from->events, from->count * sizeof *from->events);
    into->count += from->count;
    into->cap = into->count + 1;
    into->has_capture |= from->has_capture;
    into->start_ns = into->start_ns < from->start_ns ? into->start_ns : from->start_ns;
    into->watched_ns = into->watched_ns > from->watched_ns ? into->watched_ns : from->watched_ns;
    from->count = 0;
    from->is_merged = true;
}

#define NEIGHBOURS 64 /* views of connections with the same ends that are looked at */

/* Sorted by their ends, those that can be one are neighbours. By one clock each goes to the nearest before it
 * that takes it; by two, the first of a host's is the first of the other's. */
static void fold_by_time(struct model *m)
{
    for (size_t i = 1; i < m->count; i++)
        for (size_t back = i; back-- > 0 && i - back < NEIGHBOURS && same_ends(m->conns[back], m->conns[i]);)
            if (!m->conns[back]->is_merged && are_one_by_time(m->conns[back], m->conns[i])) {
                fold(m->conns[back], m->conns[i]);
                break;
            }
}

static void fold_elsewhere(struct model *m)
{
    for (size_t i = 1, first = 0; i < m->count; i++) {
        if (!same_ends(m->conns[first], m->conns[i]))
            first = i;
        for (size_t k = i - first > NEIGHBOURS ? i - NEIGHBOURS : first; k < i && !m->conns[i]->is_merged;
             k++)
            if (!m->conns[k]->is_merged && are_one_elsewhere(m->conns[k], m->conns[i]))
                fold(m->conns[k], m->conns[i]);
    }
}

static void fold_all(struct model *m)
{
    for (size_t i = 0; i < m->count; i++)
        m->conns[i]->start_ns = first_time(m->conns[i]);
    qsort(m->conns, m->count, sizeof *m->conns, by_ends_then_start);
    fold_by_time(m);
    fold_elsewhere(m);
}

static void drop_merged(struct model *m)
{
    size_t kept = 0;

    for (size_t i = 0; i < m->count; i++) {
        struct model_conn *c = m->conns[i];

        if (!c->is_merged && c->count > 0) {
            m->conns[kept++] = c;
        } else {
            free(c->events);
            free(c);
        }
    }
    m->count = kept;
}

/* ---- the order within one ---- */

/* Whose clock its time is by. */
static enum model_side side_of(const struct model_conn *c, const struct model_event *e)
{
    switch (e->kind) {
    case MODEL_CALL:
        return e->call.side;
    case MODEL_STATE:
        return e->state.side;
    case MODEL_NOTE:
        return e->note.side;
    case MODEL_SEGMENT:
        break;
    }
    return c->capture_side;
}

static int by_time(const void *a, const void *b)
{
    const struct model_event *x = a, *y = b;

    if (x->time_ns != y->time_ns)
        return x->time_ns < y->time_ns ? -1 : 1;
    if (x->kind != y->kind)
        return x->kind < y->kind ? -1 : 1;
    if (x->kind == MODEL_SEGMENT)
        return x->segment.frame < y->segment.frame ? -1 : x->segment.frame > y->segment.frame;
    return 0;
}

void merge_sort_events(struct model_conn *c)
{
    qsort(c->events, c->count, sizeof *c->events, by_time);
}

static void apply_offsets(struct model_conn *c)
{
    for (size_t i = 0; i < c->count; i++) {
        struct model_event *e = &c->events[i];
        int64_t offset = c->end[side_of(c, e)].clock_offset_ns;

        e->time_ns += offset;
        if (e->kind == MODEL_SEGMENT && e->segment.arrive_ns != 0)
            e->segment.arrive_ns += offset;
    }
    c->watched_ns += c->watched_ns != 0 ? c->end[c->capture_side].clock_offset_ns : 0;
}

static uint32_t seq_len(const struct model_segment *s)
{
    return s->len + ((s->flags & MODEL_SYN) != 0) + ((s->flags & MODEL_FIN) != 0);
}

/* What repeats numbers that were sent before was sent again; one byte below the next number is a keepalive
 * probe. */
static void mark_repeated(struct model_conn *c)
{
    uint32_t next[MODEL_SIDES] = {0};
    bool any[MODEL_SIDES] = {false};

    for (size_t i = 0; i < c->count; i++) {
        struct model_segment *s = &c->events[i].segment;
        uint32_t len;

        if (c->events[i].kind != MODEL_SEGMENT)
            continue;
        len = seq_len(s);
        if (any[s->from] && (s->flags & (MODEL_SYN | MODEL_FIN | MODEL_RST)) == 0 && s->len <= 1 &&
            s->seq + 1 == next[s->from])
            s->keepalive = true;
        else if (any[s->from] && len > 0 && !(s->flags & MODEL_RST) &&
                 (int32_t)(s->seq + len - next[s->from]) <= 0)
            s->retransmission = true;
        if (!any[s->from] || (int32_t)(s->seq + len - next[s->from]) > 0)
            next[s->from] = s->seq + len;
        any[s->from] = true;
    }
}

static void finish_conn(struct model *m, struct model_conn *c)
{
    merge_estimate_offset(c);
    merge_place_capture(c);
    apply_offsets(c);
    merge_sort_events(c);
    if (!c->has_capture) {
        infer_segments(m, c);
    } else {
        infer_reset(m, c);
    }
    merge_sort_events(c);
    mark_repeated(c);
    infer_states(m, c);
    merge_sort_events(c);
    c->start_ns = c->count > 0 ? c->events[0].time_ns : 0;
}

void merge_model(struct model *m)
{
    if (m->count == 0)
        return;
    give_orphans(m);
    fold_all(m);
    drop_merged(m);
    for (size_t i = 0; i < m->count; i++)
        finish_conn(m, m->conns[i]);
    qsort(m->conns, m->count, sizeof *m->conns, by_start);
    for (size_t i = 0; i < m->count; i++)
        m->conns[i]->number = (unsigned)i + 1;
}
