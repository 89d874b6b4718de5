/* lifecycle.c: see lifecycle.h. */
#include "common/lifecycle.h"

#include "common/clock.h"
#include "common/lifecycle_trace.h"
#include "common/log.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define HALF_CLOSED_US 1000000 /* a half-closed span that long is one, even where nothing came in it */

static const char *side_name = "server";
static char id_prefix[16];
static atomic_uint_fast64_t last_id;

static size_t put_digits(uint64_t number, size_t n)
{
    static const char digits[] = "0123456789abcdefghijklmnopqrstuvwxyz";

    for (; number > 0 && n < sizeof id_prefix - 1; number /= 36)
        id_prefix[n++] = digits[number % 36];
    return n;
}

/* The time in tenths of a second: a restart gets another prefix. Clients that append to one log may have been
 * started in the same one: what tells them apart is the process. */
void lifecycle_set_side(const char *side)
{
    size_t n = put_digits(clock_wall_us() / 100000, 0);

    side_name = side;
    if (strcmp(side, "client") == 0)
        n = put_digits((uint64_t)getpid(), n);
    id_prefix[n] = '\0';
}

const char *lifecycle_id_prefix(void)
{
    return id_prefix;
}

const char *lifecycle_format_id(const struct lifecycle *l, char out[LIFECYCLE_ID_SIZE])
{
    snprintf(out, LIFECYCLE_ID_SIZE, "%s-%llu", id_prefix, (unsigned long long)l->id);
    return out;
}

void lifecycle_begin(struct lifecycle *l, bool quiet)
{
    *l = (struct lifecycle){0};
    l->id = atomic_fetch_add_explicit(&last_id, 1, memory_order_relaxed) + 1;
    l->began_us = clock_mono_us();
    l->quiet = quiet;
}

static int put_head(const struct lifecycle *l, char *line, size_t size, const char *event)
{
    char stamp[CLOCK_STAMP_SIZE];

    clock_format(clock_wall_us(), stamp);
    return snprintf(line, size, "time=%s conn=%s-%llu side=%s event=%s", stamp, id_prefix,
                    (unsigned long long)l->id, side_name, event);
}

static const char *error_name(long err)
{
    switch (err) {
    case ECONNRESET:
        return "ECONNRESET";
    case ECONNREFUSED:
        return "ECONNREFUSED";
    case ETIMEDOUT:
        return "ETIMEDOUT";
    case EPIPE:
        return "EPIPE";
    case EHOSTUNREACH:
        return "EHOSTUNREACH";
    case ENETUNREACH:
        return "ENETUNREACH";
    case ENOTCONN:
        return "ENOTCONN";
    case EINPROGRESS:
        return "EINPROGRESS";
    case EPROTO:
        return "EPROTO";
    default:
        return NULL;
    }
}

static int put_result(char *at, size_t size, const char *call, long ret)
{
    const char *name = ret < 0 ? error_name(-ret) : NULL;

    if (ret >= 0)
        return snprintf(at, size, " call=%s ret=%ld", call, ret);
    if (name != NULL)
        return snprintf(at, size, " call=%s ret=-1 errno=%s", call, name);
    return snprintf(at, size, " call=%s ret=-1 errno=%ld", call, -ret);
}

static void finish_line(char *line, int n, size_t size)
{
    if ((size_t)n > size - 2)
        n = (int)size - 2;
    line[n++] = '\n';
    log_line(line, (size_t)n);
}

static bool is_silent(const struct lifecycle *l)
{
    return l->id == 0 || l->quiet || !log_wants(LOG_INFO);
}

/* Neither the log nor the event log is to have it. */
static bool is_unheard(const struct lifecycle *l)
{
    return is_silent(l) && !trace_is_on();
}

/* What the kernel says now. Of a socket that it has done with it says nothing new, and at a server's thousandth
 * reset a second each question counts: the log has it all the same, the event log had it before, or has it with the
 * kernel's own word that the socket was freed. */
static void get_facts(struct lifecycle *l, int fd, struct tcp_facts *facts)
{
    *facts = (struct tcp_facts){.source = "none"};
    if (is_unheard(l) || (is_silent(l) && !trace_wants_facts && (l->is_gone || l->was_reset)))
        return;
    tcp_get_facts(fd, facts);
    l->is_gone = l->established && facts->state == TCP_STATE_CLOSED;
}

static void put_event(struct lifecycle *l, const char *event, const char *call, long ret, const char *state,
                      const char *source, const char *more)
{
    char line[1024];
    int n;

    if (is_silent(l))
        return;
    n = put_head(l, line, sizeof line, event);

    n += put_result(line + n, sizeof line - (size_t)n, call, ret);
    n += snprintf(line + n, sizeof line - (size_t)n, " state=%s source=%s%s%s", state, source,
                  more != NULL ? " " : "", more != NULL ? more : "");
    finish_line(line, n, sizeof line);
}

void lifecycle_event(struct lifecycle *l, int fd, const char *event, const char *call, long ret,
                     const char *more)
{
    struct tcp_facts facts;

    if (is_unheard(l))
        return;
    get_facts(l, fd, &facts);
    put_event(l, event, call, ret, tcp_state_name(facts.state), facts.source, more);
    lifecycle_trace_call(l, call, ret, &facts, more);
}

/* An event of TLS: no call of the socket's, so that it is the event log's under a name of its own. */
static void tls_event(struct lifecycle *l, int fd, const char *event, const char *traced, const char *call,
                      long ret, const char *more)
{
    struct tcp_facts facts;

    if (trace_is_on() && l->id != 0)
        trace_tls(l->id, traced, ret, more);
    if (is_silent(l))
        return;
    get_facts(l, fd, &facts);
    put_event(l, event, call, ret, tcp_state_name(facts.state), facts.source, more);
}

void lifecycle_trace_io(struct lifecycle *l, int fd, const char *call, long ret)
{
    struct tcp_facts facts;

    if (!trace_wants_facts || tcp_get_facts(fd, &facts) < 0)
        lifecycle_trace_call(l, call, ret, NULL, NULL);
    else
        lifecycle_trace_call(l, call, ret, &facts, NULL);
}

void lifecycle_socket(struct lifecycle *l, int fd)
{
    lifecycle_event(l, fd, "socket", "socket", fd, NULL);
}

/* Both ends and the cookie: for the log as text, for the event log by its own. */
static void put_ends(struct lifecycle *l, int fd, char *out, size_t size)
{
    char from[TCP_ADDR_TEXT], to[TCP_ADDR_TEXT];
    uint64_t cookie = tcp_get_cookie(fd);
    struct tcp_addr local;

    lifecycle_trace_ends(l, fd, &local, cookie);
    if (!is_silent(l))
        snprintf(out, size, "local=%s peer=%s cookie=%llx", tcp_addr_format(&local, from),
                 tcp_addr_format(&l->peer, to), (unsigned long long)cookie);
}

void lifecycle_connect(struct lifecycle *l, int fd, long ret)
{
    char ends[2 * TCP_ADDR_TEXT + 64];
    bool again = l->traced_ends;
    struct tcp_facts facts;

    if (ret == 0)
        l->established = true;
    l->was_refused = ret == -ECONNREFUSED;
    l->timed_out = ret == -ETIMEDOUT;
    if (is_unheard(l))
        return;
    put_ends(l, fd, ends, sizeof ends);
    get_facts(l, fd, &facts);
    put_event(l, "connect", "connect", ret, tcp_state_name(facts.state), facts.source, ends);
    lifecycle_trace_call(l, again ? "getsockopt(SO_ERROR)" : "connect", ret, &facts, NULL);
}

void lifecycle_accept(struct lifecycle *l, int fd, const struct tcp_addr *peer)
{
    char ends[2 * TCP_ADDR_TEXT + 64];
    struct tcp_facts facts;

    l->peer = *peer;
    l->established = l->accepted = true;
    if (is_unheard(l))
        return;
    put_ends(l, fd, ends, sizeof ends);
    get_facts(l, fd, &facts);
    put_event(l, "accept", "accept4", fd, tcp_state_name(facts.state), facts.source, ends);
    lifecycle_trace_call(l, "accept4", fd, &facts, NULL);
}

void lifecycle_handshake(struct lifecycle *l, int fd, long ret, const char *more)
{
    l->is_tls = true;
    tls_event(l, fd, "tls-handshake", "handshake", "SSL_do_handshake", ret, more);
}

static void note_end(struct lifecycle *l, enum lifecycle_end who)
{
    uint64_t now = clock_mono_us();

    if (l->ended_first == LIFECYCLE_NONE) {
        l->ended_first = (uint8_t)who;
        l->first_end_us = now;
        l->msgs_at_first_end = who == LIFECYCLE_PEER ? l->msgs_out : l->msgs_in;
    } else if (!l->both_ended && l->ended_first != who) {
        l->both_ended = true;
        l->first_end_us = now - l->first_end_us;
    }
}

void lifecycle_recv_notify(struct lifecycle *l, int fd)
{
    l->got_notify = true;
    note_end(l, LIFECYCLE_PEER);
    tls_event(l, fd, "recv-close-notify", "close_notify_received", "SSL_read", 0, NULL);
}

void lifecycle_recv_fin(struct lifecycle *l, int fd)
{
    const char *more = NULL;
    struct tcp_facts facts;

    l->peer_ended = true;
    note_end(l, LIFECYCLE_PEER);
    if (l->is_tls && !l->got_notify) {
        l->was_truncated = true;
        more = "tls=truncated";
    }
    if (is_unheard(l))
        return;
    get_facts(l, fd, &facts);
    lifecycle_trace_call(l, "recv", 0, &facts, more);
    if (l->self_ended && !l->passive &&
        facts.state == TCP_STATE_CLOSED) /* TCP_INFO knows no TIME_WAIT: the socket is gone then */
        put_event(l, "recv-fin", "recv", 0, "TIME_WAIT", "inferred", more);
    else
        put_event(l, "recv-fin", "recv", 0, tcp_state_name(facts.state), facts.source, more);
}

void lifecycle_send_notify(struct lifecycle *l, int fd, long ret)
{
    l->sent_notify = true;
    note_end(l, LIFECYCLE_SELF);
    tls_event(l, fd, "send-close-notify", "close_notify_sent", "SSL_shutdown", ret, NULL);
}

/* On loopback the peer's acknowledgement of our FIN is handled within the call, so that the kernel can only
 * be asked when LAST_ACK is over already: it is then inferred, as RFC 9293 knows no other way from CLOSE-WAIT
 * to CLOSED. A peer that was quick enough may have answered with its own FIN, and then we are in TIME_WAIT. */
void lifecycle_shutdown(struct lifecycle *l, int fd, long ret)
{
    struct tcp_facts facts;
    bool is_over, waits;

    if (ret == 0) {
        l->self_ended = true;
        note_end(l, LIFECYCLE_SELF);
    }
    if (is_unheard(l))
        return;
    get_facts(l, fd, &facts);
    lifecycle_trace_call(l, "shutdown(WR)", ret, &facts, NULL);
    is_over = ret == 0 && facts.state == TCP_STATE_CLOSED;
    waits = is_over && !l->peer_ended && lifecycle_is_in_time_wait(l, fd);
    l->passive = ret == 0 && (l->peer_ended || (is_over && !waits)); /* its FIN may wait to be read */
    if (waits)
        put_event(l, "shutdown", "shutdown", ret, "TIME_WAIT", "sock_diag", "how=SHUT_WR");
    else if (is_over)
        put_event(l, "shutdown", "shutdown", ret, "LAST_ACK", "inferred", "how=SHUT_WR then=CLOSED");
    else
        put_event(l, "shutdown", "shutdown", ret, tcp_state_name(facts.state), facts.source, "how=SHUT_WR");
}

void lifecycle_broken(struct lifecycle *l, int fd, const char *call, long err)
{
    bool reset = err == ECONNRESET || err == EPIPE;

    if (l->was_reset || l->timed_out)
        return;
    l->was_reset = reset;
    l->timed_out = err == ETIMEDOUT || err == EHOSTUNREACH || err == ENETUNREACH;
    lifecycle_event(l, fd, reset ? "recv-rst" : "error", call, -err, NULL);
    if (reset && trace_is_on() && l->id != 0)
        trace_reset(l->id, false, err == EPIPE ? "EPIPE" : "ECONNRESET");
}

static const char *how_it_ended(const struct lifecycle *l, bool abort, uint64_t half_us)
{
    uint32_t after = (l->ended_first == LIFECYCLE_PEER ? l->msgs_out : l->msgs_in) - l->msgs_at_first_end;

    if (l->was_refused)
        return "refused";
    if (l->was_reset)
        return "reset";
    if (l->timed_out)
        return "timeout";
    if (!l->established)
        return "failed";
    if (abort)
        return "aborted";
    if (l->was_truncated)
        return "truncated";
    if (!l->self_ended || !l->peer_ended)
        return "unfinished";
    return after > 1 || half_us >= HALF_CLOSED_US ? "half-closed" : "graceful"; /* 1: the bye */
}

static uint64_t half_closed_us(const struct lifecycle *l)
{
    return l->both_ended ? l->first_end_us : 0;
}

static void put_close_line(struct lifecycle *l, const struct tcp_facts *facts, long ret, const char *how,
                           const char *reason)
{
    static const char *const ends[] = {"none", "self", "peer"};
    uint64_t now = clock_mono_us(), half = half_closed_us(l);
    char line[1024], quoted[LOG_QUOTED_SIZE], peer[TCP_ADDR_TEXT];
    int n = put_head(l, line, sizeof line, "close");

    n += put_result(line + n, sizeof line - (size_t)n, "close", ret);
    n += snprintf(line + n, sizeof line - (size_t)n, " state=%s source=%s peer=%s ended-first=%s how=%s",
                  tcp_state_name(facts->state), facts->source, tcp_addr_format(&l->peer, peer),
                  ends[l->ended_first], how);
    if (half > 0)
        n += snprintf(line + n, sizeof line - (size_t)n, " half-closed=%llu.%06us",
                      (unsigned long long)(half / 1000000), (unsigned)(half % 1000000));
    n += snprintf(
        line + n, sizeof line - (size_t)n,
        " reason=%s bytes-in=%llu bytes-out=%llu msgs-in=%u msgs-out=%u duration=%llu.%06us rtt=%uus",
        log_quote_text(reason, quoted), (unsigned long long)l->bytes_in, (unsigned long long)l->bytes_out,
        l->msgs_in, l->msgs_out, (unsigned long long)((now - l->began_us) / 1000000),
        (unsigned)((now - l->began_us) % 1000000), facts->rtt_us);
    finish_line(line, n, sizeof line);
}

void lifecycle_close(struct lifecycle *l, int fd, bool abort, const char *reason)
{
    const char *how = how_it_ended(l, abort, half_closed_us(l));
    struct lifecycle_last last;
    struct tcp_facts facts;
    long ret;

    get_facts(l, fd, &facts);
    lifecycle_trace_closing(l, fd, &last);
    ret = abort ? tcp_close_reset(fd) : tcp_close(fd);
    if (!is_silent(l))
        put_close_line(l, &facts, ret, how, reason);
    lifecycle_trace_closed(l, &last, ret, abort, reason, how, &facts);
    l->id = 0;
}
