/* proc.h: what the kernel says of a process: CPU, memory, descriptors; and which process listens on a port. Linux's
 * /proc; elsewhere nothing is known. One thread. */
#ifndef BOTS_PROC_H
#define BOTS_PROC_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct proc_facts {
    uint64_t cpu_us;    /* user and system, since it began */
    uint64_t waited_us; /* ready to run and not running; this process's main thread only, else 0 */
    uint64_t rss;       /* bytes */
    uint32_t descriptors;
};

bool proc_read(pid_t pid, struct proc_facts *f); /* false where the process is gone or nothing can be known */

/* The process that listens on this TCP port of this machine and may be looked at, or 0. */
pid_t proc_find_listener(uint16_t port);

#endif
