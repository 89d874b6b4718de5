/* run.c: the phases of a run, from the first bot to the last; see run.h. */
#include "bots/run.h"

#include "bots/bot.h"
#include "bots/progress.h"
#include "bots/script.h"
#include "common/clock.h"
#include "common/mem.h"
#include "common/tls.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define BEAT_US           10000
#define UNDER_WAY_S       1.0 /* in the drain, that what is under way is waited for before anyone ends */
#define SPARE_DESCRIPTORS 64
#define FLAT_SECONDS      2   /* that the server has to close the last descriptors, where that is judged, */
#define SHOWN_SECONDS     0.2 /* or only shown */
#define LAST_SIGNAL       3   /* is not to be caught: whatever holds us up then is not in the script */

static volatile sig_atomic_t signals;
static struct sigaction of_loop[2]; /* libevent's handlers of SIGINT and SIGTERM */

int run_signals(void)
{
    return signals;
}

bool run_is_over(const struct run *r)
{
    return r->stats.phase >= PHASE_DRAIN;
}

double run_rate(const struct run *r)
{
    double rate = r->senders > 0 ? r->settings.rate : 0;

    for (size_t i = 0; i < r->role_count; i++)
        if (r->roles[i].sends && r->roles[i].bots > 0)
            rate += r->roles[i].rate;
    return rate;
}

/* Those that share a rate with this one. */
static unsigned count_sharers(const struct bot *b)
{
    const struct run_role *role = &b->run->roles[b->role];

    return role->rate > 0 ? role->bots : b->run->senders;
}

uint64_t run_interval_us(const struct bot *b)
{
    const struct run_role *role = &b->run->roles[b->role];
    double rate = role->rate > 0 ? role->rate : b->run->settings.rate;
    double us = rate > 0 ? (double)count_sharers(b) * 1e6 / rate : 0;

    return us > 0 && us < 1 ? 1 : (uint64_t)us;
}

uint64_t run_first_offset_us(const struct bot *b)
{
    return count_sharers(b) > 0 ? run_interval_us(b) * b->order / count_sharers(b) : 0;
}

const struct tcp_addr *run_find_loopback4(const struct run_host *host)
{
    for (size_t i = 0; i < host->address_count; i++)
        if (host->addresses[i].family == AF_INET && tcp_addr_is_loopback(&host->addresses[i]))
            return &host->addresses[i];
    return NULL;
}

void run_bot_is_ready(struct run *r)
{
    r->ready++;
}

void run_bot_is_over(struct run *r)
{
    r->over++;
}

bool run_has_failed(const struct run *r)
{
    return r->stats.now.wrong > 0;
}

void run_wrong(struct run *r, const struct bot *b, enum check_fault f, const char *text)
{
    struct buf line = {0};

    r->stats.now.wrong++;
    r->stats.faults[f]++;
    if (r->wrong_count == RUN_WRONGS)
        return;
    if (b != NULL)
        buf_putf(&line, "bot %u (%s): ", b->index + 1, b->nick);
    buf_putf(&line, "%s: %s", check_fault_name(f), text);
    r->wrongs[r->wrong_count++] = mem_strndup(line.data, line.len);
    buf_deinit(&line);
    progress_wrong(r, r->wrongs[r->wrong_count - 1]);
}

/* ---- phases */

static void count_bytes(struct run *r)
{
    for (unsigned i = 0; r->bots != NULL && i < r->bot_count; i++)
        bot_count_bytes(&r->bots[i]);
}

static void set_phase(struct run *r, enum stats_phase p)
{
    count_bytes(r);
    stats_set_phase(&r->stats, p);
    r->phase_us = clock_mono_us();
    progress_phase(r);
}

static void begin_traffic(struct run *r)
{
    r->unready = r->bot_count - r->ready;
    r->traffic_us = clock_mono_us();
    set_phase(r, PHASE_SETTLE);
    for (unsigned i = 0; i < r->bot_count; i++)
        script_traffic(&r->bots[i]);
}

/* What was due by now and only waits for its timer begins first. */
static void count_missed_turns(struct run *r)
{
    uint64_t now = clock_mono_us();

    if (r->stats.phase != PHASE_MEASURE)
        return;
    timers_fire_due(&r->timers);
    for (unsigned i = 0; i < r->bot_count; i++)
        r->stats.turns_missed += script_missed_turns(&r->bots[i], r->stats.measure_from_us, now);
}

static bool has_lasted(const struct run *r, double seconds)
{
    return (double)(clock_mono_us() - r->phase_us) >= seconds * 1e6;
}

static bool is_under_way(const struct run *r)
{
    for (unsigned i = 0; i < r->bot_count; i++)
        if (!r->bots[i].is_over && check_under_way(&r->bots[i].check) > 0)
            return true;
    return false;
}

/* Not before what was said has come to all: who listens would be gone before the last of it. Who is never answered does
 * not hold up the others for long. */
static void end_bots(struct run *r)
{
    if (r->is_ending || (is_under_way(r) && !has_lasted(r, UNDER_WAY_S)))
        return;
    r->is_ending = true;
    for (unsigned i = 0; i < r->bot_count; i++)
        script_over(&r->bots[i]);
}

static void begin_drain(struct run *r)
{
    struct proc_facts self;

    count_missed_turns(r);
    if (proc_read(getpid(), &self))
        r->rss = self.rss;
    r->lua_bytes = (uint64_t)lua_gc(r->lua, LUA_GCCOUNT) * 1024;
    set_phase(r, PHASE_DRAIN);
    end_bots(r);
}

static void give_up_waiting(struct run *r)
{
    for (unsigned i = 0; i < r->bot_count; i++)
        if (!r->bots[i].is_over)
            bot_wrong(&r->bots[i], CHECK_ANSWER, "has not come to its end: it was %s, %u sends under way",
                      stats_state_name((enum stats_state)r->bots[i].state),
                      check_under_way(&r->bots[i].check));
}

static void check_phase(struct run *r)
{
    const struct settings *s = &r->settings;

    if (r->over == r->bot_count && r->stats.phase < PHASE_DRAIN)
        begin_drain(r);
    switch (r->stats.phase) {
    case PHASE_RAMP:
        if (r->ready == r->bot_count || has_lasted(r, s->ramp + s->within))
            begin_traffic(r);
        break;
    case PHASE_SETTLE:
        if (has_lasted(r, s->settle))
            set_phase(r, PHASE_MEASURE);
        break;
    case PHASE_MEASURE:
        if (has_lasted(r, s->duration))
            begin_drain(r);
        break;
    case PHASE_DRAIN:
        end_bots(r);
        if (r->over == r->bot_count || has_lasted(r, s->drain)) {
            give_up_waiting(r);
            event_base_loopbreak(r->base);
        }
        break;
    case PHASE_OVER:
        break;
    }
}

/* ---- what the event loop calls */

static void on_timer(struct timer *t, void *arg)
{
    (void)arg;
    script_timer(timers_of(t, struct bot, timer));
}

static void plan_beat(struct run *r)
{
    uint64_t now = clock_mono_us();
    struct timeval wait = {.tv_usec = r->beat_us > now ? (suseconds_t)(r->beat_us - now) : 0};

    event_add(r->heartbeat, &wait);
}

static void on_beat(evutil_socket_t fd, short what, void *arg)
{
    struct run *r = arg;
    uint64_t now = clock_mono_us();

    (void)fd;
    (void)what;
    for (; r->beat_us <= now; r->beat_us += BEAT_US) /* each that was missed would have been late too */
        stats_latency(&r->stats, LATENCY_LAG, r->beat_us, now);
    check_phase(r);
    plan_beat(r);
}

static void on_second(evutil_socket_t fd, short what, void *arg)
{
    struct run *r = arg;

    (void)fd;
    (void)what;
    count_bytes(r);
    progress_row(r, stats_end_row(&r->stats));
}

static void on_signal(evutil_socket_t fd, short what, void *arg)
{
    struct run *r = arg;

    (void)fd;
    (void)what;
    if (r->interrupts++ == 0 && r->stats.phase < PHASE_DRAIN) {
        begin_drain(r);
        return;
    }
    give_up_waiting(r); /* of what was under way, nobody knows whether it was right */
    event_base_loopbreak(r->base);
}

/* Runs as soon as the signal comes, for a script that keeps the event loop from hearing of it. */
static void on_raw_signal(int sig)
{
    if (++signals >= LAST_SIGNAL) {
        signal(sig, SIG_DFL);
        raise(sig);
    }
    of_loop[sig == SIGTERM].sa_handler(sig);
}

static void catch_signal(int sig, struct event *e)
{
    struct sigaction ours = {.sa_handler = on_raw_signal, .sa_flags = SA_RESTART};

    event_add(e, NULL);
    sigfillset(&ours.sa_mask);
    sigaction(sig, &ours, &of_loop[sig == SIGTERM]);
}

/* ---- starting */

static int make_room_for_descriptors(const struct run *r)
{
    struct rlimit limit;
    rlim_t wanted = (rlim_t)r->bot_count + SPARE_DESCRIPTORS;

    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= wanted)
        return 0;
    limit.rlim_cur = limit.rlim_max == RLIM_INFINITY || limit.rlim_max > wanted ? wanted : limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur >= wanted)
        return 0;
    fprintf(stderr, "chatbot: %u bots need %lu open files, and at most %lu are allowed: see ulimit -n\n",
            r->bot_count, (unsigned long)wanted, (unsigned long)limit.rlim_max);
    return -1;
}

/* By shares, the first ones rounded up: 3 bots in 2 equal roles are 2 and 1. */
static void divide_roles(struct run *r)
{
    double sum = 0, done = 0;
    unsigned given = 0;

    for (size_t i = 0; i < r->role_count; i++)
        sum += r->roles[i].weight;
    for (size_t i = 0; i < r->role_count && sum > 0; i++) {
        unsigned upto;

        done += r->roles[i].weight;
        upto = (unsigned)(done / sum * r->bot_count + 0.5);
        r->roles[i].bots = upto - given;
        given = upto;
    }
}

static void make_bots(struct run *r)
{
    unsigned i = 0;

    r->bots = mem_zalloc(r->bot_count * sizeof *r->bots);
    for (size_t role = 0; role < r->role_count; role++)
        for (unsigned n = 0; n < r->roles[role].bots; n++, i++) {
            struct bot *b = &r->bots[i];

            bot_init(b, r, i);
            b->role = (uint8_t)role;
            b->tls = r->roles[role].tls >= 0 ? r->roles[role].tls != 0 : r->settings.tls;
            if (r->roles[role].rate > 0)
                b->order = n;
            else if (r->roles[role].sends)
                b->order = r->senders++;
        }
}

static void start_bots(struct run *r)
{
    uint64_t now = clock_mono_us();

    for (unsigned i = 0; i < r->bot_count; i++) {
        r->bots[i].wait = WAIT_START;
        timers_set(&r->timers, &r->bots[i].timer,
                   now + (uint64_t)(r->settings.ramp * 1e6 * i / (r->bot_count > 0 ? r->bot_count : 1)));
    }
}

static int make_events(struct run *r)
{
    static const struct timeval second = {.tv_sec = 1};
    struct event_config *config = event_config_new();

    event_config_set_flag(config, EVENT_BASE_FLAG_PRECISE_TIMER); /* epoll's own are whole milliseconds */
    r->base = event_base_new_with_config(config);
    event_config_free(config);
    if (r->base == NULL)
        return -1;
    r->second = event_new(r->base, -1, EV_PERSIST, on_second, r);
    r->heartbeat = event_new(r->base, -1, 0, on_beat, r);
    r->interrupt = evsignal_new(r->base, SIGINT, on_signal, r);
    r->terminate = evsignal_new(r->base, SIGTERM, on_signal, r);
    event_add(r->second, &second);
    catch_signal(SIGINT, r->interrupt);
    catch_signal(SIGTERM, r->terminate);
    timers_init(&r->timers, r->base, on_timer, r);
    return 0;
}

static int prepare(struct run *r)
{
    char err[TLS_ERROR_SIZE];

    r->bot_count = (unsigned)r->settings.bots;
    signal(SIGPIPE, SIG_IGN);
    dice_seed(&r->dice, (uint64_t)r->settings.seed);
    r->id = ((uint64_t)getpid() ^ clock_wall_us() / 1000) % (36 * 36 * 36 * 36);
    if (make_room_for_descriptors(r) != 0)
        return -1;
    r->tls = tls_new_client(NULL, err);
    if (r->tls == NULL || make_events(r) != 0) {
        fprintf(stderr, "chatbot: %s\n", r->tls == NULL ? err : "no event loop could be made");
        return -1;
    }
    divide_roles(r);
    return 0;
}

int run_go(struct run *r)
{
    if (prepare(r) != 0)
        return -1;
    proc_read(getpid(), &r->before);
    stats_init(&r->stats, r->server);
    r->phase_us = clock_mono_us();
    make_bots(r);
    start_bots(r);
    progress_phase(r);
    r->beat_us = clock_mono_us() + BEAT_US;
    plan_beat(r);
    event_base_dispatch(r->base);
    count_bytes(r);
    stats_set_phase(&r->stats, PHASE_OVER);
    stats_end_row(&r->stats);
    if (r->interrupts < 2)
        stats_await_descriptors(&r->stats, r->settings.flat > 0 ? FLAT_SECONDS : SHOWN_SECONDS);
    progress_end(r);
    return 0;
}

void run_deinit(struct run *r)
{
    struct event *events[] = {r->second, r->heartbeat, r->interrupt, r->terminate};

    for (unsigned i = 0; r->bots != NULL && i < r->bot_count; i++)
        bot_deinit(&r->bots[i]);
    script_close(r);
    free(r->bots);
    timers_deinit(&r->timers);
    for (size_t i = 0; i < sizeof events / sizeof events[0]; i++)
        if (events[i] != NULL)
            event_free(events[i]);
    if (r->base != NULL)
        event_base_free(r->base);
    SSL_CTX_free(r->tls);
    ledger_deinit(&r->ledger);
    stats_deinit(&r->stats);
    buf_deinit(&r->scratch);
    buf_deinit(&r->text);
    for (size_t i = 0; i < r->wrong_count; i++)
        free(r->wrongs[i]);
    for (size_t i = 0; i < r->role_count; i++)
        free(r->roles[i].name);
    for (size_t i = 0; i < r->host_count; i++)
        free(r->hosts[i].name);
    free(r->sentence);
    free(r->path);
}
