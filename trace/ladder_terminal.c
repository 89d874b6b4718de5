/* ladder_terminal.c: a ladder in characters, for any width from 60 columns. See ladder.h.
 *
 * What always holds: no line is wider than asked for, whatever texts come in. */
#include "trace/ladder.h"

#include <string.h>
#include <time.h>

#define WIRE_MAX 70

enum ink { INK_NONE, INK_DIM, INK_FIN, INK_RST, INK_AGAIN, INK_SYN, INK_HALF, INK_BOLD, INK_STATE };

static const char *const inks[] = {"",         "\033[2m",  "\033[1;36m", "\033[1;31m", "\033[33m",
                                   "\033[32m", "\033[35m", "\033[1m",    "\033[34m"};

struct sheet {
    FILE *to;
    const struct ladder *ladder;
    const struct ladder_options *o;
    size_t width, time, state, wire, call[MODEL_SIDES]; /* columns */
    enum ladder_length length;
};

/* What lines and arrows are drawn with. */
struct strokes {
    const char *bar, *line, *thin, *thick, *right, *left, *cross, *dot, *half, *cut;
};

static const struct strokes unicode = {"│", "─", "┄", "═", "▶", "◀", "✖", "·", "┊", "…"};
static const struct strokes plain = {"|", "-", ".", "=", ">", "<", "X", ".", ":", "~"};

static const struct strokes *strokes_of(const struct sheet *s)
{
    return s->o->ascii ? &plain : &unicode;
}

/* What is not the calls' is the wire's. */
static void share(struct sheet *s, size_t rest, size_t sides)
{
    size_t call = rest * (sides == 1 ? 34 : 26) / 100;

    s->wire = rest - sides * (call + 1);
    if (s->wire > WIRE_MAX) {
        call += (s->wire - WIRE_MAX) / sides;
        s->wire = rest - sides * (call + 1);
    }
    s->call[MODEL_CLIENT] = call;
    s->call[MODEL_SERVER] = sides == 1 ? 0 : call;
}

static struct sheet lay_out(FILE *to, const struct ladder *l, const struct ladder_options *o)
{
    size_t w = o->width < 60 ? 60 : o->width;
    struct sheet s = {.to = to, .ladder = l, .o = o, .width = w};

    s.length = w < 76 ? LADDER_SHORT : w < 112 ? LADDER_MEDIUM : LADDER_FULL;
    s.time = w < 80 ? 7 : 9;
    s.state = w < 76 ? 5 : w < 112 ? 11 : 13;
    share(&s, w - s.time - 1 - 2 * (s.state + 1), o->one_sided ? 1 : 2);
    return s;
}

static void set_ink(const struct sheet *s, enum ink ink)
{
    if (s->o->color && ink != INK_NONE)
        fputs(inks[ink], s->to);
}

static void end_ink(const struct sheet *s, enum ink ink)
{
    if (s->o->color && ink != INK_NONE)
        fputs("\033[0m", s->to);
}

static void put_spaces(const struct sheet *s, size_t n)
{
    while (n-- > 0)
        fputc(' ', s->to);
}

static void put_times(const struct sheet *s, const char *what, size_t n)
{
    while (n-- > 0)
        fputs(what, s->to);
}

/* In exactly that many columns, cut where it is longer. */
static void put_cell(const struct sheet *s, const char *text, size_t columns, enum ink ink)
{
    char copy[LADDER_TEXT];
    size_t width, fit;

    snprintf(copy, sizeof copy, "%s", text);
    ladder_make_plain(copy, s->o->ascii);
    width = ladder_width(copy);
    set_ink(s, ink);
    if (width <= columns) {
        fputs(copy, s->to);
        end_ink(s, ink);
        put_spaces(s, columns - width);
        return;
    }
    fit = ladder_fit(copy, columns - 1);
    copy[fit] = '\0';
    fputs(copy, s->to);
    fputs(strokes_of(s)->cut, s->to);
    end_ink(s, ink);
    put_spaces(s, columns - 1 - ladder_width(copy));
}

static void put_time(const struct sheet *s, int64_t ns)
{
    double ms = (double)ns / 1e6;
    char text[32];

    snprintf(text, sizeof text, "%.3f", ms);
    if (strlen(text) > s->time)
        snprintf(text, sizeof text, "%.1f", ms);
    if (strlen(text) > s->time)
        snprintf(text, sizeof text, "%.0fs", ms / 1000);
    put_spaces(s, s->time > strlen(text) ? s->time - strlen(text) : 0);
    fputs(text, s->to);
    fputc(' ', s->to);
}

static enum ink ink_of_segment(const struct model_segment *s)
{
    if (s->flags & MODEL_RST)
        return INK_RST;
    if (s->retransmission || s->keepalive)
        return INK_AGAIN;
    if (s->flags & MODEL_FIN)
        return INK_FIN;
    if (s->flags & MODEL_SYN)
        return INK_SYN;
    return s->source == MODEL_INFERRED ? INK_DIM : INK_NONE;
}

static const char *line_of(const struct sheet *s, const struct model_segment *g)
{
    const struct strokes *k = strokes_of(s);

    if (g->source == MODEL_INFERRED)
        return k->thin;
    return g->flags & MODEL_RST ? k->thick : k->line;
}

static const char *fit_segment(const struct sheet *s, const struct model_segment *g, size_t columns,
                               char out[LADDER_TEXT])
{
    const char *again = s->o->ascii ? " again" : " ↻";
    const char *more = g->retransmission ? again : g->keepalive ? " keepalive" : "";

    ladder_fit_segment(g, s->length, "", more, columns, out);
    if (g->retransmission && !s->o->ascii && strstr(out, "↻") == NULL)
        ladder_fit_segment(g, LADDER_SHORT, "↻", "", columns, out);
    return out;
}

/* "──PSH,ACK 1:28 ───①▶", or the same the other way round. */
static void put_arrow(const struct sheet *s, const struct ladder_row *row, size_t columns)
{
    const struct model_segment *g = &row->segment->segment;
    const struct strokes *k = strokes_of(s);
    const char *line = line_of(s, g);
    char text[LADDER_TEXT], mark[16] = "";
    bool to_right = g->from == MODEL_CLIENT, is_rst = (g->flags & MODEL_RST) != 0;
    size_t taken, fill;

    if (row->mark > 0)
        snprintf(mark, sizeof mark, "(%u)", row->mark);
    taken = 2 + strlen(mark) + is_rst + 2;
    fit_segment(s, g, columns > taken ? columns - taken : 1, text);
    taken = ladder_width(text) + strlen(mark) + is_rst + 1;
    fill = columns > taken ? columns - taken : 0;
    if (!to_right)
        fputs(k->left, s->to);
    if (!to_right && is_rst)
        fputs(k->cross, s->to);
    if (!to_right)
        fputs(mark, s->to);
    put_times(s, line, to_right && fill > 1 ? 1 : to_right ? 0 : fill > 1 ? fill - 1 : fill);
    fputs(text, s->to);
    put_times(s, line, to_right && fill > 1 ? fill - 1 : to_right ? fill : fill > 1 ? 1 : 0);
    if (to_right)
        fputs(mark, s->to);
    if (to_right && is_rst)
        fputs(k->cross, s->to);
    if (to_right)
        fputs(k->right, s->to);
}

static void put_wire(const struct sheet *s, const struct ladder_row *row)
{
    const struct strokes *k = strokes_of(s);
    enum ink ink = row->segment != NULL ? ink_of_segment(&row->segment->segment) : INK_NONE;
    enum ink bars = row->half_closed ? INK_HALF : INK_NONE;

    set_ink(s, bars);
    fputs(row->half_closed ? k->half : k->bar, s->to);
    end_ink(s, bars);
    set_ink(s, ink);
    if (row->segment != NULL)
        put_arrow(s, row, s->wire - 2);
    else
        put_spaces(s, s->wire - 2);
    end_ink(s, ink);
    set_ink(s, bars);
    fputs(row->half_closed ? k->half : k->bar, s->to);
    end_ink(s, bars);
}

static void put_state(const struct sheet *s, const struct ladder_row *row, enum model_side side)
{
    const struct strokes *k = strokes_of(s);
    char text[LADDER_TEXT];

    if (row->state[side] == NULL) {
        const char *idle = row->now[side] == TCP_STATE_UNKNOWN ? "" : row->half_closed ? k->half : k->dot;

        put_cell(s, idle, s->state, row->half_closed ? INK_HALF : INK_DIM);
        return;
    }
    ladder_state_text(&row->state[side]->state, s->length == LADDER_FULL ? LADDER_MEDIUM : s->length, text);
    put_cell(s, text, s->state, row->state[side]->state.source == MODEL_INFERRED ? INK_DIM : INK_STATE);
}

static void put_call(const struct sheet *s, const struct ladder_row *row, enum model_side side)
{
    char text[LADDER_TEXT] = "";
    enum ink ink = INK_NONE;

    if (row->call[side] != NULL) {
        ladder_call_text(row->call[side], s->length == LADDER_FULL ? LADDER_MEDIUM : s->length, text);
        if (row->call[side]->kind == MODEL_NOTE)
            ink = INK_DIM;
        else if (ladder_is_bad(&row->call[side]->call))
            ink = INK_RST;
    }
    put_cell(s, text, s->call[side], ink);
}

static void put_row(const struct sheet *s, const struct ladder_row *row)
{
    put_time(s, row->time_ns);
    put_call(s, row, MODEL_CLIENT);
    fputc(' ', s->to);
    put_state(s, row, MODEL_CLIENT);
    fputc(' ', s->to);
    put_wire(s, row);
    fputc(' ', s->to);
    put_state(s, row, MODEL_SERVER);
    if (!s->o->one_sided) {
        fputc(' ', s->to);
        put_call(s, row, MODEL_SERVER);
    }
    fputc('\n', s->to);
}

static void put_head(const struct sheet *s)
{
    size_t middle = (s->wire - 7) / 2;

    put_spaces(s, s->time > 4 ? s->time - 4 : 0);
    put_cell(s, "t/ms", 4, INK_BOLD);
    fputc(' ', s->to);
    put_cell(s, s->length == LADDER_SHORT ? "CLIENT" : "CLIENT call", s->call[MODEL_CLIENT], INK_BOLD);
    fputc(' ', s->to);
    put_cell(s, "state", s->state, INK_BOLD);
    fputc(' ', s->to);
    put_spaces(s, middle);
    put_cell(s, "segment", s->wire - middle, INK_BOLD);
    fputc(' ', s->to);
    put_cell(s,
             !s->o->one_sided            ? "state"
             : s->length == LADDER_SHORT ? "SRV"
                                         : "SERVER",
             s->state, INK_BOLD);
    if (!s->o->one_sided) {
        fputc(' ', s->to);
        put_cell(s, s->length == LADDER_SHORT ? "SERVER" : "SERVER call", s->call[MODEL_SERVER], INK_BOLD);
    }
    fputc('\n', s->to);
}

/* Words to lines of the width, lines after the first indented. */
static void put_wrapped(const struct sheet *s, const char *text, size_t indent, enum ink ink)
{
    size_t column = 0;
    bool at_start = true;

    set_ink(s, ink);
    while (*text != '\0') {
        size_t len = strcspn(text, " "), fit;
        char word[LADDER_TEXT];

        snprintf(word, sizeof word, "%.*s", (int)(len < sizeof word - 1 ? len : sizeof word - 1), text);
        ladder_make_plain(word, s->o->ascii);
        if (!at_start && column + 1 + ladder_width(word) > s->width) {
            fputc('\n', s->to);
            put_spaces(s, indent);
            column = indent;
        } else if (!at_start) {
            fputc(' ', s->to);
            column++;
        }
        fit = ladder_fit(word, s->width - column);
        word[fit] = '\0';
        fputs(word, s->to);
        at_start = false;
        column += ladder_width(word);
        text += len;
        text += strspn(text, " ");
    }
    end_ink(s, ink);
    fputc('\n', s->to);
}

static void put_title(const struct sheet *s)
{
    const struct model_conn *c = s->ladder->conn;
    time_t at = (time_t)(c->start_ns / 1000000000);
    char title[LADDER_TEXT], when[64], line[2 * LADDER_TEXT];
    struct tm tm;

    gmtime_r(&at, &tm);
    strftime(when, sizeof when, "%Y-%m-%d %H:%M:%S", &tm);
    snprintf(line, sizeof line, "#%u %s, %s.%03uZ", c->number, ladder_title(c, title), when,
             (unsigned)(c->start_ns / 1000000 % 1000));
    put_wrapped(s, s->o->one_sided ? strchr(line, ' ') + 1 : line, 4,
                INK_BOLD); /* the number is chat-trace's */
    if (c->end[MODEL_CLIENT].has_isn) {
        snprintf(line, sizeof line, "the client's first sequence number: %u", c->end[MODEL_CLIENT].isn);
        put_wrapped(s, line, 4, INK_DIM);
    }
}

static void put_evidence(const struct sheet *s)
{
    const char *at = s->ladder->verdict->evidence;

    while (*at != '\0') {
        size_t len = strcspn(at, "\n");
        char line[LADDER_TEXT];

        snprintf(line, sizeof line, "- %.*s", (int)(len < 200 ? len : 200), at);
        put_wrapped(s, line, 4, INK_DIM);
        at += len + (at[len] == '\n');
    }
}

struct used {
    bool inferred_state, inferred_segment, diag, destroy, half, again;
};

static void note_used(const struct ladder *l, struct used *u)
{
    for (size_t i = 0; i < l->count; i++) {
        const struct ladder_row *r = &l->rows[i];

        for (int side = 0; side < MODEL_SIDES; side++) {
            enum model_source source = r->state[side] != NULL ? r->state[side]->state.source : MODEL_TCP_INFO;

            u->inferred_state |= source == MODEL_INFERRED;
            u->diag |= source == MODEL_SOCK_DIAG;
            u->destroy |= source == MODEL_DESTROY;
        }
        u->half |= r->half_closed;
        u->inferred_segment |= r->segment != NULL && r->segment->segment.source == MODEL_INFERRED;
        u->again |= r->segment != NULL && r->segment->segment.retransmission;
    }
}

static void put_legend(const struct sheet *s)
{
    const struct strokes *k = strokes_of(s);
    struct used u = {0};
    char line[512];

    note_used(s->ladder, &u);
    snprintf(line, sizeof line, "%s%s%s%s%s%s%s%s%s%s", u.inferred_state ? "~ inferred  " : "",
             u.diag ? "* from inet_diag  " : "", u.destroy ? "+ socket freed  " : "", u.half ? k->half : "",
             u.half ? " half-closed  (1).. teardown  " : "", u.again ? (s->o->ascii ? "again" : "↻") : "",
             u.again ? " sent again  " : "", u.inferred_segment ? k->thin : "",
             u.inferred_segment ? k->thin : "", u.inferred_segment ? " segment inferred from calls" : "");
    if (line[0] != '\0')
        put_wrapped(s, line, 0, INK_DIM);
}

void ladder_write_head(FILE *to, const struct ladder *l, const struct ladder_options *o)
{
    struct sheet s = lay_out(to, l, o);

    put_title(&s);
    put_head(&s);
}

void ladder_write_rows(FILE *to, const struct ladder *l, const struct ladder_options *o, size_t first,
                       size_t end)
{
    struct sheet s = lay_out(to, l, o);

    for (size_t i = first; i < end; i++)
        put_row(&s, &l->rows[i]);
}

void ladder_write_verdict(FILE *to, const struct ladder *l, const struct ladder_options *o)
{
    struct sheet s = lay_out(to, l, o);

    put_wrapped(&s, l->verdict->sentence, 2, l->verdict->how == VERDICT_GRACEFUL ? INK_BOLD : INK_RST);
}

void ladder_write_legend(FILE *to, const struct ladder *l, const struct ladder_options *o)
{
    struct sheet s = lay_out(to, l, o);

    put_legend(&s);
}

void ladder_write_terminal(FILE *to, const struct ladder *l, const struct ladder_options *o)
{
    struct sheet s = lay_out(to, l, o);

    ladder_write_head(to, l, o);
    ladder_write_rows(to, l, o, 0, l->count);
    ladder_write_verdict(to, l, o);
    if (o->evidence)
        put_evidence(&s);
    put_legend(&s);
}
