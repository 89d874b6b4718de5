/* read_log.c: see read_log.h. */
#include "trace/read_log.h"

#include "common/mem.h"
#include "common/table.h"
#include "trace/read_text.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define RECORD_SEPARATOR '\x1e'
#define FILE_MAX         ((size_t)2 << 30)

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
    g->conn->end[r->side].id = model_keep(r->model, id);
    g->conn->end[r->side].host = r->host;
    g->conn->end[r->side].program = r->program;
    g->conn->end[r->side].has_log = true;
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
    f->rtt_us = (uint32_t)number_of(info, "rtt");
    f->rto_us = (uint32_t)number_of(info, "rto");
    f->unacked = (uint32_t)number_of(info, "unacked");
    f->unsent = (uint32_t)number_of(info, "unsent");
    f->retransmits = (uint32_t)number_of(info, "backoff");
    f->total_retrans = (uint32_t)number_of(info, "retransmitted");
    f->bytes_acked = (uint64_t)number_of(info, "acked");
    f->bytes_received = (uint64_t)number_of(info, "received");
    f->cwnd = (uint32_t)number_of(info, "cwnd");
    f->snd_wnd = (uint32_t)number_of(info, "snd_wnd");
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
    if (cJSON_IsNumber(isn)) {
        c->end[MODEL_CLIENT].isn = (uint32_t)isn->valuedouble;
        c->end[MODEL_CLIENT].has_isn = true;
    }
}

static void read_call(struct readlog *r, struct model_conn *c, int64_t time_ns, const cJSON *data)
{
    const char *err = text_of(data, "errno");
    struct model_call call = {
        .time_ns = time_ns,
        .side = r->side,
        .name = text_of(data, "call"),
        .detail = text_of(data, "detail"),
        .result = (int64_t)number_of(data, "ret"),
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

static void add_note(struct readlog *r, struct model_conn *c, int64_t time_ns, const char *kind,
                     const char *text)
{
    model_add_note(r->model, c, &(struct model_note){time_ns, r->side, kind, text});
}

static void read_other(struct readlog *r, struct model_conn *c, int64_t time_ns, const char *name,
                       const cJSON *data)
{
    char text[700];
    const char *detail = text_of(data, "detail"), *how = text_of(data, "how"),
               *direction = text_of(data, "direction");
    const char *type = text_of(data, "type"), *why = text_of(data, "why"), *reason = text_of(data, "reason");

    if (strncmp(name, "tls:", 4) == 0) {
        bool ok = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(data, "ok"));

        snprintf(text, sizeof text, "%s%s%s%s", name + 4, ok ? "" : " failed", detail != NULL ? " " : "",
                 detail != NULL ? detail : "");
        add_note(r, c, time_ns, "tls", text);
    } else if (strcmp(name, "app:closed") == 0 && how != NULL) {
        snprintf(text, sizeof text, "%s %s", how, reason != NULL ? reason : "");
        add_note(r, c, time_ns, "closed", text);
    } else if (strcmp(name, "tcp:reset") == 0 && direction != NULL) {
        snprintf(text, sizeof text, "%s %s", direction, why != NULL ? why : "");
        add_note(r, c, time_ns, "reset", text);
    } else if (strcmp(name, "chat:message") == 0 && type != NULL && direction != NULL) {
        snprintf(text, sizeof text, "%s %s %.0f", direction[0] == 'r' ? "<" : ">", type,
                 number_of(data, "length"));
        add_note(r, c, time_ns, "chat", text);
    }
}

static void read_segment(struct readlog *r, struct model_conn *c, int64_t time_ns, const cJSON *data)
{
    const char *direction = text_of(data, "direction"), *flags = text_of(data, "flags");
    struct model_segment s = {
        .time_ns = time_ns,
        .from = direction != NULL && direction[0] == 'r' ? model_other(r->side) : r->side,
        .source = MODEL_CAPTURE,
        .flags = flags != NULL ? readtext_flags(flags) : 0,
        .seq = (uint32_t)number_of(data, "seq"),
        .ack = (uint32_t)number_of(data, "ack"),
        .len = (uint32_t)number_of(data, "length"),
        .window = (uint32_t)number_of(data, "window"),
    };

    model_add_segment(r->model, c, &s);
}

static bool read_event(struct readlog *r, const cJSON *event)
{
    const cJSON *time = cJSON_GetObjectItemCaseSensitive(event, "time"), *data;
    const char *name = text_of(event, "name"), *id = text_of(event, "group_id");
    struct model_conn *c;
    int64_t time_ns;

    data = cJSON_GetObjectItemCaseSensitive(event, "data");
    if (!cJSON_IsNumber(time) || name == NULL || !cJSON_IsObject(data))
        return false;
    time_ns = r->epoch_ns + (int64_t)(time->valuedouble * 1e6 + 0.5);
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
    r->process = (long)number_of(cJSON_GetObjectItemCaseSensitive(common, "system_info"), "process_id");
    r->side = type != NULL && strcmp(type, "client") == 0 ? MODEL_CLIENT : MODEL_SERVER;
    return epoch != NULL && readtext_time(epoch, &r->epoch_ns);
}

bool readlog_record(struct readlog *r, const char *path, const char *record, size_t len, unsigned number)
{
    cJSON *json = memchr(record, '\0', len) == NULL ? cJSON_ParseWithLength(record, len) : NULL;
    bool ok = json != NULL && (number == 1 ? read_header(r, path, json) : read_event(r, json));

    cJSON_Delete(json);
    return ok;
}

/* Whole files, as records are taken from them in place. NULL and why in err. */
static char *read_all(const char *path, size_t *len, char err[READLOG_ERROR_SIZE])
{
    FILE *f = fopen(path, "re");
    char *all = NULL;
    size_t cap = 0, n;

    *len = 0;
    if (f == NULL) {
        snprintf(err, READLOG_ERROR_SIZE, "%s: %s", path, strerror(errno));
        return NULL;
    }
    do {
        cap = cap == 0 ? 65536 : cap * 2;
        all = mem_realloc(all, cap + 1);
        n = fread(all + *len, 1, cap - *len, f);
        *len += n;
    } while (*len == cap && cap < FILE_MAX);
    if (ferror(f) || (*len == 0 && n == 0)) {
        snprintf(err, READLOG_ERROR_SIZE, "%s: %s", path, ferror(f) ? strerror(errno) : "it is empty");
        free(all);
        all = NULL;
    }
    fclose(f);
    return all;
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

int readlog_file(struct readlog *r, const char *path, char err[READLOG_ERROR_SIZE])
{
    size_t len, bad = 0;
    char *all = read_all(path, &len, err), *at = all, *end;
    unsigned number = 0;

    if (all == NULL && is_empty_log(path)) {
        model_remark(r->model, "%s: it is empty: nothing has been recorded (yet)", path);
        return 0;
    }
    if (all == NULL)
        return -1;
    end = all + len;
    while (at < end) {
        char *next;

        while (at < end && (*at == RECORD_SEPARATOR || *at == '\n'))
            at++;
        if (at == end)
            break;
        next = memchr(at, RECORD_SEPARATOR, (size_t)(end - at));
        next = next != NULL ? next : end;
        if (!readlog_record(r, path, at, (size_t)(next - at), ++number)) {
            if (number == 1) {
                snprintf(err, READLOG_ERROR_SIZE,
                         "%s: this is no event log (a .sqlog of chatd or chat) and no capture", path);
                free(all);
                return -1;
            }
            if (++bad <= 5)
                remark_bad(r, path, number, next == end);
        }
        at = next;
    }
    if (bad > 5)
        model_remark(r->model, "%s: %zu records in all are no events and were left out", path, bad);
    free(all);
    return 0;
}
