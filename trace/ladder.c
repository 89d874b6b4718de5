/* ladder.c: puts a connection's events into rows. See ladder.h. */
#include "trace/ladder.h"

#include "common/mem.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define NEAR_NS   5000000LL /* a call lies no further from the segment that it made or took */
#define LOOK_BACK 8         /* rows */

struct builder {
    struct ladder *l;
    ptrdiff_t last_call[MODEL_SIDES], last_state[MODEL_SIDES]; /* rows; -1: none */
    const struct model_event *fin[MODEL_SIDES];
    bool acked[MODEL_SIDES];
    unsigned marks;
};

static struct ladder_row *new_row(struct builder *b, const struct model_event *e)
{
    struct ladder *l = b->l;
    struct ladder_row *row;

    if (l->count == l->cap) {
        l->cap = l->cap == 0 ? 64 : l->cap * 2;
        l->rows = mem_realloc(l->rows, l->cap * sizeof *l->rows);
    }
    row = &l->rows[l->count++];
    *row = (struct ladder_row){.time_ns = e->time_ns - l->conn->start_ns};
    if (l->count > 1) {
        row->now[0] = row[-1].now[0];
        row->now[1] = row[-1].now[1];
    }
    return row;
}

static bool is_call(const struct model_call *c, const char *a, const char *b)
{
    return strncmp(c->name, a, strlen(a)) == 0 || strncmp(c->name, b, strlen(b)) == 0;
}

static bool made(const struct model_call *c, const struct model_segment *s)
{
    if (is_call(c, "send", "write"))
        return s->len > 0 && c->err == 0;
    if (is_call(c, "connect", "connect"))
        return (s->flags & MODEL_SYN) && !(s->flags & MODEL_ACK);
    if (is_call(c, "shutdown", "close"))
        return (s->flags & (MODEL_FIN | MODEL_RST)) != 0;
    return false;
}

static bool took(const struct model_call *c, const struct model_segment *s)
{
    if (c->err == ECONNRESET || c->err == EPIPE || c->err == ECONNREFUSED)
        return (s->flags & MODEL_RST) != 0;
    if (c->is_event)
        return (s->flags & (MODEL_FIN | MODEL_RST)) != 0 && strstr(c->name, "HUP") != NULL;
    if (is_call(c, "recv", "read"))
        return c->result > 0 ? s->len > 0 : c->result == 0 && (s->flags & MODEL_FIN);
    if (is_call(c, "accept", "accept"))
        return s->flags == MODEL_ACK && s->len == 0 && s->seq == 1;
    if (is_call(c, "connect", "getsockopt(SO_ERROR)"))
        return c->err == 0 && (s->flags & MODEL_SYN) && (s->flags & MODEL_ACK);
    return false;
}

static bool belongs(const struct model_call *c, const struct model_segment *s)
{
    return s->from == c->side ? made(c, s) : took(c, s);
}

static size_t first_to_try(const struct builder *b, enum model_side side)
{
    size_t after = (size_t)(b->last_call[side] + 1),
           back = b->l->count > LOOK_BACK ? b->l->count - LOOK_BACK : 0;

    return after > back ? after : back;
}

/* The row of the segment that a call belongs to: the first that a sender made, the last that a receiver
 * took. */
static struct ladder_row *row_for_call(struct builder *b, const struct model_event *e)
{
    struct ladder_row *found = NULL;

    for (size_t i = first_to_try(b, e->call.side); i < b->l->count; i++) {
        struct ladder_row *row = &b->l->rows[i];

        if (row->segment == NULL || row->call[e->call.side] != NULL ||
            e->time_ns - row->segment->time_ns > NEAR_NS || !belongs(&e->call, &row->segment->segment))
            continue;
        found = row;
        if (row->segment->segment.from == e->call.side)
            break;
    }
    return found;
}

static void put_call(struct builder *b, const struct model_event *e)
{
    struct ladder_row *row = row_for_call(b, e);

    if (row == NULL)
        row = new_row(b, e);
    row->call[e->call.side] = e;
    b->last_call[e->call.side] = row - b->l->rows;
}

static void put_note(struct builder *b, const struct model_event *e)
{
    if (strcmp(e->note.kind, "closed") == 0 || strcmp(e->note.kind, "reset") == 0)
        return; /* the verdict's */
    new_row(b, e)->call[e->note.side] = e;
    b->last_call[e->note.side] = (ptrdiff_t)b->l->count - 1;
}

/* A state is told together with the call after which the kernel was asked, or with the segment that it
 * follows from. */
static struct ladder_row *row_for_state(struct builder *b, const struct model_event *e)
{
    enum model_side side = e->state.side;
    ptrdiff_t call = b->last_call[side], last = (ptrdiff_t)b->l->count - 1;
    struct ladder_row *rows = b->l->rows;

    if (e->state.source == MODEL_TCP_INFO && call > b->last_state[side] && rows[call].state[side] == NULL &&
        e->time_ns - rows[call].call[side]->time_ns < NEAR_NS)
        return &rows[call];
    if (last >= 0 && last > b->last_state[side] &&
        e->time_ns - b->l->conn->start_ns - rows[last].time_ns < NEAR_NS)
        return &rows[last];
    return NULL;
}

static void put_state(struct builder *b, const struct model_event *e)
{
    struct ladder_row *row = row_for_state(b, e);
    enum model_side side = e->state.side;
    ptrdiff_t at;

    if (row == NULL)
        row = new_row(b, e);
    row->state[side] = e;
    at = row - b->l->rows;
    b->last_state[side] = at;
    for (size_t i = (size_t)at; i < b->l->count; i++)
        b->l->rows[i].now[side] = e->state.state;
}

/* Numbers the teardown: FIN, its acknowledgement, the other FIN, its acknowledgement. */
static void put_marks(struct builder *b, struct ladder_row *row)
{
    const struct model_event *e = row->segment;
    const struct model_segment *s = &e->segment;
    enum model_side other = model_other(s->from);
    unsigned *mark = &row->mark;

    if (s->flags & MODEL_RST)
        return;
    if (b->fin[other] != NULL && !b->acked[other] && (s->flags & MODEL_ACK) &&
        (int32_t)(s->ack - (b->fin[other]->segment.seq + b->fin[other]->segment.len + 1)) >= 0) {
        b->acked[other] = true;
        if (!(s->flags & MODEL_FIN) || b->fin[s->from] != NULL)
            *mark = ++b->marks;
    }
    if ((s->flags & MODEL_FIN) && b->fin[s->from] == NULL) {
        b->fin[s->from] = e;
        *mark = ++b->marks;
    }
}

static void put_segment(struct builder *b, const struct model_event *e)
{
    struct ladder_row *row = new_row(b, e);

    row->segment = e;
    row->half_closed = b->fin[0] != NULL || b->fin[1] != NULL;
    put_marks(b, row);
}

/* From the first FIN to the second one's acknowledgement, or to the end where that never came. */
static void mark_half_closed(struct builder *b)
{
    bool is_over = b->acked[0] && b->acked[1];
    struct ladder *l = b->l;
    size_t first = l->count, last = l->count;

    for (size_t i = 0; i < l->count; i++) {
        if (l->rows[i].mark > 0 && first == l->count)
            first = i;
        if (l->rows[i].mark > 0 && is_over)
            last = i;
        if (l->rows[i].segment != NULL && (l->rows[i].segment->segment.flags & MODEL_RST) &&
            first < l->count && last == l->count)
            last = i;
        l->rows[i].half_closed = false;
    }
    for (size_t i = first + 1; i < last && i < l->count; i++)
        l->rows[i].half_closed = true;
}

void ladder_init(struct ladder *l, struct model_conn *c)
{
    struct builder b = {.l = l, .last_call = {-1, -1}, .last_state = {-1, -1}};

    *l = (struct ladder){.conn = c, .verdict = verdict_of(c)};
    for (size_t i = 0; i < c->count; i++) {
        const struct model_event *e = &c->events[i];

        if (e->kind == MODEL_SEGMENT)
            put_segment(&b, e);
        else if (e->kind == MODEL_CALL)
            put_call(&b, e);
        else if (e->kind == MODEL_STATE)
            put_state(&b, e);
        else
            put_note(&b, e);
    }
    mark_half_closed(&b);
}

void ladder_deinit(struct ladder *l)
{
    free(l->rows);
    *l = (struct ladder){0};
}
