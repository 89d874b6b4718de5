/* model.h: connections as both ends and the wire saw them: what readers fill, merge joins and the ladders
 * show.
 *
 * A reader (of an event log, of a capture; a lab) opens a connection for each that it meets and adds what it
 * saw, in any order. model_finish then joins those that are one connection seen from several places, brings
 * both hosts' clocks together, puts the events in order, marks retransmissions and derives what nobody has
 * seen (as inferred). After it nothing is added any more. One thread. Everything given is copied; a model
 * owns all that it hands out. Times are nanoseconds since the Unix epoch by the clock of whoever saw it. */
#ifndef TRACE_MODEL_H
#define TRACE_MODEL_H

#include "common/tcp.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The client is the one who opened: connect() against accept(), SYN against SYN,ACK. Where neither was seen,
 * the one with the higher port is taken for it. */
enum model_side { MODEL_CLIENT, MODEL_SERVER };
#define MODEL_SIDES 2

static inline enum model_side model_other(enum model_side s)
{
    return s == MODEL_CLIENT ? MODEL_SERVER : MODEL_CLIENT;
}

/* Where a state, or a segment, is known from. */
enum model_source {
    MODEL_TCP_INFO,  /* getsockopt(TCP_INFO) right after a call */
    MODEL_SOCK_DIAG, /* an inet_diag answer */
    MODEL_DESTROY,   /* the kernel's notice that the socket was freed */
    MODEL_CAPTURE,   /* seen on the wire */
    MODEL_INFERRED,  /* follows from what was seen, by RFC 9293 */
};

/* TCP header flags, byte 13 of the header. */
enum {
    MODEL_FIN = 0x01,
    MODEL_SYN = 0x02,
    MODEL_RST = 0x04,
    MODEL_PSH = 0x08,
    MODEL_ACK = 0x10,
    MODEL_URG = 0x20,
    MODEL_ECE = 0x40,
    MODEL_CWR = 0x80,
};

/* The packet as it was captured, for pcapng; data is copied. */
struct model_packet {
    const uint8_t *data;
    uint32_t len, wire_len; /* bytes kept, bytes there were */
    uint16_t link_type;     /* LINKTYPE_… of tcpdump.org */
};

struct model_segment {
    int64_t time_ns;
    int64_t arrive_ns; /* at the other host, where a capture there has it too (merge fills it in); else 0 */
    enum model_side from;
    enum model_source source; /* MODEL_CAPTURE, or MODEL_INFERRED where derived from calls */
    uint8_t flags;
    uint32_t seq, ack;   /* relative: a direction's SYN has seq 0. ack is 0 without MODEL_ACK */
    uint32_t len;        /* payload bytes */
    uint32_t window;     /* scaled to bytes where the scale is known */
    bool retransmission; /* by the reader where it knows; model_finish marks those that repeat seq space */
    bool keepalive;      /* likewise: a probe of a byte that was acknowledged */
    uint32_t frame;      /* number in its capture, from 1; 0: none */
    struct model_packet packet;
};

struct model_call {
    int64_t time_ns; /* when it returned */
    enum model_side side;
    const char *name; /* "connect", "read", "shutdown(WR)"; "RDHUP|HUP" for what epoll said, with is_event */
    const char *detail; /* more to show, or NULL: "27 B unread" */
    int64_t result;     /* what it returned; bytes for reads and writes; -1 with err */
    int err;            /* errno, or 0 */
    bool is_event;      /* nothing was called: the application was told something */
    bool has_result;
    struct tcp_facts facts; /* right after it; source NULL where not asked */
};

struct model_state {
    int64_t time_ns;
    enum model_side side;
    enum tcp_state state;
    enum model_source source;
    struct tcp_facts facts; /* source NULL where none came with it */
};

/* tls:*, chat:message, a lab's remark: text beside the ladder. */
struct model_note {
    int64_t time_ns;
    enum model_side side;
    const char *kind; /* "tls", "chat", "note" */
    const char *text;
    const char *event, *data; /* as the log had it: "tls:handshake" and its data in JSON; NULL: from no log */
};

enum model_kind { MODEL_CALL, MODEL_STATE, MODEL_SEGMENT, MODEL_NOTE };

struct model_event {
    enum model_kind kind; /* in this order at the same time */
    int64_t time_ns;      /* on the connection's clock, offsets applied (model_finish) */
    union {
        struct model_call call;
        struct model_state state;
        struct model_segment segment;
        struct model_note note;
    };
};

/* What one end said of itself. */
struct model_end {
    struct tcp_addr addr;
    uint64_t cookie;     /* SO_COOKIE; 0: unknown */
    const char *id;      /* the program's own name of the connection ("k3v-17"), or NULL */
    const char *program; /* "chatd 0.1.0", or NULL */
    const char *host;    /* what tells hosts apart (boot id), or NULL; same host, same clock */
    uint32_t isn;
    bool has_isn;
    bool has_log;            /* calls or states of this side are here */
    int64_t clock_offset_ns; /* added to this end's times by model_finish */
};

struct verdict; /* verdict.h */

struct model_conn {
    struct model_end end[MODEL_SIDES];
    struct model_event *events; /* in order after model_finish */
    size_t count, cap;
    unsigned number;              /* from 1, in order of first event, after model_finish; `--conn 3` */
    const char *origin;           /* the file it is from, or "lab half-close" */
    int64_t start_ns;             /* the first event; ladders count from here */
    bool has_capture;             /* segments were seen, not inferred */
    bool has_one_clock;           /* two hosts, but both captures have brought all times together */
    int64_t watched_ns;           /* the last packet of its capture, of whatever connection; 0: unknown */
    enum model_side capture_side; /* whose clock the capture has, where the two differ */
    bool is_merged;               /* folded into another one: skip */
    struct verdict *verdict;      /* set by verdict_of */
};

/* A state that is known of a socket by its cookie alone; model_finish gives it to the connection that has
 * it. */
struct model_orphan {
    const char *host;
    uint64_t cookie;
    struct model_state state;
};

struct model {
    struct model_conn **conns;
    size_t count, cap;
    char **texts; /* what it owns */
    size_t text_count, text_cap;
    struct model_orphan *orphans;
    size_t orphan_count, orphan_cap;
    char *remarks; /* what readers found wrong but could go on without: lines; NULL: nothing */
};

struct model *model_new(void);
void model_free(struct model *m); /* takes NULL */

/* Always a new one. host: see struct model_end; for a capture pass NULL. origin: the file's name. */
struct model_conn *model_open_conn(struct model *m, const char *origin, const struct tcp_addr *client,
                                   const struct tcp_addr *server);

/* The latest one opened by the same origin with these ends, whichever way round; NULL: none. A capture
 * reader opens a new one at a SYN with another ISN, as ports are used again. */
struct model_conn *model_find_conn(struct model *m, const char *origin, const struct tcp_addr *a,
                                   const struct tcp_addr *b);

/* Which side of the connection has that address. */
enum model_side model_side_of(const struct model_conn *c, const struct tcp_addr *a);

bool model_same_addr(const struct tcp_addr *a, const struct tcp_addr *b);

void model_add_segment(struct model *m, struct model_conn *c, const struct model_segment *s);
void model_add_call(struct model *m, struct model_conn *c, const struct model_call *call);
void model_add_state(struct model *m, struct model_conn *c, const struct model_state *s);
void model_add_note(struct model *m, struct model_conn *c, const struct model_note *n);
void model_add_orphan(struct model *m, const struct model_orphan *o);

/* A copy that lives as long as the model. NULL gives NULL. */
const char *model_keep(struct model *m, const char *text);
void model_remark(struct model *m, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Joins, orders, infers; see above. Then conns[0 .. count) are the connections in order of their start. */
void model_finish(struct model *m);

const char *model_source_name(enum model_source s);
/* "PSH,ACK"; the order is SYN FIN RST PSH ACK URG ECE CWR. */
const char *model_format_flags(uint8_t flags, char out[40]);

#endif
