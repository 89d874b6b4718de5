/* pcap_tcp.h: from a captured packet to a TCP segment: Ethernet (VLAN too), loopback, raw IP and Linux
 * "cooked" links; IPv4 and IPv6 with its extension headers. Pure: nothing is kept, any thread. */
#ifndef TRACE_PCAP_TCP_H
#define TRACE_PCAP_TCP_H

#include "common/tcp.h"
#include "trace/pcap_file.h"

#include <stdbool.h>
#include <stdint.h>

struct pcaptcp_segment {
    struct tcp_addr from, to;
    uint32_t seq, ack; /* as on the wire; ack is rubbish without the ACK flag */
    uint32_t len;      /* payload bytes on the wire */
    uint16_t window;   /* as on the wire */
    uint8_t flags;     /* MODEL_FIN … */
    uint8_t scale;     /* the window scale option (RFC 7323); SCALE_NONE: not there */
    uint16_t mss;      /* the option, 0: not there */
    uint32_t print;    /* of its header and its packet's number: other for each that is sent */
    uint32_t place;    /* where it was captured: interface and direction, as far as the link tells */
    bool has_number;   /* its packet has one (IPv4's identification, not 0) */
};

#define PCAPTCP_SCALE_NONE 0xff

enum pcaptcp_result {
    PCAPTCP_SEGMENT,
    PCAPTCP_OTHER, /* not TCP, or a later fragment */
    PCAPTCP_CUT,   /* not enough of it was captured to tell */
    PCAPTCP_UNKNOWN_LINK,
};

enum pcaptcp_result pcaptcp_decode(const struct pcapfile_packet *p, struct pcaptcp_segment *s);

#endif
