/* lab_wait.c: labs of waiting: for stray segments, for a peer that is gone, for a reader that does not
 * read. */
#include "common/buf.h"
#include "common/clock.h"
#include "trace/lab_kinds.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* ---- time-wait, by chatd ---- */

/* bind() to that port, with SO_REUSEADDR or without: 0 or -errno. */
static int try_bind(uint16_t port, int reuse)
{
    struct tcp_addr at = {.family = AF_INET, .port = port, .ip = {127, 0, 0, 1}};
    struct sockaddr_storage to;
    socklen_t len = tcp_addr_to(&at, &to);
    int fd = tcp_socket(AF_INET), result;

    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &reuse, sizeof reuse);
    result = bind(fd, (struct sockaddr *)&to, len) == 0 ? 0 : -errno;
    close(fd);
    return result;
}

static void check_countdown(struct lab *l, struct lab_conn *c)
{
    struct diag_socket first, second;

    lab_expect(l, state_await(c, MODEL_SERVER, TCP_STATE_TIME_WAIT, 1000),
               "the server, who ended first, is in TIME_WAIT");
    state_now(c, MODEL_SERVER, &first);
    lab_sleep(300);
    state_now(c, MODEL_SERVER, &second);
    lab_expect(l,
               first.timer == DIAG_TIME_WAIT && first.expires_ms > second.expires_ms + 200 &&
                   first.expires_ms <= 60100,
               "its clock runs down: %.1f s, and 0.3 s later %.1f s", first.expires_ms / 1e3,
               second.expires_ms / 1e3);
    lab_expect(l, state_now(c, MODEL_CLIENT, NULL) == TCP_STATE_CLOSED, "the client is left with nothing");
}

static void run_time_wait(struct lab *l)
{
    static const char *const more[] = {"--plain", NULL};
    struct lab_app chatd, chat;
    struct diag_socket found;
    struct lab_conn *c;
    uint16_t port;

    lab_start_chatd(l, &chatd, 0, NULL);
    port = chatd.port;
    lab_start_chat(l, &chat, "ann", port, more);
    if (!app_await(&chat, "\"joined\"", NULL, 5000) || !lab_find_conn(l, port, 0, &found, 1000))
        lab_give_up(l, "chat has not joined");
    c = lab_adopt(l, "chatd is told to end, and ends first", &found.local, &found.peer);
    app_signal(&chatd, SIGTERM);
    lab_expect(l, app_wait(l, &chatd, 15000) == 0, "chatd, told to end by SIGTERM, ended with exit code 0");
    app_end_input(&chat);
    app_wait(l, &chat, 5000);
    check_countdown(l, c);
    lab_expect(l, try_bind(port, 0) == -EADDRINUSE, "bind() to its port without SO_REUSEADDR: EADDRINUSE");
    lab_expect(l, try_bind(port, 1) == 0, "with SO_REUSEADDR: fine");
    lab_start_chatd(l, &chatd, port, NULL);
    lab_expect(l, chatd.port == port, "and chatd, which sets it, starts again on port %u", port);
    app_signal(&chatd, SIGTERM);
    app_wait(l, &chatd, 15000);
    lab_look(l);
    if (l->has_wire)
        lab_expect(l, wire_count(c, MODEL_SERVER, MODEL_FIN, MODEL_FIN) == 1, "one FIN of chatd's");
}

const struct lab_kind lab_time_wait = {
    .name = "time-wait",
    .title = "who ends first waits for a minute: chatd restarted",
    .expect =
        "  chatd is told to end while chat is connected. It sends the first FIN, so that its end is left in TIME_WAIT for 60\n"
        "  seconds, and its port is taken: EADDRINUSE, unless SO_REUSEADDR is set, as chatd does.\n",
    .run = run_time_wait,
};

/* ---- half-open ---- */

/* Waits until the end has an error to tell; how long that took, in ms. */
static double await_error(struct lab_end *e, uint64_t since_us, unsigned ms)
{
    end_await(e, POLLIN | POLLRDHUP, ms);
    return (double)(clock_mono_us() - since_us) / 1e3;
}

static void check_doubling(struct lab *l, const struct lab_conn *c)
{
    const struct model_segment *s[4];
    double first, second;

    for (unsigned i = 0; i < 4; i++)
        s[i] = wire_find(c, MODEL_SERVER, MODEL_PSH, MODEL_PSH, i);
    lab_expect(l, s[3] != NULL, "the server's segment went out %u times",
               wire_count(c, MODEL_SERVER, MODEL_PSH, MODEL_PSH));
    first = wire_ms(s[1], s[2]);
    second = wire_ms(s[2], s[3]);
    lab_expect(l, s[3] != NULL && second > first * 1.5 && second < first * 2.7,
               "the time between doubles: %.0f, %.0f, %.0f ms", wire_ms(s[0], s[1]), first, second);
}

static void run_half_open(struct lab *l)
{
    struct lab_conn *writing, *idle;
    uint64_t began;
    double ms;

    lab_listen(l, 8);
    writing = lab_open(l, "the client is gone, and the server writes; TCP_USER_TIMEOUT 2 s");
    idle = lab_open(l, "the client is gone, and nobody writes; keepalive 1 s, 1 s, 3 probes");
    end_drop(&writing->client, LAB_DROP_ALL);
    end_drop(&idle->client, LAB_DROP_ALL);
    end_set(&writing->server, IPPROTO_TCP, TCP_USER_TIMEOUT, 2000);
    tcp_set_keepalive(idle->server.fd, 1, 1, 3);
    began = clock_mono_us();
    end_write(&writing->server, 27);
    ms = await_error(&writing->server, began, 8000);
    lab_expect(l, end_read(&writing->server) == -ETIMEDOUT, "unacknowledged data: ETIMEDOUT after %.1f s",
               ms / 1e3);
    lab_expect(l, ms > 1500 && ms < 4500, "which is TCP_USER_TIMEOUT and the retransmission that noticed it");
    ms = await_error(&idle->server, began, 8000);
    lab_expect(l, end_read(&idle->server) == -ETIMEDOUT,
               "an idle connection: ETIMEDOUT by keepalive after %.1f s", ms / 1e3);
    lab_expect(l, ms > 3000 && ms < 6000, "which is one second, and three probes");
    lab_expect(l, state_now(writing, MODEL_CLIENT, NULL) == TCP_STATE_ESTABLISHED,
               "the client's end still believes it is ESTABLISHED");
    end_drop_none(&writing->client);
    end_write(&writing->client, 10);
    end_await(&writing->client, POLLIN | POLLRDHUP, 1000);
    lab_expect(l, end_read(&writing->client) == -ECONNRESET,
               "when it is back and writes, it gets RST: ECONNRESET");
    lab_look(l);
    if (l->has_wire)
        check_doubling(l, writing);
}

const struct lab_kind lab_half_open = {
    .name = "half-open",
    .title = "a peer that is gone without a word",
    .expect =
        "  The client's end gets no segment any more, as if its cable were out. Data is sent again and again, at doubling\n"
        "  times, until TCP_USER_TIMEOUT; an idle connection needs keepalive to notice. The peer, back again, still\n"
        "  believes in the connection until it writes and gets RST.\n",
    .run = run_half_open,
};

/* ---- zero-window, by chatd and chat ---- */

/* Bob says so much that a reader who does not read cannot take it. */
static void say_much(struct lab *l, uint16_t port)
{
    static const char *const more[] = {"--plain", NULL};
    struct lab_app bob;
    struct buf all = {0};

    for (int i = 1; i <= 60; i++)
        buf_putf(&all, "{\"type\":\"send\",\"room\":\"general\",\"text\":\"much %d %0*d\"}\n", i, 900, i);
    buf_put(&all, "", 1);
    lab_start_chat(l, &bob, "bob", port, more);
    app_feed(l, &bob, all.data);
    app_end_input(&bob);
    app_await(&bob, NULL, NULL, 5000);
    app_wait(l, &bob, 5000);
    buf_deinit(&all);
}

static void check_probes(struct lab *l, struct lab_conn *c)
{
    struct diag_socket s = {0};
    unsigned waited = 0;

    while (waited++ < 500 &&
           !(state_now(c, MODEL_SERVER, &s) == TCP_STATE_ESTABLISHED && s.has_info && s.backoff >= 2))
        lab_sleep(10);
    lab_expect(l, s.has_info && s.send_window == 0, "the server's kernel knows: the client's window is %u",
               s.send_window);
    lab_expect(l, s.timer == DIAG_PROBE && s.backoff >= 2,
               "it probes, at longer and longer times: backoff %u, %u probes unanswered", s.backoff,
               s.probes);
}

static unsigned probes_on_wire(const struct lab_conn *c)
{
    const struct model_segment *s;
    unsigned n = 0;

    for (unsigned i = 0; (s = wire_find(c, MODEL_SERVER, 0, 0, i)) != NULL; i++)
        n += s->keepalive;
    return n;
}

static bool window_was_zero(const struct lab_conn *c)
{
    const struct model_segment *s;

    for (unsigned i = 0; (s = wire_find(c, MODEL_CLIENT, MODEL_SYN | MODEL_RST, 0, i)) != NULL; i++) {
        if (s->window == 0)
            return true;
    }
    return false;
}

static void run_zero_window(struct lab *l)
{
    static const char *const more[] = {"--plain", NULL}, *const patient[] = {"--stall-seconds", "60", NULL};
    struct lab_app chatd, chat;
    struct diag_socket found;
    struct lab_conn *c;
    struct buf got = {0};

    lab_set(l, "net.ipv4.tcp_rmem", "4096 4096 4096");
    lab_set(l, "net.ipv4.tcp_wmem", "4096 8192 8192");
    lab_start_chatd(l, &chatd, 0, patient);
    lab_start_chat(l, &chat, "ann", chatd.port, more);
    fcntl(chat.out, F_SETPIPE_SZ, 4096);
    if (!app_await(&chat, "\"joined\"", &got, 5000) || !lab_find_conn(l, chatd.port, 0, &found, 1000))
        lab_give_up(l, "chat has not joined");
    c = lab_adopt(l, "chat's output is not taken, so that chat reads no more", &found.local, &found.peer);
    say_much(l, chatd.port);
    check_probes(l, c);
    lab_expect(l, app_await(&chat, "much 60 ", &got, 10000),
               "chat's output is taken again: the last line comes, too");
    app_end_input(&chat);
    app_await(&chat, NULL, &got, 5000);
    lab_expect(l, app_wait(l, &chat, 5000) == 0, "chat ended with exit code 0");
    app_signal(&chatd, SIGTERM);
    app_wait(l, &chatd, 15000);
    lab_look(l);
    if (l->has_wire) {
        lab_expect(l, window_was_zero(c), "the client has said: window 0");
        lab_expect(l, probes_on_wire(c) >= 2, "the server has asked %u times whether it has opened",
                   probes_on_wire(c));
    }
    buf_deinit(&got);
}

const struct lab_kind lab_zero_window = {
    .name = "zero-window",
    .title = "a reader that does not read: chat with its output held",
    .expect =
        "  Nobody takes chat's output, so that chat stops reading, its kernel's buffer fills, and it says: window 0. chatd's\n"
        "  kernel may send nothing more; it probes, at doubling times, until the window opens. Nothing is lost.\n",
    .needs_network = true,
    .run = run_zero_window,
};
