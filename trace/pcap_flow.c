/* pcap_flow.c: see pcap_flow.h.
 *
 * Relative numbers are Wireshark's: a direction counts from its SYN; where that was not captured, from one
 * below the first number that was seen of it, so that its first byte is 1. */
#include "trace/pcap_flow.h"

#include "common/mem.h"
#include "common/table.h"
#include "trace/pcap_tcp.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define SIGHTS  4 /* how often a packet may be seen on its way through this host, but for the first time */
#define PASS_NS 1000000 /* within which it has passed */

/* What one side has sent so far. */
struct direction {
    struct sight {
        int64_t time_ns;
        uint32_t print, place;
    } seen[SIGHTS]; /* the last ones */
    unsigned seen_next;
    uint32_t base, next; /* the ISN; the number after the last that was sent */
    bool has_base, has_next, has_scale, has_syn;
    uint8_t scale;
};

struct flow {
    struct table_link link;
    struct tcp_addr ends[2]; /* the lower one first: the key */
    struct model_conn *conn;
    struct direction sides[MODEL_SIDES];
};

struct pcapflow {
    struct model *model;
    const char *origin;
    struct table flows;
    uint64_t segments, cut, unknown_links, copies;
    int64_t last_ns;       /* of any packet */
    uint32_t unknown_link; /* the last of them */
};

struct pcapflow *pcapflow_new(struct model *m, const char *origin)
{
    struct pcapflow *f = mem_zalloc(sizeof *f);

    f->model = m;
    f->origin = model_keep(m, origin);
    return f;
}

void pcapflow_free(struct pcapflow *f)
{
    uint32_t at;
    struct table_link *next;

    if (f == NULL)
        return;
    for (struct table_link *link = table_first(&f->flows, &at); link != NULL; link = next) {
        next = table_next(&f->flows, &at, link);
        free(table_of(link, struct flow, link));
    }
    table_deinit(&f->flows);
    free(f);
}

static int match(const struct table_link *link, const void *key, size_t len)
{
    return memcmp(table_of(link, const struct flow, link)->ends, key, len) == 0;
}

static void order_ends(struct tcp_addr ends[2], const struct pcaptcp_segment *s)
{
    bool in_order = memcmp(&s->from, &s->to, sizeof s->from) <= 0;

    ends[0] = in_order ? s->from : s->to;
    ends[1] = in_order ? s->to : s->from;
}

static bool is_from_client(const struct pcaptcp_segment *s)
{
    if ((s->flags & MODEL_SYN) != 0)
        return (s->flags & MODEL_ACK) == 0;
    return s->from.port > s->to.port;
}

static void open_conn(struct pcapflow *f, struct flow *flow, const struct pcaptcp_segment *s)
{
    bool from_client = is_from_client(s);

    memset(flow->sides, 0, sizeof flow->sides);
    flow->conn = model_open_conn(f->model, f->origin, from_client ? &s->from : &s->to,
                                 from_client ? &s->to : &s->from);
}

/* A SYN with another number than the one before opens the ports' next connection. */
static bool is_next_conn(const struct flow *flow, const struct pcaptcp_segment *s)
{
    const struct direction *d = &flow->sides[model_side_of(flow->conn, &s->from)];

    return (s->flags & (MODEL_SYN | MODEL_ACK)) == MODEL_SYN && d->has_base && s->seq != d->base;
}

static struct flow *flow_of(struct pcapflow *f, const struct pcaptcp_segment *s)
{
    struct tcp_addr ends[2];
    struct table_link *link;
    struct flow *flow;
    uint32_t hash;

    memset(ends, 0, sizeof ends);
    order_ends(ends, s);
    hash = table_hash(ends, sizeof ends);
    link = table_find(&f->flows, hash, ends, sizeof ends, match);
    if (link != NULL) {
        flow = table_of(link, struct flow, link);
        if (is_next_conn(flow, s))
            open_conn(f, flow, s);
        return flow;
    }
    flow = mem_zalloc(sizeof *flow);
    memcpy(flow->ends, ends, sizeof ends);
    open_conn(f, flow, s);
    table_insert(&f->flows, &flow->link, hash);
    return flow;
}

static void learn(struct flow *flow, enum model_side from, const struct pcaptcp_segment *s)
{
    struct direction *d = &flow->sides[from], *peer = &flow->sides[model_other(from)];

    if (!d->has_base) {
        d->base = (s->flags & MODEL_SYN) != 0 ? s->seq : s->seq - 1;
        d->has_base = true;
    }
    if (!peer->has_base && (s->flags & MODEL_ACK) != 0) {
        peer->base = s->ack - 1;
        peer->has_base = true;
    }
    if ((s->flags & MODEL_SYN) != 0) {
        d->has_syn = true;
        d->has_scale = s->scale != PCAPTCP_SCALE_NONE;
        d->scale = d->has_scale ? s->scale : 0;
        flow->conn->end[from].isn = s->seq;
        flow->conn->end[from].has_isn = true;
    }
}

static uint32_t window_of(const struct flow *flow, enum model_side from, const struct pcaptcp_segment *s)
{
    const struct direction *d = &flow->sides[from], *peer = &flow->sides[model_other(from)];
    bool is_scaled = (s->flags & MODEL_SYN) == 0 && d->has_scale && peer->has_scale;

    return is_scaled ? (uint32_t)s->window << d->scale : s->window;
}

/* What was sent again, and what only asks whether the peer is there. */
static void mark(struct direction *d, const struct pcaptcp_segment *s, struct model_segment *to)
{
    uint32_t taken = s->len + ((s->flags & MODEL_SYN) != 0) + ((s->flags & MODEL_FIN) != 0);
    bool is_bare = (s->flags & (MODEL_SYN | MODEL_FIN | MODEL_RST)) == 0;

    to->keepalive = d->has_next && is_bare && s->len <= 1 && s->seq == d->next - 1;
    to->retransmission =
        d->has_next && taken > 0 && !to->keepalive && (int32_t)(s->seq + taken - d->next) <= 0;
    if (taken > 0 && (!d->has_next || (int32_t)(s->seq + taken - d->next) > 0)) {
        d->next = s->seq + taken;
        d->has_next = true;
    }
}

/* A file may claim any; those can be subtracted from each other. */
static int64_t time_of(const struct pcapfile_packet *p)
{
    return p->time_ns < INT64_MAX / 2 ? (int64_t)p->time_ns : INT64_MAX / 2;
}

/* The same packet at another interface (a bridge and its ports, with `-i any`): it was not sent again. */
static bool was_seen(struct direction *d, const struct pcapfile_packet *p, const struct pcaptcp_segment *s)
{
    int64_t now = time_of(p);

    for (unsigned i = 0; i < SIGHTS; i++) {
        const struct sight *x = &d->seen[i];

        if (x->time_ns != 0 && x->print == s->print && now - x->time_ns < PASS_NS &&
            now - x->time_ns > -PASS_NS && (x->place != s->place || s->has_number))
            return true;
    }
    d->seen[d->seen_next++ % SIGHTS] = (struct sight){now, s->print, s->place};
    return false;
}

static void add(struct pcapflow *f, const struct pcapfile_packet *p, const struct pcaptcp_segment *s)
{
    struct flow *flow = flow_of(f, s);
    enum model_side from = model_side_of(flow->conn, &s->from);
    struct model_segment to = {.time_ns = time_of(p),
                               .from = from,
                               .source = MODEL_CAPTURE,
                               .flags = s->flags,
                               .len = s->len,
                               .frame = (uint32_t)p->number};

    f->segments++;
    if (was_seen(&flow->sides[from], p, s)) {
        f->copies++;
        return;
    }
    learn(flow, from, s);
    to.seq = s->seq - flow->sides[from].base;
    to.ack = (s->flags & MODEL_ACK) != 0 ? s->ack - flow->sides[model_other(from)].base : 0;
    to.window = window_of(flow, from, s);
    mark(&flow->sides[from], s, &to);
    to.packet = (struct model_packet){
        .data = p->data, .len = p->caught, .wire_len = p->len, .link_type = (uint16_t)p->link};
    model_add_segment(f->model, flow->conn, &to);
}

void pcapflow_take(struct pcapflow *f, const struct pcapfile_packet *p)
{
    struct pcaptcp_segment s;

    if (time_of(p) > f->last_ns)
        f->last_ns = time_of(p);
    switch (pcaptcp_decode(p, &s)) {
    case PCAPTCP_SEGMENT:
        add(f, p, &s);
        break;
    case PCAPTCP_CUT:
        f->cut++;
        break;
    case PCAPTCP_UNKNOWN_LINK:
        f->unknown_links++;
        f->unknown_link = p->link;
        break;
    case PCAPTCP_OTHER:
        break;
    }
}

static void remark(const struct pcapflow *f)
{
    if (f->copies > 0)
        model_remark(f->model,
                     "%s: %" PRIu64 " packets were captured at another interface as well, and are shown once",
                     f->origin, f->copies);
    if (f->cut > 0)
        model_remark(f->model,
                     "%s: of %" PRIu64
                     " packets too little was captured to tell their segment (a snaplen of 128 is"
                     " enough)",
                     f->origin, f->cut);
    if (f->unknown_links > 0)
        model_remark(f->model,
                     "%s: %" PRIu64 " packets are of link type %" PRIu32 ", which is not known here",
                     f->origin, f->unknown_links, f->unknown_link);
}

int pcapflow_read(struct model *m, const char *path, char err[PCAPFILE_ERROR_SIZE])
{
    struct pcapfile *file = pcapfile_open(path, err);
    struct pcapflow *f;
    struct pcapfile_packet p;
    size_t first = m->count;
    int got;

    if (file == NULL)
        return -1;
    f = pcapflow_new(m, path);
    while ((got = pcapfile_next(file, &p, err)) == 1)
        pcapflow_take(f, &p);
    remark(f);
    for (size_t i = first; i < m->count; i++)
        m->conns[i]->watched_ns = f->last_ns;
    if (got == 0 && f->segments == 0) {
        snprintf(err, PCAPFILE_ERROR_SIZE, "%.200s: is a capture without any TCP segment", path);
        got = -1;
    }
    pcapflow_free(f);
    pcapfile_close(file);
    return got;
}
