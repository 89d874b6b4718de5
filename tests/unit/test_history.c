/* test_history.c: what is kept of a room, against a plain list of its messages. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/buf.h"
#include "server/chat/history.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SLICES 64
#define NONE   UINT64_MAX

/* A chunk of count messages from that seq on; the line of message n is "n" and n % 50 dots. */
static struct chunk *make_chunk(uint64_t first, uint32_t count)
{
    static const char dots[] = "..................................................";
    struct buf b = {0};
    struct chunk *c;

    for (uint64_t n = first; n < first + count; n++)
        buf_putf(&b, "%llu%.*s\n", (unsigned long long)n, (int)(n % 50), dots);
    c = chunk_new_copy(b.data, b.len);
    c->first_seq = first;
    c->count = count;
    buf_deinit(&b);
    return c;
}

static void append(struct history *h, uint64_t first, uint32_t count, uint64_t most_messages,
                   uint64_t most_bytes)
{
    struct chunk *c = make_chunk(first, count);

    history_append(h, c, most_messages, most_bytes);
    chunk_unref(c); /* it has its own reference */
}

/* The slices are the lines of first, first + 1, …, whole; how many. Gives them back. */
static uint64_t check_slices(struct slice *slices, size_t n, uint64_t first)
{
    uint64_t seq = first;

    for (size_t i = 0; i < n; i++) {
        const struct slice *s = &slices[i];
        const char *at = s->chunk->data + s->at, *end = at + s->len;

        assert_true(s->count > 0 && s->len > 0 && s->at + s->len <= s->chunk->len);
        for (uint32_t k = 0; k < s->count; k++) {
            assert_int_equal(strtoull(at, NULL, 10), seq++);
            at = (const char *)memchr(at, '\n', (size_t)(end - at)) + 1;
        }
        assert_ptr_equal(at, end);
        slice_unref(&slices[i]);
        assert_null(slices[i].chunk);
    }
    return seq - first;
}

static uint64_t read_from(const struct history *h, uint64_t after, uint64_t most_messages,
                          uint64_t most_bytes, size_t size)
{
    struct slice slices[SLICES];
    uint64_t oldest = history_oldest(h, 0), first = after + 1 > oldest ? after + 1 : oldest;
    size_t n = history_read(h, after, most_messages, most_bytes, slices, size);

    assert_true(n <= size);
    return check_slices(slices, n, first);
}

static void test_an_empty_one(void **state)
{
    struct history h = {0};
    struct slice s;

    (void)state;
    assert_int_equal(history_oldest(&h, 17), 17);
    assert_int_equal(history_read(&h, 0, 10, NONE, &s, 1), 0);
    history_deinit(&h);
}

static void test_each_part(void **state)
{
    struct history h = {0};
    uint64_t next = 1;

    (void)state;
    for (uint32_t i = 0; i < 12; i++) {
        append(&h, next, i % 4 + 1, NONE, NONE);
        next += i % 4 + 1;
    }
    assert_int_equal(history_oldest(&h, next), 1);
    assert_int_equal(h.messages, next - 1);
    for (uint64_t after = 0; after < next + 3; after++)
        for (uint64_t most = 0; most < next + 3; most++) {
            uint64_t left = after + 1 < next ? next - 1 - after : 0;

            assert_int_equal(read_from(&h, after, most, NONE, SLICES), left < most ? left : most);
        }
    assert_int_equal(read_from(&h, UINT64_MAX - 1, 5, NONE, SLICES), 0);
    history_deinit(&h);
}

static void test_as_many_slices_as_fit(void **state)
{
    struct history h = {0};

    (void)state;
    for (uint64_t i = 0; i < 10; i++)
        append(&h, 1 + i * 3, 3, NONE, NONE);
    assert_int_equal(read_from(&h, 0, NONE, NONE, 0), 0);
    assert_int_equal(read_from(&h, 0, NONE, NONE, 1), 3);
    assert_int_equal(read_from(&h, 1, NONE, NONE, 2), 5);
    assert_int_equal(read_from(&h, 0, NONE, NONE, 10), 30);
    history_deinit(&h);
}

/* About so many bytes: a chunk that would go beyond them is left, unless it is the first. */
static void test_as_many_bytes_as_fit(void **state)
{
    struct history h = {0};
    struct slice slices[SLICES];

    (void)state;
    for (uint64_t i = 0; i < 10; i++)
        append(&h, 1 + i * 5, 5, NONE, NONE);
    for (uint64_t most = 0; most < 2000; most += 7) {
        uint64_t bytes = 0;
        size_t n = history_read(&h, 2, NONE, most, slices, SLICES);

        assert_true(n >= 1);
        for (size_t i = 0; i < n; i++)
            bytes += slices[i].len;
        assert_true(n == 1 || bytes <= most);
        if (n < 10) { /* the next one would not have fitted */
            const struct chunk *next = h.ring[(h.first + n) & (h.cap - 1)];

            assert_true(bytes + next->len > most);
        }
        check_slices(slices, n, 3);
    }
    history_deinit(&h);
}

static uint64_t bytes_of(const struct history *h)
{
    uint64_t bytes = 0;

    for (uint32_t i = 0; i < h->count; i++)
        bytes += h->ring[(h->first + i) & (h->cap - 1)]->len + sizeof(struct chunk);
    return bytes;
}

/* Of the messages, no fewer than the limit are kept, and only as many chunks as that takes. */
static void test_the_limit_of_messages(void **state)
{
    (void)state;
    for (uint64_t most = 1; most < 40; most += 3) {
        struct history h = {0};
        uint64_t next = 1;
        unsigned seed = (unsigned)most;

        for (int i = 0; i < 300; i++) {
            uint32_t count = 1 + (uint32_t)rand_r(&seed) % 6;
            uint64_t oldest, kept;

            append(&h, next, count, most, NONE);
            next += count;
            oldest = history_oldest(&h, next);
            kept = next - oldest;
            assert_int_equal(h.messages, kept);
            assert_int_equal(h.bytes, bytes_of(&h));
            assert_true(kept >= (most < next - 1 ? most : next - 1));
            assert_true(kept < most + 6 || h.count == 1);
            assert_int_equal(read_from(&h, oldest - 1, NONE, NONE, SLICES), kept);
            assert_int_equal(read_from(&h, 0, 2, NONE, SLICES), kept < 2 ? kept : 2);
        }
        assert_true(h.cap <= 64); /* the ring does not grow for ever */
        history_deinit(&h);
        assert_null(h.ring);
    }
}

static void test_the_limit_of_bytes(void **state)
{
    struct history h = {0};
    uint64_t next = 1;

    (void)state;
    for (int i = 0; i < 400; i++, next += 2) {
        append(&h, next, 2, NONE, 2000);
        assert_true(h.bytes <= 2000);
        assert_int_equal(h.bytes, bytes_of(&h));
        assert_int_equal(h.messages, next + 2 - history_oldest(&h, 0));
    }
    for (int i = 0; i < 5; i++, next += 200) { /* one that is larger than the limit is kept alone */
        append(&h, next, 200, NONE, 2000);
        assert_int_equal(h.count, 1);
        assert_int_equal(history_oldest(&h, 0), next);
    }
    history_deinit(&h);
}

/* Who reads keeps what he reads, whatever is dropped meanwhile. */
static void test_slices_outlive_the_history(void **state)
{
    struct history h = {0};
    struct slice slices[SLICES];
    size_t n;

    (void)state;
    for (uint64_t i = 0; i < 6; i++)
        append(&h, 1 + i * 4, 4, NONE, NONE);
    n = history_read(&h, 5, NONE, NONE, slices, SLICES);
    for (uint64_t i = 6; i < 30; i++)
        append(&h, 1 + i * 4, 4, 4, NONE);
    assert_true(history_oldest(&h, 0) > 100);
    history_deinit(&h);
    assert_int_equal(check_slices(slices, n, 6), 19);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_empty_one),
        cmocka_unit_test(test_each_part),
        cmocka_unit_test(test_as_many_slices_as_fit),
        cmocka_unit_test(test_as_many_bytes_as_fit),
        cmocka_unit_test(test_the_limit_of_messages),
        cmocka_unit_test(test_the_limit_of_bytes),
        cmocka_unit_test(test_slices_outlive_the_history),
    };

    return cmocka_run_group_tests_name("history", tests, NULL, NULL);
}
