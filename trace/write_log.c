/* write_log.c: see write_log.h. */
#include "trace/write_log.h"

#include "common/mem.h"
#include "common/trace.h"
#include "trace/read_text.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define SECOND_NS 1000000000

static const char *const sides[] = {"client", "server"};

/* An event, or (at SIZE_MAX) the connection itself, which comes first. */
struct place {
    const struct model_conn *conn;
    size_t at;
    int64_t time_ns;
};

struct writer {
    FILE *to;
    int64_t epoch_ns;
};

static void put_string(FILE *to, const char *text)
{
    fputc('"', to);
    for (; *text != '\0'; text++) {
        unsigned char c = (unsigned char)*text;

        if (c < 0x20 || c == '"' || c == '\\' || c == 0x7f)
            fprintf(to, "\\u%04x", c);
        else
            fputc(c, to);
    }
    fputc('"', to);
}

static void put_text(FILE *to, const char *name, const char *text)
{
    if (text == NULL)
        return;
    fprintf(to, ",\"%s\":", name);
    put_string(to, text);
}

static void put_ms(FILE *to, int64_t ns)
{
    fprintf(to, "%" PRId64 ".%06" PRId64, ns / 1000000, ns % 1000000);
}

static void put_count(FILE *to, const char *name, uint64_t n)
{
    if (n != 0)
        fprintf(to, ",\"%s\":%" PRIu64, name, n);
}

/* Up to its data's first field. */
static void begin(const struct writer *w, const struct place *p, const char *name, enum model_side side)
{
    fputs("\x1e{\"time\":", w->to);
    put_ms(w->to, p->time_ns - w->epoch_ns);
    put_text(w->to, "name", name);
    fprintf(w->to, ",\"group_id\":\"%u\",\"side\":\"%s\",\"data\":", p->conn->number, sides[side]);
}

static void put_info(FILE *to, const struct tcp_facts *f)
{
    if (f->source == NULL)
        return;
    fprintf(to, ",\"info\":{\"rtt\":%u.%03u,\"rto\":%u.%03u", f->rtt_us / 1000, f->rtt_us % 1000,
            f->rto_us / 1000, f->rto_us % 1000);
    put_count(to, "unacked", f->unacked);
    put_count(to, "unsent", f->unsent);
    put_count(to, "backoff", f->retransmits);
    put_count(to, "retransmitted", f->total_retrans);
    fprintf(to, ",\"acked\":%" PRIu64 ",\"received\":%" PRIu64 ",\"cwnd\":%u,\"snd_wnd\":%u}", f->bytes_acked,
            f->bytes_received, f->cwnd, f->snd_wnd);
}

/* Of a side that kept a log, or of the client where neither did. */
static void put_connection(const struct writer *w, const struct place *p, enum model_side side)
{
    const struct model_end *us = &p->conn->end[side];
    char local[TCP_ADDR_TEXT], peer[TCP_ADDR_TEXT];

    begin(w, p, "tcp:connection", side);
    fprintf(w->to, "{\"local\":\"%s\",\"peer\":\"%s\"", tcp_addr_format(&us->addr, local),
            tcp_addr_format(&p->conn->end[model_other(side)].addr, peer));
    if (us->has_log)
        fprintf(w->to, ",\"cookie\":\"%016" PRIx64 "\"", us->cookie);
    if (us->has_log)
        put_text(w->to, "id", us->id);
    if (us->has_log)
        put_text(w->to, "program", us->program);
    if (p->conn->end[MODEL_CLIENT].has_isn)
        fprintf(w->to, ",\"client_isn\":%" PRIu32, p->conn->end[MODEL_CLIENT].isn);
    if (p->conn->watched_ns > w->epoch_ns) {
        fputs(",\"watched\":", w->to);
        put_ms(w->to, p->conn->watched_ns - w->epoch_ns);
    }
    fputs("}}\n", w->to);
}

static void put_call(const struct writer *w, const struct place *p, const struct model_call *c)
{
    begin(w, p, "app:call", c->side);
    fputs("{\"call\":", w->to);
    put_string(w->to, c->name);
    fprintf(w->to, ",\"ret\":%" PRId64, c->err != 0 ? -1 : c->result);
    if (c->err != 0)
        put_text(w->to, "errno", c->err < 0 ? "UNKNOWN" : readtext_errno_name(c->err));
    put_text(w->to, "detail", c->detail);
    put_info(w->to, &c->facts);
    fputs("}}\n", w->to);
}

static void put_state(const struct writer *w, const struct place *p, const struct model_state *s)
{
    begin(w, p, "tcp:state_updated", s->side);
    fprintf(w->to, "{\"new\":\"%s\",\"source\":\"%s\"", tcp_state_name(s->state),
            model_source_name(s->source));
    put_info(w->to, &s->facts);
    fputs("}}\n", w->to);
}

/* The client's flow: what it sent, and what it received. */
static void put_segment(const struct writer *w, const struct place *p, const struct model_segment *s)
{
    char flags[40];

    begin(w, p, "tcp:segment", MODEL_CLIENT);
    fprintf(w->to, "{\"direction\":\"%s\",\"flags\":\"%s\",\"seq\":%u",
            s->from == MODEL_CLIENT ? "sent" : "received", model_format_flags(s->flags, flags), s->seq);
    if (s->flags & MODEL_ACK)
        fprintf(w->to, ",\"ack\":%u", s->ack);
    fprintf(w->to, ",\"length\":%u,\"window\":%u", s->len, s->window);
    put_count(w->to, "frame", s->frame);
    fprintf(w->to, "%s%s}}\n", s->retransmission ? ",\"retransmission\":true" : "",
            s->keepalive ? ",\"keepalive\":true" : "");
}

static void put_event(const struct writer *w, const struct place *p)
{
    const struct model_event *e = p->at != SIZE_MAX ? &p->conn->events[p->at] : NULL;

    if (e == NULL) {
        for (int side = 0; side < MODEL_SIDES; side++)
            if (p->conn->end[side].has_log || (side == MODEL_CLIENT && !p->conn->end[MODEL_SERVER].has_log))
                put_connection(w, p, (enum model_side)side);
    } else if (e->kind == MODEL_CALL) {
        put_call(w, p, &e->call);
    } else if (e->kind == MODEL_STATE && e->state.source != MODEL_INFERRED) {
        put_state(w, p, &e->state);
    } else if (e->kind == MODEL_SEGMENT && e->segment.source != MODEL_INFERRED) {
        put_segment(w, p, &e->segment);
    } else if (e->kind == MODEL_NOTE && e->note.data != NULL) {
        begin(w, p, e->note.event, e->note.side);
        fprintf(w->to, "%s}\n", e->note.data);
    }
}

static int by_time(const void *a, const void *b)
{
    const struct place *x = a, *y = b;

    if (x->time_ns != y->time_ns)
        return x->time_ns < y->time_ns ? -1 : 1;
    if (x->conn != y->conn)
        return x->conn->number < y->conn->number ? -1 : 1;
    return x->at + 1 < y->at + 1 ? -1 : x->at + 1 > y->at + 1; /* SIZE_MAX first */
}

static struct place *sort_events(struct model_conn *const *conns, size_t count, size_t *n)
{
    struct place *all;
    size_t most = 0;

    for (size_t i = 0; i < count; i++)
        most += conns[i]->count + 1;
    all = mem_alloc((most + 1) * sizeof *all);
    *n = 0;
    for (size_t i = 0; i < count; i++) {
        all[(*n)++] = (struct place){conns[i], SIZE_MAX, conns[i]->start_ns};
        for (size_t k = 0; k < conns[i]->count; k++)
            all[(*n)++] = (struct place){conns[i], k, conns[i]->events[k].time_ns};
    }
    qsort(all, *n, sizeof *all, by_time);
    return all;
}

/* All times are by the client's clock, so that its host is everybody's. */
static const char *host_of(struct model_conn *const *conns, size_t count)
{
    for (size_t i = 0; i < count; i++)
        for (int side = 0; side < MODEL_SIDES; side++)
            if (conns[i]->end[side].host != NULL)
                return conns[i]->end[side].host;
    return "unknown";
}

static void put_header(const struct writer *w, const char *host)
{
    time_t second = (time_t)(w->epoch_ns / SECOND_NS);
    char epoch[32];
    struct tm tm;

    gmtime_r(&second, &tm);
    strftime(epoch, sizeof epoch, "%Y-%m-%dT%H:%M:%SZ", &tm);
    fprintf(w->to,
            "\x1e{\"file_schema\":\"urn:ietf:params:qlog:file:sequential\",\"serialization_format\":"
            "\"application/qlog+json-seq\",\"title\":\"chat-trace\",\"trace\":{\"common_fields\":{"
            "\"time_format\":\"relative_to_epoch\",\"reference_time\":{\"clock_type\":\"system\",\"epoch\":"
            "\"%s\"}",
            epoch);
    put_text(w->to, "host", host);
    fputs("},\"vantage_point\":{\"name\":\"chat-trace\",\"type\":\"network\",\"flow\":\"client\"},"
          "\"event_schemas\":[\"" TRACE_SCHEMA("app") "\",\"" TRACE_SCHEMA("tcp") "\",\"" TRACE_SCHEMA(
              "tls") "\",\"" TRACE_SCHEMA("chat") "\"]}}\n",
          w->to);
}

void writelog_conns(FILE *to, struct model_conn *const *conns, size_t count)
{
    size_t n;
    struct place *all = sort_events(conns, count, &n);
    int64_t first_ns = n > 0 ? all[0].time_ns : 0;
    struct writer w = {to, first_ns / SECOND_NS * SECOND_NS};

    put_header(&w, host_of(conns, count));
    for (size_t i = 0; i < n; i++)
        put_event(&w, &all[i]);
    free(all);
}
