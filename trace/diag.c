/* diag.c: see diag.h. Netlink messages are taken one datagram at a time into a buffer on the stack. */
#include "trace/diag.h"

#include "common/mem.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <linux/tcp.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ANSWER_SIZE 32768
#define NO_COOKIE   0xffffffffU

struct diag {
    int fd;
    uint32_t turn; /* a sequence number for requests */
};

struct request {
    struct nlmsghdr head;
    struct inet_diag_req_v2 body;
};

/* Index: the kernel's number. */
static const enum tcp_state states[] = {
    TCP_STATE_UNKNOWN,      TCP_STATE_ESTABLISHED, TCP_STATE_SYN_SENT,  TCP_STATE_SYN_RECEIVED,
    TCP_STATE_FIN_WAIT_1,   TCP_STATE_FIN_WAIT_2,  TCP_STATE_TIME_WAIT, TCP_STATE_CLOSED,
    TCP_STATE_CLOSE_WAIT,   TCP_STATE_LAST_ACK,    TCP_STATE_LISTEN,    TCP_STATE_CLOSING,
    TCP_STATE_SYN_RECEIVED,
};

enum { KERNEL_LISTEN = 10 };

static int open_netlink(void)
{
    struct sockaddr_nl local = {.nl_family = AF_NETLINK};
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG), err;

    if (fd < 0)
        return -errno;
    if (bind(fd, (struct sockaddr *)&local, sizeof local) == 0)
        return fd;
    err = -errno;
    close(fd);
    return err;
}

struct diag *diag_new(void)
{
    struct diag *d;
    int fd = open_netlink();

    if (fd < 0) {
        errno = -fd;
        return NULL;
    }
    d = mem_zalloc(sizeof *d);
    d->fd = fd;
    return d;
}

void diag_free(struct diag *d)
{
    if (d == NULL)
        return;
    close(d->fd);
    free(d);
}

/* ---- answers ---- */

static void take_addr(struct tcp_addr *a, uint8_t family, const __be32 ip[4], __be16 port)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = port, .sin_addr.s_addr = ip[0]};
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = port};

    memcpy(&in6.sin6_addr, ip, 16);
    tcp_addr_from(a, family == AF_INET6 ? (struct sockaddr *)&in6 : (struct sockaddr *)&in);
}

static void take_info(struct diag_socket *s, const void *data, size_t len)
{
    struct tcp_info info;

    memset(&info, 0, sizeof info); /* an older kernel fills less of it */
    memcpy(&info, data, len < sizeof info ? len : sizeof info);
    s->has_info = true;
    s->backoff = info.tcpi_backoff;
    s->probes = info.tcpi_probes;
    s->send_window = info.tcpi_snd_wnd;
    s->facts.state = s->state;
    s->facts.source = "sock_diag";
    s->facts.rtt_us = info.tcpi_rtt;
    s->facts.rto_us = info.tcpi_rto;
    s->facts.unacked = info.tcpi_unacked;
    s->facts.retransmits = info.tcpi_retransmits;
    s->facts.total_retrans = info.tcpi_total_retrans;
    s->facts.unsent = info.tcpi_notsent_bytes;
    s->facts.bytes_acked = info.tcpi_bytes_acked;
    s->facts.bytes_received = info.tcpi_bytes_received;
}

static bool take_socket(const struct nlmsghdr *head, struct diag_socket *s)
{
    const struct inet_diag_msg *m = NLMSG_DATA(head);
    const char *at = (const void *)(m + 1), *end = (const char *)head + head->nlmsg_len;

    *s = (struct diag_socket){0};
    if (head->nlmsg_len < NLMSG_LENGTH(sizeof *m))
        return false;
    take_addr(&s->local, m->idiag_family, m->id.idiag_src, m->id.idiag_sport);
    take_addr(&s->peer, m->idiag_family, m->id.idiag_dst, m->id.idiag_dport);
    s->cookie = (uint64_t)m->id.idiag_cookie[1] << 32 | m->id.idiag_cookie[0];
    s->state = m->idiag_state < sizeof states / sizeof *states ? states[m->idiag_state] : TCP_STATE_UNKNOWN;
    s->inode = m->idiag_inode;
    s->timer = m->idiag_timer;
    s->retransmits = m->idiag_retrans;
    s->expires_ms = m->idiag_expires;
    s->unread = m->idiag_rqueue;
    s->unsent = m->idiag_wqueue;
    while (end - at >= (ptrdiff_t)sizeof(struct rtattr)) {
        const struct rtattr *a = (const void *)at;

        if (a->rta_len < sizeof *a || a->rta_len > end - at)
            break;
        if (a->rta_type == INET_DIAG_INFO)
            take_info(s, RTA_DATA(a), RTA_PAYLOAD(a));
        at += RTA_ALIGN(a->rta_len);
    }
    return true;
}

/* ---- questions ---- */

static int ask(struct diag *d, struct request *r, uint16_t flags)
{
    const struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};

    r->head = (struct nlmsghdr){.nlmsg_len = sizeof *r,
                                .nlmsg_type = SOCK_DIAG_BY_FAMILY,
                                .nlmsg_flags = (uint16_t)(NLM_F_REQUEST | flags),
                                .nlmsg_seq = ++d->turn};
    r->body.sdiag_protocol = IPPROTO_TCP;
    r->body.idiag_ext = 1 << (INET_DIAG_INFO - 1);
    return sendto(d->fd, r, sizeof *r, 0, (const struct sockaddr *)&kernel, sizeof kernel) < 0 ? -errno : 0;
}

/* The next datagram of the answer. Its length, or -errno. */
static ssize_t take_answer(int fd, void *to, size_t size)
{
    ssize_t n;

    do
        n = recv(fd, to, size, 0);
    while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : n;
}

static int error_of(const struct nlmsghdr *head)
{
    const struct nlmsgerr *e = NLMSG_DATA(head);

    return head->nlmsg_len >= NLMSG_LENGTH(sizeof *e) ? e->error : -EPROTO;
}

int diag_find(struct diag *d, const struct tcp_addr *local, const struct tcp_addr *peer,
              struct diag_socket *s)
{
    _Alignas(struct nlmsghdr) char answer[ANSWER_SIZE];
    struct request r = {.body = {.sdiag_family = (uint8_t)local->family}};
    const struct nlmsghdr *head = (const void *)answer;
    size_t len = local->family == AF_INET6 ? 16 : 4;
    ssize_t n;
    int err;

    memcpy(r.body.id.idiag_src, local->ip, len);
    memcpy(r.body.id.idiag_dst, peer->ip, len);
    r.body.id.idiag_sport = htons(local->port);
    r.body.id.idiag_dport = htons(peer->port);
    r.body.id.idiag_cookie[0] = r.body.id.idiag_cookie[1] = NO_COOKIE;
    r.body.idiag_states = ~0U;
    err = ask(d, &r, 0);
    if (err != 0)
        return err;
    n = take_answer(d->fd, answer, sizeof answer);
    if (n < 0)
        return (int)n;
    if (!NLMSG_OK(head, (size_t)n))
        return -EPROTO;
    if (head->nlmsg_type == NLMSG_ERROR)
        return error_of(head);
    if (!take_socket(head, s) || s->state == TCP_STATE_LISTEN || s->peer.port != peer->port)
        return -ENOENT; /* the listener answers for a connection that is not there */
    return 0;
}

/* One datagram of a dump. 1: more to come; 0: that was all; -errno. */
static int take_dump(const char *answer, size_t len, diag_each_fn *each, void *arg, bool *wanted)
{
    for (const struct nlmsghdr *head = (const void *)answer; NLMSG_OK(head, len);
         head = NLMSG_NEXT(head, len)) {
        struct diag_socket s;

        if (head->nlmsg_type == NLMSG_DONE)
            return 0;
        if (head->nlmsg_type == NLMSG_ERROR)
            return error_of(head);
        if (*wanted && take_socket(head, &s))
            *wanted = each(&s, arg);
    }
    return 1;
}

int diag_each(struct diag *d, int family, diag_each_fn *each, void *arg)
{
    _Alignas(struct nlmsghdr) char answer[ANSWER_SIZE];
    struct request r = {.body = {.sdiag_family = (uint8_t)family, .idiag_states = ~(1U << KERNEL_LISTEN)}};
    bool wanted = true;
    int more = ask(d, &r, NLM_F_DUMP);

    if (more < 0)
        return more;
    do {
        ssize_t n = take_answer(d->fd, answer, sizeof answer);

        more = n < 0 ? (int)n : take_dump(answer, (size_t)n, each, arg, &wanted);
    } while (more == 1);
    return more;
}
