/* conn.c: a connection's states, timers and ends; conn_io.c reads and writes. See conn.h. */
#include "server/net/conn.h"

#include "common/log.h"
#include "common/mem.h"
#include "common/transport.h"

#include <stdlib.h>
#include <string.h>

static const char *const state_names[] = {"new",    "handshake",  "open",     "peer-ended",
                                          "ending", "self-ended", "last-ack", "closed"};

void conn_set_state(struct conn *c, enum conn_state to)
{
    if (log_wants(LOG_DEBUG)) {
        char id[LIFECYCLE_ID_SIZE];

        log_event(LOG_DEBUG, "conn-state", "conn=%s from=%s to=%s", lifecycle_format_id(&c->life, id),
                  state_names[c->state], state_names[to]);
    }
    c->state = (uint8_t)to;
}

/* After the peer's FIN a level-triggered interest would fire for ever: then only changes are asked for. */
void conn_watch(struct conn *c, int interest)
{
    int failed;

    if (c->life.peer_ended)
        interest |= POLLER_READ | POLLER_EDGE;
    failed = poller_watch(c->reactor->poller, &c->slot, interest);
    if (failed < 0)
        conn_broken(c, "epoll_ctl", -failed);
}

struct conn *conn_new(struct reactor *r, int fd, const struct tcp_addr *peer, bool trusted, bool counted)
{
    struct conn *c = mem_zalloc(r->net->ops->conn_size);

    c->reactor = r;
    c->timer = TIMER_COUNT;
    c->trusted = trusted;
    c->counted = counted;
    c->slot.fd = fd;
    c->last_in_ms = (uint32_t)(reactor_now(r) / 1000);
    tcp_set_nodelay(fd);
    lifecycle_begin(&c->life, false);
    lifecycle_accept(&c->life, fd, peer);
    reactor_set_timer(r, c, TIMER_LOGIN);
    conn_watch(c, POLLER_READ);
    return c->state != CONN_CLOSED ? c : NULL;
}

void conn_push(struct conn *c, struct chunk *chunk, uint32_t at, uint32_t len)
{
    if (!conn_can_speak(c))
        return;
    lifecycle_messages(&c->life, chunk->data + at, len);
    outq_push(&c->out, &c->reactor->pool, chunk, at, len);
    if (!c->is_blocked)
        reactor_add_dirty(c->reactor, c);
}

void conn_answer(struct conn *c, const void *data, size_t len)
{
    if (!conn_can_speak(c))
        return;
    lifecycle_messages(&c->life, data, len);
    outq_append(&c->out, &c->reactor->pool, data, len);
    if (!c->is_blocked)
        reactor_add_dirty(c->reactor, c);
    if (c->out.own > c->reactor->limits.max_answers && c->state == CONN_OPEN)
        conn_pause(c, CONN_PAUSE_ANSWERS);
}

void conn_refuse(struct conn *c, const char *line, const char *reason)
{
    conn_set_state(c, CONN_OPEN);
    conn_answer(c, line, strlen(line));
    conn_end(c, reason);
}

void conn_end(struct conn *c, const char *reason)
{
    if (!conn_can_speak(c))
        return;
    c->reason = reason;
    conn_set_state(c, CONN_ENDING);
    c->partial_len = 0;
    reactor_add_dirty(c->reactor, c);
}

static void finish(struct conn *c, bool abort, const char *reason)
{
    struct reactor *r = c->reactor;

    if (c->state == CONN_CLOSED)
        return;
    poller_drop(r->poller, &c->slot);
    reactor_drop_timer(r, c);
    transport_free(c->transport);
    c->transport = NULL;
    outq_clear(&c->out, &r->pool);
    free(c->partial);
    c->partial = NULL;
    c->partial_len = c->partial_cap = 0;
    lifecycle_close(&c->life, conn_fd(c), abort, c->reason != NULL ? c->reason : reason);
    conn_set_state(c, CONN_CLOSED);
    conn_hold(c); /* what the layer above lets go of now must not free it yet */
    r->net->ops->closed(c);
    atomic_fetch_sub(c->counted ? &r->net->connections : &r->net->refused, 1);
    r->net->conn_gone(&c->life.peer, c->trusted || !c->counted);
    reactor_conn_gone(r);
    conn_unhold(c);
}

void conn_close(struct conn *c, const char *reason)
{
    finish(c, false, reason);
}

void conn_abort(struct conn *c, const char *reason)
{
    finish(c, true, reason);
}

void conn_broken(struct conn *c, const char *call, long err)
{
    lifecycle_broken(&c->life, conn_fd(c), call, err);
    conn_close(c, c->life.timed_out ? "timeout" : "reset");
}

void conn_hold(struct conn *c)
{
    c->held++;
}

void conn_unhold(struct conn *c)
{
    if (--c->held == 0 && c->state == CONN_CLOSED)
        reactor_add_dead(c->reactor, c);
}

void conn_pause(struct conn *c, enum conn_pause why)
{
    c->paused |= (uint8_t)why;
}

void conn_resume(struct conn *c, enum conn_pause why)
{
    if (!(c->paused & why))
        return;
    c->paused &= (uint8_t)~why;
    if (c->paused == 0 && c->state != CONN_CLOSED)
        reactor_add_resumed(c->reactor, c);
}

void conn_greet(struct conn *c)
{
    c->greeted = true;
    if (c->timer == TIMER_LOGIN)
        reactor_set_timer(c->reactor, c, TIMER_PING);
}

static uint32_t now_ms(const struct conn *c)
{
    return (uint32_t)(reactor_now(c->reactor) / 1000);
}

/* Whether the peer has acknowledged more than when it was last looked at. */
static bool takes_more(struct conn *c, const struct tcp_facts *facts)
{
    if (c->acked == (uint32_t)facts->bytes_acked)
        return false;
    c->acked = (uint32_t)facts->bytes_acked;
    c->acked_ms = now_ms(c);
    return true;
}

static void begin_to_linger(struct conn *c)
{
    struct tcp_facts facts;

    tcp_get_facts(conn_fd(c), &facts);
    c->acked = (uint32_t)facts.bytes_acked;
    c->ended_ms = c->acked_ms = now_ms(c);
    c->lingered = 0;
    reactor_set_timer(c->reactor, c, TIMER_LINGER);
}

void conn_on_drained(struct conn *c)
{
    struct reactor *r = c->reactor;
    long ret;

    conn_resume(c, CONN_PAUSE_ANSWERS | CONN_PAUSE_TLS);
    if (c->state != CONN_ENDING) {
        r->net->ops->drained(c);
        return;
    }
    if (c->transport != NULL && transport_is_ready(c->transport) && !c->life.sent_notify) {
        ret = transport_close_notify(c->transport);
        lifecycle_send_notify(&c->life, conn_fd(c), ret);
        conn_flush(c); /* writes the alert, then comes back here */
        return;
    }
    ret = tcp_shutdown_write(conn_fd(c));
    lifecycle_shutdown(&c->life, conn_fd(c), ret);
    if (ret < 0) {
        int err = tcp_get_error(conn_fd(c)); /* ENOTCONN: a reset has come that was not seen yet */

        conn_broken(c, err != 0 ? "getsockopt(SO_ERROR)" : "shutdown", err != 0 ? err : -ret);
        return;
    }
    conn_set_state(c, c->life.peer_ended ? CONN_LAST_ACK : CONN_SELF_ENDED);
    begin_to_linger(c);
    c->paused = 0;
    conn_watch(c, POLLER_READ);
    if (c->state == CONN_LAST_ACK)
        conn_on_ready(&c->slot, POLLER_READ); /* the acknowledgement may have come within the call */
}

static void ping_or_wait(struct conn *c)
{
    struct reactor *r = c->reactor;

    if (now_ms(c) - c->last_in_ms >= r->limits.ping_ms) {
        reactor_set_timer(r, c, TIMER_IDLE);
        r->net->ops->timeout(c, TIMER_PING);
    } else {
        reactor_set_ping_timer(r, c);
    }
}

/* What it says is not read at the moment, or just being read: it is not silent, it waits for us. */
static bool is_unread(const struct conn *c)
{
    return c->paused != 0 || c->is_resumed;
}

/* Who has not said hello must not win time by asking too much. */
static void pace_is_over(struct conn *c)
{
    struct reactor *r = c->reactor;
    bool is_late = !c->greeted && reactor_now(r) - c->life.began_us >= r->limits.login_ms * 1000ULL;

    if (c->greeted)
        reactor_set_ping_timer(r, c);
    else
        reactor_set_timer(r, c, is_late ? TIMER_LINGER : TIMER_LOGIN);
    if (is_late && conn_can_speak(c))
        r->net->ops->timeout(c, TIMER_LOGIN);
    else
        conn_resume(c, CONN_PAUSE_PACE);
}

/* A peer that is only slow is waited for as long as it takes more of what waits for it, up to a limit. At a
 * stop one that has all of it, our FIN too, and just does not close is left to the kernel. */
static void linger_is_over(struct conn *c)
{
    const struct net_limits *limits = &c->reactor->limits;
    struct tcp_facts facts;
    bool is_taking;

    if (c->state != CONN_SELF_ENDED && c->state != CONN_LAST_ACK) {
        conn_abort(c, "linger");
        return;
    }
    tcp_get_facts(conn_fd(c), &facts);
    is_taking = takes_more(c, &facts) || now_ms(c) - c->acked_ms < limits->linger_ms;
    if (c->reactor->stopping && facts.state == TCP_STATE_FIN_WAIT_2)
        conn_close(c, "linger");
    else if (is_taking && now_ms(c) - c->ended_ms < limits->linger_most_ms)
        reactor_set_timer(c->reactor, c, TIMER_LINGER);
    else if (c->state == CONN_LAST_ACK)
        conn_close(c, "fin-unacknowledged");
    else
        conn_abort(c, "linger");
}

void conn_timeout(struct conn *c)
{
    struct reactor *r = c->reactor;
    enum timer_kind which = (enum timer_kind)c->timer;

    if (which >= TIMER_PING && which <= TIMER_PING_LAST) {
        ping_or_wait(c);
        return;
    }
    if (is_unread(c) && (which == TIMER_IDLE || which == TIMER_LOGIN)) {
        c->last_in_ms = now_ms(c);
        reactor_set_timer(r, c, which == TIMER_IDLE ? TIMER_PING : TIMER_LOGIN);
        return;
    }
    switch (which) {
    case TIMER_PACE:
        pace_is_over(c);
        return;
    case TIMER_STALL:
        c->life.timed_out = true;
        conn_abort(c, "stalled");
        return;
    case TIMER_LINGER:
        linger_is_over(c);
        return;
    case TIMER_LOGIN:
    case TIMER_IDLE:
    default:
        break;
    }
    reactor_set_timer(r, c, TIMER_LINGER); /* if all else fails */
    if (c->state == CONN_NEW)
        conn_set_state(c, CONN_OPEN); /* it has said nothing: it is told why it has to go, in plain */
    if (conn_can_speak(c))
        r->net->ops->timeout(c, which);
    else
        conn_close(c, which == TIMER_LOGIN ? "login-timeout" : "idle");
}
