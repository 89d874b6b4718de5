/* link_connect.c: opening a link: the name, one address after the other, the TLS handshake and its verdict;
 * see link.h. The thread of its event_base.
 *
 * Each address that is tried is a connection of its own in the lifecycle log, with its own close line. */
#include "client/link_private.h"

#include "client/resolve.h"
#include "common/clock.h"
#include "common/mem.h"

#include <errno.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>

#define CONNECT_MS           10000
#define PATIENCE_US          2000000 /* for one address while there are others to try */
#define KEEPALIVE_INTERVAL_S 10
#define KEEPALIVE_PROBES     3

#ifndef IP_BIND_ADDRESS_NO_PORT
#define IP_BIND_ADDRESS_NO_PORT 24
#endif

struct link_target *link_target_new(const struct link_options *o)
{
    struct link_target *t;

    if (o->host == NULL && o->address_count == 0)
        return NULL;
    t = mem_zalloc(sizeof *t);
    if (o->host != NULL)
        t->host = mem_strdup(o->host);
    t->port = o->port;
    t->tls = o->tls;
    t->receive_buffer = o->receive_buffer;
    t->keepalive_s = o->keepalive_s;
    t->deadline_us = clock_mono_us() + (uint64_t)(o->connect_ms != 0 ? o->connect_ms : CONNECT_MS) * 1000;
    t->how = LINK_UNREACHABLE;
    if (o->source != NULL)
        t->source = *o->source;
    if (o->address_count > 0) {
        t->addresses = mem_alloc(o->address_count * sizeof *t->addresses);
        memcpy(t->addresses, o->addresses, o->address_count * sizeof *t->addresses);
        t->count = o->address_count;
    }
    return t;
}

void link_target_free(struct link_target *t)
{
    if (t == NULL)
        return;
    resolve_cancel(t->resolve);
    free(t->host);
    free(t->addresses);
    free(t);
}

static void address_failed(struct link *l, enum link_how how, int error)
{
    static const char *const reasons[] = {
        [LINK_REFUSED] = "refused", [LINK_TIMED_OUT] = "timeout", [LINK_UNREACHABLE] = "unreachable"};

    link_unwatch_socket(l);
    lifecycle_close(&l->life, l->fd, false, reasons[how]);
    l->fd = -1;
    l->target->how = how;
    l->target->error = error;
}

static enum link_how how_of(int error)
{
    return error == ECONNREFUSED ? LINK_REFUSED : error == ETIMEDOUT ? LINK_TIMED_OUT : LINK_UNREACHABLE;
}

/* The port is left to connect(): one source address has about 28,000 of them for each destination that
 * way. */
static int bind_source(int fd, const struct tcp_addr *source)
{
    struct sockaddr_storage from;
    socklen_t len = tcp_addr_to(source, &from);
    int on = 1;

    setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
    return bind(fd, (struct sockaddr *)&from, len) == 0 ? 0 : -errno;
}

static void set_options(const struct link *l)
{
    const struct link_target *t = l->target;

    tcp_set_nodelay(l->fd);
    if (t->keepalive_s > 0)
        tcp_set_keepalive(l->fd, (int)t->keepalive_s, KEEPALIVE_INTERVAL_S, KEEPALIVE_PROBES);
    if (t->receive_buffer > 0)
        setsockopt(l->fd, SOL_SOCKET, SO_RCVBUF, &t->receive_buffer, sizeof t->receive_buffer);
}

/* Connects to one address: 0 when it is under way or done, else what went wrong, and the socket is closed. */
static int try_address(struct link *l, const struct tcp_addr *a)
{
    const struct tcp_addr *source = &l->target->source;
    struct sockaddr_storage to;
    socklen_t len = tcp_addr_to(a, &to);
    uint32_t queued = l->life.msgs_out; /* said before there was a connection */
    int ret = tcp_socket(a->family);

    lifecycle_begin(&l->life, l->quiet);
    l->life.msgs_out = queued;
    l->life.peer = *a;
    if (ret < 0) {
        l->life.id = 0; /* no socket, no life */
        l->target->error = -ret;
        return ret;
    }
    l->fd = ret;
    lifecycle_socket(&l->life, l->fd);
    set_options(l);
    ret = source->family == a->family ? bind_source(l->fd, source) : 0;
    if (ret < 0) {
        lifecycle_event(&l->life, l->fd, "error", "bind", ret, NULL);
        address_failed(l, LINK_UNREACHABLE, -ret);
        return ret;
    }
    ret = tcp_connect(l->fd, (struct sockaddr *)&to, len);
    lifecycle_connect(&l->life, l->fd, ret);
    if (ret == 0 || ret == -EINPROGRESS) {
        link_watch(l, LINK_CONNECTING);
        return 0;
    }
    address_failed(l, how_of(-ret), -ret);
    return ret;
}

static void try_next(struct link *l)
{
    struct link_target *t = l->target;
    uint64_t soon = clock_mono_us() + PATIENCE_US;

    while (t->at < t->count) {
        bool last = t->at + 1 == t->count;

        if (try_address(l, &t->addresses[t->at++]) < 0)
            continue;
        l->deadline_us = last || soon > t->deadline_us ? t->deadline_us : soon;
        link_set_state(l, LINK_STATE_CONNECTING);
        return;
    }
    link_finish(l, t->how, t->error, NULL);
}

static void on_resolved(void *arg, const struct tcp_addr *found, size_t count, const char *why)
{
    struct link *l = arg;
    struct link_target *t = l->target;

    t->resolve = NULL;
    l->why = why;
    if (count > 0) {
        t->addresses = mem_alloc(count * sizeof *found);
        memcpy(t->addresses, found, count * sizeof *found);
        t->count = count;
    }
    link_set_state(l, LINK_STATE_STARTING);
    link_wake(l);
}

void link_start(struct link *l)
{
    struct link_target *t = l->target;
    struct tcp_addr a;

    if (t->count > 0) {
        try_next(l);
    } else if (l->why != NULL) {
        link_finish(l, LINK_UNRESOLVED, 0, l->why);
    } else if (resolve_literal(t->host, t->port, &a)) {
        t->addresses = mem_alloc(sizeof a);
        *t->addresses = a;
        t->count = 1;
        try_next(l);
    } else {
        link_set_state(l, LINK_STATE_RESOLVING);
        link_watch(l, LINK_RESOLVING);
        t->resolve = resolve_start(l->base, t->host, t->port, on_resolved, l);
        if (t->resolve == NULL)
            link_finish(l, LINK_UNRESOLVED, EAGAIN, "the look-up could not be started");
    }
}

/* RFC 6066 allows names only as SNI; an address is checked against the certificate's addresses. */
static void start_tls(struct link *l)
{
    const char *host = l->target->host;
    struct tcp_addr a;
    SSL *ssl;

    l->transport = transport_new(l->target->tls, false);
    ssl = transport_ssl(l->transport);
    if (host != NULL && resolve_literal(host, 0, &a)) {
        X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), host);
    } else if (host != NULL) {
        SSL_set_tlsext_host_name(ssl, host);
        SSL_set1_host(ssl, host);
    }
    link_set_state(l, LINK_STATE_HANDSHAKE);
    link_handshake(l);
}

void link_check_connect(struct link *l, bool timed_out)
{
    int error = timed_out ? ETIMEDOUT : tcp_get_error(l->fd);

    lifecycle_connect(&l->life, l->fd, -error);
    if (error != 0) {
        address_failed(l, how_of(error), error);
        try_next(l);
        return;
    }
    link_watch(l, LINK_CONNECTED);
    l->deadline_us = l->target->deadline_us;
    if (l->target->tls != NULL)
        start_tls(l);
    else
        link_came_up(l);
}

void link_came_up(struct link *l)
{
    link_target_free(l->target);
    l->target = NULL;
    l->deadline_us = 0;
    l->was_up = true;
    link_set_state(l, LINK_STATE_OPEN);
    if (l->out.len > l->out_at) /* said before */
        lifecycle_messages(&l->life, l->out.data + l->out_at, l->out.len - l->out_at);
    if (l->handler->up != NULL)
        l->handler->up(l, l->owner);
    if (l->state == LINK_STATE_OPEN)
        link_flush(l);
}

static void read_certificate(struct link *l, struct link_certificate *c)
{
    SSL *ssl = transport_ssl(l->transport);
    long verdict = SSL_get_verify_result(ssl);
    X509 *cert = SSL_get0_peer_certificate(ssl);

    *c = (struct link_certificate){.verified =
                                       cert != NULL && verdict == X509_V_OK && l->target->host != NULL};
    if (!c->verified)
        c->why = cert == NULL              ? "it sent no certificate"
                 : l->target->host == NULL ? "no name was given to check it against"
                                           : X509_verify_cert_error_string(verdict);
    if (cert != NULL)
        tls_fingerprint(cert, c->fingerprint);
}

static void secured(struct link *l)
{
    SSL *ssl = transport_ssl(l->transport);
    struct link_certificate c;
    const unsigned char *alpn;
    unsigned alpn_len;
    char more[256];

    SSL_get0_alpn_selected(ssl, &alpn, &alpn_len);
    read_certificate(l, &c);
    snprintf(more, sizeof more, "version=%s cipher=%s alpn=%.*s verified=%s fingerprint=%s",
             SSL_get_version(ssl), SSL_get_cipher_name(ssl), alpn_len > 0 ? (int)alpn_len : 4,
             alpn_len > 0 ? (const char *)alpn : "none", c.verified ? "yes" : "no", c.fingerprint);
    lifecycle_handshake(&l->life, l->fd, 1, more);
    link_watch(l, LINK_SECURED);
    if (l->handler->trust != NULL ? l->handler->trust(l, &c, l->owner) : c.verified)
        link_came_up(l);
    else
        link_finish(l, LINK_DISTRUSTED, 0, c.why);
}

/* Records that the handshake has made. false when they can't all be written now. */
static bool write_records(struct link *l)
{
    const char *data;
    size_t len;

    while ((len = transport_output(l->transport, &data)) > 0) {
        ssize_t n = tcp_write(l->fd, data, len);

        lifecycle_io(&l->life, l->fd, "send", n);
        if (n < 0) {
            transport_park(l->transport);
            return false; /* where it is broken, reading says so too */
        }
        transport_output_done(l->transport, (size_t)n);
    }
    return true;
}

static void handshake_failed(struct link *l, const char *why, int error)
{
    char more[256];

    snprintf(more, sizeof more, "why=\"%s\"", why);
    lifecycle_handshake(&l->life, l->fd, error != 0 ? -error : -EPROTO, more);
    link_finish(l, LINK_TLS_FAILED, error, why);
}

void link_handshake(struct link *l)
{
    static _Thread_local char raw[4096]; /* a flight of the server's is not much more */
    ssize_t n;
    int ret;

    transport_feed(l->transport, NULL, 0);
    do {
        n = tcp_read(l->fd, raw, sizeof raw);
        if (n > 0) {
            lifecycle_io(&l->life, l->fd, "recv", n);
            transport_feed(l->transport, raw, (size_t)n);
        }
        ret = transport_handshake(l->transport);
        write_records(l);
    } while (n > 0 && ret == 0);
    if (ret < 0) {
        handshake_failed(l, transport_error(l->transport), 0);
    } else if (ret > 0) {
        secured(l);
        if (l->state == LINK_STATE_OPEN)
            link_decrypt(l); /* what came behind the last flight */
    } else if (n == 0) {
        lifecycle_recv_fin(&l->life, l->fd);
        handshake_failed(l, "the server ended the connection instead", 0);
    } else if (n < 0 && n != -EAGAIN) {
        lifecycle_broken(&l->life, l->fd, "recv", -n);
        handshake_failed(l, "the server reset the connection instead", (int)-n);
    }
}
