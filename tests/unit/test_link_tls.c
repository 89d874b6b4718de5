/* test_link_tls.c: links over TLS 1.3, against OpenSSL's own socket calls at the other end. What ends a
 * direction, and in which order, is RFC 8446, section 6.1: close_notify, then FIN, each way for itself. */
#include "link_peer.h"

#include "common/tls.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>

struct tls_fixture {
    struct fixture f;
    SSL_CTX *server, *client;
    SSL *ssl;
};

static void start(struct tls_fixture *t, const char *host)
{
    struct link_options o = {.host = host, .addresses = &t->f.address, .address_count = 1, .quiet = true};
    char err[TLS_ERROR_SIZE];

    fixture_init(&t->f);
    t->server = tls_new_server(NULL, NULL, &(struct tls_own){0}, 0, err);
    t->client = tls_new_client(NULL, err);
    assert_non_null(t->server);
    assert_non_null(t->client);
    t->ssl = SSL_new(t->server);
    o.tls = t->client;
    fixture_start(&t->f, &o);
    fixture_accept(&t->f);
    fcntl(t->f.peer, F_SETFL, O_NONBLOCK);
    SSL_set_fd(t->ssl, t->f.peer);
}

/* What SSL functions say when they have to be called again. */
static bool is_waiting(const SSL *ssl, int ret)
{
    int why = SSL_get_error(ssl, ret);

    return why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE;
}

static void shake_hands(struct tls_fixture *t)
{
    int ret;

    while ((ret = SSL_accept(t->ssl)) != 1) {
        assert_true(is_waiting(t->ssl, ret));
        turn(&t->f, 2);
    }
}

static void open_tls(struct tls_fixture *t, const char *host)
{
    start(t, host);
    shake_hands(t);
    turn_until(&t->f, &t->f.up, 1);
}

static void finish(struct tls_fixture *t)
{
    SSL_free(t->ssl);
    fixture_close(&t->f);
    SSL_CTX_free(t->server);
    SSL_CTX_free(t->client);
}

static void expect(struct tls_fixture *t, const char *text)
{
    size_t len = strlen(text), got = 0;
    char data[256];

    while (got < len) {
        int n = SSL_read(t->ssl, data + got, (int)(len - got));

        assert_true(n > 0 || is_waiting(t->ssl, n));
        got += n > 0 ? (size_t)n : 0;
        turn(&t->f, 1);
    }
    assert_memory_equal(data, text, len);
}

static void expect_close_notify(struct tls_fixture *t)
{
    char c;
    int n;

    while ((n = SSL_read(t->ssl, &c, 1)) <= 0 && is_waiting(t->ssl, n))
        turn(&t->f, 1);
    assert_int_equal(SSL_get_error(t->ssl, n), SSL_ERROR_ZERO_RETURN);
}

static void say(struct tls_fixture *t, const char *text)
{
    assert_int_equal(SSL_write(t->ssl, text, (int)strlen(text)), strlen(text));
}

static void test_both_ways(void **state)
{
    struct tls_fixture t;

    (void)state;
    open_tls(&t, "localhost");
    assert_int_equal(t.f.trust, 1);
    assert_false(t.f.certificate.verified); /* self-signed */
    assert_non_null(t.f.certificate.why);
    assert_memory_equal(t.f.certificate.fingerprint, "SHA256:", 7);
    assert_int_equal(strlen(t.f.certificate.fingerprint), 7 + 32 * 3 - 1);
    link_send(t.f.link, "hello\n", 6);
    expect(&t, "hello\n");
    say(&t, "one\ntwo\n");
    turn_until(&t.f, &t.f.line_count, 2);
    assert_string_equal(t.f.lines, "one|two|");
    assert_string_equal(SSL_get_version(link_ssl(t.f.link)), "TLSv1.3");
    assert_int_equal(link_life(t.f.link)->bytes_in, 8); /* of the application */
    finish(&t);
}

static void test_close_notify_before_fin_and_reading_goes_on(void **state)
{
    struct tls_fixture t;
    char c;

    (void)state;
    open_tls(&t, NULL);
    link_send(t.f.link, "last\n", 5);
    link_shutdown(t.f.link);
    expect(&t, "last\n");
    expect_close_notify(&t);
    assert_int_equal(recv(t.f.peer, &c, 1, 0), 0); /* and then the FIN */
    assert_int_equal(t.f.watched[LINK_NOTIFY_SENT], 1);
    assert_int_equal(t.f.watched[LINK_FIN_SENT], 1);
    say(&t, "still here\n");
    turn_until(&t.f, &t.f.line_count, 1);
    SSL_shutdown(t.ssl);
    turn_until(&t.f, &t.f.end, 1);
    assert_false(t.f.truncated);
    assert_int_equal(t.f.closed, 0); /* its FIN has not come yet */
    peer_close(&t.f);
    turn_until(&t.f, &t.f.closed, 1);
    assert_int_equal(t.f.verdict.how, LINK_ENDED);
    assert_int_equal(t.f.watched[LINK_NOTIFY_RECEIVED], 1);
    assert_int_equal(t.f.watched[LINK_FIN_RECEIVED], 1);
    finish(&t);
}

static void test_writing_goes_on_after_the_peers_close_notify(void **state)
{
    struct tls_fixture t;

    (void)state;
    open_tls(&t, NULL);
    say(&t, "bye\n");
    SSL_shutdown(t.ssl);
    peer_shutdown(&t.f);
    turn_until(&t.f, &t.f.end, 1);
    assert_string_equal(t.f.lines, "bye|");
    link_send(t.f.link, "I go on\n", 8);
    expect(&t, "I go on\n");
    link_shutdown(t.f.link);
    expect_close_notify(&t);
    turn_until(&t.f, &t.f.closed, 1);
    assert_int_equal(t.f.verdict.how, LINK_ENDED);
    assert_int_equal(t.f.end, 1); /* once, though both close_notify and FIN came */
    finish(&t);
}

static void test_a_fin_alone_is_a_truncation(void **state)
{
    struct tls_fixture t;

    (void)state;
    open_tls(&t, NULL);
    say(&t, "half of\n");
    peer_shutdown(&t.f);
    turn_until(&t.f, &t.f.end, 1);
    assert_true(t.f.truncated);
    link_shutdown(t.f.link);
    turn_until(&t.f, &t.f.closed, 1);
    assert_int_equal(t.f.verdict.how, LINK_TRUNCATED);
    assert_string_equal(t.f.lines, "half of|");
    finish(&t);
}

static void test_we_truncate(void **state)
{
    struct tls_fixture t;
    char c;
    int n;

    (void)state;
    open_tls(&t, NULL);
    link_shutdown_rudely(t.f.link);
    while ((n = SSL_read(t.ssl, &c, 1)) <= 0 && is_waiting(t.ssl, n))
        turn(&t.f, 1);
    assert_int_equal(SSL_get_error(t.ssl, n), SSL_ERROR_SSL);
    assert_int_equal(ERR_GET_REASON(ERR_get_error()), SSL_R_UNEXPECTED_EOF_WHILE_READING);
    finish(&t);
}

static void test_distrust(void **state)
{
    struct tls_fixture t;

    (void)state;
    start(&t, "localhost");
    t.f.trusts = false;
    shake_hands(&t);
    turn_until(&t.f, &t.f.closed, 1);
    assert_int_equal(t.f.verdict.how, LINK_DISTRUSTED);
    assert_int_equal(t.f.up, 0);
    finish(&t);
}

/* Sets the client to trust the server's own certificate, as --ca does. */
static void trust_issuer(struct tls_fixture *t)
{
    X509_STORE_add_cert(SSL_CTX_get_cert_store(t->client), SSL_CTX_get0_certificate(t->server));
}

static void verify_for(const char *host, bool wanted)
{
    struct tls_fixture t;

    start(&t, host);
    trust_issuer(&t);
    shake_hands(&t);
    turn_until(&t.f, &t.f.up, 1);
    assert_int_equal(t.f.certificate.verified, wanted);
    finish(&t);
}

/* The certificate that chatd makes is for localhost, 127.0.0.1, ::1 and the machine's own name. */
static void test_names_are_verified(void **state)
{
    (void)state;
    verify_for("localhost", true);
    verify_for("127.0.0.1", true);
    verify_for("::1", true);
    verify_for("chat.example", false);
    verify_for("192.0.2.1", false);
    verify_for(NULL, false);
}

static void test_no_tls_at_the_other_end(void **state)
{
    struct tls_fixture t;

    (void)state;
    start(&t, "localhost");
    turn_for(&t.f, 10);
    peer_say(&t.f, "HTTP/1.1 400 Bad Request\r\n\r\n");
    turn_until(&t.f, &t.f.closed, 1);
    assert_int_equal(t.f.verdict.how, LINK_TLS_FAILED);
    assert_string_equal(t.f.verdict.why, "what came is no TLS record");
    finish(&t);

    start(&t, "localhost");
    peer_shutdown(&t.f);
    turn_until(&t.f, &t.f.closed, 1);
    assert_int_equal(t.f.verdict.how, LINK_TLS_FAILED);
    finish(&t);
}

static void test_a_handshake_that_is_not_answered(void **state)
{
    struct tls_fixture t;
    struct link_options o = {.address_count = 1, .connect_ms = 100, .quiet = true};
    char err[TLS_ERROR_SIZE];

    (void)state;
    t = (struct tls_fixture){0};
    fixture_init(&t.f);
    t.client = tls_new_client(NULL, err);
    o.addresses = &t.f.address;
    o.tls = t.client;
    fixture_start(&t.f, &o);
    fixture_accept(&t.f);
    turn_until(&t.f, &t.f.closed, 1);
    assert_int_equal(t.f.verdict.how, LINK_TIMED_OUT);
    assert_false(t.f.verdict.was_up);
    finish(&t);
}

static void test_backpressure(void **state)
{
    enum { ROUNDS = 32, SIZE = 64 * 1024 };
    static char block[SIZE];
    struct tls_fixture t;
    size_t got = 0;
    int n;

    (void)state;
    memset(block, 'x', sizeof block);
    open_tls(&t, NULL);
    for (int i = 0; i < ROUNDS * 4; i++)
        link_send(t.f.link, block, sizeof block);
    assert_true(link_is_full(t.f.link));
    link_shutdown(t.f.link);
    while ((n = SSL_read(t.ssl, block, sizeof block)) > 0 || is_waiting(t.ssl, n)) {
        got += n > 0 ? (size_t)n : 0;
        turn(&t.f, 0);
    }
    assert_int_equal(SSL_get_error(t.ssl, n), SSL_ERROR_ZERO_RETURN);
    assert_int_equal(got, (size_t)ROUNDS * 4 * SIZE);
    assert_int_equal(t.f.drained, 1);
    finish(&t);
}

static void test_the_end_comes_behind_lines_that_wait(void **state)
{
    struct tls_fixture t;

    (void)state;
    open_tls(&t, NULL);
    t.f.pause_after = 1;
    say(&t, "1\n2\n3\n");
    SSL_shutdown(t.ssl);
    turn_for(&t.f, 20);
    assert_string_equal(t.f.lines, "1|");
    assert_int_equal(t.f.end, 0);
    t.f.pause_after = 0;
    link_resume(t.f.link);
    turn_until(&t.f, &t.f.end, 1);
    assert_string_equal(t.f.lines, "1|2|3|");
    finish(&t);
}

static void test_close_in_callbacks(void **state)
{
    struct tls_fixture t;

    (void)state;
    open_tls(&t, NULL);
    t.f.free_after = 2;
    say(&t, "1\n2\n3\n");
    turn_for(&t.f, 20);
    assert_string_equal(t.f.lines, "1|2|");
    finish(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_both_ways),
        cmocka_unit_test(test_close_notify_before_fin_and_reading_goes_on),
        cmocka_unit_test(test_writing_goes_on_after_the_peers_close_notify),
        cmocka_unit_test(test_a_fin_alone_is_a_truncation),
        cmocka_unit_test(test_we_truncate),
        cmocka_unit_test(test_distrust),
        cmocka_unit_test(test_names_are_verified),
        cmocka_unit_test(test_no_tls_at_the_other_end),
        cmocka_unit_test(test_a_handshake_that_is_not_answered),
        cmocka_unit_test(test_backpressure),
        cmocka_unit_test(test_the_end_comes_behind_lines_that_wait),
        cmocka_unit_test(test_close_in_callbacks),
    };

    return cmocka_run_group_tests_name("link_tls", tests, NULL, NULL);
}
