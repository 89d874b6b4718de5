/* test_cuts.c: verdicts on captures that have not all of a connection, or have parts of it twice: what is not there
 * is not guessed. */
#include "tests/unit/trace_models.h"
#include "trace/verdict.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const struct verdict *judge(const struct trace_made *x)
{
    model_finish(x->m);
    assert_int_equal(x->m->count, 1);
    return verdict_of(x->m->conns[0]);
}

static void says(const struct verdict *v, const char *words)
{
    if (strstr(v->sentence, words) == NULL)
        fail_msg("\"%s\" is not in: %s", words, v->sentence);
}

static void is_silent_on(const struct verdict *v, const char *words)
{
    if (strstr(v->sentence, words) != NULL)
        fail_msg("\"%s\" is in: %s", words, v->sentence);
}

/* The fourth segment of four is missing: that makes no close of three. */
static void test_the_last_ack_is_missing(void **state)
{
    struct trace_made *x = *state;
    const struct verdict *v;

    trace_open_up(x->m, x->c);
    trace_seg(x->m, x->c, 10000, MODEL_CLIENT, F | A, 28, 1, 0);
    trace_seg(x->m, x->c, 10050, MODEL_SERVER, A, 1, 29, 0);
    trace_seg(x->m, x->c, 20000, MODEL_SERVER, F | A, 1, 29, 0);
    v = judge(x);
    assert_int_equal(v->how, VERDICT_GRACEFUL);
    assert_int_equal(v->segments, 0);
    is_silent_on(v, "segments");
    says(v, "The last acknowledgement is not in the capture.");
}

/* Both FINs were under way, and then came an RST: there were FINs. */
static void test_crossing_fins_and_a_reset(void **state)
{
    struct trace_made *x = *state;
    const struct verdict *v;

    trace_open_up(x->m, x->c);
    trace_seg(x->m, x->c, 10000, MODEL_CLIENT, F | A, 28, 1, 0);
    trace_seg(x->m, x->c, 10005, MODEL_SERVER, F | A, 1, 28, 0);
    trace_seg(x->m, x->c, 10010, MODEL_CLIENT, R | A, 29, 2, 0);
    v = judge(x);
    assert_int_equal(v->how, VERDICT_ABORTED);
    is_silent_on(v, "No FIN");
    says(v, "Both closed at once");
}

/* The SYN,ACK was not captured, but what came behind it was. */
static void test_an_answer_that_was_not_captured(void **state)
{
    struct trace_made *x = *state;
    const struct verdict *v;
    bool is_up = false;

    trace_seg(x->m, x->c, 0, MODEL_CLIENT, S, 0, 0, 0);
    trace_seg(x->m, x->c, 20, MODEL_CLIENT, A, 1, 1, 0);
    trace_seg(x->m, x->c, 1000, MODEL_CLIENT, P | A, 1, 1, 27);
    trace_seg(x->m, x->c, 1010, MODEL_SERVER, A, 1, 28, 0);
    v = judge(x);
    assert_int_equal(v->how, VERDICT_OPEN);
    for (size_t i = 0; i < x->m->conns[0]->count; i++) {
        const struct model_event *e = &x->m->conns[0]->events[i];

        is_up |= e->kind == MODEL_STATE && e->state.side == MODEL_SERVER &&
                 e->state.state == TCP_STATE_ESTABLISHED;
    }
    assert_true(is_up);
}

static void test_a_later_reset_is_no_refusal(void **state)
{
    struct trace_made *x = *state;
    const struct verdict *v;

    trace_seg(x->m, x->c, 0, MODEL_CLIENT, S, 0, 0, 0);
    trace_seg(x->m, x->c, 20, MODEL_CLIENT, A, 1, 1, 0);
    trace_seg(x->m, x->c, 1000, MODEL_CLIENT, P | A, 1, 1, 27);
    trace_seg(x->m, x->c, 1010, MODEL_SERVER, R | A, 1, 28, 0);
    v = judge(x);
    assert_int_equal(v->how, VERDICT_ABORTED);
    is_silent_on(v, "nobody listens");
}

static void lose_segments(const struct trace_made *x)
{
    trace_open_up(x->m, x->c);
    for (int i = 0; i < 4; i++) /* at 20, 220, 620 and 1420 ms */
        trace_seg(x->m, x->c, 20000 + 200000 * ((1 << i) - 1), MODEL_CLIENT, P | A, 28, 1, 10);
}

/* Who stopped, the peer or whoever captured? The one more that would have come, and did not, tells. */
static void test_a_capture_that_stops(void **state)
{
    struct trace_made *x = *state;
    const struct verdict *v;

    lose_segments(x);
    x->c->watched_ns = TRACE_START + 1500000000;
    v = judge(x);
    assert_int_equal(v->how, VERDICT_OPEN);
    is_silent_on(v, "fell silent");
    says(v, "The capture ends with 3 segments sent again and not answered yet.");
}

static void test_a_capture_that_goes_on(void **state)
{
    struct trace_made *x = *state;
    const struct verdict *v;

    lose_segments(x);
    x->c->watched_ns = TRACE_START + 4000000000;
    v = judge(x);
    assert_int_equal(v->how, VERDICT_TIMED_OUT);
    says(v, "The server fell silent: 3 segments sent again, none answered.");
}

/* 100 bytes, of which 40 are new in the segment that repeats the others. */
static void test_what_overlaps_counts_once(void **state)
{
    struct trace_made *x = *state;
    const struct verdict *v;

    trace_open_up(x->m, x->c);
    trace_seg(x->m, x->c, 10000, MODEL_CLIENT, F | A, 28, 1, 0);
    trace_seg(x->m, x->c, 10050, MODEL_SERVER, A, 1, 29, 0);
    trace_seg(x->m, x->c, 20000, MODEL_SERVER, P | A, 1, 29, 60);
    trace_seg(x->m, x->c, 20100, MODEL_SERVER, P | A, 1, 29, 100);
    trace_seg(x->m, x->c, 20110, MODEL_CLIENT, A, 29, 101, 0);
    trace_seg(x->m, x->c, 52200, MODEL_SERVER, F | A, 101, 29, 0);
    trace_seg(x->m, x->c, 52220, MODEL_CLIENT, A, 29, 102, 0);
    v = judge(x);
    assert_int_equal(v->bytes_after_fin, 100);
    assert_int_equal(v->segments, 4);
}

#define WITH_MODEL(test) cmocka_unit_test_setup_teardown(test, trace_make, trace_unmake)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_MODEL(test_the_last_ack_is_missing),
        WITH_MODEL(test_crossing_fins_and_a_reset),
        WITH_MODEL(test_an_answer_that_was_not_captured),
        WITH_MODEL(test_a_later_reset_is_no_refusal),
        WITH_MODEL(test_a_capture_that_stops),
        WITH_MODEL(test_a_capture_that_goes_on),
        WITH_MODEL(test_what_overlaps_counts_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
