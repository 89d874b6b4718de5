/* load.c: puts one and the same load on any chat or publish/subscribe server, and says what the server's
 * process paid.
 *
 *     load PROTOCOL PORT PID [--rooms R] [--members M] [--window W] [--size BYTES] [--bystanders N]
 *         [--rooms-each N] [--tls] [--opening N] [--warm-ms MS] [--ms MS] [--settle-ms MS]
 *
 * Opens everything, lets it settle, takes memory; then speaks for a while, and measures a part of that while:
 * what the server's threads ran, and what the listeners heard. At the end it waits until everyone has heard
 * everything; who has not makes the run fail. --ms 0 only opens. The report is one line of JSON on stdout. */
#include "load.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <time.h>

#define OPENING_NS 180000000000U /* that all of the opening may take */
#define LATE_NS    5000000000U   /* that the last messages may take */
#define TIMED      256           /* listeners whose messages are timed, besides each room's first */

struct report {
    double opened_us; /* CPU of the server, for each connection */
    double opening_s;
    uint64_t memory_before, memory_after;
    double ns_each, user_share, deliveries_per_s, server_share, messages_per_s;
};

void fail(const char *what)
{
    fprintf(stderr, "load: %s: %s\n", what, strerror(errno));
    exit(1);
}

uint64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000U + (uint64_t)t.tv_nsec;
}

/* ---- how long messages took ---- */

static size_t timing_step(uint64_t ns)
{
    int power = ns < 64 ? 0 : 58 - __builtin_clzll(ns); /* so that ns >> power is below 64, and at least 32 */
    size_t step = (size_t)power * 64 + (size_t)(ns >> power);

    return step < TIMINGS_STEPS ? step : TIMINGS_STEPS - 1;
}

void timings_add(struct timings *t, uint64_t ns)
{
    t->counts[timing_step(ns)]++;
    t->total++;
    if (ns > t->max_ns)
        t->max_ns = ns;
}

uint64_t timings_at(const struct timings *t, double share)
{
    uint64_t seen = 0, wanted = (uint64_t)(share * (double)t->total);

    for (size_t i = 0; i < TIMINGS_STEPS; i++) {
        seen += t->counts[i];
        if (seen > wanted)
            return (uint64_t)(i % 64) << (i / 64);
    }
    return t->max_ns;
}

/* ---- the phases ---- */

static void make_clients(struct load *l)
{
    size_t in_rooms = (size_t)l->rooms * (l->members + 1);
    size_t every = (size_t)l->rooms * l->members / TIMED + 1;

    l->count = in_rooms + l->bystanders;
    l->clients = calloc(l->count, sizeof *l->clients);
    l->sent = calloc(l->rooms, sizeof *l->sent);
    l->to_refill = calloc(l->rooms, sizeof *l->to_refill);
    l->is_to_refill = calloc(l->rooms, sizeof *l->is_to_refill);
    if (l->clients == NULL || l->sent == NULL || l->to_refill == NULL || l->is_to_refill == NULL)
        fail("memory");
    for (size_t i = 0; i < l->count; i++) {
        struct client *c = &l->clients[i];
        size_t place = i % (l->members + 1);

        c->number = (unsigned)i;
        c->rooms_each = i < in_rooms ? l->rooms_each : 1;
        if (i >= in_rooms) {
            c->room = l->rooms * l->rooms_each + (unsigned)(i - in_rooms) / 10; /* silent rooms of ten */
            c->kind = BYSTANDER;
            continue;
        }
        c->room = (unsigned)(i / (l->members + 1));
        c->kind = place == l->members ? SPEAKER : LISTENER;
        c->is_first = place == 0;
        c->is_timed = c->is_first || i % every == 0;
    }
}

static void spend(struct load *l, uint64_t ns)
{
    uint64_t end = now_ns() + ns;

    while (now_ns() < end) {
        clients_speak(l);
        clients_turn(l, 1);
    }
}

static void open_all(struct load *l, struct report *r, int pid, uint64_t settle_ns)
{
    struct cost before = cost_of(pid), after;
    uint64_t start = now_ns();

    r->memory_before = memory_of(pid);
    while (l->in < l->count) {
        clients_start(l);
        clients_turn(l, 100);
        if (now_ns() - start > OPENING_NS) {
            fprintf(stderr, "load: only %zu of %zu connections are in\n", l->in, l->count);
            exit(1);
        }
    }
    r->opening_s = (double)(now_ns() - start) / 1e9;
    spend(l, settle_ns);
    after = cost_of(pid);
    r->memory_after = memory_of(pid);
    r->opened_us = (double)(after.cpu_ns - before.cpu_ns) / 1e3 / (double)l->count;
}

static void measure(struct load *l, struct report *r, int pid, uint64_t ns, struct timings *timings)
{
    uint64_t heard = l->heard, sent = l->sent_in_all, start = now_ns();
    struct cost before = cost_of(pid), after;
    double took, user, system;

    l->timings = timings;
    spend(l, ns);
    l->timings = NULL;
    after = cost_of(pid);
    took = (double)(now_ns() - start);
    heard = l->heard - heard;
    if (heard == 0) {
        fprintf(stderr, "load: nobody has heard anything\n");
        exit(1);
    }
    user = (double)(after.user_ticks - before.user_ticks);
    system = (double)(after.system_ticks - before.system_ticks);
    r->ns_each = (double)(after.cpu_ns - before.cpu_ns) / (double)heard;
    r->user_share = user + system > 0 ? user / (user + system) : 0;
    r->deliveries_per_s = (double)heard * 1e9 / took;
    r->messages_per_s = (double)(l->sent_in_all - sent) * 1e9 / took;
    r->server_share = (double)(after.cpu_ns - before.cpu_ns) / took;
}

/* Everyone must have heard everything that was said in their room, once. */
static bool is_complete(struct load *l)
{
    uint64_t end = now_ns() + LATE_NS, wanted = l->sent_in_all * l->members;

    l->is_silent = true;
    while (l->heard < wanted && now_ns() < end)
        clients_turn(l, 10);
    for (size_t i = 0; i < l->count; i++) {
        const struct client *c = &l->clients[i];

        if (c->kind == LISTENER && c->heard != l->sent[c->room]) {
            fprintf(stderr, "load: client %u of room %u has heard %" PRIu64 " messages of %" PRIu64 "\n",
                    c->number, c->room, c->heard, l->sent[c->room]);
            return false;
        }
    }
    return true;
}

static void print_report(const struct load *l, const struct report *r, const struct timings *t)
{
    printf("{\"protocol\":\"%s\",\"tls\":%s,\"rooms\":%u,\"members\":%u,\"window\":%u,\"size\":%zu,"
           "\"bystanders\":%u,"
           "\"connections\":%zu,\"opening_s\":%.3f,\"cpu_us_per_connection\":%.2f,\"memory_before\":%" PRIu64
           ",\"memory_after\":%" PRIu64 ",\"bytes_per_connection\":%.1f",
           l->speech->name, l->tls != NULL ? "true" : "false", l->rooms, l->members, l->window, l->size,
           l->bystanders, l->count, r->opening_s, r->opened_us, r->memory_before, r->memory_after,
           ((double)r->memory_after - (double)r->memory_before) / (double)l->count);
    if (r->ns_each > 0)
        printf(
            ",\"ns_per_delivery\":%.1f,\"user_share\":%.3f,\"deliveries_per_s\":%.0f,\"messages_per_s\":%.0f,"
            "\"server_cores\":%.3f,\"us_p50\":%.1f,\"us_p99\":%.1f,\"us_p999\":%.1f,\"us_max\":%.1f",
            r->ns_each, r->user_share, r->deliveries_per_s, r->messages_per_s, r->server_share,
            (double)timings_at(t, .5) / 1e3, (double)timings_at(t, .99) / 1e3,
            (double)timings_at(t, .999) / 1e3, (double)t->max_ns / 1e3);
    printf("}\n");
}

/* ---- the command line ---- */

struct times {
    unsigned warm_ms, run_ms, settle_ms;
};

static void usage(void)
{
    fprintf(
        stderr,
        "usage: load chat|floor|redis|nats|irc|mqtt PORT PID [--rooms R] [--members M] [--window W]\n"
        "            [--size BYTES] [--bystanders N] [--rooms-each N] [--tls] [--opening N] [--warm-ms MS]\n"
        "            [--ms MS] [--settle-ms MS]\n");
    exit(2);
}

static SSL_CTX *client_tls(void)
{
    SSL_CTX *tls = SSL_CTX_new(TLS_client_method());

    if (tls == NULL)
        fail("SSL_CTX_new");
    SSL_CTX_set_verify(tls, SSL_VERIFY_NONE, NULL);
    SSL_CTX_set_mode(tls, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE);
    return tls;
}

static void read_options(struct load *l, struct times *times, int argc, char **argv)
{
    unsigned size = 64, tls = 0;
    const struct option known[] = {
        {"rooms", required_argument, NULL, 'r'},
        {"members", required_argument, NULL, 'm'},
        {"window", required_argument, NULL, 'w'},
        {"size", required_argument, NULL, 's'},
        {"bystanders", required_argument, NULL, 'b'},
        {"rooms-each", required_argument, NULL, 'h'},
        {"opening", required_argument, NULL, 'o'},
        {"warm-ms", required_argument, NULL, 'a'},
        {"ms", required_argument, NULL, 't'},
        {"settle-ms", required_argument, NULL, 'e'},
        {"tls", no_argument, NULL, 'l'},
        {0},
    };
    const struct {
        int letter;
        unsigned *to;
    } numbers[] = {
        {'r', &l->rooms},      {'m', &l->members},      {'w', &l->window},     {'s', &size},
        {'b', &l->bystanders}, {'o', &l->opening},      {'h', &l->rooms_each}, {'a', &times->warm_ms},
        {'t', &times->run_ms}, {'e', &times->settle_ms}};
    int letter;

    while ((letter = getopt_long(argc, argv, "", known, NULL)) != -1) {
        if (letter == '?')
            usage();
        if (letter == 'l')
            tls = 1;
        for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
            if (numbers[i].letter == letter)
                *numbers[i].to = (unsigned)strtoul(optarg, NULL, 10);
    }
    l->size = size < STAMP + 1 ? STAMP + 1 : size > SPEECH_MAX / 4 ? SPEECH_MAX / 4 : size;
    l->tls = tls ? client_tls() : NULL;
    if (argc - optind != 3 || l->rooms == 0 || l->members == 0 || l->rooms_each == 0 ||
        l->rooms_each > ROOMS_EACH_MAX)
        usage();
}

static void allow_descriptors(void)
{
    struct rlimit limit;

    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
}

int main(int argc, char **argv)
{
    struct load l = {.rooms = 1,
                     .rooms_each = 1,
                     .members = 1000,
                     .window = 64,
                     .opening = 200,
                     .poller = epoll_create1(EPOLL_CLOEXEC)};
    struct times times = {.warm_ms = 300, .run_ms = 3000, .settle_ms = 300};
    static struct timings timings;
    struct report report = {0};
    bool complete;
    int pid;

    read_options(&l, &times, argc, argv);
    l.speech = speech_find(argv[optind]);
    if (l.speech == NULL)
        usage();
    l.port = (uint16_t)strtoul(argv[optind + 1], NULL, 10);
    pid = (int)strtol(argv[optind + 2], NULL, 10);
    allow_descriptors();
    make_clients(&l);
    open_all(&l, &report, pid, times.settle_ms * 1000000ULL);
    if (times.run_ms > 0) {
        for (unsigned room = 0; room < l.rooms; room++) {
            l.to_refill[l.refill_count++] = room;
            l.is_to_refill[room] = true;
        }
        spend(&l, times.warm_ms * 1000000ULL);
        measure(&l, &report, pid, times.run_ms * 1000000ULL, &timings);
    }
    complete = is_complete(&l);
    print_report(&l, &report, &timings);
    fflush(stdout);
    clients_leave(&l);
    return complete ? 0 : 1;
}
