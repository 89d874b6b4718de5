/* test_table.c: the hash table against a plain array of what should be in it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/table.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ITEMS 500

struct item {
    struct table_link link;
    char key[16];
    bool is_in;
    int seen;
};

static struct item items[ITEMS];

static int matches(const struct table_link *link, const void *key, size_t len)
{
    const struct item *i = table_of(link, const struct item, link);

    return strlen(i->key) == len && memcmp(i->key, key, len) == 0;
}

static uint32_t hash_of(const struct item *i)
{
    return table_hash(i->key, strlen(i->key));
}

static void put(struct table *t, struct item *i)
{
    table_insert(t, &i->link, hash_of(i));
    i->is_in = true;
}

static void take_out(struct table *t, struct item *i)
{
    table_remove(t, &i->link);
    memset(&i->link, 0xee, sizeof i->link); /* as if it were freed */
    i->is_in = false;
}

static struct item *look(const struct table *t, const char *key)
{
    struct table_link *link = table_find(t, table_hash(key, strlen(key)), key, strlen(key), matches);

    return link != NULL ? table_of(link, struct item, link) : NULL;
}

static void assert_holds_what_it_should(const struct table *t)
{
    uint32_t count = 0, walked = 0, at;

    for (size_t i = 0; i < ITEMS; i++) {
        assert_ptr_equal(look(t, items[i].key), items[i].is_in ? &items[i] : NULL);
        count += items[i].is_in;
        items[i].seen = 0;
    }
    assert_int_equal(t->count, count);
    for (struct table_link *l = table_first(t, &at); l != NULL; l = table_next(t, &at, l), walked++)
        table_of(l, struct item, link)->seen++;
    assert_int_equal(walked, count);
    for (size_t i = 0; i < ITEMS; i++)
        assert_int_equal(items[i].seen, items[i].is_in);
}

static int set_up(void **state)
{
    (void)state;
    for (size_t i = 0; i < ITEMS; i++) {
        items[i] = (struct item){.is_in = false};
        snprintf(items[i].key, sizeof items[i].key, "room%zu", i);
    }
    return 0;
}

static void test_an_empty_table(void **state)
{
    struct table t = {0};
    uint32_t at;

    (void)state;
    assert_null(look(&t, "room1"));
    assert_null(look(&t, ""));
    assert_null(table_first(&t, &at));
    table_deinit(&t);
    put(&t, &items[0]);
    assert_ptr_equal(look(&t, "room0"), &items[0]);
    take_out(&t, &items[0]);
    assert_null(table_first(&t, &at));
    table_deinit(&t);
}

static void test_random_work(void **state)
{
    struct table t = {0};
    unsigned seed = 7;

    (void)state;
    for (int step = 0; step < 20000; step++) {
        struct item *i = &items[rand_r(&seed) % ITEMS];

        if (i->is_in)
            take_out(&t, i);
        else
            put(&t, i);
        if (step % 500 == 0)
            assert_holds_what_it_should(&t);
    }
    assert_holds_what_it_should(&t);
    table_deinit(&t);
}

/* What the walk gave last may be taken out and freed once the next one has been asked for. */
static void test_removal_while_iterating(void **state)
{
    (void)state;
    for (size_t keep = 1; keep <= 5; keep++) {
        struct table t = {0};
        struct table_link *l, *next;
        uint32_t at, walked = 0;

        for (size_t i = 0; i < ITEMS; i++)
            put(&t, &items[i]);
        for (l = table_first(&t, &at); l != NULL; l = next, walked++) {
            next = table_next(&t, &at, l);
            if (walked % keep == 0)
                take_out(&t, table_of(l, struct item, link));
        }
        assert_int_equal(walked, ITEMS);
        assert_holds_what_it_should(&t);
        for (size_t i = 0; i < ITEMS; i++)
            if (items[i].is_in)
                take_out(&t, &items[i]);
        table_deinit(&t);
    }
}

/* Things whose hashes are equal are told apart by their keys, and leave the chain at its head, middle and
 * end. */
static void test_one_hash_for_all(void **state)
{
    static const size_t order[] = {3, 0, 5, 4, 1, 2};
    struct table t = {0};

    (void)state;
    for (size_t i = 0; i < 6; i++)
        table_insert(&t, &items[i].link, 42);
    for (size_t i = 0; i < 6; i++) {
        struct item *gone = &items[order[i]];

        assert_ptr_equal(table_find(&t, 42, gone->key, strlen(gone->key), matches), &gone->link);
        table_remove(&t, &gone->link);
        assert_null(table_find(&t, 42, gone->key, strlen(gone->key), matches));
        for (size_t k = i + 1; k < 6; k++) {
            struct item *left = &items[order[k]];

            assert_ptr_equal(table_find(&t, 42, left->key, strlen(left->key), matches), &left->link);
        }
    }
    assert_int_equal(t.count, 0);
    table_deinit(&t);
}

static void test_keys_are_bytes(void **state)
{
    (void)state;
    assert_int_equal(table_hash("a", 1), table_hash("a", 1));
    assert_int_not_equal(table_hash("a", 1), table_hash("a\0", 2));
    assert_int_not_equal(table_hash("", 0), table_hash("\0", 1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_an_empty_table, set_up),
        cmocka_unit_test_setup(test_random_work, set_up),
        cmocka_unit_test_setup(test_removal_while_iterating, set_up),
        cmocka_unit_test_setup(test_one_hash_for_all, set_up),
        cmocka_unit_test(test_keys_are_bytes),
    };

    return cmocka_run_group_tests_name("table", tests, NULL, NULL);
}
