/* test_sanitize.c: nothing that a terminal obeys gets through, and nothing that people write is harmed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "client/sanitize.h"
#include "common/utf8.h"

#include <stdio.h>
#include <string.h>

static struct buf out;

static const char *put(const char *text, size_t len)
{
    buf_clear(&out);
    sanitize_put(&out, text, len);
    buf_put(&out, "", 1);
    return out.data;
}

#define shows(text, wanted) assert_string_equal(put(text, sizeof(text) - 1), wanted)
#define stays(text)         shows(text, text)

static void test_what_people_write_stays(void **state)
{
    (void)state;
    stays("");
    stays("hello, world ~!@#$%^&*()");
    stays("你好，大家好 こんにちは 안녕 مرحبا שלום नमस्ते");
    stays("e\u0301 combining, \u200dno-joiner, \u200c, soft\u00adhyphen, nbsp\u00a0.");
    stays("🎉 👩‍👩‍👧 🏴󠁧󠁢󠁥󠁮󠁧󠁿 ❤️ 🇩🇪 👍🏽");
    stays("\U0010fffd \ue000 \u00a0 \u2000");
}

static void test_c0_and_del(void **state)
{
    (void)state;
    shows("\x1b[31mred\x1b[0m", "^[[31mred^[[0m");
    shows("\x1b]0;title\x07", "^[]0;title^G");
    shows("a\rb\bc\x7f", "a^Mb^Hc^?");
    shows("nul\0in", "nul^@in");
    shows("a\tb", "a    b");
    shows("a\nb", "a^Jb");
    shows("\x0e\x0f\x18\x1a", "^N^O^X^Z");
}

static void test_c1(void **state)
{
    (void)state;
    shows("\xc2\x9b"
          "31m",
          "<U+009B>31m"); /* CSI in one character */
    shows("\xc2\x9d"
          "0;x\xc2\x9c",
          "<U+009D>0;x<U+009C>");
    shows("\xc2\x80\xc2\x9f", "<U+0080><U+009F>");
    shows("\xc2\xa0", "\xc2\xa0");
}

static void test_bidi_and_line_ends(void **state)
{
    (void)state;
    shows("user\u202etxt.exe", "user<U+202E>txt.exe");
    shows("\u202a\u202b\u202c\u202d\u202e", "<U+202A><U+202B><U+202C><U+202D><U+202E>");
    shows("\u2066\u2067\u2068\u2069", "<U+2066><U+2067><U+2068><U+2069>");
    shows("a\u2028"
          "b\u2029",
          "a<U+2028>b<U+2029>");
    shows("\ufff9hidden\ufffb", "<U+FFF9>hidden<U+FFFB>");
}

static void test_what_is_no_utf8(void **state)
{
    (void)state;
    shows("a\x80z", "a\ufffdz");
    shows("\x9b"
          "31m",
          "\ufffd31m");                          /* an 8-bit CSI */
    shows("\xc0\x9b", "\ufffd\ufffd");           /* overlong */
    shows("\xe4\xbd", "\ufffd\ufffd");           /* cut */
    shows("\xed\xa0\x80", "\ufffd\ufffd\ufffd"); /* half of a surrogate pair */
    shows("\xf5\x80\x80\x80\xff\xfe", "\ufffd\ufffd\ufffd\ufffd\ufffd\ufffd");
}

/* Every code point that there is, by itself: what comes out is valid, and holds no control. */
static void test_all_code_points(void **state)
{
    char point[4];

    (void)state;
    for (uint32_t c = 0; c < 0x110000; c++) {
        size_t n;

        if (c >= 0xd800 && c < 0xe000)
            continue;
        n = utf8_encode(c, point);
        buf_clear(&out);
        sanitize_put(&out, point, n);
        for (size_t i = 0; i < out.len; i++)
            assert_true((unsigned char)out.data[i] >= 0x20 && out.data[i] != 0x7f);
        for (size_t i = 0; i + 1 < out.len; i++) /* C1 is C2 80 to C2 9F */
            assert_false((unsigned char)out.data[i] == 0xc2 && (unsigned char)out.data[i + 1] < 0xa0);
        assert_true(utf8_is_valid(out.data, out.len));
    }
}

/* Any bytes at all, of a small generator: the same promise. */
static void test_noise(void **state)
{
    char noise[64];
    uint32_t x = 1;

    (void)state;
    for (int round = 0; round < 20000; round++) {
        for (size_t i = 0; i < sizeof noise; i++) {
            x = x * 1664525 + 1013904223;
            noise[i] = (char)(x >> 24);
        }
        buf_clear(&out);
        sanitize_put(&out, noise, sizeof noise);
        assert_true(utf8_is_valid(out.data, out.len));
        for (size_t i = 0; i < out.len; i++)
            assert_true((unsigned char)out.data[i] >= 0x20 && out.data[i] != 0x7f);
    }
}

static void test_lines_cannot_pass_for_others(void **state)
{
    static const char text[] = "one\r\ntwo\n\nbob: three\x1b[A\n";

    (void)state;
    buf_clear(&out);
    sanitize_put_lines(&out, text, sizeof text - 1, "  ");
    buf_put(&out, "", 1);
    assert_string_equal(out.data, "one\n  two\n  \n  bob: three^[[A\n  ");
}

static void test_json_means_the_same(void **state)
{
    static const char line[] = "{\"text\":\"a\xc2\x9b\x7f\u202e\\u001b你好\"}";

    (void)state;
    buf_clear(&out);
    sanitize_put_json(&out, line, sizeof line - 1);
    buf_put(&out, "", 1);
    assert_string_equal(out.data, "{\"text\":\"a\\u009b\\u007f\\u202e\\u001b你好\"}");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_people_write_stays),
        cmocka_unit_test(test_c0_and_del),
        cmocka_unit_test(test_c1),
        cmocka_unit_test(test_bidi_and_line_ends),
        cmocka_unit_test(test_what_is_no_utf8),
        cmocka_unit_test(test_all_code_points),
        cmocka_unit_test(test_noise),
        cmocka_unit_test(test_lines_cannot_pass_for_others),
        cmocka_unit_test(test_json_means_the_same),
    };
    int failed = cmocka_run_group_tests_name("sanitize", tests, NULL, NULL);

    buf_deinit(&out);
    return failed;
}
