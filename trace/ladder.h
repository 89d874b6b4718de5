/* ladder.h: a connection as rows, and the renderers that show them.
 *
 * A row has at most one segment, one call and one state of each side: what belongs together (a write and its
 * segment, a FIN and the read that returned 0) is one row. Rows point into the connection, which has to
 * outlive them. One thread. */
#ifndef TRACE_LADDER_H
#define TRACE_LADDER_H

#include "common/buf.h"
#include "trace/model.h"
#include "trace/verdict.h"

#include <stdio.h>

struct ladder_row {
    int64_t time_ns;                             /* since the connection's start */
    const struct model_event *segment;           /* NULL: none */
    const struct model_event *call[MODEL_SIDES]; /* a call or a note */
    const struct model_event *state[MODEL_SIDES];
    enum tcp_state now[MODEL_SIDES]; /* in force after this row */
    bool half_closed;                /* within the span from the first FIN to the last acknowledgement */
    unsigned mark;                   /* its number in the teardown, from 1; 0: no part of it */
};

struct ladder {
    const struct model_conn *conn;
    const struct verdict *verdict;
    struct ladder_row *rows;
    size_t count, cap;
};

void ladder_init(struct ladder *l, struct model_conn *c);
void ladder_deinit(struct ladder *l);

/* ---- ladder_text.c: what the cells say; each renderer the same. Strings are UTF-8 unless ascii ---- */

enum ladder_length { LADDER_SHORT, LADDER_MEDIUM, LADDER_FULL };

#define LADDER_TEXT 256

const char *ladder_call_text(const struct model_event *e, enum ladder_length length, char out[LADDER_TEXT]);
/* "FIN_WAIT2"; "~FIN_WAIT2" where inferred, "TIME_WAIT*" from sock_diag, "CLOSED+" from the destroy
 * notice. */
const char *ladder_state_text(const struct model_state *s, enum ladder_length length, char out[LADDER_TEXT]);
const char *ladder_state_name(enum tcp_state state, enum ladder_length length);
/* "PSH,ACK 1:28 ack=1 win=65536", less of it, "PA 1:28", "PA". */
const char *ladder_segment_text(const struct model_segment *s, enum ladder_length length,
                                char out[LADDER_TEXT]);
/* The longest form, at most that, which fits into so many columns together with what stands before and behind
 * it: then its acknowledgement goes, then all but the flags; a number is there or not, never half of one. */
const char *ladder_fit_segment(const struct model_segment *s, enum ladder_length most, const char *before,
                               const char *after, size_t columns, char out[LADDER_TEXT]);
/* What stands before a segment: "(2) ", "↻ ", or "". */
#define LADDER_MARK 24
const char *ladder_mark_text(const struct ladder_row *row, char out[LADDER_MARK]);
/* "1234.567" in ms; from 1,000,000 ms on "0:16:40.123", as h:mm:ss. */
const char *ladder_time_text(int64_t ns, char out[LADDER_TEXT]);
/* "rtt 31 us, unacked 1, …", or "" */
const char *ladder_facts_text(const struct tcp_facts *f, char out[LADDER_TEXT]);
bool ladder_is_bad(
    const struct model_call *c); /* it failed; not yet, EINPROGRESS and EAGAIN, is no failure */
const char *ladder_title(const struct model_conn *c,
                         char out[LADDER_TEXT]); /* "chat 127.0.0.1:54282 - chatd …" */
const char *ladder_end_name(const struct model_conn *c, enum model_side side, char out[LADDER_TEXT]);

/* What a terminal would take for a command, or for no character, becomes `?` on the spot: texts in logs are
 * from the network. ascii: so does all that is none. */
void ladder_make_plain(char *text, bool ascii);

size_t ladder_width(const char *text); /* columns of a terminal; a CJK character takes two */
/* As much of the text as fits into that many columns, never half a character; bytes. */
size_t ladder_fit(const char *text, size_t columns);

/* ---- renderers: each writes all of one connection ---- */

struct ladder_options {
    unsigned width; /* columns, from 60 */
    bool ascii, color, evidence;
    bool one_sided; /* only the client's calls are known: the server's column goes */
};

/* In parts, for a ladder that is drawn as it comes: title and columns; rows [first, end); the sentence; what
 * the marks mean. */
void ladder_write_head(FILE *to, const struct ladder *l, const struct ladder_options *o);
void ladder_write_rows(FILE *to, const struct ladder *l, const struct ladder_options *o, size_t first,
                       size_t end);
void ladder_write_verdict(FILE *to, const struct ladder *l, const struct ladder_options *o);
void ladder_write_legend(FILE *to, const struct ladder *l, const struct ladder_options *o);

void ladder_write_terminal(FILE *to, const struct ladder *l, const struct ladder_options *o);
void ladder_write_svg(FILE *to, const struct ladder *l);
void ladder_write_html(FILE *to, const struct ladder *l);
void ladder_write_mermaid(FILE *to, const struct ladder *l);

/* All captured packets of the connection, with calls as comments. -1 where nothing was captured, else 0. */
int ladder_write_pcapng(FILE *to, const struct ladder *l);

#endif
