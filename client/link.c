/* link.c: the life of a link: its one setter, its one way to close, what the event loop is asked for; see
 * link.h. The thread of its event_base.
 *
 * There is one struct event a link; what it waits for (read, write, time) follows from the state after each
 * turn. */
#include "client/link_private.h"

#include "client/resolve.h"
#include "common/clock.h"
#include "common/mem.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#define MAX_LINE   (1024 * 1024)
#define POLITE_MS  200
#define RUDE_DRAIN 8 /* reads after a failed write, for what the server still said */

static void on_event(evutil_socket_t fd, short what, void *arg);

struct link *link_new(struct event_base *base, const struct link_handler *handler, void *owner)
{
    struct link *l = mem_zalloc(sizeof *l);

    l->base = base;
    l->handler = handler;
    l->owner = owner;
    l->fd = -1;
    event_assign(&l->event, base, -1, 0, on_event, l);
    return l;
}

void *link_owner(const struct link *l)
{
    return l->owner;
}

void link_set_state(struct link *l, enum link_state to)
{
    l->state = (uint8_t)to;
}

void link_watch(struct link *l, enum link_event e)
{
    if (l->handler->watch != NULL)
        l->handler->watch(l, e, l->owner);
}

void link_wake(struct link *l)
{
    l->woken = true;
    event_active(&l->event, EV_TIMEOUT, 1);
}

void link_unwatch_socket(struct link *l)
{
    event_del(&l->event);
    l->woken = false;
    l->interest = 0;
}

static const char *default_reason(const struct link *l, enum link_how how)
{
    static const char *const reasons[] = {"eof",         "eof",        "reset", "timeout",  "refused",
                                          "unreachable", "unresolved", "tls",   "distrust", "line-too-long"};

    return l->reason != NULL ? l->reason : reasons[how];
}

/* The socket and all that waits goes; the transport stays until no caller up the stack reads from it. */
static void close_socket(struct link *l, bool abort, const char *reason)
{
    link_unwatch_socket(l);
    if (l->fd >= 0) {
        link_watch(l, LINK_CLOSING);
        lifecycle_close(&l->life, l->fd, abort, reason);
    }
    l->fd = -1;
    l->deadline_us = l->read_at_us = 0;
    link_target_free(l->target);
    l->target = NULL;
    buf_deinit(&l->out);
    l->out_at = 0;
    link_set_state(l, LINK_STATE_CLOSED);
    if (!l->busy) {
        transport_free(l->transport);
        l->transport = NULL;
        buf_deinit(&l->in);
    }
}

void link_finish(struct link *l, enum link_how how, int error, const char *why)
{
    if (l->state == LINK_STATE_CLOSED)
        return;
    close_socket(l, false, default_reason(l, how));
    l->how = how;
    l->error = error;
    l->why = why;
    l->tell_closed = true;
}

static void close_silently(struct link *l, bool abort, const char *reason)
{
    if (l->state != LINK_STATE_CLOSED)
        close_socket(l, abort, l->reason != NULL ? l->reason : reason);
    l->tell_closed = false;
}

void link_close(struct link *l)
{
    close_silently(l, false, "closed");
}

void link_close_politely(struct link *l)
{
    if (l->state == LINK_STATE_OPEN && l->error == 0) {
        l->shutdown_wanted = true;
        link_flush(l);
        if (l->fin_sent)
            link_drain(l, POLITE_MS);
    }
    link_close(l);
}

void link_reset(struct link *l)
{
    close_silently(l, true, "reset");
}

void link_free(struct link *l)
{
    if (l == NULL)
        return;
    link_close(l);
    if (l->busy)
        l->doomed = true;
    else
        free(l);
}

void link_broken(struct link *l, const char *call, int err)
{
    lifecycle_broken(&l->life, l->fd, call, err);
    if (err == ECONNRESET || err == EPIPE)
        link_watch(l, LINK_RST_RECEIVED);
    link_finish(l, err == ETIMEDOUT ? LINK_TIMED_OUT : LINK_RESET, err, NULL);
}

/* A write failed. What the server said before its RST can still be read, and says more than the errno. */
static void break_after_write(struct link *l)
{
    int err = l->error;

    l->error = 0;
    lifecycle_broken(&l->life, l->fd, "send", err);
    link_watch(l, LINK_RST_RECEIVED);
    buf_clear(&l->out);
    l->out_at = 0;
    for (int i = 0; i < RUDE_DRAIN && l->state == LINK_STATE_OPEN && !l->fin_received && !l->paused; i++)
        link_read(l);
    link_finish(l, LINK_RESET, err, NULL);
}

static void check_end(struct link *l)
{
    if (l->state != LINK_STATE_OPEN || !l->fin_received)
        return;
    if (l->fin_sent) {
        link_finish(l, l->life.was_truncated ? LINK_TRUNCATED : LINK_ENDED, 0, NULL);
    } else if (l->handler->end == NULL && !l->shutdown_wanted) {
        link_shutdown(l);
        check_end(l);
    }
}

static void run_open(struct link *l, short what)
{
    uint64_t now = clock_mono_us();

    if (l->error != 0) {
        break_after_write(l);
        return;
    }
    if (l->read_at_us != 0 && now >= l->read_at_us)
        l->read_at_us = 0;
    if (!l->paused)
        link_take_waiting(l);
    if (l->state == LINK_STATE_OPEN && (what & EV_READ) && !l->paused)
        link_read(l);
    if (l->state == LINK_STATE_OPEN)
        link_flush(l);
    if (l->state == LINK_STATE_OPEN && l->error != 0)
        break_after_write(l);
    if (l->state == LINK_STATE_OPEN && l->was_full && link_unsent(l) == 0) {
        l->was_full = false;
        if (l->handler->drained != NULL)
            l->handler->drained(l, l->owner);
    }
    check_end(l);
}

/* What the state waits for now: descriptors, and the nearest of its times. */
static short wanted_interest(const struct link *l)
{
    const char *data;
    short want = 0;

    if (l->state == LINK_STATE_CONNECTING)
        return EV_WRITE;
    if (l->state != LINK_STATE_OPEN && l->state != LINK_STATE_HANDSHAKE)
        return 0;
    if (!l->fin_received && !l->paused && l->read_at_us == 0)
        want |= EV_READ;
    if (l->transport != NULL && transport_output(l->transport, &data) > 0)
        want |= EV_WRITE;
    if (l->state == LINK_STATE_OPEN && l->out.len > l->out_at)
        want |= EV_WRITE;
    return want;
}

static void update_interest(struct link *l)
{
    uint64_t at = l->deadline_us, now;
    short want = wanted_interest(l);
    struct timeval wait;

    if (l->read_at_us != 0 && (at == 0 || l->read_at_us < at))
        at = l->read_at_us;
    if (want == l->interest && at == 0 && !event_pending(&l->event, EV_TIMEOUT, NULL))
        return;
    event_del(&l->event);
    event_assign(&l->event, l->base, want != 0 ? l->fd : -1, (short)(want | (at == 0 ? EV_PERSIST : 0)),
                 on_event, l);
    l->interest = at == 0 ? want : 0; /* one that times out is added anew each turn */
    if (at != 0) {
        now = clock_mono_us();
        at = at > now ? at - now : 0;
        wait = (struct timeval){.tv_sec = (time_t)(at / 1000000), .tv_usec = (suseconds_t)(at % 1000000)};
        event_add(&l->event, &wait);
    } else if (want != 0) {
        event_add(&l->event, NULL);
    }
    if (l->woken) /* event_del took that back too */
        event_active(&l->event, EV_TIMEOUT, 1);
}

/* After a turn: tells what has ended, as the last thing that is done with the link. */
static void settle(struct link *l)
{
    struct link_verdict v = {
        .how = l->how, .was_up = l->was_up, .error = l->error, .why = l->why, .peer = l->life.peer};

    l->busy = false;
    if (l->state != LINK_STATE_CLOSED) {
        if (l->error != 0)
            link_wake(l);
        update_interest(l);
        return;
    }
    transport_free(l->transport);
    l->transport = NULL;
    buf_deinit(&l->in);
    if (l->doomed) {
        free(l);
    } else if (l->tell_closed) {
        l->tell_closed = false;
        if (l->handler->closed != NULL)
            l->handler->closed(l, &v, l->owner);
    }
}

static void on_event(evutil_socket_t fd, short what, void *arg)
{
    struct link *l = arg;
    bool late = l->deadline_us != 0 && clock_mono_us() >= l->deadline_us;

    (void)fd;
    l->busy = true;
    l->woken = false;
    if (late && l->state != LINK_STATE_CONNECTING)
        link_finish(l, LINK_TIMED_OUT, ETIMEDOUT, NULL);
    switch ((enum link_state)l->state) {
    case LINK_STATE_STARTING:
        link_start(l);
        break;
    case LINK_STATE_CONNECTING:
        if (late || (what & EV_WRITE))
            link_check_connect(l, !(what & EV_WRITE));
        break;
    case LINK_STATE_HANDSHAKE:
        link_handshake(l);
        break;
    case LINK_STATE_OPEN:
        run_open(l, what);
        break;
    case LINK_STATE_CLOSED:
    case LINK_STATE_RESOLVING:
        break;
    }
    settle(l);
}

static void touch(struct link *l)
{
    if (!l->busy && l->state != LINK_STATE_CLOSED)
        update_interest(l);
}

int link_open(struct link *l, const struct link_options *o)
{
    struct link_target *t;

    if (l->busy || l->state != LINK_STATE_CLOSED)
        return -EBUSY;
    t = link_target_new(o);
    if (t == NULL)
        return -EINVAL;
    l->target = t;
    l->max_line = o->max_line != 0 ? o->max_line : MAX_LINE;
    l->quiet = o->quiet;
    l->reason = l->why = NULL;
    l->error = 0;
    l->was_full = l->was_up = l->tell_closed = false;
    l->shutdown_wanted = l->notify_sent = l->fin_sent = l->fin_received = l->end_told = l->end_waits =
        l->in_waits = false;
    l->deadline_us = t->deadline_us;
    l->life = (struct lifecycle){0};
    link_set_state(l, LINK_STATE_STARTING);
    link_wake(l);
    return 0;
}

static uint32_t count_lines(const char *data, size_t len)
{
    const char *end = data + len;
    uint32_t n = 0;

    while (data < end && (data = memchr(data, '\n', (size_t)(end - data))) != NULL) {
        n++;
        data++;
    }
    return n;
}

int link_send(struct link *l, const void *data, size_t len)
{
    if (l->state == LINK_STATE_CLOSED || l->shutdown_wanted || l->fin_sent)
        return -EPIPE;
    buf_put(&l->out, data, len);
    l->life.msgs_out += count_lines(data, len);
    if (l->state == LINK_STATE_OPEN) /* else they are told of when it is */
        lifecycle_messages(&l->life, data, len);
    if (l->state == LINK_STATE_OPEN && l->error == 0)
        link_flush(l);
    if (link_is_full(l))
        l->was_full = true;
    if (l->error != 0)
        link_wake(l);
    touch(l);
    return 0;
}

size_t link_unsent(const struct link *l)
{
    const char *data;

    return l->out.len - l->out_at + (l->transport != NULL ? transport_output(l->transport, &data) : 0);
}

bool link_is_full(const struct link *l)
{
    return link_unsent(l) >= LINK_HIGH_WATER;
}

void link_shutdown(struct link *l)
{
    if (l->state == LINK_STATE_CLOSED || l->shutdown_wanted)
        return;
    l->shutdown_wanted = true;
    if (l->state == LINK_STATE_OPEN)
        link_flush(l);
    if (l->error != 0 || (l->fin_sent && l->fin_received))
        link_wake(l);
    touch(l);
}

void link_shutdown_rudely(struct link *l)
{
    if (l->state != LINK_STATE_OPEN || l->fin_sent)
        return;
    buf_clear(&l->out);
    l->out_at = 0;
    l->shutdown_wanted = l->fin_sent = true;
    lifecycle_shutdown(&l->life, l->fd, tcp_shutdown_write(l->fd));
    link_watch(l, LINK_FIN_SENT);
    if (l->fin_received)
        link_wake(l);
    touch(l);
}

void link_set_deadline(struct link *l, unsigned ms)
{
    if (l->state == LINK_STATE_CLOSED)
        return;
    l->deadline_us = ms == 0 ? 0 : clock_mono_us() + (uint64_t)ms * 1000;
    touch(l);
}

void link_set_reason(struct link *l, const char *reason)
{
    l->reason = reason;
}

void link_pause(struct link *l)
{
    l->paused = true;
    touch(l);
}

void link_resume(struct link *l)
{
    if (!l->paused)
        return;
    l->paused = false;
    if ((l->in_waits || l->end_waits) && l->state == LINK_STATE_OPEN)
        link_wake(l);
    touch(l);
}

void link_read_slowly(struct link *l, uint32_t bytes_per_second)
{
    l->read_rate = bytes_per_second;
    if (bytes_per_second == 0)
        l->read_at_us = 0;
    touch(l);
}

bool link_is_open(const struct link *l)
{
    return l->state != LINK_STATE_CLOSED;
}

bool link_is_up(const struct link *l)
{
    return l->state == LINK_STATE_OPEN;
}

bool link_has_shut_down(const struct link *l)
{
    return l->shutdown_wanted;
}

const struct lifecycle *link_life(const struct link *l)
{
    return &l->life;
}

int link_get_facts(const struct link *l, struct tcp_facts *facts)
{
    *facts = (struct tcp_facts){.source = "none"};
    return l->fd >= 0 ? tcp_get_facts(l->fd, facts) : -EBADF;
}

int link_fd(const struct link *l)
{
    return l->fd;
}

SSL *link_ssl(const struct link *l)
{
    return l->transport != NULL ? transport_ssl(l->transport) : NULL;
}
