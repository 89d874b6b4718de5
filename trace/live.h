/* live.h: private to live*.c: the connections of a trace that is still being written. One thread. */
#ifndef TRACE_LIVE_H
#define TRACE_LIVE_H

#include "common/table.h"
#include "common/tcp.h"

#include <sys/queue.h>

#define LIVE_ID_SIZE 64
#define LIVE_LAST    12 /* events kept for the lines below */
#define LIVE_LINE    160
#define LIVE_KEEP_NS 10000000000LL /* how long one that is closed stays in view */
#define LIVE_CONNS   65536         /* at once; a program that was killed has closed none of its own */

struct live_conn {
    struct table_link link;
    TAILQ_ENTRY(live_conn) in_order, in_end;
    char id[LIVE_ID_SIZE];
    struct tcp_addr local, peer;
    enum tcp_state state;
    bool is_client, we_ended, peer_ended, was_reset, is_closed;
    uint64_t bytes_in, bytes_out;
    int64_t last_ns, half_ns, closed_ns; /* Unix time; 0: never */
    struct tcp_facts facts;
    char how[64];
};

TAILQ_HEAD(live_queue, live_conn);

struct live {
    struct table by_id;
    struct live_queue conns;  /* in order of their start */
    struct live_queue closed; /* those of them that are, in order of their end */
    uint64_t forgotten;       /* connections that were dropped since */
    unsigned bad_files;       /* in the directory, which are no event logs */
    char last[LIVE_LAST][LIVE_LINE];
    unsigned last_count; /* ever; the newest is at (last_count - 1) % LIVE_LAST */
    struct live_file *files;
    int diag; /* sockdiag_open; negative: none */
    const char *path;
};

/* live_read.c */
/* What was written since; -1 where there is nothing to read, with a sentence on stderr. Connections that were
 * closed a while ago are forgotten. */
int live_read(struct live *l);
void live_close(struct live *l);

#endif
