/* report.c: the summary of a run for people, and the files that the others are written to; see report.h. */
#include "bots/report.h"

#include "bots/library.h"
#include "bots/progress.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const double shown[] = {50, 90, 99, 99.9, 99.99, 100};

#define SHOWN (sizeof shown / sizeof shown[0])

static void print_latency(const struct run *r, enum stats_latency l, FILE *to)
{
    const struct histogram *h = r->stats.latency[l];
    char text[PROGRESS_TIME_SIZE];

    if (h->count == 0)
        return;
    fprintf(to, "  %-9s", stats_latency_name(l));
    for (size_t i = 0; i < SHOWN; i++) {
        progress_format_time(histogram_percentile(h, shown[i]), text);
        fprintf(to, " %*s", strstr(text, "µ") != NULL ? 11 : 10, text); /* µ is two bytes and one column */
    }
    fprintf(to, " %12llu\n", (unsigned long long)h->count);
}

static void print_rates(const struct run *r, FILE *to)
{
    const struct stats_counts *from = &r->stats.measure_began, *upto = &r->stats.measure_ended;
    double seconds = stats_measured_seconds(&r->stats);

    if (seconds <= 0) {
        fprintf(to, "nothing was measured: the run was over before\n");
        return;
    }
    fprintf(to, "%.1f s measured: %.0f sends, %.0f acks and %.0f deliveries a second, %.0f logins a second\n",
            seconds, (double)(upto->sends - from->sends) / seconds,
            (double)(upto->acks - from->acks) / seconds,
            (double)(upto->deliveries - from->deliveries) / seconds,
            (double)(upto->logins - from->logins) / seconds);
    if (r->settings.closed)
        fputs(
            "closed loop: each bot waited for its answer, so that a stall of the server holds up the questions\n"
            "too; these latencies leave out what that hides\n",
            to);
    else if (r->settings.rate > 0)
        fprintf(to,
                "open loop: %.0f turns a second were due; latencies count from the time that each was due\n",
                r->settings.rate);
}

static void print_processes(const struct run *r, FILE *to)
{
    double seconds = stats_measured_seconds(&r->stats), with, without;
    const struct stats *s = &r->stats;

    if (seconds <= 0)
        return;
    report_find_memory(r, &with, &without);
    fprintf(to, "chatbot: %.0f %% of a core, %.2f KiB a bot (%.2f besides Lua's)\n",
            (double)(s->self_to.cpu_us - s->self_from.cpu_us) / seconds / 1e4, with / 1024, without / 1024);
    if (s->server_to.rss == 0)
        return;
    fprintf(to, "server (process %d): %.0f %% of a core, %.1f MiB, %u descriptors", (int)s->server,
            (double)(s->server_to.cpu_us - s->server_from.cpu_us) / seconds / 1e4,
            (double)s->server_to.rss / 1048576, s->server_to.descriptors);
    if (stats_server_growth(s) > -1000)
        fprintf(to, "; memory %+.1f %% over the measured time", stats_server_growth(s));
    fprintf(to, "; descriptors %u before, %u after\n", s->server_first.descriptors,
            s->server_last.descriptors);
}

static void print_ends(const struct run *r, FILE *to)
{
    const char *before = "ends:";

    for (int i = 0; i < ENDS; i++)
        if (r->stats.ends[i] > 0) {
            fprintf(to, "%s %llu %s", before, (unsigned long long)r->stats.ends[i],
                    stats_end_name((enum stats_end)i));
            before = ",";
        }
    fputs(before[0] == ',' ? "\n" : "", to);
}

static void print_verdict(const struct run *r, FILE *to)
{
    char text[256];

    if (r->unready)
        fprintf(to, "note: %u bots were not ready when the ramp's time was over\n", r->bot_count - r->ready);
    if (stats_find_own_limit(&r->stats, text, sizeof text))
        fprintf(to, "note: %s\n", text);
    if (r->stats.now.gaps > 0)
        fprintf(to, "note: %llu gap lines: messages that were no longer kept\n",
                (unsigned long long)r->stats.now.gaps);
    if (r->ledger.forgotten > 0)
        fprintf(to, "note: %llu messages came too late to compare their text with what others got\n",
                (unsigned long long)r->ledger.forgotten);
    if (r->interrupts > 0)
        fprintf(to, "note: the run was interrupted\n");
    if (!run_has_failed(r)) {
        fprintf(to, "right: %llu deliveries and %llu acks, each where it had to be\n",
                (unsigned long long)r->stats.now.deliveries, (unsigned long long)r->stats.now.acks);
        return;
    }
    fprintf(to, "WRONG: %llu", (unsigned long long)r->stats.now.wrong);
    for (int i = 0; i < CHECK_FAULTS; i++)
        if (r->stats.faults[i] > 0)
            fprintf(to, ", %llu %s", (unsigned long long)r->stats.faults[i],
                    check_fault_name((enum check_fault)i));
    fputs("\n", to);
}

void report_summary(const struct run *r, FILE *to)
{
    fprintf(to, "%s: %s\n", r->name, r->sentence != NULL ? r->sentence : "a script");
    fprintf(to, "%u bot%s, %.0f room%s, %s, texts of %zu to %zu bytes (%s), seed %.0f\n", r->bot_count,
            r->bot_count == 1 ? "" : "s", r->settings.rooms, r->settings.rooms == 1 ? "" : "s",
            r->settings.tls ? "TLS" : "plain", r->settings.size_min, r->settings.size_max,
            text_kind_name(r->settings.text), r->settings.seed);
    print_rates(r, to);
    fprintf(to, "  %-9s %10s %10s %10s %10s %10s %10s %12s\n", r->settings.closed ? "(closed)" : "", "p50",
            "p90", "p99", "p99.9", "p99.99", "max", "count");
    for (int l = 0; l < LATENCIES; l++)
        print_latency(r, (enum stats_latency)l, to);
    print_processes(r, to);
    print_ends(r, to);
    print_verdict(r, to);
}

void report_find_memory(const struct run *r, double *with, double *without)
{
    double grown = r->rss > r->before.rss ? (double)(r->rss - r->before.rss) : 0;
    double bots = r->bot_count > 0 ? r->bot_count : 1;

    *with = grown / bots;
    *without = grown > (double)r->lua_bytes ? (grown - (double)r->lua_bytes) / bots : 0;
}

bool report_check_flat(const struct run *r, char *out, size_t size)
{
    double growth = stats_server_growth(&r->stats);
    const struct stats *s = &r->stats;

    if (!(r->settings.flat > 0))
        return true;
    if (s->server_last.rss == 0 || growth <= -1000)
        snprintf(out, size, "the server's memory was to be looked at, and could not be");
    else if (growth > r->settings.flat)
        snprintf(out, size, "the server's memory has grown by %.1f %%", growth);
    else if (s->server_last.descriptors > s->server_first.descriptors)
        snprintf(out, size, "the server had %u descriptors before the bots came, and %u after they had gone",
                 s->server_first.descriptors, s->server_last.descriptors);
    else
        return true;
    return false;
}

int report_write_file(const char *path, const char *data, size_t len)
{
    bool to_stdout = strcmp(path, "-") == 0;
    FILE *f = to_stdout ? stdout : fopen(path, "we");
    bool ok = f != NULL && fwrite(data, 1, len, f) == len;

    if (f != NULL)
        ok = (to_stdout ? fflush(f) : fclose(f)) == 0 && ok;
    if (!ok)
        fprintf(stderr, "chatbot: %s: %s\n", path, strerror(errno));
    return ok ? 0 : -1;
}

/* JSON inside a script element: nothing in it may end that element. */
static void put_document(struct buf *b, const char *json)
{
    for (const char *p; (p = strchr(json, '<')) != NULL; json = p + 1) {
        buf_put(b, json, (size_t)(p - json));
        buf_puts(b, "\\u003c");
    }
    buf_puts(b, json);
}

int report_write_page(const char *path, const char *const documents[], size_t count)
{
    static const char mark[] = "/*RUNS*/[]";
    char *page = library_read_page(), *at = page != NULL ? strstr(page, mark) : NULL;
    struct buf b = {0};
    int ret = -1;

    if (at != NULL) {
        buf_put(&b, page, (size_t)(at - page));
        buf_puts(&b, "[");
        for (size_t i = 0; i < count; i++) {
            buf_puts(&b, i > 0 ? ",\n" : "");
            put_document(&b, documents[i]);
        }
        buf_puts(&b, "]");
        buf_puts(&b, at + sizeof mark - 1);
        ret = report_write_file(path, b.data, b.len);
    }
    buf_deinit(&b);
    free(page);
    return ret;
}
