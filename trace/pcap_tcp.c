/* pcap_tcp.c: see pcap_tcp.h. Every step first asks whether the bytes that it looks at were captured. */
#include "trace/pcap_tcp.h"

#include <string.h>

enum {
    ETHER_IPV4 = 0x0800,
    ETHER_IPV6 = 0x86dd,
    ETHER_VLAN = 0x8100,
    ETHER_QINQ = 0x88a8,
    PROTO_HOP = 0,
    PROTO_TCP = 6,
    PROTO_ROUTING = 43,
    PROTO_FRAGMENT = 44,
    PROTO_AUTH = 51,
    PROTO_DESTINATION = 60,
    OPTION_END = 0,
    OPTION_NONE = 1,
    OPTION_MSS = 2,
    OPTION_SCALE = 3,
};

/* What is left of a packet: len bytes on the wire, of which the first caught are at data. */
struct rest {
    const uint8_t *data;
    uint32_t len, caught;
};

static uint16_t big16(const uint8_t *p)
{
    return (uint16_t)(p[0] << 8 | p[1]);
}

static uint32_t big32(const uint8_t *p)
{
    return (uint32_t)big16(p) << 16 | big16(p + 2);
}

static bool skip(struct rest *r, uint32_t n)
{
    if (n > r->caught)
        return false;
    r->data += n;
    r->caught -= n;
    r->len -= n;
    return true;
}

static void cut_to(struct rest *r, uint32_t len)
{
    if (len < r->len)
        r->len = len;
    if (r->caught > r->len)
        r->caught = r->len;
}

/* ---- links: each leaves the IP packet in r ---- */

static enum pcaptcp_result of_ether_type(struct rest *r, uint16_t type)
{
    while (type == ETHER_VLAN || type == ETHER_QINQ) {
        if (r->caught < 4)
            return PCAPTCP_CUT;
        type = big16(r->data + 2);
        skip(r, 4);
    }
    return type == ETHER_IPV4 || type == ETHER_IPV6 ? PCAPTCP_SEGMENT : PCAPTCP_OTHER;
}

static uint32_t place_of(const struct pcapfile_packet *p)
{
    if (p->link == PCAPFILE_SLL && p->caught >= 2)
        return big16(p->data);
    if (p->link == PCAPFILE_SLL2 && p->caught >= 11)
        return big32(p->data + 4) << 3 | (p->data[10] & 7);
    return p->interface;
}

/* FNV-1a. */
static uint32_t mix(uint32_t print, const uint8_t *data, uint32_t len)
{
    for (uint32_t i = 0; i < len; i++)
        print = (print ^ data[i]) * 16777619U;
    return print;
}

/* A header of that size whose Ethernet type is at offset at. */
static enum pcaptcp_result take_typed(struct rest *r, uint32_t at, uint32_t size)
{
    uint16_t type;

    if (r->caught < size)
        return PCAPTCP_CUT;
    type = big16(r->data + at);
    skip(r, size);
    return of_ether_type(r, type);
}

static enum pcaptcp_result take_link(struct rest *r, uint32_t link)
{
    switch (link) {
    case PCAPFILE_ETHERNET:
        return take_typed(r, 12, 14);
    case PCAPFILE_SLL:
        return take_typed(r, 14, 16);
    case PCAPFILE_SLL2:
        return take_typed(r, 0, 20);
    case PCAPFILE_NULL: /* an address family, whose numbers differ by system: the IP version tells */
    case PCAPFILE_LOOP:
        return skip(r, 4) ? PCAPTCP_SEGMENT : PCAPTCP_CUT;
    case PCAPFILE_RAW:
    case PCAPFILE_IPV4:
    case PCAPFILE_IPV6:
    case 12: /* what some systems write for RAW */
    case 14:
        return PCAPTCP_SEGMENT;
    default:
        return PCAPTCP_UNKNOWN_LINK;
    }
}

/* ---- IP: each leaves the TCP segment in r ---- */

static enum pcaptcp_result take_ipv4(struct rest *r, struct pcaptcp_segment *s)
{
    const uint8_t *ip = r->data;
    uint32_t head, total;

    if (r->caught < 20)
        return PCAPTCP_CUT;
    head = (ip[0] & 0x0fU) * 4;
    total = big16(ip + 2);
    if (head < 20 || (total != 0 && total < head))
        return PCAPTCP_OTHER;
    if (ip[9] != PROTO_TCP || (big16(ip + 6) & 0x1fff) != 0)
        return PCAPTCP_OTHER;
    s->print = mix(s->print, ip + 4, 2);
    s->has_number = big16(ip + 4) != 0;
    s->from.family = s->to.family = AF_INET;
    memcpy(s->from.ip, ip + 12, 4);
    memcpy(s->to.ip, ip + 16, 4);
    if (total != 0) /* 0: a segment that the card was still to cut up */
        cut_to(r, total);
    return skip(r, head) ? PCAPTCP_SEGMENT : PCAPTCP_CUT;
}

/* Passes over the extension headers from that one on. */
static enum pcaptcp_result take_extensions(struct rest *r, uint8_t next)
{
    while (next != PROTO_TCP) {
        uint32_t size;
        uint8_t after;

        if (r->caught < 8)
            return PCAPTCP_CUT;
        after = r->data[0];
        if (next == PROTO_HOP || next == PROTO_ROUTING || next == PROTO_DESTINATION)
            size = (r->data[1] + 1U) * 8;
        else if (next == PROTO_AUTH)
            size = (r->data[1] + 2U) * 4;
        else if (next == PROTO_FRAGMENT && (big16(r->data + 2) & 0xfff8) == 0)
            size = 8;
        else
            return PCAPTCP_OTHER;
        if (!skip(r, size))
            return PCAPTCP_CUT;
        next = after;
    }
    return PCAPTCP_SEGMENT;
}

static enum pcaptcp_result take_ipv6(struct rest *r, struct pcaptcp_segment *s)
{
    const uint8_t *ip = r->data;
    uint32_t payload;

    if (r->caught < 40)
        return PCAPTCP_CUT;
    payload = big16(ip + 4);
    s->from.family = s->to.family = AF_INET6;
    memcpy(s->from.ip, ip + 8, 16);
    memcpy(s->to.ip, ip + 24, 16);
    if (payload != 0)
        cut_to(r, 40 + payload);
    skip(r, 40);
    return take_extensions(r, ip[6]);
}

/* ---- TCP ---- */

static void take_options(const uint8_t *o, uint32_t left, struct pcaptcp_segment *s)
{
    while (left > 0 && o[0] != OPTION_END) {
        uint32_t size = o[0] == OPTION_NONE ? 1 : left >= 2 ? o[1] : 0;

        if (size == 0 || size > left || (size == 1 && o[0] != OPTION_NONE))
            return;
        if (o[0] == OPTION_MSS && size == 4)
            s->mss = big16(o + 2);
        if (o[0] == OPTION_SCALE && size == 3)
            s->scale = o[2] > 14 ? 14 : o[2];
        o += size;
        left -= size;
    }
}

static enum pcaptcp_result take_tcp(struct rest *r, struct pcaptcp_segment *s)
{
    const uint8_t *t = r->data;
    uint32_t head;

    if (r->caught < 20)
        return r->len < 20 ? PCAPTCP_OTHER : PCAPTCP_CUT;
    head = (t[12] >> 4) * 4U;
    if (head < 20 || head > r->len)
        return PCAPTCP_OTHER;
    s->from.port = big16(t);
    s->to.port = big16(t + 2);
    s->seq = big32(t + 4);
    s->ack = big32(t + 8);
    s->flags = t[13];
    s->window = big16(t + 14);
    s->len = r->len - head;
    s->print = mix(s->print, t, 16); /* not the checksum: a card may be still to make it */
    s->print = mix(s->print, t + 18, (head < r->caught ? head : r->caught) - 18);
    take_options(t + 20, (head < r->caught ? head : r->caught) - 20, s);
    return PCAPTCP_SEGMENT;
}

enum pcaptcp_result pcaptcp_decode(const struct pcapfile_packet *p, struct pcaptcp_segment *s)
{
    struct rest r = {p->data, p->len, p->caught};
    enum pcaptcp_result result = take_link(&r, p->link);

    *s = (struct pcaptcp_segment){.scale = PCAPTCP_SCALE_NONE, .print = 2166136261U, .place = place_of(p)};
    if (result != PCAPTCP_SEGMENT)
        return result;
    if (r.caught < 1)
        return PCAPTCP_CUT;
    if (r.data[0] >> 4 == 4)
        result = take_ipv4(&r, s);
    else
        result = r.data[0] >> 4 == 6 ? take_ipv6(&r, s) : PCAPTCP_OTHER;
    return result == PCAPTCP_SEGMENT ? take_tcp(&r, s) : result;
}
