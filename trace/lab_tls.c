/* lab_tls.c: labs of TLS's own end, which stands above TCP's: chatd and chat, and between them, where
 * something is to go wrong, a relay that forwards bytes and understands nothing but the length of TLS
 * records. */
#include "common/buf.h"
#include "common/clock.h"
#include "trace/lab_kinds.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#define APPLICATION_DATA 0x17 /* a TLS record's type (RFC 8446, section 5.1): what is encrypted */
#define RECORD_HEAD      5

static void start_tls_chat(struct lab *l, struct lab_app *chat, const char *nick, uint16_t port)
{
    char hosts[sizeof l->dir + 32];
    const char *more[] = {"--tls", "--known-hosts", hosts, NULL};

    snprintf(hosts, sizeof hosts, "%s/%s.hosts", l->dir, nick);
    lab_start_chat(l, chat, nick, port, more);
}

/* ---- clean ---- */

static struct lab_conn *run_clean(struct lab *l, const struct lab_app *chatd)
{
    struct lab_app chat;
    struct diag_socket found;
    struct lab_conn *c;

    start_tls_chat(l, &chat, "clean", chatd->port);
    if (!app_await(&chat, "\"joined\"", NULL, 5000) || !lab_find_conn(l, chatd->port, 0, &found, 1000))
        lab_give_up(l, "chat has not joined");
    c = lab_adopt(l, "clean: close_notify, then FIN, from both", &found.local, &found.peer);
    app_end_input(&chat);
    app_await(&chat, NULL, NULL, 5000);
    lab_expect(l, app_wait(l, &chat, 5000) == 0, "clean: chat ended with exit code 0");
    lab_expect(l,
               app_logged(&chat, "event=send-close-notify") && app_logged(&chat, "event=recv-close-notify"),
               "clean: chat sent close_notify and got one");
    lab_expect(l, app_await_log(chatd, "event=recv-close-notify", 3000), "clean: so did chatd");
    return c;
}

/* ---- the relay ---- */

struct relay {
    struct lab_end *from_chat, *to_chatd; /* the server's end of one connection, the client's of another */
    struct buf held;                      /* from chat, not to be forwarded (yet) */
    bool holds;                           /* whether to keep what comes behind the handshake's last record */
};

static void forward(struct lab *l, struct lab_end *to, const char *data, size_t len)
{
    while (len > 0) {
        ssize_t n = tcp_write(to->fd, data, len);

        if (n == -EAGAIN) {
            end_await(to, POLLOUT, 1000);
            continue;
        }
        if (n < 0)
            lab_give_up(l, "the relay cannot write: %s", strerror((int)-n));
        end_did(to, "write", n, NULL);
        data += n;
        len -= (size_t)n;
    }
}

/* How much of what chat has sent is its side of the handshake: up to its first encrypted record, and with it
 * (its Finished). 0: that has not come yet whole, *ready: what can be forwarded meanwhile. */
static size_t handshake_length(const struct buf *b, size_t *ready)
{
    const unsigned char *at = (const unsigned char *)b->data;

    *ready = 0;
    while (b->len - *ready >= RECORD_HEAD) {
        size_t size = RECORD_HEAD + ((size_t)at[*ready + 3] << 8 | at[*ready + 4]);

        if (b->len - *ready < size)
            break;
        if (at[*ready] == APPLICATION_DATA)
            return *ready + size;
        *ready += size;
    }
    return 0;
}

/* Returns true when the relay has forwarded all that it is to forward. */
static bool relay_from_chat(struct lab *l, struct relay *r)
{
    ssize_t n = tcp_read(r->from_chat->fd, buf_reserve(&r->held, 32768), 32768);
    size_t length, ready;

    end_did(r->from_chat, "read", n, NULL);
    if (n <= 0)
        return false;
    r->held.len += (size_t)n;
    if (!r->holds) {
        forward(l, r->to_chatd, r->held.data, r->held.len);
        buf_clear(&r->held);
        return false;
    }
    length = handshake_length(&r->held, &ready);
    forward(l, r->to_chatd, r->held.data, length > 0 ? length : ready);
    memmove(r->held.data, r->held.data + ready, r->held.len - ready);
    r->held.len -= ready;
    return length > 0;
}

static void relay_from_chatd(struct lab *l, struct relay *r)
{
    char data[32768];
    ssize_t n = tcp_read(r->to_chatd->fd, data, sizeof data);

    end_did(r->to_chatd, "read", n, NULL);
    if (n > 0)
        forward(l, r->from_chat, data, (size_t)n);
}

/* Until `until` is in chat's output, or where that is NULL until chat's handshake is through. */
static void relay(struct lab *l, struct relay *r, struct lab_app *chat, const char *until)
{
    uint64_t deadline = clock_mono_us() + 5000000;

    while (clock_mono_us() < deadline) {
        struct pollfd p[2] = {{.fd = r->from_chat->fd, .events = POLLIN},
                              {.fd = r->to_chatd->fd, .events = POLLIN}};

        poll(p, 2, 5);
        if (p[0].revents != 0 && relay_from_chat(l, r) && until == NULL)
            return;
        if (p[1].revents != 0)
            relay_from_chatd(l, r);
        if (until != NULL && app_await(chat, until, NULL, 1))
            return;
    }
    lab_give_up(l, "the relayed connection did not get on");
}

/* chat connects to the relay, the relay to chatd. */
static void open_relay(struct lab *l, struct relay *r, struct lab_app *chat, const char *nick, uint16_t port,
                       const char *const labels[2])
{
    struct tcp_addr relay_at = l->at;

    start_tls_chat(l, chat, nick, relay_at.port);
    r->from_chat = &lab_accept_any(l, labels[0])->server;
    l->at.port = port;
    r->to_chatd = &lab_connect(l, labels[1])->client;
    l->at = relay_at;
    if (!end_await(r->to_chatd, POLLOUT, 1000))
        lab_give_up(l, "chatd cannot be connected to");
}

static void end_chat(struct lab *l, struct lab_app *chat)
{
    if (chat->in >= 0)
        app_end_input(chat);
    app_await(chat, NULL, NULL, 3000);
    app_wait(l, chat, 5000);
}

/* ---- truncated ---- */

static void run_truncated(struct lab *l, const struct lab_app *chatd)
{
    static const char *const labels[2] = {"truncated, chat's side: the relay says FIN, chatd never did",
                                          "truncated, chatd's side: the relay says FIN, chat never did"};
    struct lab_app chat;
    struct relay r = {0};

    open_relay(l, &r, &chat, "truncated", chatd->port, labels);
    relay(l, &r, &chat, "\"joined\"");
    end_shutdown(r.from_chat);
    end_shutdown(r.to_chatd);
    end_await(r.to_chatd, POLLRDHUP, 3000);
    end_chat(l, &chat);
    lab_expect(l, app_logged(&chat, "how=truncated"),
               "truncated: chat says so, and does not take it for an end");
    lab_expect(l, chat.exit_code != 0, "truncated: chat ended with exit code %d", chat.exit_code);
    end_close(r.from_chat);
    end_close(r.to_chatd);
    lab_expect(l, app_await_log(chatd, "how=truncated", 3000), "truncated: chatd says so");
    buf_deinit(&r.held);
}

/* ---- tickets unread ---- */

static struct lab_conn *run_tickets(struct lab *l, const struct lab_app *chatd)
{
    static const char *const labels[2] = {"tickets, chat's side of the relay",
                                          "tickets: a client that never reads closes behind the handshake"};
    struct lab_app chat;
    struct relay r = {.holds = true};
    int unread;

    open_relay(l, &r, &chat, "tickets", chatd->port, labels);
    relay(l, &r, &chat, NULL);
    unread = end_await_unread(r.to_chatd, 201, 1000);
    lab_expect(l, unread > 200,
               "tickets: %d bytes are unread: two session tickets, which chatd sent by itself", unread);
    end_close(r.to_chatd);
    end_close(r.from_chat);
    end_chat(l, &chat);
    lab_expect(l, app_await_log(chatd, "how=reset", 3000), "tickets: chatd got RST for it");
    buf_deinit(&r.held);
    return &l->conns[l->conn_count - 1];
}

/* ---- all three ---- */

static void run_tls_close(struct lab *l)
{
    static const char *const with_tickets[] = {"--tls-tickets", "2", NULL};
    struct lab_conn *clean, *tickets;
    struct lab_app chatd;

    lab_listen(l, 8);
    lab_start_chatd(l, &chatd, 0, with_tickets);
    clean = run_clean(l, &chatd);
    run_truncated(l, &chatd);
    tickets = run_tickets(l, &chatd);
    app_signal(&chatd, SIGTERM);
    app_wait(l, &chatd, 15000);
    lab_look(l);
    if (!l->has_wire)
        return;
    lab_expect(l, wire_resets(clean) == 0, "clean: no RST");
    lab_expect(l,
               wire_count(tickets, MODEL_CLIENT, MODEL_RST, MODEL_RST) == 1 &&
                   wire_count(tickets, MODEL_CLIENT, MODEL_FIN, MODEL_FIN) == 0,
               "tickets: the client's close() sent RST, no FIN");
}

const struct lab_kind lab_tls_close = {
    .name = "tls-close",
    .title = "TLS ends by close_notify; FIN alone is a truncation: chat and chatd",
    .expect =
        "  Clean: each side sends close_notify, encrypted, and then FIN. Truncated: a relay in the middle, which cannot\n"
        "  forge close_notify, sends a bare FIN to both; both know that something may be missing. Tickets: the server\n"
        "  sends session tickets unasked; a client that never reads and closes has unread input, so that its kernel\n"
        "  sends RST.\n",
    .run = run_tls_close,
};
