/* test_histogram.c: the latency histogram: three significant digits everywhere, exact ends, percentiles by rank. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "bots/histogram.h"

#include <stdlib.h>

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
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
