/* test_model.c: rooms and own lines over connections that come and go, the waits between them, and what TAB
 * offers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "client/backoff.h"
#include "client/line.h"
#include "client/model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct model_room *get(struct model *m, const char *name)
{
    return model_get(m, name, strlen(name));
}

static void test_a_room_is_followed(void **state)
{
    struct model m;
    struct model_room *r;
    uint64_t hole = 0;

    (void)state;
    model_init(&m);
    r = get(&m, "general");
    assert_ptr_equal(get(&m, "general"), r);
    assert_null(model_find(&m, "gener", 5));
    assert_int_equal(model_joined(r, 77, 10, 3), MODEL_FRESH);
    assert_int_equal(r->seq, 10);
    assert_int_equal(model_take(r, 11, &hole), MODEL_NEW);
    assert_int_equal(model_take(r, 11, &hole), MODEL_SEEN);
    assert_int_equal(model_take(r, 4, &hole), MODEL_SEEN);
    assert_int_equal(model_take(r, 14, &hole), MODEL_HOLE);
    assert_int_equal(hole, 12);
    model_take_gap(r, 20);
    assert_int_equal(model_take(r, 21, &hole), MODEL_NEW);
    model_take_gap(r, 5); /* behind us */
    assert_int_equal(r->seq, 21);
    model_deinit(&m);
}

/* It was left while its order began anew, and gone into again: nothing of it was taken ever after. */
static void test_a_room_that_was_left_while_it_started_over(void **state)
{
    struct model m;
    struct model_room *r;
    uint64_t hole;

    (void)state;
    model_init(&m);
    r = get(&m, "general");
    model_joined(r, 77, 10, 3);
    assert_int_equal(model_joined(r, 78, 5, 3), MODEL_START_OVER);
    r->epoch = 0; /* as when it is left */
    assert_int_equal(model_joined(r, 78, 5, 3), MODEL_FRESH);
    assert_int_equal(model_take(r, 6, &hole), MODEL_NEW);
    model_deinit(&m);
}

static void test_coming_back(void **state)
{
    struct model m;
    struct model_room *r;
    uint64_t hole;

    (void)state;
    model_init(&m);
    r = get(&m, "general");
    model_joined(r, 77, 10, 3);
    model_detach(&m);
    assert_false(r->joined);
    assert_int_equal(model_joined(r, 77, 12, 2), MODEL_RESUMED);
    assert_int_equal(r->missed, 2);
    assert_false(model_caught_up(r));
    model_take(r, 11, &hole);
    assert_false(model_caught_up(r));
    model_take(r, 12, &hole);
    assert_true(model_caught_up(r));
    assert_false(model_caught_up(r)); /* once */

    model_detach(&m); /* nothing missed: caught up at once */
    assert_int_equal(model_joined(r, 77, 12, 2), MODEL_RESUMED);
    assert_int_equal(r->missed, 0);
    assert_true(model_caught_up(r));
    model_deinit(&m);
}

static void test_another_epoch_starts_over(void **state)
{
    struct model m;
    struct model_room *r;
    uint64_t hole;

    (void)state;
    model_init(&m);
    r = get(&m, "general");
    model_joined(r, 77, 10, 3);
    model_detach(&m);
    assert_int_equal(model_joined(r, 78, 12, 1), MODEL_START_OVER);
    assert_int_equal(r->seq, 0);
    assert_int_equal(model_take(r, 11, &hole), MODEL_SEEN); /* replayed after the old 10: comes again */
    model_take_gap(r, 11);
    assert_int_equal(model_joined(r, 78, 12, 1), MODEL_RESUMED); /* the answer to a join after 0 */
    for (uint64_t seq = 1; seq <= 12; seq++)
        assert_int_equal(model_take(r, seq, &hole), MODEL_NEW);
    assert_true(model_caught_up(r));
    model_deinit(&m);
}

static void test_direct_conversations_end_with_the_connection(void **state)
{
    struct model m;
    struct model_room *r;
    uint64_t hole;

    (void)state;
    model_init(&m);
    r = get(&m, "@ann");
    assert_true(model_is_direct(r));
    assert_int_equal(model_take(r, 1, &hole), MODEL_NEW);
    assert_int_equal(model_take(r, 2, &hole), MODEL_NEW);
    model_detach(&m);
    assert_int_equal(model_take(r, 1, &hole), MODEL_NEW);
    model_deinit(&m);
}

static void test_nicks_are_the_last_ones_heard_of(void **state)
{
    struct model m;
    struct model_room *r;
    char name[16];

    (void)state;
    model_init(&m);
    r = get(&m, "general");
    for (int i = 0; i < MODEL_NICKS + 50; i++) {
        int n = snprintf(name, sizeof name, "n%d", i);

        model_heard_of(r, name, (size_t)n);
    }
    assert_int_equal(r->nick_count, MODEL_NICKS);
    model_heard_of(r, "n100", 4);
    assert_string_equal(r->nicks[0], "n100");
    assert_int_equal(r->nick_count, MODEL_NICKS);
    model_forget_nick(r, "n100", 4);
    model_forget_nick(r, "nobody", 6);
    assert_int_equal(r->nick_count, MODEL_NICKS - 1);
    model_deinit(&m);
}

static void test_lines_wait_for_their_ack(void **state)
{
    struct buf b = {0}, again = {0};
    struct model_line *one, *two;
    struct model m;

    (void)state;
    model_init(&m);
    one = model_say(&m, "general", "he said \"hi\"", 12);
    two = model_say(&m, "@ann", "psst", 4);
    assert_string_not_equal(one->key, two->key);
    assert_int_equal(m.line_count, 2);
    assert_int_equal(m.line_bytes, 16);
    assert_ptr_equal(model_find_line(&m, two->key, strlen(two->key)), two);
    assert_null(model_find_line(&m, "nothing", 7));
    model_put_send(&b, one);
    one->on_wire = true;
    model_forget_wire(&m);
    assert_false(one->on_wire);
    model_put_send(&again, one); /* the same, key and all */
    assert_int_equal(b.len, again.len);
    assert_memory_equal(b.data, again.data, b.len);
    buf_put(&b, "", 1);
    assert_non_null(strstr(b.data, "\"text\":\"he said \\\"hi\\\"\""));
    assert_non_null(strstr(b.data, "\"key\":\""));
    model_drop_line(&m, one);
    assert_ptr_equal(TAILQ_FIRST(&m.lines), two);
    assert_int_equal(m.line_bytes, 4);
    model_deinit(&m);
    buf_deinit(&b);
    buf_deinit(&again);
}

static void test_backoff(void **state)
{
    struct backoff b = {0};

    (void)state;
    assert_int_equal(backoff_next(&b, 0, 0), 0); /* full jitter: anywhere from nothing */
    backoff_reset(&b);
    for (uint32_t bound = BACKOFF_FIRST_MS; bound < BACKOFF_MOST_MS; bound *= 2)
        assert_in_range(backoff_next(&b, 0, UINT32_MAX), bound - 1, bound);
    for (int i = 0; i < 100; i++)
        assert_in_range(backoff_next(&b, 0, UINT32_MAX), BACKOFF_MOST_MS - 1, BACKOFF_MOST_MS);
    assert_in_range(backoff_next(&b, 5000, UINT32_MAX / 2), 5000 + BACKOFF_MOST_MS / 2 - 2,
                    5000 + BACKOFF_MOST_MS / 2);
    backoff_reset(&b);
    assert_in_range(backoff_next(&b, 0, UINT32_MAX), 0, BACKOFF_FIRST_MS);
}

/* The offers as one text, and frees them. */
static const char *offers(struct model *m, const char *line)
{
    static char all[512];
    const char *space = strrchr(line, ' ');
    size_t start = space != NULL ? (size_t)(space + 1 - line) : 0;
    char **words = complete_word(m, "general", line, start, line + start);

    all[0] = '\0';
    for (size_t i = 0; words != NULL && words[i] != NULL; i++) {
        strncat(all, words[i], sizeof all - strlen(all) - 1);
        strncat(all, "|", sizeof all - strlen(all) - 1);
        free(words[i]);
    }
    free(words);
    return all;
}

static void test_completion(void **state)
{
    struct model m;
    struct model_room *r;

    (void)state;
    model_init(&m);
    r = get(&m, "general");
    get(&m, "games");
    get(&m, "@bob");
    model_heard_of(r, "annika", 6);
    model_heard_of(r, "Ann", 3);
    model_heard_of(r, "鲍勃", 6);
    assert_string_equal(offers(&m, "/rec"), "/reconnect |");
    assert_string_equal(offers(&m, "/room"), "/room |/rooms |");
    assert_string_equal(offers(&m, "an"), "Ann: |annika: |");
    assert_string_equal(offers(&m, "hello an"), "Ann |annika |");
    assert_string_equal(offers(&m, "ask 鲍"), "鲍勃 |");
    assert_string_equal(offers(&m, "/msg A"), "Ann |annika |");
    assert_string_equal(offers(&m, "/room g"), "general |games |");
    assert_string_equal(offers(&m, "/room @"), "@bob |@鲍勃 |@Ann |@annika |");
    assert_string_equal(offers(&m, "/nothing"), "");
    assert_string_equal(offers(&m, "zz"), "");
    model_deinit(&m);
}

static void test_what_waits_is_read_on(void **state)
{
    struct model_room *r;
    uint64_t hole;
    struct model m;

    (void)state;
    model_init(&m);
    r = get(&m, "@Ann");
    assert_ptr_equal(get(&m, "@ann"), r); /* one nick */
    r->is_counted = true;
    r->read = 7;
    r->waiting = 9;
    assert_int_equal(model_unread(r), 2);
    r->reads_on = true;
    r->seq = r->read;
    assert_int_equal(model_joined(r, 1, 10, 2), MODEL_RESUMED);
    assert_int_equal(r->missed, 3);
    assert_int_equal(model_take(r, 8, &hole), MODEL_NEW);
    assert_int_equal(model_take(r, 9, &hole), MODEL_NEW);
    assert_int_equal(model_take(r, 9, &hole), MODEL_SEEN);
    assert_int_equal(model_unread(r), 2);
    r->seen = 9;
    assert_int_equal(model_unread(r), 0);
    r->wanted = true;
    model_detach(&m); /* it is kept by the server: it goes on where it was */
    assert_int_equal(r->seq, 9);
    model_deinit(&m);
}

static void test_another_guest_of_that_nick(void **state)
{
    struct model_room *r;
    uint64_t hole;
    struct model m;

    (void)state;
    model_init(&m);
    r = get(&m, "@ann");
    assert_int_equal(model_take(r, 5, &hole), MODEL_NEW);
    assert_int_equal(model_take(r, 5, &hole), MODEL_SEEN);
    assert_int_equal(model_take(r, 1, &hole), MODEL_NEW); /* a new order */
    assert_int_equal(model_take(r, 2, &hole), MODEL_NEW);
    model_deinit(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_room_is_followed),
        cmocka_unit_test(test_a_room_that_was_left_while_it_started_over),
        cmocka_unit_test(test_coming_back),
        cmocka_unit_test(test_another_epoch_starts_over),
        cmocka_unit_test(test_direct_conversations_end_with_the_connection),
        cmocka_unit_test(test_what_waits_is_read_on),
        cmocka_unit_test(test_another_guest_of_that_nick),
        cmocka_unit_test(test_nicks_are_the_last_ones_heard_of),
        cmocka_unit_test(test_lines_wait_for_their_ack),
        cmocka_unit_test(test_backoff),
        cmocka_unit_test(test_completion),
    };

    return cmocka_run_group_tests_name("model", tests, NULL, NULL);
}
