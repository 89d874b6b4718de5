/* ladder_svg.c: a ladder as an SVG image: rows of one height, colours for light and dark. See ladder.h. */
#include "trace/ladder.h"

#include <string.h>

#define WIDTH         1180
#define ROW           24
#define TOP           96
#define CLIENT_X      420 /* the two lifelines */
#define SERVER_X      800
#define TIME_X        84
#define CALL_X        94
#define CALL_COLUMNS  27 /* of about 7.3 pixels */
#define STATE_COLUMNS 12
#define LABEL_COLUMNS 46
#define LINE_COLUMNS  150

static const char style[] =
    "<style>"
    "text{font:12px ui-monospace,'DejaVu Sans Mono','Noto Sans Mono CJK SC',monospace;fill:#1b1f24}"
    ".bg{fill:#fff}.dim{fill:#6a737d}.head{font-weight:bold}.title{font-size:15px;font-weight:bold}"
    ".bad{fill:#c62828}.good{fill:#1b7f3b}.half{fill:#8e44ad;opacity:.10}"
    ".wire{stroke:#57606a;stroke-width:1.3}.inferred{stroke-dasharray:2 4;opacity:.75}"
    ".fin{stroke:#0969a8;stroke-width:2}"
    ".rst{stroke:#c62828;stroke-width:3}.syn{stroke:#1b7f3b;stroke-width:1.8}"
    ".again{stroke:#b26a00;stroke-dasharray:7 3;stroke-width:1.8}"
    ".finf{fill:#0969a8}.rstf{fill:#c62828}.synf{fill:#1b7f3b}.againf{fill:#b26a00}.wiref{fill:#57606a}"
    ".label{paint-order:stroke;stroke:#fff;stroke-width:4px;stroke-linejoin:round}"
    ".guess{font-style:italic;fill:#8250a0}"
    "@media(prefers-color-scheme:dark){text{fill:#e6edf3}.bg{fill:#0d1117}.dim{fill:#8b949e}"
    ".label{stroke:#0d1117}"
    ".wire{stroke:#9aa4ae}.wiref{fill:#9aa4ae}.fin{stroke:#58b0ee}.finf{fill:#58b0ee}.bad,.rstf{fill:#ff6b6b}"
    ".rst{stroke:#ff6b6b}.syn{stroke:#4cc46f}.synf,.good{fill:#4cc46f}"
    ".again{stroke:#e3a548}.againf{fill:#e3a548}"
    ".guess{fill:#c49adf}.half{fill:#c49adf}}"
    "</style>";

/* Of plain text: ladder_make_plain. */
static void put_escaped(FILE *to, const char *text)
{
    for (; *text != '\0'; text++)
        switch (*text) {
        case '<':
            fputs("&lt;", to);
            break;
        case '>':
            fputs("&gt;", to);
            break;
        case '&':
            fputs("&amp;", to);
            break;
        case '"':
            fputs("&quot;", to);
            break;
        default:
            fputc(*text, to);
        }
}

/* anchor: "start", "middle" or "end". Cut to columns where it is longer. */
static void put_text(FILE *to, int x, int y, const char *class, const char *anchor, const char *text,
                     size_t columns)
{
    char copy[4 * LADDER_TEXT];

    snprintf(copy, sizeof copy, "%s", text);
    ladder_make_plain(copy, false);
    if (ladder_width(copy) > columns) {
        size_t fit = ladder_fit(copy, columns - 1);

        snprintf(copy + fit, sizeof copy - fit, "…");
    }
    fprintf(to, "<text x=\"%d\" y=\"%d\" class=\"%s\" text-anchor=\"%s\" xml:space=\"preserve\">", x, y,
            class, anchor);
    put_escaped(to, copy);
    fputs("</text>\n", to);
}

static const char *class_of(const struct model_segment *s)
{
    if (s->flags & MODEL_RST)
        return "rst";
    if (s->retransmission || s->keepalive)
        return "again";
    if (s->flags & MODEL_FIN)
        return "fin";
    return s->flags & MODEL_SYN ? "syn" : "wire";
}

/* The state's colour along the lifeline. */
static const char *colour_of(enum tcp_state state)
{
    switch (state) {
    case TCP_STATE_ESTABLISHED:
        return "#3fa55c";
    case TCP_STATE_SYN_SENT:
    case TCP_STATE_SYN_RECEIVED:
        return "#9ccc65";
    case TCP_STATE_FIN_WAIT_1:
    case TCP_STATE_FIN_WAIT_2:
        return "#4393c3";
    case TCP_STATE_CLOSE_WAIT:
        return "#9c6ade";
    case TCP_STATE_LAST_ACK:
    case TCP_STATE_CLOSING:
        return "#d98c3d";
    case TCP_STATE_TIME_WAIT:
        return "#8d99a6";
    default:
        return "#c9cfd6";
    }
}

static int y_of(size_t row)
{
    return TOP + (int)row * ROW;
}

static void put_lifeline(FILE *to, const struct ladder *l, enum model_side side)
{
    int x = side == MODEL_CLIENT ? CLIENT_X : SERVER_X;

    for (size_t i = 0; i < l->count; i++)
        fprintf(to, "<rect x=\"%d\" y=\"%d\" width=\"6\" height=\"%d\" fill=\"%s\"/>\n", x - 3,
                y_of(i) - ROW / 2, ROW, colour_of(l->rows[i].now[side]));
}

static void put_half_closed(FILE *to, const struct ladder *l)
{
    for (size_t i = 0; i < l->count; i++)
        if (l->rows[i].half_closed)
            fprintf(to, "<rect class=\"half\" x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\"/>\n", CLIENT_X,
                    y_of(i) - ROW / 2, SERVER_X - CLIENT_X, ROW);
}

static void put_arrow(FILE *to, const struct ladder_row *row, int y)
{
    const struct model_segment *s = &row->segment->segment;
    const char *class = class_of(s);
    bool right = s->from == MODEL_CLIENT;
    int from = right ? CLIENT_X + 5 : SERVER_X - 5, tip = right ? SERVER_X - 5 : CLIENT_X + 5,
        back = right ? -9 : 9;
    char mark[LADDER_MARK], label[LADDER_TEXT], class_names[32];

    fprintf(to, "<line class=\"%s%s\" x1=\"%d\" y1=\"%d\" x2=\"%d\" y2=\"%d\"/>\n", class,
            s->source == MODEL_INFERRED ? " inferred" : "", from, y, tip + back / 2, y);
    fprintf(to, "<path class=\"%sf\" d=\"M%d %d l%d -4 v8 z\"/>\n", class, tip, y, back);
    if (s->flags & MODEL_RST)
        fprintf(to, "<path class=\"rst\" d=\"M%d %d l14 14 m0 -14 l-14 14\"/>\n", tip + 3 * back - 7, y - 7);
    snprintf(class_names, sizeof class_names, "label %sf", class);
    put_text(to, (CLIENT_X + SERVER_X) / 2, y - 5, class_names, "middle",
             ladder_fit_segment(s, LADDER_MEDIUM, ladder_mark_text(row, mark),
                                s->keepalive ? " keepalive" : "", LABEL_COLUMNS, label),
             LABEL_COLUMNS);
}

static void put_cells(FILE *to, const struct ladder_row *row, enum model_side side, int y)
{
    bool left = side == MODEL_CLIENT;
    const struct model_event *call = row->call[side], *state = row->state[side];
    char text[LADDER_TEXT];

    if (call != NULL)
        put_text(to, left ? CALL_X : SERVER_X + 112, y + 4,
                 call->kind == MODEL_NOTE     ? "dim"
                 : ladder_is_bad(&call->call) ? "bad"
                                              : "call",
                 "start", ladder_call_text(call, LADDER_MEDIUM, text),
                 left ? CALL_COLUMNS + 2 : CALL_COLUMNS + 7);
    if (state != NULL)
        put_text(to, left ? CLIENT_X - 10 : SERVER_X + 10, y + 4,
                 state->state.source == MODEL_INFERRED ? "guess" : "state", left ? "end" : "start",
                 ladder_state_text(&state->state, LADDER_MEDIUM, text), STATE_COLUMNS);
}

static void put_row(FILE *to, const struct ladder *l, size_t i)
{
    const struct ladder_row *row = &l->rows[i];
    int y = y_of(i);
    char text[LADDER_TEXT];

    put_text(to, TIME_X, y + 4, "dim", "end", ladder_time_text(row->time_ns, text), 12);
    put_cells(to, row, MODEL_CLIENT, y);
    put_cells(to, row, MODEL_SERVER, y);
    if (row->segment != NULL)
        put_arrow(to, row, y);
}

/* The sentence in lines; how many there were. */
static int put_sentence(FILE *to, const struct ladder *l, int y)
{
    const char *at = l->verdict->sentence;
    int lines = 0;

    while (*at != '\0') {
        size_t len = strlen(at);
        char line[4 * LINE_COLUMNS + 1];

        if (len > LINE_COLUMNS) {
            size_t most = len = ladder_fit(at, LINE_COLUMNS);

            while (len > 0 && at[len] != ' ')
                len--;
            len = len > 0 ? len : most; /* a word that is longer than a line */
        }
        snprintf(line, sizeof line, "%.*s", (int)len, at);
        put_text(to, 20, y + lines * 18, l->verdict->how == VERDICT_GRACEFUL ? "head good" : "head bad",
                 "start", line, LINE_COLUMNS);
        lines++;
        at += len;
        at += strspn(at, " ");
    }
    return lines;
}

void ladder_write_svg(FILE *to, const struct ladder *l)
{
    int bottom = y_of(l->count), height = bottom + 90;
    char text[LADDER_TEXT];

    fprintf(
        to,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" viewBox=\"0 0 %d %d\">\n%s\n",
        WIDTH, height, WIDTH, height, style);
    fprintf(to, "<rect class=\"bg\" width=\"%d\" height=\"%d\"/>\n", WIDTH, height);
    put_text(to, 20, 30, "title", "start", ladder_title(l->conn, text), 110);
    put_text(to, TIME_X, 66, "head", "end", "t/ms", 10);
    put_text(to, CALL_X, 66, "head", "start", "CLIENT call", 20);
    put_text(to, CLIENT_X - 10, 66, "head", "end", "state", 10);
    put_text(to, (CLIENT_X + SERVER_X) / 2, 66, "head", "middle", "segment (relative seq, ack)", 40);
    put_text(to, SERVER_X + 10, 66, "head", "start", "state", 10);
    put_text(to, SERVER_X + 112, 66, "head", "start", "SERVER call", 20);
    put_half_closed(to, l);
    put_lifeline(to, l, MODEL_CLIENT);
    put_lifeline(to, l, MODEL_SERVER);
    for (size_t i = 0; i < l->count; i++)
        put_row(to, l, i);
    bottom += put_sentence(to, l, bottom + 12) * 18;
    put_text(to, 20, bottom + 14, "dim", "start",
             "~ inferred   * from inet_diag   + socket freed   shaded: half-closed   (1).. teardown   "
             "↻ sent again   dotted: segment inferred from calls",
             160);
    fputs("</svg>\n", to);
}
