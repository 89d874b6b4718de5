/* ladder_html.c: a ladder as one HTML page that needs nothing else: page.html with the connection's rows in
 * it as JSON. See ladder.h. */
#include "trace/ladder.h"

#include "page.h" /* made of page.html by scripts/embed */

#include <string.h>

#define LABEL_COLUMNS 40 /* between the page's lifelines */
#define DATA_MARK     "\"@DATA@\""

/* `<` as an escape too, so that no text can end the script. */
static void put_string(FILE *to, const char *text)
{
    fputc('"', to);
    for (; *text != '\0'; text++) {
        unsigned char c = (unsigned char)*text;

        if (c < 0x20 || c == '<' || c == '"' || c == '\\' || c == 0x7f)
            fprintf(to, "\\u%04x", c);
        else
            fputc(c, to);
    }
    fputc('"', to);
}

static void put_member(FILE *to, const char *name, const char *text)
{
    fprintf(to, "\"%s\":", name);
    put_string(to, text);
}

static const char *kind_of(const struct model_segment *s)
{
    if (s->flags & MODEL_RST)
        return "rst";
    if (s->retransmission || s->keepalive)
        return "again";
    if (s->flags & MODEL_FIN)
        return "fin";
    return s->flags & MODEL_SYN ? "syn" : "wire";
}

static void put_segment(FILE *to, const struct ladder_row *row)
{
    const struct model_segment *s = &row->segment->segment;
    const char *after = s->keepalive ? " keepalive" : "";
    char mark[LADDER_MARK], text[LADDER_TEXT];

    fprintf(to, ",\"seg\":{\"from\":%d,\"len\":%u,\"win\":%u,\"frame\":%u,\"guess\":%d,", (int)s->from,
            s->len, s->window, s->frame, s->source == MODEL_INFERRED);
    put_member(to, "kind", kind_of(s));
    fputc(',', to);
    put_member(to, "text", ladder_fit_segment(s, LADDER_MEDIUM, "", after, LADDER_TEXT, text));
    fputc(',', to);
    put_member(to, "label",
               ladder_fit_segment(s, LADDER_MEDIUM, ladder_mark_text(row, mark), after, LABEL_COLUMNS, text));
    fputc('}', to);
}

static void put_calls(FILE *to, const struct ladder_row *row)
{
    fputs(",\"call\":[", to);
    for (int side = 0; side < MODEL_SIDES; side++) {
        const struct model_event *e = row->call[side];
        char text[LADDER_TEXT];

        fputs(side > 0 ? "," : "", to);
        if (e == NULL) {
            fputs("null", to);
            continue;
        }
        fprintf(to, "{\"note\":%d,\"bad\":%d,\"t\":%.6f,", e->kind == MODEL_NOTE,
                e->kind == MODEL_CALL && ladder_is_bad(&e->call), (double)(e->time_ns) / 1e6);
        put_member(to, "text", ladder_call_text(e, LADDER_FULL, text));
        fputc(',', to);
        put_member(to, "info", e->kind == MODEL_CALL ? ladder_facts_text(&e->call.facts, text) : "");
        fputc('}', to);
    }
    fputc(']', to);
}

static void put_states(FILE *to, const struct ladder_row *row)
{
    fputs(",\"state\":[", to);
    for (int side = 0; side < MODEL_SIDES; side++) {
        const struct model_event *e = row->state[side];
        char text[LADDER_TEXT];

        fputs(side > 0 ? "," : "", to);
        if (e == NULL) {
            fputs("null", to);
            continue;
        }
        fputc('{', to);
        put_member(to, "text", ladder_state_text(&e->state, LADDER_MEDIUM, text));
        fputc(',', to);
        put_member(to, "source", model_source_name(e->state.source));
        fputc(',', to);
        put_member(to, "info", ladder_facts_text(&e->state.facts, text));
        fputc('}', to);
    }
    fputc(']', to);
}

static void put_row(FILE *to, const struct ladder_row *row)
{
    char when[LADDER_TEXT];

    fprintf(to, "{\"t\":%.6f,\"at\":\"%s\",\"half\":%d,\"now\":[\"%s\",\"%s\"]", (double)row->time_ns / 1e6,
            ladder_time_text(row->time_ns, when), row->half_closed, tcp_state_name(row->now[0]),
            tcp_state_name(row->now[1]));
    put_calls(to, row);
    put_states(to, row);
    if (row->segment != NULL)
        put_segment(to, row);
    fputc('}', to);
}

static void put_data(FILE *to, const struct ladder *l)
{
    char text[LADDER_TEXT];

    fputc('{', to);
    put_member(to, "title", ladder_title(l->conn, text));
    fprintf(to, ",\"start\":%.6f,\"good\":%d,", (double)l->conn->start_ns / 1e6,
            l->verdict->how == VERDICT_GRACEFUL);
    put_member(to, "sentence", l->verdict->sentence);
    fputc(',', to);
    put_member(to, "evidence", l->verdict->evidence);
    fputs(",\"rows\":[", to);
    for (size_t i = 0; i < l->count; i++) {
        fputs(i > 0 ? ",\n" : "\n", to);
        put_row(to, &l->rows[i]);
    }
    fputs("]}", to);
}

void ladder_write_html(FILE *to, const struct ladder *l)
{
    const char *mark = strstr(page, DATA_MARK);

    if (mark == NULL)
        return;
    fwrite(page, 1, (size_t)(mark - page), to);
    put_data(to, l);
    fputs(mark + strlen(DATA_MARK), to);
}
