/* test_trust.c: the known-hosts file, this machine's key, and the command line that names them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "client/options.h"
#include "client/secret_file.h"
#include "client/trust.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char dir[] = "/tmp/test_trust_XXXXXX";
static char file[sizeof dir + 32];

static int look(const char *server, const char *fingerprint, char known[TLS_FINGERPRINT_SIZE])
{
    return trust_look_up(file, server, fingerprint, known);
}

static void test_first_use_then_known_then_changed(void **state)
{
    char known[TLS_FINGERPRINT_SIZE] = "";
    struct stat s;

    (void)state;
    assert_int_equal(look("ex.org:7000", "SHA256:aa", known), TRUST_NEW);
    assert_int_equal(trust_add(file, "ex.org:7000", "SHA256:aa"), 0);
    assert_int_equal(trust_add(file, "[::1]:7000", "SHA256:bb"), 0);
    assert_int_equal(stat(file, &s), 0);
    assert_int_equal(s.st_mode & 0777, 0600);
    assert_int_equal(look("ex.org:7000", "SHA256:aa", known), TRUST_KNOWN);
    assert_int_equal(look("EX.org:7000", "SHA256:aa", known), TRUST_KNOWN); /* names have no case */
    assert_int_equal(look("[::1]:7000", "SHA256:bb", known), TRUST_KNOWN);
    assert_int_equal(look("ex.org:7001", "SHA256:aa", known), TRUST_NEW);
    assert_int_equal(look("ex.org:7000", "SHA256:ab", known), TRUST_CHANGED);
    assert_string_equal(known, "SHA256:aa");
}

static void test_remarks_and_rubbish(void **state)
{
    char known[TLS_FINGERPRINT_SIZE];
    FILE *f = fopen(file, "w");

    (void)state;
    fputs("# ex.org:7000 SHA256:cc\n\nex.org:7000\n  \t\nex.org:7000\t SHA256:dd  # since May\n", f);
    fclose(f);
    assert_int_equal(look("ex.org:7000", "SHA256:dd", known), TRUST_KNOWN);
    assert_int_equal(look("ex.org:7000", "SHA256:cc", known), TRUST_CHANGED);
}

/* Whoever writes into it by hand may leave out the last LF: the next server does not go on that line. */
static void test_a_last_line_without_an_end(void **state)
{
    char known[TLS_FINGERPRINT_SIZE];
    FILE *f = fopen(file, "w");

    (void)state;
    fputs("ex.org:7000 SHA256:dd", f);
    fclose(f);
    assert_int_equal(trust_add(file, "ex.org:7001", "SHA256:ee"), 0);
    assert_int_equal(look("ex.org:7000", "SHA256:dd", known), TRUST_KNOWN);
    assert_int_equal(look("ex.org:7001", "SHA256:ee", known), TRUST_KNOWN);
}

/* That an issuer has vouched outweighs another fingerprint, before it in the file and behind it. */
static void test_issuers(void **state)
{
    char known[TLS_FINGERPRINT_SIZE];
    FILE *f = fopen(file, "w");

    (void)state;
    fclose(f);
    assert_int_equal(look("ex.org:7000", TRUST_ISSUER, known), TRUST_NEW);
    assert_int_equal(trust_add(file, "ex.org:7000", "SHA256:aa"), 0);
    assert_int_equal(trust_add(file, "ex.org:7000", TRUST_ISSUER), 0);
    assert_int_equal(trust_add(file, "ex.org:7000", "SHA256:bb"), 0);
    assert_int_equal(look("ex.org:7000", TRUST_ISSUER, known), TRUST_KNOWN);
    assert_int_equal(look("ex.org:7000", "SHA256:aa", known), TRUST_KNOWN);
    assert_int_equal(look("ex.org:7000", "SHA256:cc", known), TRUST_CHANGED);
    assert_string_equal(known, TRUST_ISSUER);
}

static void test_a_file_that_cannot_be_had(void **state)
{
    char known[TLS_FINGERPRINT_SIZE];

    (void)state;
    assert_true(trust_look_up(dir, "ex.org:7000", "SHA256:aa", known) < 0); /* a directory */
    assert_true(trust_add("/proc/no/such/dir", "ex.org:7000", "SHA256:aa") < 0);
}

/* Two chats that both found none: the key that is there may be registered by now, so it stays. */
static void test_a_key_that_is_there_stays(void **state)
{
    char err[SECRET_ERROR_SIZE], key_file[sizeof file + 8];
    EVP_PKEY *first, *second;

    (void)state;
    snprintf(key_file, sizeof key_file, "%s.pem", file);
    first = secret_make_key(key_file, err);
    assert_non_null(first);
    second = secret_make_key(key_file, err);
    assert_non_null(second);
    assert_int_equal(EVP_PKEY_eq(first, second), 1);
    EVP_PKEY_free(first);
    EVP_PKEY_free(second);
    unlink(key_file);
}

static void test_default_file(void **state)
{
    char *path;

    (void)state;
    setenv("HOME", "/home/ann", 1);
    unsetenv("XDG_CONFIG_HOME");
    path = trust_default_file("known_hosts");
    assert_string_equal(path, "/home/ann/.config/chat/known_hosts");
    free(path);
    setenv("XDG_CONFIG_HOME", "/cfg", 1);
    path = trust_default_file("known_hosts");
    assert_string_equal(path, "/cfg/chat/known_hosts");
    free(path);
    unsetenv("XDG_CONFIG_HOME");
    unsetenv("HOME");
    assert_null(trust_default_file("known_hosts"));
    setenv("HOME", "/home/ann", 1);
}

#define WORDS 8

/* Parses up to WORDS words, the rest NULL. */
static enum options_result parse(struct options *o, const char *const words[WORDS])
{
    char *argv[WORDS + 2] = {(char *)(uintptr_t) "chat"};
    int argc = 1;

    for (int i = 0; i < WORDS && words[i] != NULL; i++)
        argv[argc++] = (char *)(uintptr_t)words[i];
    return options_parse(o, argc, argv);
}

static void check_server(const char *word, const char *host, unsigned port, bool loopback)
{
    struct options o;

    assert_int_equal(parse(&o, (const char *[WORDS]){word}), OPTIONS_RUN);
    assert_string_equal(o.host, host);
    assert_int_equal(o.port, port);
    assert_int_equal(o.is_loopback, loopback);
    assert_int_equal(options_want_tls(&o), !loopback);
    options_deinit(&o);
}

static void test_servers(void **state)
{
    (void)state;
    check_server(NULL, "127.0.0.1", 7000, true);
    check_server("chat.example.org", "chat.example.org", 7000, false);
    check_server("chat.example.org:70", "chat.example.org", 70, false);
    check_server("192.0.2.7:7001", "192.0.2.7", 7001, false);
    check_server("127.3.2.1:7001", "127.3.2.1", 7001, true);
    check_server("localhost:7001", "localhost", 7001, true);
    check_server(":7002", "127.0.0.1", 7002, true);
    check_server("[::1]:7003", "::1", 7003, true);
    check_server("[2001:db8::1]", "2001:db8::1", 7000, false);
    check_server("::1", "::1", 7000, true);
}

static void test_options(void **state)
{
    struct options o;

    (void)state;
    assert_int_equal(
        parse(&o, (const char *[WORDS]){"-n", "鲍勃", "-r", "tea", "--room", "games", "-v", "--tls"}),
        OPTIONS_RUN);
    assert_string_equal(o.nick, "鲍勃");
    assert_true(o.nick_given && o.verbose && o.reconnect && options_want_tls(&o));
    assert_int_equal(o.room_count, 2);
    assert_string_equal(o.rooms[1], "games");
    options_deinit(&o);
    assert_int_equal(parse(&o, (const char *[WORDS]){"--json", "--on-eof", "stay", "--no-reconnect",
                                                     "--known-hosts", "/k"}),
                     OPTIONS_RUN);
    assert_true(o.json && o.stay && !o.reconnect);
    assert_int_equal(o.room_count, 0);
    assert_string_equal(o.known_hosts, "/k");
    assert_string_equal(o.server, "127.0.0.1:7000");
    options_deinit(&o);
    assert_int_equal(parse(&o, (const char *[WORDS]){"--ca", "/x", "-r", "@ann"}), OPTIONS_RUN);
    assert_true(options_want_tls(&o));
    options_deinit(&o);
    setenv("USER", "no nick at all", 1);
    assert_int_equal(parse(&o, (const char *[WORDS]){NULL}), OPTIONS_RUN);
    assert_string_equal(o.nick, "guest");
    assert_string_equal(o.rooms[0], "general");
    assert_string_equal(o.known_hosts, "/home/ann/.config/chat/known_hosts");
    options_deinit(&o);
}

static void test_wrong_options(void **state)
{
    static const char *const wrong[][WORDS] = {
        {"--nothing"},
        {"-x"},
        {"-n"},
        {"-n", "a b"},
        {"-r", "General"},
        {"-r", "@"},
        {"host:0"},
        {"host:65536"},
        {"host:"},
        {"host:70x"},
        {"[::1"},
        {"[::1]x"},
        {"one", "two"},
        {"--tls", "--plain"},
        {"--on-eof", "go"},
        {"--color", "red"},
        {"--ca", "/x", "--plain"},
        {"--json=1"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct options o;

        assert_int_equal(parse(&o, wrong[i]), OPTIONS_WRONG);
        options_deinit(&o);
    }
}

static int set_up(void **state)
{
    (void)state;
    if (mkdtemp(dir) == NULL)
        return -1;
    snprintf(file, sizeof file, "%s/sub/known_hosts", dir);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    unlink(file);
    *strrchr(file, '/') = '\0';
    rmdir(file);
    return rmdir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_first_use_then_known_then_changed),
        cmocka_unit_test(test_remarks_and_rubbish),
        cmocka_unit_test(test_a_last_line_without_an_end),
        cmocka_unit_test(test_issuers),
        cmocka_unit_test(test_a_file_that_cannot_be_had),
        cmocka_unit_test(test_a_key_that_is_there_stays),
        cmocka_unit_test(test_default_file),
        cmocka_unit_test(test_servers),
        cmocka_unit_test(test_options),
        cmocka_unit_test(test_wrong_options),
    };

    return cmocka_run_group_tests_name("trust", tests, set_up, tear_down);
}
