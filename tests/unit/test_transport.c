/* test_transport.c: TLS between two transports in memory: what goes in comes out, each way ends for itself,
 * and connections that share their thread's memory do not meet. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "transport_pair.h"

#include <openssl/err.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#define PAIRS 5

static const size_t sizes[] = {1, 2, 13, 100, 4096, 16383, 16384, 16385, 32768, 61440};

static void open_ready(struct pair *p, size_t piece)
{
    pair_open(p, client_ctx, server_ctx, piece);
    pair_run(p);
    assert_true(pair_is_ready(p));
}

static void test_handshake_in_pieces(void **state)
{
    static const size_t pieces[] = {1, 2, 5, 100, 1000, SIZE_MAX};

    (void)state;
    for (size_t i = 0; i < sizeof pieces / sizeof *pieces; i++) {
        const unsigned char *alpn;
        unsigned len;
        struct pair p;

        open_ready(&p, pieces[i]);
        assert_int_equal(SSL_version(transport_ssl(p.client.t)), TLS1_3_VERSION);
        SSL_get0_alpn_selected(transport_ssl(p.client.t), &alpn, &len);
        assert_int_equal(len, 6);
        assert_memory_equal(alpn, "chat/1", 6);
        assert_string_equal(transport_error(p.server.t), "no error");
        pair_close(&p);
    }
}

static void test_data_both_ways(void **state)
{
    static const size_t pieces[] = {100, 16384, SIZE_MAX};

    (void)state;
    for (size_t i = 0; i < sizeof pieces / sizeof *pieces; i++) {
        struct pair p;

        open_ready(&p, pieces[i]);
        for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++) {
            assert_true(pair_pass(&p, &p.client, &p.server, sizes[k], 1));
            assert_true(pair_pass(&p, &p.server, &p.client, sizes[k], 2));
        }
        assert_int_equal(transport_write(p.client.t, "", 0), 0);
        assert_false(wire_carry(&p.client, &p.server));
        pair_close(&p);
    }
}

static void test_data_at_once(void **state)
{
    static char a[20000], b[30000];
    struct pair p;

    (void)state;
    open_ready(&p, 777);
    fill(a, sizeof a, 1);
    fill(b, sizeof b, 2);
    assert_int_equal(transport_write(p.client.t, a, sizeof a), 0);
    transport_park(p.client.t);
    assert_int_equal(transport_write(p.server.t, b, sizeof b), 0);
    transport_park(p.server.t);
    pair_run(&p);
    assert_int_equal(p.server.got.len, sizeof a);
    assert_memory_equal(p.server.got.data, a, sizeof a);
    assert_int_equal(p.client.got.len, sizeof b);
    assert_memory_equal(p.client.got.data, b, sizeof b);
    pair_close(&p);
}

/* ---- the ends ---- */

static void half_close(bool client_first)
{
    struct pair p;
    struct side *first, *second;

    open_ready(&p, 1000);
    first = client_first ? &p.client : &p.server;
    second = client_first ? &p.server : &p.client;
    assert_true(pair_pass(&p, first, second, 50, 1));
    assert_int_equal(transport_close_notify(first->t), 0);
    pair_run(&p);
    assert_true(second->ended);
    assert_false(first->ended);
    for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++) /* the other way goes on */
        assert_true(pair_pass(&p, second, first, sizes[k], 3));
    assert_int_equal(transport_close_notify(second->t), 0);
    pair_run(&p);
    assert_true(first->ended);
    assert_int_equal(first->error, 0);
    assert_int_equal(second->error, 0);
    assert_true(transport_write(first->t, "x", 1) <
                0); /* after one's own close_notify there is nothing to say */
    pair_close(&p);
}

static void test_half_close_each_way(void **state)
{
    (void)state;
    half_close(true);
    half_close(false);
}

static void test_both_close_at_once(void **state)
{
    struct pair p;

    (void)state;
    open_ready(&p, 10);
    assert_int_equal(transport_close_notify(p.client.t), 0);
    transport_park(p.client.t);
    assert_int_equal(transport_close_notify(p.server.t), 0);
    transport_park(p.server.t);
    pair_run(&p);
    assert_true(p.client.ended && p.server.ended);
    assert_int_equal(p.client.error | p.server.error, 0);
    pair_close(&p);
}

/* Data in front of close_notify arrives before it, in one feed too. */
static void test_last_words(void **state)
{
    struct pair p;

    (void)state;
    open_ready(&p, SIZE_MAX);
    assert_int_equal(transport_write(p.client.t, "last", 4), 0);
    assert_int_equal(transport_close_notify(p.client.t), 0);
    pair_run(&p);
    assert_int_equal(p.server.got.len, 4);
    assert_true(p.server.ended);
    pair_close(&p);
}

/* A wire that is cut: whole records arrive, the cut one does not, and no end is claimed that was not sent. */
static void test_truncated_end(void **state)
{
    static char bytes[40000];
    const char *output;

    (void)state;
    fill(bytes, sizeof bytes, 5);
    for (size_t missing = 1; missing < 7200; missing += 1 + missing / 3) {
        struct pair p;

        open_ready(&p, SIZE_MAX);
        assert_int_equal(transport_write(p.client.t, bytes, sizeof bytes), 0);
        wire_carry_some(&p.client, &p.server, transport_output(p.client.t, &output) - missing);
        side_take(&p.server, SIZE_MAX);
        assert_int_equal(p.server.got.len, sizeof bytes / 16384 * 16384);
        assert_memory_equal(p.server.got.data, bytes, p.server.got.len);
        assert_false(p.server.ended);
        assert_int_equal(p.server.error, 0);
        pair_close(&p);
    }
}

static void test_close_notify_too_early(void **state)
{
    struct pair p;

    (void)state;
    pair_open(&p, client_ctx, server_ctx, SIZE_MAX);
    assert_int_equal(transport_close_notify(p.server.t), -EPROTO);
    assert_true(strlen(transport_error(p.server.t)) > 0);
    assert_int_equal(transport_close_notify(p.client.t), -EPROTO);
    pair_close(&p);
}

/* ---- garbage ---- */

static void test_what_is_no_tls(void **state)
{
    static const char *const texts[] = {"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
                                        "{\"type\":\"hello\",\"version\":1}\n",
                                        "CONNECT x:1 HTTP/1.0\r\n\r\n",
                                        "\x16\x03\x01\xff\xff"
                                        "too long a record"};

    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct pair p;

        pair_open(&p, client_ctx, server_ctx, SIZE_MAX);
        buf_puts(&p.server.in, texts[i]);
        side_take(&p.server, SIZE_MAX);
        if (p.server.error != -EPROTO)
            fail_msg("%.20s", texts[i]);
        assert_string_not_equal(transport_error(p.server.t), "no error");
        assert_int_equal(ERR_peek_error(), 0); /* nothing is left for the next connection's error */
        pair_close(&p);
    }
}

static void test_random_bytes(void **state)
{
    unsigned seed = 11;

    (void)state;
    for (int i = 0; i < 300; i++) {
        struct pair p;
        size_t len = (size_t)rand_r(&seed) % 600;

        pair_open(&p, client_ctx, server_ctx, 100);
        for (size_t k = 0; k < len; k++)
            buf_put(&p.server.in, &(char){(char)rand_r(&seed)}, 1);
        if (i % 2 == 0 && len > 5)
            memcpy(p.server.in.data, "\x16\x03\x01\x02\x00", 5);
        while (side_take(&p.server, p.piece))
            ;
        assert_false(transport_is_ready(p.server.t));
        assert_false(p.server.ended);
        pair_close(&p);
    }
}

/* One bit changed anywhere in a record: it is refused, the peer is told by an alert, and understands it. */
static void test_a_bit_changed(void **state)
{
    (void)state;
    for (size_t at = 0; at < 60; at += 7) {
        struct pair p;

        open_ready(&p, SIZE_MAX);
        assert_int_equal(transport_write(p.client.t, "some text that is not to be changed", 35), 0);
        wire_carry(&p.client, &p.server);
        p.server.in.data[at % p.server.in.len] ^= 0x10;
        while (side_take(&p.server, SIZE_MAX))
            ;
        assert_int_equal(p.server.got.len, 0);
        if (p.server.error == -EPROTO) { /* a longer length just waits for more */
            assert_true(wire_carry(&p.server, &p.client));
            side_take(&p.client, SIZE_MAX);
            assert_int_equal(p.client.error, -EPROTO);
        } else {
            assert_in_range(at, 3, 4);
        }
        pair_close(&p);
    }
}

/* ---- peers that want something else ---- */

static void test_other_protocols(void **state)
{
    static const unsigned char http[] = "\x08http/1.1", both[] = "\x08http/1.1\x06"
                                                                 "chat/1";
    struct pair p;

    (void)state;
    pair_open(&p, client_ctx, server_ctx, SIZE_MAX);
    SSL_set_alpn_protos(transport_ssl(p.client.t), http, sizeof http - 1);
    pair_run(&p);
    assert_int_equal(p.server.error, -EPROTO);
    assert_int_equal(p.client.error, -EPROTO);
    assert_non_null(strstr(transport_error(p.server.t), "chat/1"));
    pair_close(&p);
    pair_open(&p, client_ctx, server_ctx, SIZE_MAX);
    SSL_set_alpn_protos(transport_ssl(p.client.t), both, sizeof both - 1);
    pair_run(&p);
    assert_true(pair_is_ready(&p));
    pair_close(&p);
    pair_open(&p, client_ctx, server_ctx, SIZE_MAX);
    SSL_set_alpn_protos(transport_ssl(p.client.t), NULL, 0); /* as nc and openssl s_client */
    pair_run(&p);
    assert_true(pair_is_ready(&p));
    pair_close(&p);
}

static void test_an_old_version(void **state)
{
    struct pair p;

    (void)state;
    pair_open(&p, client_ctx, server_ctx, SIZE_MAX);
    SSL_set_min_proto_version(transport_ssl(p.client.t), TLS1_2_VERSION);
    SSL_set_max_proto_version(transport_ssl(p.client.t), TLS1_2_VERSION);
    pair_run(&p);
    assert_int_equal(p.server.error, -EPROTO);
    assert_string_equal(transport_error(p.server.t),
                        "the peer does not speak TLS 1.3, and nothing older is accepted");
    assert_string_equal(transport_error(p.client.t),
                        "the peer does not speak TLS 1.3, and nothing older is accepted");
    pair_close(&p);
}

/* A hello of a kilobyte of protocols would be kept as long as its connection: it is refused. */
static void test_a_hello_that_is_too_long(void **state)
{
    unsigned char list[7 * 100];
    struct pair p;

    (void)state;
    for (size_t i = 0; i < sizeof list; i += 7)
        memcpy(list + i, "\006chat/1", 7);
    pair_open(&p, client_ctx, server_ctx, SIZE_MAX);
    SSL_set_alpn_protos(transport_ssl(p.client.t), list, sizeof list);
    pair_run(&p);
    assert_int_equal(p.server.error, -EPROTO);
    assert_int_equal(p.client.error, -EPROTO);
    pair_close(&p);
}

/* ---- several connections of one thread, which share its buffers ---- */

struct talk {
    struct side *from, *to;
    struct buf said;
};

static void say_something(struct talk *t, unsigned *seed)
{
    char bytes[3000];
    const char *output;
    size_t len = 1 + (size_t)rand_r(seed) % sizeof bytes;

    if (transport_output(t->from->t, &output) > 0) /* the contract: not while there is some left over */
        return;
    fill(bytes, len, (unsigned)rand_r(seed));
    buf_put(&t->said, bytes, len);
    assert_int_equal(transport_write(t->from->t, bytes, len), 0);
}

/* What a reactor does in a turn, in any order: write, write out a part, read, and park what is left. */
static void take_a_turn(struct talk *t, unsigned *seed)
{
    switch (rand_r(seed) % 3) {
    case 0:
        say_something(t, seed);
        wire_carry_some(t->from, t->to, (size_t)rand_r(seed) % 2000);
        break;
    case 1:
        wire_carry_some(t->from, t->to, (size_t)rand_r(seed) % 5000);
        break;
    default:
        side_take(t->to, 1 + (size_t)rand_r(seed) % 3000);
        transport_park(t->to->t);
        break;
    }
    transport_park(t->from->t);
}

static void finish(struct talk *t)
{
    while (wire_carry(t->from, t->to) || side_take(t->to, SIZE_MAX))
        ;
    assert_int_equal(t->to->error, 0);
    assert_int_equal(t->to->got.len, t->said.len);
    assert_memory_equal(t->to->got.data, t->said.data, t->said.len);
    buf_deinit(&t->said);
}

static void test_interleaved(void **state)
{
    struct pair pairs[PAIRS];
    struct talk talks[2 * PAIRS];
    unsigned seed = 3;

    (void)state;
    for (size_t i = 0; i < PAIRS; i++) {
        open_ready(&pairs[i], SIZE_MAX);
        talks[2 * i] = (struct talk){.from = &pairs[i].client, .to = &pairs[i].server};
        talks[2 * i + 1] = (struct talk){.from = &pairs[i].server, .to = &pairs[i].client};
    }
    for (int step = 0; step < 5000; step++)
        take_a_turn(&talks[(size_t)rand_r(&seed) % (2 * PAIRS)], &seed);
    for (size_t i = 0; i < 2 * PAIRS; i++)
        finish(&talks[i]);
    for (size_t i = 0; i < PAIRS; i++)
        pair_close(&pairs[i]);
}

/* Handshakes of several connections in turns, a few bytes at a time, each parked in the middle. */
static void test_interleaved_handshakes(void **state)
{
    struct pair pairs[PAIRS];
    unsigned seed = 5;

    (void)state;
    for (size_t i = 0; i < PAIRS; i++) {
        pair_open(&pairs[i], client_ctx, server_ctx, SIZE_MAX);
        side_take(&pairs[i].client, 0);
        transport_park(pairs[i].client.t);
    }
    for (int step = 0; step < 20000; step++) {
        struct pair *p = &pairs[(size_t)rand_r(&seed) % PAIRS];
        struct side *a = step % 2 ? &p->client : &p->server, *b = step % 2 ? &p->server : &p->client;

        wire_carry_some(a, b, 1 + (size_t)rand_r(&seed) % 60);
        if (b->in.len > 0)
            side_take(b, 1 + (size_t)rand_r(&seed) % 60);
        transport_park(b->t);
    }
    for (size_t i = 0; i < PAIRS; i++) {
        assert_true(pair_is_ready(&pairs[i]));
        assert_true(pair_pass(&pairs[i], &pairs[i].client, &pairs[i].server, 5000, 1));
        pair_close(&pairs[i]);
    }
}

/* The one who holds the shared buffer, or has been fed, goes away: those who stay must not notice. */
static void test_one_of_two_goes(void **state)
{
    struct pair a, b;

    (void)state;
    open_ready(&a, SIZE_MAX);
    open_ready(&b, SIZE_MAX);
    assert_int_equal(transport_write(a.client.t, "lost", 4), 0);
    pair_close(&a);
    assert_true(pair_pass(&b, &b.client, &b.server, 1000, 1));
    open_ready(&a, SIZE_MAX);
    assert_int_equal(transport_write(a.client.t, "lost", 4), 0);
    wire_carry(&a.client, &a.server);
    transport_feed(a.server.t, a.server.in.data, a.server.in.len);
    pair_close(&a);
    assert_int_equal(transport_read(b.server.t, &(char){0}, 1), -EAGAIN);
    assert_true(pair_pass(&b, &b.server, &b.client, 1000, 1));
    pair_close(&b);
}

/* A new transport where an old one was freed, or NULL where malloc gives other memory (a sanitizer's
 * does). */
static struct transport *new_at(const struct transport *old)
{
    struct transport *some[40], *found = NULL;

    for (size_t i = 0; i < 40; i++) {
        some[i] = transport_new(server_ctx, true);
        if (some[i] == old)
            found = some[i];
    }
    for (size_t i = 0; i < 40; i++)
        if (some[i] != found)
            transport_free(some[i]);
    return found;
}

/* What an old one was fed, or had to say, is not the new one's who stands in the same memory. */
static void test_one_in_the_place_of_another(void **state)
{
    const char *output;

    (void)state;
    for (int say = 0; say < 2; say++) {
        struct pair a;
        struct transport *old, *new;
        void *fillers[16];

        open_ready(&a, SIZE_MAX);
        old = a.server.t;
        if (say)
            assert_int_equal(transport_write(a.server.t, "lost", 4), 0);
        else
            transport_feed(a.server.t, "no TLS record", 13);
        for (size_t i = 0; i < 16; i++) /* so that malloc's short lists of free memory are full */
            fillers[i] = malloc(40);
        for (size_t i = 0; i < 16; i++)
            free(fillers[i]);
        side_close(&a.server);
        new = new_at(old);
        if (new != NULL) {
            assert_int_equal(transport_output(new, &output), 0);
            assert_int_equal(transport_handshake(new), 0);
            transport_free(new);
        }
        side_close(&a.client);
    }
}

/* ---- threads ---- */

static void *talk_alone(void *arg)
{
    unsigned salt = *(unsigned *)arg;
    bool good = true;

    for (int i = 0; good && i < 15; i++) {
        struct pair p;

        pair_open(&p, client_ctx, server_ctx, 500);
        pair_run(&p);
        good = pair_is_ready(&p);
        for (size_t k = 0; good && k < sizeof sizes / sizeof *sizes; k++)
            good = pair_pass(&p, &p.client, &p.server, sizes[k], salt) &&
                   pair_pass(&p, &p.server, &p.client, sizes[k], salt + 1);
        pair_close(&p);
    }
    transport_end_thread();
    return good ? NULL : arg;
}

static void test_threads(void **state)
{
    pthread_t threads[2];
    unsigned salts[2] = {10, 20};

    (void)state;
    for (size_t i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, talk_alone, &salts[i]), 0);
    for (size_t i = 0; i < 2; i++) {
        void *bad;

        pthread_join(threads[i], &bad);
        assert_null(bad);
    }
}

static void test_after_the_thread_was_ended(void **state)
{
    struct pair p;

    (void)state;
    transport_end_thread();
    open_ready(&p, SIZE_MAX);
    assert_true(pair_pass(&p, &p.client, &p.server, 100, 1));
    pair_close(&p);
    transport_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_handshake_in_pieces),
        cmocka_unit_test(test_data_both_ways),
        cmocka_unit_test(test_data_at_once),
        cmocka_unit_test(test_half_close_each_way),
        cmocka_unit_test(test_both_close_at_once),
        cmocka_unit_test(test_last_words),
        cmocka_unit_test(test_truncated_end),
        cmocka_unit_test(test_close_notify_too_early),
        cmocka_unit_test(test_what_is_no_tls),
        cmocka_unit_test(test_random_bytes),
        cmocka_unit_test(test_a_bit_changed),
        cmocka_unit_test(test_other_protocols),
        cmocka_unit_test(test_an_old_version),
        cmocka_unit_test(test_a_hello_that_is_too_long),
        cmocka_unit_test(test_interleaved),
        cmocka_unit_test(test_interleaved_handshakes),
        cmocka_unit_test(test_one_of_two_goes),
        cmocka_unit_test(test_one_in_the_place_of_another),
        cmocka_unit_test(test_threads),
        cmocka_unit_test(test_after_the_thread_was_ended),
    };

    return cmocka_run_group_tests_name("transport", tests, pair_set_up, pair_tear_down);
}
