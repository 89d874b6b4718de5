/* progress.c: see progress.h. The run's thread. */
#include "bots/progress.h"

#include "bots/stats.h"

#include <stdio.h>

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

/* At the end of a second: what was there in it. */
void progress_row(struct run *r, const struct stats_row *row)
{
    char sent[PROGRESS_TIME_SIZE], got[PROGRESS_TIME_SIZE], p50[PROGRESS_TIME_SIZE], p99[PROGRESS_TIME_SIZE];
    unsigned up = row->states[STATE_CONNECTED] + row->states[STATE_CHATTING] + row->states[STATE_HALF_CLOSED];

    if (r->quiet)
        return;
    fprintf(stderr,
            "%s%4.0f s  %-7s %u/%u up  sent %s/s  delivered %s/s  p50 %s  p99 %s  %llu wrong  cpu %.0f %%",
            r->is_tty ? "\r\033[K" : "", row->at, stats_phase_name(row->phase), up, r->bot_count,
            progress_format_count((double)row->delta.sends, sent),
            progress_format_count((double)row->delta.deliveries, got), progress_format_time(row->p50, p50),
            progress_format_time(row->p99, p99), (unsigned long long)r->stats.now.wrong, row->cpu * 100);
    if (row->server_cpu >= 0)
        fprintf(stderr, "  server %.0f %% %.1f MiB", row->server_cpu * 100,
                (double)row->server_rss / 1048576);
    fputs(r->is_tty ? "" : "\n", stderr);
    fflush(stderr);
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
