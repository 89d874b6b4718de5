/* test_words.c: what a text is made of in the eyes of a search, and what matches. */
#include "common/words.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void expect_terms(const char *text, const char *wanted)
{
    struct words w = {0};
    struct buf b = {0};

    words_split(&w, text, strlen(text));
    words_put_terms(&b, &w);
    buf_put(&b, "", 1);
    assert_string_equal(b.data, wanted);
    words_deinit(&w);
    buf_deinit(&b);
}

static void test_terms(void **state)
{
    (void)state;
    expect_terms("", "");
    expect_terms("Hello, World! x2", "hello world x2 ");
    expect_terms("foo_bar-baz.c", "foo bar baz c ");
    expect_terms("ＦＵＬＬ　ｗｉｄｔｈ１", "full width1 ");
    expect_terms("Straße ÉCLAIR cafe\xcc\x81 Ёлка", "strasse eclair cafe елка ");
    expect_terms("中文搜索", "中 中文 文 文搜 搜 搜索 索 ");
    expect_terms("iPhone手机，好", "iphone 手 手机 机 好 ");
    expect_terms("a\xc2\xad"
                 "b c\xe2\x80\x8d"
                 "d",
                 "ab cd "); /* soft hyphen, joiner */
    expect_terms("👍🏽 ok", "👍 ok ");
    expect_terms("\"* AND NEAR(a,b) -c ^ {x}:", "and near a b c x ");
}

/* Wide and narrow, composed and not. */
static void test_same(void **state)
{
    static const char *const same[][2] = {
        {"カ゛ラス", "カ゛ラス"},
        {"ｶﾞﾗｽ", "ガラス"},
        {"か\xe3\x82\x99", "が"},
        {"\xe1\x84\x92\xe1\x85\xa1\xe1\x86\xab", "한"},
        {"é", "e\xcc\x81"},
        {"ﬁle", "FILE"},
        {"Ａ", "a"},
        {"Σίσυφος", "ΣΊΣΥΦΟΣ"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof same / sizeof *same; i++) {
        struct words w = {0};
        struct buf b = {0};

        words_split(&w, same[i][1], strlen(same[i][1]));
        words_put_terms(&b, &w);
        buf_put(&b, "", 1);
        expect_terms(same[i][0], b.data);
        words_deinit(&w);
        buf_deinit(&b);
    }
}

static void test_long_words(void **state)
{
    char text[300], wanted[70];

    (void)state;
    memset(text, 'x', sizeof text);
    text[200] = ' ';
    text[201] = 'y';
    text[202] = '\0';
    memset(wanted, 'x', 64);
    strcpy(wanted + 64, " y ");
    expect_terms(text, wanted);
}

static bool matches(const char *query, const char *text)
{
    struct words_query q = {0};
    struct words w = {0};
    bool ret = words_parse(&q, query, strlen(query));

    words_split(&w, text, strlen(text));
    ret = ret && words_match(&q, &w);
    words_deinit(&w);
    words_query_deinit(&q);
    return ret;
}

static void test_match(void **state)
{
    static const struct {
        const char *query, *text;
        bool is_found;
    } cases[] = {
        {"hello", "Hello, world", true},
        {"hell", "hello", false},
        {"world hello", "hello, world", true},
        {"\"world hello\"", "hello, world", false},
        {"\"hello world\"", "oh hello, world!", true},
        {"\"hello world", "oh hello world", true}, /* a quote that is not ended */
        {"hello x", "hello", false},
        {"foo-bar", "foo bar", true},
        {"foo-bar", "bar foo", false},
        {"文", "中文", true},
        {"中文", "学中文吧", true},
        {"中文", "中，文", false},
        {"中文", "文中", false},
        {"中文 好", "好，中文", true},
        {"\"中 文\"", "中，文", true},
        {"検索", "全文検索エンジン", true},
        {"ｴﾝｼﾞﾝ", "全文検索エンジン", true},
        {"CAFE", "un café", true},
        {"“hello world”", "hello world", true},
        {"*", "anything", false},
        {"", "anything", false},
        {"a\"b", "b a", true},
        {"🙂", "good 🙂!", true},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        if (matches(cases[i].query, cases[i].text) != cases[i].is_found)
            fail_msg("%s in %s", cases[i].query, cases[i].text);
    }
}

static void test_query_terms(void **state)
{
    struct words_query q = {0};
    struct words_term terms[3];
    static const char text[] = "a 中文字 \"longest word\" a";

    (void)state;
    assert_true(words_parse(&q, text, strlen(text)));
    assert_int_equal(q.phrase_count, 4);
    assert_int_equal(words_terms(&q, terms, 3), 3);
    assert_memory_equal(terms[0].text, "longest", terms[0].len);
    assert_memory_equal(terms[1].text, "中文", terms[1].len);
    assert_memory_equal(terms[2].text, "文字", terms[2].len);
    words_query_deinit(&q);
}

static void test_marks(void **state)
{
    static const char text[] = "say Café, café au lait";
    struct words_query q = {0};
    struct words w = {0};
    size_t at = 0, count;

    (void)state;
    assert_true(words_parse(&q, "\"cafe au\" cafe", 14));
    words_split(&w, text, strlen(text));
    assert_true(words_next(&q, &w, &at, &count));
    assert_int_equal(count, 1);
    assert_int_equal(w.v[at].from, 4);
    assert_int_equal(w.v[at].to, 9);
    at += count;
    assert_true(words_next(&q, &w, &at, &count));
    assert_int_equal(count, 2);
    assert_memory_equal(text + w.v[at].from, "café au", w.v[at + 1].to - w.v[at].from);
    at += count;
    assert_false(words_next(&q, &w, &at, &count));
    words_deinit(&w);
    words_query_deinit(&q);
}

/* Anything goes: bytes that are no UTF-8 part words. */
static void test_any_bytes(void **state)
{
    struct words w = {0};
    char text[2000];
    uint32_t random = 1;

    (void)state;
    for (int round = 0; round < 500; round++) {
        for (size_t i = 0; i < sizeof text; i++) {
            random = random * 1664525U + 1013904223U;
            text[i] = (char)(random >> 24);
        }
        words_split(&w, text, sizeof text);
        for (size_t i = 0; i < w.count; i++) {
            assert_true(w.v[i].to <= sizeof text && w.v[i].from < w.v[i].to);
            assert_true(w.v[i].at + w.v[i].len <= w.text.len);
        }
    }
    words_deinit(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_terms),       cmocka_unit_test(test_same),
        cmocka_unit_test(test_long_words),  cmocka_unit_test(test_match),
        cmocka_unit_test(test_query_terms), cmocka_unit_test(test_marks),
        cmocka_unit_test(test_any_bytes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
