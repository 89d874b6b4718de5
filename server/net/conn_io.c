/* conn_io.c: what a connection reads and writes. See conn.h.
 *
 * Reading goes into buffers of the reactor's; a connection keeps only an unfinished line. Writing is tried at
 * the end of a turn and waits for the kernel only when the kernel refused. Every socket call of the server
 * stands in this file and in conn.c. */
#include "common/log.h"
#include "common/mem.h"
#include "common/transport.h"
#include "server/net/conn.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TLS_FIRST_BYTE 0x16       /* a record of handshake messages (RFC 8446, section 5.1) */
#define TURN_WRITE     (1U << 20) /* bytes written to one connection in one turn, so that others get theirs */
#define IOV_COUNT      64
#define UNREAD_MOST                                                                                          \
    (2 * REACTOR_READ)  /* ciphertext that waits, before what would make TLS add to it is not read */
#define SPARE_MOST 4096 /* bytes that an unfinished line may hold besides itself */

/* ---- lines ---- */

static void grow_partial(struct conn *c, size_t cap)
{
    c->partial_cap = (uint32_t)cap;
    c->partial = mem_realloc(c->partial, cap);
}

/* Another place: what was large may be one that a few bytes would keep for themselves. */
static void shrink_partial(struct conn *c, size_t len)
{
    char *small = mem_alloc(len);

    memcpy(small, c->partial, len);
    free(c->partial);
    c->partial = small;
    c->partial_cap = (uint32_t)len;
}

static void keep_partial(struct conn *c, const char *from, size_t len)
{
    if (len == 0) {
        free(c->partial);
        c->partial = NULL;
        c->partial_len = c->partial_cap = 0;
        return;
    }
    if (from >= c->partial && from < c->partial + c->partial_cap && c->partial != NULL) {
        memmove(c->partial, from, len);
    } else {
        if (c->partial_cap < len)
            grow_partial(c, len + 64);
        memcpy(c->partial, from, len);
    }
    if (c->partial_cap > 2 * len + SPARE_MOST)
        shrink_partial(c, len);
    c->partial_len = (uint32_t)len;
}

/* Whether one more request may be carried out now (a leaky bucket with a second's worth of room). */
static bool may_ask(struct conn *c)
{
    struct reactor *r = c->reactor;
    uint64_t now = reactor_now(r);

    if (c->trusted || r->limits.requests_per_s == 0)
        return true;
    if (c->paced_us < now)
        c->paced_us = now;
    if (c->paced_us > now + 1000000) {
        conn_pause(c, CONN_PAUSE_PACE);
        if (!c->is_blocked)
            reactor_set_timer(r, c, TIMER_PACE); /* else when it is not blocked any more */
        return false;
    }
    c->paced_us += 1000000 / r->limits.requests_per_s;
    return true;
}

void conn_charge(struct conn *c, unsigned requests)
{
    if (!c->trusted && c->reactor->limits.requests_per_s > 0)
        c->paced_us += requests * UINT64_C(1000000) / c->reactor->limits.requests_per_s;
}

static bool wants_lines(const struct conn *c)
{
    return c->state == CONN_OPEN && c->paused == 0;
}

static void too_long(struct conn *c)
{
    c->life.msgs_in++;
    c->reactor->net->ops->too_long(c);
}

/* Handles whole lines and returns how many bytes are done with. The first ones are known to have no LF. */
static size_t take_lines(struct conn *c, char *data, size_t len, size_t searched)
{
    char *p = data, *end = data + len;
    uint32_t max = c->reactor->limits.max_line;

    while (p < end && wants_lines(c)) {
        char *lf = memchr(p + searched, '\n', (size_t)(end - p) - searched);
        size_t n = (size_t)((lf != NULL ? lf : end) - p);

        searched = 0;
        if (c->skipping || n >= max) {
            if (!c->skipping)
                too_long(c);
            c->skipping = lf == NULL;
            p += n + (lf != NULL);
            continue;
        }
        if (lf == NULL) {
            c->is_searched = true;
            break;
        }
        if (n > 0 && p[n - 1] == '\r')
            n--;
        if (n > 0) {
            if (!may_ask(c))
                break;
            c->life.msgs_in++;
            lifecycle_message(&c->life, true, p, n);
            c->reactor->net->ops->line(c, p, n);
        }
        p = lf + 1;
    }
    return (size_t)(p - data);
}

static void take_input(struct conn *c, char *data, size_t len)
{
    size_t done, searched = c->is_searched ? c->partial_len : 0;

    if (c->state != CONN_OPEN)
        return; /* it was told bye: what it still says is not heard */
    c->life.bytes_in += len;
    if (c->partial_len > 0) {
        if (c->partial_cap < c->partial_len + len)
            grow_partial(c, c->partial_len + len + (c->partial_len + len) / 2);
        memcpy(c->partial + c->partial_len, data, len);
        len += c->partial_len;
        data = c->partial;
        c->partial_len = (uint32_t)len;
    }
    c->is_searched = false;
    done = take_lines(c, data, len, searched);
    if (c->state != CONN_CLOSED)
        keep_partial(c, data + done, c->state == CONN_OPEN ? len - done : 0);
}

/* ---- ends ---- */

static void peer_has_ended(struct conn *c)
{
    size_t unfinished = c->partial_len;

    if (c->state != CONN_OPEN)
        return;
    keep_partial(c, NULL, 0);
    conn_set_state(c, CONN_PEER_ENDED);
    if (c->timer == TIMER_IDLE) /* it can't answer the ping any more */
        reactor_set_timer(c->reactor, c, TIMER_PING);
    c->reactor->net->ops->eof(c, c->skipping ? 0 : unfinished);
}

static void on_fin(struct conn *c)
{
    tcp_ack_at_once(conn_fd(c));
    lifecycle_recv_fin(&c->life, conn_fd(c));
    switch (c->state) {
    case CONN_SELF_ENDED:
        conn_close(c, "end");
        return;
    case CONN_NEW:
    case CONN_HANDSHAKE:
        conn_close(c, c->state == CONN_NEW ? "nothing-said" : "no-handshake");
        return;
    case CONN_OPEN:
        peer_has_ended(c);
        break;
    default:
        break;
    }
    if (c->state != CONN_CLOSED)
        conn_watch(c, c->is_blocked ? POLLER_WRITE : 0);
}

/* ---- reading ---- */

static void take_plaintext(struct conn *c)
{
    struct reactor *r = c->reactor;

    while (c->state != CONN_CLOSED) {
        ssize_t n = transport_read(c->transport, r->plain, REACTOR_READ);

        if (n > 0) {
            take_input(c, r->plain, (size_t)n);
        } else if (n == 0) {
            if (!c->life.got_notify) {
                lifecycle_recv_notify(&c->life, conn_fd(c));
                if (c->paused == 0)
                    peer_has_ended(c); /* else when its waiting lines are carried out */
            }
            return;
        } else {
            if (n == -EPROTO && conn_can_speak(c)) {
                lifecycle_event(&c->life, conn_fd(c), "tls-error", "SSL_read", n, NULL);
                conn_abort(c, "tls-error");
            }
            return;
        }
    }
}

static void handshake_failed(struct conn *c)
{
    char more[256], why[LOG_QUOTED_SIZE];

    snprintf(more, sizeof more, "error=%s", log_quote_text(transport_error(c->transport), why));
    lifecycle_handshake(&c->life, conn_fd(c), -EPROTO, more);
    conn_set_state(c, CONN_ENDING); /* the alert goes out, then our FIN, with no close_notify */
    c->reason = "tls-handshake";
    conn_flush(c);
}

static void handshake_on(struct conn *c)
{
    SSL *ssl = transport_ssl(c->transport);
    int done = transport_handshake(c->transport);
    char more[128];

    if (done < 0) {
        handshake_failed(c);
        return;
    }
    if (done == 0) {
        conn_flush(c);
        return;
    }
    snprintf(more, sizeof more, "version=%s cipher=%s", SSL_get_version(ssl), SSL_get_cipher_name(ssl));
    lifecycle_handshake(&c->life, conn_fd(c), 1, more);
    reactor_count_handshake(c->reactor);
    conn_set_state(c, CONN_OPEN);
    c->reactor->net->ops->opened(c);
    conn_flush(c);
}

static void choose_transport(struct conn *c, const char *raw)
{
    struct reactor *r = c->reactor;
    enum plain_policy plain = r->limits.plain;

    if ((unsigned char)raw[0] == TLS_FIRST_BYTE) {
        c->transport = transport_new(r->tls, true);
        conn_set_state(c, CONN_HANDSHAKE);
        return;
    }
    conn_set_state(c, CONN_OPEN);
    if (plain == PLAIN_OFF || (plain == PLAIN_LOOPBACK && !tcp_addr_is_loopback(&c->life.peer)))
        r->net->ops->refused(c, plain == PLAIN_OFF ? "this server speaks TLS only"
                                                   : "this server speaks TLS only to other machines");
    else
        r->net->ops->opened(c);
}

static void take_raw(struct conn *c, char *raw, size_t len)
{
    const char *answer;

    c->last_in_ms = (uint32_t)(reactor_now(c->reactor) / 1000);
    if (c->timer == TIMER_IDLE)
        reactor_set_timer(c->reactor, c, TIMER_PING);
    if (c->state == CONN_NEW)
        choose_transport(c, raw);
    if (c->transport == NULL) {
        take_input(c, raw, len);
        return;
    }
    transport_feed(c->transport, raw, len);
    if (c->state == CONN_HANDSHAKE)
        handshake_on(c);
    if (c->state == CONN_HANDSHAKE || c->state == CONN_CLOSED || !transport_is_ready(c->transport))
        return;
    take_plaintext(c);
    if (c->state == CONN_CLOSED || transport_output(c->transport, &answer) == 0)
        return;
    conn_flush(c); /* OpenSSL has something to say itself: a KeyUpdate */
    if (c->state != CONN_CLOSED && transport_output(c->transport, &answer) > UNREAD_MOST)
        conn_pause(c, CONN_PAUSE_TLS);
}

/* After our FIN: to its FIN, or to the bounds of patience. */
static void read_to_the_end(struct conn *c, char *raw, size_t len)
{
    const char *answer;

    c->lingered += (uint32_t)len;
    if (c->lingered > c->reactor->limits.linger_bytes) {
        conn_abort(c, "would-not-stop");
        return;
    }
    if (c->transport != NULL && !c->life.got_notify) {
        transport_feed(c->transport, raw, len);
        take_plaintext(c);
        if (c->state != CONN_CLOSED) /* behind our close_notify nothing is said */
            transport_output_done(c->transport, transport_output(c->transport, &answer));
    }
}

static void readable(struct conn *c)
{
    struct reactor *r = c->reactor;
    bool had_notify = c->life.got_notify;
    ssize_t n = tcp_read(conn_fd(c), r->raw, REACTOR_READ);

    if (n == -EAGAIN)
        return;
    if (n < 0)
        conn_broken(c, "recv", -n);
    else if (n == 0)
        on_fin(c);
    else
        lifecycle_io(&c->life, conn_fd(c), "recv", n);
    if (n > 0 && c->state == CONN_SELF_ENDED)
        read_to_the_end(c, r->raw, (size_t)n);
    else if (n > 0)
        take_raw(c, r->raw, (size_t)n);
    if (n > 0 && c->life.got_notify && !had_notify && c->state == CONN_PEER_ENDED)
        readable(
            c); /* a close_notify mostly has its FIN right behind it; what else may come waits for its turn */
}

/* Its FIN was read: what can still come is a reset, or the last acknowledgement. */
static void changed(struct conn *c)
{
    struct tcp_facts facts;
    int err = tcp_get_error(conn_fd(c)); /* reading would only say 0 again */

    if (err != 0) {
        conn_broken(c, "getsockopt(SO_ERROR)", err);
        return;
    }
    if (c->state == CONN_LAST_ACK &&
        (tcp_get_facts(conn_fd(c), &facts) < 0 || facts.state == TCP_STATE_CLOSED))
        conn_close(c, "end");
}

static void update_watch(struct conn *c)
{
    int interest = c->is_blocked ? POLLER_WRITE : 0;

    if (c->state == CONN_CLOSED)
        return;
    if (c->paused == 0 || c->state == CONN_SELF_ENDED ||
        (c->state == CONN_ENDING && !(c->paused & CONN_PAUSE_TLS)))
        interest |= POLLER_READ;
    conn_watch(c, interest);
}

void conn_on_ready(struct poller_slot *slot, int ready)
{
    struct conn *c = (struct conn *)(void *)slot;

    if ((ready & POLLER_WRITE) && c->is_blocked)
        conn_flush(c);
    if (c->state == CONN_CLOSED || !(ready & POLLER_READ))
        return;
    if (c->life.peer_ended)
        changed(c);
    else
        readable(c);
    update_watch(c);
}

void conn_read_on(struct conn *c)
{
    size_t done, len = c->partial_len;

    if (c->state == CONN_OPEN && len > 0) {
        c->is_searched = false;
        done = take_lines(c, c->partial, len, 0);
        if (c->state != CONN_CLOSED)
            keep_partial(c, c->partial + done, c->state == CONN_OPEN ? len - done : 0);
    }
    if (c->state == CONN_OPEN && c->life.got_notify && c->paused == 0)
        peer_has_ended(c);
    update_watch(c);
}

/* ---- writing ---- */

static enum timer_kind waiting_timer(const struct conn *c)
{
    if (c->paused & CONN_PAUSE_PACE)
        return TIMER_PACE;
    return c->greeted ? TIMER_PING : TIMER_LOGIN;
}

static void set_blocked(struct conn *c, bool blocked)
{
    if (blocked && !c->is_blocked)
        reactor_set_timer(c->reactor, c, TIMER_STALL);
    else if (!blocked && c->timer == TIMER_STALL)
        reactor_set_timer(c->reactor, c, waiting_timer(c));
    c->is_blocked = blocked;
    update_watch(c);
}

/* > 0: written; 0: the kernel takes no more; < 0: it is closed. */
static ssize_t wrote(struct conn *c, ssize_t n)
{
    if (n > 0 || n == -EAGAIN)
        lifecycle_io(&c->life, conn_fd(c), "send", n);
    if (n >= 0) {
        if (c->timer == TIMER_STALL)
            reactor_set_timer(c->reactor, c, TIMER_STALL);
        return n;
    }
    if (n == -EAGAIN)
        return 0;
    conn_broken(c, "send", -n);
    return -1;
}

static ssize_t write_plain(struct conn *c)
{
    struct iovec parts[IOV_COUNT];
    ssize_t n = wrote(c, tcp_writev(conn_fd(c), parts, outq_gather(&c->out, parts, IOV_COUNT)));

    if (n > 0) {
        c->life.bytes_out += (uint64_t)n;
        outq_consume(&c->out, &c->reactor->pool, (size_t)n);
    }
    return n;
}

/* Encrypts as much as one buffer holds, so that a turn's words are one record where they fit, and writes
 * it. */
static ssize_t write_tls(struct conn *c)
{
    const char *data;
    size_t left = transport_output(c->transport, &data);
    ssize_t n;

    if (left == 0 && c->out.bytes > 0 && transport_is_ready(c->transport)) {
        char *plain = c->reactor->plain;
        size_t len = outq_copy(&c->out, plain, REACTOR_READ);

        if (transport_write(c->transport, plain, len) < 0) {
            conn_abort(c, "tls-error");
            return -1;
        }
        c->life.bytes_out += len;
        outq_consume(&c->out, &c->reactor->pool, len);
        left = transport_output(c->transport, &data);
    }
    n = wrote(c, tcp_write(conn_fd(c), data, left));
    if (n > 0)
        transport_output_done(c->transport, (size_t)n);
    if (n == 0)
        transport_park(c->transport);
    return n;
}

static bool has_output(const struct conn *c)
{
    const char *data;

    return c->out.bytes > 0 || (c->transport != NULL && transport_output(c->transport, &data) > 0);
}

void conn_flush(struct conn *c)
{
    size_t written = 0;
    bool had = has_output(c);

    if (c->state == CONN_CLOSED || c->state == CONN_SELF_ENDED || c->state == CONN_LAST_ACK)
        return;
    while (has_output(c)) {
        ssize_t n = written < TURN_WRITE ? (c->transport != NULL ? write_tls(c) : write_plain(c)) : 0;

        if (n < 0)
            return;
        if (n == 0) {
            if (c->transport != NULL)
                transport_park(c->transport);
            set_blocked(c, true);
            if (written >= TURN_WRITE && c->state != CONN_CLOSED)
                poller_ask_again(c->reactor->poller,
                                 &c->slot); /* nothing was refused: no change would be told */
            return;
        }
        written += (size_t)n;
    }
    if (c->is_blocked)
        set_blocked(c, false);
    if (had || c->state == CONN_ENDING)
        conn_on_drained(c);
}
