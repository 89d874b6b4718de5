/* trace.c: see trace.h. Records are put together by hand: printf would cost more than the calls that are
 * recorded. Each trace_… makes a struct trace_event; one place puts it into words. */
#include "common/trace.h"

#include "common/mem.h"
#include "common/trace_file.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define TEXT_MAX 512

enum trace_level trace_level;
bool trace_wants_facts;
static bool has_files;
static trace_listener *listener;
static void *listener_arg;
static char head[64]; /* what stands between a record's name and its connection's number */
static size_t head_len;

static uint64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_REALTIME, &t);
    return (uint64_t)t.tv_sec * 1000000000U + (uint64_t)t.tv_nsec;
}

/* ---- putting a record together ---- */

#define PUT(at, text) put_bytes(at, "" text, sizeof(text) - 1)

static inline char *put_bytes(char *at, const char *from, size_t len)
{
    memcpy(at, from, len);
    return at + len;
}

static const char pairs[] = "00010203040506070809101112131415161718192021222324252627282930313233343536373839"
                            "40414243444546474849505152535455565758596061626364656667686970717273747576777879"
                            "8081828384858687888990919293949596979899";

static unsigned digits_of(uint64_t n)
{
    unsigned d = 1;

    for (; n >= 10000; n /= 10000)
        d += 4;
    return d + (n >= 10) + (n >= 100) + (n >= 1000);
}

static char *put_uint(char *at, uint64_t n)
{
    unsigned d;
    char *end;

    if (n < 10) {
        *at = (char)('0' + n);
        return at + 1;
    }
    d = digits_of(n);
    end = at + d;
    for (; n >= 100; n /= 100)
        memcpy(at + (d -= 2), pairs + n % 100 * 2, 2);
    if (d == 2)
        memcpy(at, pairs + n * 2, 2);
    else
        *at = (char)('0' + n);
    return end;
}

/* All of its bytes, as a hexstring of qlog has them. */
static char *put_hex(char *at, uint64_t n)
{
    for (int shift = 60; shift >= 0; shift -= 4)
        *at++ = "0123456789abcdef"[n >> shift & 15];
    return at;
}

static inline char *put_word(char *at, const char *word)
{
    return stpcpy(at, word);
}

/* A text as a JSON string, without its quotes, cut at TEXT_MAX bytes and at whole characters. */
static char *put_text(char *at, const char *text)
{
    const char *end = text + strnlen(text, TEXT_MAX);

    if (end - text == TEXT_MAX)
        while (end > text && ((unsigned char)*end & 0xc0) == 0x80)
            end--;
    for (; text < end; text++) {
        if (*text == '"' || *text == '\\')
            *at++ = '\\';
        if ((unsigned char)*text >= 0x20)
            *at++ = *text;
        else
            at += sprintf(at, "\\u%04x", (unsigned char)*text);
    }
    return at;
}

/* Milliseconds since the file's epoch, with nanoseconds behind the point. */
static char *put_time(char *at, uint64_t ns)
{
    uint32_t rest = (uint32_t)(ns % 1000000);

    at = put_uint(at, ns / 1000000);
    *at++ = '.';
    memcpy(at, pairs + rest / 10000 * 2, 2);
    memcpy(at + 2, pairs + rest / 100 % 100 * 2, 2);
    memcpy(at + 4, pairs + rest % 100 * 2, 2);
    return at + 6;
}

/* Microseconds, in milliseconds as qlog has all times. */
static char *put_ms(char *at, uint32_t us)
{
    uint32_t rest = us % 1000;

    at = put_uint(at, us / 1000);
    at[0] = '.';
    at[1] = (char)('0' + rest / 100);
    memcpy(at + 2, pairs + rest % 100 * 2, 2);
    return at + 4;
}

static char *put_addr(char *at, const struct tcp_addr *a)
{
    char text[TCP_ADDR_TEXT];

    if (a->family != AF_INET)
        return put_word(at, tcp_addr_format(a, text));
    for (int i = 0; i < 4; i++) {
        at = put_uint(at, a->ip[i]);
        *at++ = i < 3 ? '.' : ':';
    }
    return put_uint(at, a->port);
}

/* What is usually 0 is left out where it is. */
#define PUT_UNLESS_0(at, name, n) ((n) != 0 ? put_uint(PUT(at, ",\"" name "\":"), n) : (at))

static char *put_facts(char *at, const struct tcp_facts *f)
{
    if (f == NULL)
        return at;
    at = put_ms(PUT(at, ",\"info\":{\"rtt\":"), f->rtt_us);
    at = put_ms(PUT(at, ",\"rto\":"), f->rto_us);
    at = PUT_UNLESS_0(at, "unacked", f->unacked);
    at = PUT_UNLESS_0(at, "unsent", f->unsent);
    at = PUT_UNLESS_0(at, "backoff", f->retransmits);
    at = PUT_UNLESS_0(at, "retransmitted", f->total_retrans);
    at = put_uint(PUT(at, ",\"acked\":"), f->bytes_acked);
    at = put_uint(PUT(at, ",\"received\":"), f->bytes_received);
    at = put_uint(PUT(at, ",\"cwnd\":"), f->cwnd);
    at = put_uint(PUT(at, ",\"snd_wnd\":"), f->snd_wnd);
    *at++ = '}';
    return at;
}

static char *put_connection(char *at, const struct trace_event *e)
{
    at = put_addr(PUT(at, "\"local\":\""), &e->ends->local);
    at = put_addr(PUT(at, "\",\"peer\":\""), &e->ends->peer);
    at = put_hex(PUT(at, "\",\"cookie\":\""), e->ends->cookie);
    *at++ = '"';
    return e->ends->has_isn ? put_uint(PUT(at, ",\"client_isn\":"), e->ends->isn) : at;
}

static const char *errno_name(long err)
{
#ifdef __GLIBC__
    const char *name = strerrorname_np((int)err);

    return name != NULL ? name : "UNKNOWN";
#else
    return strerror((int)err);
#endif
}

static char *put_more(char *at, const char *more)
{
    if (more == NULL)
        return at;
    at = put_text(PUT(at, ",\"detail\":\""), more);
    *at++ = '"';
    return at;
}

static char *put_call(char *at, const struct trace_event *e)
{
    at = put_word(PUT(at, "\"call\":\""), e->name);
    if (e->ret >= 0) {
        at = put_uint(PUT(at, "\",\"ret\":"), (uint64_t)e->ret);
    } else {
        at = put_word(PUT(at, "\",\"ret\":-1,\"errno\":\""), errno_name(-e->ret));
        *at++ = '"';
    }
    return put_facts(put_more(at, e->more), e->facts);
}

static char *put_state(char *at, const struct trace_event *e)
{
    if (e->from != TCP_STATE_UNKNOWN) {
        at = put_word(PUT(at, "\"old\":\""), tcp_state_name(e->from));
        at = PUT(at, "\",");
    }
    at = put_word(PUT(at, "\"new\":\""), tcp_state_name(e->to));
    at = put_word(PUT(at, "\",\"source\":\""), e->source);
    *at++ = '"';
    if (e->id == 0) {
        at = put_hex(PUT(at, ",\"cookie\":\""), e->cookie);
        *at++ = '"';
    }
    return put_facts(at, e->facts);
}

static char *put_reset(char *at, const struct trace_event *e)
{
    at = e->is_ours ? PUT(at, "\"direction\":\"sent\",\"why\":\"")
                    : PUT(at, "\"direction\":\"received\",\"why\":\"");
    at = put_text(at, e->more);
    *at++ = '"';
    return at;
}

static char *put_tls(char *at, const struct trace_event *e)
{
    return put_more(e->ret < 0 ? PUT(at, "\"ok\":false") : PUT(at, "\"ok\":true"), e->more);
}

static char *put_closed(char *at, const struct trace_event *e)
{
    at = put_word(PUT(at, "\"ended_first\":\""), e->ended_first);
    at = put_word(PUT(at, "\",\"how\":\""), e->name);
    at = put_text(PUT(at, "\",\"reason\":\""), e->more);
    at = put_uint(PUT(at, "\",\"bytes_in\":"), e->bytes_in);
    return put_uint(PUT(at, ",\"bytes_out\":"), e->bytes_out);
}

static char *put_message(char *at, const struct trace_event *e)
{
    at = e->is_ours ? PUT(at, "\"direction\":\"sent\",\"type\":\"")
                    : PUT(at, "\"direction\":\"received\",\"type\":\"");
    at = put_bytes(at, e->name, e->name_len);
    return put_uint(PUT(at, "\",\"length\":"), e->bytes_in);
}

/* Index: enum trace_kind. */
static const struct {
    const char *name;
    char *(*put)(char *at, const struct trace_event *e);
} forms[] = {
    {"tcp:connection", put_connection}, {"app:call", put_call}, {"tcp:state_updated", put_state},
    {"tcp:reset", put_reset},           {"tls:", put_tls},      {"app:closed", put_closed},
    {"chat:message", put_message},
};

static void write_record(const struct trace_event *e)
{
    struct trace_writer *w = trace_mine != NULL ? trace_mine : trace_file_open();
    char *at = w->buffer + w->len;

    at = put_time(PUT(at, "\x1e{\"time\":"), e->time_ns > w->epoch_ns ? e->time_ns - w->epoch_ns : 0);
    at = put_word(PUT(at, ",\"name\":\""), forms[e->kind].name);
    if (e->kind == TRACE_TLS)
        at = put_word(at, e->name);
    if (e->id != 0)
        at = put_uint(put_bytes(at, head, head_len), e->id);
    at = forms[e->kind].put(PUT(at, "\",\"data\":{"), e);
    at = PUT(at, "}}\n");
    w->len = (size_t)(at - w->buffer);
    if (w->len > TRACE_FLUSH_AT || w->is_unbuffered)
        trace_file_flush(w, e->time_ns);
}

static void record(struct trace_event *e)
{
    e->time_ns = now_ns();
    if (listener != NULL)
        listener(e, listener_arg);
    if (has_files)
        write_record(e);
}

/* ---- what is called ---- */

int trace_open(const struct trace_options *o)
{
    int ret = trace_file_begin(o);

    if (ret < 0)
        return ret;
    head_len = (size_t)snprintf(head, sizeof head, "\",\"group_id\":\"%.32s-", o->prefix);
    trace_level = o->level;
    trace_wants_facts = o->facts;
    has_files = true;
    return 0;
}

void trace_listen(trace_listener *fn, void *arg)
{
    listener = fn;
    listener_arg = arg;
    if (fn == NULL)
        return;
    trace_wants_facts = true;
    if (trace_level == TRACE_OFF)
        trace_level = TRACE_CALLS;
}

const char *trace_default_dir(void)
{
    const char *name = getenv("CHAT_TRACE");

    return name != NULL && name[0] != '\0' ? name : NULL;
}

void trace_flush(void)
{
    if (trace_is_due())
        trace_file_flush(trace_mine, now_ns());
}

bool trace_is_due(void)
{
    return trace_mine != NULL && trace_mine->len > 0;
}

void trace_close_thread(void)
{
    if (trace_mine == NULL)
        return;
    trace_flush();
    trace_file_close(trace_mine);
    trace_mine = NULL;
}

void trace_connection(uint64_t id, const struct trace_ends *ends)
{
    record(&(struct trace_event){.kind = TRACE_CONNECTION, .id = id, .ends = ends});
}

void trace_call(uint64_t id, const char *call, long ret, const struct tcp_facts *facts, const char *more)
{
    record(&(struct trace_event){
        .kind = TRACE_CALL, .id = id, .name = call, .ret = ret, .facts = facts, .more = more});
}

void trace_state(uint64_t id, enum tcp_state from, enum tcp_state to, const char *source,
                 const struct tcp_facts *facts)
{
    record(&(struct trace_event){
        .kind = TRACE_STATE, .id = id, .from = from, .to = to, .source = source, .facts = facts});
}

void trace_socket_state(uint64_t cookie, enum tcp_state to, const char *source, const struct tcp_facts *facts)
{
    record(&(struct trace_event){
        .kind = TRACE_STATE, .cookie = cookie, .to = to, .source = source, .facts = facts});
}

void trace_reset(uint64_t id, bool is_ours, const char *why)
{
    record(&(struct trace_event){.kind = TRACE_RESET, .id = id, .is_ours = is_ours, .more = why});
}

void trace_tls(uint64_t id, const char *event, long ret, const char *more)
{
    record(&(struct trace_event){.kind = TRACE_TLS, .id = id, .name = event, .ret = ret, .more = more});
}

void trace_closed(uint64_t id, const char *ended_first, const char *how, const char *reason,
                  uint64_t bytes_in, uint64_t bytes_out)
{
    record(&(struct trace_event){.kind = TRACE_CLOSED,
                                 .id = id,
                                 .ended_first = ended_first,
                                 .name = how,
                                 .more = reason,
                                 .bytes_in = bytes_in,
                                 .bytes_out = bytes_out});
}

/* The value of the first "type" in the line, where it is a plain word; "unknown" else. */
static size_t find_type(const char *line, size_t len, const char **word)
{
    const char *at = memmem(line, len, "\"type\":\"", 8);
    size_t n = 0;

    *word = "unknown";
    if (at == NULL)
        return 7;
    at += 8;
    while (at + n < line + len && n < 24 && ((at[n] >= 'a' && at[n] <= 'z') || at[n] == '_'))
        n++;
    if (n == 0)
        return 7;
    *word = at;
    return n;
}

void trace_message(uint64_t id, bool is_incoming, const char *line, size_t len)
{
    struct trace_event e = {.kind = TRACE_MESSAGE, .id = id, .is_ours = !is_incoming, .bytes_in = len};

    e.name_len = find_type(line, len, &e.name);
    record(&e);
}

void trace_messages(uint64_t id, const char *lines, size_t len)
{
    const char *end = lines + len, *lf;

    for (; lines < end; lines = lf + 1) {
        lf = memchr(lines, '\n', (size_t)(end - lines));
        lf = lf != NULL ? lf : end;
        if (lf > lines)
            trace_message(id, false, lines, (size_t)(lf - lines));
    }
}
