/* read_log.c: see read_log.h. */
#include "trace/read_log.h"

#include "common/mem.h"
#include "common/table.h"
#include "common/trace.h"
#include "trace/read_text.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define RECORD_SEPARATOR '\x1e'

static const char no_log[] = "this is no event log (a .sqlog of chatd or chat) and no capture";

/* A connection under the name that its program gave it. */
struct group {
    struct table_link link;
    struct model_conn *conn;
    const char *key; /* "host/process/id" */
    uint64_t cookie;
};

struct readlog {
    struct model *model;
    struct table groups;
    /* of the file that is being read */
    const char *origin, *host, *program;
    enum model_side side;
    bool is_merged; /* of both sides, by chat-trace: each event says whose it is */
    long process;
    int64_t epoch_ns;
};

struct readlog *readlog_new(struct model *m)
{
    struct readlog *r = mem_zalloc(sizeof *r);

    r->model = m;
    return r;
}

void readlog_free(struct readlog *r)
{
    struct table_link *link;
    uint32_t at;

    if (r == NULL)
        return;
    for (link = table_first(&r->groups, &at); link != NULL;) {
        struct group *g = table_of(link, struct group, link);

        link = table_next(&r->groups, &at, link);
        free(g);
    }
    table_deinit(&r->groups);
    free(r);
}

static const char *text_of(const cJSON *o, const char *name)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(o, name);

    return cJSON_IsString(item) ? item->valuestring : NULL;
}

static double number_of(const cJSON *o, const char *name)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(o, name);

    return cJSON_IsNumber(item) ? item->valuedouble : 0;
}

static int match_group(const struct table_link *link, const void *key, size_t len)
{
    const struct group *g = table_of(link, struct group, link);

    return strlen(g->key) == len && memcmp(g->key, key, len) == 0;
}

static void take_log(struct readlog *r, struct model_conn *c, const char *id, const char *program)
{
    struct model_end *end = &c->end[r->side];

    end->id = model_keep(r->model, id);
    end->host = r->host;
    end->program = program;
    end->has_log = true;
}

/* The connection of an event; opened, still without addresses, at its first one. */
static struct model_conn *conn_of(struct readlog *r, const char *id)
{
    struct tcp_addr none = {0};
    struct table_link *link;
    struct group *g;
    char key[256];
    uint32_t hash;

    snprintf(key, sizeof key, "%s/%ld/%s", r->host, r->process, id);
    hash = table_hash(key, strlen(key));
    link = table_find(&r->groups, hash, key, strlen(key), match_group);
    if (link != NULL)
        return table_of(link, struct group, link)->conn;
    g = mem_zalloc(sizeof *g);
    g->key = model_keep(r->model, key);
    g->conn = model_open_conn(r->model, r->origin, &none, &none);
    if (!r->is_merged)
        take_log(r, g->conn, id, r->program);
    table_insert(&r->groups, &g->link, hash);
    return g->conn;
}

static bool read_info(const cJSON *data, enum tcp_state state, const char *source, struct tcp_facts *f)
{
    const cJSON *info = cJSON_GetObjectItemCaseSensitive(data, "info");

    *f = (struct tcp_facts){0};
    if (!cJSON_IsObject(info))
        return false;
    f->state = state;
    f->source = source;
    f->rtt_us = readtext_u32(number_of(info, "rtt") * 1000 + 0.5);
    f->rto_us = readtext_u32(number_of(info, "rto") * 1000 + 0.5);
    f->unacked = readtext_u32(number_of(info, "unacked"));
    f->unsent = readtext_u32(number_of(info, "unsent"));
    f->retransmits = readtext_u32(number_of(info, "backoff"));
    f->total_retrans = readtext_u32(number_of(info, "retransmitted"));
    f->bytes_acked = readtext_u64(number_of(info, "acked"));
    f->bytes_received = readtext_u64(number_of(info, "received"));
    f->cwnd = readtext_u32(number_of(info, "cwnd"));
    f->snd_wnd = readtext_u32(number_of(info, "snd_wnd"));
    return true;
}

static void read_connection(struct readlog *r, struct model_conn *c, const cJSON *data)
{
    struct model_end *us = &c->end[r->side], *them = &c->end[model_other(r->side)];
    const char *local = text_of(data, "local"), *peer = text_of(data, "peer"),
               *cookie = text_of(data, "cookie");
    const cJSON *isn = cJSON_GetObjectItemCaseSensitive(data, "client_isn");

    if (local != NULL)
        readtext_addr(local, &us->addr);
    if (peer != NULL)
        readtext_addr(peer, &them->addr);
    us->cookie = cookie != NULL ? strtoull(cookie, NULL, 16) : 0;
    if (r->is_merged && cookie != NULL)
        take_log(r, c, text_of(data, "id"), model_keep(r->model, text_of(data, "program")));
    if (r->is_merged && number_of(data, "watched") != 0)
        c->watched_ns = r->epoch_ns + readtext_ns(number_of(data, "watched"));
    if (cJSON_IsNumber(isn)) {
        c->end[MODEL_CLIENT].isn = readtext_u32(isn->valuedouble);
        c->end[MODEL_CLIENT].has_isn = true;
    }
}

static int64_t read_result(double ret)
{
    return ret < 0 ? -1 : (int64_t)(readtext_u64(ret) & INT64_MAX);
}

static void read_call(struct readlog *r, struct model_conn *c, int64_t time_ns, const cJSON *data)
{
    const char *err = text_of(data, "errno");
    struct model_call call = {
        .time_ns = time_ns,
        .side = r->side,
        .name = text_of(data, "call"),
        .detail = text_of(data, "detail"),
        .result = read_result(number_of(data, "ret")),
        .err = err != NULL ? readtext_errno(err) : 0,
        .has_result = true,
    };

    if (call.name == NULL)
        return;
    read_info(data, TCP_STATE_UNKNOWN, "tcp_info", &call.facts);
    model_add_call(r->model, c, &call);
}

/* The states of sockets that are told by cookie are given to their connections when all is read. */
static void read_state(struct readlog *r, struct model_conn *c, int64_t time_ns, const cJSON *data)
{
    const char *name = text_of(data, "new"), *source = text_of(data, "source"),
               *cookie = text_of(data, "cookie");
    struct model_state s = {.time_ns = time_ns, .side = r->side};

    if (name == NULL || source == NULL)
        return;
    s.state = readtext_state(name);
    s.source = readtext_source(source);
    read_info(data, s.state, model_source_name(s.source), &s.facts);
    if (c != NULL)
        model_add_state(r->model, c, &s);
    else if (cookie != NULL)
        model_add_orphan(r->model, &(struct model_orphan){r->host, strtoull(cookie, NULL, 16), s});
}

/* What becomes a text beside the ladder. */
static void read_other(struct readlog *r, struct model_conn *c, int64_t time_ns, const char *name,
                       const cJSON *data)
{
    char text[700];
    const char *detail = text_of(data, "detail"), *how = text_of(data, "how"),
               *direction = text_of(data, "direction"), *kind = NULL;
    const char *type = text_of(data, "type"), *why = text_of(data, "why"), *reason = text_of(data, "reason");
    char *json;

    if (strncmp(name, "tls:", 4) == 0) {
        bool ok = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(data, "ok"));

        kind = "tls";
        snprintf(text, sizeof text, "%s%s%s%s", name + 4, ok ? "" : " failed", detail != NULL ? " " : "",
                 detail != NULL ? detail : "");
    } else if (strcmp(name, "app:closed") == 0 && how != NULL) {
        kind = "closed";
        snprintf(text, sizeof text, "%s %s", how, reason != NULL ? reason : "");
    } else if (strcmp(name, "tcp:reset") == 0 && direction != NULL) {
        kind = "reset";
        snprintf(text, sizeof text, "%s %s", direction, why != NULL ? why : "");
    } else if (strcmp(name, "chat:message") == 0 && type != NULL && direction != NULL) {
        kind = "chat";
        snprintf(text, sizeof text, "%s %s %.0f", direction[0] == 'r' ? "<" : ">", type,
                 number_of(data, "length"));
    }
    if (kind == NULL)
        return;
    json = cJSON_PrintUnformatted(data);
    model_add_note(r->model, c, &(struct model_note){time_ns, r->side, kind, text, name, json});
    cJSON_free(json);
}

static void read_segment(struct readlog *r, struct model_conn *c, int64_t time_ns, const cJSON *data)
{
    const char *direction = text_of(data, "direction"), *flags = text_of(data, "flags");
    struct model_segment s = {
        .time_ns = time_ns,
        .from = direction != NULL && direction[0] == 'r' ? model_other(r->side) : r->side,
        .source = MODEL_CAPTURE,
        .flags = flags != NULL ? readtext_flags(flags) : 0,
        .seq = readtext_u32(number_of(data, "seq")),
        .ack = readtext_u32(number_of(data, "ack")),
        .len = readtext_u32(number_of(data, "length")),
        .window = readtext_u32(number_of(data, "window")),
        .frame = readtext_u32(number_of(data, "frame")),
        .retransmission = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(data, "retransmission")),
        .keepalive = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(data, "keepalive")),
    };

    model_add_segment(r->model, c, &s);
}

static bool read_event(struct readlog *r, const cJSON *event)
{
    const cJSON *time = cJSON_GetObjectItemCaseSensitive(event, "time"), *data;
    const char *name = text_of(event, "name"), *id = text_of(event, "group_id"),
               *side = text_of(event, "side");
    struct model_conn *c;
    int64_t time_ns;

    data = cJSON_GetObjectItemCaseSensitive(event, "data");
    if (!cJSON_IsNumber(time) || name == NULL || !cJSON_IsObject(data))
        return false;
    time_ns = r->epoch_ns + readtext_ns(time->valuedouble);
    if (r->is_merged)
        r->side = side != NULL && strcmp(side, "server") == 0 ? MODEL_SERVER : MODEL_CLIENT;
    c = id != NULL ? conn_of(r, id) : NULL;
    if (strcmp(name, "tcp:state_updated") == 0)
        read_state(r, c, time_ns, data);
    else if (c == NULL)
        return true; /* an event of a schema that nobody here knows */
    else if (strcmp(name, "app:call") == 0)
        read_call(r, c, time_ns, data);
    else if (strcmp(name, "tcp:connection") == 0)
        read_connection(r, c, data);
    else if (strcmp(name, "tcp:segment") == 0)
        read_segment(r, c, time_ns, data);
    else
        read_other(r, c, time_ns, name, data);
    return true;
}

/* Another version may mean other things by the same names. */
static void remark_schemas(struct readlog *r, const char *path, const cJSON *schemas)
{
    const cJSON *schema;

    cJSON_ArrayForEach(schema, schemas)
    {
        if (cJSON_IsString(schema) &&
            strncmp(schema->valuestring, TRACE_SCHEMAS, strlen(TRACE_SCHEMAS)) == 0 &&
            strncmp(schema->valuestring, TRACE_SCHEMA(""), strlen(TRACE_SCHEMA(""))) != 0) {
            model_remark(r->model, "%s: it is by %.80s, and read as if it were by " TRACE_SCHEMA_VERSION,
                         path, schema->valuestring);
            return;
        }
    }
}

static bool read_header(struct readlog *r, const char *path, const cJSON *head)
{
    const cJSON *trace = cJSON_GetObjectItemCaseSensitive(head, "trace"), *common, *reference, *point;
    const char *schema = text_of(head, "file_schema"), *epoch, *host, *type;

    common = cJSON_GetObjectItemCaseSensitive(trace, "common_fields");
    reference = cJSON_GetObjectItemCaseSensitive(common, "reference_time");
    point = cJSON_GetObjectItemCaseSensitive(trace, "vantage_point");
    if (schema == NULL || strcmp(schema, "urn:ietf:params:qlog:file:sequential") != 0 || point == NULL)
        return false;
    epoch = text_of(reference, "epoch");
    host = text_of(common, "host");
    type = text_of(point, "type");
    r->origin = model_keep(r->model, path);
    r->host = model_keep(r->model, host != NULL ? host : path);
    r->program = model_keep(r->model, text_of(point, "name"));
    r->process =
        (long)readtext_u32(number_of(cJSON_GetObjectItemCaseSensitive(common, "system_info"), "process_id"));
    r->side = type != NULL && strcmp(type, "client") == 0 ? MODEL_CLIENT : MODEL_SERVER;
    r->is_merged = type != NULL && strcmp(type, "network") == 0;
    remark_schemas(r, path, cJSON_GetObjectItemCaseSensitive(trace, "event_schemas"));
    return epoch != NULL && readtext_time(epoch, &r->epoch_ns);
}

bool readlog_record(struct readlog *r, const char *path, const char *record, size_t len, unsigned number)
{
    cJSON *json = memchr(record, '\0', len) == NULL ? cJSON_ParseWithLength(record, len) : NULL;
    bool ok = json != NULL && (number == 1 ? read_header(r, path, json) : read_event(r, json));

    cJSON_Delete(json);
    return ok;
}

static void remark_bad(struct readlog *r, const char *path, unsigned number, bool last)
{
    if (last)
        model_remark(r->model, "%s: its last record is cut; all before it were read", path);
    else
        model_remark(r->model, "%s: record %u is no event and was left out", path, number);
}

/* A program makes its file before it has anything to write into it. */
static bool is_empty_log(const char *path)
{
    const char *dot = strrchr(path, '.');
    struct stat st;

    return dot != NULL && strcmp(dot, ".sqlog") == 0 && stat(path, &st) == 0 && S_ISREG(st.st_mode) &&
           st.st_size == 0;
}

static void fail(char err[READLOG_ERROR_SIZE], const char *path, const char *what)
{
    snprintf(err, READLOG_ERROR_SIZE, "%.200s: %s", path, what);
}

/* Its first byte is one that no capture and no text begins with. */
static FILE *open_log(struct readlog *r, const char *path, char err[READLOG_ERROR_SIZE])
{
    FILE *f = fopen(path, "re");
    int first = f != NULL ? fgetc(f) : EOF;

    if (first == RECORD_SEPARATOR)
        return f;
    if (f == NULL || ferror(f)) {
        fail(err, path, strerror(errno));
    } else if (first == EOF && is_empty_log(path)) {
        model_remark(r->model, "%s: it is empty: nothing has been recorded (yet)", path);
        err[0] = '\0';
    } else {
        fail(err, path, first == EOF ? "it is empty" : no_log);
    }
    if (f != NULL)
        fclose(f);
    return NULL;
}

int readlog_file(struct readlog *r, const char *path, char err[READLOG_ERROR_SIZE])
{
    FILE *f = open_log(r, path, err);
    char *record = NULL;
    size_t cap = 0, bad = 0;
    unsigned number = 0;
    ssize_t len;
    int ret = 0;

    if (f == NULL)
        return err[0] == '\0' ? 0 : -1;
    while (ret == 0 && (len = getdelim(&record, &cap, RECORD_SEPARATOR, f)) > 0) {
        bool last = record[len - 1] != RECORD_SEPARATOR;

        len -= last ? 0 : 1;
        if (len == 0 || readlog_record(r, path, record, (size_t)len, ++number))
            continue;
        if (number == 1) {
            fail(err, path, no_log);
            ret = -1;
        } else if (++bad <= 5) {
            remark_bad(r, path, number, last);
        }
    }
    if (ret == 0 && ferror(f)) {
        fail(err, path, strerror(errno));
        ret = -1;
    }
    if (bad > 5)
        model_remark(r->model, "%s: %zu records in all are no events and were left out", path, bad);
    free(record);
    fclose(f);
    return ret;
}
