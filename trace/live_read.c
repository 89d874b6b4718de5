/* live_read.c: reads on in event logs that grow. See live.h. */
#include "trace/live.h"

#include "common/buf.h"
#include "common/mem.h"
#include "trace/read_text.h"

#include <cjson/cJSON.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct live_file {
    struct live_file *next;
    char *path;
    int fd;
    struct buf rest; /* the start of a record */
    int64_t epoch_ns;
    bool is_client, has_header, is_bad;
};

static const char *text_of(const cJSON *o, const char *name)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(o, name);

    return cJSON_IsString(item) ? item->valuestring : "";
}

static double number_of(const cJSON *o, const char *name)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(o, name);

    return cJSON_IsNumber(item) ? item->valuedouble : 0;
}

static int match(const struct table_link *link, const void *key, size_t len)
{
    const struct live_conn *c = table_of(link, struct live_conn, link);

    return strlen(c->id) == len && memcmp(c->id, key, len) == 0;
}

static struct live_conn *conn_of(struct live *l, const char *id, bool is_client)
{
    size_t len = strnlen(id, LIVE_ID_SIZE - 1);
    uint32_t hash = table_hash(id, len);
    struct table_link *link = table_find(&l->by_id, hash, id, len, match);
    struct live_conn *c;

    if (link != NULL)
        return table_of(link, struct live_conn, link);
    c = mem_zalloc(sizeof *c);
    memcpy(c->id, id, len);
    c->is_client = is_client;
    table_insert(&l->by_id, &c->link, hash);
    TAILQ_INSERT_TAIL(&l->conns, c, in_order);
    return c;
}

static void note_end(struct live_conn *c, bool *which, int64_t now)
{
    if (*which)
        return;
    *which = true;
    c->half_ns = c->we_ended != c->peer_ended ? now : 0;
}

static void take_call(struct live_conn *c, const cJSON *data, int64_t now)
{
    const char *call = text_of(data, "call");
    double ret = number_of(data, "ret");

    if (strncmp(call, "recv", 4) == 0 && ret > 0)
        c->bytes_in += (uint64_t)ret;
    else if (strncmp(call, "send", 4) == 0 && ret > 0)
        c->bytes_out += (uint64_t)ret;
    else if (strncmp(call, "recv", 4) == 0 && ret >= 0)
        note_end(c, &c->peer_ended, now);
    else if (strncmp(call, "shutdown", 8) == 0 && ret >= 0)
        note_end(c, &c->we_ended, now);
}

static void take_event(struct live *l, struct live_conn *c, const char *name, const cJSON *data, int64_t now)
{
    (void)l;
    c->last_ns = now;
    if (strcmp(name, "tcp:connection") == 0) {
        readtext_addr(text_of(data, "local"), &c->local);
        readtext_addr(text_of(data, "peer"), &c->peer);
    } else if (strcmp(name, "tcp:state_updated") == 0) {
        c->state = readtext_state(text_of(data, "new"));
    } else if (strcmp(name, "app:call") == 0) {
        take_call(c, data, now);
    } else if (strcmp(name, "tcp:reset") == 0) {
        c->was_reset = true;
        snprintf(c->how, sizeof c->how, "RESET by %s, %.40s",
                 text_of(data, "direction")[0] == 's' ? "us" : "the peer", text_of(data, "why"));
    } else if (strcmp(name, "app:closed") == 0) {
        c->is_closed = true;
        c->closed_ns = now;
        if (!c->was_reset)
            snprintf(c->how, sizeof c->how, "%.30s (%.28s)", text_of(data, "how"), text_of(data, "reason"));
    }
}

/* "12:03:04.567 k3v-17 app:call send 346" */
static void keep_last(struct live *l, const struct live_conn *c, const char *name, const cJSON *data,
                      int64_t now)
{
    char *line = l->last[l->last_count++ % LIVE_LAST];
    int64_t s = now / 1000000000 % 86400;
    int n = snprintf(line, LIVE_LINE, "%02d:%02d:%02d.%03d  %-14.40s %-18.30s", (int)(s / 3600),
                     (int)(s / 60 % 60), (int)(s % 60), (int)(now / 1000000 % 1000), c->id, name);

    if (strcmp(name, "app:call") == 0)
        snprintf(line + n, LIVE_LINE - (size_t)n, " %.30s %.0f %.20s", text_of(data, "call"),
                 number_of(data, "ret"), text_of(data, "errno"));
    else if (strcmp(name, "tcp:state_updated") == 0)
        snprintf(line + n, LIVE_LINE - (size_t)n, " %.20s > %.20s (%.20s)", text_of(data, "old"),
                 text_of(data, "new"), text_of(data, "source"));
    else if (strcmp(name, "app:closed") == 0)
        snprintf(line + n, LIVE_LINE - (size_t)n, " %.30s", text_of(data, "how"));
}

static void take_header(struct live_file *f, const cJSON *json)
{
    const cJSON *trace = cJSON_GetObjectItemCaseSensitive(json, "trace"), *reference;

    reference = cJSON_GetObjectItemCaseSensitive(cJSON_GetObjectItemCaseSensitive(trace, "common_fields"),
                                                 "reference_time");
    f->has_header = true;
    f->is_client =
        strcmp(text_of(cJSON_GetObjectItemCaseSensitive(trace, "vantage_point"), "type"), "client") == 0;
    f->is_bad = !readtext_time(text_of(reference, "epoch"), &f->epoch_ns);
}

static void take_record(struct live *l, struct live_file *f, const char *record, size_t len)
{
    cJSON *json = cJSON_ParseWithLength(record, len);
    const cJSON *data = cJSON_GetObjectItemCaseSensitive(json, "data");
    const char *id = text_of(json, "group_id"), *name = text_of(json, "name");

    if (!f->has_header) {
        take_header(f, json);
    } else if (id[0] != '\0' && data != NULL) {
        struct live_conn *c = conn_of(l, id, f->is_client);
        int64_t now = f->epoch_ns + (int64_t)(number_of(json, "time") * 1e6);

        take_event(l, c, name, data, now);
        keep_last(l, c, name, data, now);
    }
    cJSON_Delete(json);
}

static void read_on(struct live *l, struct live_file *f)
{
    ssize_t n;

    while (!f->is_bad && (n = read(f->fd, buf_reserve(&f->rest, 65536), 65536)) > 0) {
        char *at = f->rest.data, *end, *lf;

        f->rest.len += (size_t)n;
        end = at + f->rest.len;
        while ((lf = memchr(at, '\n', (size_t)(end - at))) != NULL) {
            while (at < lf && *at == '\x1e')
                at++;
            if (lf > at)
                take_record(l, f, at, (size_t)(lf - at));
            at = lf + 1;
        }
        f->rest.len = (size_t)(end - at);
        memmove(f->rest.data, at, f->rest.len);
    }
}

static struct live_file *file_of(struct live *l, const char *path)
{
    struct live_file *f;
    int fd;

    for (f = l->files; f != NULL; f = f->next)
        if (strcmp(f->path, path) == 0)
            return f;
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return NULL;
    f = mem_zalloc(sizeof *f);
    f->path = mem_strdup(path);
    f->fd = fd;
    f->next = l->files;
    l->files = f;
    return f;
}

static int only_logs(const struct dirent *e)
{
    size_t len = strlen(e->d_name);

    return len > 6 && strcmp(e->d_name + len - 6, ".sqlog") == 0;
}

static int find_files(struct live *l)
{
    struct dirent **names = NULL;
    struct stat st;
    char path[4096];
    int n;

    if (stat(l->path, &st) != 0)
        return -errno;
    if (!S_ISDIR(st.st_mode))
        return file_of(l, l->path) != NULL ? 0 : -errno;
    n = scandir(l->path, &names, only_logs, alphasort);
    for (int i = 0; i < n; i++) {
        snprintf(path, sizeof path, "%s/%s", l->path, names[i]->d_name);
        file_of(l, path);
        free(names[i]);
    }
    free(names);
    return n < 0 ? -errno : 0;
}

int live_read(struct live *l)
{
    int ret = find_files(l);

    if (ret < 0) {
        fprintf(stderr, "chat-trace live: %s: %s\n", l->path, strerror(-ret));
        return -1;
    }
    for (struct live_file *f = l->files; f != NULL; f = f->next)
        read_on(l, f);
    return 0;
}

void live_close(struct live *l)
{
    struct live_conn *c;
    struct live_file *f;

    while ((c = TAILQ_FIRST(&l->conns)) != NULL) {
        TAILQ_REMOVE(&l->conns, c, in_order);
        free(c);
    }
    table_deinit(&l->by_id);
    while ((f = l->files) != NULL) {
        l->files = f->next;
        close(f->fd);
        buf_deinit(&f->rest);
        free(f->path);
        free(f);
    }
}
