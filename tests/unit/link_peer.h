/* link_peer.h: for the tests of links: a link with its event loop, what it told its owner, and the peer at
 * the other end, a blocking socket in the test's hands. Included by one file a program. */
#ifndef TESTS_LINK_PEER_H
#define TESTS_LINK_PEER_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "client/link.h"
#include "common/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FIXTURE_SECONDS 10 /* more than any test waits for, also with a sanitizer */

struct fixture {
    struct event_base *base;
    struct link *link;
    struct tcp_addr address; /* where the peer listens */
    int listener, peer;
    int up, end, closed, drained, line_count, turns, trust;
    int pause_after, close_after, free_after; /* so many lines */
    int watched[LINK_CLOSING + 1];
    bool truncated, open_again, trusts;
    struct link_verdict verdict;
    struct link_certificate certificate;
    char lines[512]; /* the first ones, each with | */
};

static void on_up(struct link *l, void *owner)
{
    struct fixture *f = owner;

    (void)l;
    f->up++;
}

static bool on_trust(struct link *l, const struct link_certificate *c, void *owner)
{
    struct fixture *f = owner;

    (void)l;
    f->trust++;
    f->certificate = *c;
    return f->trusts;
}

static void on_line(struct link *l, char *line, size_t len, void *owner)
{
    struct fixture *f = owner;
    size_t n = strlen(f->lines);

    assert_int_equal(line[len], '\0');
    f->line_count++;
    if (n + len + 2 < sizeof f->lines)
        snprintf(f->lines + n, sizeof f->lines - n, "%s|", line);
    memset(line, '!', len); /* as an owner may */
    if (f->line_count == f->pause_after)
        link_pause(l);
    if (f->line_count == f->close_after)
        link_close(l);
    if (f->line_count == f->free_after) {
        link_free(l);
        f->link = NULL;
    }
}

static void on_end(struct link *l, bool truncated, void *owner)
{
    struct fixture *f = owner;

    (void)l;
    f->end++;
    f->truncated = truncated;
}

static void on_drained(struct link *l, void *owner)
{
    struct fixture *f = owner;

    (void)l;
    f->drained++;
}

static void on_closed(struct link *l, const struct link_verdict *v, void *owner)
{
    struct fixture *f = owner;
    struct link_options o = {.addresses = &f->address, .address_count = 1, .quiet = true};

    f->closed++;
    f->verdict = *v;
    if (f->open_again)
        assert_int_equal(link_open(l, &o), 0);
    f->open_again = false;
}

static void on_watch(struct link *l, enum link_event e, void *owner)
{
    struct fixture *f = owner;

    (void)l;
    f->watched[e]++;
}

static const struct link_handler fixture_handler = {
    .up = on_up,
    .trust = on_trust,
    .line = on_line,
    .end = on_end,
    .drained = on_drained,
    .closed = on_closed,
    .watch = on_watch,
};

static inline void fixture_init(struct fixture *f)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct timeval patience = {.tv_sec = FIXTURE_SECONDS};

    *f = (struct fixture){.peer = -1, .trusts = true};
    f->base = event_base_new();
    f->link = link_new(f->base, &fixture_handler, f);
    f->listener = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(f->listener, (struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(listen(f->listener, 512), 0);
    setsockopt(f->listener, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    tcp_get_local(f->listener, &f->address);
}

/* Opens the link to the peer, or as the options say. */
static inline void fixture_start(struct fixture *f, const struct link_options *o)
{
    struct link_options usual = {.addresses = &f->address, .address_count = 1, .quiet = true};

    assert_int_equal(link_open(f->link, o != NULL ? o : &usual), 0);
}

/* One turn of the loop, of at most so many ms. */
static inline void turn(struct fixture *f, int ms)
{
    struct timeval most = {.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000};

    if (ms > 0)
        event_base_loopexit(f->base, &most);
    event_base_loop(f->base, ms > 0 ? EVLOOP_ONCE : EVLOOP_NONBLOCK);
    f->turns++;
}

static inline void turn_for(struct fixture *f, int ms)
{
    uint64_t until = clock_mono_us() + (uint64_t)ms * 1000;

    f->turns = 0;
    do
        turn(f, ms);
    while (clock_mono_us() < until);
}

static inline void turn_until(struct fixture *f, const int *count, int wanted)
{
    uint64_t until = clock_mono_us() + FIXTURE_SECONDS * 1000000ULL;

    while (*count < wanted && clock_mono_us() < until)
        turn(f, 5);
    assert_int_equal(*count, wanted);
}

/* Turns until the link is connected, and takes the peer's end. */
static inline void fixture_accept(struct fixture *f)
{
    struct timeval patience = {.tv_sec = FIXTURE_SECONDS};
    int wanted = f->watched[LINK_CONNECTED] + 1;

    if (!link_is_up(f->link))
        turn_until(f, &f->watched[LINK_CONNECTED], wanted);
    f->peer = accept(f->listener, NULL, NULL);
    assert_true(f->peer >= 0);
    setsockopt(f->peer, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
}

static inline void fixture_open(struct fixture *f, const struct link_options *o)
{
    fixture_init(f);
    fixture_start(f, o);
    fixture_accept(f);
}

static inline void peer_close(struct fixture *f)
{
    if (f->peer >= 0)
        close(f->peer);
    f->peer = -1;
}

static inline void fixture_close(struct fixture *f)
{
    link_free(f->link);
    peer_close(f);
    if (f->listener >= 0)
        close(f->listener);
    event_base_free(f->base);
}

static inline void peer_say(struct fixture *f, const char *text)
{
    assert_int_equal(send(f->peer, text, strlen(text), 0), strlen(text));
}

static inline void peer_shutdown(struct fixture *f)
{
    assert_int_equal(shutdown(f->peer, SHUT_WR), 0);
}

static inline void peer_reset(struct fixture *f)
{
    struct linger now = {.l_onoff = 1};

    setsockopt(f->peer, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    peer_close(f);
}

/* Turns the loop while the peer waits for exactly this. */
static inline void peer_expect(struct fixture *f, const char *text)
{
    size_t len = strlen(text), got = 0;
    char data[256];

    while (got < len) {
        ssize_t n = recv(f->peer, data + got, len - got, MSG_DONTWAIT);

        assert_int_not_equal(n, 0);
        got += n > 0 ? (size_t)n : 0;
        turn(f, 1);
    }
    assert_memory_equal(data, text, len);
}

static inline void peer_expect_eof(struct fixture *f)
{
    char c;

    turn(f, 1);
    assert_int_equal(recv(f->peer, &c, 1, 0), 0);
}

#endif
