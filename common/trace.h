/* trace.h: the event log, in qlog's form: what a connection's socket calls, TCP states and TLS ends were,
 * and when.
 *
 * Files are JSON text sequences (RFC 7464) by draft-ietf-quic-qlog-main-schema-14, with the event schemas of
 * docs/trace-events.md. Each thread that records has a file and a buffer of its own: there is no lock, and
 * nothing is formatted unless tracing is on. What is buffered is written when the buffer is full and by
 * trace_flush; a file that has grown to its limit is followed by another, and the oldest of a thread goes.
 * None of these fails: when the disk refuses, events are dropped and counted, and the log says so. */
#ifndef COMMON_TRACE_H
#define COMMON_TRACE_H

#include "common/tcp.h"

#include <stdbool.h>
#include <stdint.h>

/* The schemas' URIs end in the namespace and carry the day on which they were fixed. */
#define TRACE_SCHEMAS        "urn:x-chatd:qlog:"
#define TRACE_SCHEMA_VERSION "2026-11-28"
#define TRACE_SCHEMA(name)   TRACE_SCHEMAS TRACE_SCHEMA_VERSION ":" name

enum trace_level { TRACE_OFF, TRACE_CALLS, TRACE_MESSAGES };

extern enum trace_level trace_level; /* set by trace_open, read by any thread, as is: */
extern bool trace_wants_facts;       /* what the kernel says is asked for after each read and write too */

static inline bool trace_is_on(void)
{
    return trace_level != TRACE_OFF;
}

struct trace_options {
    const char *dir;  /* a file a thread in it, or */
    const char *file; /* one file, for a program that records on one thread; each event is written at once */
    const char *program; /* "chatd 0.1.0" */
    const char *side;    /* "server" or "client" */
    const char *prefix;  /* of each connection's id, as the lifecycle log has it */
    bool facts;          /* see trace_wants_facts */
    uint64_t file_bytes; /* a file of dir is followed by the next one at this size; 0: 256 MB */
    enum trace_level level;
};

/* Who a connection is; isn is the client's initial sequence number where has_isn. */
struct trace_ends {
    struct tcp_addr local, peer;
    uint64_t cookie;
    uint32_t isn;
    bool has_isn;
};

/* Before other threads start. 0, or -errno when the directory or file cannot be written to. */
int trace_open(const struct trace_options *o);

/* What happens, as it is told to a listener; what does not belong to the kind is zero. Texts live as long as
 * the call, but `name` of a call or of TLS, `source` and `ended_first`, which are static. */
enum trace_kind {
    TRACE_CONNECTION, /* ends */
    TRACE_CALL,       /* name, ret, facts or NULL, more or NULL */
    TRACE_STATE,      /* from, to, source, facts or NULL; cookie where id is 0 */
    TRACE_RESET,      /* is_ours, more */
    TRACE_TLS,        /* name, ret, more or NULL */
    TRACE_CLOSED,     /* ended_first, name: how, more: why, bytes_in, bytes_out */
    TRACE_MESSAGE,    /* name and name_len: its type; bytes_in: its length; is_ours */
};

struct trace_event {
    enum trace_kind kind;
    enum tcp_state from, to;
    bool is_ours;
    uint64_t id, time_ns, cookie, bytes_in, bytes_out; /* id: the connection's. time_ns: since 1970 */
    const char *name, *more, *source, *ended_first;
    size_t name_len;
    const struct tcp_facts *facts;
    const struct trace_ends *ends;
    long ret; /* negative: -errno */
};

/* Turns tracing on for one who listens on the spot, with a file (trace_open) or without; on the thread where
 * it happened. After trace_open, before other threads start. */
typedef void trace_listener(const struct trace_event *e, void *arg);
void trace_listen(trace_listener *fn, void *arg);

const char *
trace_default_dir(void);       /* the environment's CHAT_TRACE, as chat-trace record sets it; NULL: none */
void trace_close_thread(void); /* writes what the calling thread has and closes its file */
void trace_flush(void);        /* the calling thread's */
bool trace_is_due(void);       /* whether the calling thread has events that are not written yet */

void trace_connection(uint64_t id, const struct trace_ends *ends);

/* A call that returned ret, negative: -errno. facts: what the kernel said right after it, or NULL. more:
 * "key=value …" of the lifecycle log, kept as a text, or NULL. */
void trace_call(uint64_t id, const char *call, long ret, const struct tcp_facts *facts, const char *more);
void trace_state(uint64_t id, enum tcp_state from, enum tcp_state to, const char *source,
                 const struct tcp_facts *facts);

/* A state that the kernel told for a socket by its cookie ("destroy"); whose connection it is, a reader
 * finds by cookie. */
void trace_socket_state(uint64_t cookie, enum tcp_state to, const char *source,
                        const struct tcp_facts *facts);

void trace_reset(uint64_t id, bool is_ours, const char *why); /* an RST went out by our wish, or came */
void trace_tls(uint64_t id, const char *event, long ret,
               const char *more); /* "handshake", "close_notify_sent", … */
void trace_closed(uint64_t id, const char *ended_first, const char *how, const char *reason,
                  uint64_t bytes_in, uint64_t bytes_out);

/* A line of the protocol: its bytes are not kept, only its type and length (without its end). */
void trace_message(uint64_t id, bool is_incoming, const char *line, size_t len);
void trace_messages(uint64_t id, const char *lines, size_t len); /* that go out, each with its LF */

#endif
