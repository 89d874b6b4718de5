/* verdict.h: how a connection ended, in a sentence, with what shows it. No state; the thread that has the
 * model. */
#ifndef TRACE_VERDICT_H
#define TRACE_VERDICT_H

#include "trace/model.h"

enum verdict_how {
    VERDICT_OPEN,       /* no end was seen */
    VERDICT_GRACEFUL,   /* a FIN each way, each acknowledged as far as can be seen */
    VERDICT_ABORTED,    /* an RST ended it */
    VERDICT_REFUSED,    /* an RST answered the SYN */
    VERDICT_UNANSWERED, /* nothing answered the SYN */
    VERDICT_TRUNCATED,  /* FIN without TLS's close_notify */
    VERDICT_TIMED_OUT,  /* one end gave up waiting for the other */
    VERDICT_UNFINISHED, /* one side has ended, the other has not yet */
};

enum verdict_rst_why {
    VERDICT_RST_UNKNOWN,
    VERDICT_RST_UNREAD,     /* bytes were unread when the socket was closed */
    VERDICT_RST_ON_PURPOSE, /* SO_LINGER with 0 */
    VERDICT_RST_LATE,       /* something came for a socket that was gone */
    VERDICT_RST_NO_LISTENER,
};

struct verdict {
    enum verdict_how how;
    int first; /* enum model_side of who ended first; -1: nobody, or both at once */
    bool simultaneous, has_fin;
    bool lacks_ack;    /* both FINs are in the capture, but not what acknowledges them */
    unsigned again;    /* the last segments of an open one, which repeated themselves and nobody answered */
    unsigned segments; /* of the teardown: 3 or 4; 0 where not all of it was captured */
    int64_t half_closed_ns;   /* from the first FIN to the second; 0: none */
    uint64_t bytes_after_fin; /* that came back to whoever closed first, after its FIN */
    int rst_by;               /* enum model_side; -1: no RST */
    enum verdict_rst_why why;
    const char *reason; /* ON_PURPOSE: what the program gave as its reason, the model's text; or NULL */
    uint64_t unread;    /* bytes that were acknowledged and never read */
    unsigned retransmissions, probes; /* probes: of keepalive or of a closed window */
    int lost_side;                    /* enum model_side that fell silent; -1: none */
    char *sentence;                   /* "GRACEFUL, 4 segments. The client closed first. …" */
    char *evidence;                   /* lines, each a fact and where it is from */
};

/* Makes the verdict once, keeps it in the connection, and returns it. After the connection's events are in
 * order. */
const struct verdict *verdict_of(struct model_conn *c);
void verdict_free(struct verdict *v); /* takes NULL */

const char *verdict_how_name(enum verdict_how how); /* "GRACEFUL" */

/* verdict_text.c: fills in sentence and evidence. */
void verdict_write(const struct model_conn *c, struct verdict *v);

#endif
