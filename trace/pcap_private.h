/* pcap_private.h: what pcap_file.c and pcap_ng.c share of an open capture file. */
#ifndef TRACE_PCAP_PRIVATE_H
#define TRACE_PCAP_PRIVATE_H

#include "trace/pcap_file.h"

#include <stdbool.h>

#define PCAPFILE_PACKET_MAX (16U << 20) /* bytes that one packet or block may claim to have */

struct pcapfile_interface {
    uint32_t link, snaplen;
    uint64_t units;   /* of its clock, a second */
    int64_t offset_s; /* added to its times */
};

struct pcapfile {
    FILE *in;
    char *name;
    uint8_t first[4]; /* bytes of the file */
    bool is_ng, is_swapped, has_failed;
    uint64_t at, number; /* bytes and packets read */
    uint32_t link, limit;
    uint64_t units;
    struct pcapfile_interface *interfaces; /* of the present section of a pcapng file */
    size_t interface_count;
    uint8_t *data; /* the present packet or block */
    size_t cap;
};

/* Reading: 1; 0 at the end; -EPIPE where the end comes earlier than len; another -errno. fill reads into
 * f->data. */
int pcapfile_read(struct pcapfile *f, void *to, size_t len);
int pcapfile_fill(struct pcapfile *f, size_t len);

/* All return -1, so that a caller can return them. */
int pcapfile_fail(struct pcapfile *f, char err[PCAPFILE_ERROR_SIZE], const char *format, ...)
    __attribute__((format(printf, 3, 4)));
int pcapfile_fail_read(struct pcapfile *f, int result, char err[PCAPFILE_ERROR_SIZE]);

uint16_t pcapfile_u16(const struct pcapfile *f, const uint8_t *from); /* in the file's byte order */
uint32_t pcapfile_u32(const struct pcapfile *f, const uint8_t *from);
uint64_t pcapfile_to_ns(uint64_t time, uint64_t units); /* units a second */

/* A section's head, behind its first four bytes; 0 or -1. */
int pcapng_take_section(struct pcapfile *f, char err[PCAPFILE_ERROR_SIZE]);
int pcapng_next(struct pcapfile *f, struct pcapfile_packet *p, char err[PCAPFILE_ERROR_SIZE]);

#endif
