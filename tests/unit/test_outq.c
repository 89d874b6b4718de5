/* test_outq.c: what waits to be written, against the plain string of bytes that it stands for. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/buf.h"
#include "server/net/outq.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SIZE 100000

static struct outq_pool pool;

/* A queue and, in plain, what it holds; of each byte, whether it is an answer's. */
struct model {
    struct outq q;
    char bytes[SIZE], own[SIZE];
    size_t len;
};

static struct chunk *make_chunk(size_t len, unsigned salt)
{
    struct chunk *c = chunk_new(len);

    for (size_t i = 0; i < len; i++)
        c->data[i] = (char)(i * 31 + salt);
    c->len = (uint32_t)len;
    c->count = 1;
    c->first_seq = salt;
    return c;
}

static void note(struct model *m, const char *data, size_t len, int own)
{
    memcpy(m->bytes + m->len, data, len);
    memset(m->own + m->len, own, len);
    m->len += len;
}

static void push(struct model *m, struct chunk *c, uint32_t at, uint32_t len)
{
    outq_push(&m->q, &pool, c, at, len);
    note(m, c->data + at, len, 0);
}

static void append(struct model *m, const char *data, size_t len)
{
    outq_append(&m->q, &pool, data, len);
    note(m, data, len, 1);
}

static void consume(struct model *m, size_t len)
{
    outq_consume(&m->q, &pool, len);
    m->len -= len;
    memmove(m->bytes, m->bytes + len, m->len);
    memmove(m->own, m->own + len, m->len);
}

static void check(const struct model *m)
{
    static char copy[SIZE];
    struct iovec parts[64];
    size_t own = 0, at = 0, some = m->len / 2;
    int n;

    for (size_t i = 0; i < m->len; i++)
        own += m->own[i] != 0;
    assert_int_equal(m->q.bytes, m->len);
    assert_int_equal(m->q.own, own);
    assert_int_equal(outq_copy(&m->q, copy, sizeof copy), m->len);
    assert_memory_equal(copy, m->bytes, m->len);
    memset(copy, '#', some + 1);
    assert_int_equal(outq_copy(&m->q, copy, some), some);
    assert_memory_equal(copy, m->bytes, some);
    assert_int_equal(copy[some], '#');
    n = outq_gather(&m->q, parts, 64);
    for (int i = 0; i < n; i++) {
        assert_true(parts[i].iov_len > 0);
        assert_memory_equal(parts[i].iov_base, m->bytes + at, parts[i].iov_len);
        at += parts[i].iov_len;
    }
    assert_true(n == 64 || at == m->len);
    assert_int_equal(m->q.head == NULL, m->len == 0);
    assert_int_equal(m->q.tail == NULL, m->len == 0);
}

static struct model model;

static int reset(void **state)
{
    (void)state;
    outq_clear(&model.q, &pool);
    memset(&model, 0, sizeof model);
    return 0;
}

static int free_pool(void **state)
{
    reset(state);
    outq_pool_deinit(&pool);
    assert_null(pool.free);
    return 0;
}

static void test_an_empty_one(void **state)
{
    struct iovec part;

    (void)state;
    check(&model);
    assert_int_equal(outq_gather(&model.q, &part, 1), 0);
    outq_append(&model.q, &pool, "", 0);
    outq_consume(&model.q, &pool, 0);
    check(&model);
}

static void test_references(void **state)
{
    struct chunk *c = make_chunk(100, 1);

    (void)state;
    push(&model, c, 0, 0); /* nothing is no reference */
    assert_true(chunk_is_sole(c));
    push(&model, c, 10, 20);
    push(&model, c, 50, 50);
    assert_false(chunk_is_sole(c));
    check(&model);
    consume(&model, 19);
    check(&model);
    consume(&model, 1);
    assert_int_equal(atomic_load(&c->refs), 2);
    consume(&model, 50);
    assert_true(chunk_is_sole(c));
    check(&model);
    push(&model, c, 0, 100);
    outq_clear(&model.q, &pool);
    model.len = 0;
    assert_true(chunk_is_sole(c));
    check(&model);
    chunk_unref(c);
}

/* Answers are gathered into one piece; what others share is never written to. */
static void test_answers(void **state)
{
    struct chunk *c = make_chunk(10, 1);
    struct iovec parts[8];
    char big[3000];

    (void)state;
    for (int i = 0; i < 40; i++)
        append(&model, "0123456789", 10);
    assert_int_equal(outq_gather(&model.q, parts, 8), 1);
    push(&model, c, 0, 10);
    append(&model, "behind", 6);
    assert_int_equal(outq_gather(&model.q, parts, 8), 3);
    assert_int_equal(c->len, 10);
    check(&model);
    memset(big, 'b', sizeof big);
    append(&model, big, sizeof big);
    append(&model, "small", 5);
    check(&model);
    consume(&model, 405); /* an answer is taken up to its middle, then more is said */
    append(&model, "more", 4);
    check(&model);
    consume(&model, model.len);
    check(&model);
    assert_true(chunk_is_sole(c));
    chunk_unref(c);
}

static void test_a_shared_chunk_with_room_is_left_alone(void **state)
{
    struct chunk *c = chunk_new(1000);

    (void)state;
    memcpy(c->data, "shared", 6);
    c->len = 6;
    push(&model, c, 0, 6);
    append(&model, "own", 3);
    assert_int_equal(c->len, 6);
    check(&model);
    consume(&model, 9);
    chunk_unref(c);
}

static void test_random_work(void **state)
{
    struct chunk *chunks[8];
    unsigned seed = 9;

    (void)state;
    for (unsigned i = 0; i < 8; i++)
        chunks[i] = make_chunk(1 + 300 * i, i);
    for (int step = 0; step < 20000; step++) {
        unsigned r = (unsigned)rand_r(&seed);
        struct chunk *c = chunks[r / 4 % 8];
        uint32_t at = r / 32 % c->len;

        if (r % 4 == 0 && model.len < SIZE - 3000)
            push(&model, c, at, (r >> 9) % (c->len - at + 1));
        else if (r % 4 == 1 && model.len < SIZE - 3000)
            append(&model, c->data + at, (r >> 9) % (c->len - at + 1));
        else
            consume(&model, model.len > 0 ? (r >> 6) % (model.len + 1) % 2500 : 0);
        if (step % 20 == 0)
            check(&model);
    }
    consume(&model, model.len);
    check(&model);
    for (unsigned i = 0; i < 8; i++) {
        assert_true(chunk_is_sole(chunks[i]));
        chunk_unref(chunks[i]);
    }
}

/* One pool for all queues of a reactor: it keeps some nodes, not every one that there ever was. */
static void test_the_pool_is_bounded(void **state)
{
    struct chunk *c = make_chunk(1, 1);
    struct outq q = {0};

    (void)state;
    for (int i = 0; i < 20000; i++)
        outq_push(&q, &pool, c, 0, 1);
    assert_int_equal(pool.count, 0);
    outq_consume(&q, &pool, 20000);
    assert_in_range(pool.count, 1, 10000);
    assert_true(chunk_is_sole(c));
    chunk_unref(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_an_empty_one, reset),
        cmocka_unit_test_setup(test_references, reset),
        cmocka_unit_test_setup(test_answers, reset),
        cmocka_unit_test_setup(test_a_shared_chunk_with_room_is_left_alone, reset),
        cmocka_unit_test_setup(test_random_work, reset),
        cmocka_unit_test_setup(test_the_pool_is_bounded, reset),
    };

    return cmocka_run_group_tests_name("outq", tests, NULL, free_pool);
}
