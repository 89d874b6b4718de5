/* fuzz_log.c: any bytes as records of an event log, behind a good header. What can be read of them must make a
 * model that can be finished and written again, and what was written must be read again without a complaint. */
#include "trace/read_log.h"
#include "trace/verdict.h"
#include "trace/write_log.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static const char head[] =
    "{\"file_schema\":\"urn:ietf:params:qlog:file:sequential\",\"trace\":{\"common_fields\":{"
    "\"host\":\"h\",\"reference_time\":{\"epoch\":\"2026-11-28T20:00:00Z\"}},"
    "\"vantage_point\":{\"type\":\"network\"},\"event_schemas\":[]}}";

/* Records are one behind the other, each with a separator before it. Whether all were good. */
static bool read_records(struct model *m, const char *text, size_t len, bool with_head)
{
    struct readlog *r = readlog_new(m);
    unsigned number = 0;
    bool good = !with_head || readlog_record(r, "x", head, sizeof head - 1, ++number);

    while (len > 0) {
        const char *end = memchr(text, '\x1e', len);
        size_t n = end != NULL ? (size_t)(end - text) : len;

        if (n > 0)
            good &= readlog_record(r, "x", text, n, ++number);
        n += end != NULL;
        text += n;
        len -= n;
    }
    readlog_free(r);
    return good;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct model *m = model_new(), *again = model_new();
    char *text = NULL;
    size_t size = 0;
    FILE *f = open_memstream(&text, &size);

    read_records(m, (const char *)data, len, true);
    model_finish(m);
    for (size_t i = 0; i < m->count; i++)
        verdict_of(m->conns[i]);
    writelog_conns(f, m->conns, m->count);
    fclose(f);
    if (!read_records(again, text, size, false))
        abort();
    model_finish(again);
    model_free(m);
    model_free(again);
    free(text);
    return 0;
}
