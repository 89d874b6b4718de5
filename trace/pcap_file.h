/* pcap_file.h: the packets of a capture file, one after another: pcap and pcapng, as tcpdump and Wireshark
 * write them.
 *
 * Both byte orders, microseconds and nanoseconds, several interfaces and sections. Nothing of libpcap is
 * used, so that a build without it reads files too. A file that is cut, garbled or of another kind gives the
 * packets before the fault and then one sentence about it. One owner, any thread. */
#ifndef TRACE_PCAP_FILE_H
#define TRACE_PCAP_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define PCAPFILE_ERROR_SIZE 320

/* What a packet begins with (the LINKTYPE_ numbers of the format, not a platform's DLT_). */
enum pcapfile_link {
    PCAPFILE_NULL = 0,
    PCAPFILE_ETHERNET = 1,
    PCAPFILE_RAW = 101,
    PCAPFILE_LOOP = 108,
    PCAPFILE_SLL = 113,
    PCAPFILE_IPV4 = 228,
    PCAPFILE_IPV6 = 229,
    PCAPFILE_SLL2 = 276,
};

struct pcapfile_packet {
    uint64_t number;     /* from 1, as Wireshark counts */
    uint64_t time_ns;    /* since the Unix epoch */
    uint32_t link;       /* enum pcapfile_link, or another that nobody here decodes */
    uint32_t interface;  /* of a pcapng file with several; else 0 */
    uint32_t len;        /* bytes on the wire */
    uint32_t caught;     /* bytes in data, at most len */
    const uint8_t *data; /* until the next call */
};

struct pcapfile;

/* path "-" is the standard input. NULL, and why in err, where the file can't be opened or is no capture. */
struct pcapfile *pcapfile_open(const char *path, char err[PCAPFILE_ERROR_SIZE]);
void pcapfile_close(struct pcapfile *f); /* NULL is fine */

/* 1 and a packet; 0 at the end; -1 and why in err where the file is cut or garbled. */
int pcapfile_next(struct pcapfile *f, struct pcapfile_packet *p, char err[PCAPFILE_ERROR_SIZE]);

/* Whether a file begins like a capture; false also where it can't be read. */
bool pcapfile_is_one(const char *path);

/* Writing: pcap with nanoseconds, in this machine's byte order. 0, or -errno. */
int pcapfile_put_head(FILE *out, uint32_t link, uint32_t snaplen);
int pcapfile_put(FILE *out, const struct pcapfile_packet *p);

#endif
