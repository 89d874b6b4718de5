/* live.c: `chat-trace live`: the connections of a running chatd, a line each, and the last events below. One
 * thread.
 *
 * The event log says what happened; how a connection stands between two events (rtt, what is not
 * acknowledged) the kernel is asked for by its ends (sockdiag.h), where it is on this host. */
#include "trace/live.h"

#include "common/clock.h"
#include "common/sockdiag.h"
#include "trace/ladder.h"
#include "trace/show.h"

#include <getopt.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

static const char usage[] =
    "Usage: chat-trace live [--once] [--interval MS] [--width N] DIR|FILE\n"
    "Follows the event log of a running chatd (--trace DIR) or chat (--trace FILE): a line a connection,\n"
    "the last events below. ^C ends it.\n";

static volatile sig_atomic_t stopped;

static void on_stop(int signal)
{
    (void)signal;
    stopped = 1;
}

static int64_t now_ns(void)
{
    return (int64_t)clock_wall_us() * 1000;
}

/* What the kernel says now; a socket that is gone keeps what the log has said last. */
static void ask_kernel(const struct live *l, struct live_conn *c)
{
    struct sockdiag_socket s;

    c->facts.source = NULL;
    if (l->diag < 0 || c->local.family == 0 || sockdiag_find(l->diag, &c->local, &c->peer, &s) != 1)
        return;
    c->state = s.state;
    if (s.facts.source != NULL)
        c->facts = s.facts;
}

static bool is_half_closed(const struct live_conn *c)
{
    return !c->is_closed && c->we_ended != c->peer_ended;
}

static bool is_stalled(const struct live_conn *c)
{
    return c->facts.source != NULL && c->facts.retransmits > 0;
}

static void put_head(const struct live_conn *c, int64_t now, char *out, size_t size)
{
    const char *state = ladder_state_name(c->state, LADDER_MEDIUM);

    if (c->was_reset || c->is_closed)
        snprintf(out, size, "%s %s", c->was_reset ? "✖" : "○", c->how);
    else if (is_stalled(c))
        snprintf(out, size, "▲ STALLED %s  unacked %u  sent again %u  rto %u ms", state, c->facts.unacked,
                 c->facts.retransmits, c->facts.rto_us / 1000);
    else if (is_half_closed(c))
        snprintf(out, size, "◐ HALF-CLOSED %s  %s  %.1f s", state,
                 c->we_ended ? "we: done, peer: still sending" : "peer: done, we: still sending",
                 (double)(now - c->half_ns) / 1e9);
    else
        snprintf(out, size, "● %s", ladder_state_name(c->state, LADDER_FULL));
}

/* Ids and reasons are a file's, and a terminal would obey them. */
static void put_line(char *line, unsigned width)
{
    ladder_make_plain(line, false);
    line[ladder_fit(line, width)] = '\0';
    puts(line);
}

static void put_conn(const struct live_conn *c, unsigned width, int64_t now)
{
    char head[160], line[512], peer[TCP_ADDR_TEXT];
    int n;

    put_head(c, now, head, sizeof head);
    n = snprintf(line, sizeof line, "%s", head);
    if (c->facts.source != NULL && !c->is_closed)
        n += snprintf(line + n, sizeof line - (size_t)n, "  rtt %u us  unacked %u  unsent %u",
                      c->facts.rtt_us, c->facts.unacked, c->facts.unsent);
    snprintf(line + n, sizeof line - (size_t)n, "  ↑%llu ↓%llu  %s  %s", (unsigned long long)c->bytes_out,
             (unsigned long long)c->bytes_in, tcp_addr_format(&c->peer, peer), c->id);
    put_line(line, width);
}

static void draw(struct live *l, unsigned width, unsigned height)
{
    unsigned shown = 0, open = 0, most = height > LIVE_LAST + 6 ? height - LIVE_LAST - 4 : 10;
    unsigned from = l->last_count > LIVE_LAST ? l->last_count - LIVE_LAST : 0;
    int64_t now = now_ns();
    struct live_conn *c;

    TAILQ_FOREACH(c, &l->conns, in_order)
    open += !c->is_closed;
    printf("%u open, %llu in all, %s\n", open, (unsigned long long)(l->by_id.count + l->forgotten), l->path);
    if (l->bad_files > 0)
        printf("%u files there are no event logs\n", l->bad_files);
    TAILQ_FOREACH_REVERSE(c, &l->conns, live_queue, in_order)
    {
        if (shown++ == most) {
            puts("…");
            break;
        }
        if (!c->is_closed)
            ask_kernel(l, c);
        put_conn(c, width, now);
    }
    puts("");
    for (unsigned i = from; i < l->last_count; i++) {
        char line[LIVE_LINE];

        memcpy(line, l->last[i % LIVE_LAST], sizeof line);
        put_line(line, width);
    }
    fflush(stdout);
}

struct request {
    bool once;
    unsigned interval_ms, width;
};

static int parse(struct request *r, int argc, char **argv)
{
    static const struct option options[] = {{"once", no_argument, NULL, '1'},
                                            {"interval", required_argument, NULL, 'i'},
                                            {"width", required_argument, NULL, 'w'},
                                            {"help", no_argument, NULL, 'h'},
                                            {NULL, 0, NULL, 0}};
    int option;

    optind = 1;
    while ((option = getopt_long(argc, argv, "1i:w:h", options, NULL)) != -1) {
        if (option == '1')
            r->once = true;
        else if (option == 'i')
            r->interval_ms = (unsigned)strtoul(optarg, NULL, 10);
        else if (option == 'w')
            r->width = (unsigned)strtoul(optarg, NULL, 10);
        else {
            fputs(usage, option == 'h' ? stdout : stderr);
            return option == 'h' ? 0 : 2;
        }
    }
    if (optind + 1 != argc || r->interval_ms < 50 || r->interval_ms > 60000) {
        fputs(usage, stderr);
        return 2;
    }
    return -1;
}

static int follow(struct live *l, const struct request *r)
{
    struct timespec pause = {.tv_sec = r->interval_ms / 1000,
                             .tv_nsec = (long)(r->interval_ms % 1000) * 1000000};
    bool clear = isatty(STDOUT_FILENO) && !r->once;

    while (!stopped) {
        struct ladder_options o;
        struct winsize size = {.ws_row = 40};

        if (live_read(l) < 0)
            return 1;
        show_default_options(&o);
        ioctl(STDOUT_FILENO, TIOCGWINSZ, &size);
        if (clear)
            fputs("\033[H\033[J", stdout);
        draw(l, r->width != 0 ? r->width : o.width, size.ws_row);
        if (r->once)
            break;
        nanosleep(&pause, NULL);
    }
    return 0;
}

int live_main(int argc, char **argv)
{
    struct request r = {.interval_ms = 500};
    struct live l = {.diag = sockdiag_open()};
    int ret = parse(&r, argc, argv);

    if (ret >= 0)
        return ret;
    TAILQ_INIT(&l.conns);
    TAILQ_INIT(&l.closed);
    l.path = argv[optind];
    signal(SIGINT, on_stop);
    signal(SIGTERM, on_stop);
    ret = follow(&l, &r);
    live_close(&l);
    if (l.diag >= 0)
        close(l.diag);
    return ret;
}
