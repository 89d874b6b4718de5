/* test_verdict.c: verdicts on connections made by hand: who first, how many segments, what came after the
 * FIN, whose RST and why, who fell silent; and how two views become one connection. */
#include "tests/unit/trace_models.h"
#include "trace/verdict.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static const struct verdict *judge(struct model *m)
{
    model_finish(m);
    assert_int_equal(m->count, 1);
    return verdict_of(m->conns[0]);
}

static void says(const struct verdict *v, const char *words)
{
    if (strstr(v->sentence, words) == NULL)
        fail_msg("\"%s\" is not in: %s", words, v->sentence);
}

static void test_four_segments_and_bytes_after_the_fin(void **state)
{
    struct model *m = model_new();
    struct model_conn *c = trace_conn(m, "x");
    const struct verdict *v;

    (void)state;
    trace_open_up(m, c);
    trace_seg(m, c, 10000, MODEL_CLIENT, F | A, 28, 1, 0);
    trace_seg(m, c, 10050, MODEL_SERVER, A, 1, 29, 0);
    trace_seg(m, c, 20000, MODEL_SERVER, P | A, 1, 29, 120);
    trace_seg(m, c, 20010, MODEL_CLIENT, A, 29, 121, 0);
    trace_seg(m, c, 52200, MODEL_SERVER, F | A, 121, 29, 0);
    trace_seg(m, c, 52220, MODEL_CLIENT, A, 29, 122, 0);
    v = judge(m);
    assert_int_equal(v->how, VERDICT_GRACEFUL);
    assert_int_equal(v->first, MODEL_CLIENT);
    assert_int_equal(v->segments, 4);
    assert_int_equal(v->bytes_after_fin, 120);
    assert_int_equal(v->half_closed_ns, 42200000);
    assert_string_equal(v->sentence,
                        "GRACEFUL, 4 segments. The client closed first. 120 bytes came after its FIN. "
                        "Half-closed 42.2 ms.");
    model_free(m);
}

static void test_three_segments(void **state)
{
    struct model *m = model_new();
    struct model_conn *c = trace_conn(m, "x");
    const struct verdict *v;

    (void)state;
    trace_open_up(m, c);
    trace_seg(m, c, 10000, MODEL_SERVER, F | A, 1, 28, 0);
    trace_seg(m, c, 10050, MODEL_CLIENT, F | A, 28, 2, 0);
    trace_seg(m, c, 10060, MODEL_SERVER, A, 2, 29, 0);
    v = judge(m);
    assert_int_equal(v->segments, 3);
    assert_int_equal(v->first, MODEL_SERVER);
    model_free(m);
}

static void test_both_at_once(void **state)
{
    struct model *m = model_new();
    struct model_conn *c = trace_conn(m, "x");
    const struct verdict *v;

    (void)state;
    trace_open_up(m, c);
    trace_seg(m, c, 10000, MODEL_CLIENT, F | A, 28, 1, 0);
    trace_seg(m, c, 10005, MODEL_SERVER, F | A, 1, 28, 0);
    trace_seg(m, c, 10010, MODEL_CLIENT, A, 29, 2, 0);
    trace_seg(m, c, 10015, MODEL_SERVER, A, 2, 29, 0);
    v = judge(m);
    assert_true(v->simultaneous);
    assert_int_equal(v->first, -1);
    assert_int_equal(v->segments, 4);
    says(v, "Both closed at once");
    model_free(m);
}

static void test_unread_bytes_make_a_reset(void **state)
{
    struct model *m = model_new();
    struct model_conn *c = trace_conn(m, "x");
    const struct verdict *v;

    (void)state;
    trace_open_up(m, c);
    trace_seg(m, c, 11590, MODEL_SERVER, R | A, 1, 28, 0);
    trace_did(m, c, 11600, MODEL_SERVER, "close", 0, 0, "unread=27");
    trace_did(m, c, 12790, MODEL_CLIENT, "recv", -1, ECONNRESET, NULL);
    v = judge(m);
    assert_int_equal(v->how, VERDICT_ABORTED);
    assert_int_equal(v->rst_by, MODEL_SERVER);
    assert_int_equal(v->why, VERDICT_RST_UNREAD);
    says(v, "The server sent RST, because 27 bytes were unread when it closed.");
    model_free(m);
}

static void test_a_late_reset(void **state)
{
    struct model *m = model_new();
    struct model_conn *c = trace_conn(m, "x");
    const struct verdict *v;

    (void)state;
    trace_open_up(m, c);
    trace_seg(m, c, 10000, MODEL_CLIENT, F | A, 28, 1, 0);
    trace_seg(m, c, 10050, MODEL_SERVER, A, 1, 29, 0);
    trace_seg(m, c, 20000, MODEL_SERVER, P | A, 1, 29, 5);
    trace_seg(m, c, 20010, MODEL_CLIENT, R, 29, 0, 0);
    v = judge(m);
    assert_int_equal(v->how, VERDICT_ABORTED);
    assert_int_equal(v->why, VERDICT_RST_LATE);
    assert_int_equal(v->first, MODEL_CLIENT);
    model_free(m);
}

static void test_refused_and_unanswered(void **state)
{
    struct model *m = model_new();
    struct model_conn *c = trace_conn(m, "x");

    (void)state;
    trace_seg(m, c, 0, MODEL_CLIENT, S, 0, 0, 0);
    trace_seg(m, c, 10, MODEL_SERVER, R | A, 0, 1, 0);
    assert_int_equal(judge(m)->how, VERDICT_REFUSED);
    model_free(m);
    m = model_new();
    c = trace_conn(m, "x");
    trace_seg(m, c, 0, MODEL_CLIENT, S, 0, 0, 0);
    trace_seg(m, c, 1000000, MODEL_CLIENT, S, 0, 0, 0);
    assert_int_equal(judge(m)->how, VERDICT_UNANSWERED);
    assert_int_equal(m->conns[0]->verdict->retransmissions, 1);
    model_free(m);
}

static void test_a_lost_server(void **state)
{
    struct model *m = model_new();
    struct model_conn *c = trace_conn(m, "x");
    const struct verdict *v;

    (void)state;
    trace_open_up(m, c);
    for (int i = 0; i < 4; i++)
        trace_seg(m, c, 20000 << i, MODEL_CLIENT, P | A, 28, 1, 10);
    trace_did(m, c, 900000, MODEL_CLIENT, "recv", -1, ETIMEDOUT, NULL);
    v = judge(m);
    assert_int_equal(v->how, VERDICT_TIMED_OUT);
    assert_int_equal(v->lost_side, MODEL_SERVER);
    assert_int_equal(v->retransmissions, 3);
    model_free(m);
}

static void test_a_truncation(void **state)
{
    struct model *m = model_new();
    struct model_conn *c = trace_conn(m, "x");

    (void)state;
    trace_open_up(m, c);
    trace_seg(m, c, 10000, MODEL_CLIENT, F | A, 28, 1, 0);
    trace_did(m, c, 10010, MODEL_SERVER, "recv", 0, 0, "tls=truncated");
    trace_seg(m, c, 10050, MODEL_SERVER, F | A, 1, 29, 0);
    trace_seg(m, c, 10060, MODEL_CLIENT, A, 29, 2, 0);
    assert_int_equal(judge(m)->how, VERDICT_TRUNCATED);
    model_free(m);
}

/* A client's log, a server's log and a capture are one connection; used again later, the same ports are
 * another. */
static void test_views_become_one(void **state)
{
    struct model *m = model_new();
    struct model_conn *client = trace_conn(m, "client.sqlog"), *server = trace_conn(m, "server.sqlog");
    struct model_conn *wire = trace_conn(m, "wire.pcap"), *later = trace_conn(m, "wire.pcap");

    (void)state;
    trace_did(m, client, 5, MODEL_CLIENT, "connect", 0, 0, NULL);
    trace_did(m, server, 30, MODEL_SERVER, "accept4", 5, 0, NULL);
    trace_open_up(m, wire);
    trace_seg(m, later, 60000000, MODEL_CLIENT, S, 0, 0, 0);
    model_finish(m);
    assert_int_equal(m->count, 2);
    assert_true(m->conns[0]->end[MODEL_CLIENT].has_log && m->conns[0]->end[MODEL_SERVER].has_log);
    assert_true(m->conns[0]->has_capture);
    assert_int_equal(m->conns[1]->count, 3); /* its SYN and what follows from it */
    model_free(m);
}

/* Two hosts: the server's clock is 5 s ahead, the way takes 10 ms. */
static void test_clocks_are_brought_together(void **state)
{
    struct model *m = model_new();
    struct model_conn *client = trace_conn(m, "client.sqlog"), *server = trace_conn(m, "server.sqlog");
    const int ahead = 5000000, way = 10000;

    (void)state;
    client->end[MODEL_CLIENT].host = model_keep(m, "here");
    server->end[MODEL_SERVER].host = model_keep(m, "there");
    for (int i = 0; i < 3; i++) {
        trace_did(m, client, i * 100000, MODEL_CLIENT, "send", 10, 0, NULL);
        trace_did(m, server, i * 100000 + way + ahead, MODEL_SERVER, "recv", 10, 0, NULL);
        trace_did(m, server, i * 100000 + way + ahead + 50, MODEL_SERVER, "send", 20, 0, NULL);
        trace_did(m, client, i * 100000 + 2 * way + 50, MODEL_CLIENT, "recv", 20, 0, NULL);
    }
    model_finish(m);
    assert_int_equal(m->count, 1);
    assert_int_equal(m->conns[0]->end[MODEL_SERVER].clock_offset_ns, -ahead * 1000LL);
    model_free(m);
}

/* By RFC 9293: what the capture shows of an end without a log; what the kernel said is not said again. */
static void test_states_are_inferred(void **state)
{
    static const enum tcp_state wanted[] = {TCP_STATE_SYN_SENT, TCP_STATE_ESTABLISHED, TCP_STATE_FIN_WAIT_1,
                                            TCP_STATE_FIN_WAIT_2, TCP_STATE_TIME_WAIT};
    struct model *m = model_new();
    struct model_conn *c = trace_conn(m, "x");
    size_t n = 0;

    (void)state;
    trace_open_up(m, c);
    trace_is_in(m, c, 25, MODEL_SERVER, TCP_STATE_ESTABLISHED, MODEL_TCP_INFO);
    trace_seg(m, c, 10000, MODEL_CLIENT, F | A, 28, 1, 0);
    trace_seg(m, c, 10050, MODEL_SERVER, A, 1, 29, 0);
    trace_seg(m, c, 20000, MODEL_SERVER, F | A, 1, 29, 0);
    trace_seg(m, c, 20010, MODEL_CLIENT, A, 29, 2, 0);
    model_finish(m);
    for (size_t i = 0; i < m->conns[0]->count; i++) {
        const struct model_event *e = &m->conns[0]->events[i];

        if (e->kind != MODEL_STATE)
            continue;
        if (e->state.side == MODEL_CLIENT) {
            assert_true(n < 5);
            assert_int_equal(e->state.state, wanted[n++]);
            assert_int_equal(e->state.source, MODEL_INFERRED);
        } else if (e->state.state == TCP_STATE_ESTABLISHED) {
            assert_int_equal(e->state.source, MODEL_TCP_INFO);
        }
    }
    assert_int_equal(n, 5);
    model_free(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_four_segments_and_bytes_after_the_fin),
        cmocka_unit_test(test_three_segments),
        cmocka_unit_test(test_both_at_once),
        cmocka_unit_test(test_unread_bytes_make_a_reset),
        cmocka_unit_test(test_a_late_reset),
        cmocka_unit_test(test_refused_and_unanswered),
        cmocka_unit_test(test_a_lost_server),
        cmocka_unit_test(test_a_truncation),
        cmocka_unit_test(test_views_become_one),
        cmocka_unit_test(test_clocks_are_brought_together),
        cmocka_unit_test(test_states_are_inferred),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
