/* report_json.c: a run as one JSON object; docs/chatbot.md names its fields. Times are µs. See report.h. */
#include "bots/report.h"

#include "common/clock.h"
#include "protocol/codec.h"

#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

static void put_name(struct buf *b, const char *name)
{
    if (b->len > 0 && b->data[b->len - 1] != '{' && b->data[b->len - 1] != '[')
        buf_puts(b, ",");
    codec_put_string(b, name, strlen(name));
    buf_puts(b, ":");
}

static void put_text(struct buf *b, const char *name, const char *text)
{
    put_name(b, name);
    codec_put_string(b, text, strlen(text));
}

static void put_number(struct buf *b, const char *name, double n)
{
    put_name(b, name);
    buf_putf(b, "%.10g", n);
}

static void put_count(struct buf *b, const char *name, uint64_t n)
{
    put_name(b, name);
    buf_put_uint(b, n);
}

static void put_bool(struct buf *b, const char *name, bool value)
{
    put_name(b, name);
    buf_puts(b, value ? "true" : "false");
}

static void put_settings(const struct run *r, struct buf *b)
{
    char text[64];

    put_name(b, "settings");
    buf_puts(b, "{");
    for (size_t i = 0; i < settings_count; i++) {
        const struct settings_entry *e = &settings_entries[i];

        settings_format(&r->settings, e, text, sizeof text);
        if (e->kind == SETTINGS_FLAG)
            put_bool(b, e->name, strcmp(text, "yes") == 0);
        else if (settings_is_number(&r->settings, e))
            put_number(b, e->name, strtod(text, NULL));
        else
            put_text(b, e->name, text);
    }
    buf_puts(b, "}");
}

/* The curve: percentiles ever closer to 100, as far as the count carries. */
static void put_curve(struct buf *b, const struct histogram *h)
{
    double rest = 50;

    put_name(b, "curve");
    buf_puts(b, "[");
    for (double p = 0; p < 50; p += 5)
        buf_putf(b, "%s[%g,%llu]", p > 0 ? "," : "", p, (unsigned long long)histogram_percentile(h, p));
    for (; rest * (double)h->count >= 50; rest /= 1.2589254) /* ten points a tenfold */
        buf_putf(b, ",[%.6f,%llu]", 100 - rest, (unsigned long long)histogram_percentile(h, 100 - rest));
    buf_putf(b, ",[100,%llu]]", (unsigned long long)h->max);
}

static void put_latency(struct buf *b, const char *name, const struct histogram *h, bool early)
{
    static const struct {
        const char *name;
        double percent;
    } points[] = {{"p50", 50}, {"p90", 90}, {"p95", 95}, {"p99", 99}, {"p999", 99.9}, {"p9999", 99.99}};

    put_name(b, name);
    buf_puts(b, "{");
    put_count(b, "count", h->count);
    if (early)
        put_bool(b, "early", true);
    if (h->count > 0) {
        put_count(b, "min", h->min);
        put_number(b, "mean", histogram_mean(h));
        for (size_t i = 0; i < sizeof points / sizeof points[0]; i++)
            put_count(b, points[i].name, histogram_percentile(h, points[i].percent));
        put_count(b, "max", h->max);
        put_curve(b, h);
    }
    buf_puts(b, "}");
}

static void put_counts(struct buf *b, const char *name, const struct stats_counts *from,
                       const struct stats_counts *to)
{
    static const struct stats_counts none;

    from = from != NULL ? from : &none;
    put_name(b, name);
    buf_puts(b, "{");
    put_count(b, "turns", to->turns - from->turns);
    put_count(b, "late_turns", to->late_turns - from->late_turns);
    put_count(b, "sends", to->sends - from->sends);
    put_count(b, "acks", to->acks - from->acks);
    put_count(b, "deliveries", to->deliveries - from->deliveries);
    put_count(b, "gaps", to->gaps - from->gaps);
    put_count(b, "errors", to->errors - from->errors);
    put_count(b, "connects", to->connects - from->connects);
    put_count(b, "logins", to->logins - from->logins);
    put_count(b, "lines", to->lines - from->lines);
    put_count(b, "bytes_in", to->bytes_in - from->bytes_in);
    put_count(b, "bytes_out", to->bytes_out - from->bytes_out);
    put_count(b, "wrong", to->wrong - from->wrong);
    buf_puts(b, "}");
}

/* Rows as arrays, their columns named once. */
static void put_rows(const struct run *r, struct buf *b)
{
    put_name(b, "columns");
    buf_puts(
        b,
        "[\"at\",\"phase\",\"sends\",\"acks\",\"deliveries\",\"logins\",\"errors\",\"wrong\",\"p50\",\"p99\","
        "\"p999\",\"max\",\"ack_p50\",\"ack_p99\",\"entry_p50\",\"entry_p99\",\"lag_max\",\"cpu\",\"server_cpu\",\"server_rss\","
        "\"server_descriptors\"");
    for (int i = 0; i < STATES; i++)
        buf_putf(b, ",\"%s\"", stats_state_name((enum stats_state)i));
    buf_puts(b, "]");
    put_name(b, "rows");
    buf_puts(b, "[");
    for (size_t n = 0; n < r->stats.row_count; n++) {
        const struct stats_row *row = &r->stats.rows[n];
        const uint64_t whole[] = {row->delta.sends,  row->delta.acks,   row->delta.deliveries,
                                  row->delta.logins, row->delta.errors, row->delta.wrong,
                                  row->p50,          row->p99,          row->p999,
                                  row->max,          row->ack_p50,      row->ack_p99,
                                  row->entry_p50,    row->entry_p99,    row->lag_max};

        buf_putf(b, "%s\n[%.3f,\"%s\"", n > 0 ? "," : "", row->at, stats_phase_name(row->phase));
        for (size_t i = 0; i < sizeof whole / sizeof whole[0]; i++)
            buf_putf(b, ",%llu", (unsigned long long)whole[i]);
        buf_putf(b, ",%.3f,%.3f,%llu,%u", row->cpu, row->server_cpu, (unsigned long long)row->server_rss,
                 row->server_descriptors);
        for (int i = 0; i < STATES; i++)
            buf_putf(b, ",%u", row->states[i]);
        buf_puts(b, "]");
    }
    buf_puts(b, "]");
}

static void put_chatbot(const struct run *r, struct buf *b)
{
    double seconds = stats_measured_seconds(&r->stats), with, without;
    char limit[256] = "";

    stats_find_own_limit(&r->stats, limit, sizeof limit);
    report_find_memory(r, &with, &without);
    put_name(b, "chatbot");
    buf_puts(b, "{");
    put_number(b, "cpu",
               seconds > 0 ? (double)(r->stats.self_to.cpu_us - r->stats.self_from.cpu_us) / 1e6 / seconds
                           : 0);
    put_number(b, "bytes_per_bot", with);
    put_number(b, "bytes_per_bot_besides_lua", without);
    put_count(b, "lua_bytes", r->lua_bytes);
    put_text(b, "limit", limit);
    put_count(b, "not_compared", r->ledger.forgotten);
    buf_puts(b, "}");
}

static void put_server(const struct run *r, struct buf *b)
{
    const struct stats *s = &r->stats;
    double seconds = stats_measured_seconds(s), growth;

    put_name(b, "server");
    if (s->server_last.rss == 0) {
        buf_puts(b, "null");
        return;
    }
    buf_puts(b, "{");
    put_count(b, "pid", (uint64_t)s->server);
    put_number(b, "cpu",
               seconds > 0 ? (double)(s->server_to.cpu_us - s->server_from.cpu_us) / 1e6 / seconds : 0);
    put_count(b, "cpu_us", s->server_to.cpu_us - s->server_from.cpu_us);
    put_count(b, "rss_before", s->server_first.rss);
    put_count(b, "rss", s->server_to.rss);
    put_count(b, "rss_after", s->server_last.rss);
    if (stats_server_growth(s, &growth)) {
        put_number(b, "growth_percent", growth);
    } else {
        put_name(b, "growth_percent");
        buf_puts(b, "null");
    }
    put_count(b, "descriptors_before", s->server_first.descriptors);
    put_count(b, "descriptors_after", s->server_last.descriptors);
    buf_puts(b, "}");
}

static void put_wrongs(const struct run *r, struct buf *b)
{
    put_name(b, "faults");
    buf_puts(b, "{");
    for (int i = 0; i < CHECK_FAULTS; i++)
        if (r->stats.faults[i] > 0)
            put_count(b, check_fault_name((enum check_fault)i), r->stats.faults[i]);
    buf_puts(b, "}");
    put_name(b, "wrong");
    buf_puts(b, "[");
    for (size_t i = 0; i < r->wrong_count; i++) {
        buf_puts(b, i > 0 ? "," : "");
        codec_put_string(b, r->wrongs[i], strlen(r->wrongs[i]));
    }
    buf_puts(b, "]");
}

static void put_head(const struct run *r, struct buf *b)
{
    char began[CLOCK_STAMP_SIZE];
    struct utsname machine;

    clock_format(clock_wall_us() - (clock_mono_us() - r->stats.began_us), began);
    put_text(b, "scenario", r->name);
    put_text(b, "sentence", r->sentence != NULL ? r->sentence : "");
    put_text(b, "began", began);
    put_text(b, "host", r->hosts[0].name);
    if (uname(&machine) == 0) {
        put_text(b, "system", machine.release);
        put_count(b, "cores", (uint64_t)sysconf(_SC_NPROCESSORS_ONLN));
    }
    put_bool(b, "ok", !run_has_failed(r));
    put_bool(b, "interrupted", r->interrupts > 0);
    put_text(b, "loop", r->settings.closed ? "closed" : "open");
    put_number(b, "measured_seconds", stats_measured_seconds(&r->stats));
    put_count(b, "unready", r->unready);
    put_count(b, "stretched", r->stretched);
    put_count(b, "new_epochs", r->ledger.epochs);
    put_name(b, "turns");
    buf_puts(b, "{");
    put_number(b, "rate", run_rate(r));
    put_count(b, "due", r->stats.turns_begun + r->stats.turns_missed);
    put_count(b, "begun", r->stats.turns_begun);
    put_count(b, "not_begun", r->stats.turns_missed);
    put_count(b, "late", r->stats.measure_ended.late_turns - r->stats.measure_began.late_turns);
    buf_puts(b, "}");
}

void report_put_json(const struct run *r, struct buf *b)
{
    buf_puts(b, "{");
    put_head(r, b);
    put_settings(r, b);
    put_counts(b, "total", NULL, &r->stats.now);
    put_counts(b, "measured", &r->stats.measure_began, &r->stats.measure_ended);
    put_name(b, "latency_us");
    buf_puts(b, "{");
    for (int l = 0; l < LATENCIES; l++) {
        bool early;
        const struct histogram *h = stats_shown(&r->stats, (enum stats_latency)l, &early);

        put_latency(b, stats_latency_name((enum stats_latency)l), h, early && h->count > 0);
    }
    buf_puts(b, "}");
    put_name(b, "ends");
    buf_puts(b, "{");
    for (int i = 0; i < ENDS; i++)
        if (r->stats.ends[i] > 0)
            put_count(b, stats_end_name((enum stats_end)i), r->stats.ends[i]);
    buf_puts(b, "}");
    put_wrongs(r, b);
    put_chatbot(r, b);
    put_server(r, b);
    put_rows(r, b);
    buf_puts(b, "}\n");
}
