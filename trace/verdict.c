/* verdict.c: finds what verdict_text.c puts into words. See verdict.h. */
#include "trace/verdict.h"

#include "common/mem.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* The segments that matter to an end; NULL: not seen. */
struct marks {
    const struct model_event *syn, *syn_ack, *fin[MODEL_SIDES], *fin_ack[MODEL_SIDES], *rst;
    bool is_up; /* more than SYNs came before any RST: it was a connection, whatever was not captured */
};

static bool acks(const struct model_segment *s, const struct model_event *fin)
{
    return (s->flags & MODEL_ACK) && !(s->flags & MODEL_RST) &&
           (int32_t)(s->ack - (fin->segment.seq + fin->segment.len + 1)) >= 0;
}

static void mark(struct marks *k, const struct model_event *e)
{
    const struct model_segment *s = &e->segment;
    enum model_side other = model_other(s->from);

    k->is_up |= !(s->flags & (MODEL_SYN | MODEL_RST)) && k->rst == NULL;
    if ((s->flags & MODEL_SYN) && !(s->flags & MODEL_ACK) && k->syn == NULL)
        k->syn = e;
    if ((s->flags & MODEL_SYN) && (s->flags & MODEL_ACK) && k->syn_ack == NULL)
        k->syn_ack = e;
    if ((s->flags & MODEL_FIN) && k->fin[s->from] == NULL)
        k->fin[s->from] = e;
    if ((s->flags & MODEL_RST) && k->rst == NULL)
        k->rst = e;
    if (k->fin[other] != NULL && k->fin_ack[other] == NULL && acks(s, k->fin[other]))
        k->fin_ack[other] = e;
}

static void find_marks(const struct model_conn *c, struct marks *k)
{
    *k = (struct marks){0};
    for (size_t i = 0; i < c->count; i++)
        if (c->events[i].kind == MODEL_SEGMENT)
            mark(k, &c->events[i]);
}

/* ---- what the application's side of it says ---- */

static const struct model_event *find_note(const struct model_conn *c, const char *kind, const char *start)
{
    for (size_t i = 0; i < c->count; i++)
        if (c->events[i].kind == MODEL_NOTE && strcmp(c->events[i].note.kind, kind) == 0 &&
            strncmp(c->events[i].note.text, start, strlen(start)) == 0)
            return &c->events[i];
    return NULL;
}

static bool is_truncated(const struct model_conn *c)
{
    for (size_t i = 0; i < c->count; i++)
        if (c->events[i].kind == MODEL_CALL && c->events[i].call.detail != NULL &&
            strstr(c->events[i].call.detail, "tls=truncated") != NULL)
            return true;
    return find_note(c, "closed", "truncated") != NULL;
}

static bool gave_up(const struct model_conn *c, int *waiting)
{
    const struct model_event *note = find_note(c, "closed", "timeout");

    for (size_t i = 0; i < c->count; i++)
        if (c->events[i].kind == MODEL_CALL && c->events[i].call.err == ETIMEDOUT) {
            *waiting = (int)c->events[i].call.side;
            return true;
        }
    if (note != NULL)
        *waiting = (int)note->note.side;
    return note != NULL;
}

static uint64_t unread_at_close(const struct model_conn *c, enum model_side side)
{
    for (size_t i = 0; i < c->count; i++) {
        const struct model_call *call = &c->events[i].call;
        const char *at;

        if (c->events[i].kind != MODEL_CALL || call->side != side || call->detail == NULL)
            continue;
        at = strstr(call->detail, "unread=");
        if (at != NULL)
            return strtoull(at + 7, NULL, 10);
    }
    return 0;
}

/* ---- from the segments ---- */

static bool same(const struct model_event *a, const struct model_event *b)
{
    return a != NULL && a == b;
}

/* By their numbers: what is sent again may be cut otherwise then. */
static uint64_t bytes_after(const struct model_conn *c, const struct model_event *fin, enum model_side from)
{
    uint64_t bytes = 0;
    uint32_t next = 0;
    bool any = false;

    for (const struct model_event *e = c->events; e < c->events + c->count; e++) {
        const struct model_segment *s = &e->segment;
        uint32_t first = s->seq + ((s->flags & MODEL_SYN) != 0), end = first + s->len;

        if (e->kind != MODEL_SEGMENT || s->from != from || s->keepalive || (s->flags & MODEL_RST))
            continue;
        if (any && (int32_t)(next - first) > 0)
            first = next;
        if ((int32_t)(end - first) < 0)
            continue;
        if (e > fin)
            bytes += end - first;
        next = end;
        any = true;
    }
    return bytes;
}

static void look_at_fins(const struct model_conn *c, const struct marks *k, struct verdict *v)
{
    const struct model_event *a = k->fin[MODEL_CLIENT], *b = k->fin[MODEL_SERVER], *first, *second;

    v->has_fin = a != NULL || b != NULL;
    if (!v->has_fin)
        return;
    first = b == NULL || (a != NULL && a < b) ? a : b;
    second = first == a ? b : a;
    v->first = (int)first->segment.from;
    v->bytes_after_fin = bytes_after(c, first, model_other(first->segment.from));
    if (second == NULL)
        return;
    v->half_closed_ns = second->time_ns - first->time_ns;
    v->simultaneous = !acks(&second->segment, first);
    v->lacks_ack = c->has_capture && (k->fin_ack[MODEL_CLIENT] == NULL || k->fin_ack[MODEL_SERVER] == NULL);
    if (c->has_capture && !v->lacks_ack) /* two FINs, and what acknowledges them; one may be the other */
        v->segments = same(k->fin_ack[v->first], second) ? 3 : 4;
    if (v->simultaneous && v->bytes_after_fin == 0)
        v->first = -1;
}

/* A socket that resets its connection acknowledges in the same segment, also behind its FIN. An RST without
 * ACK answers a segment for which there is no socket, or none that anyone would read from (RFC 9293, sections
 * 3.10.7.1 and 3.6). */
static enum verdict_rst_why why_reset(const struct model_conn *c, const struct marks *k, struct verdict *v)
{
    const struct model_event *sent = find_note(c, "reset", "sent");
    enum model_side by = k->rst->segment.from;

    if (k->syn_ack == NULL && k->syn != NULL && !k->is_up && by == MODEL_SERVER)
        return VERDICT_RST_NO_LISTENER;
    if (!(k->rst->segment.flags & MODEL_ACK))
        return VERDICT_RST_LATE;
    if (sent != NULL && sent->note.side == by && strncmp(sent->note.text, "sent unread=", 12) != 0) {
        v->reason = sent->note.text[4] == ' ' && sent->note.text[5] != '\0' ? sent->note.text + 5 : NULL;
        return VERDICT_RST_ON_PURPOSE; /* whatever else was unread */
    }
    v->unread = unread_at_close(c, by);
    if (v->unread > 0)
        return VERDICT_RST_UNREAD;
    return VERDICT_RST_UNKNOWN;
}

static void count_repeats(const struct model_conn *c, struct verdict *v)
{
    for (size_t i = 0; i < c->count; i++) {
        if (c->events[i].kind != MODEL_SEGMENT)
            continue;
        if (c->events[i].segment.keepalive)
            v->probes++;
        else if (c->events[i].segment.retransmission)
            v->retransmissions++;
    }
}

/* Which side said the same again at the end, twice or more, and got no answer; -1: none. How often, and the
 * last two times. */
static int who_repeats(const struct model_conn *c, unsigned *repeats, int64_t times[2])
{
    int side = -1;

    *repeats = 0;
    for (size_t i = c->count; i-- > 0;) {
        const struct model_segment *s = &c->events[i].segment;

        if (c->events[i].kind != MODEL_SEGMENT)
            continue;
        if ((!s->retransmission && !s->keepalive) || (side >= 0 && (int)s->from != side))
            break;
        side = (int)s->from;
        if (*repeats < 2)
            times[*repeats] = c->events[i].time_ns;
        ++*repeats;
    }
    return *repeats >= 2 ? side : -1;
}

/* Who repeats himself waits twice as long each time. When that had passed too and he was still being watched,
 * he has given up; where the capture ends before, nobody knows. */
static int who_fell_silent(const struct model_conn *c, const struct marks *k, struct verdict *v)
{
    int64_t times[2], until = c->count > 0 ? c->events[c->count - 1].time_ns : 0;
    unsigned repeats;
    int side = k->rst != NULL ? -1 : who_repeats(c, &repeats, times);

    if (side < 0)
        return -1;
    if (c->watched_ns > until)
        until = c->watched_ns;
    if (until - times[0] > (times[0] - times[1]) / 2 * 5)
        return (int)model_other((enum model_side)side);
    v->again = repeats;
    return -1;
}

static enum verdict_how how_it_ended(const struct model_conn *c, const struct marks *k, struct verdict *v)
{
    int waiting = -1;
    bool timed_out = gave_up(c, &waiting);

    v->lost_side = who_fell_silent(c, k, v);
    if (timed_out && v->lost_side < 0)
        v->lost_side = (int)model_other((enum model_side)waiting);
    if (k->syn != NULL && k->syn_ack == NULL && k->rst == NULL && !k->is_up)
        return VERDICT_UNANSWERED;
    if (k->rst != NULL &&
        (!timed_out || v->why == VERDICT_RST_ON_PURPOSE)) /* who is cut has not fallen silent */
        return v->why == VERDICT_RST_NO_LISTENER ? VERDICT_REFUSED : VERDICT_ABORTED;
    if (timed_out || v->lost_side >= 0)
        return VERDICT_TIMED_OUT;
    if (is_truncated(c))
        return VERDICT_TRUNCATED;
    if (k->fin[MODEL_CLIENT] != NULL && k->fin[MODEL_SERVER] != NULL)
        return VERDICT_GRACEFUL;
    return k->fin[MODEL_CLIENT] != NULL || k->fin[MODEL_SERVER] != NULL ? VERDICT_UNFINISHED : VERDICT_OPEN;
}

const struct verdict *verdict_of(struct model_conn *c)
{
    struct verdict *v = c->verdict;
    struct marks k;

    if (v != NULL)
        return v;
    v = c->verdict = mem_zalloc(sizeof *v);
    v->first = v->rst_by = v->lost_side = -1;
    find_marks(c, &k);
    look_at_fins(c, &k, v);
    count_repeats(c, v);
    if (k.rst != NULL) {
        v->rst_by = (int)k.rst->segment.from;
        v->why = why_reset(c, &k, v);
    }
    v->how = how_it_ended(c, &k, v);
    if (v->how == VERDICT_GRACEFUL && k.rst != NULL)
        v->segments = 0;
    verdict_write(c, v);
    return v;
}

void verdict_free(struct verdict *v)
{
    if (v == NULL)
        return;
    free(v->sentence);
    free(v->evidence);
    free(v);
}
