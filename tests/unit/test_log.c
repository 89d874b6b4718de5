/* test_log.c: values made fit for a line of the log, and lines in their file: whole, in order, counted when
 * lost. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/log.h"
#include "common/utf8.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define WRITERS 4
#define LINES   300

static char path[] = "/tmp/test_log_XXXXXX";

static void assert_quoted(const char *value, size_t len, const char *expected)
{
    char out[LOG_QUOTED_SIZE];

    assert_ptr_equal(log_quote(value, len, out), out);
    assert_string_equal(out, expected);
}

#define assert_quotes(value, expected) assert_quoted("" value, sizeof(value) - 1, expected)

static void test_plain_words_stay(void **state)
{
    char out[LOG_QUOTED_SIZE];

    (void)state;
    assert_quotes("ann", "ann");
    assert_quotes("127.0.0.1:7000", "127.0.0.1:7000");
    assert_quotes("[::1]:7000", "[::1]:7000");
    assert_quotes("Änne", "Änne");
    assert_quotes("小明", "小明");
    assert_string_equal(log_quote_text("a,b;c'd", out), "a,b;c'd");
}

static void test_others_are_quoted(void **state)
{
    (void)state;
    assert_quotes("", "\"\"");
    assert_quotes("two words", "\"two words\"");
    assert_quotes("a=b", "\"a=b\"");
    assert_quotes("say \"x\"", "\"say \\\"x\\\"\"");
    assert_quotes("\\", "\"\\\\\"");
    assert_quotes("a\nevent=close", "\"a\\x0aevent=close\"");
    assert_quotes("a\r\tb", "\"a\\x0d\\x09b\"");
    assert_quotes("\x1b[31m", "\"\\x1b[31m\"");
    assert_quotes("\x7f", "\"\\x7f\"");
    assert_quoted("a\0b", 3, "\"a\\x00b\"");
}

/* U+0080 to U+009F are controls too: U+009B starts a terminal's commands as ESC [ does. */
static void test_controls_above_ascii(void **state)
{
    (void)state;
    assert_quotes("a\xc2\x9b"
                  "31m",
                  "\"a\\xc2\\x9b31m\"");
    assert_quotes("\xc2\x80\xc2\x9f", "\"\\xc2\\x80\\xc2\\x9f\"");
    assert_quotes("\xc2\xa0x", "\xc2\xa0x");
}

/* A log stays UTF-8, whatever was put in. */
static void test_what_is_no_utf8(void **state)
{
    (void)state;
    assert_quotes("\x9b"
                  "31m",
                  "\"\\x9b31m\"");
    assert_quotes("caf\xe9", "\"caf\\xe9\"");
    assert_quotes("é\xff", "\"é\\xff\"");
}

static void assert_fits(const char *value, size_t len)
{
    char out[LOG_QUOTED_SIZE + 1];
    size_t n;

    memset(out, '#', sizeof out);
    log_quote(value, len, out);
    assert_int_equal(out[LOG_QUOTED_SIZE], '#');
    n = strlen(out);
    assert_true(n < LOG_QUOTED_SIZE);
    assert_true(utf8_is_valid(out, n));
    for (size_t i = 0; i < n; i++)
        assert_true((unsigned char)out[i] >= ' ' && out[i] != 0x7f);
    if (out[0] == '"') {
        assert_true(n >= 2);
        assert_int_equal(out[n - 1], '"');
    }
}

static void test_long_values_are_cut(void **state)
{
    static const char *const units[] = {"x",    "\n",       "\"", "\\", "é", "小", "\xf0\x9f\x98\x80",
                                        "\xff", "\xc2\x9b", "a b"};
    char value[1600];

    (void)state;
    for (size_t u = 0; u < sizeof units / sizeof *units; u++) {
        size_t unit = strlen(units[u]), n = 0;

        for (; n + unit <= sizeof value; n += unit) {
            memcpy(value + n, units[u], unit);
            assert_fits(value, n + unit);
        }
        for (size_t shift = 1; shift < 4; shift++) { /* so that the cut falls on every byte of a character */
            memmove(value + 1, value, n - 1);
            value[0] = ' ';
            assert_fits(value, n);
        }
    }
}

static char *read_all(size_t *len)
{
    FILE *f = fopen(path, "r");
    char *data = malloc(4 << 20);

    assert_non_null(f);
    assert_non_null(data);
    *len = fread(data, 1, (4 << 20) - 1, f);
    data[*len] = '\0';
    fclose(f);
    return data;
}

static void *write_lines(void *arg)
{
    int who = *(int *)arg;

    log_batch(who % 2 == 0);
    for (int i = 0; i < LINES; i++) {
        log_event(LOG_INFO, "test", "who=%d n=%d", who, i);
        if (i % 50 == 0)
            log_flush();
    }
    log_batch(false);
    return NULL;
}

static void test_lines_of_many_threads(void **state)
{
    pthread_t threads[WRITERS];
    int who[WRITERS], seen[WRITERS] = {0};
    size_t len;
    char *data, *at, *next;

    (void)state;
    assert_int_equal(log_open(path), 0);
    for (int i = 0; i < WRITERS; i++) {
        who[i] = i;
        assert_int_equal(pthread_create(&threads[i], NULL, write_lines, &who[i]), 0);
    }
    for (int i = 0; i < WRITERS; i++)
        pthread_join(threads[i], NULL);
    log_close();
    data = read_all(&len);
    for (at = data; *at != '\0'; at = next) {
        int writer, n;

        next = strchr(at, '\n') + 1;
        assert_int_equal(sscanf(at, "time=%*27s level=info event=test who=%d n=%d\n", &writer, &n), 2);
        assert_in_range(writer, 0, WRITERS - 1);
        assert_int_equal(n, seen[writer]++);
    }
    for (int i = 0; i < WRITERS; i++)
        assert_int_equal(seen[i], LINES);
    free(data);
}

static void test_a_long_line_is_cut(void **state)
{
    char long_text[5000];
    size_t len;
    char *data;

    (void)state;
    memset(long_text, 'x', sizeof long_text - 1);
    long_text[sizeof long_text - 1] = '\0';
    assert_int_equal(truncate(path, 0), 0);
    assert_int_equal(log_open(path), 0);
    log_event(LOG_ERROR, "test", "text=%s", long_text);
    log_event(LOG_ERROR, "after", "n=1");
    log_close();
    data = read_all(&len);
    assert_non_null(strstr(data, "x\ntime="));
    assert_non_null(strstr(data, "event=after n=1\n"));
    free(data);
}

static void test_the_file_is_moved_away(void **state)
{
    char moved[sizeof path + 2];
    struct stat s;
    size_t len;
    char *data;

    (void)state;
    snprintf(moved, sizeof moved, "%s.1", path);
    assert_int_equal(truncate(path, 0), 0);
    assert_int_equal(log_open(path), 0);
    log_line("one\n", 4);
    assert_int_equal(rename(path, moved), 0);
    log_line("two\n", 4);
    assert_int_equal(log_reopen(), 0);
    log_line("three\n", 6);
    log_close();
    data = read_all(&len);
    assert_string_equal(data, "three\n");
    free(data);
    assert_int_equal(stat(path, &s), 0);
    assert_int_equal(s.st_mode & 0137, 0);
    assert_int_equal(rename(moved, path), 0);
    data = read_all(&len);
    assert_string_equal(data, "one\ntwo\n");
    free(data);
}

/* What the file refuses is counted, and said as soon as it takes something again. */
static void test_lost_lines_are_counted(void **state)
{
    char full[] = "/dev/full";
    size_t len;
    char *data;
    int saved;

    (void)state;
    if (access(full, W_OK) != 0)
        skip();
    saved = dup(STDERR_FILENO);
    assert_non_null(freopen(full, "w", stderr));
    log_line("lost\n", 5);
    log_line("lost\nlost\n", 10);
    assert_non_null(freopen(path, "w", stderr));
    log_line("there\n", 6);
    log_line("again\n", 6);
    dup2(saved, STDERR_FILENO);
    close(saved);
    data = read_all(&len);
    assert_non_null(strstr(data, "event=log-lost lines=3 "));
    assert_non_null(strstr(data, "\"\nthere\nagain\n"));
    free(data);
}

static void test_levels(void **state)
{
    enum log_level level = LOG_ERROR;

    (void)state;
    assert_true(log_parse_level("debug", &level));
    assert_int_equal(level, LOG_DEBUG);
    assert_false(log_parse_level("Debug", &level));
    assert_false(log_parse_level("", &level));
    log_set_level(LOG_WARN);
    assert_true(log_wants(LOG_ERROR));
    assert_true(log_wants(LOG_WARN));
    assert_false(log_wants(LOG_INFO));
    log_set_level(LOG_INFO);
}

static int set_up(void **state)
{
    int fd = mkstemp(path);

    (void)state;
    return fd < 0 ? -1 : close(fd);
}

static int tear_down(void **state)
{
    (void)state;
    return unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plain_words_stay),       cmocka_unit_test(test_others_are_quoted),
        cmocka_unit_test(test_controls_above_ascii),   cmocka_unit_test(test_what_is_no_utf8),
        cmocka_unit_test(test_long_values_are_cut),    cmocka_unit_test(test_levels),
        cmocka_unit_test(test_lines_of_many_threads),  cmocka_unit_test(test_a_long_line_is_cut),
        cmocka_unit_test(test_the_file_is_moved_away), cmocka_unit_test(test_lost_lines_are_counted),
    };

    return cmocka_run_group_tests_name("log", tests, set_up, tear_down);
}
