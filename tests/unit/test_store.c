/* test_store.c: the store on disk: what is written can be read, in one order without a hole, wherever it
 * lies. */
#include "common/mem.h"
#include "server/chat/store.h"
#include "server/net/reactor.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static char dir[] = "/tmp/chatd-store-XXXXXX";
static struct reactor home;
static struct store *store;
static unsigned back;

static void on_back(struct reactor *r, struct post *p)
{
    (void)r, (void)p;
    back++;
}

static void settle(void)
{
    struct post *p;

    store_settle(store);
    for (p = mailbox_take(&home.box); p != NULL; p = p->next)
        p->run(&home, p);
}

static void open_store(void)
{
    char err[STORE_ERROR_SIZE];

    store = store_open(&(struct store_options){.dir = dir}, err);
    assert_non_null(store);
    assert_true(store->lasts);
}

static int set_up(void **state)
{
    (void)state;
    return mkdtemp(dir) == NULL || mailbox_init(&home.box) != 0;
}

static int tear_down(void **state)
{
    char command[128];

    (void)state;
    mailbox_deinit(&home.box);
    snprintf(command, sizeof command, "rm -rf %s", dir);
    return system(command);
}

/* Messages of which each line is as long as size says. */
static struct chunk *make_chunk(uint64_t first, uint32_t count, size_t size)
{
    struct buf b = {0};
    struct chunk *c;

    for (uint32_t i = 0; i < count; i++)
        buf_putf(&b, "{\"type\":\"msg\",\"room\":\"r\",\"seq\":%llu,\"text\":\"%0*d\"}\n",
                 (unsigned long long)(first + i), (int)size, 0);
    c = chunk_new_copy(b.data, b.len);
    c->first_seq = first;
    c->count = count;
    buf_deinit(&b);
    return c;
}

static void begin(struct store_write *w, struct store_place *place, const char *room, struct chunk *chunk)
{
    *w = (struct store_write){.job = {.home = &home, .done = on_back},
                              .place = place,
                              .room = room,
                              .room_len = strlen(room),
                              .epoch = 7,
                              .time_ms = 1000 + chunk->first_seq,
                              .chunk = chunk};
}

/* Whether it was kept. */
static bool put(struct store_place *place, const char *room, uint64_t first, uint32_t count, size_t size)
{
    struct store_write w;

    begin(&w, place, room, make_chunk(first, count, size));
    store_write(store, &w);
    settle();
    chunk_unref(w.chunk);
    return w.job.failed == NULL;
}

static struct store_load load(const char *room)
{
    struct store_load l = {
        .job = {.home = &home, .done = on_back}, .room_len = (uint8_t)strlen(room), .keys_of = 100};

    strcpy(l.room, room);
    store_load(store, &l);
    settle();
    assert_null(l.job.failed);
    return l;
}

/* Reads after..last and finds from..to there; 0, 0: nothing. */
static void expect(uint64_t id, uint64_t after, uint64_t last, uint64_t from, uint64_t to)
{
    struct store_read r = {.job = {.home = &home, .done = on_back},
                           .id = id,
                           .after = after,
                           .last = last,
                           .most_bytes = 1 << 24};
    struct chunk *wanted;

    store_read(store, &r);
    settle();
    assert_null(r.job.failed);
    if (from == 0) {
        assert_null(r.chunk);
        return;
    }
    assert_non_null(r.chunk);
    assert_int_equal(r.chunk->first_seq, from);
    assert_int_equal(r.chunk->count, to - from + 1);
    wanted = make_chunk(from, (uint32_t)(to - from + 1), 50);
    assert_int_equal(r.chunk->len, wanted->len);
    assert_memory_equal(r.chunk->data, wanted->data, wanted->len);
    chunk_unref(wanted);
    chunk_unref(r.chunk);
}

static void expect_ranges(uint64_t id)
{
    expect(id, 0, 30, 1, 30);
    expect(id, 0, 1, 1, 1);
    expect(id, 9, 10, 10, 10);
    expect(id, 4, 17, 5, 17);
    expect(id, 29, 30, 30, 30);
    expect(id, 30, 40, 0, 0);
    expect(id, 25, 99, 26, 30);
}

static void test_written_and_read(void **state)
{
    struct store_place a = {0}, b = {0};
    struct store_load l;

    (void)state;
    open_store();
    assert_false(load("a").found);
    for (uint64_t first = 1; first <= 30; first += 10) {
        assert_true(put(&a, "a", first, 10, 50));
        assert_true(put(&b, "b", first, 10, 50));
    }
    assert_int_not_equal(a.id, b.id);
    expect_ranges(a.id); /* in the inbox still */
    sleep(2);
    expect_ranges(a.id);
    expect_ranges(b.id);
    store_close(store);
    open_store();
    l = load("b");
    assert_true(l.found);
    assert_int_equal(l.place.id, b.id);
    assert_int_equal(l.place.kept, 30);
    assert_int_equal(l.oldest, 1);
    assert_int_equal(l.epoch, 7);
    assert_int_equal(l.time_ms, 1021);
    assert_null(l.topic);
    assert_true(put(&l.place, "b", 31, 5, 50));
    expect(b.id, 28, 35, 29, 35); /* partly where it belongs, partly in the inbox */
    store_close(store);
}

static void test_no_hole(void **state)
{
    struct store_place c = {0};

    (void)state;
    open_store();
    assert_true(put(&c, "c", 1, 3, 50));
    assert_false(put(&c, "c", 5, 1, 50)); /* 4 is missing */
    assert_false(put(&c, "c", 3, 1, 50)); /* is kept */
    assert_true(put(&c, "c", 4, 1, 50));
    assert_int_equal(c.kept, 4);
    store_close(store);
}

/* More than the inbox holds is moved within the commit. */
static void test_much_at_once(void **state)
{
    struct store_place d = {0};
    struct store_load l;

    (void)state;
    open_store();
    for (uint64_t first = 1; first <= 2000; first += 100)
        assert_true(put(&d, "d", first, 100, 3000));
    l = load("d");
    assert_int_equal(l.place.kept, 2000);
    assert_int_equal(l.oldest, 1);
    store_close(store);
}

static void test_keys(void **state)
{
    struct store_place e = {0};
    struct store_write w;
    struct store_load l;
    const struct key *key;

    (void)state;
    open_store();
    begin(&w, &e, "e", make_chunk(1, 2, 50));
    keys_pack(&w.keys, "ann", 3, "k1", 2, 1, 1001);
    keys_pack(&w.keys, "bob", 3, "k1", 2, 2, 1002);
    store_write(store, &w);
    settle();
    assert_null(w.job.failed);
    for (int i = 0; i < 2; i++) { /* from the inbox, then from its place */
        l = load("e");
        key = keys_find(&l.keys, &(struct keys_sender){"bob", 3, 7, 0}, "k1", 2);
        assert_non_null(key);
        assert_int_equal(key->seq, 2);
        assert_int_equal(key->time_ms, 1002);
        assert_non_null(keys_find(&l.keys, &(struct keys_sender){"ann", 3, 7, 0}, "k1", 2));
        assert_null(keys_find(&l.keys, &(struct keys_sender){"ann", 3, 7, 0}, "k2", 2));
        keys_forget_after(&l.keys, 1);
        assert_null(keys_find(&l.keys, &(struct keys_sender){"bob", 3, 7, 0}, "k1", 2));
        keys_deinit(&l.keys);
        sleep(2);
    }
    chunk_unref(w.chunk);
    buf_deinit(&w.keys);
    store_close(store);
}

static bool put_fact(const char *key, size_t len, const char *value);

static void test_list(void **state)
{
    struct store_list list = {.job = {.home = &home, .done = on_back}, .kind = "test", .limit = 100};

    (void)state;
    open_store();
    assert_true(put_fact("b/", 2, "of b"));
    assert_true(put_fact("b/ann", 5, "of ann"));
    store_list(store, &list);
    settle();
    assert_int_equal(list.count, 5);
    assert_string_equal(list.rooms[1].name, "b");
    assert_int_equal(list.rooms[1].seq, 35);
    assert_string_equal(list.rooms[1].fact, "of b");
    assert_null(list.rooms[0].fact);
    store_list_deinit(&list);
    assert_true(put_fact("b/", 2, "") && put_fact("b/ann", 5, ""));
    store_close(store);
    assert_true(back > 0);
}

static void set(struct buf *b, const char *data, size_t len)
{
    buf_clear(b);
    buf_put(b, data, len);
}

static bool put_fact(const char *key, size_t len, const char *value)
{
    struct store_fact f = {.job = {.home = &home, .done = on_back}, .kind = "test"};

    set(&f.key, key, len);
    set(&f.value, value, strlen(value));
    store_put(store, &f);
    settle();
    buf_deinit(&f.key);
    buf_deinit(&f.value);
    return f.job.failed == NULL;
}

static void expect_fact(const char *kind, const char *key, size_t len, const char *value)
{
    struct store_fact f = {.job = {.home = &home, .done = on_back}, .kind = kind};

    set(&f.key, key, len);
    store_get(store, &f);
    settle();
    assert_null(f.job.failed);
    assert_int_equal(f.found, value != NULL);
    if (value != NULL) {
        assert_int_equal(f.value.len, strlen(value));
        assert_memory_equal(f.value.data, value, f.value.len);
    }
    buf_deinit(&f.key);
    buf_deinit(&f.value);
}

/* keys: of which all are one byte behind the prefix. */
static void expect_facts(const char *prefix, const char *after, uint32_t limit, const char *keys)
{
    struct store_facts f = {.job = {.home = &home, .done = on_back}, .kind = "test", .limit = limit};

    set(&f.prefix, prefix, strlen(prefix));
    set(&f.after, after, strlen(after));
    store_scan(store, &f);
    settle();
    assert_null(f.job.failed);
    assert_int_equal(f.count, strlen(keys));
    for (size_t i = 0; i < f.count; i++) {
        assert_int_equal(f.rows[i].key.len, strlen(prefix) + 1);
        assert_int_equal(f.rows[i].key.data[strlen(prefix)], keys[i]);
    }
    store_facts_deinit(&f);
}

static void check_facts(void)
{
    expect_fact("test", "ann", 3, NULL);
    expect_facts("", "", 9, "");
    assert_true(put_fact("ann", 3, "{\"n\":1}"));
    assert_true(put_fact("ann\0x", 5, "{\"n\":2}"));
    assert_true(put_fact("ann", 3, "{\"n\":3}"));
    expect_fact("test", "ann", 3, "{\"n\":3}");
    expect_fact("test", "ann\0x", 5, "{\"n\":2}");
    expect_fact("tess", "ann", 3, NULL);
    assert_true(put_fact("ann", 3, ""));
    expect_fact("test", "ann", 3, NULL);
    expect_fact("test", "ann\0x", 5, "{\"n\":2}");
    assert_true(put_fact("rb", 2, "{}"));
    assert_true(put_fact("ra", 2, "{}"));
    assert_true(put_fact("rc", 2, "{}"));
    assert_true(put_fact("s", 1, "{}"));
    expect_facts("r", "", 9, "abc");
    expect_facts("r", "", 2, "ab");
    expect_facts("r", "ra", 2, "bc");
    expect_facts("r", "rc", 2, "");
    expect_facts("q", "", 2, "");
}

static void test_facts(void **state)
{
    char err[STORE_ERROR_SIZE];

    (void)state;
    open_store();
    check_facts();
    store_close(store);
    open_store();
    expect_fact("test", "ra", 2, "{}");
    store_close(store);
    store = store_open(&(struct store_options){0}, err);
    check_facts();
    store_close(store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_written_and_read),
        cmocka_unit_test(test_no_hole),
        cmocka_unit_test(test_much_at_once),
        cmocka_unit_test(test_keys),
        cmocka_unit_test(test_list),
        cmocka_unit_test(test_facts),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
