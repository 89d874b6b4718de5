/* lab_close.c: labs of how a connection ends in order: each side for itself, in three segments or in four, or
 * both at once. */
#include "common/buf.h"
#include "common/clock.h"
#include "trace/lab_kinds.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

/* ---- half-close, by chatd and chat ---- */

/* What the server sent behind the client's FIN. */
static uint64_t bytes_after_fin(const struct lab_conn *c)
{
    const struct model_segment *fin = wire_find(c, MODEL_CLIENT, MODEL_FIN, MODEL_FIN, 0), *s;
    uint64_t bytes = 0;

    for (unsigned i = 0; fin != NULL && (s = wire_find(c, MODEL_SERVER, 0, 0, i)) != NULL; i++) {
        if (s->time_ns > fin->time_ns && !s->retransmission)
            bytes += s->len;
    }
    return bytes;
}

/* Twenty lines. */
static void say_lines(struct lab *l, struct lab_app *chat, struct buf *got)
{
    int length = l->has_network ? 400 : 4000; /* more than the buffers take */
    struct buf all = {0};

    for (int i = 1; i <= 20; i++)
        buf_putf(&all, "{\"type\":\"send\",\"room\":\"general\",\"text\":\"line %d %0*d\"}\n", i, length, i);
    buf_put(&all, "", 1);
    app_feed(l, chat, all.data);
    if (!app_await(chat, "line 20 ", got, 5000))
        lab_give_up(l, "chat's own lines did not come back");
    buf_deinit(&all);
}

/* Five times the question for all of them, then the end of our side. chatd is held until its kernel has that
 * and ours knows: so the half-closed span is there, and seen, before the first answer, however busy the
 * machine is. */
static void ask_and_end(struct lab *l, struct lab_app *chatd, struct lab_app *chat, struct lab_conn *c)
{
    struct buf all = {0};

    for (int i = 1; i <= 5; i++)
        buf_putf(&all, "{\"type\":\"history\",\"room\":\"general\",\"limit\":100,\"id\":\"h%d\"}\n", i);
    buf_put(&all, "", 1);
    app_stop(l, chatd);
    app_feed(l, chat, all.data);
    app_end_input(chat);
    lab_expect(l,
               state_await(c, MODEL_SERVER, TCP_STATE_CLOSE_WAIT, 10000) &&
                   state_await(c, MODEL_CLIENT, TCP_STATE_FIN_WAIT_2, 10000),
               "before the first answer the client's end was in FIN_WAIT_2, the server's in CLOSE_WAIT");
    app_signal(chatd, SIGCONT);
    buf_deinit(&all);
}

static unsigned count(const struct buf *b, const char *text)
{
    unsigned n = 0;
    const char *at = b->data, *end = b->data + b->len;

    while (at != NULL && (at = memmem(at, (size_t)(end - at), text, strlen(text))) != NULL) {
        n++;
        at += strlen(text);
    }
    return n;
}

static void check_half_close(struct lab *l, const struct lab_conn *c)
{
    double waiting = state_ms(c, MODEL_CLIENT, TCP_STATE_FIN_WAIT_2),
           open = state_ms(c, MODEL_SERVER, TCP_STATE_CLOSE_WAIT);
    uint64_t bytes = bytes_after_fin(c);

    lab_expect(l, waiting >= 0, "the client's end was in FIN_WAIT_2 for %.1f ms", waiting);
    lab_expect(l, open >= 0, "the server's end was in CLOSE_WAIT for %.1f ms", open);
    lab_expect(l, state_was(c, MODEL_CLIENT, TCP_STATE_TIME_WAIT),
               "the client, who ended first, is left in TIME_WAIT");
    if (!l->has_wire)
        return;
    lab_expect(l, bytes > 0, "%llu bytes came after the client's FIN", (unsigned long long)bytes);
    lab_expect(l, wire_resets(c) == 0, "no RST");
}

static void run_half_close(struct lab *l)
{
    static const char *const more[] = {"--plain", NULL};
    struct lab_app chatd, chat;
    struct diag_socket found;
    struct lab_conn *c;
    struct buf got = {0};
    bool ended;

    lab_set(l, "net.ipv4.tcp_rmem", "4096 8192 8192"); /* so that some of it is still to come */
    lab_set(l, "net.ipv4.tcp_wmem", "4096 8192 8192");
    lab_start_chatd(l, &chatd, 0, NULL);
    lab_start_chat(l, &chat, "ann", chatd.port, more);
    if (!app_await(&chat, "\"joined\"", &got, 5000) || !lab_find_conn(l, chatd.port, 0, &found, 1000))
        lab_give_up(l, "chat has not joined");
    c = lab_adopt(l, "chat has no more to say, and listens on", &found.local, &found.peer);
    say_lines(l, &chat, &got);
    ask_and_end(l, &chatd, &chat, c);
    do { /* a slow reader */
        lab_sleep(2);
        ended = app_await(&chat, NULL, &got, 3);
    } while (!ended && got.len < 1000000);
    lab_expect(l, app_wait(l, &chat, 5000) == 0, "chat ended with exit code 0: everything was acknowledged");
    lab_expect(l, count(&got, "\"end\"") == 5,
               "all 5 answers came, though they were asked for right before the FIN");
    state_await(c, MODEL_CLIENT, TCP_STATE_TIME_WAIT, 1000);
    app_signal(&chatd, SIGTERM);
    app_wait(l, &chatd, 15000);
    lab_look(l);
    check_half_close(l, c);
    buf_deinit(&got);
}

const struct lab_kind lab_half_close = {
    .name = "half-close",
    .title = "one side ends, the other goes on: chat and chatd",
    .expect =
        "  chat asks five times for the room's history and ends its side: FIN. chatd answers all of it to a client that has\n"
        "  ended: the client's end is in FIN_WAIT_2, the server's in CLOSE_WAIT, and bytes come. Then chatd sends its FIN.\n",
    .run = run_half_close,
};

/* ---- three-or-four ---- */

#define TURNS 5 /* of each kind at most */

/* Segments from the first FIN on. */
static unsigned teardown_length(const struct lab_conn *c)
{
    bool is_on = false;
    unsigned n = 0;

    for (size_t i = 0; c->model != NULL && i < c->model->count; i++) {
        const struct model_event *e = &c->model->events[i];

        if (e->kind != MODEL_SEGMENT || e->segment.source != MODEL_CAPTURE)
            continue;
        is_on = is_on || (e->segment.flags & MODEL_FIN) != 0;
        n += is_on;
    }
    return n;
}

/* How long the client's FIN was unacknowledged. */
static double fin_wait_1_ms(const struct lab_conn *c)
{
    const struct model_segment *fin = wire_find(c, MODEL_CLIENT, MODEL_FIN, MODEL_FIN, 0), *s;

    for (unsigned i = 0; fin != NULL && (s = wire_find(c, MODEL_SERVER, MODEL_ACK, MODEL_ACK, i)) != NULL;
         i++) {
        if (s->time_ns > fin->time_ns && s->ack > fin->seq)
            return wire_ms(fin, s);
    }
    return 0;
}

/* A connection that has been talked on, so that its ends delay their ACKs. */
static struct lab_conn *open_warm(struct lab *l, const char *label)
{
    struct lab_conn *c = lab_open(l, label);

    for (int i = 0; i < 3; i++) {
        end_write(&c->client, 10);
        end_await(&c->server, POLLIN, 1000);
        end_read(&c->server);
        end_write(&c->server, 10);
        end_await(&c->client, POLLIN, 1000);
        end_read(&c->client);
    }
    lab_sleep(60); /* until nothing is unacknowledged */
    return c;
}

/* How long the server took for what it did at once, in ms: on a busy machine the kernel's ACK may be due
 * before. */
static double end_in_turn(struct lab_conn *c, bool quick_ack, unsigned wait_ms)
{
    uint64_t began = clock_mono_us();
    double took;

    end_shutdown(&c->client);
    end_await(&c->server, POLLIN | POLLRDHUP, 1000);
    end_read(&c->server);
    if (quick_ack)
        end_quick_ack(&c->server);
    took = (double)(clock_mono_us() - began) / 1e3;
    if (wait_ms > 0)
        lab_sleep(wait_ms);
    end_close(&c->server);
    if (wait_ms == 0)
        took = (double)(clock_mono_us() - began) / 1e3;
    end_await(&c->client, POLLIN | POLLRDHUP, 1000);
    end_read(&c->client);
    end_close(&c->client);
    return took;
}

/* Once more where this machine was too busy for "at once". */
static struct lab_conn *open_and_end(struct lab *l, const char *label, bool quick_ack, unsigned wait_ms,
                                     double at_once_ms)
{
    struct lab_conn *c;

    for (unsigned attempt = 1;; attempt++) {
        c = open_warm(l, label);
        if (end_in_turn(c, quick_ack, wait_ms) < at_once_ms || attempt == TURNS)
            return c;
        c->label = "an attempt in which this machine was too busy for \"at once\"";
    }
}

static void run_three_or_four(struct lab *l)
{
    struct lab_conn *at_once, *later, *quick;

    lab_listen(l, 8);
    at_once = open_and_end(l, "the server closes as soon as it sees the end", false, 0, 20);
    later = open_and_end(l, "the server closes 150 ms later", false, 150, 100);
    quick = open_and_end(l, "the server closes 150 ms later, and acknowledges at once (TCP_QUICKACK)", true,
                         150, 10);
    lab_look(l);
    lab_expect(l, teardown_length(at_once) == 3, "closing at once: %u segments, FIN; FIN,ACK; ACK",
               teardown_length(at_once));
    lab_expect(l, teardown_length(later) == 4, "closing later: %u segments, FIN; ACK; FIN; ACK",
               teardown_length(later));
    lab_expect(l, fin_wait_1_ms(later) > 15 && fin_wait_1_ms(later) < 140,
               "the client waited %.1f ms in FIN_WAIT_1: the kernel delays the ACK of a bare FIN",
               fin_wait_1_ms(later));
    lab_expect(l, teardown_length(quick) == 4 && fin_wait_1_ms(quick) < 15,
               "with TCP_QUICKACK: %u segments, FIN_WAIT_1 %.2f ms", teardown_length(quick),
               fin_wait_1_ms(quick));
}

const struct lab_kind lab_three_or_four = {
    .name = "three-or-four",
    .title = "the same end in three segments, or in four",
    .expect =
        "  Each direction ends by FIN and ACK: four segments. Where the second side ends before its kernel has sent the\n"
        "  ACK, both go in one: three. Four it is where the application waits, and how long FIN_WAIT_1 lasts depends on\n"
        "  when the kernel acknowledges.\n",
    .needs_network = true,
    .needs_wire = true,
    .run = run_three_or_four,
};

/* ---- simultaneous-close ---- */

#define ATTEMPTS 8

/* On one processor both ends' timers run out in the same moment, as those of two hosts that know nothing of
 * each other. */
static void stay_on_one_cpu(void)
{
    cpu_set_t one;

    CPU_ZERO(&one);
    CPU_SET((size_t)sched_getcpu(), &one);
    sched_setaffinity(0, sizeof one, &one);
}

static void wait_for_fins(struct lab_conn *c)
{
    for (int i = 0; i < 1000; i++) {
        enum tcp_state client = state_now(c, MODEL_CLIENT, NULL), server = state_now(c, MODEL_SERVER, NULL);

        if (client != TCP_STATE_FIN_WAIT_1 || server != TCP_STATE_FIN_WAIT_1)
            return;
        lab_sleep(1);
    }
}

/* Whether the FINs have crossed. */
static bool cross(struct lab *l, struct lab_conn *c)
{
    bool crossed;

    end_drop(&c->client, LAB_DROP_FIN);
    end_drop(&c->server, LAB_DROP_FIN);
    sched_yield(); /* a time slice of its own for the next two calls */
    tcp_shutdown_write(c->client.fd);
    tcp_shutdown_write(c->server.fd);
    end_did(&c->client, "shutdown(WR)", 0, NULL);
    end_did(&c->server, "shutdown(WR)", 0, NULL);
    end_drop(&c->client, LAB_DROP_ALL_BUT_FIN);
    end_drop(&c->server, LAB_DROP_ALL_BUT_FIN);
    wait_for_fins(c);
    lab_sleep(2);
    crossed = state_now(c, MODEL_CLIENT, NULL) == TCP_STATE_CLOSING &&
              state_now(c, MODEL_SERVER, NULL) == TCP_STATE_CLOSING;
    end_did(&c->client, "getsockopt", 0, "TCP_INFO");
    end_did(&c->server, "getsockopt", 0, "TCP_INFO");
    end_drop_none(&c->client);
    end_drop_none(&c->server);
    (void)l;
    return crossed;
}

static void run_simultaneous_close(struct lab *l)
{
    static const enum model_side sides[] = {MODEL_CLIENT, MODEL_SERVER};
    struct lab_conn *c = NULL;
    unsigned attempts = 0;
    bool crossed = false;

    stay_on_one_cpu();
    lab_listen(l, 8);
    for (; !crossed && attempts < ATTEMPTS; attempts++) {
        c = lab_open(l, "both sides end at the same time");
        crossed = cross(l, c);
        if (!crossed)
            c->label = "an attempt in which one FIN came before the other had gone";
    }
    for (int i = 0; i < 2; i++)
        state_await(c, sides[i], TCP_STATE_TIME_WAIT, 3000);
    lab_sleep(2);
    end_close(&c->client);
    end_close(&c->server);
    lab_look(l);
    for (int i = 0; i < 2; i++) {
        const char *who = sides[i] == MODEL_CLIENT ? "client" : "server";
        double ms = state_ms(c, sides[i], TCP_STATE_CLOSING);

        lab_expect(l, ms >= 0, "the %s's end was in CLOSING, says the kernel (%.1f ms)", who, ms);
        lab_expect(l, state_was(c, sides[i], TCP_STATE_TIME_WAIT),
                   "the %s's end is in TIME_WAIT, says the kernel", who);
    }
    lab_say(l, "it took %u of at most %d attempts", attempts, ATTEMPTS);
    if (l->has_wire)
        lab_expect(l, wire_find(c, MODEL_CLIENT, MODEL_FIN, MODEL_FIN, 1) != NULL,
                   "the FINs were sent again until they came through");
}

const struct lab_kind lab_simultaneous_close = {
    .name = "simultaneous-close",
    .title = "both sides send FIN before they get the other's",
    .expect =
        "  Each end is in FIN_WAIT_1 when the other's FIN comes, which does not acknowledge its own: CLOSING. When the ACKs\n"
        "  come, both go to TIME_WAIT. To make it happen the first FINs are dropped, so that they are sent again in the\n"
        "  same moment, and their ACKs are dropped for a while.\n",
    .run = run_simultaneous_close,
};

/* ---- orphan-fin-wait-2 ---- */

static void run_orphan(struct lab *l)
{
    struct lab_conn *c;
    double ms;
    long got;

    lab_set(l, "net.ipv4.tcp_fin_timeout", "2");
    lab_listen(l, 8);
    c = lab_open(l, "the client closes, the server does not");
    end_write(&c->client, 10);
    end_await(&c->server, POLLIN, 1000);
    end_read(&c->server);
    end_close(&c->client);
    end_await(&c->server, POLLIN | POLLRDHUP, 1000);
    end_read(&c->server);
    end_quick_ack(&c->server);
    lab_expect(l, state_await(c, MODEL_CLIENT, TCP_STATE_FIN_WAIT_2, 1500),
               "the client's end is in FIN_WAIT_2, and nobody's");
    lab_expect(l, state_await(c, MODEL_CLIENT, TCP_STATE_CLOSED, 5000), "then the kernel gave it up");
    lab_expect(l, state_now(c, MODEL_SERVER, NULL) == TCP_STATE_CLOSE_WAIT,
               "the server's end knows nothing of that: CLOSE_WAIT");
    end_write(&c->server, 10);
    end_await(&c->server, POLLRDHUP | POLLERR, 1000);
    got = end_write(&c->server, 10);
    lab_expect(l, got == -EPIPE, "when the server writes it gets RST, then EPIPE");
    end_close(&c->server);
    lab_look(l);
    ms = state_ms(c, MODEL_CLIENT, TCP_STATE_FIN_WAIT_2);
    lab_expect(l, ms > 1500 && ms < 4500, "FIN_WAIT_2 lasted about tcp_fin_timeout, 2 s: %.0f ms", ms);
    if (l->has_wire)
        lab_expect(l, wire_count(c, MODEL_CLIENT, MODEL_RST, MODEL_RST) == 1,
                   "the client's kernel answered the write with RST");
}

const struct lab_kind lab_orphan_fin_wait_2 = {
    .name = "orphan-fin-wait-2",
    .title = "the peer never ends: FIN_WAIT_2 without an owner",
    .expect =
        "  The client closes; the server's application never does. The client's end waits in FIN_WAIT_2 for a FIN, without\n"
        "  an owner, until tcp_fin_timeout (here 2 s); the server's end stays in CLOSE_WAIT.\n",
    .needs_network = true,
    .run = run_orphan,
};
