/* test_lifecycle.c: what the log says of an end that was over before the kernel could be asked; the kept SYN. */
#include "common/lifecycle.h"
#include "common/log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char path[] = "/tmp/test_lifecycle_XXXXXX";

struct ends {
    int listener, ours, theirs;
    struct lifecycle life;
};

static void open_ends(struct ends *e)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof at;
    struct tcp_addr peer;

    e->listener = tcp_listen((struct sockaddr *)&at, len, false, 1);
    assert_true(e->listener >= 0);
    assert_return_code(getsockname(e->listener, (struct sockaddr *)&at, &len), 0);
    e->theirs = socket(AF_INET, SOCK_STREAM, 0);
    assert_return_code(connect(e->theirs, (struct sockaddr *)&at, len), 0);
    assert_int_equal(poll(&(struct pollfd){.fd = e->listener, .events = POLLIN}, 1, 1000), 1);
    e->ours = tcp_accept(e->listener, &peer);
    assert_true(e->ours >= 0);
    lifecycle_begin(&e->life, false);
    lifecycle_accept(&e->life, e->ours, &peer);
}

static void await_fin(int fd)
{
    char byte;

    assert_int_equal(poll(&(struct pollfd){.fd = fd, .events = POLLIN}, 1, 1000), 1);
    assert_int_equal(recv(fd, &byte, 1, MSG_PEEK), 0);
}

/* The line of the shutdown; the log is empty afterwards. */
static void read_shutdown(char line[512])
{
    FILE *f = fopen(path, "r+");

    assert_non_null(f);
    do
        assert_non_null(fgets(line, 512, f));
    while (strstr(line, "event=shutdown") == NULL);
    assert_return_code(ftruncate(fileno(f), 0), 0);
    fclose(f);
}

static void close_ends(struct ends *e)
{
    lifecycle_close(&e->life, e->ours, false, "test");
    close(e->theirs);
    close(e->listener);
}

/* The peer has answered our FIN with its own within our call: the socket is gone then, and waits. */
static void test_we_were_first_and_all_is_over(void **state)
{
    struct ends e = {0};
    char line[512];

    (void)state;
    open_ends(&e);
    assert_int_equal(tcp_shutdown_write(e.ours), 0);
    await_fin(e.theirs);
    assert_int_equal(tcp_shutdown_write(e.theirs), 0);
    await_fin(e.ours);
    lifecycle_shutdown(&e.life, e.ours, 0);
    read_shutdown(line);
    assert_non_null(strstr(line, "state=TIME_WAIT source=sock_diag"));
    close_ends(&e);
}

/* Its FIN was first, and has not been read yet: LAST_ACK, and that is over too. */
static void test_the_peer_was_first_and_all_is_over(void **state)
{
    struct ends e = {0};
    char line[512];

    (void)state;
    open_ends(&e);
    assert_int_equal(tcp_shutdown_write(e.theirs), 0);
    await_fin(e.ours);
    assert_int_equal(tcp_shutdown_write(e.ours), 0);
    await_fin(e.theirs);
    lifecycle_shutdown(&e.life, e.ours, 0);
    read_shutdown(line);
    assert_non_null(strstr(line, "state=LAST_ACK source=inferred how=SHUT_WR then=CLOSED"));
    close_ends(&e);
}

/* The kept SYN tells where its connection came in: the event log asks for nothing else then. */
static void check_kept_syn(const struct sockaddr *any, socklen_t len)
{
    struct sockaddr_storage at;
    struct tcp_addr peer, local;
    struct tcp_syn syn;
    int listener = tcp_listen(any, len, false, 1), ours, theirs;

    if (listener < 0 && any->sa_family == AF_INET6)
        return; /* a host without IPv6 */
    assert_true(listener >= 0);
    tcp_save_syn(listener);
    assert_return_code(getsockname(listener, (struct sockaddr *)&at, &len), 0);
    theirs = socket(any->sa_family, SOCK_STREAM, 0);
    assert_return_code(connect(theirs, (struct sockaddr *)&at, len), 0);
    assert_int_equal(poll(&(struct pollfd){.fd = listener, .events = POLLIN}, 1, 1000), 1);
    ours = tcp_accept(listener, &peer);
    assert_true(ours >= 0);
    if (tcp_take_saved_syn(ours, &syn)) {
        tcp_get_local(ours, &local);
        assert_memory_equal(&syn.local, &local, sizeof local);
        assert_false(tcp_take_saved_syn(ours, &syn)); /* it is there once */
    }
    close(ours);
    close(theirs);
    close(listener);
}

static void test_the_kept_syn_has_the_local_end(void **state)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};

    (void)state;
    check_kept_syn((struct sockaddr *)&v4, sizeof v4);
    check_kept_syn((struct sockaddr *)&v6, sizeof v6);
}

static int open_the_log(void **state)
{
    int fd = mkstemp(path);

    (void)state;
    return fd < 0 || close(fd) != 0 || log_open(path) < 0 ? -1 : 0;
}

static int remove_the_log(void **state)
{
    (void)state;
    log_close();
    return unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_we_were_first_and_all_is_over),
        cmocka_unit_test(test_the_peer_was_first_and_all_is_over),
        cmocka_unit_test(test_the_kept_syn_has_the_local_end),
    };

    lifecycle_set_side("server");
    return cmocka_run_group_tests(tests, open_the_log, remove_the_log);
}
