/* stats.h: everything that is counted in a run: totals, latencies, and a row a second.
 *
 * A latency counts by when it was due: what was due in the measured time is measured, however late it comes.
 * The way in (connect, tls, login, entry) is kept for the time before that too, as many scenarios connect
 * only then. One thread. */
#ifndef BOTS_STATS_H
#define BOTS_STATS_H

#include "bots/check.h"
#include "bots/histogram.h"
#include "bots/proc.h"

enum stats_phase { PHASE_RAMP, PHASE_SETTLE, PHASE_MEASURE, PHASE_DRAIN, PHASE_OVER };

const char *stats_phase_name(enum stats_phase p);

enum stats_latency {
    LATENCY_DELIVERY, /* a send's due time to a receiver having it */
    LATENCY_CATCH_UP, /* the same to one who read slowly or was away: his own pace is in it */
    LATENCY_ACK,      /* a send's due time to its ack */
    LATENCY_CONNECT,  /* due to connected */
    LATENCY_TLS,      /* connected to the handshake done */
    LATENCY_LOGIN,    /* hello to welcome */
    LATENCY_ENTRY,    /* all three: due to welcome */
    LATENCY_LAG,      /* how late chatbot's own event loop was */
    LATENCIES,
};

const char *stats_latency_name(enum stats_latency l);

/* How a connection ended. The first two are the bot's own doing. */
enum stats_end {
    END_CLOSED,
    END_WAS_RESET,
    END_BYE,
    END_EOF,
    END_IDLE,
    END_SHUTDOWN,
    END_SLOW,
    END_REPLACED,
    END_KICKED,
    END_LIMIT,
    END_PROTOCOL,  /* bye's code */
    END_NO_BYE,    /* the server's FIN without a bye before it */
    END_TRUNCATED, /* FIN without close_notify */
    END_RESET,
    END_REFUSED,
    END_TIMEOUT,
    END_UNREACHABLE,
    END_TLS,
    END_LINE,
    END_OTHER, /* OTHER: a code not known here */
    ENDS,
};

const char *stats_end_name(enum stats_end e);
int stats_end_find(const char *name, size_t len); /* or -1 */

enum stats_state {
    STATE_WAITING, /* not started, or between two connections */
    STATE_CONNECTING,
    STATE_SECURING,
    STATE_CONNECTED, /* up, not logged in */
    STATE_CHATTING,
    STATE_HALF_CLOSED, /* by the bot */
    STATE_ENDED,       /* by the server */
    STATE_DONE,        /* its script is over and it is not connected */
    STATES,
};

const char *stats_state_name(enum stats_state s);

struct stats_counts {
    uint64_t turns, late_turns; /* late: the bot was still busy, or its link full */
    uint64_t sends, acks, deliveries, gaps, errors, connects, logins, lines, bytes_in, bytes_out, wrong;
};

struct stats_row {
    double at;      /* seconds since the run began: the end of this row, */
    double seconds; /* which lasted so long: the last one is shorter */
    enum stats_phase phase;
    struct stats_counts delta;
    uint32_t states[STATES];
    uint64_t p50, p99, p999, max, ack_p50, ack_p99, entry_p50, entry_p99; /* µs; of what came in it */
    uint64_t lag_max;
    double cpu, server_cpu; /* 1: one core all the time; server_cpu < 0: not known */
    uint64_t server_rss;
    uint32_t server_descriptors;
};

struct stats {
    enum stats_phase phase;
    uint64_t began_us, ramp_to_us, measure_from_us, measure_to_us; /* monotonic; 0 until known */
    struct stats_counts now, row_began, measure_began, measure_ended;
    uint32_t states[STATES];
    uint64_t ends[ENDS], faults[CHECK_FAULTS];
    uint64_t turns_begun, turns_missed; /* of those that were due in the measured time */
    struct histogram *latency[LATENCIES];
    struct histogram *early[LATENCIES]; /* the way in, and the lag in the ramp; else NULL */
    struct histogram *second_delivery, *second_ack, *second_entry; /* since the row began */
    uint64_t second_lag;
    struct stats_row *rows;
    size_t row_count, row_cap;
    pid_t server;
    struct proc_facts self_before, server_before;                 /* at the last row */
    struct proc_facts self_from, self_to, server_from, server_to; /* at the ends of the measured time */
    struct proc_facts self_began, self_ramp;                      /* at those of the ramp */
    struct proc_facts server_first, server_last; /* before the first bot, after the last one */
    uint64_t row_us;
};

void stats_init(struct stats *s, pid_t server);
void stats_deinit(struct stats *s);
void stats_set_phase(struct stats *s, enum stats_phase p);
void stats_latency(struct stats *s, enum stats_latency l, uint64_t due_us, uint64_t now_us);
void stats_turn(struct stats *s, uint64_t due_us); /* one has begun */

/* What is to be shown: of the measured time, or, where nothing of the kind was due in it, early: of the time
 * before. */
const struct histogram *stats_shown(const struct stats *s, enum stats_latency l, bool *early);
void stats_move(struct stats *s, enum stats_state from, enum stats_state to);
const struct stats_row *stats_end_row(struct stats *s); /* once a second; holds until the next call */

double stats_measured_seconds(const struct stats *s);

/* Whether chatbot and not the server set the pace: one sentence into out, or false. */
bool stats_find_own_limit(const struct stats *s, char *out, size_t size);

/* How much the server's memory has grown, in percent, from the first tenth of the measured time to the last
 * one. false where it is not known. */
bool stats_server_growth(const struct stats *s, double *percent);

/* Waits until the server has as few descriptors as it had before the bots, so many seconds at most: it may
 * learn of the last end later than they do. */
void stats_await_descriptors(struct stats *s, double seconds);

#endif
