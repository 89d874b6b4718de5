/* test_merge.c: two hosts' views of one connection: whose clock is what, which segment is which, whose state is whose;
 * and that a large capture takes no longer than it is large. */
#include "common/clock.h"
#include "tests/unit/trace_models.h"
#include "trace/verdict.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define WAY 10000 /* µs from one host to the other */

/* One who asks three times and is answered, seen from a side, at which each moment is so many µs later. */
static void converse(struct model *m, struct model_conn *c, enum model_side at, int ahead)
{
    int to = at == MODEL_SERVER ? WAY : 0, back = at == MODEL_SERVER ? 0 : WAY;

    trace_seg(m, c, ahead + to, MODEL_CLIENT, S, 0, 0, 0);
    trace_seg(m, c, ahead + WAY + back, MODEL_SERVER, S | A, 0, 1, 0);
    trace_seg(m, c, ahead + 2 * WAY + to, MODEL_CLIENT, A, 1, 1, 0);
    for (uint32_t i = 0; i < 3; i++) {
        int then = ahead + 100000 * (int)(i + 1);

        trace_seg(m, c, then + to, MODEL_CLIENT, P | A, 1 + 10 * i, 1 + 20 * i, 10);
        trace_seg(m, c, then + WAY + 50 + back, MODEL_SERVER, P | A, 1 + 20 * i, 11 + 10 * i, 20);
    }
    for (int side = 0; side < MODEL_SIDES; side++) {
        c->end[side].has_isn = true;
        c->end[side].isn = 4711 + (uint32_t)side;
    }
}

static void log_calls(struct model *m, struct model_conn *c, enum model_side side, int ahead)
{
    c->end[side].host = model_keep(m, side == MODEL_CLIENT ? "here" : "there");
    if (side == MODEL_SERVER)
        trace_did(m, c, ahead + 3 * WAY + 5, side, "accept4", 5, 0, NULL);
    for (int i = 0; i < 3; i++) {
        int then = ahead + 100000 * (i + 1);

        if (side == MODEL_CLIENT) {
            trace_did(m, c, then + 5, side, "send", 10, 0, NULL);
            trace_did(m, c, then + 2 * WAY + 55, side, "recv", 20, 0, NULL);
        } else {
            trace_did(m, c, then + WAY + 5, side, "recv", 10, 0, NULL);
            trace_did(m, c, then + WAY + 55, side, "send", 20, 0, NULL);
        }
    }
}

static const struct model_event *find_call(const struct model_conn *c, enum model_side side, const char *name)
{
    for (size_t i = 0; i < c->count; i++)
        if (c->events[i].kind == MODEL_CALL && c->events[i].call.side == side &&
            strcmp(c->events[i].call.name, name) == 0)
            return &c->events[i];
    fail_msg("there is no %s", name);
    return NULL;
}

static const struct model_event *find_data(const struct model_conn *c, enum model_side from)
{
    for (size_t i = 0; i < c->count; i++)
        if (c->events[i].kind == MODEL_SEGMENT && c->events[i].segment.from == from &&
            c->events[i].segment.len > 0)
            return &c->events[i];
    fail_msg("no data");
    return NULL;
}

static unsigned count_segments(const struct model_conn *c)
{
    unsigned n = 0;

    for (size_t i = 0; i < c->count; i++)
        n += c->events[i].kind == MODEL_SEGMENT;
    return n;
}

static void is_near(int64_t a, int64_t b_us)
{
    if (llabs(a - TRACE_START - b_us * 1000) > 200000)
        fail_msg("%lld us, not %lld", (long long)(a - TRACE_START) / 1000, (long long)b_us);
}

/* The client's first bytes left at 100 ms and were there at 110 ms, by the client's clock; the server's answer
 * left then. */
static void is_in_place(const struct model *m)
{
    const struct model_conn *c;

    assert_int_equal(m->count, 1);
    c = m->conns[0];
    assert_int_equal(count_segments(c), 9);
    is_near(find_call(c, MODEL_CLIENT, "send")->time_ns, 100005);
    is_near(find_call(c, MODEL_SERVER, "recv")->time_ns, 100000 + WAY);
    is_near(find_call(c, MODEL_SERVER, "send")->time_ns, 100000 + WAY + 50);
}

static const int offsets[] = {7000000, -7000000, 500000, -500000};

/* The one capture was made where the server is, and has its clock. */
static void test_a_capture_on_the_servers_clock(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof offsets / sizeof *offsets; i++) {
        struct model *m = model_new();

        log_calls(m, trace_conn(m, "client.sqlog"), MODEL_CLIENT, 0);
        converse(m, trace_conn(m, "server.pcap"), MODEL_SERVER, offsets[i]);
        log_calls(m, trace_conn(m, "server.sqlog"), MODEL_SERVER, offsets[i]);
        model_finish(m);
        is_in_place(m);
        is_near(find_data(m->conns[0], MODEL_CLIENT)->time_ns, 100000 + WAY);
        model_free(m);
    }
}

static void test_a_capture_on_the_clients_clock(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof offsets / sizeof *offsets; i++) {
        struct model *m = model_new();

        log_calls(m, trace_conn(m, "client.sqlog"), MODEL_CLIENT, 0);
        converse(m, trace_conn(m, "client.pcap"), MODEL_CLIENT, 0);
        log_calls(m, trace_conn(m, "server.sqlog"), MODEL_SERVER, offsets[i]);
        model_finish(m);
        is_in_place(m);
        is_near(find_data(m->conns[0], MODEL_CLIENT)->time_ns, 100000);
        model_free(m);
    }
}

/* All four views. */
static void test_two_logs_and_two_captures(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof offsets / sizeof *offsets; i++) {
        struct model *m = model_new();
        const struct model_event *data;

        log_calls(m, trace_conn(m, "client.sqlog"), MODEL_CLIENT, 0);
        converse(m, trace_conn(m, "client.pcap"), MODEL_CLIENT, 0);
        converse(m, trace_conn(m, "server.pcap"), MODEL_SERVER, offsets[i]);
        log_calls(m, trace_conn(m, "server.sqlog"), MODEL_SERVER, offsets[i]);
        model_finish(m);
        assert_int_equal(m->count, 1);
        data = find_data(m->conns[0], MODEL_CLIENT);
        assert_int_equal(count_segments(m->conns[0]), 9);
        assert_int_equal((data->segment.arrive_ns - data->time_ns) / 1000, WAY);
        assert_int_equal((find_call(m->conns[0], MODEL_SERVER, "recv")->time_ns -
                          find_call(m->conns[0], MODEL_CLIENT, "send")->time_ns) /
                             1000,
                         WAY);
        model_free(m);
    }
}

/* The same ports later, by other first numbers: two connections of two captures each. */
static void test_numbers_tell_connections_apart(void **state)
{
    struct model *m = model_new();

    (void)state;
    for (int i = 0; i < 2; i++) {
        struct model_conn *here = trace_conn(m, "client.pcap"), *there = trace_conn(m, "server.pcap");

        converse(m, here, MODEL_CLIENT, i * 1000000);
        converse(m, there, MODEL_SERVER, i * 1000000 + 9000000);
        here->end[MODEL_CLIENT].isn = there->end[MODEL_CLIENT].isn = 1000U + (unsigned)i;
    }
    model_finish(m);
    assert_int_equal(m->count, 2);
    assert_int_equal(count_segments(m->conns[0]), 9);
    assert_int_equal(count_segments(m->conns[1]), 9);
    model_free(m);
}

/* The second of three equal ones was lost on the way; each that came is the one that was sent 10 ms before. */
static void test_equal_segments(void **state)
{
    struct model *m = model_new();
    struct model_conn *here = trace_conn(m, "client.pcap"), *there = trace_conn(m, "server.pcap");
    unsigned alone = 0;

    (void)state;
    converse(m, here, MODEL_CLIENT, 0);
    converse(m, there, MODEL_SERVER, 300000);
    for (int i = 0; i < 3; i++)
        trace_seg(m, here, 500000 + i * 200000, MODEL_CLIENT, P | A, 31, 61, 5);
    trace_seg(m, there, 300000 + 700000 + WAY, MODEL_CLIENT, P | A, 31, 61, 5);
    trace_seg(m, there, 300000 + 900000 + WAY, MODEL_CLIENT, P | A, 31, 61, 5);
    model_finish(m);
    assert_int_equal(m->count, 1);
    for (size_t i = 0; i < m->conns[0]->count; i++) {
        const struct model_segment *s = &m->conns[0]->events[i].segment;

        if (m->conns[0]->events[i].kind != MODEL_SEGMENT)
            continue;
        alone += s->arrive_ns == 0;
        if (s->arrive_ns != 0)
            assert_int_equal((s->arrive_ns - m->conns[0]->events[i].time_ns) / 1000, WAY);
    }
    assert_int_equal(alone, 1);
    model_free(m);
}

/* Each host counts its sockets from 1. */
static void test_a_cookie_is_a_hosts(void **state)
{
    struct model *m = model_new();
    struct tcp_addr client = trace_addr("10.0.0.1", 50000), server = trace_addr("10.0.0.2", 7000);
    static const char *const hosts[] = {"a", "b", "c", "d", "e"};
    struct model_orphan o = {.cookie = 7, .state = {.state = TCP_STATE_CLOSED, .source = MODEL_DESTROY}};
    unsigned told = 0;

    (void)state;
    for (size_t i = 0; i < 5; i++) {
        struct model_conn *c;

        client.port++;
        c = model_open_conn(m, "x", &client, &server);
        c->end[MODEL_SERVER].host = model_keep(m, hosts[i]);
        c->end[MODEL_SERVER].cookie = 7;
        trace_did(m, c, 10, MODEL_SERVER, "accept4", 5, 0, NULL);
        o.host = hosts[i];
        o.state.time_ns = TRACE_START + 1000000;
        model_add_orphan(m, &o);
    }
    model_finish(m);
    assert_int_equal(m->count, 5);
    for (size_t i = 0; i < m->count; i++)
        for (size_t k = 0; k < m->conns[i]->count; k++)
            told += m->conns[i]->events[k].kind == MODEL_STATE &&
                    m->conns[i]->events[k].state.source == MODEL_DESTROY;
    assert_int_equal(told, 5);
    model_free(m);
}

/* ---- large ones ---- */

#define MANY 120000

static void fill(struct model *m, struct model_conn *c, int way)
{
    trace_open_up(m, c);
    for (int i = 0; i < MANY / 2; i++) {
        trace_seg(m, c, 2000 + 10 * i + way, MODEL_CLIENT, P | A, 28 + 10 * (uint32_t)i, 1, 10);
        trace_seg(m, c, 2005 + 10 * i - way, MODEL_SERVER, A, 1, 38 + 10 * (uint32_t)i, 0);
    }
    c->end[MODEL_CLIENT].isn = 1;
    c->end[MODEL_CLIENT].has_isn = true;
}

static void finish_soon(struct model *m)
{
    uint64_t began = clock_mono_us();

    model_finish(m);
    if (clock_mono_us() - began > 20000000) /* it takes 0.1 s; with a sanitizer, on a busy machine, more */
        fail_msg("it took %.1f s", (double)(clock_mono_us() - began) / 1e6);
}

static void test_a_large_capture(void **state)
{
    struct model *m = model_new();

    (void)state;
    fill(m, trace_conn(m, "wire.pcap"), 0);
    finish_soon(m);
    assert_int_equal(m->count, 1);
    model_free(m);
}

static void test_two_large_captures(void **state)
{
    struct model *m = model_new();

    (void)state;
    fill(m, trace_conn(m, "a.pcap"), 0);
    fill(m, trace_conn(m, "b.pcap"), 1);
    finish_soon(m);
    assert_int_equal(m->count, 1);
    assert_int_equal(count_segments(m->conns[0]), MANY + 5);
    model_free(m);
}

/* No kernel sends such: SYNs and FINs without end, none of them answered. */
static void test_endless_ends(void **state)
{
    struct model *m = model_new();
    struct model_conn *c = trace_conn(m, "wire.pcap");

    (void)state;
    trace_open_up(m, c);
    for (int i = 0; i < MANY; i++)
        trace_seg(m, c, 2000 + i, (enum model_side)(i & 1), i & 2 ? S | A : F | A, 28 + 2 * (uint32_t)i, 0,
                  0);
    finish_soon(m);
    model_free(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_capture_on_the_servers_clock),
        cmocka_unit_test(test_a_capture_on_the_clients_clock),
        cmocka_unit_test(test_two_logs_and_two_captures),
        cmocka_unit_test(test_numbers_tell_connections_apart),
        cmocka_unit_test(test_equal_segments),
        cmocka_unit_test(test_a_cookie_is_a_hosts),
        cmocka_unit_test(test_a_large_capture),
        cmocka_unit_test(test_two_large_captures),
        cmocka_unit_test(test_endless_ends),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
