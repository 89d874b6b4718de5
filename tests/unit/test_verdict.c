/* test_verdict.c: verdicts on connections made by hand: who first, how many segments, what came after the
 * FIN, whose RST and why, who fell silent; and how two views become one connection. */
#include "tests/unit/trace_models.h"
#include "trace/verdict.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static unsigned count_states(const struct model_conn *c, enum model_side side, enum tcp_state wanted)
{
    unsigned n = 0;

    for (size_t i = 0; i < c->count; i++)
        n += c->events[i].kind == MODEL_STATE && c->events[i].state.side == side &&
             c->events[i].state.state == wanted;
    return n;
}

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
    struct trace_made *x = *state;
    struct model *m = x->m;
    struct model_conn *c = x->c;
    const struct verdict *v;

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
}

static void test_three_segments(void **state)
{
    struct trace_made *x = *state;
    struct model *m = x->m;
    struct model_conn *c = x->c;
    const struct verdict *v;

    trace_open_up(m, c);
    trace_seg(m, c, 10000, MODEL_SERVER, F | A, 1, 28, 0);
    trace_seg(m, c, 10050, MODEL_CLIENT, F | A, 28, 2, 0);
    trace_seg(m, c, 10060, MODEL_SERVER, A, 2, 29, 0);
    v = judge(m);
    assert_int_equal(v->segments, 3);
    assert_int_equal(v->first, MODEL_SERVER);
}

static void test_both_at_once(void **state)
{
    struct trace_made *x = *state;
    struct model *m = x->m;
    struct model_conn *c = x->c;
    const struct verdict *v;

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
}

static void test_unread_bytes_make_a_reset(void **state)
{
    struct trace_made *x = *state;
    struct model *m = x->m;
    struct model_conn *c = x->c;
    const struct verdict *v;

    trace_open_up(m, c);
    trace_seg(m, c, 11590, MODEL_SERVER, R | A, 1, 28, 0);
    trace_did(m, c, 11600, MODEL_SERVER, "close", 0, 0, "unread=27");
    trace_did(m, c, 12790, MODEL_CLIENT, "recv", -1, ECONNRESET, NULL);
    v = judge(m);
    assert_int_equal(v->how, VERDICT_ABORTED);
    assert_int_equal(v->rst_by, MODEL_SERVER);
    assert_int_equal(v->why, VERDICT_RST_UNREAD);
    says(v, "The server sent RST, because 27 bytes were unread when it closed.");
}

/* Cut for a reason of the program's: that is why, though more was unread, and nobody fell silent. */
static void test_a_cut_is_a_cut(void **state)
{
    struct trace_made *x = *state;

    trace_open_up(x->m, x->c);
    trace_seg(x->m, x->c, 1000000, MODEL_SERVER, R | A, 1, 28, 0);
    trace_did(x->m, x->c, 1000010, MODEL_SERVER, "close", 0, 0, "unread=27");
    model_add_note(x->m, x->c,
                   &(struct model_note){.time_ns = TRACE_START + 1000020000,
                                        .side = MODEL_SERVER,
                                        .kind = "reset",
                                        .text = "sent stalled"});
    model_add_note(x->m, x->c,
                   &(struct model_note){.time_ns = TRACE_START + 1000030000,
                                        .side = MODEL_SERVER,
                                        .kind = "closed",
                                        .text = "timeout stalled"});
    says(judge(x->m), "ABORTED. The server sent RST on purpose (SO_LINGER with 0): stalled.");
}

static void test_a_late_reset(void **state)
{
    struct trace_made *x = *state;
    struct model *m = x->m;
    struct model_conn *c = x->c;
    const struct verdict *v;

    trace_open_up(m, c);
    trace_seg(m, c, 10000, MODEL_CLIENT, F | A, 28, 1, 0);
    trace_seg(m, c, 10050, MODEL_SERVER, A, 1, 29, 0);
    trace_seg(m, c, 20000, MODEL_SERVER, P | A, 1, 29, 5);
    trace_seg(m, c, 20010, MODEL_CLIENT, R, 29, 0, 0);
    v = judge(m);
    assert_int_equal(v->how, VERDICT_ABORTED);
    assert_int_equal(v->why, VERDICT_RST_LATE);
    assert_int_equal(v->first, MODEL_CLIENT);
}

static void test_refused(void **state)
{
    struct trace_made *x = *state;

    trace_seg(x->m, x->c, 0, MODEL_CLIENT, S, 0, 0, 0);
    trace_seg(x->m, x->c, 10, MODEL_SERVER, R | A, 0, 1, 0);
    assert_int_equal(judge(x->m)->how, VERDICT_REFUSED);
    assert_int_equal(count_states(x->m->conns[0], MODEL_SERVER, TCP_STATE_SYN_RECEIVED), 0);
}

static void test_unanswered(void **state)
{
    struct trace_made *x = *state;

    trace_seg(x->m, x->c, 0, MODEL_CLIENT, S, 0, 0, 0);
    trace_seg(x->m, x->c, 1000000, MODEL_CLIENT, S, 0, 0, 0);
    assert_int_equal(judge(x->m)->how, VERDICT_UNANSWERED);
    assert_int_equal(x->m->conns[0]->verdict->retransmissions, 1);
    assert_int_equal(count_states(x->m->conns[0], MODEL_SERVER, TCP_STATE_SYN_RECEIVED), 0);
}

/* Without a capture: connect() said EINPROGRESS, and nothing more came; or the caller gave up. */
static void test_unanswered_by_the_log_alone(void **state)
{
    struct trace_made *x = *state;

    trace_did(x->m, x->c, 0, MODEL_CLIENT, "socket", 5, 0, NULL);
    trace_did(x->m, x->c, 100, MODEL_CLIENT, "connect", -1, EINPROGRESS, NULL);
    trace_is_in(x->m, x->c, 101, MODEL_CLIENT, TCP_STATE_SYN_SENT, MODEL_TCP_INFO);
    says(judge(x->m), "UNANSWERED. Nothing answered the SYN.");
    assert_int_equal(count_states(x->m->conns[0], MODEL_SERVER, TCP_STATE_SYN_RECEIVED), 0);
}

static void test_given_up(void **state)
{
    struct trace_made *x = *state;

    trace_did(x->m, x->c, 100, MODEL_CLIENT, "connect", -1, EINPROGRESS, NULL);
    trace_did(x->m, x->c, 10000000, MODEL_CLIENT, "close", 0, 0, NULL);
    model_add_note(x->m, x->c,
                   &(struct model_note){.time_ns = TRACE_START + 10000001000LL,
                                        .side = MODEL_CLIENT,
                                        .kind = "closed",
                                        .text = "failed timeout"});
    says(judge(x->m), "UNANSWERED. Nothing answered the SYN.");
}

static void test_a_lost_server(void **state)
{
    struct trace_made *x = *state;
    struct model *m = x->m;
    struct model_conn *c = x->c;
    const struct verdict *v;

    trace_open_up(m, c);
    for (int i = 0; i < 4; i++)
        trace_seg(m, c, 20000 << i, MODEL_CLIENT, P | A, 28, 1, 10);
    trace_did(m, c, 900000, MODEL_CLIENT, "recv", -1, ETIMEDOUT, NULL);
    v = judge(m);
    assert_int_equal(v->how, VERDICT_TIMED_OUT);
    assert_int_equal(v->lost_side, MODEL_SERVER);
    assert_int_equal(v->retransmissions, 3);
}

static void test_a_truncation(void **state)
{
    struct trace_made *x = *state;
    struct model *m = x->m;
    struct model_conn *c = x->c;

    trace_open_up(m, c);
    trace_seg(m, c, 10000, MODEL_CLIENT, F | A, 28, 1, 0);
    trace_did(m, c, 10010, MODEL_SERVER, "recv", 0, 0, "tls=truncated");
    trace_seg(m, c, 10050, MODEL_SERVER, F | A, 1, 29, 0);
    trace_seg(m, c, 10060, MODEL_CLIENT, A, 29, 2, 0);
    assert_int_equal(judge(m)->how, VERDICT_TRUNCATED);
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
    assert_int_equal(m->conns[1]->count, 2); /* its SYN, and SYN_SENT of it */
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
    struct trace_made *x = *state;
    struct model *m = x->m;
    struct model_conn *c = x->c;
    size_t n = 0;

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
}

/* What was captured, and a filter dropped: the kernel's later word is against it, and the rest follows from
 * that. */
static void test_what_did_not_arrive_changes_nothing(void **state)
{
    struct trace_made *x = *state;
    struct model *m = x->m;
    struct model_conn *c = x->c;

    trace_open_up(m, c);
    trace_seg(m, c, 10000, MODEL_CLIENT, F | A, 28, 1, 0);
    trace_is_in(m, c, 10010, MODEL_CLIENT, TCP_STATE_FIN_WAIT_1, MODEL_SOCK_DIAG);
    trace_is_in(m, c, 50000, MODEL_SERVER, TCP_STATE_ESTABLISHED, MODEL_SOCK_DIAG); /* it got no FIN */
    trace_seg(m, c, 60000, MODEL_SERVER, F | A, 1, 28, 0);
    trace_seg(m, c, 60010, MODEL_CLIENT, A, 29, 2, 0);
    model_finish(m);
    c = m->conns[0];
    assert_int_equal(count_states(c, MODEL_SERVER, TCP_STATE_CLOSE_WAIT), 0);
    assert_int_equal(count_states(c, MODEL_SERVER, TCP_STATE_LAST_ACK), 0);
    assert_int_equal(count_states(c, MODEL_SERVER, TCP_STATE_FIN_WAIT_2), 1);
    assert_int_equal(count_states(c, MODEL_CLIENT, TCP_STATE_CLOSING), 1);
}

#define WITH_MODEL(test) cmocka_unit_test_setup_teardown(test, trace_make, trace_unmake)

/* Which segments of a connection without a capture stand where: "C:F" is the client's FIN. */
static void segments_of(const struct model_conn *c, char text[256])
{
    size_t len = 0;

    text[0] = '\0';
    for (size_t i = 0; i < c->count && len < 240; i++) {
        const struct model_segment *s = &c->events[i].segment;

        if (c->events[i].kind == MODEL_SEGMENT && (s->len > 0 || (s->flags & F) != 0))
            len += (size_t)snprintf(text + len, 256 - len, "%c:%c ", s->from == MODEL_CLIENT ? 'C' : 'S',
                                    s->flags & F ? 'F' : 'P');
    }
}

/* The server was told by close_notify and was quicker than the client's own shutdown(): the kernel's
 * CLOSE_WAIT says that its FIN had come, and with it all that was read only then. */
static void test_an_end_that_came_before_it_was_read(void **state)
{
    struct model *m = model_new();
    struct model_conn *c = trace_conn(m, "client.sqlog");
    char text[256];

    (void)state;
    trace_did(m, c, 0, MODEL_CLIENT, "connect", 0, 0, NULL);
    trace_did(m, c, 100, MODEL_CLIENT, "send", 24, 0, NULL);
    trace_is_in(m, c, 101, MODEL_CLIENT, TCP_STATE_CLOSE_WAIT, MODEL_TCP_INFO);
    trace_did(m, c, 200, MODEL_CLIENT, "shutdown(WR)", 0, 0, NULL);
    trace_did(m, c, 210, MODEL_CLIENT, "recv", 100, 0, NULL);
    trace_did(m, c, 220, MODEL_CLIENT, "recv", 26, 0, NULL);
    trace_did(m, c, 230, MODEL_CLIENT, "recv", 0, 0, NULL);
    trace_did(m, c, 240, MODEL_CLIENT, "close", 0, 0, NULL);
    model_finish(m);
    segments_of(m->conns[0], text);
    assert_string_equal(text, "C:P S:P S:P S:F C:F ");
    assert_int_equal(verdict_of(m->conns[0])->first, MODEL_SERVER);
    model_free(m);
}

/* TCP_CORK: what is written waits, and leaves with the FIN in one segment; the other side read it before
 * shutdown() had returned. */
static void test_what_is_held_leaves_with_the_fin(void **state)
{
    struct model *m = model_new();
    struct model_conn *c = trace_conn(m, "client.sqlog");
    const struct model_segment *fin = NULL;
    char text[256];

    (void)state;
    c->end[MODEL_SERVER].has_log = true;
    trace_did(m, c, 0, MODEL_CLIENT, "connect", 0, 0, NULL);
    trace_did(m, c, 10, MODEL_SERVER, "accept4", 0, 0, NULL);
    trace_did(m, c, 100, MODEL_CLIENT, "send", 40, 0, NULL);
    trace_did(m, c, 105, MODEL_SERVER, "recv", 40, 0, NULL);
    trace_did(m, c, 110, MODEL_CLIENT, "setsockopt(TCP_CORK)", 0, 0, NULL);
    trace_did(m, c, 120, MODEL_CLIENT, "send", 24, 0, NULL);
    trace_did(m, c, 140, MODEL_SERVER, "recv", 24, 0, NULL);
    trace_did(m, c, 150, MODEL_CLIENT, "shutdown(WR)", 0, 0, NULL);
    trace_did(m, c, 160, MODEL_SERVER, "recv", 0, 0, NULL);
    trace_did(m, c, 170, MODEL_SERVER, "close", 0, 0, NULL);
    trace_did(m, c, 200, MODEL_CLIENT, "recv", 0, 0, NULL);
    model_finish(m);
    c = m->conns[0];
    segments_of(c, text);
    assert_string_equal(text, "C:P C:F S:F ");
    for (size_t i = 0; i < c->count && fin == NULL; i++)
        if (c->events[i].kind == MODEL_SEGMENT && (c->events[i].segment.flags & F))
            fin = &c->events[i].segment;
    assert_int_equal(fin->from, MODEL_CLIENT);
    assert_int_equal(fin->len, 24);
    assert_true(fin->time_ns < TRACE_START + 140000LL);
    model_free(m);
}

/* The kernel said FIN_WAIT_1 behind the call: what acknowledged the FIN came later than that. */
static void test_a_fin_is_not_acknowledged_before_the_kernel_says_so(void **state)
{
    struct model *m = model_new();
    struct model_conn *c = trace_conn(m, "client.sqlog");
    enum tcp_state last = TCP_STATE_UNKNOWN;

    (void)state;
    trace_did(m, c, 0, MODEL_CLIENT, "connect", 0, 0, NULL);
    trace_did(m, c, 200, MODEL_CLIENT, "shutdown(WR)", 0, 0, NULL);
    trace_is_in(m, c, 203, MODEL_CLIENT, TCP_STATE_FIN_WAIT_1, MODEL_TCP_INFO);
    trace_did(m, c, 300, MODEL_CLIENT, "recv", 0, 0, NULL);
    trace_is_in(m, c, 301, MODEL_CLIENT, TCP_STATE_TIME_WAIT, MODEL_TCP_INFO);
    model_finish(m);
    c = m->conns[0];
    for (size_t i = 0; i < c->count; i++) {
        if (c->events[i].kind != MODEL_STATE || c->events[i].state.side != MODEL_CLIENT)
            continue;
        if (c->events[i].state.state == TCP_STATE_FIN_WAIT_2)
            assert_int_equal(last, TCP_STATE_FIN_WAIT_1);
        last = c->events[i].state.state;
    }
    assert_int_equal(count_states(c, MODEL_CLIENT, TCP_STATE_FIN_WAIT_2), 1);
    model_free(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_MODEL(test_four_segments_and_bytes_after_the_fin),
        WITH_MODEL(test_three_segments),
        WITH_MODEL(test_both_at_once),
        WITH_MODEL(test_unread_bytes_make_a_reset),
        WITH_MODEL(test_a_cut_is_a_cut),
        WITH_MODEL(test_a_late_reset),
        WITH_MODEL(test_refused),
        WITH_MODEL(test_unanswered),
        WITH_MODEL(test_unanswered_by_the_log_alone),
        WITH_MODEL(test_given_up),
        WITH_MODEL(test_a_lost_server),
        WITH_MODEL(test_a_truncation),
        cmocka_unit_test(test_views_become_one),
        cmocka_unit_test(test_clocks_are_brought_together),
        WITH_MODEL(test_states_are_inferred),
        cmocka_unit_test(test_an_end_that_came_before_it_was_read),
        cmocka_unit_test(test_what_is_held_leaves_with_the_fin),
        cmocka_unit_test(test_a_fin_is_not_acknowledged_before_the_kernel_says_so),
        WITH_MODEL(test_what_did_not_arrive_changes_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
