/* trace.c: see trace.h. Records are put together by hand: printf would cost more than the calls that are
 * recorded. */
#include "common/trace.h"

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
#include <time.h>
#include <unistd.h>

#define BUFFER_SIZE (128U << 10)
#define RECORD_MAX  4096 /* no record is longer */
#define FLUSH_AT    (BUFFER_SIZE - RECORD_MAX)
#define FLUSH_NS    100000000ULL
#define FILE_BYTES  (256ULL << 20)
#define FILES_KEPT  4 /* of one thread */
#define TEXT_MAX    512

struct writer {
    int fd;
    unsigned thread, number; /* of its files, from 1 */
    size_t len;
    uint64_t epoch_ns, flushed_ns, written, dropped;
    char buffer[BUFFER_SIZE];
};

enum trace_level trace_level;
bool trace_wants_facts;
static struct trace_options options;
static char *dir, *file, *prefix;
static size_t prefix_len;
static atomic_uint threads;
static _Thread_local struct writer *mine;

static uint64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_REALTIME, &t);
    return (uint64_t)t.tv_sec * 1000000000U + (uint64_t)t.tv_nsec;
}

/* ---- putting a record together ---- */

#define PUT(at, text) put_bytes(at, "" text, sizeof(text) - 1)

static char *put_bytes(char *at, const char *from, size_t len)
{
    memcpy(at, from, len);
    return at + len;
}

static char *put_uint(char *at, uint64_t n)
{
    char digits[20];
    size_t i = sizeof digits;

    do {
        digits[--i] = (char)('0' + n % 10);
        n /= 10;
    } while (n > 0);
    return put_bytes(at, digits + i, sizeof digits - i);
}

static char *put_word(char *at, const char *word)
{
    return put_bytes(at, word, strlen(word));
}

/* A text as a JSON string, without its quotes, cut at TEXT_MAX bytes and at whole characters. */
static char *put_text(char *at, const char *text)
{
    const char *end = text + strnlen(text, TEXT_MAX);

    while (end > text && end - text == TEXT_MAX && ((unsigned char)*end & 0xc0) == 0x80)
        end--;
    for (; text < end; text++) {
        if (*text == '"' || *text == '\\')
            *at++ = '\\';
        if ((unsigned char)*text >= 0x20)
            *at++ = *text;
        else
            at += sprintf(at, "\\u%04x", (unsigned char)*text);
    }
    return at;
}

/* Milliseconds since the file's epoch, with nanoseconds behind the point. */
static char *put_time(char *at, uint64_t ns)
{
    uint32_t rest = (uint32_t)(ns % 1000000);

    at = put_uint(at, ns / 1000000);
    *at = '.';
    for (int i = 6; i > 0; i--) {
        at[i] = (char)('0' + rest % 10);
        rest /= 10;
    }
    return at + 7;
}

static char *put_facts(char *at, const struct tcp_facts *f)
{
    at = PUT(at, ",\"info\":{\"rtt\":");
    at = put_uint(at, f->rtt_us);
    at = PUT(at, ",\"rto\":");
    at = put_uint(at, f->rto_us);
    at = PUT(at, ",\"unacked\":");
    at = put_uint(at, f->unacked);
    at = PUT(at, ",\"unsent\":");
    at = put_uint(at, f->unsent);
    at = PUT(at, ",\"backoff\":");
    at = put_uint(at, f->retransmits);
    at = PUT(at, ",\"retransmitted\":");
    at = put_uint(at, f->total_retrans);
    at = PUT(at, ",\"acked\":");
    at = put_uint(at, f->bytes_acked);
    at = PUT(at, ",\"received\":");
    at = put_uint(at, f->bytes_received);
    at = PUT(at, ",\"cwnd\":");
    at = put_uint(at, f->cwnd);
    at = PUT(at, ",\"snd_wnd\":");
    at = put_uint(at, f->snd_wnd);
    *at++ = '}';
    return at;
}

/* ---- files ---- */

static void write_all(struct writer *w)
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

static void name_of(const struct writer *w, unsigned number, char *path, size_t size)
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

static void put_header(struct writer *w)
{
    char stamp[CLOCK_STAMP_SIZE], boot[40];

    w->epoch_ns = now_ns() / 1000000000U * 1000000000U;
    clock_format(w->epoch_ns / 1000, stamp);
    read_boot_id(boot);
    w->len += (size_t)snprintf(
        w->buffer + w->len, RECORD_MAX,
        "\x1e{\"file_schema\":\"urn:ietf:params:qlog:file:sequential\",\"serialization_format\":"
        "\"application/qlog+json-seq\",\"title\":\"%s\",\"trace\":{\"common_fields\":{\"time_format\":"
        "\"relative_to_epoch\",\"reference_time\":{\"clock_type\":\"system\",\"epoch\":\"%s\"},"
        "\"host\":\"%s\","
        "\"system_info\":{\"process_id\":%ld}},\"vantage_point\":{\"name\":\"%s\",\"type\":\"%s\"},"
        "\"event_schemas\":[\"" TRACE_SCHEMA("app") "\",\"" TRACE_SCHEMA("tcp") "\",\"" TRACE_SCHEMA(
            "tls") "\",\"" TRACE_SCHEMA("chat") "\"]}}\n",
        options.program, stamp, boot, (long)getpid(), options.program, options.side);
}

static int open_file(struct writer *w)
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
static void next_file(struct writer *w)
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

static void flush(struct writer *w, uint64_t now)
{
    write_all(w);
    w->flushed_ns = now;
    if (file == NULL && w->written > options.file_bytes)
        next_file(w);
}

static struct writer *new_writer(void)
{
    struct writer *w = mem_alloc(sizeof *w);

    w->thread = atomic_fetch_add(&threads, 1) + 1;
    w->number = 0;
    w->len = 0;
    w->dropped = w->flushed_ns = 0;
    if (open_file(w) < 0) {
        log_event(LOG_ERROR, "trace-lost", "why=\"%s\"", strerror(errno));
        w->fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
    }
    mine = w;
    return w;
}

/* Where the next record goes, its time, name and connection written already; finish_record ends it. */
static char *start_record(struct writer **out, const char *name, size_t name_len, uint64_t id, uint64_t now)
{
    struct writer *w = mine != NULL ? mine : new_writer();
    char *at = w->buffer + w->len;

    *out = w;
    at = PUT(at, "\x1e{\"time\":");
    at = put_time(at, now > w->epoch_ns ? now - w->epoch_ns : 0);
    at = PUT(at, ",\"name\":\"");
    at = put_bytes(at, name, name_len);
    if (id != 0) {
        at = PUT(at, "\",\"group_id\":\"");
        at = put_bytes(at, prefix, prefix_len);
        *at++ = '-';
        at = put_uint(at, id);
    }
    return PUT(at, "\",\"data\":{");
}

#define START(w, name, id, now) start_record(w, "" name, sizeof(name) - 1, id, now)

static void finish_record(struct writer *w, char *at, uint64_t now)
{
    at = PUT(at, "}}\n");
    w->len = (size_t)(at - w->buffer);
    if (w->len > FLUSH_AT || file != NULL)
        flush(w, now);
}

/* ---- what is called ---- */

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

int trace_open(const struct trace_options *o)
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
    prefix_len = strlen(prefix);
    trace_level = o->level;
    trace_wants_facts = o->facts;
    return 0;
}

const char *trace_default_dir(void)
{
    const char *name = getenv("CHAT_TRACE");

    return name != NULL && name[0] != '\0' ? name : NULL;
}

void trace_flush(void)
{
    if (mine != NULL && mine->len > 0)
        flush(mine, now_ns());
}

bool trace_is_due(void)
{
    return mine != NULL && mine->len > 0;
}

void trace_close_thread(void)
{
    if (mine == NULL)
        return;
    trace_flush();
    close(mine->fd);
    free(mine);
    mine = NULL;
}

void trace_connection(uint64_t id, const struct trace_ends *ends)
{
    char local[TCP_ADDR_TEXT], peer[TCP_ADDR_TEXT];
    uint64_t now = now_ns();
    struct writer *w;
    char *at = START(&w, "tcp:connection", id, now);

    at = PUT(at, "\"local\":\"");
    at = put_word(at, tcp_addr_format(&ends->local, local));
    at = PUT(at, "\",\"peer\":\"");
    at = put_word(at, tcp_addr_format(&ends->peer, peer));
    at = PUT(at, "\",\"cookie\":\"");
    at += sprintf(at, "%llx\"", (unsigned long long)ends->cookie);
    if (ends->has_isn) {
        at = PUT(at, ",\"client_isn\":");
        at = put_uint(at, ends->isn);
    }
    finish_record(w, at, now);
}

static const char *errno_name(long err)
{
#ifdef __GLIBC__
    const char *name = strerrorname_np((int)err);

    return name != NULL ? name : "UNKNOWN";
#else
    return strerror((int)err);
#endif
}

static char *put_result(char *at, long ret)
{
    if (ret >= 0) {
        at = PUT(at, ",\"ret\":");
        return put_uint(at, (uint64_t)ret);
    }
    at = PUT(at, ",\"ret\":-1,\"errno\":\"");
    at = put_word(at, errno_name(-ret));
    *at++ = '"';
    return at;
}

static char *put_more(char *at, const char *more)
{
    if (more == NULL)
        return at;
    at = PUT(at, ",\"detail\":\"");
    at = put_text(at, more);
    *at++ = '"';
    return at;
}

void trace_call(uint64_t id, const char *call, long ret, const struct tcp_facts *facts, const char *more)
{
    uint64_t now = now_ns();
    struct writer *w;
    char *at = START(&w, "app:call", id, now);

    at = PUT(at, "\"call\":\"");
    at = put_word(at, call);
    *at++ = '"';
    at = put_result(at, ret);
    at = put_more(at, more);
    if (facts != NULL)
        at = put_facts(at, facts);
    finish_record(w, at, now);
}

void trace_state(uint64_t id, enum tcp_state from, enum tcp_state to, const char *source,
                 const struct tcp_facts *facts)
{
    uint64_t now = now_ns();
    struct writer *w;
    char *at = START(&w, "tcp:state_updated", id, now);

    if (from != TCP_STATE_UNKNOWN) {
        at = PUT(at, "\"old\":\"");
        at = put_word(at, tcp_state_name(from));
        at = PUT(at, "\",");
    }
    at = PUT(at, "\"new\":\"");
    at = put_word(at, tcp_state_name(to));
    at = PUT(at, "\",\"source\":\"");
    at = put_word(at, source);
    *at++ = '"';
    if (facts != NULL)
        at = put_facts(at, facts);
    finish_record(w, at, now);
}

void trace_socket_state(uint64_t cookie, enum tcp_state to, const char *source, const struct tcp_facts *facts)
{
    uint64_t now = now_ns();
    struct writer *w;
    char *at = START(&w, "tcp:state_updated", 0, now);

    at = PUT(at, "\"new\":\"");
    at = put_word(at, tcp_state_name(to));
    at = PUT(at, "\",\"source\":\"");
    at = put_word(at, source);
    at += sprintf(at, "\",\"cookie\":\"%llx\"", (unsigned long long)cookie);
    if (facts != NULL)
        at = put_facts(at, facts);
    finish_record(w, at, now);
}

void trace_reset(uint64_t id, bool is_ours, const char *why)
{
    uint64_t now = now_ns();
    struct writer *w;
    char *at = START(&w, "tcp:reset", id, now);

    at = is_ours ? PUT(at, "\"direction\":\"sent\",\"why\":\"")
                 : PUT(at, "\"direction\":\"received\",\"why\":\"");
    at = put_text(at, why);
    *at++ = '"';
    finish_record(w, at, now);
}

void trace_tls(uint64_t id, const char *event, long ret, const char *more)
{
    uint64_t now = now_ns();
    struct writer *w;
    char name[64];
    char *at = start_record(&w, name, (size_t)snprintf(name, sizeof name, "tls:%s", event), id, now);

    at = PUT(at, "\"ok\":");
    at = ret < 0 ? PUT(at, "false") : PUT(at, "true");
    at = put_more(at, more);
    finish_record(w, at, now);
}

void trace_closed(uint64_t id, const char *ended_first, const char *how, const char *reason,
                  uint64_t bytes_in, uint64_t bytes_out)
{
    uint64_t now = now_ns();
    struct writer *w;
    char *at = START(&w, "app:closed", id, now);

    at = PUT(at, "\"ended_first\":\"");
    at = put_word(at, ended_first);
    at = PUT(at, "\",\"how\":\"");
    at = put_word(at, how);
    at = PUT(at, "\",\"reason\":\"");
    at = put_text(at, reason);
    at = PUT(at, "\",\"bytes_in\":");
    at = put_uint(at, bytes_in);
    at = PUT(at, ",\"bytes_out\":");
    at = put_uint(at, bytes_out);
    finish_record(w, at, now);
}

/* The value of the first "type" in the line, where it is a plain word; "unknown" else. */
static size_t find_type(const char *line, size_t len, const char **word)
{
    const char *at = memmem(line, len, "\"type\":\"", 8);
    size_t n = 0;

    *word = "unknown";
    if (at == NULL)
        return 7;
    at += 8;
    while (at + n < line + len && n < 24 && ((at[n] >= 'a' && at[n] <= 'z') || at[n] == '_'))
        n++;
    if (n == 0)
        return 7;
    *word = at;
    return n;
}

void trace_message(uint64_t id, bool is_incoming, const char *line, size_t len)
{
    uint64_t now = now_ns();
    struct writer *w;
    const char *type;
    size_t type_len = find_type(line, len, &type);
    char *at = START(&w, "chat:message", id, now);

    at = is_incoming ? PUT(at, "\"direction\":\"received\",\"type\":\"")
                     : PUT(at, "\"direction\":\"sent\",\"type\":\"");
    at = put_bytes(at, type, type_len);
    at = PUT(at, "\",\"length\":");
    at = put_uint(at, len);
    finish_record(w, at, now);
}
