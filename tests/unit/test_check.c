/* test_check.c: what a bot holds the server to, told as stories: each broken promise is found, a kept one is not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "bots/check.h"

#include <string.h>

#define ROOM    "general", 7
#define HASH(n) (UINT64_C(1000) + (uint64_t)(n))

/* Two bots of one room, and how often each fault was found in all. */
struct story {
    struct ledger ledger;
    struct check ann, bob;
    unsigned found[CHECK_FAULTS];
};

static void on_wrong(void *arg, enum check_fault f, const char *text)
{
    struct story *s = arg;

    assert_true(strlen(text) > 0);
    s->found[f]++;
}

static void begin(struct story *s)
{
    *s = (struct story){0};
    check_init(&s->ann, &s->ledger, on_wrong, s);
    check_init(&s->bob, &s->ledger, on_wrong, s);
    check_joined(&s->ann, ROOM, 1, 0, -1);
    check_joined(&s->bob, ROOM, 1, 0, -1);
}

static void end(struct story *s)
{
    check_deinit(&s->ann);
    check_deinit(&s->bob);
    ledger_deinit(&s->ledger);
}

/* Ends the story; `f` was found so often, and nothing else. */
static void found(struct story *s, enum check_fault f, unsigned times)
{
    for (int i = 0; i < CHECK_FAULTS; i++)
        assert_int_equal(s->found[i], i == (int)f ? times : 0);
    end(s);
}

static void gets(struct check *c, uint64_t seq, uint64_t hash)
{
    check_message(
        c, &(struct check_message){.room = "general", .room_len = 7, .seq = seq, .hash = hash, .serial = -1});
}

static void gets_own(struct check *c, uint64_t seq, uint64_t hash, uint32_t serial)
{
    check_message(
        c, &(struct check_message){
               .room = "general", .room_len = 7, .seq = seq, .hash = hash, .mine = true, .serial = serial});
}

static uint32_t sends(struct check *c, uint64_t hash)
{
    return check_will_send(c, check_find(c, ROOM), hash, 5);
}

static void all_is_well(void **state)
{
    struct story s;

    (void)state;
    begin(&s);
    for (uint32_t i = 1; i <= 1000; i++) {
        uint32_t serial = sends(&s.ann, HASH(i));

        if (i % 2 == 0)
            gets_own(&s.ann, i, HASH(i), serial);
        assert_int_equal(check_ack(&s.ann, serial, i, false), 5);
        if (i % 2 != 0)
            gets_own(&s.ann, i, HASH(i), serial);
        gets(&s.bob, i, HASH(i));
    }
    assert_int_equal(check_under_way(&s.ann), 0);
    check_owe(&s.bob);
    check_end(&s.ann, true, false);
    check_end(&s.bob, true, false);
    found(&s, CHECK_MISSING, 0);
}

static void one_is_lost(void **state)
{
    struct story s;

    (void)state;
    begin(&s);
    gets(&s.ann, 1, HASH(1));
    gets(&s.ann, 3, HASH(3));
    gets(&s.ann, 4, HASH(4));
    found(&s, CHECK_MISSING, 1);
}

static void one_comes_twice(void **state)
{
    struct story s;

    (void)state;
    begin(&s);
    gets(&s.ann, 1, HASH(1));
    gets(&s.ann, 2, HASH(2));
    gets(&s.ann, 2, HASH(2));
    gets(&s.ann, 1, HASH(1));
    gets(&s.ann, 3, HASH(3));
    found(&s, CHECK_REPEATED, 2);
}

static void two_are_swapped(void **state)
{
    struct story s;

    (void)state;
    begin(&s);
    gets(&s.ann, 2, HASH(2));
    gets(&s.ann, 1, HASH(1));
    gets(&s.ann, 3, HASH(3));
    assert_int_equal(s.found[CHECK_MISSING], 1);
    s.found[CHECK_MISSING] = 0;
    found(&s, CHECK_ORDER, 1);
}

static void texts_are_swapped_for_one(void **state)
{
    struct story s;

    (void)state;
    begin(&s);
    gets(&s.ann, 1, HASH(1));
    gets(&s.ann, 2, HASH(2));
    gets(&s.bob, 1, HASH(2));
    gets(&s.bob, 2, HASH(1));
    found(&s, CHECK_ALTERED, 2);
}

static void the_last_one_is_lost(void **state)
{
    struct story s;

    (void)state;
    begin(&s);
    gets(&s.ann, 1, HASH(1));
    gets(&s.ann, 2, HASH(2));
    gets(&s.bob, 1, HASH(1));
    check_owe(&s.bob);
    assert_false(check_has_all(&s.bob));
    check_end(&s.bob, true, false);
    found(&s, CHECK_TAIL, 1);
}

static void what_came_after_the_end_is_not_owed(void **state)
{
    struct story s;

    (void)state;
    begin(&s);
    gets(&s.ann, 1, HASH(1));
    gets(&s.bob, 1, HASH(1));
    check_owe(&s.bob);
    gets(&s.ann, 2, HASH(2));
    assert_true(check_has_all(&s.bob));
    check_end(&s.bob, true, false);
    found(&s, CHECK_TAIL, 0);
}

static void gap_lines_are_accounted_for(void **state)
{
    struct story s;
    uint32_t serial;

    (void)state;
    begin(&s);
    gets(&s.ann, 1, HASH(1));
    serial = sends(&s.ann, HASH(9));
    check_gap(&s.ann, ROOM, 2, 9);
    gets(&s.ann, 10, HASH(10));
    check_ack(&s.ann, serial, 9, false); /* its own message was in the gap */
    check_end(&s.ann, true, false);
    found(&s, CHECK_GAP, 0);
}

static void a_gap_has_to_fit(void **state)
{
    struct story s;

    (void)state;
    begin(&s);
    gets(&s.ann, 1, HASH(1));
    check_gap(&s.ann, ROOM, 3, 9);
    check_gap(&s.ann, ROOM, 5, 7);
    found(&s, CHECK_GAP, 2);
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
    check_ack(&s.ann, first, 2, false);  /* another's number */
    check_ack(&s.ann, second, 2, false); /* right */
    check_ack(&s.ann, second, 2, false); /* twice */
    check_ack(&s.ann, 77, 3, false);     /* never sent */
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
    check_ack(&s.ann, sends(&s.ann, HASH(1)), 1, false);
    check_end(&s.ann, true, false);
    found(&s, CHECK_UNSEEN, 1);
}

static void a_reset_excuses_what_was_under_way(void **state)
{
    struct story s;
    uint32_t serial;

    (void)state;
    begin(&s);
    gets(&s.ann, 1, HASH(1));
    serial = sends(&s.ann, HASH(2));
    check_end(&s.ann, false, false);
    check_joined(&s.ann, ROOM, 1, 3, 1);
    assert_true(check_is_replay(&s.ann, ROOM, 3));
    gets_own(&s.ann, 2, HASH(2), serial); /* it got through after all */
    gets(&s.ann, 3, HASH(3));
    gets(&s.ann, 4, HASH(4));
    assert_false(check_is_replay(&s.ann, ROOM, 4));
    found(&s, CHECK_MISSING, 0);
}

static void what_was_missed_has_to_be_replayed(void **state)
{
    struct story s;

    (void)state;
    begin(&s);
    gets(&s.ann, 1, HASH(1));
    check_end(&s.ann, false, false);
    check_joined(&s.ann, ROOM, 1, 5, 1);
    gets(&s.ann, 3, HASH(3));
    found(&s, CHECK_MISSING, 1);
}

static void after_leaving_nothing_comes(void **state)
{
    struct story s;

    (void)state;
    begin(&s);
    sends(&s.ann, HASH(1));
    check_left(&s.ann, ROOM);
    gets(&s.ann, 1, HASH(1));
    found(&s, CHECK_STRAY, 1);
}

static void another_epoch_is_another_order(void **state)
{
    struct story s;

    (void)state;
    begin(&s);
    gets(&s.ann, 1, HASH(1));
    check_end(&s.ann, false, false);
    check_joined(&s.ann, ROOM, 2, 0, 1);
    gets(&s.ann, 1, HASH(7));
    assert_int_equal(s.ledger.epochs, 1);
    found(&s, CHECK_ALTERED, 0);
}

static void a_direct_conversation_can_begin_anew(void **state)
{
    struct story s;
    int room;

    (void)state;
    begin(&s);
    room = check_find(&s.ann, "@bob", 4);
    assert_true(room >= 0);
    assert_int_equal(check_find(&s.ann, "elsewhere", 9), -1);
    for (uint64_t seq = 1; seq <= 3; seq++)
        check_message(&s.ann,
                      &(struct check_message){.room = "@bob", .room_len = 4, .seq = seq, .serial = -1});
    check_message(&s.ann, &(struct check_message){.room = "@bob", .room_len = 4, .seq = 1, .serial = -1});
    found(&s, CHECK_REPEATED, 0);
}

static void slow_readers_make_a_room_remember_more(void **state)
{
    struct story s;

    (void)state;
    begin(&s);
    for (uint64_t seq = 1; seq <= 500; seq++)
        gets(&s.ann, seq, HASH(seq));
    for (uint64_t seq = 1; seq <= 500; seq++)
        gets(&s.bob, seq, HASH(seq));
    assert_in_range(s.ledger.forgotten, 1, 499);
    found(&s, CHECK_MISSING, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_is_well),
        cmocka_unit_test(one_is_lost),
        cmocka_unit_test(one_comes_twice),
        cmocka_unit_test(two_are_swapped),
        cmocka_unit_test(texts_are_swapped_for_one),
        cmocka_unit_test(the_last_one_is_lost),
        cmocka_unit_test(what_came_after_the_end_is_not_owed),
        cmocka_unit_test(gap_lines_are_accounted_for),
        cmocka_unit_test(a_gap_has_to_fit),
        cmocka_unit_test(acks_have_to_name_the_message),
        cmocka_unit_test(an_own_message_comes_back_once_and_as_it_was),
        cmocka_unit_test(every_send_has_its_fate),
        cmocka_unit_test(a_reset_excuses_what_was_under_way),
        cmocka_unit_test(what_was_missed_has_to_be_replayed),
        cmocka_unit_test(after_leaving_nothing_comes),
        cmocka_unit_test(another_epoch_is_another_order),
        cmocka_unit_test(a_direct_conversation_can_begin_anew),
        cmocka_unit_test(slow_readers_make_a_room_remember_more),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
