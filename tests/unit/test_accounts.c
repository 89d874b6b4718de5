/* test_accounts.c: what logins are made of: base64, SCRAM's keys by the RFC's example, keys that sign, the
 * account as it is kept, and how guessing is slowed down. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/base64.h"
#include "common/scram.h"
#include "server/chat/account.h"
#include "server/chat/directory.h"
#include "server/chat/nick_set.h"
#include "server/chat/scram_server.h"
#include "server/chat/throttle.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- base64 ---- */

static void test_base64(void **state)
{
    static const char *const good[][2] = {{"", ""},
                                          {"f", "Zg=="},
                                          {"fo", "Zm8="},
                                          {"foo", "Zm9v"},
                                          {"foob", "Zm9vYg=="},
                                          {"fooba", "Zm9vYmE="},
                                          {"foobar", "Zm9vYmFy"}}; /* RFC 4648, section 10 */
    static const char *const bad[] = {"Z",    "Zg",     "Zg=",  "Zg===", "Z===", "====", "Zg==Zg==",
                                      "Zm 9", "Zm9v\n", "Zh==", "Zm9=",  "Zm-v", "=Zg="};
    char text[16], data[16];

    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        size_t len = strlen(good[i][0]);

        assert_int_equal(base64_encode(good[i][0], len, text), strlen(good[i][1]));
        assert_string_equal(text, good[i][1]);
        assert_int_equal(base64_decode(text, strlen(text), data, len), len);
        assert_memory_equal(data, good[i][0], len);
        if (len > 0)
            assert_int_equal(base64_decode(text, strlen(text), data, len - 1), -1);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(base64_decode(bad[i], strlen(bad[i]), data, sizeof data), -1);
}

/* ---- SCRAM, RFC 7677, section 3 ---- */

#define FIRST_BARE "n=user,r=rOprNGfwEbeRWgbNEkqO"
#define NONCE      "rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
#define MESSAGE    FIRST_BARE ",r=" NONCE ",s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,c=biws,r=" NONCE

static void derive(const char *password, struct scram_keys *keys)
{
    unsigned char salt[SCRAM_SALT_SIZE], salted[SCRAM_KEY_SIZE];

    assert_int_equal(base64_decode("W22ZaJ0SNY7soEsUEjb6gQ==", 24, salt, sizeof salt), sizeof salt);
    assert_true(scram_salt_password(password, strlen(password), salt, sizeof salt, 4096, salted));
    scram_derive(salted, keys);
}

static void test_the_example_of_the_rfc(void **state)
{
    unsigned char proof[SCRAM_KEY_SIZE], signature[SCRAM_KEY_SIZE];
    char text[BASE64_SIZE(SCRAM_KEY_SIZE)];
    struct scram_keys keys;

    (void)state;
    derive("pencil", &keys);
    scram_proof(&keys, MESSAGE, sizeof MESSAGE - 1, proof);
    base64_encode(proof, sizeof proof, text);
    assert_string_equal(text, "dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=");
    scram_signature(&keys, MESSAGE, sizeof MESSAGE - 1, signature);
    base64_encode(signature, sizeof signature, text);
    assert_string_equal(text, "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
}

static void test_passwords(void **state)
{
    unsigned char salt[SCRAM_SALT_SIZE] = {1}, salted[SCRAM_KEY_SIZE], other[SCRAM_KEY_SIZE];
    char longest[SCRAM_PASSWORD_MAX + 1];
    static const char *const none[] = {"", "a\tb", "a\x7f", "\xff", "a\n"};

    (void)state;
    memset(longest, 'x', sizeof longest);
    assert_true(scram_salt_password(longest, SCRAM_PASSWORD_MAX, salt, sizeof salt, 1, salted));
    assert_false(scram_salt_password(longest, SCRAM_PASSWORD_MAX + 1, salt, sizeof salt, 1, salted));
    for (size_t i = 0; i < sizeof none / sizeof *none; i++)
        assert_false(scram_salt_password(none[i], strlen(none[i]), salt, sizeof salt, 1, salted));
    assert_true(
        scram_salt_password("I\xc2\xadX", 4, salt, sizeof salt, 1, salted)); /* RFC 4013: a soft hyphen */
    assert_true(scram_salt_password("\xe2\x85\xa8", 3, salt, sizeof salt, 1, other)); /* and the letter Ⅸ */
    assert_memory_equal(salted, other, sizeof salted);
}

/* The server's side, by the same keys; the server's nonce is its own. */
static void test_a_login(void **state)
{
    struct account a = {.has_password = true, .iterations = 4096};
    struct buf out = {0}, final = {0}, message = {0};
    struct scram_server *s;
    struct scram_keys keys;
    unsigned char proof[SCRAM_KEY_SIZE];
    char text[BASE64_SIZE(SCRAM_KEY_SIZE)];
    const char *end;

    (void)state;
    if (!scram_server_is_built())
        skip();
    derive("pencil", &keys);
    base64_decode("W22ZaJ0SNY7soEsUEjb6gQ==", 24, a.salt, sizeof a.salt);
    memcpy(a.stored_key, keys.stored_key, sizeof a.stored_key);
    memcpy(a.server_key, keys.server_key, sizeof a.server_key);
    s = scram_server_new(&a, false, NULL);
    assert_int_equal(scram_server_step(s, "n,," FIRST_BARE, strlen("n,," FIRST_BARE), &out), SCRAM_MORE);
    assert_string_equal(scram_server_user(s), "user");
    buf_put(&out, "", 1);
    end = strstr(out.data, ",s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096");
    assert_non_null(end);
    buf_putf(&message, FIRST_BARE ",%s,c=biws,%.*s", out.data, (int)(end - out.data), out.data);
    scram_proof(&keys, message.data, message.len, proof);
    base64_encode(proof, sizeof proof, text);
    buf_putf(&final, "c=biws,%.*s,p=%s", (int)(end - out.data), out.data, text);
    buf_clear(&out);
    assert_int_equal(scram_server_step(s, final.data, final.len, &out), SCRAM_DONE);
    scram_signature(&keys, message.data, message.len, proof);
    base64_encode(proof, sizeof proof, text);
    assert_int_equal(out.len, 2 + strlen(text));
    assert_memory_equal(out.data, "v=", 2);
    assert_memory_equal(out.data + 2, text, strlen(text));
    scram_server_free(s);
    scram_server_end();
    buf_deinit(&out);
    buf_deinit(&final);
    buf_deinit(&message);
}

/* ---- keys ---- */

static void test_a_signature(void **state)
{
    EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    unsigned char public[LOGIN_KEY_SIZE], challenge[LOGIN_CHALLENGE_SIZE] = {1}, binding[32] = {2},
                                          signature[64];
    size_t len = sizeof public;
    struct buf text = {0}, other = {0};

    (void)state;
    EVP_PKEY_get_raw_public_key(key, public, &len);
    login_key_put_text(&text, "ann", 3, challenge, binding);
    assert_int_equal(text.len, 15 + 4 + 32 + 32);
    assert_true(login_key_sign(key, &text, signature));
    assert_true(login_key_verify(public, &text, signature, sizeof signature));
    assert_false(login_key_verify(public, &text, signature, sizeof signature - 1));
    login_key_put_text(&other, "ann", 3, challenge, NULL);
    assert_false(login_key_verify(public, &other, signature, sizeof signature));
    signature[5] ^= 1;
    assert_false(login_key_verify(public, &text, signature, sizeof signature));
    memset(public, 0xff, sizeof public);
    assert_false(login_key_verify(public, &text, signature, sizeof signature));
    buf_deinit(&text);
    buf_deinit(&other);
    EVP_PKEY_free(key);
}

/* ---- the account as it is kept ---- */

static void fill(unsigned char *at, size_t len, unsigned char with)
{
    memset(at, with, len);
}

static void test_kept_and_read_again(void **state)
{
    struct account a = {.identity = DIRECTORY_ACCOUNT | 77, .since_ms = 5, .registered_ms = 6}, b;
    struct buf line = {0};

    (void)state;
    memcpy(a.nick, "鲍勃", sizeof "鲍勃");
    a.has_password = true;
    a.iterations = 4096;
    fill(a.salt, sizeof a.salt, 1);
    fill(a.stored_key, sizeof a.stored_key, 2);
    fill(a.server_key, sizeof a.server_key, 3);
    for (unsigned i = 0; i < ACCOUNT_KEYS_MAX; i++) {
        unsigned char key[LOGIN_KEY_SIZE];

        fill(key, sizeof key, (unsigned char)(100 + i));
        assert_true(account_add_key(&a, key));
        assert_true(account_add_key(&a, key));
        assert_int_equal(a.key_count, i + 1);
    }
    fill(b.keys[0], LOGIN_KEY_SIZE, 99);
    assert_false(account_add_key(&a, b.keys[0]));
    account_put(&line, &a);
    assert_true(account_parse(line.data, line.len, &b));
    assert_memory_equal(&a, &b, sizeof a);
    buf_deinit(&line);
}

static void test_lines_that_are_no_account(void **state)
{
    static const char *const lines[] = {
        "",
        "{}",
        "[]",
        "{\"type\":\"registered\",\"nick\":\"ann\"}",
        "{\"nick\":\"ann\",\"session\":5,\"iterations\":4096}",
        "{\"nick\":\"ann\",\"session\":5,\"public_key\":\"AAAA\"}",
        "{\"nick\":\"a nick that is longer than any nick may be\",\"session\":5}"};
    struct account a;
    char line[256];

    (void)state;
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        size_t len = (size_t)snprintf(line, sizeof line, "%s", lines[i]);

        assert_false(account_parse(line, len, &a));
    }
}

static void test_made_up_the_same_each_time(void **state)
{
    unsigned char secret[SCRAM_KEY_SIZE] = {7}, other[SCRAM_KEY_SIZE] = {8};
    struct account a, b;

    (void)state;
    account_make_up(secret, "ann", 3, &a);
    account_make_up(secret, "ann", 3, &b);
    assert_memory_equal(&a, &b, sizeof a);
    account_make_up(secret, "bob", 3, &b);
    assert_memory_not_equal(a.salt, b.salt, sizeof a.salt);
    account_make_up(other, "ann", 3, &b);
    assert_memory_not_equal(a.salt, b.salt, sizeof a.salt);
}

static void test_a_set_of_nicks(void **state)
{
    struct nick_set s;
    char nick[16];
    size_t len;

    (void)state;
    nick_set_init(&s);
    assert_false(nick_set_has(&s, "ann", 3));
    for (int i = 0; i < 10000; i++) {
        len = (size_t)snprintf(nick, sizeof nick, "nick%d", i);
        nick_set_add(&s, nick, len);
        nick_set_add(&s, nick, len);
    }
    assert_int_equal(s.count, 10000);
    for (int i = 0; i < 20000; i++) {
        len = (size_t)snprintf(nick, sizeof nick, "nick%d", i);
        assert_int_equal(nick_set_has(&s, nick, len), i < 10000);
    }
    nick_set_deinit(&s);
}

/* ---- the throttle ---- */

static struct throttle t;
static uint64_t now; /* µs */

static int set_up(void **state)
{
    (void)state;
    throttle_init(&t);
    now = 1000000;
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    throttle_deinit(&t);
    return 0;
}

static struct throttle_who who(const char *address, const char *nick)
{
    struct throttle_who w = {.peer = {.family = strchr(address, ':') != NULL ? AF_INET6 : AF_INET}};

    assert_int_equal(inet_pton(w.peer.family, address, w.peer.ip), 1);
    w.folded_len = (uint8_t)strlen(nick);
    memcpy(w.folded, nick, w.folded_len);
    return w;
}

static uint64_t guess(const char *address, const char *nick)
{
    struct throttle_who w = who(address, nick);

    return throttle_try(&t, &w, now);
}

static uint64_t ask(const char *address, const char *nick)
{
    struct throttle_who w = who(address, nick);

    return throttle_ask(&t, &w, now);
}

static void test_an_address_waits_longer_each_time(void **state)
{
    uint64_t wait = 0;

    (void)state;
    for (int i = 0; i < THROTTLE_FREE; i++)
        assert_int_equal(guess("10.0.0.1", "ann"), 0);
    assert_int_equal(ask("10.0.0.1", "ann"), 0);
    for (uint64_t ms = THROTTLE_FIRST_MS; ms < THROTTLE_MOST_MS; ms *= 2) {
        assert_int_equal(guess("10.0.0.1", "ann"), 0);
        wait = ask("10.0.0.1", "bob"); /* whomever it asks for */
        assert_int_equal(wait, ms);
        assert_int_equal(guess("10.0.0.1", "ann"), ms); /* not heard, and not counted */
        assert_int_equal(ask("10.0.0.1", "ann"), ms);
        now += ms * 1000;
    }
    for (int i = 0; i < 100; i++) {
        assert_int_equal(guess("10.0.0.1", "ann"), 0);
        assert_int_equal(ask("10.0.0.1", "ann"), THROTTLE_MOST_MS);
        now += THROTTLE_MOST_MS * 1000;
    }
    assert_int_equal(ask("10.0.0.2", "ann"), 0);
}

static void test_failures_are_forgotten(void **state)
{
    (void)state;
    for (int i = 0; i < 200; i++) {
        guess("10.0.0.1", "ann");
        now += THROTTLE_MOST_MS * 1000;
    }
    now += (uint64_t)THROTTLE_COUNTED * THROTTLE_FORGET_MS * 1000;
    for (int i = 0; i < THROTTLE_FREE; i++)
        assert_int_equal(guess("10.0.0.1", "ann"), 0);
    assert_int_equal(ask("10.0.0.1", "ann"), 0);
}

static void test_the_right_password_counts_nothing(void **state)
{
    struct throttle_who w = who("10.0.0.1", "ann");

    (void)state;
    for (int i = 0; i < 1000; i++) {
        assert_int_equal(throttle_try(&t, &w, now), 0);
        throttle_forgive(&t, &w, now);
    }
    assert_int_equal(throttle_ask(&t, &w, now), 0);
}

/* A login of one's own between guesses takes back what itself has counted, and nothing of the guesses. */
static void test_guesses_are_not_forgiven_with_it(void **state)
{
    struct throttle_who own = who("10.0.0.1", "eve");
    unsigned heard = 0;

    (void)state;
    for (int i = 0; i < 1000; i++) {
        heard += guess("10.0.0.1", "ann") == 0;
        if (throttle_try(&t, &own, now) == 0)
            throttle_forgive(&t, &own, now);
    }
    assert_int_equal(heard, THROTTLE_FREE + 1);
}

static void test_many_addresses_at_one_account(void **state)
{
    char address[32];

    (void)state;
    for (int i = 0; i < 1000; i++) {
        snprintf(address, sizeof address, "10.1.%d.%d", i / 250, i % 250 + 1);
        assert_int_equal(guess(address, "ann"), 0); /* the first try of each address is heard */
        if (i >= THROTTLE_ACCOUNT_FREE)
            assert_true(ask(address, "ann") > 0); /* and there is no second one at once */
    }
    assert_int_equal(ask("10.0.0.9", "ann"), 0);
    assert_int_equal(guess("10.0.0.9", "bob"), 0);
    assert_int_equal(ask("10.0.0.9", "bob"), 0); /* nobody guesses at bob */
}

static void test_a_network_is_one_address(void **state)
{
    (void)state;
    for (int i = 0; i <= THROTTLE_FREE; i++)
        assert_int_equal(guess("2001:db8::1", "ann"), 0);
    assert_true(ask("2001:db8::ffff:2", "ann") > 0);
    assert_int_equal(ask("2001:db8:0:1::1", "ann"), 0);
}

static void test_trusted_addresses(void **state)
{
    struct throttle_who ann = who("10.0.0.1", "ann"), bob = who("10.0.0.1", "bob");

    (void)state;
    ann.is_trusted = bob.is_trusted = true;
    for (int i = 0; i <= THROTTLE_FREE; i++)
        assert_int_equal(throttle_try(&t, &ann, now), 0);
    assert_true(throttle_try(&t, &ann, now) > 0);
    assert_int_equal(throttle_try(&t, &bob, now), 0);
    for (int i = 0; i < 1000; i++)
        assert_int_equal(throttle_register(&t, &ann, now), 0);
}

static void test_it_does_not_grow(void **state)
{
    char address[32];

    (void)state;
    for (int i = 0; i <= THROTTLE_FREE; i++)
        guess("10.0.0.1", "ann");
    for (int i = 0; i < 3 * THROTTLE_ENTRIES; i++) {
        snprintf(address, sizeof address, "11.%d.%d.%d", i >> 16, i >> 8 & 255, i & 255);
        guess(address, "ann");
        if (i % 1000 == 0)
            assert_true(ask("10.0.0.1", "ann") > 0); /* who goes on trying is not the one that gives way */
    }
    assert_true(t.entries.count <= THROTTLE_ENTRIES);
}

static void test_new_accounts(void **state)
{
    struct throttle_who w = who("10.0.0.1", "ann");

    (void)state;
    for (int i = 0; i <= THROTTLE_NEW_FREE; i++)
        assert_int_equal(throttle_register(&t, &w, now), 0);
    assert_int_equal(throttle_register(&t, &w, now), THROTTLE_FIRST_MS);
    assert_int_equal(throttle_try(&t, &w, now), 0); /* that is another matter */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_base64),
        cmocka_unit_test(test_the_example_of_the_rfc),
        cmocka_unit_test(test_passwords),
        cmocka_unit_test(test_a_login),
        cmocka_unit_test(test_a_signature),
        cmocka_unit_test(test_kept_and_read_again),
        cmocka_unit_test(test_lines_that_are_no_account),
        cmocka_unit_test(test_made_up_the_same_each_time),
        cmocka_unit_test(test_a_set_of_nicks),
        cmocka_unit_test_setup_teardown(test_an_address_waits_longer_each_time, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_failures_are_forgotten, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_the_right_password_counts_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_guesses_are_not_forgiven_with_it, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_many_addresses_at_one_account, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_network_is_one_address, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_trusted_addresses, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_it_does_not_grow, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_new_accounts, set_up, tear_down),
    };

    return cmocka_run_group_tests_name("accounts", tests, NULL, NULL);
}
