/* sockdiag_linux.c: see sockdiag.h. */
#include "common/sockdiag.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <linux/tcp.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#define AT_ONCE     16
#define NOTICE_SIZE 2048 /* of one socket that was freed; it has some 450 bytes */
#define REPLY_SIZE  16384

static int open_diag(int flags)
{
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | flags, NETLINK_SOCK_DIAG);

    return fd < 0 ? -errno : fd;
}

int sockdiag_open(void)
{
    struct timeval patience = {.tv_sec = 1};
    int fd = open_diag(0);

    if (fd >= 0)
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    return fd;
}

/* Lets only messages of these ports through, so that the others cost nobody a wake-up. */
static void filter_ports(int fd, const uint16_t *ports, unsigned count)
{
    const uint32_t at = NLMSG_HDRLEN + offsetof(struct inet_diag_msg, id.idiag_sport);
    struct sock_filter code[SOCKDIAG_PORTS + 3] = {BPF_STMT(BPF_LD | BPF_H | BPF_ABS, at)};
    struct sock_fprog program = {.len = (unsigned short)(count + 3), .filter = code};

    if (count == 0 || count > SOCKDIAG_PORTS)
        return;
    for (unsigned i = 0; i < count; i++)
        code[i + 1] =
            (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ports[i], (uint8_t)(count - i), 0);
    code[count + 1] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, 0);
    code[count + 2] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, UINT32_MAX);
    setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program);
}

int sockdiag_open_destroyed(const uint16_t *ports, unsigned count)
{
    struct sockaddr_nl us = {.nl_family = AF_NETLINK, .nl_groups = 1U << (SKNLGRP_INET_TCP_DESTROY - 1)};
    int fd = open_diag(SOCK_NONBLOCK), room = 4 << 20, err;

    if (fd < 0)
        return fd;
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof room);
    filter_ports(fd, ports, count);
    if (bind(fd, (struct sockaddr *)&us, sizeof us) == 0)
        return fd;
    err = -errno;
    close(fd);
    return err;
}

static void addr_from_id(struct tcp_addr *a, uint8_t family, const __be32 ip[4], __be16 port)
{
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = port};
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = port};

    memcpy(&in6.sin6_addr, ip, 16);
    memcpy(&in.sin_addr, ip, 4);
    tcp_addr_from(a, family == AF_INET6 ? (struct sockaddr *)&in6 : (struct sockaddr *)&in);
}

/* TIME_WAIT is in the message as its own state; the numbers are the kernel's (include/net/tcp_states.h). */
static enum tcp_state state_of(uint8_t number)
{
    static const enum tcp_state states[] = {
        TCP_STATE_UNKNOWN,      TCP_STATE_ESTABLISHED, TCP_STATE_SYN_SENT,  TCP_STATE_SYN_RECEIVED,
        TCP_STATE_FIN_WAIT_1,   TCP_STATE_FIN_WAIT_2,  TCP_STATE_TIME_WAIT, TCP_STATE_CLOSED,
        TCP_STATE_CLOSE_WAIT,   TCP_STATE_LAST_ACK,    TCP_STATE_LISTEN,    TCP_STATE_CLOSING,
        TCP_STATE_SYN_RECEIVED, /* TCP_NEW_SYN_RECV: a request socket */
    };

    return number < sizeof states / sizeof *states ? states[number] : TCP_STATE_UNKNOWN;
}

static void read_info(struct tcp_facts *f, enum tcp_state state, const void *data, size_t len)
{
    struct tcp_info info;

    memset(&info, 0, sizeof info);
    memcpy(&info, data, len < sizeof info ? len : sizeof info);
    *f = (struct tcp_facts){
        .state = state,
        .source = "sock_diag",
        .rtt_us = info.tcpi_rtt,
        .rto_us = info.tcpi_rto,
        .unacked = info.tcpi_unacked,
        .retransmits = info.tcpi_retransmits,
        .total_retrans = info.tcpi_total_retrans,
        .unsent = info.tcpi_notsent_bytes,
        .cwnd = info.tcpi_snd_cwnd,
        .snd_wnd = info.tcpi_snd_wnd,
        .bytes_acked = info.tcpi_bytes_acked,
        .bytes_received = info.tcpi_bytes_received,
    };
}

static bool parse(const struct nlmsghdr *h, struct sockdiag_socket *s)
{
    const struct inet_diag_msg *m = NLMSG_DATA(h);
    const struct rtattr *a;
    size_t left;

    if (h->nlmsg_len < NLMSG_LENGTH(sizeof *m))
        return false;
    *s = (struct sockdiag_socket){.state = state_of(m->idiag_state), .timer_ms = m->idiag_expires};
    s->cookie = (uint64_t)m->id.idiag_cookie[1] << 32 | m->id.idiag_cookie[0];
    addr_from_id(&s->local, m->idiag_family, m->id.idiag_src, m->id.idiag_sport);
    addr_from_id(&s->peer, m->idiag_family, m->id.idiag_dst, m->id.idiag_dport);
    left = h->nlmsg_len - NLMSG_LENGTH(sizeof *m);
    a = (const void *)((const char *)m + NLMSG_ALIGN(sizeof *m));
    for (; RTA_OK(a, left); a = RTA_NEXT(a, left))
        if (a->rta_type == INET_DIAG_INFO)
            read_info(&s->facts, s->state, RTA_DATA(a), RTA_PAYLOAD(a));
    return true;
}

static void put_addr(const struct tcp_addr *a, __be32 ip[4], __be16 *port)
{
    memcpy(ip, a->ip, 16);
    *port = htons(a->port);
}

int sockdiag_find(int fd, const struct tcp_addr *local, const struct tcp_addr *peer,
                  struct sockdiag_socket *s)
{
    struct {
        struct nlmsghdr h;
        struct inet_diag_req_v2 r;
    } ask = {.h = {.nlmsg_len = sizeof ask, .nlmsg_type = SOCK_DIAG_BY_FAMILY, .nlmsg_flags = NLM_F_REQUEST}};
    _Alignas(struct nlmsghdr) char reply[REPLY_SIZE];
    const struct nlmsghdr *h = (const void *)reply;
    ssize_t n;

    ask.r.sdiag_family = (uint8_t)local->family;
    ask.r.sdiag_protocol = IPPROTO_TCP;
    ask.r.idiag_ext = 1U << (INET_DIAG_INFO - 1);
    ask.r.idiag_states = UINT32_MAX;
    ask.r.id.idiag_cookie[0] = ask.r.id.idiag_cookie[1] = INET_DIAG_NOCOOKIE;
    put_addr(local, ask.r.id.idiag_src, &ask.r.id.idiag_sport);
    put_addr(peer, ask.r.id.idiag_dst, &ask.r.id.idiag_dport);
    if (send(fd, &ask, sizeof ask, 0) < 0)
        return -errno;
    n = recv(fd, reply, sizeof reply, 0);
    if (n < 0)
        return -errno;
    if (!NLMSG_OK(h, (size_t)n) || h->nlmsg_type != SOCK_DIAG_BY_FAMILY)
        return 0;
    return parse(h, s) ? 1 : 0;
}

static void take_destroyed(const char *reply, size_t left,
                           void (*fn)(const struct sockdiag_socket *s, void *arg), void *arg)
{
    struct sockdiag_socket s;

    for (const struct nlmsghdr *h = (const void *)reply; NLMSG_OK(h, left); h = NLMSG_NEXT(h, left))
        if (h->nlmsg_type == SOCK_DIAG_BY_FAMILY && parse(h, &s)) {
            if (s.facts.source != NULL)
                s.facts.source = "destroy";
            fn(&s, arg);
        }
}

/* Each is a message of its own: several are taken by one call. */
void sockdiag_read_destroyed(int fd, void (*fn)(const struct sockdiag_socket *s, void *arg), void *arg)
{
    _Alignas(struct nlmsghdr) char replies[AT_ONCE][NOTICE_SIZE];
    struct mmsghdr messages[AT_ONCE] = {0};
    struct iovec parts[AT_ONCE];
    int n;

    for (int i = 0; i < AT_ONCE; i++) {
        parts[i] = (struct iovec){.iov_base = replies[i], .iov_len = NOTICE_SIZE};
        messages[i].msg_hdr.msg_iov = &parts[i];
        messages[i].msg_hdr.msg_iovlen = 1;
    }
    do {
        n = recvmmsg(fd, messages, AT_ONCE, MSG_DONTWAIT, NULL);
        for (int i = 0; i < n; i++)
            take_destroyed(replies[i], messages[i].msg_len, fn, arg);
    } while (n == AT_ONCE);
}
