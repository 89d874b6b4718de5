/* capture.h: live capture: a thread that writes an interface's TCP packets into a pcap file as they come.
 *
 * Built with libpcap or without (meson option `capture`): capture_is_built says which. Needs CAP_NET_RAW in
 * the network that it captures, as root has everywhere and anyone in a namespace of his own (netns.h).
 * Packets have nanoseconds. */
#ifndef TRACE_CAPTURE_H
#define TRACE_CAPTURE_H

#include <stdbool.h>
#include <stdint.h>

#define CAPTURE_ERROR_SIZE 320
#define CAPTURE_WHOLE      262144 /* a snaplen: on lo a segment can have 64 KiB */

#define CAPTURE_DENIED "capturing needs root or CAP_NET_RAW" /* in err, where only that is in the way */

struct capture;

bool capture_is_built(void);

/* interface: "lo", "eth0", or "any" for all of them. snaplen: bytes kept of each packet; few of them, and the
 * kernel has room for more packets while this thread does not get to run. From its return on no packet is
 * missed. NULL, and why in err, where it is not built, not allowed, or path can't be written. */
struct capture *capture_start(const char *interface, const char *path, int snaplen,
                              char err[CAPTURE_ERROR_SIZE]);

/* Takes what has been sent so far, ends the thread and closes the file. How many packets the kernel dropped
 * because the thread was too slow; NULL is fine. */
uint64_t capture_stop(struct capture *c);

#endif
