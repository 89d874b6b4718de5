/* report.c: the summary of a run for people, and the files that the others are written to; see report.h. */
#include "bots/report.h"

#include "bots/library.h"
#include "bots/progress.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define REPORT_MARK "/*RUNS*/[]"

static const double shown[] = {50, 90, 99, 99.9, 99.99, 100};

#define SHOWN (sizeof shown / sizeof shown[0])

static void print_latency(const struct run *r, enum stats_latency l, FILE *to)
{
    bool early;
    const struct histogram *h = stats_shown(&r->stats, l, &early);
    char text[PROGRESS_TIME_SIZE];

    if (h->count == 0)
        return;
    fprintf(to, "  %-9s", stats_latency_name(l));
    for (size_t i = 0; i < SHOWN; i++) {
        progress_format_time(histogram_percentile(h, shown[i]), text);
        fprintf(to, " %*s", strstr(text, "µ") != NULL ? 11 : 10, text); /* µ is two bytes and one column */
    }
    fprintf(to, " %12llu%s\n", (unsigned long long)h->count, early ? "  (before the measured time)" : "");
}

static void print_turns(const struct run *r, FILE *to)
{
    unsigned long long missed = r->stats.turns_missed, due = r->stats.turns_begun + missed;
    unsigned long long late = r->stats.measure_ended.late_turns - r->stats.measure_began.late_turns;

    fprintf(to, "open loop: %.0f turns a second were due; latencies count from the time that each was due\n",
            run_rate(r));
    if (late > 0)
        fprintf(to, "late: at %llu of %llu turns the bot was still busy with the one before\n", late, due);
    if (missed > 0)
        fprintf(to, "too much: %llu of %llu turns that were due were not begun; no latency knows of them\n",
                missed, due);
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
    else if (run_rate(r) > 0)
        print_turns(r, to);
}

static void print_processes(const struct run *r, FILE *to)
{
    double seconds = stats_measured_seconds(&r->stats), with, without, growth;
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
    if (stats_server_growth(s, &growth))
        fprintf(to, "; memory %+.1f %% over the measured time", growth);
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

    if (r->unready > 0)
        fprintf(to, "note: %u bots were not ready when the ramp's time was over\n", r->unready);
    if (stats_find_own_limit(&r->stats, text, sizeof text))
        fprintf(to, "note: %s\n", text);
    if (r->stretched > 0)
        fprintf(
            to,
            "note: %llu texts were longer than asked for: the mark that they are measured by takes up to %zu bytes\n",
            (unsigned long long)r->stretched, r->longest_mark);
    if (r->stats.now.gaps > 0)
        fprintf(to, "note: %llu gap lines: messages that were no longer kept\n",
                (unsigned long long)r->stats.now.gaps);
    if (r->ledger.epochs > 0)
        fprintf(to, "note: %llu times a room had a new order; what it had before is lost\n",
                (unsigned long long)r->ledger.epochs);
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
    const struct stats *s = &r->stats;
    double growth;

    if (!(r->settings.flat > 0))
        return true;
    if (s->server_last.rss == 0 || !stats_server_growth(s, &growth))
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

FILE *report_open(const char *path)
{
    int fd = strcmp(path, "-") != 0 ? open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0666) : -1;
    FILE *f = fd >= 0 ? fdopen(fd, "w") : strcmp(path, "-") == 0 ? stdout : NULL;

    if (f == NULL)
        fprintf(stderr, "chatbot: %s: %s\n", path, strerror(errno));
    return f;
}

void report_drop(FILE *f, const char *path)
{
    struct stat st;

    if (f == NULL || f == stdout)
        return;
    if (fstat(fileno(f), &st) == 0 && S_ISREG(st.st_mode) && st.st_size == 0)
        unlink(path); /* made by report_open, or as good as that */
    fclose(f);
}

/* What was in the file before stays there until now. */
static bool empty(FILE *f)
{
    struct stat st;

    return f == stdout || fstat(fileno(f), &st) != 0 || !S_ISREG(st.st_mode) || ftruncate(fileno(f), 0) == 0;
}

int report_write(FILE *f, const char *path, const char *data, size_t len)
{
    bool ok = empty(f) && fwrite(data, 1, len, f) == len;

    ok = (f == stdout ? fflush(f) : fclose(f)) == 0 && ok;
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

int report_write_page(FILE *f, const char *path, const char *template, const char *const documents[],
                      size_t count)
{
    const char *at = strstr(template, REPORT_MARK);
    struct buf b = {0};
    int ret;

    buf_put(&b, template, (size_t)(at - template));
    buf_puts(&b, "[");
    for (size_t i = 0; i < count; i++) {
        buf_puts(&b, i > 0 ? ",\n" : "");
        put_document(&b, documents[i]);
    }
    buf_puts(&b, "]");
    buf_puts(&b, at + strlen(REPORT_MARK));
    ret = report_write(f, path, b.data, b.len);
    buf_deinit(&b);
    return ret;
}

char *report_read_template(void)
{
    char *template = library_read_page();

    if (template != NULL && strstr(template, REPORT_MARK) == NULL) {
        fprintf(stderr, "chatbot: the page's template has no place for the runs: it is not chatbot's\n");
        free(template);
        template = NULL;
    }
    return template;
}
