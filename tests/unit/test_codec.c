/* test_codec.c: lines that are written and read back, and lines that another JSON library reads too
 * (cJSON). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/mem.h"
#include "common/utf8.h"
#include "protocol/codec.h"

#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DOCUMENTS 6000

static unsigned seed;

static unsigned below(unsigned n)
{
    return (unsigned)rand_r(&seed) % n;
}

/* ---- lines as the server writes them ---- */

/* Decodes the line in b, whose LF must be its only one. The caller frees the copy that the values point
 * into. */
static char *decode_line(const struct buf *b, struct message *m)
{
    char *copy = mem_strndup(b->data, b->len);
    const char *where;

    assert_ptr_equal(memchr(b->data, '\n', b->len), b->data + b->len - 1);
    assert_int_equal(codec_decode(copy, b->len - 1, m, &where), CODEC_OK);
    return copy;
}

static void assert_field(const struct message *m, enum message_field f, const char *text, size_t len)
{
    const struct value *v = message_get_kind(m, f, VALUE_STRING);

    assert_non_null(v);
    assert_int_equal(v->len, len);
    assert_memory_equal(v->text, text, len);
}

static void assert_uint(const struct message *m, enum message_field f, uint64_t number)
{
    const struct value *v = message_get_kind(m, f, VALUE_UINT);

    assert_non_null(v);
    assert_int_equal(v->number, number);
}

static void test_strings(void **state)
{
    struct buf b = {0};

    (void)state;
    codec_put_string(&b, "", 0);
    codec_put_string(&b, "plain é", 8);
    codec_put_string(&b, "\"\\\b\f\n\r\t/", 8);
    codec_put_string(&b, "\0\x01\x1f\x7f", 4);
    buf_put(&b, "", 1);
    assert_string_equal(b.data, "\"\"\"plain é\"\"\\\"\\\\\\b\\f\\n\\r\\t/\"\"\\u0000\\u0001\\u001f\x7f\"");
    buf_deinit(&b);
}

/* Runs of plain bytes are looked through in blocks: what ends one is found wherever it stands in them. */
static void test_an_escape_at_every_place(void **state)
{
    static const char *const escapes[][2] = {
        {"\"", "\\\""}, {"\\", "\\\\"}, {"\n", "\\n"}, {"\x1f", "\\u001f"}};

    (void)state;
    for (size_t len = 1; len <= 50; len++)
        for (size_t at = 0; at < len; at++)
            for (size_t e = 0; e < sizeof escapes / sizeof *escapes; e++) {
                char text[64], expected[80];
                struct buf b = {0};
                struct message m;
                char *copy;

                memset(text, e % 2 == 0 ? ' ' : '\x7f', len);
                text[at] = *escapes[e][0];
                snprintf(expected, sizeof expected, "\"%.*s%s%.*s\"", (int)at, text, escapes[e][1],
                         (int)(len - at - 1), text + at + 1);
                codec_put_string(&b, text, len);
                assert_int_equal(b.len, strlen(expected));
                assert_memory_equal(b.data, expected, b.len);
                buf_clear(&b);
                codec_begin(&b, MESSAGE_SEND);
                codec_add(&b, FIELD_TEXT, text, len);
                codec_end(&b);
                copy = decode_line(&b, &m);
                assert_field(&m, FIELD_TEXT, text, len);
                free(copy);
                buf_deinit(&b);
            }
}

static void test_numbers_of_every_length(void **state)
{
    (void)state;
    for (uint64_t power = 1;; power *= 10) {
        const uint64_t values[] = {power - 1, power, power + 1, power * 9, UINT64_MAX / power};

        for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
            char expected[24];
            struct buf b = {0};

            snprintf(expected, sizeof expected, "%llu", (unsigned long long)values[i]);
            buf_put_uint(&b, values[i]);
            buf_put(&b, "", 1);
            assert_string_equal(b.data, expected);
            buf_deinit(&b);
        }
        if (power > UINT64_MAX / 10)
            break;
    }
}

static void test_a_line_of_each_kind(void **state)
{
    struct buf b = {0};
    struct message m;
    char *copy;

    (void)state;
    codec_begin(&b, MESSAGE_WELCOME);
    codec_add_text(&b, FIELD_NICK, "Ann");
    codec_add(&b, FIELD_TEXT, "a\0\"b", 4);
    codec_add_uint(&b, FIELD_SEQ, PROTOCOL_MAX_NUMBER);
    codec_add_uint(&b, FIELD_COUNT, 0);
    codec_add_bool(&b, FIELD_MORE, true);
    codec_add_bool(&b, FIELD_REPEAT, false);
    codec_add_raw(&b, FIELD_LIMITS, "{\"max\":[1,2]}", 13);
    codec_end(&b);
    copy = decode_line(&b, &m);
    assert_int_equal(m.type, MESSAGE_WELCOME);
    assert_field(&m, FIELD_NICK, "Ann", 3);
    assert_field(&m, FIELD_TEXT, "a\0\"b", 4);
    assert_uint(&m, FIELD_SEQ, PROTOCOL_MAX_NUMBER);
    assert_uint(&m, FIELD_COUNT, 0);
    assert_non_null(message_get_kind(&m, FIELD_MORE, VALUE_TRUE));
    assert_non_null(message_get_kind(&m, FIELD_REPEAT, VALUE_FALSE));
    assert_non_null(message_get_kind(&m, FIELD_LIMITS, VALUE_NESTED));
    assert_null(message_get(&m, FIELD_ROOM));
    free(copy);
    buf_deinit(&b);
}

static size_t random_text(char *out, size_t most)
{
    size_t want = below(5) == 0 ? below((unsigned)most) : below(40), n = 0;

    while (n < want && n + 4 <= most) {
        static const uint32_t kinds[][2] = {{'a', 'z'},      {0, 0x1f},        {'"', '"'},
                                            {'\\', '\\'},    {0x20, 0x7f},     {0x80, 0x7ff},
                                            {0x800, 0xd7ff}, {0xe000, 0xffff}, {0x10000, 0x10ffff}};
        const uint32_t *k = kinds[below(sizeof kinds / sizeof *kinds)];

        n += utf8_encode(k[0] + below(k[1] - k[0] + 1), out + n);
    }
    return n;
}

static void test_messages_there_and_back(void **state)
{
    char text[PROTOCOL_MAX_TEXT];

    (void)state;
    seed = 1;
    for (int i = 0; i < 1000; i++) {
        uint64_t seq = i < 3 ? (uint64_t)i : (uint64_t)below(1u << 30) << below(23);
        size_t len = random_text(text, sizeof text);
        struct buf b = {0};
        struct message m;
        char *copy;

        buf_puts(&b, "what was there before\n");
        codec_put_msg(&b, "@小明", 7, seq, "Ann-é", 6, 1764000000000, text, len);
        b.len -= 22;
        memmove(b.data, b.data + 22, b.len);
        copy = decode_line(&b, &m);
        assert_int_equal(m.type, MESSAGE_MSG);
        assert_field(&m, FIELD_ROOM, "@小明", 7);
        assert_field(&m, FIELD_NICK, "Ann-é", 6);
        assert_field(&m, FIELD_TEXT, text, len);
        assert_uint(&m, FIELD_SEQ, seq);
        assert_uint(&m, FIELD_TIME, 1764000000000);
        assert_int_equal(codec_msg_seq(b.data, b.len), seq);
        free(copy);
        buf_deinit(&b);
    }
}

static void check_again(const struct buf *line, const char *re, const char *room)
{
    struct buf again = {0};
    struct message m, first;
    char *copy, *first_copy = decode_line(line, &first);

    codec_put_msg_again(&again, line->data, line->len, re, re != NULL ? strlen(re) : 0, room,
                        room != NULL ? strlen(room) : 0);
    copy = decode_line(&again, &m);
    assert_int_equal(m.type, MESSAGE_MSG);
    assert_int_equal(message_get(&m, FIELD_RE) != NULL, re != NULL);
    if (re != NULL)
        assert_field(&m, FIELD_RE, re, strlen(re));
    if (room != NULL)
        assert_field(&m, FIELD_ROOM, room, strlen(room));
    else
        assert_field(&m, FIELD_ROOM, first.fields[FIELD_ROOM].text, first.fields[FIELD_ROOM].len);
    assert_field(&m, FIELD_TEXT, first.fields[FIELD_TEXT].text, first.fields[FIELD_TEXT].len);
    assert_field(&m, FIELD_NICK, first.fields[FIELD_NICK].text, first.fields[FIELD_NICK].len);
    assert_uint(&m, FIELD_SEQ, first.fields[FIELD_SEQ].number);
    assert_uint(&m, FIELD_TIME, first.fields[FIELD_TIME].number);
    if (re == NULL) { /* then it is a line of the same make */
        assert_int_equal(codec_msg_seq(again.data, again.len), first.fields[FIELD_SEQ].number);
        if (room == NULL) {
            assert_int_equal(again.len, line->len);
            assert_memory_equal(again.data, line->data, line->len);
        }
    }
    free(copy);
    free(first_copy);
    buf_deinit(&again);
}

static void test_messages_again(void **state)
{
    static const char *const res[] = {NULL, "1", "a\"b\\c", "é"};
    static const char *const rooms[] = {NULL, "general", "@Ann", "@小明", "a.b_c-d"};
    static const char *const texts[] = {"hi", "\",\"seq\":99,\"room\":\"x\"", "}\n{", "\\"};

    (void)state;
    for (size_t t = 0; t < sizeof texts / sizeof *texts; t++)
        for (size_t r = 1; r < sizeof rooms / sizeof *rooms; r++) {
            struct buf line = {0};

            codec_put_msg(&line, rooms[r], strlen(rooms[r]), 40 + r, "bob", 3, 5, texts[t], strlen(texts[t]));
            for (size_t i = 0; i < sizeof res / sizeof *res; i++)
                for (size_t k = 0; k < sizeof rooms / sizeof *rooms; k++)
                    check_again(&line, res[i], rooms[k]);
            buf_deinit(&line);
        }
}

/* ---- documents that cJSON reads as well ---- */

static void put_space(struct buf *b)
{
    for (unsigned n = below(4) == 0 ? below(4) : 0; n > 0; n--)
        buf_puts(b, " ");
}

static void put_random_string(struct buf *b)
{
    static const char *const parts[] = {"a",
                                        "zz",
                                        "é",
                                        "小",
                                        "\xf0\x9f\x98\x80",
                                        "\\n",
                                        "\\\"",
                                        "\\\\",
                                        "\\/",
                                        "\\b",
                                        "\\f",
                                        "\\r",
                                        "\\t",
                                        "\\u0041",
                                        "\\u00e9",
                                        "\\u20ac",
                                        "\\uD83D\\uDE00",
                                        "\\udbff\\udfff",
                                        " ",
                                        "\x7f"};

    buf_puts(b, "\"");
    for (unsigned n = below(9); n > 0; n--)
        buf_puts(b, parts[below(sizeof parts / sizeof *parts)]);
    buf_puts(b, "\"");
}

static void put_random_value(struct buf *b, int depth)
{
    static const char *const plain[] = {"true",
                                        "false",
                                        "null",
                                        "0",
                                        "-0",
                                        "1",
                                        "-1",
                                        "12.25",
                                        "1e3",
                                        "1.5E-7",
                                        "-3e+2",
                                        "4294967296",
                                        "9007199254740991",
                                        "9007199254740992",
                                        "123456789012345678901234567890"};
    unsigned what = below(depth > 0 ? 10 : 8), n = below(4);

    if (what < 4) {
        put_random_string(b);
    } else if (what < 8) {
        buf_puts(b, plain[below(sizeof plain / sizeof *plain)]);
    } else {
        buf_puts(b, what == 8 ? "[" : "{");
        for (unsigned i = 0; i < n; i++) {
            buf_puts(b, i > 0 ? "," : "");
            put_space(b);
            if (what == 9)
                buf_putf(b, "\"k%u\" :", i);
            put_space(b);
            put_random_value(b, depth - 1);
            put_space(b);
        }
        buf_puts(b, what == 8 ? "]" : "}");
    }
}

static void put_random_document(struct buf *b)
{
    unsigned first = below(MESSAGE_FIELD_COUNT), n = below(6);

    put_space(b);
    buf_puts(b, "{");
    for (unsigned i = 0; i < n; i++) {
        enum message_field f = (enum message_field)((first + i * 7) % MESSAGE_FIELD_COUNT);

        buf_puts(b, i > 0 ? "," : "");
        put_space(b);
        if (below(5) == 0)
            buf_putf(b, "\"unknown%u\"", i);
        else
            buf_putf(b, "\"%s\"", message_field_name(f));
        put_space(b);
        buf_puts(b, ":");
        put_space(b);
        put_random_value(b, 6);
        put_space(b);
    }
    buf_puts(b, "}");
    put_space(b);
}

static bool numbers_agree(const struct value *v, const cJSON *theirs)
{
    char digits[64];

    if (!cJSON_IsNumber(theirs) || v->len >= sizeof digits)
        return false;
    memcpy(digits, v->text, v->len);
    digits[v->len] = '\0';
    return strtod(digits, NULL) >= theirs->valuedouble && strtod(digits, NULL) <= theirs->valuedouble &&
           (v->kind != VALUE_UINT || (uint64_t)theirs->valuedouble == v->number);
}

/* As cJSON prints them: its own comparison takes no object in which a name stands twice. */
static bool nested_agree(const struct value *v, const cJSON *theirs)
{
    cJSON *ours = cJSON_ParseWithLength(v->text, v->len);
    char *a = cJSON_PrintUnformatted(ours), *b = cJSON_PrintUnformatted(theirs);
    bool same = a != NULL && b != NULL && strcmp(a, b) == 0;

    cJSON_free(a);
    cJSON_free(b);
    cJSON_Delete(ours);
    return same;
}

static bool values_agree(const struct value *v, const cJSON *theirs)
{
    switch ((enum value_kind)v->kind) {
    case VALUE_STRING:
        return cJSON_IsString(theirs) && strlen(theirs->valuestring) == v->len &&
               memcmp(theirs->valuestring, v->text, v->len) == 0;
    case VALUE_UINT:
    case VALUE_NUMBER:
        return numbers_agree(v, theirs);
    case VALUE_TRUE:
        return cJSON_IsTrue(theirs);
    case VALUE_FALSE:
        return cJSON_IsFalse(theirs);
    case VALUE_NULL:
        return cJSON_IsNull(theirs);
    case VALUE_NESTED:
        return nested_agree(v, theirs);
    }
    return false;
}

static void compare_with_cjson(const char *text, const struct message *m)
{
    cJSON *theirs = cJSON_Parse(text);

    if (theirs == NULL)
        fail_msg("cJSON refuses what was taken: %s", text);
    for (int f = 0; f < MESSAGE_FIELD_COUNT; f++) {
        const cJSON *item =
            cJSON_GetObjectItemCaseSensitive(theirs, message_field_name((enum message_field)f));
        const struct value *v = message_get(m, (enum message_field)f);

        if ((item != NULL) != (v != NULL) || (v != NULL && !values_agree(v, item)))
            fail_msg("%s is not what cJSON has found: %s", message_field_name((enum message_field)f), text);
    }
    cJSON_Delete(theirs);
}

static void test_cjson_reads_the_same(void **state)
{
    (void)state;
    seed = 2;
    for (int i = 0; i < DOCUMENTS; i++) {
        struct buf b = {0};
        struct message m;
        const char *where;
        char *copy;

        put_random_document(&b);
        copy = mem_strndup(b.data, b.len);
        if (codec_decode(copy, b.len, &m, &where) != CODEC_OK)
            fail_msg("%s: %.*s", where, (int)b.len, b.data);
        buf_put(&b, "", 1);
        compare_with_cjson(b.data, &m);
        free(copy);
        buf_deinit(&b);
    }
}

/* Documents with some bytes changed: cJSON takes more than we do (it is lenient), never less, and it reads
 * the same. */
static void test_cjson_reads_what_is_taken_of_the_damaged(void **state)
{
    static const char bytes[] = "{}[]\":,\\un0e1 \t\x01-+.tfa/\xc3\xa9";
    int taken = 0;

    (void)state;
    seed = 3;
    for (int i = 0; i < 4 * DOCUMENTS; i++) {
        struct buf b = {0};
        struct message m;
        const char *where;
        char *copy;

        put_random_document(&b);
        for (unsigned n = 1 + below(3); n > 0; n--)
            b.data[below((unsigned)b.len)] = bytes[below(sizeof bytes - 1)];
        buf_put(&b, "", 1);
        copy = mem_strndup(b.data, b.len);
        if (codec_decode(copy, b.len - 1, &m, &where) == CODEC_OK && strstr(b.data, "\\u0000") == NULL) {
            compare_with_cjson(b.data, &m);
            taken++;
        }
        free(copy);
        buf_deinit(&b);
    }
    assert_true(taken > DOCUMENTS / 4);
}

/* What we write, cJSON reads. */
static void test_cjson_reads_what_is_written(void **state)
{
    char text[400];

    (void)state;
    seed = 4;
    for (int i = 0; i < 1000; i++) {
        size_t len = random_text(text, sizeof text);
        struct buf b = {0};
        cJSON *theirs;

        while (memchr(text, '\0', len) != NULL) /* its strings end there */
            *(char *)memchr(text, '\0', len) = 'x';
        codec_put_msg(&b, "general", 7, 5, "ann", 3, 6, text, len);
        theirs = cJSON_ParseWithLength(b.data, b.len);
        assert_non_null(theirs);
        assert_int_equal(strlen(cJSON_GetStringValue(cJSON_GetObjectItem(theirs, "text"))), len);
        assert_memory_equal(cJSON_GetStringValue(cJSON_GetObjectItem(theirs, "text")), text, len);
        cJSON_Delete(theirs);
        buf_deinit(&b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_strings),
        cmocka_unit_test(test_an_escape_at_every_place),
        cmocka_unit_test(test_numbers_of_every_length),
        cmocka_unit_test(test_a_line_of_each_kind),
        cmocka_unit_test(test_messages_there_and_back),
        cmocka_unit_test(test_messages_again),
        cmocka_unit_test(test_cjson_reads_the_same),
        cmocka_unit_test(test_cjson_reads_what_is_taken_of_the_damaged),
        cmocka_unit_test(test_cjson_reads_what_is_written),
    };

    return cmocka_run_group_tests_name("codec", tests, NULL, NULL);
}
