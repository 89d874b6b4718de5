/* test_show.c: what the terminal gets to see: widths, wrapping, messages, notices. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "client/show.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#define NOON 1795435200000U /* 2026-11-23 12:00 UTC */

static struct buf out;

static const char *text(void)
{
    buf_put(&out, "", 1);
    out.len--;
    return out.data;
}

static void wrapped(int width, const char *what, int at, int indent, const char *wanted)
{
    struct show_style s = {.width = width};

    buf_clear(&out);
    show_put_wrapped(&out, &s, what, strlen(what), at, indent);
    assert_string_equal(text(), wanted);
}

static int width_of(const char *what)
{
    return show_text_width(what, strlen(what));
}

static void test_widths(void **state)
{
    (void)state;
    assert_int_equal(width_of(""), 0);
    assert_int_equal(width_of("abc"), 3);
    assert_int_equal(width_of("你好"), 4);
    assert_int_equal(width_of("e\u0301"), 1);
    assert_int_equal(width_of("🎉"), 2);
    assert_int_equal(width_of("👩‍👩‍👧"), 2);
    assert_int_equal(width_of("a\u200db\u200d:"), 3); /* a joiner hides no other characters */
    assert_int_equal(width_of("\u200d👩\u200da"), 3);
    assert_int_equal(width_of("a\u200d👩"), 3);
    assert_int_equal(width_of("\u0915\u094d\u200d\u0937"), 2);
}

static void test_wrapping(void **state)
{
    (void)state;
    wrapped(30, "short", 0, 4, "short");
    wrapped(30, "", 0, 4, "");
    wrapped(30, "words that go on for longer than thirty columns do", 0, 4,
            "words that go on for longer\n    than thirty columns do");
    wrapped(30, "starts at column twenty", 20, 2, "starts at\n  column twenty");
    wrapped(30, "exactly-thirty-columns-of-text", 0, 2, "exactly-thirty-columns-of-text");
    wrapped(30, "one-word-without-any-space-in-it-at-all", 0, 2,
            "one-word-without-any-space-in-\n  it-at-all");
    wrapped(30, "one\ntwo", 5, 5, "one\n     two");
    wrapped(10, "with no room for a wide indent", 0, 4, "with no\n room for\n a wide\n indent");
    wrapped(
        0, "a terminal of unknown width is taken to have the eighty columns that nearly all of them have", 0,
        4,
        "a terminal of unknown width is taken to have the eighty columns that nearly all\n    of them have");
}

/* A wide character is never cut by the edge, and none is lost. */
static void test_wrapping_of_wide_characters(void **state)
{
    (void)state;
    wrapped(25, "一二三四五六七八九十一二三四五", 0, 2, "一二三四五六七八九十一二\n  三四五");
    wrapped(24, "🎉🎉🎉🎉🎉🎉🎉🎉🎉🎉🎉🎉🎉", 0, 2, "🎉🎉🎉🎉🎉🎉🎉🎉🎉🎉🎉🎉\n  🎉");
    wrapped(24, "said: 一二三四五六七八九十一二三四五", 0, 2, "said: 一二三四五六七八九\n  十一二三四五");
    wrapped(24, "abc 一二三四五六七八九十。", 0, 2, "abc 一二三四五六七八九\n  十。");
    wrapped(24, "aaaaaaaaaaaaaaaaaaaaaaae\u0301\u0301x", 0, 2, "aaaaaaaaaaaaaaaaaaaaaaae\u0301\u0301\n  x");
}

static void message(const struct show_style *s, const char *room, const char *nick, const char *said,
                    bool old)
{
    struct show_message m = {.nick = nick,
                             .nick_len = strlen(nick),
                             .text = said,
                             .text_len = strlen(said),
                             .room = room,
                             .room_len = room != NULL ? strlen(room) : 0,
                             .time_ms = NOON,
                             .is_old = old};

    buf_clear(&out);
    show_put_message(&out, s, &m, NOON + 60000);
}

static void test_messages(void **state)
{
    struct show_style plain = {.width = 40};

    (void)state;
    message(&plain, NULL, "ann", "hello", false);
    assert_string_equal(text(), "12:00 ann: hello\n");
    message(&plain, "tea", "鲍勃", "你好", false);
    assert_string_equal(text(), "12:00 [tea] 鲍勃: 你好\n");
    message(&plain, NULL, "ann", "one\n12:01 bob: two", false); /* which is not bob's */
    assert_string_equal(text(), "12:00 ann: one\n        12:01 bob: two\n");
    message(&plain, NULL, "ann", "this is long enough to need a second line", false);
    assert_string_equal(text(), "12:00 ann: this is long enough to need a\n        second line\n");
    message(&plain, "a\x1b[2J", "\x1b]0;x\x07", "\x1b[31m", false);
    assert_string_equal(text(), "12:00 [a^[[2J] ^[]0;x^G: ^[[31m\n");
}

static void test_days(void **state)
{
    struct show_style s = {0};
    struct show_message m = {.nick = "ann", .nick_len = 3, .text = "x", .text_len = 1, .time_ms = NOON};

    (void)state;
    buf_clear(&out);
    show_put_message(&out, &s, &m, NOON + 86400000);
    assert_string_equal(text(), "Nov 23 12:00 ann: x\n");
}

static void test_colors(void **state)
{
    struct show_style s = {.color = true, .width = 40};
    char first[256];

    (void)state;
    message(&s, NULL, "ann", "hello", false);
    strcpy(first, text());
    assert_non_null(strstr(first, "\x1b["));
    message(&s, NULL, "ann", "hello", false);
    assert_string_equal(text(), first); /* a nick has one colour */
    s.color = false;
    message(&s, NULL, "ann", "hello", true);
    assert_null(strchr(text(), '\x1b'));
}

static void test_notices(void **state)
{
    struct show_style s = {.width = 30};

    (void)state;
    buf_clear(&out);
    show_put_notice(&out, &s, "!", "something is wrong, and this says what it is");
    assert_string_equal(text(), "! something is wrong, and this\n  says what it is\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_widths),
        cmocka_unit_test(test_wrapping),
        cmocka_unit_test(test_wrapping_of_wide_characters),
        cmocka_unit_test(test_messages),
        cmocka_unit_test(test_days),
        cmocka_unit_test(test_colors),
        cmocka_unit_test(test_notices),
    };
    int failed;

    setenv("TZ", "UTC", 1);
    tzset();
    failed = cmocka_run_group_tests_name("show", tests, NULL, NULL);
    buf_deinit(&out);
    return failed;
}
