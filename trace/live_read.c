/* live_read.c: reads on in event logs that grow. See live.h. */
#include "trace/live.h"

#include "common/buf.h"
#include "common/clock.h"
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

#define READ_SIZE  65536
#define RECORD_MAX (16U << 20) /* bytes; no log has one as long */

/* It is open only while it is read: of a busy server there are many. */
struct live_file {
    struct live_file *next;
    char *path;
    ino_t inode;
    off_t at;        /* how far it was read */
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

static void forget(struct live *l, struct live_conn *c)
{
    TAILQ_REMOVE(&l->conns, c, in_order);
    if (c->is_closed)
        TAILQ_REMOVE(&l->closed, c, in_end);
    table_remove(&l->by_id, &c->link);
    l->forgotten++;
    free(c);
}

static void forget_closed(struct live *l)
{
    int64_t now = (int64_t)clock_wall_us() * 1000;
    struct live_conn *c;

    while ((c = TAILQ_FIRST(&l->closed)) != NULL && now - c->closed_ns > LIVE_KEEP_NS)
        forget(l, c);
}

/* Of several files those who ended long ago may come behind others. */
static void close_conn(struct live *l, struct live_conn *c, int64_t now)
{
    const struct live_conn *first = TAILQ_FIRST(&l->closed);

    if (!c->is_closed && first != NULL && first->closed_ns > now)
        TAILQ_INSERT_HEAD(&l->closed, c, in_end);
    else if (!c->is_closed)
        TAILQ_INSERT_TAIL(&l->closed, c, in_end);
    c->is_closed = true;
    c->closed_ns = now;
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
    while (l->by_id.count > LIVE_CONNS)
        forget(l, TAILQ_FIRST(&l->conns));
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
        c->bytes_in += readtext_u64(ret);
    else if (strncmp(call, "send", 4) == 0 && ret > 0)
        c->bytes_out += readtext_u64(ret);
    else if (strncmp(call, "recv", 4) == 0 && ret >= 0)
        note_end(c, &c->peer_ended, now);
    else if (strncmp(call, "shutdown", 8) == 0 && ret >= 0)
        note_end(c, &c->we_ended, now);
}

static void take_event(struct live *l, struct live_conn *c, const char *name, const cJSON *data, int64_t now)
{
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
        close_conn(l, c, now);
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
    if (strcmp(text_of(json, "file_schema"), "urn:ietf:params:qlog:file:sequential") != 0) {
        f->is_bad = true;
        return;
    }
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
        int64_t now = f->epoch_ns + readtext_ns(number_of(json, "time"));

        take_event(l, c, name, data, now);
        keep_last(l, c, name, data, now);
    }
    cJSON_Delete(json);
}

static void take_records(struct live *l, struct live_file *f)
{
    char *at = f->rest.data, *end = at + f->rest.len, *lf;

    while (!f->is_bad && (lf = memchr(at, '\n', (size_t)(end - at))) != NULL) {
        while (at < lf && *at == '\x1e')
            at++;
        if (lf > at)
            take_record(l, f, at, (size_t)(lf - at));
        at = lf + 1;
    }
    f->rest.len = (size_t)(end - at);
    memmove(f->rest.data, at, f->rest.len);
    f->is_bad |= f->rest.len > RECORD_MAX;
    forget_closed(l);
}

/* From where it was left; from its start where it is another file by now. false: it is gone. */
static bool read_on(struct live *l, struct live_file *f)
{
    int fd = open(f->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    struct stat st;
    ssize_t n;

    if (fd < 0)
        return errno != ENOENT;
    if (fstat(fd, &st) == 0 && (st.st_ino != f->inode || st.st_size < f->at)) {
        f->inode = st.st_ino;
        f->at = 0;
        f->rest.len = 0;
        f->has_header = false;
        f->is_bad = !S_ISREG(st.st_mode);
    }
    while (!f->is_bad && (n = pread(fd, buf_reserve(&f->rest, READ_SIZE), READ_SIZE, f->at)) > 0) {
        f->is_bad = f->at == 0 && f->rest.data[f->rest.len] != '\x1e';
        f->rest.len += (size_t)n;
        f->at += n;
        take_records(l, f);
    }
    close(fd);
    return true;
}

static struct live_file *file_of(struct live *l, const char *path)
{
    struct live_file **at = &l->files;

    for (; *at != NULL; at = &(*at)->next)
        if (strcmp((*at)->path, path) == 0)
            return *at;
    *at = mem_zalloc(sizeof **at);
    (*at)->path = mem_strdup(path);
    return *at;
}

static void free_file(struct live_file *f)
{
    buf_deinit(&f->rest);
    free(f->path);
    free(f);
}

static int only_logs(const struct dirent *e)
{
    size_t len = strlen(e->d_name);

    return len > 6 && strcmp(e->d_name + len - 6, ".sqlog") == 0;
}

static int find_files(struct live *l, bool *is_dir)
{
    struct dirent **names = NULL;
    struct stat st;
    char path[4096];
    int n;

    if (stat(l->path, &st) != 0)
        return -errno;
    *is_dir = S_ISDIR(st.st_mode);
    if (!*is_dir) {
        file_of(l, l->path);
        return access(l->path, R_OK) == 0 ? 0 : -errno;
    }
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
    bool is_dir = true;
    int ret = find_files(l, &is_dir);

    if (ret < 0) {
        fprintf(stderr, "chat-trace live: %s: %s\n", l->path, strerror(-ret));
        return -1;
    }
    l->bad_files = 0;
    for (struct live_file **at = &l->files; *at != NULL;) {
        struct live_file *f = *at;

        if (read_on(l, f)) {
            l->bad_files += f->is_bad;
            at = &f->next;
        } else {
            *at = f->next;
            free_file(f);
        }
    }
    forget_closed(l);
    if (!is_dir && l->bad_files > 0) {
        fprintf(stderr, "chat-trace live: %s: this is no event log (a .sqlog of chatd or chat)\n", l->path);
        return -1;
    }
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
        free_file(f);
    }
}
