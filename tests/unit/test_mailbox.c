/* test_mailbox.c: many writers and one reader: nothing is lost or doubled, each writer's order is kept, and
 * the reader is woken. What the order of every room rests on; most is seen here with a thread sanitizer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "server/net/mailbox.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define WRITERS 6
#define POSTS   20000 /* of each */

struct letter {
    struct post post;
    unsigned writer, number;
};

static struct mailbox box;

static struct letter *write_letter(unsigned writer, unsigned number)
{
    struct letter *l = malloc(sizeof *l);

    if (l == NULL)
        abort();
    *l = (struct letter){.writer = writer, .number = number};
    return l;
}

static int is_awake(int timeout_ms)
{
    struct pollfd p = {.fd = box.wake_fd, .events = POLLIN};

    return poll(&p, 1, timeout_ms);
}

static void put_one(unsigned writer, unsigned number)
{
    struct letter *l = write_letter(writer, number);

    mailbox_put(&box, &l->post, &l->post);
}

/* Puts several in one go, as a reactor does at the end of its turn: the newest first, the oldest last. */
static void put_several(unsigned writer, unsigned number, unsigned count)
{
    struct post *newest = NULL, *oldest = NULL;

    for (unsigned i = 0; i < count; i++) {
        struct letter *l = write_letter(writer, number + i);

        l->post.next = newest;
        newest = &l->post;
        if (oldest == NULL)
            oldest = newest;
    }
    mailbox_put(&box, newest, oldest);
}

/* Takes all there is; counts it up in next, a number a writer. How many. */
static unsigned take_all(unsigned next[WRITERS])
{
    unsigned count = 0;
    struct post *p = mailbox_take(&box), *following;

    for (; p != NULL; p = following, count++) {
        struct letter *l = (struct letter *)p;

        following = p->next;
        if (l->writer >= WRITERS || l->number != next[l->writer])
            fail_msg("writer %u: %u", l->writer, l->number);
        next[l->writer]++;
        free(l);
    }
    return count;
}

static void test_an_empty_one(void **state)
{
    (void)state;
    assert_null(mailbox_take(&box));
    assert_int_equal(is_awake(0), 0);
    assert_true(fcntl(box.wake_fd, F_GETFD) & FD_CLOEXEC);
    assert_true(fcntl(box.wake_fd, F_GETFL) & O_NONBLOCK);
    assert_true(fcntl(box.wake_write_fd, F_GETFD) & FD_CLOEXEC);
    assert_true(fcntl(box.wake_write_fd, F_GETFL) & O_NONBLOCK);
}

static void test_in_order(void **state)
{
    unsigned next[WRITERS] = {0};

    (void)state;
    put_one(0, 0);
    assert_int_equal(is_awake(0), 1);
    put_one(0, 1);
    put_several(0, 2, 5);
    put_several(1, 0, 3);
    put_one(0, 7);
    assert_int_equal(take_all(next), 11);
    assert_int_equal(next[0], 8);
    assert_int_equal(next[1], 3);
    assert_null(mailbox_take(&box));
    assert_int_equal(is_awake(0), 0);
    put_one(0, 8);
    assert_int_equal(is_awake(0), 1);
    assert_int_equal(take_all(next), 1);
}

/* Between two takes the reader is woken once, however much was put; and a pipe that is full loses nothing. */
static void test_one_wake_for_many(void **state)
{
    unsigned next[WRITERS] = {0};
    char bytes[16];

    (void)state;
    for (unsigned i = 0; i < 5000; i++)
        put_one(0, i);
    assert_int_equal(read(box.wake_fd, bytes, sizeof bytes), 1);
    assert_int_equal(take_all(next), 5000);
    while (write(box.wake_write_fd, "x", 1) == 1)
        ;
    put_one(0, 5000);
    assert_int_equal(is_awake(0), 1);
    assert_int_equal(take_all(next), 1);
    assert_int_equal(is_awake(0), 0);
}

static void test_a_wake_without_a_post(void **state)
{
    (void)state;
    mailbox_wake(&box);
    assert_int_equal(is_awake(0), 1);
    assert_null(mailbox_take(&box));
    assert_int_equal(is_awake(0), 0);
}

static void *write_many(void *arg)
{
    unsigned writer = *(unsigned *)arg, seed = writer, n = 0;

    while (n < POSTS) {
        unsigned count = 1 + (unsigned)rand_r(&seed) % 4;

        count = count < POSTS - n ? count : POSTS - n;
        if (count == 1)
            put_one(writer, n);
        else
            put_several(writer, n, count);
        n += count;
        if (n % 1000 < 4)
            usleep(100); /* so that the reader gets to sleep now and then */
    }
    return NULL;
}

/* The reader sleeps until it is woken, as a reactor does: a wake-up that is lost would leave it asleep. */
static void test_many_writers(void **state)
{
    pthread_t threads[WRITERS];
    unsigned numbers[WRITERS], next[WRITERS] = {0}, taken = 0;

    (void)state;
    for (unsigned i = 0; i < WRITERS; i++) {
        numbers[i] = i;
        assert_int_equal(pthread_create(&threads[i], NULL, write_many, &numbers[i]), 0);
    }
    while (taken < WRITERS * POSTS) {
        assert_int_equal(is_awake(20000), 1);
        taken += take_all(next);
    }
    for (unsigned i = 0; i < WRITERS; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(next[i], POSTS);
    }
    assert_null(mailbox_take(&box));
}

/* ---- what a writer did before it put ---- */

static unsigned
    written[WRITERS]; /* plain memory: only the mailbox stands between its writer and its reader */
static atomic_uint answered[WRITERS];

static void *write_beside(void *arg)
{
    unsigned writer = *(unsigned *)arg;

    for (unsigned n = 0; n < 300; n++) {
        written[writer] = n + 1;
        put_one(writer, n);
        while (atomic_load(&answered[writer]) <= n)
            sched_yield();
    }
    return NULL;
}

/* It is there for the reader, also where the posts of others lie on top. */
static void test_what_was_written_before_is_seen(void **state)
{
    pthread_t threads[WRITERS];
    unsigned numbers[WRITERS], next[WRITERS] = {0}, taken = 0;

    (void)state;
    for (unsigned i = 0; i < WRITERS; i++) {
        numbers[i] = i;
        assert_int_equal(pthread_create(&threads[i], NULL, write_beside, &numbers[i]), 0);
    }
    while (taken < WRITERS * 300) {
        assert_int_equal(is_awake(20000), 1);
        taken += take_all(next);
        for (unsigned i = 0; i < WRITERS; i++)
            if (next[i] > atomic_load(&answered[i])) {
                assert_int_equal(written[i], next[i]);
                atomic_store(&answered[i], next[i]);
            }
    }
    for (unsigned i = 0; i < WRITERS; i++)
        pthread_join(threads[i], NULL);
}

static int set_up(void **state)
{
    (void)state;
    return mailbox_init(&box);
}

static int tear_down(void **state)
{
    (void)state;
    mailbox_deinit(&box);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_empty_one),      cmocka_unit_test(test_in_order),
        cmocka_unit_test(test_one_wake_for_many), cmocka_unit_test(test_a_wake_without_a_post),
        cmocka_unit_test(test_many_writers),      cmocka_unit_test(test_what_was_written_before_is_seen),
    };

    return cmocka_run_group_tests_name("mailbox", tests, set_up, tear_down);
}
