/* infer_states.c: the states between two that the kernel told, from the segments: what RFC 9293 makes of
 * them. See merge.h. */
#include "trace/merge.h"

#include "common/mem.h"

#include <stdlib.h>

#define ASKED_NS 1000000 /* a state's time is a little later than the moment at which the kernel was asked */

struct end_state {
    enum tcp_state state;
    uint32_t fin_ack; /* what acknowledges our FIN; 0: none sent */
};

static enum tcp_state after_sending(struct end_state *e, const struct model_segment *s)
{
    if (s->flags & MODEL_RST)
        return TCP_STATE_CLOSED;
    if (s->flags & MODEL_SYN)
        return s->flags & MODEL_ACK ? TCP_STATE_SYN_RECEIVED : TCP_STATE_SYN_SENT;
    if (e->state == TCP_STATE_SYN_SENT && (s->flags & MODEL_ACK)) /* the SYN,ACK was not captured */
        e->state = TCP_STATE_ESTABLISHED;
    if (!(s->flags & MODEL_FIN))
        return e->state;
    e->fin_ack = s->seq + s->len + 1;
    if (e->state == TCP_STATE_CLOSE_WAIT)
        return TCP_STATE_LAST_ACK;
    return e->state == TCP_STATE_LAST_ACK || e->state == TCP_STATE_CLOSING ? e->state : TCP_STATE_FIN_WAIT_1;
}

static enum tcp_state after_ack(const struct end_state *e, const struct model_segment *s)
{
    bool of_fin = e->fin_ack != 0 && (s->flags & MODEL_ACK) && (int32_t)(s->ack - e->fin_ack) >= 0;

    if (e->state == TCP_STATE_SYN_SENT && (s->flags & MODEL_SYN) && (s->flags & MODEL_ACK))
        return TCP_STATE_ESTABLISHED;
    if (e->state == TCP_STATE_SYN_RECEIVED && (s->flags & MODEL_ACK))
        return TCP_STATE_ESTABLISHED;
    if (!of_fin)
        return e->state;
    switch (e->state) {
    case TCP_STATE_FIN_WAIT_1:
        return TCP_STATE_FIN_WAIT_2;
    case TCP_STATE_CLOSING:
        return TCP_STATE_TIME_WAIT;
    case TCP_STATE_LAST_ACK:
        return TCP_STATE_CLOSED;
    default:
        return e->state;
    }
}

static enum tcp_state after_receiving(struct end_state *e, const struct model_segment *s)
{
    if (s->flags & MODEL_RST)
        return TCP_STATE_CLOSED;
    if ((s->flags & MODEL_SYN) && !(s->flags & MODEL_ACK) && e->state == TCP_STATE_UNKNOWN)
        return TCP_STATE_SYN_RECEIVED;
    e->state = after_ack(e, s);
    if (!(s->flags & MODEL_FIN))
        return e->state;
    switch (e->state) {
    case TCP_STATE_ESTABLISHED:
    case TCP_STATE_UNKNOWN: /* the capture began later */
        return TCP_STATE_CLOSE_WAIT;
    case TCP_STATE_FIN_WAIT_1:
        return TCP_STATE_CLOSING;
    case TCP_STATE_FIN_WAIT_2:
        return TCP_STATE_TIME_WAIT;
    default:
        return e->state;
    }
}

/* How far along its life a connection is. */
static int rank_of(enum tcp_state state)
{
    switch (state) {
    case TCP_STATE_SYN_SENT:
    case TCP_STATE_SYN_RECEIVED:
        return 1;
    case TCP_STATE_ESTABLISHED:
        return 2;
    case TCP_STATE_FIN_WAIT_1:
    case TCP_STATE_CLOSE_WAIT:
        return 3;
    case TCP_STATE_FIN_WAIT_2:
    case TCP_STATE_CLOSING:
    case TCP_STATE_LAST_ACK:
        return 4;
    case TCP_STATE_TIME_WAIT:
        return 5;
    case TCP_STATE_CLOSED:
        return 6;
    default:
        return 0;
    }
}

/* What the kernel says counts, where it is ahead of what was inferred. */
static void hear(struct end_state *e, enum tcp_state told)
{
    if (rank_of(told) > rank_of(e->state))
        e->state = told;
}

/* What is asked of the whole connection at each of its segments, found out once: a capture may have millions
 * of them. */
struct outlook {
    struct model *m;
    struct model_conn *c;
    size_t count;
    unsigned seen[MODEL_SIDES];  /* states that the kernel told: bits */
    size_t up[MODEL_SIDES];      /* the last segment that this side would send on a connection only */
    uint8_t *least[MODEL_SIDES]; /* by event: the lowest rank that the kernel told there or later */
    size_t patience;             /* events that are still looked at to find out what was lost */
};

#define LOOKS    64 /* through all events; a connection has few SYNs and FINs */
#define RANK_MAX UINT8_MAX

static bool is_told(const struct model_event *e, enum model_side side)
{
    return e->kind == MODEL_STATE && e->state.side == side && e->state.source != MODEL_INFERRED;
}

/* A SYN, or what acknowledges one. */
static bool shows_connection(const struct model_segment *s)
{
    return (s->flags & MODEL_SYN) ||
           ((s->flags & (MODEL_ACK | MODEL_RST)) == MODEL_ACK && s->ack - 1 < UINT32_MAX / 4);
}

static void look_at_side(struct outlook *o, enum model_side side)
{
    uint8_t least = RANK_MAX;

    o->least[side] = mem_alloc(o->count + 1);
    o->least[side][o->count] = RANK_MAX;
    for (size_t i = o->count; i-- > 0;) {
        const struct model_event *e = &o->c->events[i];

        if (is_told(e, side) && (unsigned)e->state.state < 32) {
            o->seen[side] |= 1U << e->state.state;
            if (e->state.state != TCP_STATE_UNKNOWN && rank_of(e->state.state) < least)
                least = (uint8_t)rank_of(e->state.state);
        }
        if (e->kind == MODEL_SEGMENT && e->segment.from == side && o->up[side] == 0 &&
            shows_connection(&e->segment))
            o->up[side] = i;
        o->least[side][i] = least;
    }
}

/* Whether a SYN or FIN went again before anything acknowledged it: then this one did not arrive. A SYN that
 * nothing followed from the other end made no connection there, whether it was lost or refused. */
static bool was_lost(struct outlook *o, size_t at)
{
    const struct model_segment *s = &o->c->events[at].segment;
    uint32_t end = s->seq + s->len + 1;

    if (!(s->flags & (MODEL_SYN | MODEL_FIN)))
        return false;
    if ((s->flags & MODEL_SYN) && !(s->flags & MODEL_ACK) && o->up[model_other(s->from)] <= at)
        return true;
    for (size_t i = at + 1; i < o->count && o->patience > 0; i++, o->patience--) {
        const struct model_segment *later = &o->c->events[i].segment;

        if (o->c->events[i].kind != MODEL_SEGMENT)
            continue;
        if (later->from != s->from && (later->flags & MODEL_ACK) && (int32_t)(later->ack - end) >= 0)
            return false;
        if (later->from == s->from && later->seq == s->seq && later->flags == s->flags)
            return true;
    }
    return false;
}

/* Whether the kernel itself said later that the end was not that far: then the segment behind this was
 * captured, or must have been sent, and did not arrive (a filter dropped it, a way lost it). */
static bool was_denied(const struct outlook *o, size_t at, enum model_side side, enum tcp_state to)
{
    int64_t from_ns = o->c->events[at].time_ns + ASKED_NS;
    size_t low = at + 1, high = o->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (o->c->events[middle].time_ns > from_ns)
            high = middle;
        else
            low = middle + 1;
    }
    return o->least[side][low] < rank_of(to);
}

static void change(struct outlook *o, enum model_side side, struct end_state *e, enum tcp_state to,
                   int64_t time_ns)
{
    if (e->state == to)
        return;
    e->state = to;
    if (!(o->seen[side] >> to & 1))
        model_add_state(o->m, o->c,
                        &(struct model_state){time_ns, side, to, MODEL_INFERRED, {.source = NULL}});
}

static void follow(struct outlook *o, struct end_state ends[MODEL_SIDES], size_t i)
{
    struct model_segment s = o->c->events[i].segment;
    int64_t at = o->c->events[i].time_ns + 1;
    enum model_side to = model_other(s.from);
    struct end_state after = ends[s.from];
    enum tcp_state state = after_sending(&after, &s);

    ends[s.from].fin_ack = after.fin_ack;
    change(o, s.from, &ends[s.from], state, at);
    if (was_lost(o, i))
        return;
    after = ends[to];
    state = after_receiving(&after, &s);
    if (state != ends[to].state && !was_denied(o, i, to, state))
        change(o, to, &ends[to], state, at);
}

void infer_states(struct model *m, struct model_conn *c)
{
    struct end_state ends[MODEL_SIDES] = {{TCP_STATE_UNKNOWN, 0}, {TCP_STATE_UNKNOWN, 0}};
    struct outlook o = {.m = m, .c = c, .count = c->count, .patience = LOOKS * (c->count + 1)};

    for (int side = 0; side < MODEL_SIDES; side++)
        look_at_side(&o, (enum model_side)side);
    for (size_t i = 0; i < o.count; i++) {
        if (c->events[i].kind == MODEL_STATE)
            hear(&ends[c->events[i].state.side], c->events[i].state.state);
        else if (c->events[i].kind == MODEL_SEGMENT && !c->events[i].segment.keepalive)
            follow(&o, ends, i);
    }
    for (int side = 0; side < MODEL_SIDES; side++)
        free(o.least[side]);
}
