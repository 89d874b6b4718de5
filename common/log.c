/* log.c: see log.h. The descriptor is swapped by dup2, so that writers never see a closed one. */
#include "common/log.h"

#include "common/buf.h"
#include "common/clock.h"
#include "common/mem.h"
#include "common/utf8.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BATCH_MAX (256 * 1024) /* bytes that a thread gathers before it writes early */

static atomic_int log_fd = STDERR_FILENO;
static char *log_path;
static atomic_int most_level = LOG_INFO;
static atomic_uint_fast64_t lost_lines;
static _Thread_local bool batching;
static _Thread_local struct buf batch;

static int open_path(const char *path)
{
    int fd = path == NULL ? fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 0)
                          : open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640);

    return fd < 0 ? -errno : fd;
}

int log_open(const char *path)
{
    int fd;

    if (path == NULL)
        return 0;
    fd = open_path(path);
    if (fd < 0)
        return fd;
    log_fd = fd;
    log_path = mem_strdup(path);
    return 0;
}

/* Writers are told of another descriptor only where they had stderr's, which stays what it is. */
static int go_on_in(const char *path)
{
    int fd = open_path(path), err = 0;

    if (fd < 0)
        return fd;
    log_flush();
    if (atomic_load(&log_fd) == STDERR_FILENO) {
        atomic_store(&log_fd, fd);
        return 0;
    }
    if (dup3(fd, atomic_load(&log_fd), O_CLOEXEC) < 0)
        err = -errno;
    close(fd);
    return err;
}

int log_reopen(void)
{
    return log_path != NULL ? go_on_in(log_path) : 0;
}

int log_move(const char *path)
{
    int ret;

    if (path == log_path || (path != NULL && log_path != NULL && strcmp(path, log_path) == 0))
        return 0;
    ret = go_on_in(path);
    if (ret < 0)
        return ret;
    free(log_path);
    log_path = path != NULL ? mem_strdup(path) : NULL;
    return 0;
}

void log_close(void)
{
    log_batch(false);
    if (log_fd != STDERR_FILENO)
        close(log_fd);
    log_fd = STDERR_FILENO;
    free(log_path);
    log_path = NULL;
}

void log_set_level(enum log_level most)
{
    atomic_store(&most_level, (int)most);
}

bool log_parse_level(const char *name, enum log_level *level)
{
    static const char *const names[] = {"error", "warn", "info", "debug"};

    for (int i = 0; i < 4; i++)
        if (strcmp(name, names[i]) == 0) {
            *level = (enum log_level)i;
            return true;
        }
    return false;
}

bool log_wants(enum log_level level)
{
    return (int)level <= atomic_load_explicit(&most_level, memory_order_relaxed);
}

static uint64_t count_lines(const char *data, size_t len)
{
    uint64_t n = 0;

    for (const char *p = data; (p = memchr(p, '\n', len - (size_t)(p - data))) != NULL; p++)
        n++;
    return n;
}

static bool write_all(const char *data, size_t len)
{
    while (len > 0) {
        ssize_t n = write(atomic_load_explicit(&log_fd, memory_order_relaxed), data, len);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return false;
        data += n;
        len -= (size_t)n;
    }
    return true;
}

static void write_out(const char *data, size_t len)
{
    uint64_t lost = atomic_load_explicit(&lost_lines, memory_order_relaxed);

    if (lost > 0) {
        char said[160], stamp[CLOCK_STAMP_SIZE];
        int n;

        clock_format(clock_wall_us(), stamp);
        n = snprintf(said, sizeof said,
                     "time=%s level=warn event=log-lost lines=%llu why=\"the log could not be written\"\n",
                     stamp, (unsigned long long)lost);
        if (write_all(said, (size_t)n))
            atomic_fetch_sub(&lost_lines, lost);
    }
    if (!write_all(data, len))
        atomic_fetch_add(&lost_lines, count_lines(data, len));
}

void log_line(const char *line, size_t len)
{
    if (!batching) {
        write_out(line, len);
        return;
    }
    buf_put(&batch, line, len);
    if (batch.len > BATCH_MAX)
        log_flush();
}

void log_flush(void)
{
    if (batch.len > 0)
        write_out(batch.data, batch.len);
    buf_clear(&batch);
}

void log_batch(bool on)
{
    batching = on;
    if (!on) {
        log_flush();
        buf_deinit(&batch);
    }
}

void log_event(enum log_level level, const char *event, const char *format, ...)
{
    static const char *const names[] = {"error", "warn", "info", "debug"};
    char line[2048], stamp[CLOCK_STAMP_SIZE];
    size_t room = sizeof line - 1;
    va_list args;
    int n, m;

    if (!log_wants(level))
        return;
    clock_format(clock_wall_us(), stamp);
    n = snprintf(line, room, "time=%s level=%s event=%s ", stamp, names[level], event);
    va_start(args, format);
    m = vsnprintf(line + n, room - (size_t)n, format, args);
    va_end(args);
    n += m > 0 ? m : 0;
    if ((size_t)n > room - 1)
        n = (int)room - 1;
    line[n++] = '\n';
    log_line(line, (size_t)n);
}

/* The length of the character at value, of which there are len > 0 bytes, where a log may hold it; 0 for a
 * control character, also one of U+0080 to U+009F, and for what is no UTF-8. */
static size_t printable_len(const char *value, size_t len)
{
    const unsigned char *p = (const unsigned char *)value;
    size_t n = p[0] < 0x80 ? 1 : p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;

    if (p[0] < 0x80)
        return p[0] >= ' ' && p[0] != 0x7f;
    return n <= len && utf8_is_valid(value, n) && !(p[0] == 0xc2 && p[1] < 0xa0) ? n : 0;
}

static bool is_plain(const char *value, size_t len)
{
    size_t n;

    if (len == 0 || len >= LOG_QUOTED_SIZE)
        return false;
    for (size_t i = 0; i < len; i += n) {
        n = printable_len(value + i, len - i);
        if (n == 0 || value[i] == ' ' || value[i] == '"' || value[i] == '=' || value[i] == '\\')
            return false;
    }
    return true;
}

/* Appends the character of n bytes at value, or one byte in hexadecimal where n is 0; says how many bytes it
 * made. */
static size_t put_quoted(char *out, const char *value, size_t n)
{
    size_t made = 0;

    if (n == 0)
        return (size_t)snprintf(out, 5, "\\x%02x", (unsigned char)*value);
    if (*value == '"' || *value == '\\')
        out[made++] = '\\';
    memcpy(out + made, value, n);
    return made + n;
}

const char *log_quote(const char *value, size_t len, char out[LOG_QUOTED_SIZE])
{
    size_t n = 0, taken;

    if (is_plain(value, len)) {
        memcpy(out, value, len);
        out[len] = '\0';
        return out;
    }
    out[n++] = '"';
    for (size_t i = 0; i < len && n<LOG_QUOTED_SIZE - 8; i += taken> 0 ? taken : 1) {
        taken = printable_len(value + i, len - i);
        n += put_quoted(out + n, value + i, taken);
    }
    out[n++] = '"';
    out[n] = '\0';
    return out;
}

const char *log_quote_text(const char *value, char out[LOG_QUOTED_SIZE])
{
    return log_quote(value, strlen(value), out);
}
