/* test_bots.c: the small parts of chatbot: its timers, its texts and their marks, its settings. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "bots/settings.h"
#include "bots/text.h"
#include "bots/timers.h"
#include "common/clock.h"
#include "common/utf8.h"

#include <string.h>

#define TIMERS 300

struct alarm {
    struct timer timer;
    int fired;
};

static uint64_t last_fired;

static void on_fire(struct timer *t, void *arg)
{
    struct alarm *a = timers_of(t, struct alarm, timer);

    (void)arg;
    assert_true(t->at_us >= last_fired);
    assert_true(clock_mono_us() >= t->at_us);
    last_fired = t->at_us;
    a->fired++;
}

static void timers_fire_in_order(void **state)
{
    static struct alarm alarms[TIMERS];
    struct event_base *base = event_base_new();
    uint64_t now = clock_mono_us();
    struct timers ts;

    (void)state;
    timers_init(&ts, base, on_fire, NULL);
    for (int i = 0; i < TIMERS; i++)
        timers_set(&ts, &alarms[i].timer, now + (uint64_t)(i * 7919 % TIMERS) * 50);
    for (int i = 0; i < TIMERS; i += 3)
        timers_cancel(&ts, &alarms[i].timer);
    for (int i = 1; i < TIMERS; i += 3)
        timers_set(&ts, &alarms[i].timer, now + (uint64_t)(i * 31 % TIMERS) * 50);
    event_base_dispatch(base);
    for (int i = 0; i < TIMERS; i++)
        assert_int_equal(alarms[i].fired, i % 3 == 0 ? 0 : 1);
    timers_deinit(&ts);
    event_base_free(base);
}

static void marks_are_read_as_written(void **state)
{
    const struct text_mark m = {
        .run = 46655, .bot = 14999, .serial = 4000000000u, .due_us = UINT64_C(123456789012345)};
    struct text_mark got;
    struct buf b = {0};

    (void)state;
    text_put_mark(&b, &m);
    assert_true(b.len <= TEXT_MARK_MAX);
    assert_true(text_read_mark(b.data, b.len, &got));
    assert_int_equal(got.run, m.run);
    assert_int_equal(got.bot, m.bot);
    assert_int_equal(got.serial, m.serial);
    assert_int_equal(got.due_us, m.due_us);
    for (size_t cut = 0; cut + 1 < b.len; cut++)
        assert_false(text_read_mark(b.data, cut, &got));
    buf_deinit(&b);
}

static void other_texts_have_no_mark(void **state)
{
    static const char *const texts[] = {
        "", "=", "hello", "=1.2.3=", "=1.2.3.X= ", "=...= ", "=1..2.3= ", "1.2.3.4= "};
    struct text_mark got;

    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        assert_false(text_read_mark(texts[i], strlen(texts[i]), &got));
}

static void texts_are_of_the_size_asked_for(void **state)
{
    struct dice d;

    (void)state;
    dice_seed(&d, 42);
    for (int kind = TEXT_ASCII; kind <= TEXT_MIXED; kind++)
        for (size_t size = 1; size < 300; size++) {
            struct buf b = {0};

            text_put(&b, &d, (enum text_kind)kind, size);
            assert_int_equal(b.len, size);
            assert_true(utf8_is_valid(b.data, b.len));
            assert_null(memchr(b.data, '\n', b.len));
            buf_deinit(&b);
        }
}

static void sizes_stay_in_their_range_and_are_mostly_small(void **state)
{
    int small = 0;
    struct dice d;

    (void)state;
    dice_seed(&d, 1);
    for (int i = 0; i < 10000; i++) {
        size_t size = text_pick_size(&d, 10, 1000);

        assert_in_range(size, 10, 1000);
        small += size < 100;
    }
    assert_in_range(small, 4500, 5500);
    assert_int_equal(text_pick_size(&d, 64, 64), 64);
}

static void the_same_seed_is_the_same_run(void **state)
{
    struct dice a, b, c;

    (void)state;
    dice_seed(&a, 7);
    dice_seed(&b, 7);
    dice_seed(&c, 8);
    assert_int_equal(dice_roll(&a), dice_roll(&b));
    assert_int_not_equal(dice_roll(&a), dice_roll(&c));
}

static void settings_are_read_and_shown_alike(void **state)
{
    static const char *const good[][2] = {{"bots", "15000"},   {"rate", "0.5"},         {"closed", "yes"},
                                          {"size", "20-4000"}, {"arrivals", "poisson"}, {"text", "cjk"},
                                          {"tls", "no"},       {"size", "64"}};
    struct settings s;
    const char *why;
    char out[64];

    (void)state;
    settings_init(&s);
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        const struct settings_entry *e = settings_find(good[i][0]);

        assert_non_null(e);
        assert_true(settings_set(&s, e, good[i][1], &why));
        settings_format(&s, e, out, sizeof out);
        assert_string_equal(out, good[i][1]);
    }
}

static void bad_settings_are_refused(void **state)
{
    static const char *const bad[][2] = {
        {"bots", "many"},         {"bots", "1.5"}, {"bots", "-1"},  {"rate", "nan"},  {"rate", ""},
        {"closed", "maybe"},      {"size", "0"},   {"size", "9-8"}, {"size", "8193"}, {"text", "latin"},
        {"room_prefix", "Rooms"}, {"rate", "5x"}};
    struct settings s;
    const char *why;

    (void)state;
    settings_init(&s);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        why = NULL;
        assert_false(settings_set(&s, settings_find(bad[i][0]), bad[i][1], &why));
        assert_non_null(why);
    }
    assert_null(settings_find("no such setting"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(timers_fire_in_order),
        cmocka_unit_test(marks_are_read_as_written),
        cmocka_unit_test(other_texts_have_no_mark),
        cmocka_unit_test(texts_are_of_the_size_asked_for),
        cmocka_unit_test(sizes_stay_in_their_range_and_are_mostly_small),
        cmocka_unit_test(the_same_seed_is_the_same_run),
        cmocka_unit_test(settings_are_read_and_shown_alike),
        cmocka_unit_test(bad_settings_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
