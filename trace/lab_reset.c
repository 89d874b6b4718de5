/* lab_reset.c: labs of connections that end by RST, and of how not to. */
#include "trace/lab_kinds.h"

#include <errno.h>

/* ---- rst-unread ---- */

static void run_rst_unread(struct lab *l)
{
    struct lab_conn *c;
    long got;

    lab_listen(l, 8);
    c = lab_open(l, "the server closes with 27 bytes unread");
    end_write(&c->client, 27);
    lab_expect(l, end_await_unread(&c->server, 27, 1000) == 27 && end_await_acked(&c->client, 1000),
               "the server's kernel has acknowledged 27 bytes that nobody has read");
    end_close(&c->server);
    end_await(&c->client, POLLIN | POLLRDHUP, 1000);
    got = end_read(&c->client);
    lab_expect(l, got == -ECONNRESET, "the client's read() says ECONNRESET");
    lab_expect(l,
               state_now(c, MODEL_CLIENT, NULL) == TCP_STATE_CLOSED &&
                   state_now(c, MODEL_SERVER, NULL) == TCP_STATE_CLOSED,
               "neither end is left in any state");
    end_close(&c->client);
    lab_look(l);
    if (!l->has_wire)
        return;
    lab_expect(l, wire_count(c, MODEL_SERVER, MODEL_RST, MODEL_RST) == 1, "the server has sent RST");
    lab_expect(l, wire_count(c, MODEL_SERVER, MODEL_FIN, MODEL_FIN) == 0, "and no FIN");
}

const struct lab_kind lab_rst_unread = {
    .name = "rst-unread",
    .title = "close() with unread input sends RST",
    .expect =
        "  The server closes while 27 bytes wait that it has not read. Its kernel sends RST, not FIN, so that the client\n"
        "  learns that something was lost: ECONNRESET, no TIME_WAIT.\n",
    .run = run_rst_unread,
};

/* ---- lingering-close ---- */

static void run_lingering_close(struct lab *l)
{
    struct lab_conn *c;
    long got;

    lab_listen(l, 8);
    c = lab_open(l, "the server says FIN, reads what is there, then closes");
    end_write(&c->client, 27);
    end_await(&c->server, POLLIN, 1000);
    end_write(&c->server, 40);
    end_shutdown(&c->server);
    lab_expect(l, end_read(&c->server) == 27, "after its FIN the server still reads: 27 bytes");
    end_await(&c->client, POLLIN | POLLRDHUP, 1000);
    got = end_read(&c->client);
    lab_expect(l, got == 40 && end_read(&c->client) == 0, "the client has read %ld bytes, then the end", got);
    end_close(&c->client);
    end_await(&c->server, POLLIN | POLLRDHUP, 1000);
    lab_expect(l, end_read(&c->server) == 0, "the server reads the client's end, and only now closes");
    end_close(&c->server);
    lab_expect(l, state_await(c, MODEL_SERVER, TCP_STATE_TIME_WAIT, 1000),
               "the server, who ended first, is in TIME_WAIT");
    lab_look(l);
    if (!l->has_wire)
        return;
    lab_expect(l, wire_resets(c) == 0, "there was no RST");
    lab_expect(l,
               wire_count(c, MODEL_SERVER, MODEL_FIN, MODEL_FIN) == 1 &&
                   wire_count(c, MODEL_CLIENT, MODEL_FIN, MODEL_FIN) == 1,
               "each side sent one FIN");
}

const struct lab_kind lab_lingering_close = {
    .name = "lingering-close",
    .title = "FIN first, drain, then close: nothing is lost",
    .expect =
        "  As in rst-unread, 27 bytes are unread when the server wants to end. It sends its FIN by shutdown(SHUT_WR), reads\n"
        "  until the client's end, and closes only then: no RST, and both have everything.\n",
    .run = run_lingering_close,
};

/* ---- linger-zero ---- */

static void run_linger_zero(struct lab *l)
{
    struct lab_conn *reset, *usual;

    lab_listen(l, 8);
    usual = lab_open(l, "a close as usual, to compare with");
    end_close(&usual->client);
    end_await(&usual->server, POLLIN | POLLRDHUP, 1000);
    end_close(&usual->server);
    reset = lab_open(l, "close() with SO_LINGER{1,0}");
    end_write(&reset->client, 27);
    end_await(&reset->server, POLLIN, 1000);
    end_read(&reset->server);
    end_close_reset(&reset->client);
    end_await(&reset->server, POLLIN | POLLRDHUP, 1000);
    lab_expect(l, end_read(&reset->server) == -ECONNRESET, "the server's read() says ECONNRESET");
    end_close(&reset->server);
    lab_expect(l, state_await(usual, MODEL_CLIENT, TCP_STATE_TIME_WAIT, 1000),
               "after the usual close there is a TIME_WAIT");
    lab_expect(l,
               state_now(reset, MODEL_CLIENT, NULL) == TCP_STATE_CLOSED &&
                   state_now(reset, MODEL_SERVER, NULL) == TCP_STATE_CLOSED,
               "after this one there is none, on either side");
    lab_look(l);
    if (!l->has_wire)
        return;
    lab_expect(l, wire_count(reset, MODEL_CLIENT, MODEL_RST, MODEL_RST) == 1, "the client has sent RST");
    lab_expect(l, wire_count(reset, MODEL_CLIENT, MODEL_FIN, MODEL_FIN) == 0, "and no FIN");
}

const struct lab_kind lab_linger_zero = {
    .name = "linger-zero",
    .title = "SO_LINGER{1,0}: close() sends RST",
    .expect =
        "  With SO_LINGER on and a time of zero, close() throws away what is unsent and sends RST. No TIME_WAIT is left,\n"
        "  which is why some use it, and the peer gets ECONNRESET, which is why one should not.\n",
    .run = run_linger_zero,
};
