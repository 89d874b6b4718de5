/* test_tls_slim.c: a server's connection that has let go of what it does not need still does all it did.
 *
 * tls_slim uses calls of OpenSSL in ways that its manual does not speak of. What is held here is what that
 * rests on: data, key updates, exported keys and the ends work after it, for each cipher suite and group; and
 * connections of a thread do share one session, without which the effort would be for nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "transport_pair.h"

#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>

static const char *const suites[] = {"TLS_AES_128_GCM_SHA256", "TLS_CHACHA20_POLY1305_SHA256",
                                     "TLS_AES_256_GCM_SHA384"};

static void open_with(struct pair *p, SSL_CTX *server, const char *suite, const char *group)
{
    pair_open(p, client_ctx, server, SIZE_MAX);
    if (suite != NULL)
        assert_int_equal(SSL_set_ciphersuites(transport_ssl(p->client.t), suite), 1);
    if (group != NULL)
        assert_int_equal(SSL_set1_groups_list(transport_ssl(p->client.t), group), 1);
    pair_run(p);
    assert_true(pair_is_ready(p));
}

static void assert_same_exported_key(struct pair *p)
{
    static const unsigned char context[] = "a context";
    unsigned char a[32], b[32], other[32];

    assert_int_equal(
        SSL_export_keying_material(transport_ssl(p->client.t), a, 32, "EXPORTER-test", 13, context, 9, 1), 1);
    assert_int_equal(
        SSL_export_keying_material(transport_ssl(p->server.t), b, 32, "EXPORTER-test", 13, context, 9, 1), 1);
    assert_memory_equal(a, b, 32);
    assert_int_equal(
        SSL_export_keying_material(transport_ssl(p->server.t), other, 32, "EXPORTER-tesu", 13, context, 9, 1),
        1);
    assert_memory_not_equal(a, other, 32);
}

static void assert_works(struct pair *p)
{
    for (size_t len = 1; len < 65000; len = len * 5 + 3) {
        assert_true(pair_pass(p, &p->client, &p->server, len, 1));
        assert_true(pair_pass(p, &p->server, &p->client, len, 2));
    }
}

static void test_each_suite_and_group(void **state)
{
    static const char *const groups[] = {"X25519", "P-256"};

    (void)state;
    for (size_t s = 0; s < 3; s++)
        for (size_t g = 0; g < 2; g++) {
            struct pair p;

            open_with(&p, server_ctx, suites[s], groups[g]);
            assert_string_equal(SSL_get_cipher_name(transport_ssl(p.server.t)), suites[s]);
            assert_works(&p);
            assert_same_exported_key(&p);
            pair_close(&p);
        }
}

/* The small ones come first, whatever the client prefers. */
static void test_what_is_chosen(void **state)
{
    struct pair p;

    (void)state;
    open_with(&p, server_ctx, "TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_GCM_SHA256",
              NULL);
    assert_string_equal(SSL_get_cipher_name(transport_ssl(p.server.t)), suites[0]);
    pair_close(&p);
}

static void update_key(struct pair *p, struct side *by, int how)
{
    assert_int_equal(SSL_key_update(transport_ssl(by->t), how), 1);
    assert_works(p);
    assert_same_exported_key(p);
}

static void test_key_updates(void **state)
{
    (void)state;
    for (size_t s = 0; s < 3; s++) {
        struct pair p;

        open_with(&p, server_ctx, suites[s], NULL);
        for (int i = 0; i < 3; i++) {
            update_key(&p, &p.client, SSL_KEY_UPDATE_NOT_REQUESTED);
            update_key(&p, &p.server, SSL_KEY_UPDATE_NOT_REQUESTED);
            update_key(&p, &p.client, SSL_KEY_UPDATE_REQUESTED);
            update_key(&p, &p.server, SSL_KEY_UPDATE_REQUESTED);
        }
        pair_close(&p);
    }
}

/* The client asks for an update and says nothing more: the server's answer is an update of its own, in its
 * output at once or before its next words. */
static void test_a_key_update_in_half_close(void **state)
{
    struct pair p;

    (void)state;
    open_with(&p, server_ctx, NULL, NULL);
    assert_int_equal(SSL_key_update(transport_ssl(p.client.t), SSL_KEY_UPDATE_REQUESTED), 1);
    assert_int_equal(transport_write(p.client.t, "x", 1), 0);
    assert_int_equal(transport_close_notify(p.client.t), 0);
    pair_run(&p);
    assert_true(p.server.ended);
    assert_true(pair_pass(&p, &p.server, &p.client, 40000, 1));
    assert_int_equal(transport_close_notify(p.server.t), 0);
    pair_run(&p);
    assert_true(p.client.ended);
    assert_int_equal(p.client.error | p.server.error, 0);
    pair_close(&p);
}

/* Many on one thread, of all suites by turns: each one's words are its own, though they share a session. */
static void test_many_at_once(void **state)
{
    enum { MANY = 12 };
    struct pair pairs[MANY];

    (void)state;
    for (size_t i = 0; i < MANY; i++)
        open_with(&pairs[i], server_ctx, suites[i % 3], NULL);
    for (size_t i = 0; i < MANY; i += 2) {
        pair_close(&pairs[i]);
        open_with(&pairs[i], server_ctx, suites[i / 2 % 3], NULL);
    }
    for (size_t i = 0; i < MANY; i++) {
        assert_works(&pairs[i]);
        assert_same_exported_key(&pairs[i]);
    }
    for (size_t i = 0; i < MANY; i++)
        pair_close(&pairs[i]);
}

static void test_the_session_is_shared(void **state)
{
    struct pair a, b, c;

    (void)state;
    if (OPENSSL_version_major() != 3 || OPENSSL_version_minor() != 0)
        skip(); /* there, nothing is done */
    open_with(&a, server_ctx, suites[0], NULL);
    open_with(&b, server_ctx, suites[0], NULL);
    open_with(&c, server_ctx, suites[2], NULL);
    assert_ptr_equal(SSL_get_session(transport_ssl(a.server.t)), SSL_get_session(transport_ssl(b.server.t)));
    assert_ptr_not_equal(SSL_get_session(transport_ssl(a.server.t)),
                         SSL_get_session(transport_ssl(c.server.t)));
    pair_close(&a);
    pair_close(&b);
    pair_close(&c);
}

/* The shared session must not be one that somebody could resume, nor hold a secret of anybody's. */
static void test_the_session_holds_nothing(void **state)
{
    unsigned char secret[64];
    struct pair p;

    (void)state;
    if (OPENSSL_version_major() != 3 || OPENSSL_version_minor() != 0)
        skip();
    open_with(&p, server_ctx, suites[0], NULL);
    assert_int_equal(
        SSL_SESSION_get_master_key(SSL_get_session(transport_ssl(p.server.t)), secret, sizeof secret), 0);
    assert_false(SSL_SESSION_is_resumable(SSL_get_session(transport_ssl(p.server.t))));
    pair_close(&p);
}

/* Its context, which the connections have borrowed, may go before them. */
static void test_the_server_context_goes_first(void **state)
{
    char err[TLS_ERROR_SIZE];
    SSL_CTX *ctx = tls_new_server(NULL, NULL, &(struct tls_own){0}, 0, err);
    struct pair p;

    (void)state;
    assert_non_null(ctx);
    open_with(&p, ctx, NULL, NULL);
    SSL_CTX_free(ctx);
    assert_works(&p);
    update_key(&p, &p.client, SSL_KEY_UPDATE_REQUESTED);
    pair_close(&p);
}

static int tickets_seen;

static int on_ticket(SSL *ssl, SSL_SESSION *session)
{
    (void)ssl, (void)session;
    tickets_seen++;
    return 0;
}

static void test_with_tickets(void **state)
{
    char err[TLS_ERROR_SIZE];
    SSL_CTX *ctx = tls_new_server(NULL, NULL, &(struct tls_own){0}, 2, err);
    struct pair p;

    (void)state;
    assert_non_null(ctx);
    SSL_CTX_set_session_cache_mode(client_ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(client_ctx, on_ticket);
    open_with(&p, ctx, NULL, NULL);
    assert_works(&p);
    update_key(&p, &p.server, SSL_KEY_UPDATE_REQUESTED);
    assert_int_equal(tickets_seen, 2);
    pair_close(&p);
    tickets_seen = 0;
    open_with(&p, server_ctx, NULL, NULL);
    assert_works(&p);
    assert_int_equal(tickets_seen, 0);
    pair_close(&p);
    SSL_CTX_sess_set_new_cb(client_ctx, NULL);
    SSL_CTX_set_session_cache_mode(client_ctx, SSL_SESS_CACHE_OFF);
    SSL_CTX_free(ctx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_suite_and_group),
        cmocka_unit_test(test_what_is_chosen),
        cmocka_unit_test(test_key_updates),
        cmocka_unit_test(test_a_key_update_in_half_close),
        cmocka_unit_test(test_many_at_once),
        cmocka_unit_test(test_the_session_is_shared),
        cmocka_unit_test(test_the_session_holds_nothing),
        cmocka_unit_test(test_the_server_context_goes_first),
        cmocka_unit_test(test_with_tickets),
    };

    return cmocka_run_group_tests_name("tls_slim", tests, pair_set_up, pair_tear_down);
}
