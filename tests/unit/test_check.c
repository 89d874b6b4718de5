/* test_check.c: what a bot holds the server to, told as stories: each broken promise is found, a kept one is
 * not. The stories of sends are in test_bots.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "check_story.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void all_is_well(void **state)
{
    struct story s;

    (void)state;
    begin(&s);
    for (uint32_t i = 1; i <= 1000; i++) {
        uint32_t serial = sends(&s.ann, HASH(i));

        if (i % 2 == 0)
            gets_own(&s.ann, i, HASH(i), serial);
        assert_int_equal(acked(&s.ann, serial, i), 5);
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
    acked(&s.ann, serial, 9); /* its own message was in the gap */
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
    check_joined(&s.bob, ROOM, 2, 1, -1); /* the second one to hear of it */
    assert_int_equal(s.ledger.epochs, 1);
    found(&s, CHECK_EPOCH, 1);
}

/* Of the order that is lost nothing is held against the new one. */
static void a_new_epoch_begins_at_nothing(void **state)
{
    struct story s;
    uint32_t serial;

    (void)state;
    begin(&s);
    for (uint64_t seq = 1; seq <= 9; seq++)
        gets(&s.ann, seq, HASH(seq));
    serial = sends(&s.ann, HASH(10));
    gets_own(&s.ann, 10, HASH(10), serial);
    check_end(&s.ann, false, false);
    check_end(&s.bob, false, false);
    check_joined(&s.bob, ROOM, 2, 0, -1);
    check_joined(&s.ann, ROOM, 2, 3, 10);
    gets(&s.ann, 4, HASH(104));
    found(&s, CHECK_EPOCH, 1);
}

/* Joined again, the server knew less than the bot had seen: what it had seen was lost. */
static void a_room_does_not_shrink(void **state)
{
    struct story s;

    (void)state;
    begin(&s);
    for (uint64_t seq = 1; seq <= 10; seq++)
        gets(&s.ann, seq, HASH(seq));
    check_end(&s.ann, false, false);
    check_will_join(&s.ann, ROOM);
    check_joined(&s.ann, ROOM, 1, 8, 10);
    found(&s, CHECK_MISSING, 1);
}

/* The same, where it was another who had seen it before the join was asked; what came later is no matter. */
static void a_room_is_no_smaller_than_anyone_has_seen(void **state)
{
    struct story s;

    (void)state;
    begin(&s);
    check_end(&s.bob, false, false);
    gets(&s.ann, 1, HASH(1));
    check_will_join(&s.bob, ROOM);
    gets(&s.ann, 2, HASH(2));
    check_joined(&s.bob, ROOM, 1, 1, -1);
    found(&s, CHECK_MISSING, 0);
    begin(&s);
    check_end(&s.bob, false, false);
    gets(&s.ann, 1, HASH(1));
    gets(&s.ann, 2, HASH(2));
    check_will_join(&s.bob, ROOM);
    check_joined(&s.bob, ROOM, 1, 1, -1);
    found(&s, CHECK_MISSING, 1);
}

/* The first bot of a room that has a history, and asks for some of it. */
static void a_first_join_can_ask_for_history(void **state)
{
    struct story s = {0};

    (void)state;
    check_init(&s.ann, &s.ledger, on_wrong, &s);
    check_joined(&s.ann, ROOM, 1, 5, 3);
    gets(&s.ann, 4, HASH(4));
    gets(&s.ann, 5, HASH(5));
    gets(&s.ann, 6, HASH(6));
    found(&s, CHECK_REPEATED, 0);
}

static void who_is_there_can_ask_for_it_again(void **state)
{
    struct story s;

    (void)state;
    begin(&s);
    for (uint32_t i = 1; i <= 40; i++) { /* more than it remembers of its own */
        uint32_t serial = sends(&s.ann, HASH(i));

        gets_own(&s.ann, i, HASH(i), serial);
        acked(&s.ann, serial, i);
    }
    check_joined(&s.ann, ROOM, 1, 40, 0);
    for (uint32_t i = 1; i <= 40; i++)
        gets_own(&s.ann, i, HASH(i), i - 1);
    gets(&s.ann, 41, HASH(41));
    found(&s, CHECK_REPEATED, 0);
}

static void who_is_not_there_cannot_leave(void **state)
{
    struct story s;

    (void)state;
    begin(&s);
    check_left(&s.ann, "elsewhere", 9);
    check_left(&s.ann, ROOM);
    check_left(&s.ann, ROOM);
    found(&s, CHECK_STRAY, 2);
}

/* A name with U+0000 in it is compared to its end, and not beyond that of another. */
static void a_name_may_hold_anything(void **state)
{
    struct story s;

    (void)state;
    begin(&s);
    assert_int_equal(check_find(&s.ann, "general\0and what lies behind it in memory, and more", 50), -1);
    assert_int_equal(check_find(&s.ann, "@ann\0", 5), -1);
    found(&s, CHECK_STRAY, 0);
}

static void a_bot_may_be_in_many_rooms(void **state)
{
    struct story s;
    char name[16];

    (void)state;
    begin(&s);
    for (int i = 0; i < 70000; i += 7000) /* the first rooms of each size that the list grows to */
        check_joined(&s.bob, name, (size_t)snprintf(name, sizeof name, "r%d", i), 1, 0, -1);
    s.bob.room_count = 40000; /* as if: 65536 names would take a test too long */
    s.bob.rooms = realloc(s.bob.rooms, 65536 * sizeof *s.bob.rooms);
    for (uint32_t i = 11; i < 40000; i++)
        s.bob.rooms[i] = s.bob.rooms[0];
    s.bob.room_cap = 40000;
    check_joined(&s.bob, "one more", 8, 1, 0, -1);
    assert_true(s.bob.room_cap >= 40001);
    assert_int_equal(check_find(&s.bob, "one more", 8), 40000);
    found(&s, CHECK_STRAY, 0);
}

/* An account joins it to read on, and goes on getting it when it has left. */
static void a_direct_conversation_can_be_joined(void **state)
{
    struct story s;

    (void)state;
    begin(&s);
    check_will_join(&s.ann, "@bob", 4);
    check_joined(&s.ann, "@bob", 4, 7, 5, 3);
    gets_direct(&s.ann, 4, false);
    gets_direct(&s.ann, 5, false);
    check_joined(&s.ann, "@bob", 4, 7, 5, -1);
    check_left(&s.ann, "@bob", 4);
    gets_direct(&s.ann, 6, false);
    found(&s, CHECK_MISSING, 0);
}

static void the_first_direct_message_of_two_guests_is_the_first(void **state)
{
    struct story s;

    (void)state;
    begin(&s);
    gets_direct(&s.ann, 2, false); /* an account's: it has begun before */
    gets_direct(&s.ann, 3, false);
    found(&s, CHECK_MISSING, 0);
    begin(&s);
    gets_direct(&s.ann, 2, true);
    found(&s, CHECK_MISSING, 1);
    begin(&s);
    gets_direct(&s.ann, 1, true);
    check_end(&s.ann, false, false); /* away; it may have gone on meanwhile */
    gets_direct(&s.ann, 4, true);
    found(&s, CHECK_MISSING, 0);
}

static void the_last_direct_message_has_to_come(void **state)
{
    struct story s;

    (void)state;
    begin(&s);
    gets_direct(&s.ann, 1, true);
    check_tell(&s.ann, "@bob", 4, 1);
    check_owe(&s.ann);
    assert_true(check_has_all(&s.ann));
    check_end(&s.ann, true, false);
    found(&s, CHECK_TAIL, 0);
    begin(&s);
    gets_direct(&s.ann, 1, true);
    check_tell(&s.ann, "@bob", 4, 2);
    check_owe(&s.ann);
    assert_false(check_has_all(&s.ann));
    check_end(&s.ann, true, false);
    found(&s, CHECK_TAIL, 1);
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
        cmocka_unit_test(a_reset_excuses_what_was_under_way),
        cmocka_unit_test(what_was_missed_has_to_be_replayed),
        cmocka_unit_test(after_leaving_nothing_comes),
        cmocka_unit_test(another_epoch_is_another_order),
        cmocka_unit_test(a_new_epoch_begins_at_nothing),
        cmocka_unit_test(a_room_does_not_shrink),
        cmocka_unit_test(a_room_is_no_smaller_than_anyone_has_seen),
        cmocka_unit_test(a_first_join_can_ask_for_history),
        cmocka_unit_test(who_is_there_can_ask_for_it_again),
        cmocka_unit_test(who_is_not_there_cannot_leave),
        cmocka_unit_test(a_name_may_hold_anything),
        cmocka_unit_test(a_bot_may_be_in_many_rooms),
        cmocka_unit_test(a_direct_conversation_can_be_joined),
        cmocka_unit_test(the_first_direct_message_of_two_guests_is_the_first),
        cmocka_unit_test(the_last_direct_message_has_to_come),
        cmocka_unit_test(a_direct_conversation_can_begin_anew),
        cmocka_unit_test(slow_readers_make_a_room_remember_more),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
