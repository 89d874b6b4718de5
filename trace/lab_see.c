/* lab_see.c: what a lab has seen: of the wire, of the kernel's states, and what was expected of both. See
 * lab_run.h. */
#include "common/clock.h"
#include "common/mem.h"
#include "trace/lab_run.h"
#include "trace/pcap_flow.h"
#include "trace/read_log.h"

#include <dirent.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* ---- putting together ---- */

static struct lab_conn *conn_of(struct lab *l, const struct diag_socket *s, enum model_side *side)
{
    for (unsigned i = 0; i < l->conn_count; i++) {
        struct lab_conn *c = &l->conns[i];

        if (model_same_addr(&s->local, &c->client_addr) && model_same_addr(&s->peer, &c->server_addr)) {
            *side = MODEL_CLIENT;
            return c;
        }
        if (model_same_addr(&s->local, &c->server_addr) && model_same_addr(&s->peer, &c->client_addr)) {
            *side = MODEL_SERVER;
            return c;
        }
    }
    return NULL;
}

/* Where the states of that side belong: a connection is still several ones in the model, of each program's
 * log and of the capture, and each side is to be told of by one of them. So this comes after all were
 * read. */
static struct model_conn *model_conn_of(struct lab *l, const struct lab_conn *c, enum model_side side)
{
    struct model_conn *found = NULL;

    for (size_t i = 0; i < l->model->count; i++) {
        struct model_conn *m = l->model->conns[i];

        if (!model_same_addr(&m->end[MODEL_CLIENT].addr, &c->client_addr) ||
            !model_same_addr(&m->end[MODEL_SERVER].addr, &c->server_addr))
            continue;
        if (m->end[side].has_log)
            return m;
        if (found == NULL || m->has_capture)
            found = m;
    }
    return found != NULL ? found : model_open_conn(l->model, l->kind->name, &c->client_addr, &c->server_addr);
}

static void add_states(struct lab *l)
{
    size_t count;
    const struct watch_change *changes = watch_stop(l->watch, &count);

    for (size_t i = 0; i < count; i++) {
        const struct diag_socket *s = &changes[i].socket;
        enum model_side side;
        struct lab_conn *c = conn_of(l, s, &side);
        struct model_state state = {
            .time_ns = changes[i].time_ns, .state = s->state, .source = MODEL_SOCK_DIAG};

        if (c == NULL)
            continue;
        state.side = side;
        if (s->has_info)
            state.facts = s->facts;
        model_add_state(l->model, model_conn_of(l, c, side), &state);
    }
}

static void add_capture(struct lab *l)
{
    char path[sizeof l->dir + 16], err[PCAPFILE_ERROR_SIZE];
    uint64_t lost = capture_stop(l->capture);

    l->capture = NULL;
    snprintf(path, sizeof path, "%s/wire.pcap", l->dir);
    if (lost > 0)
        lab_give_up(l, "the capture has lost %llu packets: this machine is too busy",
                    (unsigned long long)lost);
    if (pcapflow_read(l->model, path, err) != 0)
        model_remark(l->model, "%s", err);
}

/* The event logs of chatd and chat, where this lab has run them. */
static void add_logs(struct lab *l)
{
    char path[sizeof l->dir + 264], why[READLOG_ERROR_SIZE];
    struct readlog *reader = readlog_new(l->model);
    DIR *dir = opendir(l->dir);
    const struct dirent *entry;

    while (dir != NULL && (entry = readdir(dir)) != NULL) {
        if (strstr(entry->d_name, ".sqlog") == NULL)
            continue;
        snprintf(path, sizeof path, "%s/%s", l->dir, entry->d_name);
        if (readlog_file(reader, path, why) != 0)
            model_remark(l->model, "%s", why);
    }
    if (dir != NULL)
        closedir(dir);
    readlog_free(reader);
}

/* model_finish folds connections that are one: where ours have gone. */
static void find_again(struct lab *l)
{
    for (unsigned i = 0; i < l->conn_count; i++) {
        struct lab_conn *c = &l->conns[i];

        c->model = NULL;
        for (size_t k = 0; k < l->model->count; k++) {
            struct model_conn *m = l->model->conns[k];

            if (model_same_addr(&m->end[MODEL_CLIENT].addr, &c->client_addr) &&
                model_same_addr(&m->end[MODEL_SERVER].addr, &c->server_addr))
                c->model = m;
        }
    }
}

void lab_look(struct lab *l)
{
    l->has_looked = true;
    if (l->capture != NULL)
        add_capture(l);
    add_logs(l);
    if (l->watch != NULL)
        add_states(l);
    model_finish(l->model);
    find_again(l);
}

/* ---- expectations ---- */

static void add_finding(struct lab *l, const char *mark, const char *format, va_list args)
{
    char *text = NULL;
    size_t len;

    if (vasprintf(&text, format, args) < 0)
        lab_give_up(l, "no memory");
    len = strlen(mark) + strlen(text) + 3;
    l->findings = mem_realloc(l->findings, l->findings_len + len + 1);
    snprintf(l->findings + l->findings_len, len + 1, "  %s%s\n", mark, text);
    l->findings_len += strlen(l->findings + l->findings_len);
    free(text);
}

void lab_expect(struct lab *l, bool came, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    add_finding(l, came ? "ok    " : "NOT   ", format, args);
    va_end(args);
    l->expected++;
    l->failed += !came;
}

void lab_say(struct lab *l, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    add_finding(l, "      ", format, args);
    va_end(args);
}

/* ---- the wire ---- */

const struct model_segment *wire_find(const struct lab_conn *c, enum model_side from, uint8_t mask,
                                      uint8_t value, unsigned nth)
{
    for (size_t i = 0; c->model != NULL && i < c->model->count; i++) {
        const struct model_event *e = &c->model->events[i];

        if (e->kind == MODEL_SEGMENT && e->segment.source == MODEL_CAPTURE && e->segment.from == from &&
            (e->segment.flags & mask) == value && nth-- == 0)
            return &e->segment;
    }
    return NULL;
}

unsigned wire_count(const struct lab_conn *c, enum model_side from, uint8_t mask, uint8_t value)
{
    unsigned n = 0;

    while (wire_find(c, from, mask, value, n) != NULL)
        n++;
    return n;
}

unsigned wire_resets(const struct lab_conn *c)
{
    return wire_count(c, MODEL_CLIENT, MODEL_RST, MODEL_RST) +
           wire_count(c, MODEL_SERVER, MODEL_RST, MODEL_RST);
}

double wire_ms(const struct model_segment *from, const struct model_segment *to)
{
    return from != NULL && to != NULL ? (double)(to->time_ns - from->time_ns) / 1e6 : 0;
}

/* ---- states ---- */

/* The state of one side that an event tells of; UNKNOWN: none, or not from the kernel. */
static enum tcp_state state_of(const struct model_event *e, enum model_side side)
{
    if (e->kind == MODEL_STATE && e->state.side == side && e->state.source != MODEL_INFERRED)
        return e->state.state;
    if (e->kind == MODEL_CALL && e->call.side == side && e->call.facts.source != NULL)
        return e->call.facts.state;
    return TCP_STATE_UNKNOWN;
}

double state_ms(const struct lab_conn *c, enum model_side side, enum tcp_state state)
{
    int64_t first = 0, last = 0;
    bool is_in = false;

    for (size_t i = 0; c->model != NULL && i < c->model->count; i++) {
        const struct model_event *e = &c->model->events[i];
        enum tcp_state now = state_of(e, side);

        if (now == TCP_STATE_UNKNOWN)
            continue;
        if (now == state && first == 0)
            first = e->time_ns;
        if (now == state || is_in)
            last = e->time_ns;
        is_in = now == state;
    }
    return first != 0 ? (double)(last - first) / 1e6 : -1;
}

bool state_was(const struct lab_conn *c, enum model_side side, enum tcp_state state)
{
    return state_ms(c, side, state) >= 0;
}

enum tcp_state state_now(struct lab_conn *c, enum model_side side, struct diag_socket *s)
{
    const struct tcp_addr *local = side == MODEL_CLIENT ? &c->client_addr : &c->server_addr;
    const struct tcp_addr *peer = side == MODEL_CLIENT ? &c->server_addr : &c->client_addr;
    struct lab *l = c->client.lab;
    struct diag_socket own = {0};

    s = s != NULL ? s : &own;
    *s = own;
    if (l->diag == NULL || diag_find(l->diag, local, peer, s) != 0)
        return TCP_STATE_CLOSED;
    return s->state;
}

/* What it waits for is evidence, too: so it is asked for where changes are kept, not beside that. */
bool state_await(struct lab_conn *c, enum model_side side, enum tcp_state state, unsigned ms)
{
    const struct tcp_addr *local = side == MODEL_CLIENT ? &c->client_addr : &c->server_addr;
    const struct tcp_addr *peer = side == MODEL_CLIENT ? &c->server_addr : &c->client_addr;
    struct lab *l = c->client.lab;
    uint64_t deadline = clock_mono_us() + ms * 1000ULL;

    while ((l->watch != NULL && !l->has_looked ? watch_ask(l->watch, local, peer)
                                               : state_now(c, side, NULL)) != state) {
        if (clock_mono_us() >= deadline)
            return false;
        lab_sleep(1);
    }
    return true;
}
