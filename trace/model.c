/* model.c: see model.h. What joins and orders is in merge.c. */
#include "trace/model.h"

#include "common/mem.h"
#include "trace/merge.h"
#include "trace/verdict.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct model *model_new(void)
{
    return mem_zalloc(sizeof(struct model));
}

static void free_conn(struct model_conn *c)
{
    for (size_t i = 0; i < c->count; i++)
        if (c->events[i].kind == MODEL_SEGMENT)
            free((void *)(uintptr_t)c->events[i].segment.packet.data);
    verdict_free(c->verdict);
    free(c->events);
    free(c);
}

void model_free(struct model *m)
{
    if (m == NULL)
        return;
    for (size_t i = 0; i < m->count; i++)
        free_conn(m->conns[i]);
    for (size_t i = 0; i < m->text_count; i++)
        free(m->texts[i]);
    free(m->conns);
    free(m->texts);
    free(m->orphans);
    free(m->remarks);
    free(m);
}

static void *grow(void *array, size_t count, size_t *cap, size_t size)
{
    if (count < *cap)
        return array;
    *cap = *cap < 8 ? 8 : *cap * 2;
    return mem_realloc(array, *cap * size);
}

const char *model_keep(struct model *m, const char *text)
{
    if (text == NULL)
        return NULL;
    m->texts = grow(m->texts, m->text_count, &m->text_cap, sizeof *m->texts);
    return m->texts[m->text_count++] = mem_strdup(text);
}

void model_remark(struct model *m, const char *format, ...)
{
    size_t old = m->remarks != NULL ? strlen(m->remarks) : 0;
    char line[512];
    va_list args;

    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    m->remarks = mem_realloc(m->remarks, old + strlen(line) + 2);
    sprintf(m->remarks + old, "%s\n", line);
}

struct model_conn *model_open_conn(struct model *m, const char *origin, const struct tcp_addr *client,
                                   const struct tcp_addr *server)
{
    struct model_conn *c = mem_zalloc(sizeof *c);

    m->conns = grow(m->conns, m->count, &m->cap, sizeof *m->conns);
    m->conns[m->count++] = c;
    c->origin = model_keep(m, origin);
    c->end[MODEL_CLIENT].addr = *client;
    c->end[MODEL_SERVER].addr = *server;
    return c;
}

bool model_same_addr(const struct tcp_addr *a, const struct tcp_addr *b)
{
    return a->family == b->family && a->port == b->port && memcmp(a->ip, b->ip, sizeof a->ip) == 0;
}

struct model_conn *model_find_conn(struct model *m, const char *origin, const struct tcp_addr *a,
                                   const struct tcp_addr *b)
{
    for (size_t i = m->count; i-- > 0;) {
        struct model_conn *c = m->conns[i];
        const struct tcp_addr *x = &c->end[MODEL_CLIENT].addr, *y = &c->end[MODEL_SERVER].addr;
        bool same = (model_same_addr(x, a) && model_same_addr(y, b)) ||
                    (model_same_addr(x, b) && model_same_addr(y, a));

        if (same && (origin == NULL || c->origin == NULL || strcmp(c->origin, origin) == 0))
            return c;
    }
    return NULL;
}

enum model_side model_side_of(const struct model_conn *c, const struct tcp_addr *a)
{
    return model_same_addr(&c->end[MODEL_CLIENT].addr, a) ? MODEL_CLIENT : MODEL_SERVER;
}

static struct model_event *new_event(struct model_conn *c, enum model_kind kind, int64_t time_ns)
{
    struct model_event *e;

    c->events = grow(c->events, c->count, &c->cap, sizeof *c->events);
    e = &c->events[c->count++];
    *e = (struct model_event){.kind = kind, .time_ns = time_ns};
    return e;
}

void model_add_segment(struct model *m, struct model_conn *c, const struct model_segment *s)
{
    struct model_event *e = new_event(c, MODEL_SEGMENT, s->time_ns);

    (void)m;
    e->segment = *s;
    if (s->packet.data != NULL) {
        uint8_t *copy = mem_alloc(s->packet.len);

        memcpy(copy, s->packet.data, s->packet.len);
        e->segment.packet.data = copy;
    }
    if (s->source == MODEL_CAPTURE)
        c->has_capture = true;
}

void model_add_call(struct model *m, struct model_conn *c, const struct model_call *call)
{
    struct model_event *e = new_event(c, MODEL_CALL, call->time_ns);

    e->call = *call;
    e->call.name = model_keep(m, call->name);
    e->call.detail = model_keep(m, call->detail);
    c->end[call->side].has_log = true;
}

void model_add_state(struct model *m, struct model_conn *c, const struct model_state *s)
{
    (void)m;
    new_event(c, MODEL_STATE, s->time_ns)->state = *s;
    if (s->source != MODEL_INFERRED)
        c->end[s->side].has_log = true;
}

void model_add_note(struct model *m, struct model_conn *c, const struct model_note *n)
{
    struct model_event *e = new_event(c, MODEL_NOTE, n->time_ns);

    e->note = *n;
    e->note.kind = model_keep(m, n->kind);
    e->note.text = model_keep(m, n->text);
    e->note.event = model_keep(m, n->event);
    e->note.data = model_keep(m, n->data);
}

void model_add_orphan(struct model *m, const struct model_orphan *o)
{
    m->orphans = grow(m->orphans, m->orphan_count, &m->orphan_cap, sizeof *m->orphans);
    m->orphans[m->orphan_count++] = *o;
}

const char *model_source_name(enum model_source s)
{
    static const char *const names[] = {"tcp_info", "sock_diag", "destroy", "capture", "inferred"};

    return (unsigned)s < sizeof names / sizeof *names ? names[s] : "unknown";
}

const char *model_format_flags(uint8_t flags, char out[40])
{
    static const struct {
        uint8_t flag;
        const char *name;
    } names[] = {{MODEL_SYN, "SYN"}, {MODEL_FIN, "FIN"}, {MODEL_RST, "RST"}, {MODEL_PSH, "PSH"},
                 {MODEL_ACK, "ACK"}, {MODEL_URG, "URG"}, {MODEL_ECE, "ECE"}, {MODEL_CWR, "CWR"}};
    size_t n = 0;

    out[0] = '\0';
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (flags & names[i].flag)
            n += (size_t)snprintf(out + n, 40 - n, "%s%s", n > 0 ? "," : "", names[i].name);
    return out;
}

void model_finish(struct model *m)
{
    merge_model(m);
    for (size_t i = 0; i < m->count; i++)
        verdict_of(m->conns[i]);
}
