/* test_directory.c: whose nick is whose, for several threads at once; and tokens that nobody else can
 * make. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "server/chat/directory.h"
#include "server/chat/session.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define THREADS 4
#define TURNS   2000

static struct directory d;
static struct reactor reactors[2]; /* they are compared only */
static struct session someone = {.conn.reactor = &reactors[0]}, elsewhere = {.conn.reactor = &reactors[1]};

#define HERE  (&reactors[0])
#define THERE (&reactors[1])

static struct nick *make(const char *folded, const char *text)
{
    struct nick *n = nick_new(folded, strlen(folded), text, strlen(text));

    n->session = &someone;
    return n;
}

static void test_added_found_removed(void **state)
{
    struct nick *ann = make("ann", "Ann"), *other = make("ann", "ANN"), *bob = make("bob", "bob");
    struct nick_place place;

    (void)state;
    assert_string_equal(nick_text(ann), "Ann");
    assert_false(directory_find(&d, "ann", 3, &place));
    assert_int_equal(directory_add(&d, ann), DIRECTORY_OK);
    assert_int_equal(directory_add(&d, other), DIRECTORY_TAKEN);
    assert_int_equal(other->identity, 0); /* a refused one has been given none */
    assert_int_equal(directory_add(&d, bob), DIRECTORY_OK);
    assert_true(ann->identity != 0 && bob->identity != 0 && ann->identity != bob->identity);
    assert_true(directory_find(&d, "ann", 3, &place));
    assert_ptr_equal(place.reactor, HERE);
    assert_int_equal(place.identity, ann->identity);
    assert_int_equal(place.len, 3);
    assert_string_equal(place.text, "Ann");
    assert_false(directory_find(&d, "an", 2, &place));
    assert_false(directory_find(&d, "Ann", 3, &place)); /* it is asked for what is folded */
    directory_remove(&d, ann);
    assert_false(directory_find(&d, "ann", 3, &place));
    other->identity = 77; /* one who has been somebody before stays that */
    assert_int_equal(directory_add(&d, other), DIRECTORY_OK);
    assert_int_equal(other->identity, 77);
    directory_remove(&d, other);
    directory_remove(&d, bob);
    free(ann);
    free(other);
    free(bob);
}

static void test_sessions_of_ones_own_reactor(void **state)
{
    struct nick *ann = make("ann", "Ann");
    struct session *sessions[DIRECTORY_SESSIONS_MAX];

    (void)state;
    assert_int_equal(directory_add(&d, ann), DIRECTORY_OK);
    assert_int_equal(directory_sessions(&d, "ann", 3, HERE, sessions), 1);
    assert_ptr_equal(sessions[0], &someone);
    assert_int_equal(directory_sessions(&d, "ann", 3, THERE, sessions), 0);
    assert_int_equal(directory_sessions(&d, "bob", 3, HERE, sessions), 0);
    directory_remove(&d, ann);
    free(ann);
}

/* ---- accounts ---- */

static struct nick *make_account(uint64_t identity, struct session *session)
{
    struct nick *n = make("ann", "Ann");

    n->is_account = true;
    n->identity = identity | DIRECTORY_ACCOUNT;
    n->since_ms = 1000;
    n->session = session;
    return n;
}

static void test_an_account_on_several_connections(void **state)
{
    struct nick *one = make_account(7, &someone), *two = make_account(7, &elsewhere),
                *three = make_account(7, &someone);
    struct session *sessions[DIRECTORY_SESSIONS_MAX];
    struct reactor *found[DIRECTORY_SESSIONS_MAX];
    struct nick_place place;

    (void)state;
    assert_int_equal(directory_add(&d, one), DIRECTORY_OK);
    assert_int_equal(directory_add(&d, two), DIRECTORY_OK);
    assert_int_equal(directory_add(&d, three), DIRECTORY_OK);
    assert_int_equal(directory_sessions(&d, "ann", 3, HERE, sessions), 2);
    assert_int_equal(directory_sessions(&d, "ann", 3, THERE, sessions), 1);
    assert_int_equal(directory_reactors(&d, "ann", 3, found), 2);
    assert_ptr_equal(found[0], HERE);
    assert_ptr_equal(found[1], THERE);
    assert_true(directory_find(&d, "ann", 3, &place));
    assert_true(place.is_account);
    assert_int_equal(place.since_ms, 1000);
    directory_remove(&d, one); /* the others stay, whichever goes first */
    assert_int_equal(directory_sessions(&d, "ann", 3, HERE, sessions), 1);
    directory_remove(&d, three);
    assert_int_equal(directory_sessions(&d, "ann", 3, HERE, sessions), 0);
    assert_true(directory_find(&d, "ann", 3, &place));
    directory_remove(&d, two);
    assert_false(directory_find(&d, "ann", 3, &place));
    free(one);
    free(two);
    free(three);
}

static void test_an_accounts_nick_is_no_guests(void **state)
{
    struct nick *account = make_account(7, &someone), *other = make_account(8, &someone),
                *guest = make("ann", "ann");

    (void)state;
    assert_int_equal(directory_add(&d, account), DIRECTORY_OK);
    assert_int_equal(directory_add(&d, guest), DIRECTORY_TAKEN);
    assert_int_equal(directory_add(&d, other), DIRECTORY_TAKEN);
    directory_remove(&d, account);
    assert_int_equal(directory_add(&d, guest), DIRECTORY_OK);
    assert_true(guest->identity < DIRECTORY_ACCOUNT); /* they never meet */
    assert_int_equal(directory_add(&d, account), DIRECTORY_TAKEN);
    directory_promote(&d, guest, account->identity); /* it was the guest who registered */
    assert_int_equal(directory_add(&d, account), DIRECTORY_OK);
    directory_remove(&d, guest);
    directory_remove(&d, account);
    free(account);
    free(other);
    free(guest);
}

static void test_an_account_has_so_many_connections(void **state)
{
    struct nick *n[DIRECTORY_SESSIONS_MAX + 1];

    (void)state;
    for (size_t i = 0; i <= DIRECTORY_SESSIONS_MAX; i++) {
        n[i] = make_account(7, &someone);
        assert_int_equal(directory_add(&d, n[i]), i < DIRECTORY_SESSIONS_MAX ? DIRECTORY_OK : DIRECTORY_FULL);
    }
    for (size_t i = 0; i < DIRECTORY_SESSIONS_MAX; i++)
        directory_remove(&d, n[i]);
    for (size_t i = 0; i <= DIRECTORY_SESSIONS_MAX; i++)
        free(n[i]);
}

static void test_the_longest_nick(void **state)
{
    char folded[UTF8_FOLD_MAX + 1], text[UTF8_NICK_MAX + 1];
    struct nick_place place;
    struct nick *n;

    (void)state;
    memset(folded, 'f', UTF8_FOLD_MAX);
    memset(text, 't', UTF8_NICK_MAX);
    folded[UTF8_FOLD_MAX] = text[UTF8_NICK_MAX] = '\0';
    n = make(folded, text);
    assert_int_equal(directory_add(&d, n), DIRECTORY_OK);
    assert_true(directory_find(&d, folded, UTF8_FOLD_MAX, &place));
    assert_string_equal(place.text, text);
    directory_remove(&d, n);
    free(n);
}

/* ---- several threads ---- */

static atomic_int owners[3];

static void *come_and_go(void *arg)
{
    static const char *const names[] = {"ann", "bob", "cat"};
    unsigned seed = *(unsigned *)arg;
    struct nick_place place;

    for (int i = 0; i < TURNS; i++) {
        int which = rand_r(&seed) % 3;
        struct nick *n = make(names[which], names[which]);

        directory_find(&d, names[which], 3, &place);
        if (directory_add(&d, n) == DIRECTORY_OK) {
            if (atomic_fetch_add(&owners[which], 1) != 0)
                return arg; /* two have one nick */
            if (!directory_find(&d, names[which], 3, &place) || place.identity != n->identity)
                return arg;
            atomic_fetch_sub(&owners[which], 1);
            directory_remove(&d, n);
        }
        free(n);
    }
    return NULL;
}

static void test_threads(void **state)
{
    pthread_t threads[THREADS];
    unsigned seeds[THREADS];

    (void)state;
    for (unsigned i = 0; i < THREADS; i++) {
        seeds[i] = i + 1;
        assert_int_equal(pthread_create(&threads[i], NULL, come_and_go, &seeds[i]), 0);
    }
    for (size_t i = 0; i < THREADS; i++) {
        void *bad;

        pthread_join(threads[i], &bad);
        assert_null(bad);
    }
}

/* ---- tokens ---- */

static bool check(const struct directory *by, const char *token, const char *folded, uint64_t *identity)
{
    return directory_check_token(by, token, strlen(token), folded, strlen(folded), identity);
}

static void test_tokens(void **state)
{
    struct nick *ann = make("ann", "Ann"), *bob = make("bob", "bob");
    char token[DIRECTORY_TOKEN_SIZE], second[DIRECTORY_TOKEN_SIZE], of_bob[DIRECTORY_TOKEN_SIZE];
    uint64_t identity = 0;

    (void)state;
    ann->identity = UINT64_MAX - 5;
    bob->identity = 3;
    directory_token(&d, ann, 1, token);
    directory_token(&d, ann, UINT64_MAX, second);
    directory_token(&d, bob, 1, of_bob);
    assert_int_equal(strlen(token), 48);
    assert_string_not_equal(token, second);
    assert_true(check(&d, token, "ann", &identity));
    assert_int_equal(identity, ann->identity);
    assert_true(check(&d, second, "ann", &identity));
    assert_int_equal(identity, ann->identity);
    assert_true(check(&d, of_bob, "bob", &identity));
    assert_int_equal(identity, 3);
    assert_false(check(&d, token, "bob", &identity));
    assert_false(check(&d, token, "an", &identity));
    assert_false(check(&d, token, "", &identity));
    assert_false(check(&d, token, "Ann", &identity));
    free(ann);
    free(bob);
}

/* One character changed, of the identity, the connection or the seal: none is believed. */
static void test_tokens_that_were_changed(void **state)
{
    struct nick *ann = make("ann", "Ann");
    char token[DIRECTORY_TOKEN_SIZE];
    uint64_t identity;

    (void)state;
    ann->identity = 0x123456789abcdef0;
    directory_token(&d, ann, 0x0fedcba987654321, token);
    for (size_t i = 0; i < 48; i++)
        for (const char *c = "0123456789abcdefABCDEF xX+-\n\xff"; *c != '\0'; c++) {
            char was = token[i];

            token[i] = *c;
            if (*c != was && check(&d, token, "ann", &identity))
                fail_msg("%s", token);
            token[i] = was;
        }
    assert_true(check(&d, token, "ann", &identity));
    free(ann);
}

/* A token has one form. */
static void test_tokens_in_other_forms(void **state)
{
    struct nick *ann = make("ann", "Ann");
    char token[DIRECTORY_TOKEN_SIZE + 8], other[DIRECTORY_TOKEN_SIZE + 32];
    uint64_t identity;

    (void)state;
    ann->identity = 5;
    directory_token(&d, ann, 6, token);
    assert_true(check(&d, token, "ann", &identity));
    for (size_t len = 0; len < 48; len++)
        assert_false(directory_check_token(&d, token, len, "ann", 3, &identity));
    token[48] = '0', token[49] = '\0';
    assert_false(check(&d, token, "ann", &identity));
    token[48] = '\0';
    snprintf(other, sizeof other, "              0x%.16s%.16s", token + 16, token + 32);
    assert_false(check(&d, other, "ann", &identity));
    snprintf(other, sizeof other, "               5               6%.16s", token + 32);
    assert_int_equal(strlen(other), 48);
    assert_false(check(&d, other, "ann", &identity));
    snprintf(other, sizeof other, "+000000000000005%.32s", token + 16);
    assert_false(check(&d, other, "ann", &identity));
    snprintf(other, sizeof other, "0x00000000000005%.32s", token + 16);
    assert_false(check(&d, other, "ann", &identity));
    memcpy(other, token, 49);
    other[20] = '\0';
    assert_false(directory_check_token(&d, other, 48, "ann", 3, &identity));
    free(ann);
}

/* Another server's, or this one's before it was started again. */
static void test_tokens_of_others(void **state)
{
    struct directory other;
    struct nick *ann = make("ann", "Ann"), *nobody = make("ann", "Ann");
    char token[DIRECTORY_TOKEN_SIZE];
    uint64_t identity;

    (void)state;
    directory_init(&other, 0);
    ann->identity = 5;
    directory_token(&other, ann, 6, token);
    assert_true(check(&other, token, "ann", &identity));
    assert_false(check(&d, token, "ann", &identity));
    directory_token(&d, nobody, 6, token); /* identity 0 is nobody's */
    assert_false(check(&d, token, "ann", &identity));
    directory_deinit(&other);
    free(ann);
    free(nobody);
}

/* Whoever has the nick next has said nothing of what there is, whatever the clock says: neither before the server was
 * started nor since. */
static void test_a_clock_that_was_set_back(void **state)
{
    const uint64_t ahead = UINT64_C(4000000000000);
    struct directory late;
    struct nick *ann = make("ann", "Ann");

    (void)state;
    directory_init(&late, ahead);
    assert_int_equal(directory_add(&late, ann), DIRECTORY_OK);
    assert_true(ann->since_ms > ahead);
    directory_note_time(&late, ahead + 5000);
    directory_note_time(&late, ahead + 4000);
    directory_remove(&late, ann);
    ann->since_ms = 0;
    assert_int_equal(directory_add(&late, ann), DIRECTORY_OK);
    assert_true(ann->since_ms > ahead + 5000 && ann->since_ms < ahead + 5010);
    directory_remove(&late, ann);
    directory_deinit(&late);
    free(ann);
}

static int set_up(void **state)
{
    (void)state;
    directory_init(&d, 0);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    directory_deinit(&d);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_added_found_removed),
        cmocka_unit_test(test_sessions_of_ones_own_reactor),
        cmocka_unit_test(test_an_account_on_several_connections),
        cmocka_unit_test(test_an_accounts_nick_is_no_guests),
        cmocka_unit_test(test_an_account_has_so_many_connections),
        cmocka_unit_test(test_the_longest_nick),
        cmocka_unit_test(test_threads),
        cmocka_unit_test(test_tokens),
        cmocka_unit_test(test_tokens_that_were_changed),
        cmocka_unit_test(test_tokens_in_other_forms),
        cmocka_unit_test(test_tokens_of_others),
        cmocka_unit_test(test_a_clock_that_was_set_back),
    };

    return cmocka_run_group_tests_name("directory", tests, set_up, tear_down);
}
