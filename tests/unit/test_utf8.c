/* test_utf8.c: what is UTF-8, by Unicode's own table; what is a nick; which nicks are one.
 *
 * The folding is asked about every code point that there is: a nick and what Unicode holds to be the same
 * nick, or the same in capitals, must not be two. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/utf8.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

/* Unicode 15, table 3-7: well-formed UTF-8 byte sequences. */
static const struct row {
    uint8_t len, range[4][2];
} rows[] = {
    {1, {{0x00, 0x7f}}},
    {2, {{0xc2, 0xdf}, {0x80, 0xbf}}},
    {3, {{0xe0, 0xe0}, {0xa0, 0xbf}, {0x80, 0xbf}}},
    {3, {{0xe1, 0xec}, {0x80, 0xbf}, {0x80, 0xbf}}},
    {3, {{0xed, 0xed}, {0x80, 0x9f}, {0x80, 0xbf}}},
    {3, {{0xee, 0xef}, {0x80, 0xbf}, {0x80, 0xbf}}},
    {4, {{0xf0, 0xf0}, {0x90, 0xbf}, {0x80, 0xbf}, {0x80, 0xbf}}},
    {4, {{0xf1, 0xf3}, {0x80, 0xbf}, {0x80, 0xbf}, {0x80, 0xbf}}},
    {4, {{0xf4, 0xf4}, {0x80, 0x8f}, {0x80, 0xbf}, {0x80, 0xbf}}},
};

static size_t row_fits(const struct row *r, const unsigned char *p, size_t len)
{
    if (len < r->len)
        return 0;
    for (size_t i = 0; i < r->len; i++)
        if (p[i] < r->range[i][0] || p[i] > r->range[i][1])
            return 0;
    return r->len;
}

static bool is_valid_by_table(const unsigned char *p, size_t len)
{
    size_t n;

    for (; len > 0; p += n, len -= n) {
        n = 0;
        for (size_t i = 0; n == 0 && i < sizeof rows / sizeof *rows; i++)
            n = row_fits(&rows[i], p, len);
        if (n == 0)
            return false;
    }
    return true;
}

static void compare(const unsigned char *p, size_t len)
{
    if (utf8_is_valid((const char *)p, len) != is_valid_by_table(p, len))
        fail_msg("%02x %02x %02x %02x, %zu bytes", p[0], p[1], p[2], p[3], len);
}

static void test_all_short_sequences(void **state)
{
    unsigned char p[4] = {0};

    (void)state;
    assert_true(utf8_is_valid("", 0));
    for (unsigned i = 0; i < 0x10000; i++) {
        p[0] = (unsigned char)(i >> 8);
        p[1] = (unsigned char)i;
        compare(p, 1);
        compare(p, 2);
        for (unsigned k = 0; p[0] >= 0xc0 && k < 256; k++) {
            p[2] = (unsigned char)k;
            compare(p, 3);
        }
        p[2] = 0;
    }
}

static void test_four_bytes_at_the_edges(void **state)
{
    static const unsigned char edges[] = {0x00, 0x22, 0x7f, 0x80, 0x81, 0x8f, 0x90,
                                          0x9f, 0xa0, 0xbf, 0xc0, 0xf0, 0xff};
    unsigned char p[4];

    (void)state;
    for (unsigned first = 0xe0; first < 256; first++)
        for (size_t i = 0; i < sizeof edges; i++)
            for (size_t j = 0; j < sizeof edges; j++)
                for (size_t k = 0; k < sizeof edges; k++) {
                    p[0] = (unsigned char)first, p[1] = edges[i], p[2] = edges[j], p[3] = edges[k];
                    compare(p, 4);
                }
}

/* Eight bytes of ASCII are passed over at a time: what is wrong must be found at every place among them. */
static void test_at_every_place(void **state)
{
    static const char *const parts[] = {
        "\x80", "\xc3", "\xc3\xa9", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xf0\x9f\x98\x80"};
    unsigned char text[48];

    (void)state;
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        for (size_t before = 0; before < 20; before++)
            for (size_t after = 0; after < 20; after++) {
                size_t n = strlen(parts[i]);

                memset(text, 'a', sizeof text);
                memcpy(text + before, parts[i], n);
                compare(text, before + n + after);
                if (n > 1)
                    compare(text, before + n - 1);
            }
}

static void test_encode_each_code_point(void **state)
{
    (void)state;
    for (uint32_t c = 0; c <= 0x10ffff; c++) {
        utf8proc_int32_t back;
        char out[4];
        size_t n = utf8_encode(c, out);

        if (c >= 0xd800 && c <= 0xdfff)
            continue;
        if (!utf8_is_valid(out, n) ||
            utf8proc_iterate((const utf8proc_uint8_t *)out, (utf8proc_ssize_t)n, &back) !=
                (utf8proc_ssize_t)n ||
            (uint32_t)back != c)
            fail_msg("U+%04X", c);
    }
}

/* ---- nicks ---- */

static bool is_nick(const char *text)
{
    return utf8_is_nick(text, strlen(text));
}

static void test_nicks(void **state)
{
    static const char *const good[] = {"a",
                                       "Ann",
                                       "ann_-.7",
                                       "_",
                                       "-",
                                       ".",
                                       "007",
                                       "Ænne",
                                       "Ωmega",
                                       "小明",
                                       "Łukasz",
                                       "अनीता",
                                       "e\xcc\x81",
                                       "ＡＮＮ",
                                       "ß",
                                       "ı",
                                       "İ",
                                       "abcdefghijklmnopqrstuvwxyz012345",
                                       "éééééééééééééééé"};
    static const char *const bad[] = {"",
                                      " ",
                                      "ann bob",
                                      "@ann",
                                      "ann!",
                                      "a/b",
                                      "a\"b",
                                      "a\\b",
                                      "a\nb",
                                      "a\x7f",
                                      "😀",
                                      "a\xe2\x80\x8d"
                                      "b",
                                      "\xe2\x80\xae"
                                      "a",
                                      "\xc2\xa0",
                                      "\xcc\x81"
                                      "a",
                                      "a\xef\xbc\x81",
                                      "\xff",
                                      "caf\xe9",
                                      "\xed\xa0\x80",
                                      "\xef\xbf\xbf",
                                      "\xe2\xbc\xa9",
                                      "abcdefghijklmnopqrstuvwxyz0123456",
                                      "ééééééééééééééééa"};

    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        if (!is_nick(good[i]))
            fail_msg("%s should be a nick", good[i]);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (is_nick(bad[i]))
            fail_msg("%s should not be a nick", bad[i]);
    assert_false(utf8_is_nick("a\0b", 3));
    assert_false(utf8_is_nick("小", 2)); /* cut */
}

static void test_each_ascii_character(void **state)
{
    (void)state;
    for (int c = 0; c < 128; c++) {
        char text[2] = {(char)c, 'x'};
        bool is_one =
            c != 0 && strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.", c) != NULL;

        assert_int_equal(utf8_is_nick(text, 1), is_one);
        assert_int_equal(utf8_is_nick(text, 2), is_one);
        memcpy(text, (char[]){'x', (char)c}, 2);
        assert_int_equal(utf8_is_nick(text, 2), is_one);
    }
}

/* ---- folding ---- */

static void assert_folds(const char *text, const char *expected)
{
    char out[UTF8_FOLD_MAX + 1];

    assert_true(is_nick(text));
    out[utf8_fold_nick(text, strlen(text), out)] = '\0';
    assert_string_equal(out, expected);
}

static void test_folding(void **state)
{
    (void)state;
    assert_folds("Ann", "ann");
    assert_folds("ANN", "ann");
    assert_folds("ＡＮＮ", "ann");
    assert_folds("ａｎｎ", "ann");
    assert_folds("A.N-N_7", "a.n-n_7");
    assert_folds("ÄNNE", "änne");
    assert_folds("A\xcc\x88NNE", "änne"); /* A and a diaeresis of its own */
    assert_folds("ß", "ss");
    assert_folds("ẞ", "ss");
    assert_folds("STRAßE", "strasse");
    assert_folds("ΣΊΣΥΦΟΣ", "σίσυφοσ");
    assert_folds("σίσυφος", "σίσυφοσ");
    assert_folds("ﬁn", "fin");
    assert_folds("x²", "x2");
    assert_folds("小明", "小明");
    assert_folds("ｶﾞ", "ガ");
    assert_folds("\xe1\x84\x92\xe1\x85\xa1\xe1\x86\xab", "한"); /* a syllable in its letters */
}

/* Folding has no language: Turkish i with and without its dot stay apart, and I is the i of everyone else. */
static void test_turkish_i(void **state)
{
    (void)state;
    assert_folds("I", "i");
    assert_folds("i", "i");
    assert_folds("ı", "ı");
    assert_folds("İ", "i\xcc\x87");
    assert_folds("i\xcc\x87", "i\xcc\x87");
}

/* What is not seen makes no other nick, and no nick of its own. */
static void test_invisible_letters(void **state)
{
    char out[UTF8_FOLD_MAX];

    (void)state;
    assert_folds("ann\xef\xb8\x8f", "ann"); /* variation selector */
    assert_folds("ann\xe3\x85\xa4", "ann"); /* Hangul filler */
    assert_folds("a\xcd\x8fnn", "ann");     /* combining grapheme joiner */
    assert_int_equal(utf8_fold_nick("\xe3\x85\xa4", 3, out), 0);
}

static void test_folding_that_lengthens(void **state)
{
    char text[33] = "", out[UTF8_FOLD_MAX + 8];
    size_t n;

    (void)state;
    memset(out, '#', sizeof out);
    for (int i = 0; i < 10; i++)
        strcat(text, "\xef\xb7\xba"); /* a ligature of 18 letters */
    n = utf8_fold_nick(text, 30, out);
    assert_true(n == 0 || n <= UTF8_FOLD_MAX);
    for (size_t i = UTF8_FOLD_MAX; i < sizeof out; i++)
        assert_int_equal(out[i], '#');
}

static size_t map(const char *text, size_t len, char *out, size_t size, unsigned options)
{
    utf8proc_uint8_t *mapped = NULL;
    utf8proc_ssize_t n = utf8proc_map((const utf8proc_uint8_t *)text, (utf8proc_ssize_t)len, &mapped,
                                      (utf8proc_option_t)options);

    assert_in_range(n, 0, size);
    memcpy(out, mapped, (size_t)n);
    free(mapped);
    return (size_t)n;
}

static void assert_same(uint32_t c, const char *what, const char *a, size_t a_len, const char *b,
                        size_t b_len)
{
    if (a_len != b_len || memcmp(a, b, a_len) != 0)
        fail_msg("U+%04X %s", c, what);
}

static void test_every_letter(void **state)
{
    (void)state;
    for (uint32_t c = 0x80; c <= 0x10ffff; c++) {
        char text[8] = "a", other[64], folded[UTF8_FOLD_MAX], again[UTF8_FOLD_MAX];
        size_t len, n, folded_len;

        if (c >= 0xd800 && c <= 0xdfff)
            continue;
        len = 1 + utf8_encode(c, text + 1);
        if (!utf8_is_nick(text, len))
            continue;
        folded_len = utf8_fold_nick(text, len, folded);
        if (folded_len == 0 || !utf8_is_valid(folded, folded_len))
            fail_msg("U+%04X is not folded", c);
        n = map(text, len, other, sizeof other, UTF8PROC_DECOMPOSE);
        assert_same(c, "decomposed is another", folded, folded_len, again, utf8_fold_nick(other, n, again));
        n = map(text, len, other, sizeof other, UTF8PROC_COMPOSE | UTF8PROC_COMPAT);
        assert_same(c, "in NFKC is another", folded, folded_len, again, utf8_fold_nick(other, n, again));
        n = 1 +
            utf8_encode((uint32_t)utf8proc_toupper((utf8proc_int32_t)c), (char *)memcpy(other, "A", 1) + 1);
        if (c != 0x131) /* dotless i: its capital is everybody's I */
            assert_same(c, "as a capital is another", folded, folded_len, again,
                        utf8_fold_nick(other, n, again));
        assert_same(c, "folded twice is another", folded, folded_len, again,
                    utf8_fold_nick(folded, folded_len, again));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_short_sequences),
        cmocka_unit_test(test_four_bytes_at_the_edges),
        cmocka_unit_test(test_at_every_place),
        cmocka_unit_test(test_encode_each_code_point),
        cmocka_unit_test(test_nicks),
        cmocka_unit_test(test_each_ascii_character),
        cmocka_unit_test(test_folding),
        cmocka_unit_test(test_turkish_i),
        cmocka_unit_test(test_invisible_letters),
        cmocka_unit_test(test_folding_that_lengthens),
        cmocka_unit_test(test_every_letter),
    };

    return cmocka_run_group_tests_name("utf8", tests, NULL, NULL);
}
