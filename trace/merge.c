/* merge.c: see merge.h. */
#include "trace/merge.h"

#include "common/mem.h"

#include <stdlib.h>
#include <string.h>

#define TOGETHER_NS                                                                                          \
    2000000000LL /* the two sides' views of one connection lie no further apart, by one clock */

/* ---- states told by cookie ---- */

struct owner {
    uint64_t cookie;
    struct model_conn *conn;
    enum model_side side;
};

static int by_cookie(const void *a, const void *b)
{
    const struct owner *x = a, *y = b;

    return x->cookie < y->cookie ? -1 : x->cookie > y->cookie;
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
            if (m->conns[i]->end[side].cookie != 0)
                owners[n++] =
                    (struct owner){m->conns[i]->end[side].cookie, m->conns[i], (enum model_side)side};
    qsort(owners, n, sizeof *owners, by_cookie);
    for (size_t i = 0; i < m->orphan_count && n > 0; i++) {
        const struct model_orphan *o = &m->orphans[i];
        struct owner key = {.cookie = o->cookie}, *at = bsearch(&key, owners, n, sizeof *owners, by_cookie);

        if (at != NULL && at->conn->end[at->side].host != NULL &&
            strcmp(at->conn->end[at->side].host, o->host) == 0)
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

/* Ports are used again: what is one connection also lies at the same time, as far as one clock says so. */
static bool are_one(const struct model_conn *a, const struct model_conn *b)
{
    if (!same_ends(a, b))
        return false;
    for (int side = 0; side < MODEL_SIDES; side++)
        if (a->end[side].has_log && b->end[side].has_log)
            return false;
    if (a->has_capture && b->has_capture &&
        (has_any_log(a) || has_any_log(b) || strcmp(a->origin, b->origin) == 0))
        return false;
    if (!have_one_clock(a, b))
        return true;
    return b->start_ns <= last_time(a) + TOGETHER_NS && a->start_ns <= last_time(b) + TOGETHER_NS;
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
    from->count = 0;
    from->is_merged = true;
}

/* Sorted by their ends, those that can be one are neighbours: each goes to the nearest before it that takes
 * it. */
static void fold_all(struct model *m)
{
    for (size_t i = 0; i < m->count; i++)
        m->conns[i]->start_ns = first_time(m->conns[i]);
    qsort(m->conns, m->count, sizeof *m->conns, by_ends_then_start);
    for (size_t i = 1; i < m->count; i++)
        for (size_t back = i; back-- > 0 && i - back < 8 && same_ends(m->conns[back], m->conns[i]);)
            if (!m->conns[back]->is_merged && are_one(m->conns[back], m->conns[i])) {
                fold(m->conns[back], m->conns[i]);
                break;
            }
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

/* -1 for segments: they have the capture's clock. */
static int side_of(const struct model_event *e)
{
    switch (e->kind) {
    case MODEL_CALL:
        return (int)e->call.side;
    case MODEL_STATE:
        return (int)e->state.side;
    case MODEL_NOTE:
        return (int)e->note.side;
    case MODEL_SEGMENT:
        break;
    }
    return -1;
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
        int side = side_of(&c->events[i]);

        if (side >= 0)
            c->events[i].time_ns += c->end[side].clock_offset_ns;
    }
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
    give_orphans(m);
    fold_all(m);
    drop_merged(m);
    for (size_t i = 0; i < m->count; i++)
        finish_conn(m, m->conns[i]);
    qsort(m->conns, m->count, sizeof *m->conns, by_start);
    for (size_t i = 0; i < m->count; i++)
        m->conns[i]->number = (unsigned)i + 1;
}
