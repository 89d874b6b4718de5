/* test_rungs.c: the ladder that chat keeps of its connection: bounded however long it lives, with every byte
 * counted; and drawn as it comes, each rung once. */
#include "client/rungs.h"
#include "common/mem.h"
#include "common/trace.h"

#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const struct rungs_style narrow = {.width = 60, .ascii = true};
static unsigned news, overs;

static void on_news(void *arg)
{
    (void)arg;
    news++;
}

/* What is left of the old connection can still be drawn then. */
static void on_over(void *arg)
{
    struct rungs **r = arg;
    struct buf b = {0};

    overs++;
    assert_false(rungs_put_new(*r, &b, &narrow, true));
    buf_put(&b, "", 1);
    assert_non_null(strstr(b.data, "close()"));
    buf_deinit(&b);
}

static void open_up(uint64_t id)
{
    static const struct trace_ends ends = {
        .local = {.family = AF_INET, .port = 50000, .ip = {127, 0, 0, 1}},
        .peer = {.family = AF_INET, .port = 7000, .ip = {127, 0, 0, 1}},
    };
    static const struct tcp_facts up = {.state = TCP_STATE_ESTABLISHED, .source = "tcp_info"};

    trace_call(id, "socket", 5, NULL, NULL);
    trace_connection(id, &ends);
    trace_call(id, "connect", 0, &up, NULL);
    trace_state(id, TCP_STATE_UNKNOWN, TCP_STATE_ESTABLISHED, "tcp_info", NULL);
}

static unsigned count(const char *text, const char *word)
{
    unsigned n = 0;

    while ((text = strstr(text, word)) != NULL) {
        text += strlen(word);
        n++;
    }
    return n;
}

static char *drawn(struct rungs *r, bool all)
{
    struct buf b = {0};

    assert_true(rungs_put(r, &b, &narrow, all));
    buf_put(&b, "", 1);
    return b.data;
}

static void check_lines(const char *text)
{
    for (; *text != '\0'; text += strcspn(text, "\n") + 1)
        assert_in_range(strcspn(text, "\n"), 0, narrow.width);
}

static void test_nothing_yet(void **state)
{
    struct rungs *r = rungs_new(on_news, on_over, NULL);
    struct buf b = {0};

    (void)state;
    assert_true(trace_is_on());
    assert_false(rungs_put(r, &b, &narrow, true));
    assert_false(rungs_put_new(r, &b, &narrow, true));
    assert_int_equal(b.len, 0);
    rungs_free(r);
}

static void test_a_long_life_is_bounded(void **state)
{
    struct rungs *r = rungs_new(on_news, on_over, NULL);
    unsigned lines = 0;
    char *text;

    (void)state;
    open_up(1);
    for (int i = 0; i < 100000; i++) {
        trace_call(1, "send", 10, NULL, NULL);
        trace_call(1, "recv", 7, NULL, NULL);
        if (i % 100 == 0)
            trace_call(1, "send", -EAGAIN, NULL, NULL);
    }
    text = drawn(r, true);
    check_lines(text);
    for (const char *at = text; *at != '\0'; at++)
        lines += *at == '\n';
    assert_in_range(lines, 50, 3 * RUNGS_KEPT);
    assert_non_null(strstr(text, "socket()"));
    assert_non_null(strstr(text, ":1000001")); /* each byte of ours has its number */
    assert_non_null(strstr(text, ":700001"));
    free(text);
    text = drawn(r, false);
    assert_non_null(strstr(text, "/tcp all shows them"));
    assert_in_range(count(text, "\n"), 20, 32);
    free(text);
    rungs_free(r);
}

/* However odd: never more than there is place for. */
static void test_no_data_is_bounded(void **state)
{
    struct rungs *r = rungs_new(on_news, on_over, NULL);
    char *text;

    (void)state;
    open_up(1);
    for (int i = 0; i < 5000; i++)
        trace_tls(1, "handshake", 0,
                  "again, and at such a length that it is cut, as nobody wants to read "
                  "all of it here, nor could it be kept");
    text = drawn(r, true);
    check_lines(text);
    assert_in_range(count(text, "TLS hand"), 100, RUNGS_KEPT);
    free(text);
    rungs_free(r);
}

static void test_each_rung_once(void **state)
{
    struct rungs *r = NULL;
    struct buf b = {0};

    (void)state;
    r = rungs_new(on_news, on_over, &r);
    open_up(1);
    poll(NULL, 0, 10);
    news = overs = 0;
    rungs_follow(r, true);
    assert_false(rungs_put_new(r, &b, &narrow, true));
    assert_int_equal(b.len, 0); /* what was before is not new */
    poll(NULL, 0, 10);
    trace_call(1, "send", 11, NULL, NULL);
    assert_int_equal(news, 1);
    assert_true(rungs_put_new(r, &b, &narrow, false)); /* its state may still come */
    poll(NULL, 0, 10);
    assert_false(rungs_put_new(r, &b, &narrow, false));
    trace_call(1, "recv", 12, NULL, NULL);
    rungs_put_new(r, &b, &narrow, true);
    rungs_put_new(r, &b, &narrow, true);
    trace_call(1, "close", 0, NULL, NULL);
    trace_closed(1, "self", "unfinished", "test", 0, 0);
    open_up(2);
    assert_int_equal(overs, 1);
    rungs_put_new(r, &b, &narrow, true);
    buf_put(&b, "", 1);
    assert_int_equal(count(b.data, "send 11"), 1);
    assert_int_equal(count(b.data, "recv 12"), 1);
    assert_int_equal(count(b.data, "socket()"), 1);
    assert_int_equal(count(b.data, "t/ms"), 2);
    buf_deinit(&b);
    rungs_free(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_yet),
        cmocka_unit_test(test_a_long_life_is_bounded),
        cmocka_unit_test(test_no_data_is_bounded),
        cmocka_unit_test(test_each_rung_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
