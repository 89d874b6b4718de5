/* test_decode.c: what a line may be, what it may not, and what it says.
 *
 * Every line is decoded in memory of exactly its size, so that a sanitizer sees a byte too far. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/mem.h"
#include "protocol/codec.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char *line; /* of the last decode: values point into it */
static struct message m;
static const char *where;

static enum codec_result decode_bytes(const char *text, size_t len)
{
    free(line);
    line = mem_alloc(len);
    memcpy(line, text, len);
    memset(&m, 0xee, sizeof m); /* nothing may be left as it was and be used */
    where = NULL;
    return codec_decode(line, len, &m, &where);
}

static enum codec_result decode(const char *text)
{
    return decode_bytes(text, strlen(text));
}

static void assert_result(const char *text, enum codec_result expected)
{
    enum codec_result got = decode(text);

    if (got != expected)
        fail_msg("%.80s: %d, not %d (%s)", text, (int)got, (int)expected, where != NULL ? where : "");
    if (expected != CODEC_OK)
        assert_non_null(where);
}

static void assert_text(enum message_field f, const char *expected, size_t len)
{
    const struct value *v = message_get_kind(&m, f, VALUE_STRING);

    assert_non_null(v);
    assert_int_equal(v->len, len);
    assert_memory_equal(v->text, expected, len);
}

#define assert_says(field, expected) assert_text(field, "" expected, sizeof(expected) - 1)

static void test_each_type(void **state)
{
    char text[64];

    (void)state;
    for (int t = 1; t < MESSAGE_TYPE_COUNT; t++) {
        snprintf(text, sizeof text, "{\"type\":\"%s\"}", message_type_name((enum message_type)t));
        assert_result(text, CODEC_OK);
        assert_int_equal(m.type, t);
    }
}

static void test_types_that_do_not_exist(void **state)
{
    static const char *const lines[] = {"{}",
                                        "{\"room\":\"a\"}",
                                        "{\"type\":1}",
                                        "{\"type\":null}",
                                        "{\"type\":[\"send\"]}",
                                        "{\"type\":\"\"}",
                                        "{\"type\":\"Send\"}",
                                        "{\"type\":\"sen\"}",
                                        "{\"type\":\"sends\"}",
                                        "{\"type\":\"send\\u0000\"}",
                                        "{\"Type\":\"send\"}",
                                        "{\"type \":\"send\"}"};

    (void)state;
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        assert_result(lines[i], CODEC_OK);
        assert_int_equal(m.type, MESSAGE_UNKNOWN);
    }
    assert_result("{\"type\":\"shout\"}", CODEC_OK);
    assert_int_equal(m.type_value.kind, VALUE_STRING);
    assert_int_equal(m.type_value.len, 5);
    assert_memory_equal(m.type_value.text, "shout", 5);
    assert_result("{\"type\":\"se\\u006ed\"}", CODEC_OK);
    assert_int_equal(m.type, MESSAGE_SEND);
}

static void test_each_field(void **state)
{
    char text[64];

    (void)state;
    for (int f = 0; f < MESSAGE_FIELD_COUNT; f++) {
        snprintf(text, sizeof text, "{\"%s\":\"x\"}", message_field_name((enum message_field)f));
        assert_result(text, CODEC_OK);
        assert_int_equal(m.present, UINT64_C(1) << f);
        assert_says((enum message_field)f, "x");
    }
    assert_result("{\"nothing\":1,\"text\":\"t\",\"Text\":2,\"tex\":3,\"\":4}", CODEC_OK);
    assert_int_equal(m.present, UINT64_C(1) << FIELD_TEXT);
    assert_result("{\"\\u0074e\\u0078t\":\"by another name\"}", CODEC_OK);
    assert_says(FIELD_TEXT, "by another name");
}

static void test_each_kind(void **state)
{
    static const struct {
        const char *json;
        enum value_kind kind;
    } kinds[] = {
        {"\"\"", VALUE_STRING},
        {"0", VALUE_UINT},
        {"-0", VALUE_NUMBER},
        {"1.0", VALUE_NUMBER},
        {"true", VALUE_TRUE},
        {"false", VALUE_FALSE},
        {"null", VALUE_NULL},
        {"{}", VALUE_NESTED},
        {"[]", VALUE_NESTED},
        {"[ ]", VALUE_NESTED},
        {"{ }", VALUE_NESTED},
        {"[1,\"a\",{\"b\": [ ]} , null]", VALUE_NESTED},
        {"{\"a\" : {\"a\":{}},\"a\":1}", VALUE_NESTED},
    };
    char text[96];

    (void)state;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        snprintf(text, sizeof text, " { \"data\" : %s , \"room\" : \"r\" } ", kinds[i].json);
        assert_result(text, CODEC_OK);
        assert_non_null(message_get_kind(&m, FIELD_DATA, kinds[i].kind));
        assert_says(FIELD_ROOM, "r");
        if (kinds[i].kind != VALUE_STRING) {
            assert_int_equal(m.fields[FIELD_DATA].len, strlen(kinds[i].json));
            assert_memory_equal(m.fields[FIELD_DATA].text, kinds[i].json, strlen(kinds[i].json));
        }
    }
}

static void test_what_is_no_json_object(void **state)
{
    static const char *const lines[] = {
        "",
        " ",
        "x",
        "1",
        "\"a\"",
        "[]",
        "[{}]",
        "null",
        "true",
        "{",
        "}",
        "{}}",
        "{} {}",
        "{},",
        "{}x",
        "{{}}",
        "{,}",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\" 1}",
        "{\"a\":1,}",
        "{,\"a\":1}",
        "{\"a\":1 \"b\":2}",
        "{\"a\":1;\"b\":2}",
        "{a:1}",
        "{'a':1}",
        "{1:1}",
        "{null:1}",
        "{\"a\":1",
        "{\"a\":1,",
        "{\"a\":",
        "{\"a\"",
        "{\"a",
        "{\"",
        "{\"a\":\"",
        "{\"a\":\"b",
        "{\"a\":\"\\",
        "{\"a\":\"\\\"",
        "{\"a\":\"\\u",
        "{\"a\":\"\\u00",
        "{\"a\":\"\\u00\"}",
        "{\"a\":\"\\u00g0\"}",
        "{\"a\":\"\\x41\"}",
        "{\"a\":\"\\'\"}",
        "{\"a\":\"\\U0041\"}",
        "{\"a\":tru}",
        "{\"a\":True}",
        "{\"a\":nul}",
        "{\"a\":truex}",
        "{\"a\":NaN}",
        "{\"a\":Infinity}",
        "{\"a\":undefined}",
        "{\"a\":/**/1}",
        "{\"a\":1}//",
        "\xef\xbb\xbf{}",
        "{\"a\":[}",
        "{\"a\":[1,]}",
        "{\"a\":[,1]}",
        "{\"a\":[1 2]}",
        "{\"a\":[1}",
        "{\"a\":{]}",
        "{\"a\":[1}]}",
        "{\"a\":{\"b\":1]}",
        "{\"a\":{\"b\"}}",
        "{\"a\":{b:1}}",
        "{\"a\":{\"b\":1,}}",
        "{\"a\":{,}}",
        "{\"a\":[",
        "{\"a\":{",
        "{\"a\":{\"b\":[1,{",
        "{\"a\":[\"\\q\"]}",
        "{\"a\":[\"b]}",
        "{\"a\":[tru]}",
        "{\"a\":{\"\\u12\":1}}",
    };

    (void)state;
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++)
        assert_result(lines[i], CODEC_BAD_JSON);
}

/* Blanks are the only space in a line: each control character is refused at each place where one could
 * stand. */
static void test_raw_control_characters(void **state)
{
    static const char *const places[] = {
        "?{\"a\":\"b\"}", "{?\"a\":\"b\"}",   "{\"a?\":\"b\"}",    "{\"a\"?:\"b\"}",  "{\"a\":?\"b\"}",
        "{\"a\":\"?b\"}", "{\"a\":\"\\n?\"}", "{\"a\":\"b\"?}",    "{\"a\":\"b\"}?",  "{\"a\":[?]}",
        "{\"a\":[1?]}",   "{\"a\":[\"?\"]}",  "{\"a\":{\"?\":1}}", "{\"text\":\"?\"}"};

    (void)state;
    for (size_t i = 0; i < sizeof places / sizeof *places; i++)
        for (int c = 0; c < 0x20; c++) {
            size_t len = strlen(places[i]);
            char text[32];

            memcpy(text, places[i], len);
            *(char *)memchr(text, '?', len) = (char)c;
            assert_int_equal(decode_bytes(text, len), CODEC_BAD_JSON);
            *(char *)memchr(text, c, len) = ' ';
            assert_int_equal(decode_bytes(text, len), CODEC_OK);
        }
    assert_result("{\"text\":\"\x7f\"}", CODEC_OK);
}

static void test_what_is_no_utf8(void **state)
{
    static const char *const lines[] = {"{\"a\":\"\xff\"}",
                                        "{\"a\":\"caf\xe9\"}",
                                        "{\"\xc3\":1}",
                                        "\x80",
                                        "{}\xff",
                                        "{\"a\":\"\xed\xa0\x80\"}",
                                        "{\"a\":\"\xc0\x80\"}",
                                        "{\"a\":\"\xf4\x90\x80\x80\"}",
                                        "{\"a\":[\"\xe2\x82\"]}"};

    (void)state;
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++)
        assert_result(lines[i], CODEC_BAD_UTF8);
}

static void test_unescape_in_place(void **state)
{
    (void)state;
    assert_result("{\"text\":\"\\\"\\\\\\/\\b\\f\\n\\r\\t\",\"room\":\"after\"}", CODEC_OK);
    assert_says(FIELD_TEXT, "\"\\/\b\f\n\r\t");
    assert_says(FIELD_ROOM, "after");
    assert_result("{\"text\":\"a\\u0000b\"}", CODEC_OK);
    assert_says(FIELD_TEXT, "a\0b");
    assert_result("{\"text\":\"\\u0041\\u00e9\\u20AC\\u20ac\\uFFFF\\u007f\"}", CODEC_OK);
    assert_says(FIELD_TEXT, "Aé€€\xef\xbf\xbf\x7f");
    assert_result("{\"text\":\"x\\ny\\\\z\\u0021 a long run behind it, and é\"}", CODEC_OK);
    assert_says(FIELD_TEXT, "x\ny\\z! a long run behind it, and é");
    assert_result("{\"te\\u0078t\":\"\\u0031\",\"r\\u006fom\":\"\\u0032\",\"limits\":[\"\\u0033\"]}",
                  CODEC_OK);
    assert_says(FIELD_TEXT, "1");
    assert_says(FIELD_ROOM, "2");
    assert_memory_equal(m.fields[FIELD_LIMITS].text, "[\"\\u0033\"]",
                        10); /* what is nested stays as it was written */
}

static void test_surrogates(void **state)
{
    static const char *const alone[] = {"\\ud83d",         "\\ude00",    "\\ude00\\ud83d", "\\ud83d\\ud83d",
                                        "\\ud83dx",        "\\ud83d\\n", "\\ud83d\\u0041", "\\ud83d\\",
                                        "\\ud83d \\ude00", "\\udfff",    "\\ud800",        "\\ud83d\\ue000"};
    char text[64];

    (void)state;
    assert_result("{\"text\":\"\\ud83d\\ude00\"}", CODEC_OK);
    assert_says(FIELD_TEXT, "\xf0\x9f\x98\x80");
    assert_result("{\"text\":\"\\uD800\\uDC00\\uDBFF\\uDFFF\\ud7ff\\ue000\"}", CODEC_OK);
    assert_says(FIELD_TEXT, "\xf0\x90\x80\x80\xf4\x8f\xbf\xbf\xed\x9f\xbf\xee\x80\x80");
    for (size_t i = 0; i < sizeof alone / sizeof *alone; i++) {
        snprintf(text, sizeof text, "{\"text\":\"%s\"}", alone[i]);
        assert_result(text, CODEC_BAD_UTF8);
        snprintf(text, sizeof text, "{\"other\":[\"%s\"]}", alone[i]);
        assert_result(text, CODEC_BAD_UTF8);
    }
}

/* Each code point, escaped, comes out as its UTF-8. */
static void test_each_escaped_code_point(void **state)
{
    (void)state;
    for (unsigned c = 0; c < 0x10000; c += c < 0x100 ? 1 : 7) {
        char text[32];
        struct buf expected = {0};

        if (c >= 0xd800 && c <= 0xdfff)
            continue;
        buf_putf(&expected, "%s", "");
        if (c < 0x80)
            buf_put(&expected, &(char){(char)c}, 1);
        else if (c < 0x800)
            buf_put(&expected, (char[]){(char)(0xc0 | c >> 6), (char)(0x80 | (c & 63))}, 2);
        else
            buf_put(&expected,
                    (char[]){(char)(0xe0 | c >> 12), (char)(0x80 | (c >> 6 & 63)), (char)(0x80 | (c & 63))},
                    3);
        snprintf(text, sizeof text, "{\"text\":\"\\u%04x\"}", c);
        assert_result(text, CODEC_OK);
        assert_text(FIELD_TEXT, expected.data, expected.len);
        buf_deinit(&expected);
    }
}

static void assert_number(const char *json, enum value_kind kind, uint64_t number)
{
    char text[96];
    const struct value *v;

    snprintf(text, sizeof text, "{\"seq\":%s}", json);
    assert_result(text, CODEC_OK);
    v = message_get_kind(&m, FIELD_SEQ, kind);
    assert_non_null(v);
    assert_int_equal(v->len, strlen(json));
    assert_memory_equal(v->text, json, v->len);
    if (kind == VALUE_UINT)
        assert_int_equal(v->number, number);
}

static void test_numbers(void **state)
{
    static const char *const others[] = {"9007199254740992",
                                         "9007199254740993",
                                         "9999999999999999",
                                         "18446744073709551616",
                                         "36893488147419103233",
                                         "1.0",
                                         "-1",
                                         "-0",
                                         "0.0",
                                         "1e3",
                                         "1E+3",
                                         "1e-3",
                                         "0e0",
                                         "1.5e300",
                                         "100000000000000000000000000000000000000001"};

    (void)state;
    assert_number("0", VALUE_UINT, 0);
    assert_number("7", VALUE_UINT, 7);
    assert_number("4294967296", VALUE_UINT, UINT64_C(4294967296));
    assert_number("9007199254740990", VALUE_UINT, PROTOCOL_MAX_NUMBER - 1);
    assert_number("9007199254740991", VALUE_UINT, PROTOCOL_MAX_NUMBER);
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        assert_number(others[i], VALUE_NUMBER, 0);
}

static void test_what_is_no_number(void **state)
{
    static const char *const wrong[] = {"01",   "00", "-",     "-01",   "+1",   ".5",    "1.",
                                        "1.e3", "1e", "1e+",   "1e-",   "0x10", "1_000", "1,5",
                                        "--1",  "1-", "1.2.3", "1e5e5", "1 2",  "١"};
    char text[64];

    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        snprintf(text, sizeof text, "{\"seq\":%s}", wrong[i]);
        assert_result(text, CODEC_BAD_JSON);
        snprintf(text, sizeof text, "{\"x\":[%s]}", wrong[i]);
        if (strcmp(wrong[i], "1,5") != 0)
            assert_result(text, CODEC_BAD_JSON);
    }
}

/* A line whose nested values are of that depth, the line's own object being 1. */
static char *make_deep(int depth, const char *open, const char *close, const char *middle)
{
    struct buf b = {0};

    buf_puts(&b, "{\"data\":");
    for (int i = 1; i < depth; i++)
        buf_puts(&b, open);
    buf_puts(&b, middle);
    for (int i = 1; i < depth; i++)
        buf_puts(&b, close);
    buf_put(&b, "}", 2);
    return b.data;
}

static void test_depth(void **state)
{
    static const char *const ways[][3] = {{"[", "]", "1"},
                                          {"{\"a\":", "}", "\"x\""},
                                          {"[[],", "]", "[]"},
                                          {"[", "]", ""},
                                          {"{\"a\":{},\"b\":[1, ", "]}", "1"}};

    (void)state;
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++)
        for (int depth = 2; depth <= 40; depth++) {
            int levels = i == 4 ? 2 * depth - 1 : depth; /* two at a time */
            int deepest = i == 2 ? levels + 1 : levels;  /* the empty ones are a level too */
            char *text = make_deep(depth, ways[i][0], ways[i][1], ways[i][2]);

            assert_result(text, deepest <= PROTOCOL_MAX_DEPTH ? CODEC_OK : CODEC_TOO_DEEP);
            free(text);
        }
}

static void test_a_line_of_nothing_but_brackets(void **state)
{
    static char text[PROTOCOL_MAX_LINE];

    (void)state;
    memset(text, '[', sizeof text);
    assert_int_equal(decode_bytes(text, sizeof text), CODEC_BAD_JSON);
    memcpy(text, "{\"a\":", 5);
    assert_int_equal(decode_bytes(text, sizeof text), CODEC_TOO_DEEP);
}

static bool is_twice(enum message_field f)
{
    return m.twice >> f & 1;
}

static void test_fields_given_twice(void **state)
{
    (void)state;
    assert_result("{\"type\":\"send\",\"text\":\"a\",\"id\":\"7\",\"text\":\"b\"}", CODEC_TWICE);
    assert_int_equal(m.twice, UINT64_C(1) << FIELD_TEXT);
    assert_int_equal(m.type, MESSAGE_SEND);
    assert_says(FIELD_ID, "7");
    assert_result("{\"id\":\"a\",\"id\":\"b\",\"text\":\"a\",\"text\":\"a\",\"text\":\"a\"}", CODEC_TWICE);
    assert_true(is_twice(FIELD_ID)); /* each of them is known, not the last one alone */
    assert_true(is_twice(FIELD_TEXT));
    assert_false(is_twice(FIELD_TYPE));
    assert_result("{\"\\u0069d\":1,\"id\":[]}", CODEC_TWICE);
    assert_result("{\"x\":1,\"x\":2,\"data\":{\"id\":1,\"id\":2},\"id\":\"a\"}", CODEC_OK);
    assert_int_equal(m.twice, 0);
}

/* What comes behind a field that stands twice is told as it is. */
static void test_given_twice_and_worse(void **state)
{
    char *deep = make_deep(17, "[", "]", "1");
    struct buf b = {0};

    (void)state;
    assert_result("{\"id\":\"a\",\"id\":\"b\"", CODEC_BAD_JSON);
    assert_result("{\"id\":\"a\",\"id\":\"b\"}x", CODEC_BAD_JSON);
    assert_result("{\"id\":\"a\",\"id\":\"b\",\"text\":\"\\ud800\"}", CODEC_BAD_UTF8);
    buf_putf(&b, "{\"id\":1,\"id\":2,%s", deep + 1);
    buf_put(&b, "", 1);
    assert_result(b.data, CODEC_TOO_DEEP);
    buf_deinit(&b);
    free(deep);
}

/* Every beginning of a good line is refused, and none is read beyond its end. */
static void test_each_beginning_of_a_line(void **state)
{
    static const char whole[] =
        "{\"type\":\"send\",\"id\":\"\\u00e9\\ud83d\\ude00\",\"seq\":12.5e-3,\"x\":[true,{\"a\":null}],\"text\":\"€\"}";

    (void)state;
    for (size_t len = 0; len < sizeof whole - 1; len++)
        assert_int_not_equal(decode_bytes(whole, len), CODEC_OK);
    assert_int_equal(decode_bytes(whole, sizeof whole - 1), CODEC_OK);
}

static int tear_down(void **state)
{
    (void)state;
    free(line);
    line = NULL;
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_type),
        cmocka_unit_test(test_types_that_do_not_exist),
        cmocka_unit_test(test_each_field),
        cmocka_unit_test(test_each_kind),
        cmocka_unit_test(test_what_is_no_json_object),
        cmocka_unit_test(test_raw_control_characters),
        cmocka_unit_test(test_what_is_no_utf8),
        cmocka_unit_test(test_unescape_in_place),
        cmocka_unit_test(test_surrogates),
        cmocka_unit_test(test_each_escaped_code_point),
        cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_what_is_no_number),
        cmocka_unit_test(test_depth),
        cmocka_unit_test(test_a_line_of_nothing_but_brackets),
        cmocka_unit_test(test_fields_given_twice),
        cmocka_unit_test(test_given_twice_and_worse),
        cmocka_unit_test(test_each_beginning_of_a_line),
    };

    return cmocka_run_group_tests_name("decode", tests, NULL, tear_down);
}
