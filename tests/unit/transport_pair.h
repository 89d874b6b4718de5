/* transport_pair.h: a client's and a server's transport, and the wire between them: memory, cut into pieces
 * as the test likes. For test_transport.c and test_tls_slim.c. */
#ifndef TESTS_TRANSPORT_PAIR_H
#define TESTS_TRANSPORT_PAIR_H

#include "common/buf.h"
#include "common/tls.h"
#include "common/transport.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

static SSL_CTX *server_ctx, *client_ctx;

struct side {
    struct transport *t;
    struct buf in;  /* raw bytes that have come and are not fed yet */
    struct buf got; /* the application's */
    bool ended;     /* close_notify has come */
    int error;
};

struct pair {
    struct side client, server;
    size_t piece; /* so many raw bytes are fed at a time */
};

static inline void pair_open(struct pair *p, SSL_CTX *client, SSL_CTX *server, size_t piece)
{
    *p = (struct pair){.piece = piece};
    p->client.t = transport_new(client, false);
    p->server.t = transport_new(server, true);
}

static inline void side_close(struct side *s)
{
    transport_free(s->t);
    buf_deinit(&s->in);
    buf_deinit(&s->got);
}

static inline void pair_close(struct pair *p)
{
    side_close(&p->client);
    side_close(&p->server);
}

/* What waits in from goes onto the wire, at most that many bytes of it. */
static inline size_t wire_carry_some(struct side *from, struct side *to, size_t most)
{
    const char *data;
    size_t n = transport_output(from->t, &data);

    n = n < most ? n : most;
    if (n > 0) {
        buf_put(&to->in, data, n);
        transport_output_done(from->t, n);
    }
    return n;
}

static inline bool wire_carry(struct side *from, struct side *to)
{
    return wire_carry_some(from, to, SIZE_MAX) > 0;
}

static inline void side_read(struct side *s)
{
    char bytes[5000];
    ssize_t n;

    while ((n = transport_read(s->t, bytes, sizeof bytes)) > 0)
        buf_put(&s->got, bytes, (size_t)n);
    s->ended = s->ended || n == 0;
    s->error = n < 0 && n != -EAGAIN ? (int)n : s->error;
}

/* Feeds one piece of what has come and goes as far as that leads. */
static inline bool side_take(struct side *s, size_t piece)
{
    size_t n = s->in.len < piece ? s->in.len : piece;
    int ret;

    if (s->error != 0 || (n == 0 && transport_is_ready(s->t)))
        return false;
    transport_feed(s->t, s->in.data, n);
    if (!transport_is_ready(s->t)) {
        ret = transport_handshake(s->t);
        s->error = ret < 0 ? ret : 0;
    }
    if (s->error == 0 && transport_is_ready(s->t))
        side_read(s);
    if (n > 0)
        memmove(s->in.data, s->in.data + n, s->in.len - n);
    s->in.len -= n;
    return n > 0;
}

/* Carries and feeds until nothing moves any more. */
static inline void pair_run(struct pair *p)
{
    bool moved = true;

    side_take(&p->client, 0); /* a client speaks first */
    while (moved) {
        moved = wire_carry(&p->client, &p->server);
        moved = side_take(&p->server, p->piece) || moved;
        moved = wire_carry(&p->server, &p->client) || moved;
        moved = side_take(&p->client, p->piece) || moved;
    }
}

static inline bool pair_is_ready(const struct pair *p)
{
    return p->client.error == 0 && p->server.error == 0 && transport_is_ready(p->client.t) &&
           transport_is_ready(p->server.t);
}

/* Bytes that tell where they belong. */
static inline void fill(char *out, size_t len, unsigned salt)
{
    for (size_t i = 0; i < len; i++)
        out[i] = (char)(i * 7 + i / 256 * 13 + salt);
}

/* Writes len bytes on one side; whether the other one got just these, and nothing went wrong. */
static inline bool pair_pass(struct pair *p, struct side *from, struct side *to, size_t len, unsigned salt)
{
    static _Thread_local char bytes[70000];

    fill(bytes, len, salt);
    buf_clear(&to->got);
    if (transport_write(from->t, bytes, len) != 0)
        return false;
    pair_run(p);
    return to->got.len == len && memcmp(to->got.data, bytes, len) == 0 && to->error == 0 && from->error == 0;
}

/* For a whole group of tests. */
static inline int pair_set_up(void **state)
{
    char err[TLS_ERROR_SIZE];

    (void)state;
    server_ctx = tls_new_server(NULL, NULL, &(struct tls_own){0}, 0, err);
    client_ctx = tls_new_client(NULL, err);
    return server_ctx != NULL && client_ctx != NULL ? 0 : -1;
}

static inline int pair_tear_down(void **state)
{
    (void)state;
    transport_end_thread();
    SSL_CTX_free(server_ctx);
    SSL_CTX_free(client_ctx);
    return 0;
}

#endif
