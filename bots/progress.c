/* progress.c: see progress.h. The run's thread. */
#include "bots/progress.h"

#include "bots/stats.h"
#include "common/buf.h"

#include <stdio.h>
#include <sys/ioctl.h>
#include <unistd.h>

const char *progress_format_time(uint64_t us, char out[PROGRESS_TIME_SIZE])
{
    double n = us < 1000 ? (double)us : us < 1000000 ? (double)us / 1e3 : (double)us / 1e6;
    const char *unit = us < 1000 ? "µs" : us < 1000000 ? "ms" : "s";

    snprintf(out, PROGRESS_TIME_SIZE,
             us < 1000 ? "%.0f %s"
             : n < 10  ? "%.2f %s"
             : n < 100 ? "%.1f %s"
                       : "%.0f %s",
             n, unit);
    return out;
}

const char *progress_format_count(double n, char out[PROGRESS_TIME_SIZE])
{
    if (n < 1000)
        snprintf(out, PROGRESS_TIME_SIZE, "%.0f", n);
    else if (n < 1e6)
        snprintf(out, PROGRESS_TIME_SIZE, n < 1e4 ? "%.2fk" : n < 1e5 ? "%.1fk" : "%.0fk", n / 1e3);
    else
        snprintf(out, PROGRESS_TIME_SIZE, "%.2fM", n / 1e6);
    return out;
}

void progress_phase(struct run *r)
{
    if (r->stats.phase == PHASE_RAMP && !r->quiet)
        fprintf(stderr, "chatbot: %s, %u bots%s against %s%s\n", r->name, r->bot_count,
                r->settings.tls ? " on TLS" : "", r->hosts[0].name,
                r->settings.closed ? "; closed loop" : "");
}

/* Bytes of a line's first `columns` columns; each character is one wide here. */
static size_t cut(const char *line, size_t len, size_t columns)
{
    size_t at = 0;

    for (size_t n = 0; at < len; at++)
        if (((unsigned char)line[at] & 0xc0) != 0x80 && n++ == columns)
            break;
    return at;
}

static void put_talk(const struct stats_row *row, double seconds, struct buf *line)
{
    char sent[PROGRESS_TIME_SIZE], got[PROGRESS_TIME_SIZE], p50[PROGRESS_TIME_SIZE], p99[PROGRESS_TIME_SIZE];

    buf_putf(line, "sent %s/s  delivered %s/s  p50 %s  p99 %s",
             progress_format_count((double)row->delta.sends / seconds, sent),
             progress_format_count((double)row->delta.deliveries / seconds, got),
             row->max > 0 ? progress_format_time(row->p50, p50) : "-",
             row->max > 0 ? progress_format_time(row->p99, p99) : "-");
}

/* Where nobody talks, what there is to see is how they come in. */
static void put_entry(const struct run *r, const struct stats_row *row, double seconds, struct buf *line)
{
    char rate[PROGRESS_TIME_SIZE], p50[PROGRESS_TIME_SIZE], p99[PROGRESS_TIME_SIZE];

    buf_putf(line, "%u ready  logins %s/s  entry p50 %s  p99 %s", r->ready,
             progress_format_count((double)row->delta.logins / seconds, rate),
             row->entry_p99 > 0 ? progress_format_time(row->entry_p50, p50) : "-",
             row->entry_p99 > 0 ? progress_format_time(row->entry_p99, p99) : "-");
}

static size_t terminal_columns(void)
{
    struct winsize size;

    return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 1 ? size.ws_col - 1u : 79;
}

/* At the end of a second: what was there in it. */
void progress_row(struct run *r, const struct stats_row *row)
{
    unsigned up = row->states[STATE_CONNECTED] + row->states[STATE_CHATTING] + row->states[STATE_HALF_CLOSED];
    double seconds = row->seconds > 0 ? row->seconds : 1;
    struct buf line = {0};

    if (r->quiet)
        return;
    buf_putf(&line, "%4.0f s  %-7s %u/%u up  ", row->at, stats_phase_name(row->phase), up, r->bot_count);
    if (r->stats.now.sends + r->stats.now.deliveries > 0)
        put_talk(row, seconds, &line);
    else
        put_entry(r, row, seconds, &line);
    buf_putf(&line, "  %llu wrong  cpu %.0f %%", (unsigned long long)r->stats.now.wrong, row->cpu * 100);
    if (row->server_cpu >= 0)
        buf_putf(&line, "  server %.0f %% %.1f MiB", row->server_cpu * 100,
                 (double)row->server_rss / 1048576);
    if (r->is_tty)
        fprintf(stderr, "\r\033[K%.*s", (int)cut(line.data, line.len, terminal_columns()), line.data);
    else
        fprintf(stderr, "%.*s\n", (int)line.len, line.data);
    fflush(stderr);
    buf_deinit(&line);
}

void progress_wrong(struct run *r, const char *text)
{
    fprintf(stderr, "%swrong: %s\n", r->is_tty ? "\r\033[K" : "", text);
    if (r->wrong_count == RUN_WRONGS)
        fputs("wrong: what else is wrong is only counted\n", stderr);
}

void progress_end(struct run *r)
{
    if (r->is_tty && !r->quiet)
        fputs("\r\033[K", stderr);
}
