/* test_bots.c: the small parts of chatbot: its timers, its texts and their marks, its settings; and the fate
 * of a bot's sends, told as stories. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "bots/settings.h"
#include "bots/text.h"
#include "bots/timers.h"
#include "check_story.h"
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

/* What is written as a number in a report: "inf" is a room's name. */
static void only_numbers_are_numbers(void **state)
{
    struct settings s;
    const char *why;

    (void)state;
    settings_init(&s);
    assert_true(settings_set(&s, settings_find("room_prefix"), "inf", &why));
    assert_false(settings_is_number(&s, settings_find("room_prefix")));
    assert_true(settings_is_number(&s, settings_find("rate")));
    assert_false(settings_is_number(&s, settings_find("size")));
    assert_true(settings_set(&s, settings_find("size"), "64", &why));
    assert_true(settings_is_number(&s, settings_find("size")));
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

static void acks_have_to_name_the_message(void **state)
{
    struct story s;
    uint32_t first, second;

    (void)state;
    begin(&s);
    first = sends(&s.ann, HASH(1));
    second = sends(&s.ann, HASH(2));
    gets_own(&s.ann, 1, HASH(1), first);
    gets_own(&s.ann, 2, HASH(2), second);
    acked(&s.ann, first, 2);  /* another's number */
    acked(&s.ann, second, 2); /* right */
    acked(&s.ann, second, 2); /* twice */
    acked(&s.ann, 77, 3);     /* never sent */
    found(&s, CHECK_ACK, 3);
}

static void an_own_message_comes_back_once_and_as_it_was(void **state)
{
    struct story s;
    uint32_t serial;

    (void)state;
    begin(&s);
    serial = sends(&s.ann, HASH(1));
    gets_own(&s.ann, 1, HASH(1), serial);
    gets_own(&s.ann, 2, HASH(1), serial);
    found(&s, CHECK_REPEATED, 1);
    begin(&s);
    serial = sends(&s.ann, HASH(1));
    gets_own(&s.ann, 1, HASH(8), serial);
    found(&s, CHECK_ALTERED, 1);
}

static void every_send_has_its_fate(void **state)
{
    struct story s;
    uint32_t seen;

    (void)state;
    begin(&s);
    seen = sends(&s.ann, HASH(1));
    sends(&s.ann, HASH(2));
    gets_own(&s.ann, 1, HASH(1), seen);
    check_end(&s.ann, true, false);
    found(&s, CHECK_UNACKED, 2);
    begin(&s);
    acked(&s.ann, sends(&s.ann, HASH(1)), 1);
    check_end(&s.ann, true, false);
    found(&s, CHECK_UNSEEN, 1);
}

/* "hello", said once, comes twice; said twice, it may. */
static void own_words_come_as_often_as_they_were_said(void **state)
{
    struct story s;

    (void)state;
    begin(&s);
    acked(&s.ann, sends(&s.ann, HASH(1)), 1);
    gets_own_words(&s.ann, 1, HASH(1));
    gets_own_words(&s.ann, 2, HASH(1));
    found(&s, CHECK_REPEATED, 1);
    begin(&s);
    sends(&s.ann, HASH(1));
    gets_own_words(&s.ann, 1, HASH(1));
    sends(&s.ann, HASH(1));
    gets_own_words(&s.ann, 2, HASH(1));
    check_end(&s.ann, false, false);
    check_joined(&s.ann, ROOM, 1, 2, -1);
    gets_own_words(&s.ann, 3, HASH(1)); /* perhaps said right before the end */
    found(&s, CHECK_REPEATED, 0);
}

static void an_ack_names_its_room(void **state)
{
    static const struct check_acked elsewhere = {.room = "elsewhere", .room_len = 9, .seq = 1},
                                    nowhere = {.seq = 2};
    struct story s;

    (void)state;
    begin(&s);
    check_ack(&s.ann, sends(&s.ann, HASH(1)), &elsewhere);
    check_ack(&s.ann, sends(&s.ann, HASH(2)), &nowhere);
    found(&s, CHECK_ACK, 2);
}

/* The nick was written otherwise than its owner writes it. */
static void a_direct_ack_may_write_the_nick_otherwise(void **state)
{
    static const struct check_acked as_bob_writes_it = {.room = "@Bob", .room_len = 4, .seq = 1};
    struct story s;

    (void)state;
    begin(&s);
    check_ack(&s.ann, check_will_send(&s.ann, check_find(&s.ann, "@bob", 4), HASH(1), 0, 5),
              &as_bob_writes_it);
    found(&s, CHECK_ACK, 0);
}

static void the_same_key_gets_the_same_ack(void **state)
{
    struct story s;

    (void)state;
    begin(&s);
    acked(&s.ann, sends_with_key(&s.ann, HASH(1), 77), 1);
    acked(&s.ann, sends_with_key(&s.ann, HASH(2), 78), 2);
    acked_again(&s.ann, sends_with_key(&s.ann, HASH(1), 77), 1);
    acked_again(&s.ann, sends_with_key(&s.ann, HASH(1), 79), 3); /* an earlier connection's */
    found(&s, CHECK_ACK, 0);
    begin(&s);
    acked(&s.ann, sends_with_key(&s.ann, HASH(1), 77), 1);
    acked(&s.ann, sends_with_key(&s.ann, HASH(2), 78), 2);
    acked_again(&s.ann, sends_with_key(&s.ann, HASH(1), 77), 2);
    found(&s, CHECK_ACK, 1);
}

static void a_send_has_one_answer(void **state)
{
    struct story s;
    uint32_t serial;

    (void)state;
    begin(&s);
    serial = sends(&s.ann, HASH(1));
    acked(&s.ann, serial, 1);
    check_refused(&s.ann, serial);
    serial = sends(&s.ann, HASH(2));
    check_refused(&s.ann, serial);
    acked(&s.ann, serial, 2);
    found(&s, CHECK_ACK, 2);
}

static void what_was_refused_does_not_come(void **state)
{
    struct story s;
    uint32_t serial;

    (void)state;
    begin(&s);
    serial = sends(&s.ann, HASH(1));
    check_refused(&s.ann, serial);
    gets_own(&s.ann, 1, HASH(1), serial);
    found(&s, CHECK_ACK, 1);
}

/* A room can be left while a send is under way: its ack comes, its message does not. */
static void an_ack_may_come_after_leaving(void **state)
{
    struct story s;
    uint32_t serial;

    (void)state;
    begin(&s);
    serial = sends(&s.ann, HASH(1));
    check_left(&s.ann, ROOM);
    acked(&s.ann, serial, 1);
    found(&s, CHECK_ACK, 0);
}

/* Found where it is still remembered; it is told again under another number. */
static void not_even_a_replay_gives_another_number(void **state)
{
    struct story s;
    uint32_t serial;

    (void)state;
    begin(&s);
    serial = sends(&s.ann, HASH(1));
    gets_own(&s.ann, 1, HASH(1), serial);
    acked(&s.ann, serial, 1);
    check_end(&s.ann, false, false);
    check_joined(&s.ann, ROOM, 1, 2, 1);
    gets_own(&s.ann, 2, HASH(1), serial);
    found(&s, CHECK_REPEATED, 1);
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
        cmocka_unit_test(only_numbers_are_numbers),
        cmocka_unit_test(bad_settings_are_refused),
        cmocka_unit_test(acks_have_to_name_the_message),
        cmocka_unit_test(an_own_message_comes_back_once_and_as_it_was),
        cmocka_unit_test(every_send_has_its_fate),
        cmocka_unit_test(own_words_come_as_often_as_they_were_said),
        cmocka_unit_test(an_ack_names_its_room),
        cmocka_unit_test(a_direct_ack_may_write_the_nick_otherwise),
        cmocka_unit_test(the_same_key_gets_the_same_ack),
        cmocka_unit_test(a_send_has_one_answer),
        cmocka_unit_test(what_was_refused_does_not_come),
        cmocka_unit_test(an_ack_may_come_after_leaving),
        cmocka_unit_test(not_even_a_replay_gives_another_number),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
