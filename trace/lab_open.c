/* lab_open.c: labs of how a connection begins: three segments, and what becomes of it where one of them does
 * not come. */
#include "trace/lab_kinds.h"
#include "trace/netns.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>

enum { SYN_ACK = MODEL_SYN | MODEL_ACK };

/* ---- handshake ---- */

/* The client's initial sequence number as the server's kernel has kept it (TCP_SAVED_SYN); 0: it has not. */
static uint32_t saved_isn(int fd)
{
    unsigned char headers[128];
    socklen_t len = sizeof headers;
    unsigned at;

    if (getsockopt(fd, IPPROTO_TCP, TCP_SAVED_SYN, headers, &len) != 0 || len < 40)
        return 0;
    at = (headers[0] & 0x0fU) * 4 + 4;
    return (uint32_t)headers[at] << 24 | (uint32_t)headers[at + 1] << 16 | (uint32_t)headers[at + 2] << 8 |
           headers[at + 3];
}

static void check_handshake(struct lab *l, const struct lab_conn *c, uint32_t saved)
{
    const struct model_segment *syn = wire_find(c, MODEL_CLIENT, SYN_ACK, MODEL_SYN, 0);
    const struct model_segment *answer = wire_find(c, MODEL_SERVER, SYN_ACK, SYN_ACK, 0);
    const struct model_segment *ack = wire_find(c, MODEL_CLIENT, SYN_ACK, MODEL_ACK, 0);
    uint32_t j, k;

    lab_expect(l, syn != NULL && answer != NULL && ack != NULL,
               "three segments: SYN, then SYN,ACK, then ACK");
    if (syn == NULL || answer == NULL || ack == NULL)
        return;
    j = c->model->end[MODEL_CLIENT].isn;
    k = c->model->end[MODEL_SERVER].isn;
    lab_say(l, "1. client to server: SYN      seq = J = %u", j);
    lab_say(l, "2. server to client: SYN,ACK  seq = K = %u   ack = J+1 = %u", k, j + answer->ack);
    lab_say(l, "3. client to server: ACK      seq = J+1 = %u   ack = K+1 = %u", j + ack->seq, k + ack->ack);
    lab_expect(l, answer->ack == 1 && ack->ack == 1 && ack->seq == 1,
               "each side acknowledges the other's number plus one");
    lab_expect(l, syn->len == 0 && answer->len == 0 && ack->len == 0, "none of the three carries data");
    lab_expect(l, saved == j, "the server's kernel kept the same J of the SYN: TCP_SAVED_SYN says %u", saved);
}

static void run_handshake(struct lab *l)
{
    struct lab_conn *c;
    uint32_t saved;
    int on = 1;

    lab_listen(l, 8);
    setsockopt(l->listener, IPPROTO_TCP, TCP_SAVE_SYN, &on, sizeof on);
    c = lab_open(l, "a connection opens");
    saved = saved_isn(c->server.fd);
    lab_expect(l, state_now(c, MODEL_CLIENT, NULL) == TCP_STATE_ESTABLISHED,
               "the client's end is ESTABLISHED");
    lab_expect(l, state_now(c, MODEL_SERVER, NULL) == TCP_STATE_ESTABLISHED,
               "the server's end is ESTABLISHED");
    lab_look(l);
    if (l->has_wire)
        check_handshake(l, c, saved);
    else
        lab_expect(l, saved != 0, "the server's kernel kept the client's number: J = %u", saved);
}

const struct lab_kind lab_handshake = {
    .name = "handshake",
    .title = "three segments open a connection",
    .expect =
        "  The client sends SYN with a number J of its choice and is in SYN_SENT. The server answers SYN,ACK: a number K\n"
        "  of its own, and ack = J+1. The client sends ACK with ack = K+1. No data, and both are ESTABLISHED.\n"
        "  On one machine SYN_SENT is over before connect() returns (lab syn-lost holds it).\n",
    .run = run_handshake,
};

/* ---- syn-lost ---- */

static void run_syn_lost(struct lab *l)
{
    const struct model_segment *first, *second;
    struct lab_conn *c;
    double ms;

    lab_listen(l, 8);
    lab_drop(l->listener, LAB_DROP_ALL);
    c = lab_connect(l, "the first SYN is lost");
    lab_sleep(400);
    lab_expect(l, state_now(c, MODEL_CLIENT, NULL) == TCP_STATE_SYN_SENT,
               "400 ms after connect() the client is in SYN_SENT");
    lab_expect(l, state_now(c, MODEL_SERVER, NULL) == TCP_STATE_CLOSED, "the server knows nothing of it");
    lab_drop_none(l->listener);
    end_await(&c->client, POLLOUT, 4000);
    lab_accept(c);
    lab_look(l);
    ms = state_ms(c, MODEL_CLIENT, TCP_STATE_SYN_SENT);
    first = wire_find(c, MODEL_CLIENT, SYN_ACK, MODEL_SYN, 0);
    second = wire_find(c, MODEL_CLIENT, SYN_ACK, MODEL_SYN, 1);
    lab_expect(l, ms > 800 && ms < 3800, "SYN_SENT lasted until the SYN went again: %.0f ms", ms);
    lab_expect(l, state_was(c, MODEL_SERVER, TCP_STATE_ESTABLISHED), "then the connection opened");
    if (!l->has_wire)
        return;
    lab_expect(l, second != NULL && first->seq == second->seq, "the SYN went again, with the same number");
    lab_expect(l, wire_ms(first, second) > 900 && wire_ms(first, second) < 1500,
               "about a second later: after %.0f ms", wire_ms(first, second));
}

const struct lab_kind lab_syn_lost = {
    .name = "syn-lost",
    .title = "the SYN gets no answer and is sent again",
    .expect =
        "  The server drops the client's SYN. The client stays in SYN_SENT and sends it again after about a second;\n"
        "  that one is answered.\n",
    .run = run_syn_lost,
};

/* ---- syn-received ---- */

static void run_syn_received(struct lab *l)
{
    const struct model_segment *first, *second;
    struct lab_conn *c;
    double ms;

    lab_listen(l, 8);
    c = lab_socket(l, "the SYN,ACK is lost");
    end_drop(&c->client, LAB_DROP_ALL);
    lab_start_connect(c);
    lab_sleep(400);
    lab_expect(l, state_now(c, MODEL_SERVER, NULL) == TCP_STATE_SYN_RECEIVED,
               "400 ms later the server holds it in SYN_RECEIVED, with no descriptor");
    lab_expect(l, state_now(c, MODEL_CLIENT, NULL) == TCP_STATE_SYN_SENT, "the client is in SYN_SENT still");
    end_drop_none(&c->client);
    end_await(&c->client, POLLOUT, 4000);
    lab_accept(c);
    lab_look(l);
    ms = state_ms(c, MODEL_SERVER, TCP_STATE_SYN_RECEIVED);
    lab_expect(l, ms > 300, "SYN_RECEIVED lasted %.0f ms", ms);
    lab_expect(l, state_was(c, MODEL_CLIENT, TCP_STATE_ESTABLISHED), "then the connection opened");
    if (!l->has_wire)
        return;
    first = wire_find(c, MODEL_SERVER, SYN_ACK, SYN_ACK, 0);
    second = wire_find(c, MODEL_SERVER, SYN_ACK, SYN_ACK, 1);
    lab_expect(l, second != NULL, "the SYN,ACK went again");
    lab_expect(l, wire_ms(first, second) > 700 && wire_ms(first, second) < 1800,
               "about a second later: after %.0f ms", wire_ms(first, second));
}

const struct lab_kind lab_syn_received = {
    .name = "syn-received",
    .title = "the SYN,ACK gets no answer and is sent again",
    .expect =
        "  The client drops the server's SYN,ACK. The server holds the connection in SYN_RECEIVED, which only inet_diag\n"
        "  shows, as no descriptor exists yet, and sends its SYN,ACK again after about a second.\n",
    .run = run_syn_received,
};

/* ---- backlog ---- */

static void check_backlog(struct lab *l, struct lab_conn *const c[5])
{
    struct tcp_facts facts;

    for (unsigned i = 0; i < 2; i++)
        lab_expect(l, state_now(c[i], MODEL_SERVER, NULL) == TCP_STATE_ESTABLISHED,
                   "client %u is ESTABLISHED at the server and waits for accept()", i + 1);
    tcp_get_facts(c[2]->client.fd, &facts);
    lab_expect(l,
               facts.state == TCP_STATE_ESTABLISHED &&
                   state_now(c[2], MODEL_SERVER, NULL) == TCP_STATE_SYN_RECEIVED,
               "client 3 believes it is ESTABLISHED; the server has it in SYN_RECEIVED");
    for (unsigned i = 3; i < 5; i++) {
        tcp_get_facts(c[i]->client.fd, &facts);
        lab_expect(
            l, facts.state == TCP_STATE_SYN_SENT && state_now(c[i], MODEL_SERVER, NULL) == TCP_STATE_CLOSED,
            "client %u is in SYN_SENT: its SYN was dropped without a word", i + 1);
    }
}

static void run_backlog(struct lab *l)
{
    static const char *const labels[] = {"client 1", "client 2", "client 3", "client 4", "client 5"};
    struct lab_conn *c[5];

    lab_listen(l, 8);
    lab_drop(l->listener, LAB_DROP_BARE_ACK); /* so that three are on their way at once */
    for (unsigned i = 0; i < 3; i++)
        c[i] = lab_connect(l, labels[i]);
    listen(l->listener, 1); /* had it been 1 before, the second SYN would have been answered by a cookie */
    lab_drop_none(l->listener);
    for (unsigned i = 0; i < 3; i++)
        end_write(&c[i]->client, 1); /* with it comes the ACK */
    state_await(c[0], MODEL_SERVER, TCP_STATE_ESTABLISHED, 1000);
    state_await(c[1], MODEL_SERVER, TCP_STATE_ESTABLISHED, 1000);
    for (unsigned i = 3; i < 5; i++) {
        c[i] = lab_connect(l, labels[i]);
        state_await(c[i], MODEL_CLIENT, TCP_STATE_SYN_SENT, 1000);
    }
    lab_sleep(20); /* in which nothing answers them */
    check_backlog(l, c);
    lab_accept(c[0]);
    lab_accept(c[1]);
    lab_look(l);
    if (l->has_wire)
        lab_expect(l, wire_count(c[4], MODEL_SERVER, 0, 0) == 0, "no segment ever answered client 5");
}

const struct lab_kind lab_backlog = {
    .name = "backlog",
    .title = "more clients than listen(1) lets wait",
    .expect =
        "  Five clients, listen(1), no accept(). Two connections are completed and wait. A third one's handshake was on its\n"
        "  way: it has its SYN,ACK, so that it is ESTABLISHED for the client, and the server keeps it in SYN_RECEIVED.\n"
        "  For two more the SYN is dropped: SYN_SENT.\n",
    .run = run_backlog,
};

/* ---- fast-open ---- */

static void run_fast_open(struct lab *l)
{
    static const char hello[] = "hello, in the SYN";
    const struct model_segment *syn, *answer;
    struct sockaddr_storage to;
    struct lab_conn *c;
    socklen_t len;
    int queue = 8;
    long sent, got;

    lab_set(l, "net.ipv4.tcp_fastopen", "519"); /* both sides, and no cookie asked for on either */
    lab_listen(l, 8);
    setsockopt(l->listener, IPPROTO_TCP, TCP_FASTOPEN, &queue, sizeof queue);
    c = lab_socket(l, "data in the SYN");
    len = tcp_addr_to(&c->server_addr, &to);
    sent = sendto(c->client.fd, hello, sizeof hello - 1, MSG_FASTOPEN, (struct sockaddr *)&to, len);
    end_did(&c->client, "sendto(FASTOPEN)", sent < 0 ? -errno : sent, NULL);
    lab_accept(c);
    end_await(&c->server, POLLIN, 1000);
    got = end_read(&c->server);
    lab_expect(l, got == (long)sizeof hello - 1, "the server has read %ld bytes right after accept()", got);
    lab_look(l);
    syn = wire_find(c, MODEL_CLIENT, SYN_ACK, MODEL_SYN, 0);
    answer = wire_find(c, MODEL_SERVER, SYN_ACK, SYN_ACK, 0);
    if (!l->has_wire)
        return;
    lab_expect(l, syn != NULL && syn->len == sizeof hello - 1, "the SYN carries %u bytes of data",
               syn != NULL ? syn->len : 0);
    lab_expect(l, answer != NULL && answer->ack == sizeof hello, "the SYN,ACK acknowledges them: ack = J+%u",
               answer != NULL ? answer->ack : 0);
}

const struct lab_kind lab_fast_open = {
    .name = "fast-open",
    .title = "TCP Fast Open: data in the SYN",
    .expect =
        "  \"The handshake carries no data\" is the default, not a law: with TCP Fast Open (RFC 7413) the SYN has the\n"
        "  client's first bytes, and the SYN,ACK acknowledges them.\n",
    .needs_network = true,
    .run = run_fast_open,
};
