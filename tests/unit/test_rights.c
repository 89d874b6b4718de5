/* test_rights.c: what a room knows of nicks: roles for accounts and for guests, bans and mutes, as JSON and
 * back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "server/chat/room_rights.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct who account = {"ann", 3, UINT64_C(1) << 52 | 7, true}, guest = {"ann", 3, 7, false},
                        other_guest = {"ann", 3, 8, false};

static struct right *make(const char *nick)
{
    return right_new(nick, strlen(nick), nick, strlen(nick));
}

static struct right *with_role(enum rights_role role, uint64_t identity)
{
    struct right *right = make("ann");

    right->role = (uint8_t)role;
    right->identity = identity;
    return right;
}

static bool decode(struct rights *r, const char *nick, const char *json)
{
    return rights_decode(r, nick, strlen(nick), json, strlen(json));
}

/* What is kept of it, as text. */
static const char *encoded(const struct rights *r, const char *nick)
{
    static struct buf b;

    buf_clear(&b);
    right_encode(&b, rights_find(r, nick, strlen(nick)));
    buf_put(&b, "", 1);
    return b.data;
}

static void test_a_role_is_an_accounts_or_one_guests(void **state)
{
    struct rights r = {0};

    (void)state;
    assert_int_equal(rights_role_of(&r, &account), ROLE_MEMBER);
    rights_put(&r, with_role(ROLE_OWNER, 0));
    assert_int_equal(rights_role_of(&r, &account), ROLE_OWNER);
    assert_int_equal(rights_role_of(&r, &guest), ROLE_MEMBER);
    assert_int_equal(r.owners, 1);
    rights_put(&r, with_role(ROLE_MODERATOR, guest.identity));
    assert_int_equal(rights_role_of(&r, &account), ROLE_MEMBER);
    assert_int_equal(rights_role_of(&r, &guest), ROLE_MODERATOR);
    assert_int_equal(rights_role_of(&r, &other_guest), ROLE_MEMBER);
    assert_true(rights_is_invited(&r, &guest)); /* who has a role comes in, whatever the access */
    assert_false(rights_is_invited(&r, &other_guest));
    assert_int_equal(r.owners, 0);
    assert_int_equal(r.holders, 1);
    assert_int_equal(r.guests, 1);
    assert_string_equal(encoded(&r, "ann"), ""); /* nothing of a guest's role is kept */
    rights_put(&r, with_role(ROLE_MEMBER, guest.identity));
    assert_null(rights_find(&r, "ann", 3));
    rights_deinit(&r);
}

static void test_sentences_run_out(void **state)
{
    struct rights r = {0};
    struct right *right = make("bob");

    (void)state;
    sentence_set(&right->ban, "ann", 3, "spam", 4, 1000, 0);
    sentence_set(&right->mute, "ann", 3, NULL, 0, 1000, 5000);
    rights_put(&r, right);
    assert_int_equal(r.mutes, 1);
    assert_string_equal(rights_ban(&r, "bob", 3, 99999)->reason, "spam");
    assert_string_equal(rights_mute(&r, "bob", 3, 4999)->reason, "");
    assert_null(rights_mute(&r, "bob", 3, 5000));
    assert_null(rights_ban(&r, "bo", 2, 0));
    rights_deinit(&r);
    assert_null(rights_ban(&r, "bob", 3, 0));
}

static void test_there_and_back(void **state)
{
    struct rights r = {0}, again = {0};
    struct right *right = right_new("a\xc3\xa9", 3, "A\xc3\x89", 3);
    char first[1024];

    (void)state;
    right->role = ROLE_MODERATOR;
    right->invited = true;
    sentence_set(&right->mute, "Bob", 3, "\"\\\n\x01 {\"data\":1}", 15, 1000, 2000);
    rights_put(&r, right);
    snprintf(first, sizeof first, "%s", encoded(&r, "a\xc3\xa9"));
    assert_string_equal(
        first,
        "{\"type\":\"member\",\"nick\":\"A\xc3\x89\",\"data\":{\"type\":\"role\",\"role\":\"moderator\","
        "\"data\":{\"type\":\"invite\",\"data\":{\"type\":\"mute\",\"by\":\"Bob\",\"reason\":"
        "\"\\\"\\\\\\n\\u0001 {\\\"data\\\":1}\",\"time\":1000,\"until\":2000}}}}");
    assert_true(decode(&again, "a\xc3\xa9", first));
    assert_string_equal(encoded(&again, "a\xc3\xa9"), first);
    assert_string_equal(right_nick(rights_find(&again, "a\xc3\xa9", 3)), "A\xc3\x89");
    assert_int_equal(again.holders, 1);
    assert_int_equal(again.mutes, 1);
    rights_deinit(&r);
    rights_deinit(&again);
}

static void test_access_there_and_back(void **state)
{
    struct rights r = {0};
    struct buf b = {0};

    (void)state;
    rights_encode_access(&b, ACCESS_OPEN);
    assert_int_equal(b.len, 0); /* as it is without anything kept */
    rights_encode_access(&b, ACCESS_INVITED);
    assert_true(rights_decode(&r, "", 0, b.data, b.len));
    assert_int_equal(r.access, ACCESS_INVITED);
    buf_deinit(&b);
}

/* Who is banned has no role, whatever the order in which that was kept. */
static void test_a_ban_outweighs_a_role(void **state)
{
    struct rights r = {0};

    (void)state;
    assert_true(decode(
        &r, "ann",
        "{\"type\":\"member\",\"nick\":\"ann\",\"data\":{\"type\":\"ban\",\"by\":\"b\",\"reason\":\"\","
        "\"time\":1,\"data\":{\"type\":\"role\",\"role\":\"owner\"}}}"));
    assert_int_equal(rights_role_of(&r, &account), ROLE_MEMBER);
    assert_non_null(rights_ban(&r, "ann", 3, 1));
    rights_deinit(&r);
}

#define MEMBER(rest) "{\"type\":\"member\",\"nick\":\"ann\"" rest "}"

static const char *const damaged[] = {
    "",
    "{",
    "null",
    "[]",
    "{}",
    "{\"type\":\"member\"}",
    "{\"type\":\"member\",\"nick\":7}",
    "{\"type\":\"role\",\"role\":\"owner\"}",
    "{\"type\":\"access\",\"access\":\"invited\"}",
    MEMBER(",\"nick\":\"ann\""),
    MEMBER(",\"data\":7"),
    MEMBER(",\"data\":[]"),
    MEMBER(",\"data\":{}"),
    MEMBER(",\"data\":{\"type\":\"member"),
    MEMBER(",\"data\":{\"type\":\"crown\"}"),
    MEMBER(",\"data\":{\"type\":\"role\"}"),
    MEMBER(",\"data\":{\"type\":\"role\",\"role\":\"king\"}"),
    MEMBER(",\"data\":{\"type\":\"ban\"}"),
    MEMBER(",\"data\":{\"type\":\"ban\",\"by\":\"b\"}"),
    MEMBER(",\"data\":{\"type\":\"ban\",\"by\":\"b\",\"reason\":\"\",\"time\":1,\"until\":-5}"),
    MEMBER(",\"data\":{\"type\":\"ban\",\"by\":\"123456789012345678901234567890123\",\"reason\":\"\"}"),
    MEMBER(",\"data\":{\"type\":\"invite\",\"data\":\"x\"}"),
    "{\"type\":\"member\",\"nick\":\"\xff\"}",
};

static void test_damaged(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof damaged / sizeof *damaged; i++) {
        struct rights r = {0};

        if (decode(&r, "ann", damaged[i]))
            fail_msg("it was taken: %s", damaged[i]);
        assert_true(r.is_damaged); /* so that the room does not count as nobody's */
        assert_int_equal(r.holders, 0);
        rights_deinit(&r);
    }
    for (size_t len = 0; len < strlen(damaged[17]); len++) { /* cut anywhere */
        struct rights r = {0};

        assert_false(rights_decode(&r, "ann", 3, damaged[17], len));
        rights_deinit(&r);
    }
}

/* What could be read before the damage counts. */
static void test_half_damaged(void **state)
{
    struct rights r = {0};

    (void)state;
    assert_false(decode(
        &r, "ann", MEMBER(",\"data\":{\"type\":\"role\",\"role\":\"owner\",\"data\":{\"type\":\"x\"}}")));
    assert_int_equal(rights_role_of(&r, &account), ROLE_OWNER);
    rights_deinit(&r);
}

static void test_names(void **state)
{
    enum rights_access access = ACCESS_OPEN;
    enum rights_role role = ROLE_MEMBER;

    (void)state;
    assert_true(rights_find_role("owner", 5, &role));
    assert_int_equal(role, ROLE_OWNER);
    assert_false(rights_find_role("own", 3, &role));
    assert_false(rights_find_role("owners", 6, &role));
    assert_true(rights_find_access("accounts", 8, &access));
    assert_string_equal(rights_access_name(access), "accounts");
    assert_false(rights_find_access("", 0, &access));
}

static void test_many(void **state)
{
    struct rights r = {0};
    char nick[16];
    uint32_t at, seen = 0;

    (void)state;
    for (int i = 0; i < RIGHTS_MAX; i++) {
        struct right *right;

        snprintf(nick, sizeof nick, "n%d", i);
        right = make(nick);
        sentence_set(&right->ban, "ann", 3, "", 0, 1, 0);
        rights_put(&r, right);
        rights_put(&r, right_copy(rights_find(&r, nick, strlen(nick)))); /* takes its place */
    }
    assert_int_equal(r.nicks.count, RIGHTS_MAX);
    for (const struct right *right = rights_first(&r, &at); right != NULL;
         right = rights_next(&r, &at, right))
        seen++;
    assert_int_equal(seen, RIGHTS_MAX);
    rights_deinit(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_role_is_an_accounts_or_one_guests),
        cmocka_unit_test(test_sentences_run_out),
        cmocka_unit_test(test_there_and_back),
        cmocka_unit_test(test_access_there_and_back),
        cmocka_unit_test(test_a_ban_outweighs_a_role),
        cmocka_unit_test(test_damaged),
        cmocka_unit_test(test_half_damaged),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_many),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
