/* test_link.c: links against a peer that the test plays itself, with blocking sockets, in the same thread:
 * what is under test runs only while the test turns the event loop. TLS is in test_link_tls.c. */
#include "link_peer.h"

#include "common/clock.h"

#include <errno.h>
#include <malloc.h>
#include <sys/ioctl.h>

static void test_lines_are_framed(void **state)
{
    struct fixture f;

    (void)state;
    fixture_open(&f, NULL);
    peer_say(&f, "one\ntwo\r\n\n\r\nthr");
    turn_until(&f, &f.line_count, 2);
    assert_int_equal(f.line_count, 2);
    peer_say(&f, "ee");
    turn_for(&f, 20);
    peer_say(&f, "\nfour\n");
    turn_until(&f, &f.line_count, 4);
    assert_string_equal(f.lines, "one|two|three|four|");
    assert_int_equal(link_life(f.link)->msgs_in, 4);
    assert_int_equal(link_life(f.link)->bytes_in, 23);
    fixture_close(&f);
}

static void test_what_was_said_before_up_goes_out(void **state)
{
    struct fixture f;

    (void)state;
    fixture_init(&f);
    fixture_start(&f, NULL);
    assert_int_equal(link_send(f.link, "early\n", 6), 0);
    assert_false(link_is_up(f.link));
    fixture_accept(&f);
    assert_int_equal(f.up, 1);
    assert_int_equal(link_send(f.link, "late\n", 5), 0);
    peer_expect(&f, "early\nlate\n");
    assert_int_equal(link_life(f.link)->msgs_out, 2);
    assert_int_equal(link_life(f.link)->bytes_out, 11);
    fixture_close(&f);
}

static void test_half_close_by_us(void **state)
{
    struct fixture f;

    (void)state;
    fixture_open(&f, NULL);
    link_send(f.link, "last\n", 5);
    link_shutdown(f.link);
    assert_int_equal(link_send(f.link, "more\n", 5), -EPIPE);
    peer_expect(&f, "last\n");
    peer_expect_eof(&f);
    assert_int_equal(f.watched[LINK_FIN_SENT], 1);
    peer_say(&f, "still\nhere\n");
    turn_until(&f, &f.line_count, 2);
    assert_int_equal(f.closed, 0);
    peer_close(&f);
    turn_until(&f, &f.closed, 1);
    assert_int_equal(f.verdict.how, LINK_ENDED);
    assert_string_equal(f.lines, "still|here|");
    assert_int_equal(f.end, 1);
    assert_int_equal(link_life(f.link)->ended_first, LIFECYCLE_SELF);
    assert_false(link_is_open(f.link));
    fixture_close(&f);
}

static void test_half_close_by_the_peer(void **state)
{
    struct fixture f;

    (void)state;
    fixture_open(&f, NULL);
    peer_say(&f, "bye\n");
    peer_shutdown(&f);
    turn_until(&f, &f.end, 1);
    turn_for(&f, 20); /* at EOF the descriptor is readable for ever: the loop must be able to sleep */
    assert_true(f.turns < 20);
    assert_int_equal(f.closed, 0);
    assert_int_equal(link_send(f.link, "I go on\n", 8), 0);
    peer_expect(&f, "I go on\n");
    link_shutdown(f.link);
    turn_until(&f, &f.closed, 1);
    assert_int_equal(f.verdict.how, LINK_ENDED);
    assert_int_equal(link_life(f.link)->ended_first, LIFECYCLE_PEER);
    peer_expect_eof(&f);
    fixture_close(&f);
}

static void test_without_an_end_handler_the_link_ends_too(void **state)
{
    struct link_handler handler = fixture_handler;
    struct fixture f;

    (void)state;
    handler.end = NULL;
    fixture_init(&f);
    link_free(f.link);
    f.link = link_new(f.base, &handler, &f);
    fixture_start(&f, NULL);
    fixture_accept(&f);
    peer_shutdown(&f);
    turn_until(&f, &f.closed, 1);
    assert_int_equal(f.verdict.how, LINK_ENDED);
    peer_expect_eof(&f);
    fixture_close(&f);
}

static void test_shutdown_before_up(void **state)
{
    struct fixture f;

    (void)state;
    fixture_init(&f);
    fixture_start(&f, NULL);
    link_send(f.link, "hello\n", 6);
    link_shutdown(f.link);
    fixture_accept(&f);
    peer_expect(&f, "hello\n");
    peer_expect_eof(&f);
    fixture_close(&f);
}

static void test_refused(void **state)
{
    struct fixture f;

    (void)state;
    fixture_init(&f);
    close(f.listener);
    f.listener = -1;
    fixture_start(&f, NULL);
    turn_until(&f, &f.closed, 1);
    assert_int_equal(f.verdict.how, LINK_REFUSED);
    assert_int_equal(f.verdict.error, ECONNREFUSED);
    assert_false(f.verdict.was_up);
    assert_int_equal(f.up, 0);
    fixture_close(&f);
}

static void test_the_next_address_is_tried(void **state)
{
    struct link_options o = {.host = "chat.example", .quiet = true};
    struct tcp_addr addresses[3];
    struct fixture f;

    (void)state;
    fixture_init(&f);
    for (size_t i = 0; i < 3; i++)
        addresses[i] = f.address;
    addresses[0].ip[3] = 77; /* nobody listens on 127.0.0.77 */
    addresses[1].port = 1;
    o.addresses = addresses;
    o.address_count = 3;
    fixture_start(&f, &o);
    fixture_accept(&f);
    assert_int_equal(f.up, 1);
    assert_int_equal(f.watched[LINK_CONNECTED], 1);
    assert_int_equal(f.watched[LINK_CLOSING], 0);
    fixture_close(&f);
}

static void test_names(void **state)
{
    struct link_options o = {.host = "localhost", .quiet = true};
    struct fixture f;

    (void)state;
    fixture_init(&f);
    o.port = f.address.port;
    fixture_start(&f, &o);
    fixture_accept(&f);
    assert_int_equal(f.watched[LINK_RESOLVING], 1);
    fixture_close(&f);

    fixture_init(&f);
    o.host = "no..name";
    fixture_start(&f, &o);
    turn_until(&f, &f.closed, 1);
    assert_int_equal(f.verdict.how, LINK_UNRESOLVED);
    assert_non_null(f.verdict.why);
    fixture_close(&f);
}

static void test_close_while_a_name_is_looked_up(void **state)
{
    struct link_options o = {.host = "localhost", .quiet = true};
    struct fixture f;

    (void)state;
    fixture_init(&f);
    o.port = f.address.port; /* the look-up can be over sooner than one thinks */
    fixture_start(&f, &o);
    event_base_loop(f.base, EVLOOP_NONBLOCK);
    link_close(f.link);
    turn_for(&f, 100);
    assert_int_equal(f.closed, 0);
    fixture_close(&f);
}

static void test_source_address(void **state)
{
    struct tcp_addr source = {.family = AF_INET, .ip = {127, 0, 0, 5}}, peer;
    struct link_options o = {.host = "127.0.0.1", .source = &source, .quiet = true};
    struct fixture f;

    (void)state;
    fixture_init(&f);
    o.port = f.address.port;
    fixture_start(&f, &o);
    fixture_accept(&f);
    tcp_get_peer(f.peer, &peer);
    assert_memory_equal(peer.ip, source.ip, 4);
    fixture_close(&f);

    fixture_init(&f);
    source.ip[0] = 192, source.ip[2] = 2, source.ip[3] = 1; /* TEST-NET-1: not ours */
    fixture_start(&f, &o);
    turn_until(&f, &f.closed, 1);
    assert_int_equal(f.verdict.how, LINK_UNREACHABLE);
    assert_int_equal(f.verdict.error, EADDRNOTAVAIL);
    fixture_close(&f);
}

static void test_reset(void **state)
{
    struct fixture f;

    (void)state;
    fixture_open(&f, NULL);
    peer_reset(&f);
    turn_until(&f, &f.closed, 1);
    assert_int_equal(f.verdict.how, LINK_RESET);
    assert_int_equal(f.verdict.error, ECONNRESET);
    assert_true(f.verdict.was_up);
    assert_int_equal(f.watched[LINK_RST_RECEIVED], 1);
    fixture_close(&f);
}

/* A write that finds the connection reset says EPIPE or ECONNRESET; why, stands in what the peer said
 * before. */
static void test_last_words_are_read_after_a_failed_write(void **state)
{
    struct fixture f;

    (void)state;
    fixture_open(&f, NULL);
    link_send(f.link, "unread\n", 7);
    peer_say(&f, "last words\n");
    peer_close(&f); /* with unread input: an RST behind the words */
    assert_int_equal(link_send(f.link, "into the void\n", 14), 0);
    turn_until(&f, &f.closed, 1);
    assert_int_equal(f.verdict.how, LINK_RESET);
    assert_string_equal(f.lines, "last words|");
    fixture_close(&f);
}

static void test_we_reset(void **state)
{
    struct fixture f;
    char c;

    (void)state;
    fixture_open(&f, NULL);
    link_reset(f.link);
    assert_int_equal(recv(f.peer, &c, 1, 0), -1);
    assert_int_equal(errno, ECONNRESET);
    turn_for(&f, 10);
    assert_int_equal(f.closed, 0); /* who closes knows it */
    fixture_close(&f);
}

static void test_pause(void **state)
{
    struct fixture f;

    (void)state;
    fixture_open(&f, NULL);
    f.pause_after = 2;
    peer_say(&f, "1\n2\n3\n4\n5");
    peer_say(&f, "5\n");
    peer_shutdown(&f);
    turn_for(&f, 30);
    assert_string_equal(f.lines, "1|2|");
    assert_int_equal(f.end, 0);
    f.pause_after = 0;
    link_resume(f.link);
    turn_until(&f, &f.end, 1);
    assert_string_equal(f.lines, "1|2|3|4|55|");
    fixture_close(&f);
}

static void test_reading_slowly(void **state)
{
    uint64_t began;
    struct fixture f;
    char lines[601];

    (void)state;
    for (size_t i = 0; i < 600; i++)
        lines[i] = i % 2 ? '\n' : 'x';
    lines[600] = '\0';
    fixture_open(&f, NULL);
    link_read_slowly(f.link, 2000);
    peer_say(&f, lines);
    began = clock_mono_us();
    turn_until(&f, &f.line_count, 300);
    assert_true(clock_mono_us() - began >=
                190000); /* 600 bytes in hundreds of 0.1 s at 2000/s: 0.2 s and more */
    link_read_slowly(f.link, 0);
    peer_say(&f, lines);
    turn_until(&f, &f.line_count, 600);
    fixture_close(&f);
}

static void test_backpressure(void **state)
{
    enum { ROUNDS = 64, SIZE = 128 * 1024 };
    static char block[SIZE];
    struct fixture f;
    size_t got = 0;

    (void)state;
    memset(block, 'x', sizeof block);
    fixture_open(&f, NULL);
    for (int i = 0; i < ROUNDS; i++)
        assert_int_equal(link_send(f.link, block, sizeof block), 0);
    link_shutdown(f.link);
    assert_true(link_is_full(f.link));
    assert_int_equal(f.drained, 0);
    while (f.drained == 0 || got < (size_t)ROUNDS * SIZE) {
        ssize_t n = recv(f.peer, block, sizeof block, MSG_DONTWAIT);

        if (n == 0)
            break;
        if (n > 0)
            got += (size_t)n;
        turn_for(&f, 0);
    }
    assert_int_equal(got, (size_t)ROUNDS * SIZE);
    assert_int_equal(f.drained, 1);
    peer_expect_eof(&f);
    fixture_close(&f);
}

static void test_a_line_without_end(void **state)
{
    struct link_options o = {.host = "127.0.0.1", .max_line = 1000, .quiet = true};
    struct fixture f;
    char much[2001];

    (void)state;
    memset(much, 'x', 2000);
    much[2000] = '\0';
    fixture_init(&f);
    o.port = f.address.port;
    fixture_start(&f, &o);
    fixture_accept(&f);
    peer_say(&f, much);
    turn_until(&f, &f.closed, 1);
    assert_int_equal(f.verdict.how, LINK_TOO_LONG);
    fixture_close(&f);
}

static void test_deadline(void **state)
{
    struct fixture f;

    (void)state;
    fixture_open(&f, NULL);
    link_set_deadline(f.link, 50);
    link_set_deadline(f.link, 0);
    turn_for(&f, 100);
    assert_int_equal(f.closed, 0);
    link_set_deadline(f.link, 50);
    peer_say(&f, "x\n"); /* which does not put it off */
    turn_until(&f, &f.closed, 1);
    assert_int_equal(f.verdict.how, LINK_TIMED_OUT);
    assert_true(f.verdict.was_up);
    fixture_close(&f);
}

static void test_close_and_free_in_callbacks(void **state)
{
    struct fixture f;

    (void)state;
    fixture_open(&f, NULL);
    f.close_after = 2;
    peer_say(&f, "1\n2\n3\n");
    turn_for(&f, 30);
    assert_string_equal(f.lines, "1|2|");
    assert_int_equal(f.closed, 0);
    fixture_close(&f);

    fixture_open(&f, NULL);
    f.free_after = 1;
    peer_say(&f, "1\n2\n3\n");
    turn_for(&f, 30);
    assert_string_equal(f.lines, "1|");
    fixture_close(&f);
}

static void test_open_again_from_closed(void **state)
{
    struct fixture f;

    (void)state;
    fixture_open(&f, NULL);
    f.open_again = true;
    peer_reset(&f);
    turn_until(&f, &f.closed, 1);
    fixture_accept(&f);
    assert_int_equal(f.up, 2);
    peer_say(&f, "again\n");
    turn_until(&f, &f.line_count, 1);
    assert_int_equal(link_open(f.link, &(struct link_options){.host = "127.0.0.1"}), -EBUSY);
    fixture_close(&f);
}

static void test_no_address_at_all(void **state)
{
    struct fixture f;

    (void)state;
    fixture_init(&f);
    assert_int_equal(link_open(f.link, &(struct link_options){0}), -EINVAL);
    assert_int_equal(link_send(f.link, "x\n", 2), -EPIPE);
    assert_false(link_is_open(f.link));
    link_free(NULL);
    fixture_close(&f);
}

/* Bots are made by the thousand. */
static void test_an_idle_link_is_small(void **state)
{
    enum { LINKS = 300 };
    struct link_options o = {.host = "127.0.0.1", .quiet = true};
    struct link *links[LINKS];
    int peers[LINKS];
    struct fixture f;
    size_t before, each;

    (void)state;
    fixture_init(&f);
    o.port = f.address.port;
    before = mallinfo2().uordblks;
    for (int i = 0; i < LINKS; i++) {
        links[i] = link_new(f.base, &fixture_handler, &f);
        link_open(links[i], &o);
        link_send(links[i], "hello\n", 6);
        turn_until(&f, &f.up, i + 1);
        peers[i] = accept(f.listener, NULL, NULL);
        assert_int_equal(send(peers[i], "welcome\n", 8, 0), 8);
        turn_until(&f, &f.line_count, i + 1);
    }
    turn_for(&f, 20); /* the loop's own timeouts are over then */
    each = (mallinfo2().uordblks - before) / LINKS;
    if (before > 0) /* a sanitizer's allocator does not tell */
        assert_in_range(each, 100, 800);
    for (int i = 0; i < LINKS; i++) {
        link_free(links[i]);
        close(peers[i]);
    }
    fixture_close(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lines_are_framed),
        cmocka_unit_test(test_what_was_said_before_up_goes_out),
        cmocka_unit_test(test_half_close_by_us),
        cmocka_unit_test(test_half_close_by_the_peer),
        cmocka_unit_test(test_without_an_end_handler_the_link_ends_too),
        cmocka_unit_test(test_shutdown_before_up),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_the_next_address_is_tried),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_close_while_a_name_is_looked_up),
        cmocka_unit_test(test_source_address),
        cmocka_unit_test(test_reset),
        cmocka_unit_test(test_last_words_are_read_after_a_failed_write),
        cmocka_unit_test(test_we_reset),
        cmocka_unit_test(test_pause),
        cmocka_unit_test(test_reading_slowly),
        cmocka_unit_test(test_backpressure),
        cmocka_unit_test(test_a_line_without_end),
        cmocka_unit_test(test_deadline),
        cmocka_unit_test(test_close_and_free_in_callbacks),
        cmocka_unit_test(test_open_again_from_closed),
        cmocka_unit_test(test_no_address_at_all),
        cmocka_unit_test(test_an_idle_link_is_small),
    };

    return cmocka_run_group_tests_name("link", tests, NULL, NULL);
}
