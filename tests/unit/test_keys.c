/* test_keys.c: the keys of sends, each sender's for himself, as long as their messages are kept. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/utf8.h"
#include "protocol/message.h"
#include "server/chat/keys.h"

#include <stdio.h>
#include <string.h>

#define SINCE           1000000 /* later than all that is said here: who it is decides */
#define BY(folded, len) (&(struct keys_sender){(folded), (len), 7, SINCE})

static void add(struct keys *k, const char *sender, const char *key, uint64_t seq)
{
    keys_add(k, BY(sender, strlen(sender)), key, strlen(key), seq, seq * 1000);
}

static uint64_t seq_of(const struct keys *k, const char *sender, const char *key)
{
    const struct key *found = keys_find(k, BY(sender, strlen(sender)), key, strlen(key));

    if (found == NULL)
        return 0;
    assert_int_equal(found->time_ms, found->seq * 1000);
    return found->seq;
}

static void test_found_again(void **state)
{
    struct keys k = {0};

    (void)state;
    assert_int_equal(seq_of(&k, "ann", "1"), 0);
    add(&k, "ann", "1", 7);
    add(&k, "ann", "2", 8);
    add(&k, "bob", "1", 9);
    assert_int_equal(seq_of(&k, "ann", "1"), 7);
    assert_int_equal(seq_of(&k, "ann", "2"), 8);
    assert_int_equal(seq_of(&k, "bob", "1"), 9);
    assert_int_equal(seq_of(&k, "bob", "2"), 0);
    assert_int_equal(seq_of(&k, "an", "n1"), 0);
    assert_int_equal(seq_of(&k, "ann1", ""), 0);
    assert_int_equal(seq_of(&k, "ann", ""), 0);
    keys_deinit(&k);
}

/* A key is bytes that the sender chose: he cannot make it meet another one's. */
static void test_a_key_with_any_bytes(void **state)
{
    struct keys k = {0};

    (void)state;
    keys_add(&k, BY("ann", 3), "b\0c", 3, 1, 1000);
    assert_non_null(keys_find(&k, BY("ann", 3), "b\0c", 3));
    assert_null(keys_find(&k, BY("ann", 3), "b", 1));
    assert_null(keys_find(&k, BY("ann", 3), "b\0d", 3));
    assert_null(keys_find(&k, BY("annb", 4), "c", 1));
    keys_add(&k, BY("ann", 3), "\0", 1, 2, 2000);
    assert_int_equal(keys_find(&k, BY("ann", 3), "\0", 1)->seq, 2);
    assert_null(keys_find(&k, BY("ann", 3), "", 0));
    assert_null(keys_find(&k, BY("ann", 3), "\0\0", 2));
    keys_deinit(&k);
}

static void test_the_longest(void **state)
{
    char sender[UTF8_FOLD_MAX], key[PROTOCOL_MAX_ID];
    struct keys k = {0};

    (void)state;
    memset(sender, 's', sizeof sender);
    memset(key, 'k', sizeof key);
    keys_add(&k, BY(sender, sizeof sender), key, sizeof key, 1, 1000);
    assert_non_null(keys_find(&k, BY(sender, sizeof sender), key, sizeof key));
    assert_null(keys_find(&k, BY(sender, sizeof sender), key, sizeof key - 1));
    assert_null(keys_find(&k, BY(sender, sizeof sender - 1), key, sizeof key));
    keys_deinit(&k);
}

static void test_forgotten_with_their_messages(void **state)
{
    struct keys k = {0};
    char name[16];

    (void)state;
    for (uint64_t seq = 1; seq <= 3000; seq += 3) { /* not every message has one */
        snprintf(name, sizeof name, "k%llu", (unsigned long long)seq);
        add(&k, "ann", name, seq);
        if (seq > 300)
            keys_forget(&k, seq - 300);
    }
    for (uint64_t seq = 1; seq <= 3000; seq += 3) {
        snprintf(name, sizeof name, "k%llu", (unsigned long long)seq);
        assert_int_equal(seq_of(&k, "ann", name), seq >= 2998 - 300 ? seq : 0);
    }
    keys_forget(&k, 2998);
    assert_int_equal(k.count, 1);
    assert_int_equal(seq_of(&k, "ann", "k2998"), 2998);
    keys_forget(&k, 2999);
    assert_int_equal(k.count, 0);
    assert_int_equal(keys_bytes(&k), 0);
    add(&k, "ann", "again", 3001); /* an emptied one takes new ones */
    assert_int_equal(seq_of(&k, "ann", "again"), 3001);
    keys_deinit(&k);
    assert_int_equal(k.count, 0);
}

/* Thousands come and go, at both ends; what is there is found, what is not is not, and it takes little. */
static void test_many(void **state)
{
    struct keys k = {0};
    uint64_t oldest = 1, seq = 0;
    char name[16];

    (void)state;
    for (int turn = 0; turn < 40; turn++) {
        for (int i = 0; i < 2000; i++) {
            snprintf(name, sizeof name, "k%llu", (unsigned long long)++seq);
            add(&k, "ann", name, seq);
        }
        if (turn % 4 == 3) { /* what was not kept: its keys may come again, with other messages */
            seq -= 700;
            keys_forget_after(&k, seq);
        }
        if (seq > 9000)
            keys_forget(&k, oldest = seq - 9000);
    }
    for (uint64_t at = 1; at <= seq + 700; at++) {
        snprintf(name, sizeof name, "k%llu", (unsigned long long)at);
        assert_int_equal(seq_of(&k, "ann", name), at >= oldest && at <= seq ? at : 0);
        assert_int_equal(seq_of(&k, "bob", name), 0);
    }
    assert_true(keys_bytes(&k) < 9001 * 80);
    keys_forget_after(&k, 0);
    assert_int_equal(keys_bytes(&k), 0);
}

/* By identity, by having had the nick ever since, or, where it was read from the store, by the nick. */
static void test_whose(void **state)
{
    const struct keys_sender ann = {"ann", 3, 7, SINCE}, later = {"ann", 3, 8, SINCE},
                             registered = {"ann", 3, 9, 900};
    struct keys k = {0}, kept = {0};
    struct buf packed = {0};

    (void)state;
    keys_add(&k, &ann, "1", 1, 1, 1000);
    assert_null(keys_find(&k, &later, "1", 1));
    keys_add(&k, &later, "1", 1, 2, 2000);
    assert_int_equal(keys_find(&k, &ann, "1", 1)->seq, 1);
    assert_int_equal(keys_find(&k, &later, "1", 1)->seq, 2);
    assert_non_null(keys_find(&k, &registered, "1", 1));
    keys_pack(&packed, "ann", 3, "1", 1, 1, 1000);
    assert_int_equal(keys_unpack(&kept, packed.data, packed.len, 1), 0);
    assert_non_null(keys_find(&kept, &later, "1", 1));
    buf_deinit(&packed);
    keys_deinit(&k);
    keys_deinit(&kept);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_found_again), cmocka_unit_test(test_a_key_with_any_bytes),
        cmocka_unit_test(test_the_longest), cmocka_unit_test(test_forgotten_with_their_messages),
        cmocka_unit_test(test_many),        cmocka_unit_test(test_whose),
    };

    return cmocka_run_group_tests_name("keys", tests, NULL, NULL);
}
