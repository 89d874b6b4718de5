/* test_histogram.c: the latency histogram: three significant digits everywhere, exact ends, percentiles by
 * rank; and what a run makes of its figures: which count, who was the limit, how the server has grown. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "bots/histogram.h"
#include "bots/stats.h"

#include <stdlib.h>
#include <string.h>

static void every_value_is_known_to_a_thousandth(void **state)
{
    (void)state;
    for (uint64_t v = 0; v < HISTOGRAM_TOP; v += v / 700 + 1) {
        uint64_t upper = histogram_upper(histogram_slot(v));

        assert_true(upper >= v);
        assert_true(upper - v <= v / 1000);
    }
}

static void slots_are_in_order_without_holes(void **state)
{
    (void)state;
    for (uint32_t slot = 0; slot + 1 < HISTOGRAM_SLOTS; slot++) {
        assert_int_equal(histogram_slot(histogram_upper(slot)), slot);
        assert_int_equal(histogram_slot(histogram_upper(slot) + 1), slot + 1);
    }
    assert_int_equal(histogram_upper(HISTOGRAM_SLOTS - 1), HISTOGRAM_TOP);
    assert_int_equal(histogram_slot(UINT64_MAX), HISTOGRAM_SLOTS - 1);
}

static void an_empty_one_says_nothing(void **state)
{
    struct histogram *h = histogram_new();

    (void)state;
    assert_int_equal(histogram_percentile(h, 50), 0);
    assert_int_equal(histogram_percentile(h, 100), 0);
    assert_true(histogram_mean(h) == 0);
    free(h);
}

static void percentiles_are_ranks(void **state)
{
    struct histogram *h = histogram_new();

    (void)state;
    for (uint64_t v = 1; v <= 1000; v++)
        histogram_record(h, v);
    assert_int_equal(histogram_percentile(h, 0), 1);
    assert_int_equal(histogram_percentile(h, 50), 500);
    assert_int_equal(histogram_percentile(h, 99), 990);
    assert_int_equal(histogram_percentile(h, 99.9), 999);
    assert_int_equal(histogram_percentile(h, 99.91), 1000);
    assert_int_equal(histogram_percentile(h, 100), 1000);
    assert_true(histogram_mean(h) == 500.5);
    free(h);
}

static void no_percentile_is_above_the_greatest_value(void **state)
{
    struct histogram *h = histogram_new();

    (void)state;
    histogram_record(h, 123456789);
    assert_int_equal(histogram_percentile(h, 50), 123456789);
    assert_int_equal(h->min, 123456789);
    histogram_record(h, UINT64_MAX);
    assert_true(histogram_percentile(h, 100) <= h->max);
    assert_true(histogram_percentile(h, 100) >= HISTOGRAM_TOP);
    free(h);
}

static void one_in_a_thousand_shows_at_the_third_nine(void **state)
{
    struct histogram *h = histogram_new();

    (void)state;
    for (int i = 0; i < 9989; i++)
        histogram_record(h, 200);
    for (int i = 0; i < 11; i++)
        histogram_record(h, 2000000);
    assert_int_equal(histogram_percentile(h, 99), 200);
    assert_true(histogram_percentile(h, 99.9) >= 2000000 - 2000);
    free(h);
}

static void clearing_forgets_all(void **state)
{
    struct histogram *h = histogram_new();

    (void)state;
    histogram_record(h, 5);
    histogram_record(h, 5000000);
    histogram_clear(h);
    assert_int_equal(h->count, 0);
    histogram_record(h, 7);
    assert_int_equal(histogram_percentile(h, 100), 7);
    assert_int_equal(h->min, 7);
    for (uint32_t i = 0; i < HISTOGRAM_SLOTS; i++)
        assert_int_equal(h->slots[i], i == 7);
    free(h);
}

/* ---- figures of a run */

#define SECOND UINT64_C(1000000)

/* A run of 1 s of ramp, 1 s of settling, and as many measured seconds as rows; its clock begins at 0. */
static void begin(struct stats *s, size_t measured)
{
    stats_init(s, 0);
    s->began_us = 0;
    s->ramp_to_us = SECOND;
    s->measure_from_us = 2 * SECOND;
    s->measure_to_us = (2 + measured) * SECOND;
    s->self_began = s->self_ramp = s->self_from = s->self_to = (struct proc_facts){0};
    s->rows = calloc(measured, sizeof *s->rows);
    s->row_count = s->row_cap = measured;
    for (size_t i = 0; i < measured; i++)
        s->rows[i] = (struct stats_row){.phase = PHASE_MEASURE};
}

static void lags(struct stats *s, enum stats_phase phase, uint64_t us)
{
    s->phase = phase;
    for (int i = 0; i < 100; i++)
        stats_latency(s, LATENCY_LAG, 0, us);
}

static void takes(struct stats *s, enum stats_latency l, uint64_t due, uint64_t us)
{
    for (int i = 0; i < 100; i++)
        stats_latency(s, l, due, due + us);
}

/* It says so, with that in it; NULL: it does not. */
static void limit_is(struct stats *s, const char *word)
{
    char text[256] = "";

    assert_int_equal(stats_find_own_limit(s, text, sizeof text), word != NULL);
    if (word != NULL)
        assert_non_null(strstr(text, word));
    stats_deinit(s);
}

static void a_run_at_ease_has_no_limit(void **state)
{
    struct stats s;

    (void)state;
    begin(&s, 10);
    lags(&s, PHASE_MEASURE, 100);
    takes(&s, LATENCY_DELIVERY, 3 * SECOND, 500);
    takes(&s, LATENCY_ENTRY, SECOND / 2, 500);
    limit_is(&s, NULL);
}

static void a_whole_core_is_a_limit(void **state)
{
    struct stats s;

    (void)state;
    begin(&s, 10);
    s.rows[3].cpu = 0.95;
    limit_is(&s, NULL); /* one second of ten */
    begin(&s, 10);
    s.rows[3].cpu = s.rows[4].cpu = 0.95;
    limit_is(&s, "a whole core in 20 % of the measured time");
}

static void a_late_loop_is_a_limit_where_it_shows(void **state)
{
    struct stats s;

    (void)state;
    begin(&s, 10);
    lags(&s, PHASE_MEASURE, 5000);
    takes(&s, LATENCY_DELIVERY, 3 * SECOND, 100000);
    limit_is(&s, NULL); /* a twentieth of what is reported */
    begin(&s, 10);
    lags(&s, PHASE_MEASURE, 5000);
    takes(&s, LATENCY_DELIVERY, 3 * SECOND, 8000);
    limit_is(&s, "late in the measured time");
}

static void waiting_for_a_cpu_is_a_limit(void **state)
{
    struct stats s;

    (void)state;
    begin(&s, 10);
    s.self_to.waited_us = 2 * SECOND;
    limit_is(&s, "20 % of the measured time");
}

/* Where what is shown of the way in is from the ramp, what chatbot did in the ramp matters. */
static void the_ramp_is_judged_where_its_figures_are_shown(void **state)
{
    struct stats s;

    (void)state;
    begin(&s, 10);
    lags(&s, PHASE_RAMP, 50000);
    takes(&s, LATENCY_ENTRY, SECOND / 2, 60000);
    limit_is(&s, "late in the ramp");
    begin(&s, 10);
    lags(&s, PHASE_RAMP, 50000);
    takes(&s, LATENCY_ENTRY, SECOND / 2, 60000);
    takes(&s, LATENCY_ENTRY, 3 * SECOND, 400);
    limit_is(&s, NULL);
    begin(&s, 10);
    takes(&s, LATENCY_ENTRY, SECOND / 2, 60000);
    s.self_ramp.cpu_us = 980000;
    limit_is(&s, "98 % of the ramp");
}

static void what_was_due_in_the_measured_time_counts(void **state)
{
    struct stats s;
    bool early;

    (void)state;
    for (int l = LATENCY_DELIVERY; l < LATENCY_LAG; l++) {
        begin(&s, 10);
        stats_latency(&s, (enum stats_latency)l, SECOND, 3 * SECOND);
        stats_latency(&s, (enum stats_latency)l, 3 * SECOND, 20 * SECOND);
        stats_latency(&s, (enum stats_latency)l, 13 * SECOND, 14 * SECOND);
        assert_int_equal(stats_shown(&s, (enum stats_latency)l, &early)->count, 1);
        assert_int_equal(stats_shown(&s, (enum stats_latency)l, &early)->max, 17 * SECOND);
        assert_false(early);
        stats_deinit(&s);
    }
}

static void the_way_in_is_shown_of_the_ramp_where_there_is_no_other(void **state)
{
    struct stats s;
    bool early;

    (void)state;
    begin(&s, 10);
    stats_latency(&s, LATENCY_LOGIN, SECOND, SECOND + 700);
    stats_latency(&s, LATENCY_LOGIN, 13 * SECOND, 14 * SECOND); /* in the drain */
    assert_int_equal(stats_shown(&s, LATENCY_LOGIN, &early)->max, 700);
    assert_true(early);
    stats_deinit(&s);
}

static void growth_is_from_the_first_tenth_to_the_last(void **state)
{
    double percent = 0;
    struct stats s;

    (void)state;
    begin(&s, 30);
    for (size_t i = 0; i < 30; i++)
        s.rows[i].server_rss = i < 3 ? 1000 : i < 27 ? 9000 : 1100;
    s.rows[1].server_rss = 5000; /* one that stands out is no matter */
    s.rows[28].server_rss = 50;
    assert_true(stats_server_growth(&s, &percent));
    assert_true(percent > 9.99 && percent < 10.01);
    stats_deinit(&s);
}

static void growth_is_not_known_of_a_short_run_or_no_server(void **state)
{
    double percent = 5;
    struct stats s;

    (void)state;
    begin(&s, 9);
    for (size_t i = 0; i < 9; i++)
        s.rows[i].server_rss = 1000;
    assert_false(stats_server_growth(&s, &percent));
    stats_deinit(&s);
    begin(&s, 30);
    for (size_t i = 0; i < 30; i++)
        s.rows[i].server_cpu = -1;
    assert_false(stats_server_growth(&s, &percent));
    stats_deinit(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_value_is_known_to_a_thousandth),
        cmocka_unit_test(slots_are_in_order_without_holes),
        cmocka_unit_test(an_empty_one_says_nothing),
        cmocka_unit_test(percentiles_are_ranks),
        cmocka_unit_test(no_percentile_is_above_the_greatest_value),
        cmocka_unit_test(one_in_a_thousand_shows_at_the_third_nine),
        cmocka_unit_test(clearing_forgets_all),
        cmocka_unit_test(a_run_at_ease_has_no_limit),
        cmocka_unit_test(a_whole_core_is_a_limit),
        cmocka_unit_test(a_late_loop_is_a_limit_where_it_shows),
        cmocka_unit_test(waiting_for_a_cpu_is_a_limit),
        cmocka_unit_test(the_ramp_is_judged_where_its_figures_are_shown),
        cmocka_unit_test(what_was_due_in_the_measured_time_counts),
        cmocka_unit_test(the_way_in_is_shown_of_the_ramp_where_there_is_no_other),
        cmocka_unit_test(growth_is_from_the_first_tenth_to_the_last),
        cmocka_unit_test(growth_is_not_known_of_a_short_run_or_no_server),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
