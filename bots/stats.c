/* stats.c: see stats.h. */
#include "bots/stats.h"

#include "common/clock.h"
#include "common/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define BUSY         0.9  /* of a core: there is no more for a process of one thread */
#define BUSY_SECONDS 0.2  /* of the measured ones, from which on it counts */
#define LATE_US      2000 /* a lag of the own loop that is worth a word, */
#define LATE_SHARE   0.2  /* where it is that much of the latency that is reported */
#define STARVED      0.15 /* of the measured time waiting for a CPU */
#define SHORT_RAMP   0.2  /* seconds: too little to say anything of */
#define POLL_US      10000

const char *stats_phase_name(enum stats_phase p)
{
    static const char *const names[] = {"ramp", "settle", "measure", "drain", "over"};

    return names[p];
}

const char *stats_latency_name(enum stats_latency l)
{
    static const char *const names[] = {"delivery", "catch-up", "ack",   "connect",
                                        "tls",      "login",    "entry", "lag"};

    return names[l];
}

static const char *const end_names[ENDS] = {
    "closed",   "was-reset", "bye",         "eof",      "idle",          "shutdown",  "slow",
    "replaced", "kicked",    "limit",       "protocol", "no-bye",        "truncated", "reset",
    "refused",  "timed-out", "unreachable", "tls",      "line-too-long", "other"};

const char *stats_end_name(enum stats_end e)
{
    return end_names[e];
}

int stats_end_find(const char *name, size_t len)
{
    for (int i = 0; i < ENDS; i++)
        if (strlen(end_names[i]) == len && memcmp(end_names[i], name, len) == 0)
            return i;
    return -1;
}

const char *stats_state_name(enum stats_state s)
{
    static const char *const names[] = {"waiting",  "connecting",  "securing", "connected",
                                        "chatting", "half-closed", "ended",    "done"};

    return names[s];
}

void stats_init(struct stats *s, pid_t server)
{
    *s = (struct stats){.server = server, .began_us = clock_mono_us()};
    for (size_t i = 0; i < LATENCIES; i++)
        s->latency[i] = histogram_new();
    for (size_t i = LATENCY_CONNECT; i <= LATENCY_LAG; i++)
        s->early[i] = histogram_new();
    s->second_delivery = histogram_new();
    s->second_ack = histogram_new();
    s->second_entry = histogram_new();
    s->row_us = s->began_us;
    proc_read(getpid(), &s->self_before);
    s->self_began = s->self_before;
    proc_read(server, &s->server_before);
    s->server_first = s->server_before;
}

void stats_deinit(struct stats *s)
{
    for (size_t i = 0; i < LATENCIES; i++) {
        free(s->latency[i]);
        free(s->early[i]);
    }
    free(s->second_delivery);
    free(s->second_ack);
    free(s->second_entry);
    free(s->rows);
}

void stats_set_phase(struct stats *s, enum stats_phase p)
{
    if (s->phase == PHASE_RAMP && p != PHASE_RAMP) {
        s->ramp_to_us = clock_mono_us();
        proc_read(getpid(), &s->self_ramp);
    }
    if (p == PHASE_MEASURE) {
        s->measure_from_us = clock_mono_us();
        s->measure_to_us = UINT64_MAX;
        s->measure_began = s->now;
        proc_read(getpid(), &s->self_from);
        proc_read(s->server, &s->server_from);
    } else if (s->phase == PHASE_MEASURE) {
        s->measure_to_us = clock_mono_us();
        s->measure_ended = s->now;
        proc_read(getpid(), &s->self_to);
        proc_read(s->server, &s->server_to);
    }
    s->phase = p;
}

static bool was_measured(const struct stats *s, uint64_t due_us)
{
    return s->measure_from_us != 0 && due_us >= s->measure_from_us && due_us < s->measure_to_us;
}

static void record_lag(struct stats *s, uint64_t took)
{
    if (took > s->second_lag)
        s->second_lag = took;
    if (s->phase == PHASE_RAMP)
        histogram_record(s->early[LATENCY_LAG], took);
    else if (s->phase == PHASE_MEASURE)
        histogram_record(s->latency[LATENCY_LAG], took);
}

void stats_latency(struct stats *s, enum stats_latency l, uint64_t due_us, uint64_t now_us)
{
    uint64_t took = now_us > due_us ? now_us - due_us : 0;

    if (l == LATENCY_LAG) {
        record_lag(s, took);
        return;
    }
    if (l == LATENCY_DELIVERY)
        histogram_record(s->second_delivery, took);
    else if (l == LATENCY_ACK)
        histogram_record(s->second_ack, took);
    else if (l == LATENCY_ENTRY)
        histogram_record(s->second_entry, took);
    if (was_measured(s, due_us))
        histogram_record(s->latency[l], took);
    else if (s->early[l] != NULL && (s->measure_from_us == 0 || due_us < s->measure_from_us))
        histogram_record(s->early[l], took);
}

void stats_turn(struct stats *s, uint64_t due_us)
{
    s->turns_begun += was_measured(s, due_us);
}

const struct histogram *stats_shown(const struct stats *s, enum stats_latency l, bool *early)
{
    *early = l != LATENCY_LAG && s->early[l] != NULL && s->latency[l]->count == 0;
    return *early ? s->early[l] : s->latency[l];
}

void stats_move(struct stats *s, enum stats_state from, enum stats_state to)
{
    s->states[from]--;
    s->states[to]++;
}

static struct stats_counts difference(const struct stats_counts *a, const struct stats_counts *b)
{
    struct stats_counts d = {0};
    const uint64_t *from = (const uint64_t *)b, *to = (const uint64_t *)a;
    uint64_t *out = (uint64_t *)&d;

    for (size_t i = 0; i < sizeof d / sizeof *out; i++)
        out[i] = to[i] - from[i];
    return d;
}

static void read_processes(struct stats *s, struct stats_row *row, double seconds)
{
    struct proc_facts self, server;

    row->server_cpu = -1;
    if (proc_read(getpid(), &self)) {
        row->cpu = (double)(self.cpu_us - s->self_before.cpu_us) / 1e6 / seconds;
        s->self_before = self;
    }
    if (proc_read(s->server, &server)) {
        row->server_cpu = (double)(server.cpu_us - s->server_before.cpu_us) / 1e6 / seconds;
        row->server_rss = server.rss;
        row->server_descriptors = server.descriptors;
        s->server_before = s->server_last = server;
    }
}

static void read_second(struct stats *s, struct stats_row *row)
{
    row->p50 = histogram_percentile(s->second_delivery, 50);
    row->p99 = histogram_percentile(s->second_delivery, 99);
    row->p999 = histogram_percentile(s->second_delivery, 99.9);
    row->max = s->second_delivery->max;
    row->ack_p50 = histogram_percentile(s->second_ack, 50);
    row->ack_p99 = histogram_percentile(s->second_ack, 99);
    row->entry_p50 = histogram_percentile(s->second_entry, 50);
    row->entry_p99 = histogram_percentile(s->second_entry, 99);
    row->lag_max = s->second_lag;
    histogram_clear(s->second_delivery);
    histogram_clear(s->second_ack);
    histogram_clear(s->second_entry);
    s->second_lag = 0;
}

const struct stats_row *stats_end_row(struct stats *s)
{
    uint64_t now = clock_mono_us();
    double seconds = (double)(now - s->row_us) / 1e6;
    struct stats_row *row;

    if (s->row_count == s->row_cap) {
        s->row_cap = s->row_cap > 0 ? s->row_cap * 2 : 64;
        s->rows = mem_realloc(s->rows, s->row_cap * sizeof *s->rows);
    }
    row = &s->rows[s->row_count++];
    *row = (struct stats_row){.at = (double)(now - s->began_us) / 1e6, .seconds = seconds, .phase = s->phase};
    row->delta = difference(&s->now, &s->row_began);
    memcpy(row->states, s->states, sizeof row->states);
    read_processes(s, row, seconds > 0 ? seconds : 1);
    read_second(s, row);
    s->row_began = s->now;
    s->row_us = now;
    return row;
}

double stats_measured_seconds(const struct stats *s)
{
    return s->measure_to_us > s->measure_from_us ? (double)(s->measure_to_us - s->measure_from_us) / 1e6 : 0;
}

static double busy_share(const struct stats *s)
{
    size_t all = 0, busy = 0;

    for (size_t i = 0; i < s->row_count; i++)
        if (s->rows[i].phase == PHASE_MEASURE) {
            all++;
            busy += s->rows[i].cpu >= BUSY;
        }
    return all > 0 ? (double)busy / (double)all : 0;
}

/* A time that figures are from: what chatbot itself had to do with them. */
struct part {
    const char *name;
    double busy, starved; /* shares of it */
    uint64_t lag, p99;    /* p99: of the latency that is shown */
};

static struct part measured_part(const struct stats *s)
{
    enum stats_latency l = s->latency[LATENCY_DELIVERY]->count > 0 ? LATENCY_DELIVERY : LATENCY_ENTRY;

    return (struct part){
        .name = "the measured time",
        .busy = busy_share(s),
        .starved = (double)(s->self_to.waited_us - s->self_from.waited_us) / 1e6 / stats_measured_seconds(s),
        .lag = histogram_percentile(s->latency[LATENCY_LAG], 99),
        .p99 = histogram_percentile(s->latency[l], 99),
    };
}

static struct part ramp_part(const struct stats *s, double seconds)
{
    double cpu = (double)(s->self_ramp.cpu_us - s->self_began.cpu_us) / 1e6 / seconds;

    return (struct part){
        .name = "the ramp, where the bots came in",
        .busy = cpu >= BUSY ? cpu : 0,
        .starved = (double)(s->self_ramp.waited_us - s->self_began.waited_us) / 1e6 / seconds,
        .lag = histogram_percentile(s->early[LATENCY_LAG], 99),
        .p99 = histogram_percentile(s->early[LATENCY_ENTRY], 99),
    };
}

static bool judge(const struct part *p, char *out, size_t size)
{
    if (p->busy >= BUSY_SECONDS)
        snprintf(
            out, size,
            "chatbot itself was the limit: it used a whole core in %.0f %% of %s; the server could do more "
            "than this shows",
            p->busy * 100, p->name);
    else if (p->lag > LATE_US && (double)p->lag > LATE_SHARE * (double)p->p99)
        snprintf(
            out, size,
            "chatbot itself was late in %s: its own loop by %.1f ms at p99%s; the latencies hold that too",
            p->name, (double)p->lag / 1000, p->starved > STARVED ? ", for want of a CPU" : "");
    else if (p->starved > STARVED)
        snprintf(out, size, "chatbot was waiting for a CPU in %.0f %% of %s: this machine is full",
                 p->starved * 100, p->name);
    else
        return false;
    return true;
}

bool stats_find_own_limit(const struct stats *s, char *out, size_t size)
{
    double ramp = s->ramp_to_us > s->began_us ? (double)(s->ramp_to_us - s->began_us) / 1e6 : 0;
    struct part part;
    bool early;

    if (stats_measured_seconds(s) > 0) {
        part = measured_part(s);
        if (judge(&part, out, size))
            return true;
    }
    if (ramp < SHORT_RAMP || stats_shown(s, LATENCY_ENTRY, &early)->count == 0 || !early)
        return false;
    part = ramp_part(s, ramp);
    return judge(&part, out, size);
}

static int compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return x < y ? -1 : x > y;
}

static uint64_t median_rss(const struct stats_row *rows, size_t count)
{
    uint64_t *sorted = mem_alloc(count * sizeof *sorted), median;

    for (size_t i = 0; i < count; i++)
        sorted[i] = rows[i].server_rss;
    qsort(sorted, count, sizeof *sorted, compare);
    median = sorted[count / 2];
    free(sorted);
    return median;
}

bool stats_server_growth(const struct stats *s, double *percent)
{
    size_t first = 0, count = 0, tenth;
    uint64_t early, late;

    for (size_t i = 0; i < s->row_count; i++)
        if (s->rows[i].phase == PHASE_MEASURE && s->rows[i].server_cpu >= 0 && count++ == 0)
            first = i;
    tenth = count / 10;
    if (tenth == 0)
        return false;
    early = median_rss(&s->rows[first], tenth);
    late = median_rss(&s->rows[first + count - tenth], tenth);
    if (early == 0)
        return false;
    *percent = ((double)late / (double)early - 1) * 100;
    return true;
}

void stats_await_descriptors(struct stats *s, double seconds)
{
    uint64_t until = clock_mono_us() + (uint64_t)(seconds * 1e6);
    const struct timespec pause = {.tv_nsec = POLL_US * 1000};
    struct proc_facts server;

    while (proc_read(s->server, &server)) {
        s->server_last = server;
        if (server.descriptors <= s->server_first.descriptors || clock_mono_us() >= until)
            break;
        nanosleep(&pause, NULL);
    }
}
