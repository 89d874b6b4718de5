/* lab_end.c: the calls on both ends of a lab's connections, each recorded with what came of it. See
 * lab_run.h. */
#include "common/mem.h"
#include "trace/lab.h"
#include "trace/lab_run.h"

#include <errno.h>
#include <linux/filter.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#define PATIENCE_MS 5000 /* for what should come at once */
#define FLAGS_AT    13   /* the flags' place in a TCP header */

static int64_t now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* ---- recording ---- */

static void record(struct lab_end *e, const char *call, long result, const char *detail, bool is_event)
{
    struct model_call c = {
        .time_ns = now_ns(), .side = e->side, .name = call, .detail = detail, .is_event = is_event};

    c.has_result = !is_event;
    c.result = result < 0 ? -1 : result;
    c.err = result < 0 ? (int)-result : 0;
    if (e->fd >= 0)
        tcp_get_facts(e->fd, &c.facts);
    if (e->conn->model != NULL)
        model_add_call(e->lab->model, e->conn->model, &c);
}

void end_did(struct lab_end *e, const char *call, long result, const char *detail)
{
    record(e, call, result, detail, false);
}

void end_note(struct lab_end *e, const char *text)
{
    struct model_note n = {.time_ns = now_ns(), .side = e->side, .kind = "note", .text = text};

    model_add_note(e->lab->model, e->conn->model, &n);
}

/* ---- opening ---- */

void lab_listen(struct lab *l, int backlog)
{
    struct tcp_addr any = {.family = AF_INET, .ip = {127, 0, 0, 1}};
    struct sockaddr_storage at;
    socklen_t len = tcp_addr_to(&any, &at);

    l->listener = tcp_listen((struct sockaddr *)&at, len, false, backlog);
    if (l->listener < 0)
        lab_give_up(l, "listen: %s", strerror(-l->listener));
    tcp_get_local(l->listener, &l->at);
}

static struct lab_conn *new_conn(struct lab *l, const char *label)
{
    struct lab_conn *c = &l->conns[l->conn_count];

    if (l->conn_count == LAB_CONNS)
        lab_give_up(l, "more than %d connections", LAB_CONNS);
    l->conn_count++;
    c->label = label;
    c->client = (struct lab_end){.lab = l, .conn = c, .side = MODEL_CLIENT, .fd = -1};
    c->server = (struct lab_end){.lab = l, .conn = c, .side = MODEL_SERVER, .fd = -1};
    return c;
}

/* What the ends of this connection are made to do is recorded. */
static void record_into(struct lab_conn *c)
{
    struct lab *l = c->client.lab;
    char origin[64];

    snprintf(origin, sizeof origin, "lab %s", l->kind->name);
    c->model = model_open_conn(l->model, origin, &c->client_addr, &c->server_addr);
}

struct lab_conn *lab_adopt(struct lab *l, const char *label, const struct tcp_addr *client,
                           const struct tcp_addr *server)
{
    struct lab_conn *c = new_conn(l, label);

    c->client_addr = *client;
    c->server_addr = *server;
    if (l->watch != NULL)
        watch_add(l->watch, client, server);
    return c;
}

struct lab_conn *lab_socket(struct lab *l, const char *label)
{
    struct tcp_addr any = {.family = AF_INET, .ip = {127, 0, 0, 1}}, local;
    struct sockaddr_storage from;
    socklen_t len = tcp_addr_to(&any, &from);
    int fd = tcp_socket(AF_INET);
    struct lab_conn *c;

    if (fd < 0 || bind(fd, (struct sockaddr *)&from, len) != 0)
        lab_give_up(l, "a socket for the client: %s", strerror(errno));
    tcp_get_local(fd, &local);
    c = lab_adopt(l, label, &local, &l->at);
    c->client.fd = fd;
    record_into(c);
    c->model->end[MODEL_CLIENT].cookie = tcp_get_cookie(fd);
    return c;
}

void lab_start_connect(struct lab_conn *c)
{
    struct sockaddr_storage to;
    socklen_t len = tcp_addr_to(&c->server_addr, &to);

    end_did(&c->client, "connect", tcp_connect(c->client.fd, (struct sockaddr *)&to, len), NULL);
}

struct lab_conn *lab_connect(struct lab *l, const char *label)
{
    struct lab_conn *c = lab_socket(l, label);

    lab_start_connect(c);
    return c;
}

static struct lab_conn *conn_of(struct lab *l, const struct tcp_addr *client)
{
    for (unsigned i = 0; i < l->conn_count; i++) {
        if (l->conns[i].client_addr.port == client->port)
            return &l->conns[i];
    }
    return NULL;
}

void lab_accept(struct lab_conn *wanted)
{
    struct lab *l = wanted->client.lab;

    while (wanted->server.fd < 0) {
        struct pollfd p = {.fd = l->listener, .events = POLLIN};
        struct tcp_addr peer;
        struct lab_conn *c;
        int fd;

        if (poll(&p, 1, PATIENCE_MS) != 1)
            lab_give_up(l, "the connection \"%s\" did not come", wanted->label);
        fd = tcp_accept(l->listener, &peer);
        c = fd >= 0 ? conn_of(l, &peer) : NULL;
        if (c == NULL)
            lab_give_up(l, "accept: %s", fd < 0 ? strerror(-fd) : "someone else's connection");
        c->server.fd = fd;
        c->model->end[MODEL_SERVER].cookie = tcp_get_cookie(fd);
        end_did(&c->server, "accept", fd, NULL);
    }
}

struct lab_conn *lab_accept_any(struct lab *l, const char *label)
{
    struct pollfd p = {.fd = l->listener, .events = POLLIN};
    struct tcp_addr peer;
    struct lab_conn *c;
    int fd;

    if (poll(&p, 1, PATIENCE_MS) != 1)
        lab_give_up(l, "the connection \"%s\" did not come", label);
    fd = tcp_accept(l->listener, &peer);
    if (fd < 0)
        lab_give_up(l, "accept: %s", strerror(-fd));
    c = lab_adopt(l, label, &peer, &l->at);
    record_into(c);
    c->server.fd = fd;
    c->model->end[MODEL_SERVER].cookie = tcp_get_cookie(fd);
    end_did(&c->server, "accept", fd, NULL);
    return c;
}

struct lab_conn *lab_open(struct lab *l, const char *label)
{
    struct lab_conn *c = lab_connect(l, label);

    lab_accept(c);
    tcp_set_nodelay(c->client.fd);
    tcp_set_nodelay(c->server.fd);
    return c;
}

/* ---- reading, writing, ending ---- */

long end_write(struct lab_end *e, size_t n)
{
    char *data = mem_alloc(n);
    long result;

    memset(data, 'x', n);
    result = tcp_write(e->fd, data, n);
    free(data);
    end_did(e, "write", result, NULL);
    return result;
}

long end_read(struct lab_end *e)
{
    static char data[1 << 17];
    long result = tcp_read(e->fd, data, sizeof data);

    end_did(e, "read", result, NULL);
    return result;
}

long end_shutdown(struct lab_end *e)
{
    long result = tcp_shutdown_write(e->fd);

    end_did(e, "shutdown(WR)", result, NULL);
    return result;
}

static long did_close(struct lab_end *e, const char *call, long result, const char *detail)
{
    e->fd = -1;
    end_did(e, call, result, detail);
    return result;
}

static int unread_at(const struct lab_end *e)
{
    int n = 0;

    return ioctl(e->fd, FIONREAD, &n) == 0 ? n : 0;
}

long end_close(struct lab_end *e)
{
    char unread[32];
    int n = unread_at(e);

    snprintf(unread, sizeof unread, "unread=%d", n);
    return did_close(e, "close", tcp_close(e->fd), n > 0 ? unread : NULL);
}

long end_close_reset(struct lab_end *e)
{
    return did_close(e, "close", tcp_close_reset(e->fd), "SO_LINGER{1,0}");
}

bool end_await(struct lab_end *e, short events, unsigned ms)
{
    static const struct {
        short bit;
        const char *name;
    } words[] = {{POLLIN, "IN"}, {POLLOUT, "OUT"}, {POLLRDHUP, "RDHUP"}, {POLLHUP, "HUP"}, {POLLERR, "ERR"}};
    struct pollfd p = {.fd = e->fd, .events = events};
    char text[32] = "";

    if (poll(&p, 1, (int)ms) != 1)
        return false;
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        if ((p.revents & words[i].bit) != 0) {
            strcat(text, text[0] != '\0' ? "|" : "");
            strcat(text, words[i].name);
        }
    }
    record(e, text, 0, NULL, true);
    return true;
}

int end_await_unread(struct lab_end *e, int bytes, unsigned ms)
{
    end_await(e, POLLIN, ms);
    for (unsigned waited = 0; waited < ms && unread_at(e) < bytes; waited++)
        lab_sleep(1);
    return unread_at(e);
}

bool end_await_acked(const struct lab_end *e, unsigned ms)
{
    struct tcp_facts facts;

    for (unsigned waited = 0; tcp_get_facts(e->fd, &facts) == 0 && waited < ms; waited++) {
        if (facts.unacked == 0 && facts.unsent == 0)
            return true;
        lab_sleep(1);
    }
    return false;
}

void end_quick_ack(struct lab_end *e)
{
    tcp_ack_at_once(e->fd);
    end_did(e, "setsockopt", 0, "TCP_QUICKACK");
}

void end_set(struct lab_end *e, int level, int option, int value)
{
    if (setsockopt(e->fd, level, option, &value, sizeof value) != 0)
        lab_give_up(e->lab, "setsockopt %d: %s", option, strerror(errno));
}

/* ---- dropping ---- */

static void attach(int fd, struct sock_filter *code, unsigned short len)
{
    struct sock_fprog program = {.len = len, .filter = code};

    if (setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program) == 0)
        return;
    printf(
        "  skipped: this lab drops segments, which this host does not let one do here (SO_ATTACH_FILTER: %s)\n\n",
        strerror(errno));
    fflush(stdout);
    _exit(LAB_SKIPPED);
}

void lab_drop(int fd, enum lab_drop what)
{
    enum { PASS = 0x40000 };
    struct sock_filter all[] = {BPF_STMT(BPF_RET | BPF_K, 0)};
    struct sock_filter with_fin[] = {
        BPF_STMT(BPF_LD | BPF_B | BPF_ABS, FLAGS_AT),
        BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, MODEL_FIN, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, 0),
        BPF_STMT(BPF_RET | BPF_K, PASS),
    };
    struct sock_filter without_fin[] = {
        BPF_STMT(BPF_LD | BPF_B | BPF_ABS, FLAGS_AT),
        BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, MODEL_FIN, 1, 0),
        BPF_STMT(BPF_RET | BPF_K, 0),
        BPF_STMT(BPF_RET | BPF_K, PASS),
    };
    struct sock_filter bare_ack[] = {
        BPF_STMT(BPF_LD | BPF_B | BPF_ABS, FLAGS_AT),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, MODEL_ACK, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, 0),
        BPF_STMT(BPF_RET | BPF_K, PASS),
    };

    switch (what) {
    case LAB_DROP_ALL:
        attach(fd, all, sizeof all / sizeof *all);
        break;
    case LAB_DROP_FIN:
        attach(fd, with_fin, sizeof with_fin / sizeof *with_fin);
        break;
    case LAB_DROP_ALL_BUT_FIN:
        attach(fd, without_fin, sizeof without_fin / sizeof *without_fin);
        break;
    case LAB_DROP_BARE_ACK:
        attach(fd, bare_ack, sizeof bare_ack / sizeof *bare_ack);
        break;
    }
}

void lab_drop_none(int fd)
{
    int unused = 0;

    setsockopt(fd, SOL_SOCKET, SO_DETACH_FILTER, &unused, sizeof unused);
}

void end_drop(struct lab_end *e, enum lab_drop what)
{
    static const char *const texts[] = {"(gets no segment)", "(gets no FIN)", "(gets FINs only)",
                                        "(gets no bare ACK)"};

    lab_drop(e->fd, what);
    end_note(e, texts[what]);
}

void end_drop_none(struct lab_end *e)
{
    lab_drop_none(e->fd);
    end_note(e, "(gets all again)");
}
