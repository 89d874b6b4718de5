/* test_ladder.c: what the renderers make of connections made by hand: no line wider than asked for, columns
 * in place also with CJK texts, what the eye has to find, and nothing that a text could break out of. */
#include "tests/unit/trace_models.h"
#include "trace/ladder.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const unsigned widths[] = {60, 61, 80, 99, 120, 200, 400};

static struct model *everything(void)
{
    struct model *m = model_new();
    struct model_conn *c = trace_conn(m, "x");

    trace_did(m, c, 5, MODEL_CLIENT, "connect", -1, EINPROGRESS, NULL);
    trace_open_up(m, c);
    trace_did(m, c, 30, MODEL_SERVER, "accept4", 9, 0, NULL);
    trace_did(m, c, 1005, MODEL_CLIENT, "send", 27, 0,
              "你好，世界：这是一个很长很长的说明，比哪一栏都要长得多");
    trace_did(m, c, 1020, MODEL_SERVER, "recv", 27, 0, NULL);
    trace_seg(m, c, 5000, MODEL_CLIENT, P | A, 28, 1, 1000000);
    trace_seg(m, c, 205000, MODEL_CLIENT, P | A, 28, 1, 1000000);
    trace_seg(m, c, 305000, MODEL_CLIENT, F | A, 1000028, 1, 0);
    trace_did(m, c, 305010, MODEL_CLIENT, "shutdown(WR)", 0, 0, NULL);
    trace_is_in(m, c, 305020, MODEL_CLIENT, TCP_STATE_FIN_WAIT_1, MODEL_TCP_INFO);
    trace_seg(m, c, 305050, MODEL_SERVER, A, 1, 1000029, 0);
    trace_is_in(m, c, 305060, MODEL_SERVER, TCP_STATE_CLOSE_WAIT, MODEL_SOCK_DIAG);
    trace_seg(m, c, 399000, MODEL_SERVER, P | A, 1, 1000029, 120);
    trace_did(m, c, 99999000, MODEL_SERVER, "close", 0, 0, "unread=27");
    trace_seg(m, c, 99999010, MODEL_SERVER, R | A, 121, 1000029, 0);
    trace_did(m, c, 99999100, MODEL_CLIENT, "recv", -1, ECONNRESET, NULL);
    model_add_note(m, c,
                   &(struct model_note){.time_ns = TRACE_START + 2000000,
                                        .side = MODEL_SERVER,
                                        .kind = "note",
                                        .text = "备注 </script><b>&\"\x1b[31m"});
    model_finish(m);
    return m;
}

static char *draw(struct model *m, void (*write)(FILE *, const struct ladder *),
                  const struct ladder_options *o)
{
    struct ladder l;
    char *text = NULL;
    size_t size;
    FILE *f = open_memstream(&text, &size);

    ladder_init(&l, m->conns[0]);
    if (o != NULL)
        ladder_write_terminal(f, &l, o);
    else
        write(f, &l);
    fclose(f);
    ladder_deinit(&l);
    if (text == NULL)
        abort();
    return text;
}

static void has(const char *text, const char *words)
{
    if (text == NULL || strstr(text, words) == NULL)
        fail_msg("\"%s\" is not in:\n%s", words, text != NULL ? text : "nothing");
}

/* Calls fn for each line, which ends in NUL then. */
static void each_line(char *text, void (*fn)(const char *line, unsigned number, void *arg), void *arg)
{
    unsigned number = 0;

    for (char *line = text, *next; *line != '\0'; line = next) {
        next = strchr(line, '\n');
        assert_non_null(next);
        *next++ = '\0';
        fn(line, number++, arg);
    }
}

static void check_width(const char *line, unsigned number, void *arg)
{
    if (ladder_width(line) > *(const unsigned *)arg)
        fail_msg("line %u has %zu columns of %u: %s", number, ladder_width(line), *(const unsigned *)arg,
                 line);
}

static void test_no_line_is_wider(void **state)
{
    struct model *m = everything();

    (void)state;
    for (size_t i = 0; i < sizeof widths / sizeof *widths; i++)
        for (int ascii = 0; ascii < 2; ascii++) {
            unsigned width = widths[i];
            char *text =
                draw(m, NULL, &(struct ladder_options){.width = width, .ascii = ascii, .evidence = true});

            each_line(text, check_width, &width);
            free(text);
        }
    model_free(m);
}

/* The lifelines stand in one column, whatever is in the cells before them. */
static void check_bar(const char *line, unsigned number, void *arg)
{
    const char *bar = strstr(line, "│"), *half = strstr(line, "┊");
    size_t *column = arg, at;
    char before[1024];

    if (bar == NULL || number < 2)
        return;
    if (half != NULL && half < bar)
        return;
    snprintf(before, sizeof before, "%.*s", (int)(bar - line), line);
    at = ladder_width(before);
    if (*column == 0)
        *column = at;
    assert_int_equal(at, *column);
}

static void test_cjk_is_aligned(void **state)
{
    struct model *m = everything();

    (void)state;
    for (size_t i = 0; i < sizeof widths / sizeof *widths; i++) {
        char *text = draw(m, NULL, &(struct ladder_options){.width = widths[i]});
        size_t column = 0;

        each_line(text, check_bar, &column);
        assert_true(column > 10);
        free(text);
    }
    model_free(m);
}

static void check_ascii(const char *line, unsigned number, void *arg)
{
    (void)arg;
    for (; *line != '\0'; line++)
        if ((unsigned char)*line < 0x20 || (unsigned char)*line > 0x7e)
            fail_msg("line %u has byte %02x", number, (unsigned char)*line);
}

static void test_ascii_is_ascii(void **state)
{
    struct model *m = everything();
    char *text = draw(m, NULL, &(struct ladder_options){.width = 100, .ascii = true});

    (void)state;
    has(text, "<X");
    has(text, " again");
    each_line(text, check_ascii, NULL);
    free(text);
    model_free(m);
}

/* "FA 28 a1234567", or less of it. */
static void check_numbers(const char *line, unsigned number, void *arg)
{
    const char *at = strstr(line, "FA");
    unsigned long seq, ack;
    int n;

    (void)arg;
    n = at != NULL ? sscanf(at + 2, " %lu a%lu", &seq, &ack) : 0;
    if ((n >= 1 && seq != 28 && seq != 1234567) || (n == 2 && ack != 29 && ack != 1234567))
        fail_msg("line %u has half a number: %s", number, line);
}

/* Where a number does not fit, it is left out: cut, it would be another one. */
static void test_no_half_numbers(void **state)
{
    struct model *m = model_new();
    struct model_conn *c = trace_conn(m, "x");
    char *text;

    (void)state;
    trace_open_up(m, c);
    trace_seg(m, c, 10000, MODEL_SERVER, P | A, 1, 28, 1234566);
    trace_seg(m, c, 10050, MODEL_CLIENT, F | A, 28, 1234567, 0);
    trace_seg(m, c, 10060, MODEL_SERVER, F | A, 1234567, 29, 0);
    trace_seg(m, c, 10070, MODEL_CLIENT, A, 29, 1234568, 0);
    model_finish(m);
    for (unsigned width = 60; width < 76; width++) {
        text = draw(m, NULL, &(struct ladder_options){.width = width});
        has(text, "FA 28");
        each_line(text, check_numbers, NULL);
        free(text);
    }
    model_free(m);
}

/* Of the widest columns too: the picture's and the page's labels have as many. */
static void test_no_half_numbers_in_pictures(void **state)
{
    struct model *m = model_new();
    struct model_conn *c = trace_conn(m, "x");
    char *svg, *html;

    (void)state;
    trace_open_up(m, c);
    trace_seg(m, c, 10000, MODEL_CLIENT, P | A | MODEL_URG | F, 4123456789, 4012345678, 65483);
    trace_seg(m, c, 10100, MODEL_CLIENT, P | A | MODEL_URG | F, 4123456789, 4012345678, 65483);
    model_finish(m);
    svg = draw(m, ladder_write_svg, NULL);
    html = draw(m, ladder_write_html, NULL);
    for (int i = 0; i < 2; i++) {
        const char *at = i == 0 ? svg : strstr(html, "\"rows\"");

        for (; (at = strstr(at, "4123456789:")) != NULL; at++) {
            assert_memory_equal(at, "4123456789:4123522272", 21);
            assert_null(memchr(at + 21, 0xe2, 2)); /* … */
        }
    }
    has(svg, "(1) FIN,PSH,ACK,URG 4123456789:4123522272<");
    has(svg, "↻ FIN,PSH,ACK,URG 4123456789:4123522272<");
    has(html, "\"label\":\"(1) FPAU 4123456789:4123522272\"");
    free(svg);
    free(html);
    model_free(m);
}

/* A program's reason may be one long word, and of any script. */
static void test_a_long_word_in_the_sentence(void **state)
{
    struct model *m = model_new();
    struct model_conn *c = trace_conn(m, "x");
    char word[700] = "sent ", *svg;

    (void)state;
    for (size_t i = 5; i + 3 < sizeof word; i += 3)
        memcpy(word + i, "话", 4);
    trace_open_up(m, c);
    trace_seg(m, c, 10000, MODEL_SERVER, R | A, 1, 28, 0);
    model_add_note(
        m, c,
        &(struct model_note){
            .time_ns = TRACE_START + 11000000, .side = MODEL_SERVER, .kind = "reset", .text = word});
    model_finish(m);
    svg = draw(m, ladder_write_svg, NULL);
    has(svg, "</svg>");
    assert_null(strchr(svg, '?'));
    free(svg);
    model_free(m);
}

/* No digit of a time is cut: from 1,000,000 ms on it is told in hours. */
static void test_long_times(void **state)
{
    static const struct {
        int64_t ns;
        const char *text;
    } times[] = {{0, "0.000"},
                 {1234567, "1.235"},
                 {999999000000, "999999.000"},
                 {1000000000000, "0:16:40.000"},
                 {90061007000000, "25:01:01.007"},
                 {360000000000000, "100:00:00"}};
    struct model *m = model_new();
    struct model_conn *c = trace_conn(m, "x");
    char text[LADDER_TEXT], *drawn;

    (void)state;
    for (size_t i = 0; i < sizeof times / sizeof *times; i++)
        assert_string_equal(ladder_time_text(times[i].ns, text), times[i].text);
    trace_open_up(m, c);
    trace_seg(m, c, 2000000007, MODEL_CLIENT, F | A, 28, 1, 0);
    model_finish(m);
    drawn = draw(m, ladder_write_svg, NULL);
    has(drawn, ">0:33:20.000<");
    free(drawn);
    drawn = draw(m, ladder_write_html, NULL);
    has(drawn, "\"at\":\"0:33:20.000\"");
    free(drawn);
    model_free(m);
}

/* C0, DEL, C1 in one byte and in two, what turns the direction: none of it comes through. */
static void test_plain_texts(void **state)
{
    char text[] = "a\033[2J\x7f\x9b\xc2\x9b"
                  "b\xe2\x80\xae\xe4\xbd\xa0\xff",
         ascii[] = "a\xe4\xbd\xa0\n";

    (void)state;
    ladder_make_plain(text, false);
    assert_string_equal(text, "a?[2J???b?你?");
    ladder_make_plain(ascii, true);
    assert_string_equal(ascii, "a????");
}

static void test_the_eye_finds_it(void **state)
{
    struct model *m = everything();
    char *text = draw(m, NULL, &(struct ladder_options){.width = 140, .color = true});

    (void)state;
    has(text, "\033[1;31m"); /* the reset */
    has(text, "\033[33m");   /* sent again */
    has(text, "\033[35m");   /* half-closed */
    has(text, "~ESTAB");     /* inferred */
    has(text, "CLOSE_WAIT*");
    has(text, "ABORTED");
    has(text, "(1)");
    assert_null(strstr(text, "\033[31m")); /* the note's own */
    free(text);
    text = draw(m, NULL, &(struct ladder_options){.width = 140});
    assert_null(strchr(text, '\033'));
    free(text);
    model_free(m);
}

static unsigned count(const char *text, const char *words)
{
    unsigned n = 0;

    for (; (text = strstr(text, words)) != NULL; text++)
        n++;
    return n;
}

static void test_pages_are_closed_to_texts(void **state)
{
    struct model *m = everything();
    char *svg = draw(m, ladder_write_svg, NULL), *html = draw(m, ladder_write_html, NULL);
    char *mermaid = draw(m, ladder_write_mermaid, NULL);

    (void)state;
    assert_int_equal(count(svg, "</script>"), 0);
    has(svg, "备注");
    assert_int_equal(count(html, "</script>"), 1);
    assert_null(strchr(html, '\033'));
    has(mermaid, "sequenceDiagram");
    assert_null(strstr(mermaid, "<b>"));
    free(svg);
    free(html);
    free(mermaid);
    model_free(m);
}

/* A FIN and what was done with it are one row; a write and its segment too. */
static void test_what_belongs_together_is_one_row(void **state)
{
    struct model *m = everything();
    struct ladder l;
    unsigned pairs = 0;

    (void)state;
    ladder_init(&l, m->conns[0]);
    for (size_t i = 0; i < l.count; i++) {
        const struct ladder_row *r = &l.rows[i];

        if (r->segment == NULL || r->call[MODEL_CLIENT] == NULL)
            continue;
        pairs += strcmp(r->call[MODEL_CLIENT]->call.name, "send") == 0 && r->segment->segment.len == 27 &&
                 r->call[MODEL_SERVER] != NULL;
        pairs += strcmp(r->call[MODEL_CLIENT]->call.name, "shutdown(WR)") == 0 &&
                 (r->segment->segment.flags & MODEL_FIN) && r->state[MODEL_CLIENT] != NULL && r->mark == 1;
    }
    assert_int_equal(pairs, 2);
    ladder_deinit(&l);
    model_free(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_line_is_wider),
        cmocka_unit_test(test_cjk_is_aligned),
        cmocka_unit_test(test_ascii_is_ascii),
        cmocka_unit_test(test_no_half_numbers),
        cmocka_unit_test(test_no_half_numbers_in_pictures),
        cmocka_unit_test(test_a_long_word_in_the_sentence),
        cmocka_unit_test(test_long_times),
        cmocka_unit_test(test_plain_texts),
        cmocka_unit_test(test_the_eye_finds_it),
        cmocka_unit_test(test_pages_are_closed_to_texts),
        cmocka_unit_test(test_what_belongs_together_is_one_row),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
