/* verdict_text.c: a verdict in words. See verdict.h. */
#include "trace/verdict.h"

#include "common/buf.h"

#include <stdlib.h>

static const char *const sides[] = {"client", "server"};

const char *verdict_how_name(enum verdict_how how)
{
    static const char *const names[] = {"OPEN",       "GRACEFUL",  "ABORTED",   "REFUSED",
                                        "UNANSWERED", "TRUNCATED", "TIMED OUT", "UNFINISHED"};

    return (unsigned)how < sizeof names / sizeof *names ? names[how] : "UNKNOWN";
}

static void put_ms(struct buf *b, int64_t ns)
{
    double ms = (double)ns / 1e6;

    if (ms >= 10000)
        buf_putf(b, "%.1f s", ms / 1000);
    else
        buf_putf(b, ms >= 100 ? "%.0f ms" : ms >= 1 ? "%.1f ms" : "%.3f ms", ms);
}

static const char *plural(uint64_t n)
{
    return n == 1 ? "" : "s";
}

static void put_first(struct buf *b, const struct verdict *v)
{
    if (v->first >= 0)
        buf_putf(b, " The %s closed first.", sides[v->first]);
    else if (v->simultaneous)
        buf_puts(b, " Both closed at once: each FIN was under way when the other came.");
}

static void put_half(struct buf *b, const struct verdict *v)
{
    if (v->bytes_after_fin > 0)
        buf_putf(b, " %llu byte%s came after its FIN.", (unsigned long long)v->bytes_after_fin,
                 plural(v->bytes_after_fin));
    if (v->half_closed_ns > 0 && !v->simultaneous) {
        buf_puts(b, " Half-closed ");
        put_ms(b, v->half_closed_ns);
        buf_puts(b, ".");
    }
}

static void put_reset(struct buf *b, const struct verdict *v)
{
    static const char *const whys[] = {
        [VERDICT_RST_UNKNOWN] = "; why cannot be seen from here (bytes left unread, or SO_LINGER with 0)",
        [VERDICT_RST_UNREAD] = "",
        [VERDICT_RST_ON_PURPOSE] = " on purpose (SO_LINGER with 0)",
        [VERDICT_RST_LATE] = ", because something came for a socket that was gone",
        [VERDICT_RST_NO_LISTENER] = ": nobody listens there",
    };
    const char *what = plural(v->unread);

    buf_putf(b, " The %s sent RST%s", sides[v->rst_by], whys[v->why]);
    if (v->why == VERDICT_RST_UNREAD)
        buf_putf(b, ", because %llu byte%s %s unread when it closed", (unsigned long long)v->unread, what,
                 v->unread == 1 ? "was" : "were");
    if (v->reason != NULL)
        buf_putf(b, ": %s", v->reason);
    buf_puts(b, ".");
    if (v->why == VERDICT_RST_UNREAD)
        buf_puts(b, " They were acknowledged by its kernel and never read by the application.");
    else if (!v->has_fin && v->why != VERDICT_RST_NO_LISTENER)
        buf_puts(b, " No FIN, no TIME_WAIT.");
}

static void put_lost(struct buf *b, const struct verdict *v)
{
    if (v->lost_side < 0)
        return;
    buf_putf(b, " The %s fell silent", sides[v->lost_side]);
    if (v->retransmissions > 0)
        buf_putf(b, ": %u segment%s sent again, none answered.", v->retransmissions,
                 plural(v->retransmissions));
    else if (v->probes > 0)
        buf_putf(b, ": %u probe%s, none answered.", v->probes, plural(v->probes));
    else
        buf_puts(b, ".");
}

static void put_how(struct buf *b, const struct model_conn *c, const struct verdict *v)
{
    buf_puts(b, verdict_how_name(v->how));
    if (v->how == VERDICT_GRACEFUL && v->segments > 0)
        buf_putf(b, ", %u segments", v->segments);
    else if (v->how == VERDICT_GRACEFUL && !c->has_capture)
        buf_puts(b, " (no capture: the segments are inferred)");
    buf_puts(b, ".");
}

static void write_sentence(struct buf *b, const struct model_conn *c, const struct verdict *v)
{
    put_how(b, c, v);
    switch (v->how) {
    case VERDICT_UNANSWERED:
        buf_putf(b, " Nothing answered the SYN%s.",
                 v->retransmissions > 0 ? ", though it was sent again" : "");
        return;
    case VERDICT_OPEN:
        buf_puts(b, " No end was seen.");
        break;
    case VERDICT_UNFINISHED:
        buf_putf(b, " The %s has ended its side, the %s has not.", sides[v->first],
                 sides[model_other((enum model_side)v->first)]);
        break;
    case VERDICT_TIMED_OUT:
        put_lost(b, v);
        break;
    case VERDICT_TRUNCATED:
        buf_puts(b, " A FIN came without TLS's close_notify: what was said may not be all.");
        put_first(b, v);
        break;
    case VERDICT_ABORTED:
    case VERDICT_REFUSED:
        put_reset(b, v);
        put_first(b, v);
        break;
    case VERDICT_GRACEFUL:
        put_first(b, v);
        break;
    }
    put_half(b, v);
    if (v->lacks_ack && v->how == VERDICT_GRACEFUL)
        buf_puts(b, " The last acknowledgement is not in the capture.");
    if (v->again > 0 && v->lost_side < 0)
        buf_putf(b, " The capture ends with %u segments sent again and not answered yet.", v->again);
    if (v->retransmissions > 0 && v->how != VERDICT_TIMED_OUT)
        buf_putf(b, " %u segment%s sent again.", v->retransmissions,
                 v->retransmissions == 1 ? " was" : "s were");
}

/* ---- evidence ---- */

static void put_event(struct buf *b, const struct model_conn *c, const struct model_event *e)
{
    const struct model_segment *s = &e->segment;
    char flags[40];

    buf_putf(b, "%.3f ms: %s %s seq=%u", (double)(e->time_ns - c->start_ns) / 1e6, sides[s->from],
             model_format_flags(s->flags, flags), s->seq);
    if (s->flags & MODEL_ACK)
        buf_putf(b, " ack=%u", s->ack);
    if (s->len > 0)
        buf_putf(b, " len=%u", s->len);
    if (s->frame > 0)
        buf_putf(b, " (frame %u)", s->frame);
    if (s->source == MODEL_INFERRED)
        buf_puts(b, " (inferred)");
    buf_puts(b, "\n");
}

static void put_last_state(struct buf *b, const struct model_conn *c, int side)
{
    for (size_t i = c->count; i-- > 0;) {
        const struct model_state *s = &c->events[i].state;

        if (c->events[i].kind != MODEL_STATE || (int)s->side != side)
            continue;
        buf_putf(b, "%.3f ms: %s is in %s (%s)\n", (double)(c->events[i].time_ns - c->start_ns) / 1e6,
                 sides[side], tcp_state_name(s->state), model_source_name(s->source));
        return;
    }
}

static void write_evidence(struct buf *b, const struct model_conn *c)
{
    for (size_t i = 0; i < c->count; i++)
        if (c->events[i].kind == MODEL_SEGMENT && (c->events[i].segment.flags & (MODEL_FIN | MODEL_RST)))
            put_event(b, c, &c->events[i]);
    put_last_state(b, c, MODEL_CLIENT);
    put_last_state(b, c, MODEL_SERVER);
}

void verdict_write(const struct model_conn *c, struct verdict *v)
{
    struct buf sentence = {0}, evidence = {0};

    write_sentence(&sentence, c, v);
    write_evidence(&evidence, c);
    buf_put(&sentence, "", 1);
    buf_put(&evidence, "", 1);
    v->sentence = sentence.data;
    v->evidence = evidence.data;
}
