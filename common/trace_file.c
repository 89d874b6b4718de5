/* trace_file.c: the files of the event log: a writer a thread, which has a buffer and the file that it goes
 * to. See trace_file.h. */
#include "common/trace_file.h"

#include "common/clock.h"
#include "common/log.h"
#include "common/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_BYTES (256ULL << 20)
#define FILES_KEPT 4 /* of one thread */

_Thread_local struct trace_writer *trace_mine;
static struct trace_options options;
static char *dir, *file, *prefix;
static atomic_uint threads;

static void write_all(struct trace_writer *w)
{
    size_t done = 0;

    while (done < w->len) {
        ssize_t n = write(w->fd, w->buffer + done, w->len - done);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            if (w->dropped++ == 0)
                log_event(LOG_ERROR, "trace-lost", "why=\"%s\" todo=\"make room where the trace is written\"",
                          strerror(errno));
            break;
        }
        done += (size_t)n;
    }
    w->written += w->len;
    w->len = 0;
}

static void name_of(const struct trace_writer *w, unsigned number, char *path, size_t size)
{
    if (file != NULL)
        snprintf(path, size, "%s", file);
    else
        snprintf(path, size, "%s/%s-%s-%ld-%u-%u.sqlog", dir, options.side, prefix, (long)getpid(), w->thread,
                 number);
}

static void read_boot_id(char id[40])
{
    FILE *f = fopen("/proc/sys/kernel/random/boot_id", "re");

    if (f == NULL || fgets(id, 40, f) == NULL)
        snprintf(id, 40, "unknown");
    id[strcspn(id, "\n")] = '\0';
    if (f != NULL)
        fclose(f);
}

static void put_header(struct trace_writer *w)
{
    char stamp[CLOCK_STAMP_SIZE], boot[40];

    w->epoch_ns = clock_wall_us() / 1000000U * 1000000000U;
    clock_format(w->epoch_ns / 1000, stamp);
    read_boot_id(boot);
    w->len += (size_t)snprintf(
        w->buffer + w->len, TRACE_RECORD_MAX,
        "\x1e{\"file_schema\":\"urn:ietf:params:qlog:file:sequential\",\"serialization_format\":"
        "\"application/qlog+json-seq\",\"title\":\"%s\",\"trace\":{\"common_fields\":{\"time_format\":"
        "\"relative_to_epoch\",\"reference_time\":{\"clock_type\":\"system\",\"epoch\":\"%s\"},"
        "\"host\":\"%s\","
        "\"system_info\":{\"process_id\":%ld}},\"vantage_point\":{\"name\":\"%s\",\"type\":\"%s\"},"
        "\"event_schemas\":[\"" TRACE_SCHEMA("app") "\",\"" TRACE_SCHEMA("tcp") "\",\"" TRACE_SCHEMA(
            "tls") "\",\"" TRACE_SCHEMA("chat") "\"]}}\n",
        options.program, stamp, boot, (long)getpid(), options.program, options.side);
}

static int open_file(struct trace_writer *w)
{
    char path[4096];

    name_of(w, ++w->number, path, sizeof path);
    w->fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | (file != NULL ? O_TRUNC : O_EXCL), 0640);
    if (w->fd < 0)
        return -errno;
    w->written = 0;
    put_header(w);
    return 0;
}

/* The next file, and the oldest one goes. When it can't be opened, the old one is gone on with. */
static void next_file(struct trace_writer *w)
{
    char path[4096];
    int old = w->fd;

    if (open_file(w) < 0) {
        w->fd = old;
        w->written = 0;
        return;
    }
    close(old);
    if (w->number > FILES_KEPT) {
        name_of(w, w->number - FILES_KEPT, path, sizeof path);
        unlink(path);
    }
}

void trace_file_flush(struct trace_writer *w, uint64_t now)
{
    write_all(w);
    w->flushed_ns = now;
    if (file == NULL && w->written > options.file_bytes)
        next_file(w);
}

struct trace_writer *trace_file_open(void)
{
    struct trace_writer *w = mem_alloc(sizeof *w);

    w->thread = atomic_fetch_add(&threads, 1) + 1;
    w->number = 0;
    w->len = 0;
    w->dropped = w->flushed_ns = 0;
    w->is_unbuffered = file != NULL;
    if (open_file(w) < 0) {
        log_event(LOG_ERROR, "trace-lost", "why=\"%s\"", strerror(errno));
        w->fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
    }
    trace_mine = w;
    return w;
}

static int can_write_to(const struct trace_options *o)
{
    int fd;

    if (o->dir != NULL)
        return mkdir(o->dir, 0750) == 0 || (errno == EEXIST && access(o->dir, W_OK | X_OK) == 0) ? 0 : -errno;
    fd = open(o->file, O_WRONLY | O_CREAT | O_CLOEXEC, 0640);
    if (fd < 0)
        return -errno;
    close(fd);
    return 0;
}

int trace_file_begin(const struct trace_options *o)
{
    int ret = can_write_to(o);

    if (ret < 0)
        return ret;
    options = *o;
    if (options.file_bytes == 0)
        options.file_bytes = FILE_BYTES;
    dir = o->dir != NULL ? mem_strdup(o->dir) : NULL;
    file = o->file != NULL ? mem_strdup(o->file) : NULL;
    prefix = mem_strdup(o->prefix);
    return 0;
}

void trace_file_close(struct trace_writer *w)
{
    close(w->fd);
    free(w);
}
