/* run.h: one run of a scenario: its settings, its bots, its phases, and all that they share.
 *
 *     ramp     bots are started, one after the other; until all of them are ready
 *     settle   they do what the script says; nothing is measured
 *     measure  what is due in this time is measured
 *     drain    turns are over; what is under way comes to its end, the bots end their connections
 *
 * One thread runs all of it. */
#ifndef BOTS_RUN_H
#define BOTS_RUN_H

#include "bots/ledger.h"
#include "bots/settings.h"
#include "bots/stats.h"
#include "bots/timers.h"
#include "common/buf.h"
#include "common/tcp.h"
#include "common/tls.h"

#include <event2/event.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RUN_HOSTS     16
#define RUN_ADDRESSES 4     /* of a host */
#define RUN_SOURCES   65000 /* of 127.0.0.0/16 */
#define RUN_WRONGS    20    /* that are told in words; all are counted */
#define RUN_ROLES     16

struct bot;
struct lua_State;

#define RUN_OK        0
#define RUN_WRONG     1 /* something was wrong */
#define RUN_USAGE     2 /* the command line or the script */
#define RUN_NOBODY    3 /* no connection could be made */
#define RUN_UNWRITTEN 4 /* a report could not be written */

struct run_host {
    char *name;                               /* host and port, for people */
    struct tcp_addr addresses[RUN_ADDRESSES]; /* that it stands for; tried in this order */
    size_t address_count;
};

struct run_role {
    char *name;
    double weight;      /* of the bots; from the script */
    unsigned bots;      /* what that comes to */
    bool sends;         /* has turns: a part in the run's rate, */
    double rate;        /* or one of its own, of all its bots together, where this is not 0 */
    int8_t tls, manual; /* -1: as the run */
};

struct run {
    const char *name; /* of the scenario */
    char *path;
    char *sentence; /* what it is, from its first line */
    struct settings settings;
    struct run_host hosts[RUN_HOSTS];
    size_t host_count;
    struct run_role roles[RUN_ROLES];
    size_t role_count;
    pid_t server; /* chatd's process where it is on this machine, else 0 */
    struct event_base *base;
    struct event *second, *heartbeat, *interrupt, *terminate;
    struct timers timers;
    struct ledger ledger;
    struct stats stats;
    struct dice dice;
    SSL_CTX *tls;
    struct lua_State *lua;
    struct bot *bots;
    unsigned bot_count, ready, over, senders;
    uint64_t id;              /* in the marks of texts */
    uint64_t traffic_us;      /* when turns begin; 0: not yet */
    uint64_t phase_us;        /* when this phase began */
    uint64_t beat_us;         /* when the next heartbeat is due */
    struct buf scratch, text; /* for the line that is being written, and what it says */
    char *wrongs[RUN_WRONGS];
    size_t wrong_count;
    int interrupts;
    bool is_ending; /* in the drain: the bots were told to end */
    bool quiet;
    bool is_tty, ever_connected;
    struct bot *running;      /* whose coroutine it is now; else NULL */
    uint64_t stretched;       /* texts that are longer than asked for, because of their mark */
    size_t longest_mark;      /* of those */
    unsigned unready;         /* bots that were not ready when the ramp's time was over */
    struct proc_facts before; /* this process, before the bots */
    uint64_t rss, lua_bytes;  /* of this process, at the end of the measured time */
};

/* Settings, hosts and the script are in; runs until all is over. 0, or -1: it could not be started, and that
 * was said. */
int run_go(struct run *r);
void run_deinit(struct run *r);

bool run_is_over(const struct run *r); /* turns are over: nothing new is to be begun */
void run_bot_is_ready(struct run *r);  /* one of the bots is, and says so once */
void run_bot_is_over(struct run *r);
void run_wrong(struct run *r, const struct bot *b, enum check_fault f, const char *text);
bool run_has_failed(const struct run *r);
int run_signals(void); /* how many SIGINT and SIGTERM have come, seen by the event loop or not */

/* Its address on the IPv4 loopback, where bots can come from many addresses; or NULL. */
const struct tcp_addr *run_find_loopback4(const struct run_host *host);
double run_rate(const struct run *r); /* turns a second, in all */

/* Open loop: between two turns of this bot, 0 where there is no rate; and where in that time its first one is. */
uint64_t run_interval_us(const struct bot *b);
uint64_t run_first_offset_us(const struct bot *b);

#endif
