/* infer.c: what nobody has captured and yet must have been, by RFC 9293: the segments between two logged
 * calls. All of it is marked as inferred. See merge.h; states are in infer_states.c. */
#include "trace/merge.h"

#include <errno.h>
#include <string.h>

/* ---- segments from calls ---- */

static void put(struct model *m, struct model_conn *c, int64_t time_ns, enum model_side from, uint8_t flags,
                uint32_t len)
{
    model_add_segment(
        m, c,
        &(struct model_segment){
            .time_ns = time_ns, .from = from, .flags = flags, .len = len, .source = MODEL_INFERRED});
}

static bool starts_with(const char *text, const char *with)
{
    return strncmp(text, with, strlen(with)) == 0;
}

static bool sends(const struct model_call *call)
{
    return call->err == 0 && call->result > 0 &&
           (starts_with(call->name, "send") || starts_with(call->name, "write"));
}

static bool receives(const struct model_call *call)
{
    return call->err == 0 && call->result >= 0 &&
           (starts_with(call->name, "recv") || starts_with(call->name, "read"));
}

/* What one pass over the calls finds; the events grow meanwhile, so that they are looked at by number. */
struct pass {
    struct model *m;
    struct model_conn *c;
    bool syn_sent, is_up, fin[MODEL_SIDES], rst;
    size_t at, count; /* the event that is looked at; how many there were before any was inferred */
    struct taken {
        size_t at;      /* up to where its events were looked at */
        uint64_t bytes; /* received up to there */
        int64_t time_ns;
    } taken[MODEL_SIDES];
    uint64_t sent[MODEL_SIDES];
    bool holds[MODEL_SIDES];    /* TCP_CORK: what it writes waits for the FIN behind it */
    uint32_t held[MODEL_SIDES]; /* bytes */
    int64_t
        end_came[MODEL_SIDES]; /* when that side's kernel first told of the other's FIN; INT64_MAX: never */
};

/* A call's time is that of its return, and the other side may have been quicker: what it received was on its
 * way before that. When the side received the byte of that number; INT64_MAX: it did not, or has no log. */
static int64_t time_received(struct pass *p, enum model_side side, uint64_t number)
{
    struct taken *t = &p->taken[side];

    for (; t->bytes <= number; t->at++) {
        const struct model_event *e = &p->c->events[t->at];

        if (t->at >= p->count)
            return INT64_MAX;
        if (e->kind == MODEL_CALL && e->call.side == side && receives(&e->call) && e->call.result > 0) {
            t->bytes += (uint64_t)e->call.result;
            t->time_ns = e->time_ns;
        }
    }
    return t->time_ns;
}

/* When that side's call of that name returned first, where it did so with 0 or more; INT64_MAX: never. */
static int64_t time_of(const struct pass *p, enum model_side side, const char *name, bool only_zero)
{
    for (size_t i = 0; i < p->count; i++) {
        const struct model_event *e = &p->c->events[i];

        if (e->kind == MODEL_CALL && e->call.side == side && e->call.err == 0 &&
            starts_with(e->call.name, name) && (!only_zero || e->call.result == 0))
            return e->time_ns;
    }
    return INT64_MAX;
}

static int64_t earlier(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static bool has_end(enum tcp_state state)
{
    return state == TCP_STATE_CLOSE_WAIT || state == TCP_STATE_LAST_ACK || state == TCP_STATE_CLOSING ||
           state == TCP_STATE_TIME_WAIT;
}

static int64_t time_end_came(const struct pass *p, enum model_side side)
{
    for (size_t i = 0; i < p->count; i++) {
        const struct model_event *e = &p->c->events[i];

        if (e->kind == MODEL_STATE && e->state.side == side && has_end(e->state.state))
            return e->time_ns;
    }
    return INT64_MAX;
}

/* Our FIN, sent then, is acknowledged no earlier than the kernel said last that it was not. */
static int64_t time_end_acked(const struct pass *p, enum model_side side, int64_t sent_ns)
{
    int64_t time_ns = sent_ns;

    for (size_t i = 0; i < p->count; i++) {
        const struct model_event *e = &p->c->events[i];

        if (e->kind == MODEL_STATE && e->state.side == side && e->time_ns > time_ns &&
            (e->state.state == TCP_STATE_FIN_WAIT_1 || e->state.state == TCP_STATE_CLOSING ||
             e->state.state == TCP_STATE_LAST_ACK))
            time_ns = e->time_ns;
    }
    return time_ns + 1;
}

static void come_up(struct pass *p, int64_t time_ns)
{
    if (p->is_up)
        return;
    time_ns = earlier(time_ns, time_of(p, MODEL_SERVER, "accept", false));
    if (!p->syn_sent)
        put(p->m, p->c, time_ns - 3, MODEL_CLIENT, MODEL_SYN, 0);
    put(p->m, p->c, time_ns - 2, MODEL_SERVER, MODEL_SYN | MODEL_ACK, 0);
    put(p->m, p->c, time_ns - 1, MODEL_CLIENT, MODEL_ACK, 0);
    p->syn_sent = p->is_up = true;
}

/* On loopback connect() says EINPROGRESS and the connection is there: then the state behind the call says
 * so. */
static bool is_up_at_once(const struct pass *p)
{
    const struct model_event *next = &p->c->events[p->at + 1];

    return p->at + 1 < p->c->count && next->kind == MODEL_STATE && next->state.side == MODEL_CLIENT &&
           next->state.state == TCP_STATE_ESTABLISHED;
}

static void take_opening(struct pass *p, const struct model_call *call)
{
    if (starts_with(call->name, "accept") && call->err == 0) {
        come_up(p, call->time_ns);
        return;
    }
    if (!starts_with(call->name, "connect") && !starts_with(call->name, "getsockopt(SO_ERROR)"))
        return;
    if (call->err == 0 || (call->err == EINPROGRESS && is_up_at_once(p))) {
        come_up(p, call->time_ns);
    } else if (!p->syn_sent) {
        put(p->m, p->c, call->time_ns - 1, MODEL_CLIENT, MODEL_SYN, 0);
        p->syn_sent = true;
    }
    if (call->err == ECONNREFUSED)
        put(p->m, p->c, call->time_ns, MODEL_SERVER, MODEL_RST | MODEL_ACK, 0);
}

static void take_end(struct pass *p, enum model_side side, int64_t time_ns)
{
    if (p->fin[side] || p->rst || !p->is_up)
        return;
    p->fin[side] = true;
    time_ns = earlier(time_ns, time_of(p, model_other(side), "recv", true) - 2);
    time_ns = earlier(time_ns, p->end_came[model_other(side)] - 2);
    if (p->held[side] > 0)
        time_ns = earlier(time_ns, time_received(p, model_other(side), p->sent[side] - p->held[side]) - 2);
    put(p->m, p->c, time_ns, side, MODEL_FIN | MODEL_ACK | (p->held[side] > 0 ? MODEL_PSH : 0),
        p->held[side]);
    put(p->m, p->c, time_end_acked(p, side, time_ns), model_other(side), MODEL_ACK, 0);
}

static bool is_unread(const struct model_call *call)
{
    return call->detail != NULL && strstr(call->detail, "unread=") != NULL;
}

static void take_call(struct pass *p, const struct model_call *call)
{
    enum model_side side = call->side, other = model_other(side);
    bool hears_both = p->c->end[other].has_log;

    take_opening(p, call);
    if ((call->err == ECONNRESET || call->err == EPIPE) && !hears_both && !p->rst) {
        p->rst = true;
        put(p->m, p->c, call->time_ns - 1, other, MODEL_RST | MODEL_ACK, 0);
    }
    if (call->err == 0 && strcmp(call->name, "setsockopt(TCP_CORK)") == 0)
        p->holds[side] = true;
    if (sends(call) && p->holds[side]) {
        p->held[side] += (uint32_t)call->result;
        p->sent[side] += (uint64_t)call->result;
    } else if (sends(call)) {
        put(p->m, p->c,
            earlier(earlier(call->time_ns, time_received(p, other, p->sent[side])), p->end_came[other] - 2) -
                1,
            side, MODEL_PSH | MODEL_ACK, (uint32_t)call->result);
        p->sent[side] += (uint64_t)call->result;
    }
    if (receives(call) && call->result > 0 && !hears_both)
        put(p->m, p->c, earlier(call->time_ns, p->end_came[side] - 2) - 1, other, MODEL_PSH | MODEL_ACK,
            (uint32_t)call->result);
    else if (receives(call) && call->result == 0 && !hears_both)
        take_end(p, other, call->time_ns - 2);
    else if (starts_with(call->name, "shutdown(") && call->err == 0 && strstr(call->name, "RD)") == NULL)
        take_end(p, side, call->time_ns - 2);
    else if (strcmp(call->name, "close") == 0 && !is_unread(call))
        take_end(p, side, call->time_ns - 2);
}

/* "sent why" or "received why". */
static void take_reset(struct pass *p, const struct model_note *n)
{
    bool ours = starts_with(n->text, "sent");

    if (p->rst)
        return;
    p->rst = true;
    put(p->m, p->c, n->time_ns - (ours ? 1 : 2), ours ? n->side : model_other(n->side), MODEL_RST | MODEL_ACK,
        0);
}

/* A note of the reset is written behind close(), which would have sent FIN else. */
static bool is_reset_soon(const struct model_conn *c, size_t at)
{
    for (size_t i = at + 1; i < c->count && i < at + 8; i++)
        if (c->events[i].kind == MODEL_NOTE && strcmp(c->events[i].note.kind, "reset") == 0 &&
            c->events[i].note.side == c->events[at].call.side && starts_with(c->events[i].note.text, "sent"))
            return true;
    return false;
}

static void number_segments(struct model_conn *c)
{
    uint32_t next[MODEL_SIDES] = {0};

    for (size_t i = 0; i < c->count; i++) {
        struct model_segment *s = &c->events[i].segment;

        if (c->events[i].kind != MODEL_SEGMENT)
            continue;
        s->seq = next[s->from];
        s->ack = s->flags & MODEL_ACK ? next[model_other(s->from)] : 0;
        next[s->from] += s->len + ((s->flags & MODEL_SYN) != 0) + ((s->flags & MODEL_FIN) != 0);
    }
}

void infer_segments(struct model *m, struct model_conn *c)
{
    struct pass p = {.m = m, .c = c, .count = c->count};
    size_t count = c->count;

    for (int side = 0; side < MODEL_SIDES; side++)
        p.end_came[side] = time_end_came(&p, (enum model_side)side);

    for (size_t i = 0; i < count; i++) {
        struct model_event e = c->events[i];

        p.at = i;
        if (e.kind == MODEL_CALL) {
            e.call.time_ns = e.time_ns;
            if (strcmp(e.call.name, "close") != 0 || !is_reset_soon(c, i))
                take_call(&p, &e.call);
        } else if (e.kind == MODEL_NOTE && strcmp(e.note.kind, "reset") == 0) {
            e.note.time_ns = e.time_ns;
            take_reset(&p, &e.note);
        }
    }
    merge_sort_events(c);
    number_segments(c);
}

/* A capture may have ended before, or have lost it. */
void infer_reset(struct model *m, struct model_conn *c)
{
    uint32_t next[MODEL_SIDES] = {0};

    for (size_t i = 0; i < c->count; i++) {
        const struct model_event *e = &c->events[i];
        const struct model_segment *s = &e->segment;

        if (e->kind == MODEL_SEGMENT && (s->flags & MODEL_RST))
            return;
        if (e->kind == MODEL_SEGMENT)
            next[s->from] = s->seq + s->len + ((s->flags & (MODEL_SYN | MODEL_FIN)) != 0);
        if (e->kind != MODEL_CALL || (e->call.err != ECONNRESET && e->call.err != ECONNREFUSED))
            continue;
        model_add_segment(m, c,
                          &(struct model_segment){.time_ns = e->time_ns - 1,
                                                  .from = model_other(e->call.side),
                                                  .flags = MODEL_RST | MODEL_ACK,
                                                  .ack = next[e->call.side],
                                                  .seq = next[model_other(e->call.side)],
                                                  .source = MODEL_INFERRED});
        return;
    }
}
