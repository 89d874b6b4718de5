/* link_io.c: bytes of a link: the socket's to lines, lines to the socket's; see link.h. The thread of its
 * event_base.
 *
 * All links of a thread read into one buffer; a link keeps only the unfinished line. */
#include "client/link_private.h"

#include "common/clock.h"

#include <errno.h>
#include <poll.h>

#define READ_SIZE       (64 * 1024)
#define RECORDS_AT_ONCE (64 * 1024) /* bytes of lines that are encrypted before what came of it is written */
#define COMPACT_FROM    (64 * 1024)

static _Thread_local char raw[READ_SIZE], clear[READ_SIZE];

/* Hands up one line; line[len] may be written to. false when the link is not to be read on. */
static bool deliver(struct link *l, char *line, size_t len)
{
    if (len > 0 && line[len - 1] == '\r')
        len--;
    line[len] = '\0';
    if (len == 0)
        return true;
    l->life.msgs_in++;
    lifecycle_message(&l->life, true, line, len);
    if (l->handler->line != NULL)
        l->handler->line(l, line, len, l->owner);
    return l->state == LINK_STATE_OPEN;
}

/* The end of a line that began in an earlier read. */
static bool deliver_joined(struct link *l, const char *rest, size_t len)
{
    struct buf whole = l->in;
    bool on;

    l->in = (struct buf){0};
    buf_put(&whole, rest, len);
    buf_reserve(&whole, 1);
    on = deliver(l, whole.data, whole.len);
    buf_deinit(&whole);
    return on;
}

static void keep(struct link *l, const char *data, size_t len)
{
    if (l->in.len + len > l->max_line && !l->paused)
        link_finish(l, LINK_TOO_LONG, EMSGSIZE, NULL);
    else
        buf_put(&l->in, data, len);
    l->in_waits = l->paused && l->in.len > 0;
}

/* Bytes of the application. What can't be handed up now is kept. */
static void take(struct link *l, char *data, size_t len)
{
    char *lf;

    while (len > 0 && !l->paused && (lf = memchr(data, '\n', len)) != NULL) {
        size_t n = (size_t)(lf - data);
        bool on = l->in.len > 0 ? deliver_joined(l, data, n) : deliver(l, data, n);

        if (!on)
            return;
        data = lf + 1;
        len -= n + 1;
    }
    keep(l, data, len);
}

/* The end is told behind the last line, however late that one is taken. */
static void tell_end(struct link *l)
{
    l->end_waits = l->paused;
    if (l->end_told || l->end_waits || l->state != LINK_STATE_OPEN)
        return;
    l->end_told = true;
    if (l->handler->end != NULL)
        l->handler->end(l, l->life.was_truncated, l->owner);
}

void link_take_waiting(struct link *l)
{
    if (l->in_waits) {
        struct buf waiting = l->in;

        l->in = (struct buf){0};
        l->in_waits = false;
        take(l, waiting.data, waiting.len);
        buf_deinit(&waiting);
    }
    if (l->end_waits)
        tell_end(l);
}

static void got_fin(struct link *l)
{
    tcp_ack_at_once(l->fd); /* Linux would let the peer's FIN_WAIT1 last up to 40 ms */
    l->fin_received = true;
    lifecycle_recv_fin(&l->life, l->fd);
    link_watch(l, LINK_FIN_RECEIVED);
    tell_end(l);
}

static void got_notify(struct link *l)
{
    if (l->life.got_notify)
        return;
    lifecycle_recv_notify(&l->life, l->fd);
    link_watch(l, LINK_NOTIFY_RECEIVED);
    tell_end(l);
}

/* Takes out of TLS all that is in it: what was fed has to be used up before the buffer is used again. */
void link_decrypt(struct link *l)
{
    ssize_t n;

    while (l->state == LINK_STATE_OPEN &&
           (n = transport_read(l->transport, clear, sizeof clear)) != -EAGAIN) {
        if (n < 0) {
            link_finish(l, LINK_TLS_FAILED, EPROTO, transport_error(l->transport));
        } else if (n == 0) {
            got_notify(l);
            return;
        } else {
            l->life.bytes_in += (uint64_t)n;
            take(l, clear, (size_t)n);
        }
    }
}

/* How much may be read now; plans the next time for a slow reader. */
static size_t read_size(struct link *l)
{
    size_t most;

    if (l->read_rate == 0)
        return READ_SIZE;
    most = l->read_rate >= 10 ? l->read_rate / 10 : 1;
    most = most < READ_SIZE ? most : READ_SIZE;
    l->read_at_us = clock_mono_us() + most * 1000000 / l->read_rate;
    return most;
}

void link_read(struct link *l)
{
    ssize_t n;

    if (l->fin_received)
        return;
    n = tcp_read(l->fd, raw, read_size(l));
    if (n > 0)
        lifecycle_io(&l->life, l->fd, "recv", n);
    if (n == -EAGAIN)
        return;
    if (n < 0) {
        link_broken(l, "recv", (int)-n);
    } else if (n == 0) {
        got_fin(l);
    } else if (l->transport == NULL) {
        l->life.bytes_in += (uint64_t)n;
        take(l, raw, (size_t)n);
    } else if (!l->life.got_notify) { /* what comes after it is nobody's */
        transport_feed(l->transport, raw, (size_t)n);
        link_decrypt(l);
    }
}

static void forget_written(struct link *l, size_t n)
{
    l->out_at += n;
    l->life.bytes_out += n;
    if (l->out_at == l->out.len) {
        buf_deinit(&l->out);
        l->out_at = 0;
    } else if (l->out_at >= COMPACT_FROM && l->out_at * 2 >= l->out.len) {
        l->out.len -= l->out_at;
        memmove(l->out.data, l->out.data + l->out_at, l->out.len);
        l->out_at = 0;
    }
}

/* 0: all is written; -EAGAIN; else what broke. */
static int flush_plain(struct link *l)
{
    while (l->out.len > l->out_at) {
        ssize_t n = tcp_write(l->fd, l->out.data + l->out_at, l->out.len - l->out_at);

        lifecycle_io(&l->life, l->fd, "send", n);
        if (n < 0)
            return (int)n;
        forget_written(l, (size_t)n);
    }
    return 0;
}

static int encrypt(struct link *l)
{
    size_t n = l->out.len - l->out_at;

    n = n < RECORDS_AT_ONCE ? n : RECORDS_AT_ONCE;
    if (transport_write(l->transport, l->out.data + l->out_at, n) != 0)
        return -EPROTO;
    forget_written(l, n);
    return 0;
}

/* The alert goes behind everything; SSL_shutdown with a write pending would lose that write. */
static int say_close_notify(struct link *l)
{
    int ret;

    /* Else a server that answers at once is the first to end, and has TIME_WAIT. */
    lifecycle_io(&l->life, l->fd, "setsockopt(TCP_CORK)", tcp_hold_until_end(l->fd));
    ret = transport_close_notify(l->transport);
    l->notify_sent = true;
    lifecycle_send_notify(&l->life, l->fd, ret);
    link_watch(l, LINK_NOTIFY_SENT);
    return ret;
}

static int flush_tls(struct link *l)
{
    const char *data;
    size_t len;
    int ret = 0;

    while (ret == 0) {
        if ((len = transport_output(l->transport, &data)) > 0) {
            ssize_t n = tcp_write(l->fd, data, len);

            lifecycle_io(&l->life, l->fd, "send", n);
            if (n > 0)
                transport_output_done(l->transport, (size_t)n);
            ret = n < 0 ? (int)n : 0;
        } else if (l->out.len > l->out_at) {
            ret = encrypt(l);
        } else if (l->shutdown_wanted && !l->notify_sent) {
            ret = say_close_notify(l);
        } else {
            return 0;
        }
    }
    transport_park(l->transport);
    return ret;
}

void link_flush(struct link *l)
{
    int ret;

    if (l->fin_sent || l->error != 0)
        return;
    ret = l->transport != NULL ? flush_tls(l) : flush_plain(l);
    if (ret == -EAGAIN)
        return;
    if (ret < 0) {
        l->error = -ret;
    } else if (l->shutdown_wanted) {
        l->fin_sent = true;
        lifecycle_shutdown(&l->life, l->fd, tcp_shutdown_write(l->fd));
        link_watch(l, LINK_FIN_SENT);
    }
}

/* Also inside a callback of this link: the line that is being handed up is over when the link is closed, and
 * so is the buffer that it lies in. What TLS was fed comes first, as that lies in the other one. */
void link_drain(struct link *l, unsigned ms)
{
    uint64_t now = clock_mono_us(), until = now + ms * 1000ULL;
    bool was_paused = l->paused;

    l->paused = true;
    if (l->transport != NULL)
        link_decrypt(l);
    for (; l->state == LINK_STATE_OPEN && !l->fin_received && now < until; now = clock_mono_us()) {
        struct pollfd p = {.fd = l->fd, .events = POLLIN};

        buf_clear(&l->in);
        if (poll(&p, 1, (int)((until - now) / 1000) + 1) > 0)
            link_read(l);
    }
    l->paused = was_paused;
}
