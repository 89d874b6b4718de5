/* rungs.c: see rungs.h. A model and its ladder are made anew for each drawing: they are small, and what is
 * inferred depends on what came later. */
#include "client/rungs.h"

#include "common/mem.h"
#include "common/trace.h"
#include "trace/ladder.h"
#include "trace/read_text.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define OPENING    32      /* events that are never folded: how it came to be */
#define RECENT     96      /* the same, of its end */
#define YOUNG_NS   6000000 /* a call and its state may be that far apart and one rung (ladder.c) */
#define FIRST_ROWS 5       /* of a long ladder */
#define LAST_ROWS  17
#define BURST_ROWS 40 /* drawn at once */
#define MORE_MAX   96

struct kept {
    enum trace_kind kind;
    enum tcp_state to;
    bool is_ours, has_facts;
    int64_t time_ns;
    const char *name, *source;
    long ret;
    unsigned folded; /* calls that became this one */
    struct tcp_facts facts;
    char more[MORE_MAX];
};

struct rungs {
    void (*news)(void *arg), (*over)(void *arg);
    void *arg;
    uint64_t id;
    struct trace_ends ends;
    bool has_ends, is_followed, is_titled, is_closed;
    int64_t drawn_ns; /* of the ladder's time: up to there it was drawn while it was followed; -1: nothing */
    size_t count;
    struct kept kept[RUNGS_KEPT];
};

/* ---- keeping ---- */

static bool moves_bytes(const struct kept *k, const char *name)
{
    return k->kind == TRACE_CALL && strcmp(k->name, name) == 0 && (k->ret > 0 || k->ret == -EAGAIN);
}

/* From `from` to `end`: what of those moved bytes by that call goes into the first of them. */
static void fold(struct rungs *r, const char *name, size_t from, size_t end)
{
    struct kept *sum = NULL;
    size_t left = from;

    for (size_t i = from; i < r->count; i++) {
        struct kept *k = &r->kept[i];

        if (i >= end || !moves_bytes(k, name)) {
            r->kept[left++] = *k;
        } else if (sum == NULL) {
            sum = &r->kept[left++];
            *sum = *k;
            sum->folded = k->folded > 0 ? k->folded : 1;
            sum->ret = k->ret > 0 ? k->ret : 0;
        } else {
            sum->ret += k->ret > 0 ? k->ret : 0;
            sum->folded += k->folded > 0 ? k->folded : 1;
            sum->time_ns = k->time_ns;
        }
    }
    r->count = left;
    if (sum != NULL)
        snprintf(sum->more, sizeof sum->more, "in %u calls", sum->folded);
}

static struct kept *new_kept(struct rungs *r)
{
    if (r->count == RUNGS_KEPT) {
        fold(r, "send", OPENING, RUNGS_KEPT - RECENT);
        fold(r, "sendmsg", OPENING, r->count - RECENT);
        fold(r, "recv", OPENING, r->count - RECENT);
    }
    if (r->count == RUNGS_KEPT) { /* it was no data that filled it */
        memmove(&r->kept[OPENING], &r->kept[OPENING + 1], (RUNGS_KEPT - OPENING - 1) * sizeof *r->kept);
        r->count--;
    }
    return &r->kept[r->count++];
}

static void begin(struct rungs *r, uint64_t id)
{
    if (r->is_followed && r->count > 0)
        r->over(r->arg);
    r->id = id;
    r->count = 0;
    r->has_ends = r->is_titled = r->is_closed = false;
    r->drawn_ns = -1;
}

static void take(const struct trace_event *e, void *arg)
{
    struct rungs *r = arg;
    struct kept *k;

    if (e->id == 0 || e->kind == TRACE_MESSAGE)
        return;
    if (e->id != r->id)
        begin(r, e->id);
    if (e->kind == TRACE_CONNECTION) {
        r->ends = *e->ends;
        r->has_ends = true;
        return;
    }
    k = new_kept(r);
    *k = (struct kept){.kind = e->kind,
                       .to = e->to,
                       .is_ours = e->is_ours,
                       .time_ns = (int64_t)e->time_ns,
                       .name = e->name,
                       .source = e->source,
                       .ret = e->ret,
                       .has_facts = e->facts != NULL};
    if (e->facts != NULL)
        k->facts = *e->facts;
    if (e->more != NULL)
        snprintf(k->more, sizeof k->more, "%s", e->more);
    r->is_closed |= e->kind == TRACE_CLOSED;
    if (r->is_followed)
        r->news(r->arg);
}

struct rungs *rungs_new(void (*news)(void *arg), void (*over)(void *arg), void *arg)
{
    struct rungs *r = mem_zalloc(sizeof *r);

    r->news = news;
    r->over = over;
    r->arg = arg;
    r->drawn_ns = -1;
    trace_listen(take, r);
    return r;
}

void rungs_free(struct rungs *r)
{
    trace_listen(NULL, NULL);
    free(r);
}

/* ---- a model of it ---- */

static void add_call(struct model *m, struct model_conn *c, const struct kept *k)
{
    struct model_call call = {.time_ns = k->time_ns,
                              .side = MODEL_CLIENT,
                              .name = k->name,
                              .detail = k->more[0] != '\0' ? k->more : NULL,
                              .result = k->ret < 0 ? -1 : k->ret,
                              .err = k->ret < 0 ? (int)-k->ret : 0,
                              .has_result = true};

    if (k->has_facts)
        call.facts = k->facts;
    model_add_call(m, c, &call);
}

static void add_note(struct model *m, struct model_conn *c, const struct kept *k, const char *kind,
                     const char *first, const char *second)
{
    char text[2 * MORE_MAX];

    snprintf(text, sizeof text, "%s%s%s", first, second[0] != '\0' ? " " : "", second);
    model_add_note(
        m, c, &(struct model_note){.time_ns = k->time_ns, .side = MODEL_CLIENT, .kind = kind, .text = text});
}

static void add(struct model *m, struct model_conn *c, const struct kept *k)
{
    char name[64];

    switch (k->kind) {
    case TRACE_CALL:
        add_call(m, c, k);
        break;
    case TRACE_STATE:
        model_add_state(m, c,
                        &(struct model_state){.time_ns = k->time_ns,
                                              .side = MODEL_CLIENT,
                                              .state = k->to,
                                              .source = readtext_source(k->source)});
        break;
    case TRACE_RESET:
        add_note(m, c, k, "reset", k->is_ours ? "sent" : "received", k->more);
        break;
    case TRACE_TLS:
        snprintf(name, sizeof name, "%s%s", k->name, k->ret < 0 ? " failed" : "");
        add_note(m, c, k, "tls", name, k->more);
        break;
    case TRACE_CLOSED:
        add_note(m, c, k, "closed", k->name, k->more);
        break;
    case TRACE_CONNECTION:
    case TRACE_MESSAGE:
        break;
    }
}

/* NULL: there was no connection. */
static struct model *make_model(const struct rungs *r)
{
    struct model *m;
    struct model_conn *c;

    if (r->count == 0)
        return NULL;
    m = model_new();
    c = model_open_conn(m, "chat", &r->ends.local, &r->ends.peer);
    c->end[MODEL_CLIENT].program = "chat";
    c->end[MODEL_CLIENT].cookie = r->ends.cookie;
    for (size_t i = 0; i < r->count; i++)
        add(m, c, &r->kept[i]);
    model_finish(m);
    return m;
}

/* ---- drawing ---- */

struct drawing {
    struct model *model;
    struct ladder ladder;
    struct ladder_options options;
    FILE *to;
    char *text;
    size_t len;
};

static bool start(const struct rungs *r, struct drawing *d, const struct rungs_style *s)
{
    *d = (struct drawing){.model = make_model(r)};
    if (d->model == NULL)
        return false;
    d->options =
        (struct ladder_options){.width = s->width, .ascii = s->ascii, .color = s->color, .one_sided = true};
    d->to = open_memstream(&d->text, &d->len);
    if (d->to == NULL)
        abort();
    ladder_init(&d->ladder, d->model->conns[0]);
    return true;
}

static void finish(struct drawing *d, struct buf *b)
{
    fclose(d->to);
    buf_put(b, d->text, d->len);
    free(d->text);
    ladder_deinit(&d->ladder);
    model_free(d->model);
}

static void put_gap(const struct drawing *d, size_t rows, const char *hint)
{
    fprintf(d->to, "%10s %zu rungs%s\n", d->options.ascii ? ":" : "⋮", rows, hint);
}

/* A connection that goes on has no verdict yet. */
static void put_end(const struct rungs *r, const struct drawing *d)
{
    if (r->is_closed || d->ladder.verdict->how == VERDICT_UNFINISHED)
        ladder_write_verdict(d->to, &d->ladder, &d->options);
}

bool rungs_put(struct rungs *r, struct buf *b, const struct rungs_style *s, bool all)
{
    struct drawing d;
    size_t count;

    if (!start(r, &d, s))
        return false;
    count = d.ladder.count;
    ladder_write_head(d.to, &d.ladder, &d.options);
    if (all || count <= FIRST_ROWS + 1 + LAST_ROWS) {
        ladder_write_rows(d.to, &d.ladder, &d.options, 0, count);
    } else {
        ladder_write_rows(d.to, &d.ladder, &d.options, 0, FIRST_ROWS);
        put_gap(&d, count - FIRST_ROWS - LAST_ROWS, ": /tcp all shows them");
        ladder_write_rows(d.to, &d.ladder, &d.options, count - LAST_ROWS, count);
    }
    put_end(r, &d);
    ladder_write_legend(d.to, &d.ladder, &d.options);
    finish(&d, b);
    return true;
}

void rungs_follow(struct rungs *r, bool on)
{
    const struct kept *first = &r->kept[0], *last = &r->kept[r->count > 0 ? r->count - 1 : 0];

    r->is_followed = on;
    r->is_titled = false;
    r->drawn_ns = r->count > 0 ? last->time_ns - first->time_ns + YOUNG_NS / 2 : -1;
    if (r->is_closed)
        r->is_titled = true; /* nothing will come of it */
}

bool rungs_is_followed(const struct rungs *r)
{
    return r->is_followed;
}

static int64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* The rows from `first` on that are to be drawn now: up to which. */
static size_t old_enough(const struct drawing *d, size_t first, bool all)
{
    const struct model_conn *c = d->model->conns[0];
    int64_t until = now_ns() - c->start_ns - YOUNG_NS;
    size_t end = first;

    while (end < d->ladder.count && (all || d->ladder.rows[end].time_ns < until))
        end++;
    return end;
}

bool rungs_put_new(struct rungs *r, struct buf *b, const struct rungs_style *s, bool all)
{
    struct drawing d;
    size_t first = 0, end;
    bool held;

    if (!start(r, &d, s))
        return false;
    all = all || r->is_closed;
    while (first < d.ladder.count && d.ladder.rows[first].time_ns <= r->drawn_ns)
        first++;
    end = old_enough(&d, first, all);
    if (end > first && !r->is_titled)
        ladder_write_head(d.to, &d.ladder, &d.options);
    r->is_titled |= end > first;
    if (end > first)
        r->drawn_ns = d.ladder.rows[end - 1].time_ns;
    if (end - first > BURST_ROWS) {
        put_gap(&d, end - first - BURST_ROWS, " at once");
        first = end - BURST_ROWS;
    }
    ladder_write_rows(d.to, &d.ladder, &d.options, first, end);
    if (r->is_closed && end > first)
        put_end(r, &d);
    held = end < d.ladder.count;
    finish(&d, b);
    return held;
}
