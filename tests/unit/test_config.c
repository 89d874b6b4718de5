/* test_config.c: the options table, command line, config file, reload, and inherited sockets. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "server/config.h"
#include "server/config_option.h"
#include "server/listen_fds.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define SOURCE_ROOT_VARIABLE "CHATD_SOURCE_ROOT" /* set by tests/unit/meson.build */

static char file[] = "/tmp/test-config-XXXXXX"; /* the config file of the running test */
static char err[CONFIG_ERROR_MAX];

static int make_file(void **state)
{
    int fd = mkstemp(file);

    (void)state;
    return fd < 0 ? -1 : close(fd);
}

static int remove_file(void **state)
{
    (void)state;
    return unlink(file);
}

static void write_file(const char *text)
{
    FILE *f = fopen(file, "we");

    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
}

/* Arguments after argv[0], at most 15. */
#define LOAD(c, ...) load(c, (char *[16]){"chatd", __VA_ARGS__})

static int load(struct config *c, char **argv)
{
    int argc = 0;

    while (argv[argc] != NULL)
        argc++;
    memset(c, 0xa5, sizeof *c); /* config_load must not read what was there */
    err[0] = '\0';
    return config_load(c, argc, argv, err, sizeof err);
}

static int load_text(struct config *c, const char *text)
{
    write_file(text);
    return LOAD(c, "--config", file);
}

/* The config file is refused, and the sentence is about this line of it. */
static void expect_refused(const char *text, unsigned line, const char *sentence)
{
    struct config c;
    char want[CONFIG_ERROR_MAX];

    snprintf(want, sizeof want, "chatd: %s:%u: %s", file, line, sentence);
    assert_int_equal(load_text(&c, text), -EINVAL);
    assert_string_equal(err, want);
    assert_null(c.listen.v);
}

#define EXPECT_USAGE(sentence, ...)                                                                          \
    do {                                                                                                     \
        struct config refused;                                                                               \
        assert_int_equal(LOAD(&refused, __VA_ARGS__), -EINVAL);                                              \
        assert_string_equal(err, "chatd: " sentence);                                                        \
    } while (0)

static char *printed(void (*print)(FILE *))
{
    char *text = NULL;
    size_t len = 0;
    FILE *f = open_memstream(&text, &len);

    print(f);
    fclose(f);
    return text;
}

static char *check_text(const struct config *c)
{
    char *text = NULL;
    size_t len = 0;
    FILE *f = open_memstream(&text, &len);

    config_print_check(f, c);
    fclose(f);
    return text;
}

static void test_defaults(void **state)
{
    struct config c;

    (void)state;
    assert_int_equal(LOAD(&c, NULL), CONFIG_SERVE);
    assert_int_equal(c.listen.n, 1);
    assert_string_equal(c.listen.v[0].text, "127.0.0.1:7000");
    assert_string_equal(c.data, "/state/chatd");
    assert_null(c.log);
    assert_null(c.cert);
    assert_null(c.port_file);
    assert_int_equal(c.plain, CONFIG_PLAIN_LOOPBACK);
    assert_int_equal(c.log_level, LOG_INFO);
    assert_in_range(c.threads, 1, 64);
    assert_true(strlen(c.name) > 0);
    assert_int_equal(c.max_line, 16384);
    assert_int_equal(c.presence_max, 200);
    assert_int_equal(c.drain_seconds, 10);
    assert_int_equal(c.tls_tickets, 0);
    assert_int_equal(c.ping_seconds, c.idle_seconds / 3);
    assert_int_equal(c.trusted.n, 2);
    assert_false(config_is_given(&c, "listen"));
    config_deinit(&c);
    config_deinit(NULL);
}

/* Every number of the table at its bounds and beyond them, so that each limit is one that can be reached. */
static void test_bounds(void **state)
{
    (void)state;
    for (size_t i = 0; i < config_options_count; i++) {
        const struct config_option *o = &config_options[i];
        struct config c = {0};
        char text[CONFIG_VALUE_MAX], why[300], number[32];

        if (o->type > CONFIG_T_SIZE)
            continue;
        for (int top = 0; top < 2; top++) {
            snprintf(number, sizeof number, "%llu", (unsigned long long)(top ? o->max : o->min));
            assert_int_equal(config_value_set(&c, o, number, why, sizeof why), 0);
            config_value_format(&c, o, 0, text);
            assert_int_equal(config_value_set(&c, o, text, why, sizeof why), 0);
        }
        snprintf(number, sizeof number, "%llu", (unsigned long long)(o->max + 1));
        assert_int_equal(config_value_set(&c, o, number, why, sizeof why), -EINVAL);
        if (o->min > 0)
            assert_int_equal(config_value_set(&c, o, "0", why, sizeof why), -EINVAL);
        assert_int_equal(config_value_set(&c, o, "99999999999999999999999", why, sizeof why), -EINVAL);
        assert_int_equal(config_value_set(&c, o, "-1", why, sizeof why), -EINVAL);
        assert_int_equal(config_value_set(&c, o, "", why, sizeof why), -EINVAL);
    }
}

static void test_table_is_sound(void **state)
{
    (void)state;
    for (size_t i = 0; i < config_options_count; i++) {
        const struct config_option *o = &config_options[i];
        size_t len = strlen(o->help);

        assert_ptr_equal(config_option_find(o->name, strlen(o->name)), o); /* no name twice */
        assert_true(len > 0 && o->help[len - 1] != '.');
        assert_true(len < 300);
        if (o->type != CONFIG_T_ACTION)
            assert_true(o->value != NULL && o->fallback != NULL);
    }
}

static void test_command_line(void **state)
{
    struct config c;

    (void)state;
    assert_int_equal(LOAD(&c, "--threads", "4", "--listen=[::1]:0", "--listen", "127.0.0.1:0",
                          "--data=/srv/chat", "--log-level", "debug", "--history-bytes=2G", "--plain", "any"),
                     CONFIG_SERVE);
    assert_int_equal(c.threads, 4);
    assert_int_equal(c.listen.n, 2);
    assert_string_equal(c.listen.v[0].text, "[::1]:0");
    assert_string_equal(c.data, "/srv/chat");
    assert_int_equal(c.log_level, LOG_DEBUG);
    assert_int_equal(c.history_bytes, UINT64_C(2) << 30);
    assert_int_equal(c.plain, CONFIG_PLAIN_ANY);
    assert_true(config_is_given(&c, "listen"));
    assert_false(config_is_given(&c, "no-such"));
    config_deinit(&c);
    assert_int_equal(LOAD(&c, "--threads", "4", "--threads", "5"), CONFIG_SERVE); /* the last one counts */
    assert_int_equal(c.threads, 5);
    config_deinit(&c);
}

static void test_asking(void **state)
{
    struct config c;

    (void)state;
    assert_int_equal(LOAD(&c, "--help", "--nonsense"), CONFIG_HELP);
    assert_int_equal(LOAD(&c, "-h"), CONFIG_HELP);
    assert_int_equal(LOAD(&c, "--threads", "2", "--version"), CONFIG_VERSION);
    assert_int_equal(LOAD(&c, "--dump-man"), CONFIG_MAN);
    assert_int_equal(LOAD(&c, "--check-config", "--threads", "2"), CONFIG_CHECK);
    config_deinit(&c);
    assert_int_equal(LOAD(&c, "--check-config", "--threads", "0"), -EINVAL);
}

static void test_bad_usage(void **state)
{
    (void)state;
    EXPECT_USAGE("--threads takes a whole number from 1 to 64, or \"auto\", not \"many\"", "--threads",
                 "many");
    EXPECT_USAGE("--threads takes a whole number from 1 to 64, or \"auto\", not \"65\"", "--threads=65");
    EXPECT_USAGE("--max-line takes a number of bytes from 1k to 1M, not \"16kb\"", "--max-line=16kb");
    EXPECT_USAGE("--plain takes loopback, any or off, not \"on\"", "--plain", "on");
    EXPECT_USAGE("--log needs a value: --log FILE", "--log");
    EXPECT_USAGE("--log needs a value: --log FILE", "--log", "--plain");
    EXPECT_USAGE("--help takes no value", "--help=yes");
    EXPECT_USAGE("there is no option \"--tread\"; is --threads meant?", "--tread=4");
    EXPECT_USAGE("there is no option \"--foo\"; chatd --help lists them", "--foo");
    EXPECT_USAGE("there is no option \"-threads\"; is --threads meant?", "-threads", "4");
    EXPECT_USAGE("there is no option \"--qqqqqqqqqqq\"; chatd --help lists them", "--qqqqqqqqqqq");
    EXPECT_USAGE("it takes options only, so \"7000\" means nothing to it; see chatd --help", "7000");
    EXPECT_USAGE("--name takes 1 to 64 letters, digits, \".\", \"-\" or \"_\", or \"auto\", not \"a b\"",
                 "--name=a b");
    EXPECT_USAGE(
        "--log takes a path of at most 4095 bytes without control characters, or \"stderr\", not \"a?[1m\"",
        "--log=a\033[1m");
    EXPECT_USAGE(
        "--log takes a path of at most 4095 bytes without control characters, or \"stderr\", not \"\"",
        "--log=");
}

static void test_together(void **state)
{
    (void)state;
    EXPECT_USAGE("\"cert\" is set and \"key\" is not: a certificate and its private key go together",
                 "--cert", "c");
    EXPECT_USAGE("\"key\" is set and \"cert\" is not: a certificate and its private key go together", "--key",
                 "k");
    EXPECT_USAGE("\"idle-seconds\" is 180 (default) but must be at least 201, as \"ping-seconds\" is 200 "
                 "(command line): a connection is pinged before it is given up",
                 "--ping-seconds=200");
    EXPECT_USAGE(
        "\"max-out\" is 32k (command line) but must be at least 64k, as \"max-line\" is 16k (default): "
        "some answers must fit beside each other",
        "--max-out=32k");
}

static void test_ping_follows_idle(void **state)
{
    struct config c;

    (void)state;
    assert_int_equal(LOAD(&c, "--idle-seconds=2"), CONFIG_SERVE);
    assert_int_equal(c.ping_seconds, 1);
    config_deinit(&c);
}

static void test_file(void **state)
{
    struct config c;

    (void)state;
    assert_int_equal(
        load_text(
            &c,
            "\xef\xbb\xbf# a comment\r\n\r\n  threads=3   # three\r\nlog = \"/var/log/a # \\\"b\\\" \" # x\n"
            "data = /srv/a#b c\nlisten = :7001\nlisten = 10.0.0.1:7001\nmax-line = 4k"),
        CONFIG_SERVE);
    assert_int_equal(c.threads, 3);
    assert_string_equal(c.log, "/var/log/a # \"b\" ");
    assert_string_equal(c.data, "/srv/a#b c");
    assert_int_equal(c.listen.n, 2);
    assert_string_equal(c.listen.v[0].text, "*:7001");
    assert_int_equal(c.max_line, 4096);
    assert_string_equal(c.config_file, file);
    config_deinit(&c);
    assert_int_equal(load_text(&c, ""), CONFIG_SERVE);
    config_deinit(&c);
}

static void test_command_line_overrides_file(void **state)
{
    struct config c;

    (void)state;
    write_file("threads = 3\nhistory = 10\nlisten = :1\ntrusted = 10.0.0.0/8\n");
    assert_int_equal(
        LOAD(&c, "--threads=5", "--config", file, "--listen=:2", "--listen=:3", "--trusted=none"),
        CONFIG_SERVE);
    assert_int_equal(c.threads, 5);
    assert_int_equal(c.history, 10);
    assert_int_equal(c.listen.n, 2);
    assert_string_equal(c.listen.v[0].text, "*:2");
    assert_int_equal(c.trusted.n, 0);
    config_deinit(&c);
}

static void test_bad_file(void **state)
{
    (void)state;
    expect_refused("\nthreads = many\n", 2,
                   "\"threads\" takes a whole number from 1 to 64, or \"auto\", not \"many\"");
    expect_refused("threads\n", 1, "expected NAME = VALUE, not \"threads\"");
    expect_refused("[server]", 1, "expected NAME = VALUE, not \"[server]\"");
    expect_refused("= 4", 1, "expected NAME = VALUE, not \"= 4\"");
    expect_refused("threads =\n", 1, "\"threads\" takes a whole number from 1 to 64, or \"auto\", not \"\"");
    expect_refused("#\n#\nmax_line = 4k", 3, "there is no setting \"max_line\"; is \"max-line\" meant?");
    expect_refused("zzzzzzzz = 4k", 1, "there is no setting \"zzzzzzzz\"; chatd --help lists them");
    expect_refused("config = x", 1, "\"config\" goes on the command line only, as --config");
    expect_refused("threads = 1\nthreads = 2", 2, "\"threads\" is set twice: line 1 sets it already");
    expect_refused("log = \"a", 1, "this value opens a quote and does not close it");
    expect_refused("log = \"a\\", 1, "this value opens a quote and does not close it");
    expect_refused("log = \"a\" b", 1,
                   "there is something after the closing quote: only a comment may follow");
    expect_refused(
        "listen = localhost:7000", 1,
        "\"listen\" takes an address in numbers and a port, such as 127.0.0.1:7000, [::1]:7000 or *:7000, "
        "not \"localhost:7000\"");
}

static void test_unreadable_file(void **state)
{
    FILE *f;
    char want[CONFIG_ERROR_MAX];

    (void)state;
    EXPECT_USAGE("the config file /nope/chatd.conf cannot be read: No such file or directory", "--config",
                 "/nope/chatd.conf");
    EXPECT_USAGE("the config file / cannot be read: Is a directory", "--config", "/");
    f = fopen(file, "we");
    assert_non_null(f);
    fwrite("threads\0 = 4\n", 1, 13, f);
    fclose(f);
    snprintf(want, sizeof want, "chatd: %s:1: this line has a NUL byte in it: is this a text file?", file);
    assert_int_equal(LOAD(&(struct config){0}, "--config", file), -EINVAL);
    assert_string_equal(err, want);
}

/* A long or hostile value must neither overflow a message nor reach a terminal as it is. */
static void test_long_value(void **state)
{
    struct config c;
    char *text = malloc(100000);

    (void)state;
    assert_non_null(text);
    memset(text, 'x', 99999);
    text[99999] = '\0';
    memcpy(text, "threads = \033", 11);
    assert_int_equal(load_text(&c, text), -EINVAL);
    assert_true(strlen(err) < 300);
    assert_null(strchr(err, '\033'));
    memcpy(text, "log = yyyyyyyy", 14);
    assert_int_equal(load_text(&c, text), -EINVAL);
    memset(text, '=', 99999);
    assert_int_equal(load_text(&c, text), -EINVAL);
    memset(text, 'z', 99999);
    assert_int_equal(LOAD(&c, text), -EINVAL);
    assert_int_equal(LOAD(&c, "--config", text), -EINVAL);
    assert_true(strlen(err) < sizeof err);
    free(text);
}

static void test_addresses(void **state)
{
    static const char *const good[][2] = {
        {"127.0.0.1:7000", "127.0.0.1:7000"},
        {"[::1]:0", "[::1]:0"},
        {"*:7000", "*:7000"},
        {":7000", "*:7000"},
        {"7000", "*:7000"},
        {"0.0.0.0:65535", "0.0.0.0:65535"},
        {"[0:0::1]:7", "[::1]:7"},
        {"[::]:7", "[::]:7"},
    };
    static const char *const bad[] = {
        "",      ":",        "127.0.0.1",   "127.0.0.1:", "127.0.0.1:65536", "::1:7000x",
        "[::1]", "[::1]7",   "[]:7",        "[::1:7",     "127.1:7",         "host:7",
        "1:2:3", "*:123456", "[1.2.3.4]:7", "*:-1",       "127.0.0.1:+7"};
    char why[300];

    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        struct config_addresses list = {0};

        assert_int_equal(config_address_add(&list, good[i][0], why, sizeof why), 0);
        assert_string_equal(list.v[0].text, good[i][1]);
        assert_int_equal(list.v[0].both, good[i][1][0] == '*');
        assert_int_equal(list.v[0].len, list.v[0].addr.ss_family == AF_INET ? sizeof(struct sockaddr_in)
                                                                            : sizeof(struct sockaddr_in6));
        config_addresses_clear(&list);
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct config_addresses list = {0};

        assert_int_equal(config_address_add(&list, bad[i], why, sizeof why), -EINVAL);
        assert_null(list.v);
    }
    EXPECT_USAGE("--listen names *:7000 twice", "--listen=:7000", "--listen=*:7000");
}

static bool trusts(const struct config *c, const char *ip)
{
    struct sockaddr_storage addr = {0};
    struct sockaddr_in *in = (void *)&addr;
    struct sockaddr_in6 *in6 = (void *)&addr;

    addr.ss_family = strchr(ip, ':') != NULL ? AF_INET6 : AF_INET;
    assert_int_equal(inet_pton(addr.ss_family, ip,
                               addr.ss_family == AF_INET ? (void *)&in->sin_addr : (void *)&in6->sin6_addr),
                     1);
    return config_is_trusted(c, (struct sockaddr *)&addr);
}

static void test_trusted(void **state)
{
    struct config c;
    struct sockaddr other = {.sa_family = AF_UNIX};

    (void)state;
    assert_int_equal(LOAD(&c, NULL), CONFIG_SERVE);
    assert_true(trusts(&c, "127.0.0.1"));
    assert_true(trusts(&c, "127.255.255.255"));
    assert_true(trusts(&c, "::ffff:127.0.0.9"));
    assert_true(trusts(&c, "::1"));
    assert_false(trusts(&c, "::2"));
    assert_false(trusts(&c, "128.0.0.1"));
    assert_false(config_is_trusted(&c, &other));
    config_deinit(&c);
    assert_int_equal(
        LOAD(&c, "--trusted", "10.32.0.0/11", "--trusted", "fd00:8000::/17", "--trusted", "1.2.3.4"), 0);
    assert_true(trusts(&c, "10.63.255.255"));
    assert_false(trusts(&c, "10.64.0.0"));
    assert_true(trusts(&c, "fd00:ffff::1"));
    assert_false(trusts(&c, "fd00:7fff::1"));
    assert_true(trusts(&c, "1.2.3.4"));
    assert_false(trusts(&c, "1.2.3.5"));
    assert_false(trusts(&c, "127.0.0.1"));
    config_deinit(&c);
    assert_int_equal(LOAD(&c, "--trusted=0.0.0.0/0"), 0);
    assert_true(trusts(&c, "8.8.8.8"));
    assert_false(trusts(&c, "::1"));
    config_deinit(&c);
    EXPECT_USAGE(
        "--trusted takes a network, and \"10.1.2.3/8\" has bits set beyond its prefix: is 10.0.0.0/8 meant?",
        "--trusted=10.1.2.3/8");
    assert_int_equal(LOAD(&c, "--trusted=10.0.0.0/33"), -EINVAL);
    assert_int_equal(LOAD(&c, "--trusted=::/129"), -EINVAL);
    assert_int_equal(LOAD(&c, "--trusted=10.0.0.0/"), -EINVAL);
    assert_int_equal(LOAD(&c, "--trusted=lan"), -EINVAL);
}

/* What --check-config prints is itself a config file that means the same. */
static void test_check_reads_back(void **state)
{
    struct config c;
    char *first, *second, *origins;

    (void)state;
    assert_int_equal(LOAD(&c, "--listen=:7", "--listen=[::1]:8", "--log=/a b #c\"d\\", "--trusted=none",
                          "--data= x", "--history-bytes=17k"),
                     CONFIG_SERVE);
    first = check_text(&c);
    config_deinit(&c);
    assert_non_null(strstr(first, "log = \"/a b #c\\\"d\\\\\"  # command line\n"));
    assert_non_null(strstr(first, "plain = loopback  # default\n"));
    assert_non_null(strstr(first, "trusted = none  # command line\n"));
    assert_int_equal(load_text(&c, first), CONFIG_SERVE);
    second = check_text(&c);
    config_deinit(&c);
    assert_int_equal(load_text(&c, second), CONFIG_SERVE);
    origins = check_text(&c);
    config_deinit(&c);
    assert_string_equal(second, origins);
    assert_non_null(strstr(second, file));
    free(first);
    free(second);
    free(origins);
}

#define RELOAD(running, fresh, restart)                                                                      \
    config_reload(running, 3, (char *[]){"chatd", "--config", file, NULL}, fresh, restart, sizeof(restart),  \
                  err, sizeof err)

static void test_reload(void **state)
{
    struct config running, fresh;
    char restart[200];

    (void)state;
    assert_int_equal(load_text(&running, "threads = 2\nlisten = :1\ndrain-seconds = 5\nlog = a"),
                     CONFIG_SERVE);
    assert_int_equal(RELOAD(&running, &fresh, restart), 0);
    config_deinit(&fresh);
    write_file("threads = 2\nlisten = :1\ndrain-seconds = 6\ntrusted = 10.0.0.0/8\nlog = b");
    assert_int_equal(RELOAD(&running, &fresh, restart), 0);
    assert_string_equal(restart, "");
    assert_int_equal(fresh.drain_seconds, 6);
    assert_string_equal(fresh.log, "b");
    assert_int_equal(fresh.trusted.n, 1);
    assert_int_equal(running.drain_seconds, 5);
    config_deinit(&fresh);
    write_file("threads = 3\nlisten = :1\nlisten = :2\ndrain-seconds = 7\ndata = /x");
    assert_int_equal(RELOAD(&running, &fresh, restart), CONFIG_RESTART);
    assert_string_equal(restart, "listen, data, threads");
    assert_int_equal(fresh.threads, 2);
    assert_int_equal(fresh.listen.n, 1);
    assert_string_equal(fresh.data, "/state/chatd");
    assert_int_equal(fresh.drain_seconds, 7);
    config_deinit(&fresh);
    write_file("threads = many");
    assert_int_equal(RELOAD(&running, &fresh, restart), -EINVAL);
    assert_true(strlen(err) > 0);
    assert_null(fresh.listen.v);
    config_deinit(&running);
}

static void test_help(void **state)
{
    char *text = printed(config_print_help), *line, *rest = text;

    (void)state;
    for (size_t i = 0; i < config_options_count; i++) {
        char name[64];

        snprintf(name, sizeof name, "\n  --%s", config_options[i].name);
        assert_int_equal(strstr(text, name) == NULL, (config_options[i].flags & CONFIG_F_HIDDEN) != 0);
    }
    while ((line = strsep(&rest, "\n")) != NULL)
        assert_in_range(strlen(line), 0, 84);
    free(text);
}

static char *read_all(const char *path)
{
    char *text = NULL;
    size_t cap = 0;
    FILE *f = fopen(path, "re");

    if (f == NULL || getdelim(&text, &cap, '\0', f) < 0)
        fail_msg("%s cannot be read: %s", path, strerror(errno));
    fclose(f);
    return text;
}

/* The path of a file of the source tree; skips the test where the tree is not known. */
static char *source_path(char *buf, size_t len, const char *name)
{
    const char *root = getenv(SOURCE_ROOT_VARIABLE);

    if (root == NULL)
        skip();
    snprintf(buf, len, "%s/%s", root, name);
    return buf;
}

/* The manual's option list is written by scripts/update-man: it must be what the table says now. */
static void test_man_is_fresh(void **state)
{
    char path[4096], *man = read_all(source_path(path, sizeof path, "man/chatd.1"));
    char *list = printed(config_print_man);

    (void)state;
    if (strstr(man, list) == NULL)
        fail_msg("man/chatd.1 is older than the options table: run scripts/update-man");
    free(list);
    free(man);
}

/* Both hold the same values, wherever they have them from. */
static void expect_same(const struct config *a, const struct config *b)
{
    char one[CONFIG_VALUE_MAX], other[CONFIG_VALUE_MAX];

    for (size_t i = 0; i < config_options_count; i++) {
        const struct config_option *o = &config_options[i];

        if (o->flags & CONFIG_F_COMMAND)
            continue;
        assert_int_equal(config_value_count(a, o), config_value_count(b, o));
        for (size_t n = 0; n < config_value_count(a, o); n++)
            assert_string_equal(config_value_format(a, o, n, one), config_value_format(b, o, n, other));
    }
}

/* The example that is installed is taken as it is, speaks of every setting, and shows the true defaults. */
static void test_example_is_good(void **state)
{
    char path[4096], *text = read_all(source_path(path, sizeof path, "dist/chatd.conf"));
    struct config c, shown_as;

    (void)state;
    assert_int_equal(LOAD(&c, "--check-config", "--config", path), CONFIG_CHECK);
    for (size_t i = 0; i < config_options_count; i++) {
        char set[64], shown[64];

        if (config_options[i].flags & CONFIG_F_COMMAND)
            continue;
        snprintf(set, sizeof set, "\n%s = ", config_options[i].name);
        snprintf(shown, sizeof shown, "\n#%s = ", config_options[i].name);
        if (strstr(text, set) == NULL && strstr(text, shown) == NULL)
            fail_msg("dist/chatd.conf says nothing of \"%s\"", config_options[i].name);
    }
    for (char *p = text; (p = strchr(p, '#')) != NULL; p++) {
        if (p > text && p[-1] == '\n' && p[1] != ' ')
            *p = ' ';
    }
    assert_int_equal(load_text(&shown_as, text), CONFIG_SERVE);
    expect_same(&c, &shown_as);
    config_deinit(&c);
    config_deinit(&shown_as);
    free(text);
}

/* In a child, as descriptors from 3 on are put in place: what listen_fds_take says of n of them. */
static int take_in_child(int n, int bound, bool mine)
{
    int status = 0, fds[LISTEN_FDS_MAX], got;
    pid_t child = fork();
    char text[24];

    assert_true(child >= 0);
    if (child == 0) {
        for (int i = 0; i < n; i++)
            dup2(bound, 3 + i);
        snprintf(text, sizeof text, "%ld", (long)getpid() + (mine ? 0 : 1));
        setenv("LISTEN_PID", text, 1);
        snprintf(text, sizeof text, "%d", n);
        setenv("LISTEN_FDS", text, 1);
        got = listen_fds_take(fds, err, sizeof err);
        if (getenv("LISTEN_FDS") != NULL)
            _exit(100);
        if (got > 0 &&
            (fds[got - 1] != 2 + got || !(fcntl(3, F_GETFL) & O_NONBLOCK) || fcntl(3, F_GETFD) != FD_CLOEXEC))
            _exit(101);
        _exit(got < 0 ? 99 : got);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void test_listen_fds(void **state)
{
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int listening = socket(AF_INET, SOCK_STREAM, 0), idle = socket(AF_INET, SOCK_STREAM, 0),
        fds[LISTEN_FDS_MAX];

    (void)state;
    listening = fcntl(listening, F_DUPFD, 20);
    idle = fcntl(idle, F_DUPFD, 20);
    assert_true(listening >= 0 && idle >= 0);
    assert_int_equal(bind(listening, (struct sockaddr *)&addr, sizeof addr), 0);
    assert_int_equal(listen(listening, 1), 0);
    assert_int_equal(take_in_child(2, listening, true), 2);
    assert_int_equal(take_in_child(0, listening, true), 0);
    assert_int_equal(take_in_child(2, listening, false), 0);
    assert_int_equal(take_in_child(1, idle, true), 99);
    assert_int_equal(take_in_child(1, STDERR_FILENO, true), 99);
    assert_int_equal(take_in_child(65, -1, true), 99);
    assert_int_equal(listen_fds_take(fds, err, sizeof err), 0);
    close(listening);
    close(idle);
}

#define TEST(name) cmocka_unit_test(test_##name)

/* Where data is kept when nothing says so. */
static void test_data_place(void **state)
{
    struct config c;

    (void)state;
    setenv("STATE_DIRECTORY", "/var/lib/one:/var/lib/two", 1);
    assert_int_equal(LOAD(&c, NULL), CONFIG_SERVE);
    assert_string_equal(c.data, "/var/lib/one");
    config_deinit(&c);
    unsetenv("STATE_DIRECTORY");
    assert_int_equal(LOAD(&c, "--data", "memory"), CONFIG_SERVE);
    assert_null(c.data);
    config_deinit(&c);
    setenv("XDG_STATE_HOME", "relative", 1); /* says nothing, as XDG wants it */
    setenv("HOME", "/home/ann", 1);
    assert_int_equal(LOAD(&c, "--data", "auto"), CONFIG_SERVE);
    assert_string_equal(c.data, geteuid() == 0 && access("/var/lib", W_OK) == 0
                                    ? "/var/lib/chatd"
                                    : "/home/ann/.local/state/chatd");
    config_deinit(&c);
    unsetenv("HOME");
    if (geteuid() != 0)
        assert_int_equal(LOAD(&c, NULL), -EINVAL);
    setenv("XDG_STATE_HOME", "/state", 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(defaults),       TEST(bounds),
        TEST(table_is_sound), TEST(command_line),
        TEST(asking),         TEST(bad_usage),
        TEST(together),       TEST(ping_follows_idle),
        TEST(file),           TEST(command_line_overrides_file),
        TEST(bad_file),       TEST(unreadable_file),
        TEST(long_value),     TEST(addresses),
        TEST(trusted),        TEST(check_reads_back),
        TEST(reload),         TEST(help),
        TEST(man_is_fresh),   TEST(example_is_good),
        TEST(listen_fds),     TEST(data_place),
    };

    unsetenv("STATE_DIRECTORY");
    setenv("XDG_STATE_HOME", "/state", 1);
    return cmocka_run_group_tests_name("config", tests, make_file, remove_file);
}
