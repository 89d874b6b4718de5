/* ladder_mermaid.c: a ladder as a Mermaid sequence diagram, for a page in Markdown. See ladder.h. */
#include "trace/ladder.h"

#include <string.h>

/* What Mermaid would take for syntax becomes an entity of its own kind. */
static void put_plain(FILE *to, const char *given)
{
    char copy[4 * LADDER_TEXT], *text = copy;

    snprintf(copy, sizeof copy, "%s", given);
    ladder_make_plain(copy, false);
    for (; *text != '\0'; text++) {
        if (strchr(";#<>{}\"", *text) != NULL)
            fprintf(to, "#%d;", (unsigned char)*text);
        else
            fputc(*text, to);
    }
}

static void put_note(FILE *to, const struct ladder_row *row, enum model_side side)
{
    char call[LADDER_TEXT] = "", state[LADDER_TEXT] = "";

    if (row->call[side] == NULL && row->state[side] == NULL)
        return;
    if (row->call[side] != NULL)
        ladder_call_text(row->call[side], LADDER_MEDIUM, call);
    if (row->state[side] != NULL)
        ladder_state_text(&row->state[side]->state, LADDER_FULL, state);
    fprintf(to, "    Note %s of %s: ", side == MODEL_CLIENT ? "left" : "right",
            side == MODEL_CLIENT ? "C" : "S");
    put_plain(to, call);
    if (call[0] != '\0' && state[0] != '\0')
        fputs("<br/>", to);
    put_plain(to, state);
    fputc('\n', to);
}

static void put_segment(FILE *to, const struct ladder_row *row)
{
    const struct model_segment *s = &row->segment->segment;
    const char *arrow = s->flags & MODEL_RST          ? (s->source == MODEL_INFERRED ? "--x" : "-x")
                        : s->source == MODEL_INFERRED ? "-->>"
                                                      : "->>";
    char text[LADDER_TEXT];

    fprintf(to, "    %s%s%s: ", s->from == MODEL_CLIENT ? "C" : "S", arrow,
            s->from == MODEL_CLIENT ? "S" : "C");
    if (row->mark > 0)
        fprintf(to, "(%u) ", row->mark);
    put_plain(to, ladder_segment_text(s, LADDER_MEDIUM, text));
    fprintf(to, "%s, %.3f ms\n",
            s->retransmission ? ", sent again"
            : s->keepalive    ? ", keepalive"
                              : "",
            (double)row->time_ns / 1e6);
}

void ladder_write_mermaid(FILE *to, const struct ladder *l)
{
    char text[LADDER_TEXT];
    bool half = false;

    fputs("sequenceDiagram\n    participant C as ", to);
    put_plain(to, ladder_end_name(l->conn, MODEL_CLIENT, text));
    fputs("\n    participant S as ", to);
    put_plain(to, ladder_end_name(l->conn, MODEL_SERVER, text));
    fputc('\n', to);
    for (size_t i = 0; i < l->count; i++) {
        const struct ladder_row *row = &l->rows[i];

        if (row->half_closed && !half)
            fputs("    rect rgba(142, 68, 173, 0.1)\n", to);
        else if (!row->half_closed && half)
            fputs("    end\n", to);
        half = row->half_closed;
        if (row->segment != NULL)
            put_segment(to, row);
        put_note(to, row, MODEL_CLIENT);
        put_note(to, row, MODEL_SERVER);
    }
    if (half)
        fputs("    end\n", to);
    fputs("    Note over C,S: ", to);
    put_plain(to, l->verdict->sentence);
    fputc('\n', to);
}
