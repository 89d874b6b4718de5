/* test_clock.c: stamps and durations as people read them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/clock.h"

#include <pthread.h>
#include <string.h>
#include <time.h>

#define SECOND UINT64_C(1000000)

static void assert_stamp(uint64_t wall_us, const char *expected)
{
    char out[CLOCK_STAMP_SIZE];

    memset(out, '?', sizeof out);
    clock_format(wall_us, out);
    assert_string_equal(out, expected);
}

static void test_stamps(void **state)
{
    (void)state;
    assert_stamp(0, "1970-01-01T00:00:00.000000Z");
    assert_stamp(1, "1970-01-01T00:00:00.000001Z");
    assert_stamp(999999, "1970-01-01T00:00:00.999999Z");
    assert_stamp(1000000, "1970-01-01T00:00:01.000000Z");
    assert_stamp(951782399 * SECOND, "2000-02-28T23:59:59.000000Z");
    assert_stamp(951782400 * SECOND, "2000-02-29T00:00:00.000000Z");
    assert_stamp(UINT64_C(2147483648) * SECOND, "2038-01-19T03:14:08.000000Z");
    assert_stamp(UINT64_C(4107542400) * SECOND, "2100-03-01T00:00:00.000000Z");
    assert_stamp(UINT64_C(253402300799) * SECOND + 999999, "9999-12-31T23:59:59.999999Z");
}

/* The calendar part is kept from call to call: going back and forth must not show it. */
static void test_stamps_that_go_back(void **state)
{
    (void)state;
    assert_stamp(100 * SECOND + 5, "1970-01-01T00:01:40.000005Z");
    assert_stamp(100 * SECOND + 6, "1970-01-01T00:01:40.000006Z");
    assert_stamp(99 * SECOND + 999999, "1970-01-01T00:01:39.999999Z");
    assert_stamp(100 * SECOND, "1970-01-01T00:01:40.000000Z");
}

static void *stamp_alone(void *arg)
{
    uint64_t base = *(const uint64_t *)arg;

    for (uint64_t i = 0; i < 2000; i++) {
        char out[CLOCK_STAMP_SIZE], expected[CLOCK_STAMP_SIZE];
        time_t t = (time_t)(base + i / 3);
        struct tm tm;

        clock_format((base + i / 3) * SECOND, out);
        gmtime_r(&t, &tm);
        strftime(expected, sizeof expected, "%Y-%m-%dT%H:%M:%S.000000Z", &tm);
        if (strcmp(out, expected) != 0)
            return arg;
    }
    return NULL;
}

static void test_stamps_of_many_threads(void **state)
{
    pthread_t threads[4];
    uint64_t bases[4] = {0, 1000000000, 1700000000, 4000000000};

    (void)state;
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, stamp_alone, &bases[i]), 0);
    for (size_t i = 0; i < 4; i++) {
        void *bad;

        pthread_join(threads[i], &bad);
        assert_null(bad);
    }
}

static void assert_duration(uint64_t us, const char *expected)
{
    char out[32];

    clock_format_duration(us, out, sizeof out);
    assert_string_equal(out, expected);
}

/* Also just below where the unit changes: 999.96 ms is not "1000.0ms", nor is 59.99 s "60.0s". */
static void test_durations(void **state)
{
    (void)state;
    assert_duration(0, "0us");
    assert_duration(843, "843us");
    assert_duration(999, "999us");
    assert_duration(1000, "1.0ms");
    assert_duration(31200, "31.2ms");
    assert_duration(999960, "999.9ms");
    assert_duration(999999, "999.9ms");
    assert_duration(1000000, "1.0s");
    assert_duration(3200000, "3.2s");
    assert_duration(59999999, "59.9s");
    assert_duration(60 * SECOND, "1m00s");
    assert_duration(3599 * SECOND + 999999, "59m59s");
    assert_duration(3600 * SECOND, "1h00m");
    assert_duration(7500 * SECOND, "2h05m");
    assert_duration(100 * 3600 * SECOND, "100h00m");
}

static void test_a_duration_that_does_not_fit(void **state)
{
    char out[4];

    (void)state;
    clock_format_duration(123456, out, sizeof out);
    assert_string_equal(out, "123");
}

static void test_clocks(void **state)
{
    uint64_t last = clock_mono_us();

    (void)state;
    for (int i = 0; i < 1000; i++) {
        uint64_t now = clock_mono_us();

        assert_true(now >= last);
        last = now;
    }
    assert_in_range(clock_wall_us() / SECOND, (uint64_t)time(NULL) - 2, (uint64_t)time(NULL) + 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_stamps),
        cmocka_unit_test(test_stamps_that_go_back),
        cmocka_unit_test(test_stamps_of_many_threads),
        cmocka_unit_test(test_durations),
        cmocka_unit_test(test_a_duration_that_does_not_fit),
        cmocka_unit_test(test_clocks),
    };

    return cmocka_run_group_tests_name("clock", tests, NULL, NULL);
}
