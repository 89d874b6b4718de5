/* log.h: the program's log, a `key=value` line an event.
 *
 *     time=2026-11-23T18:47:01.123456Z level=info event=listen address=127.0.0.1:7000
 *
 * Any thread may write. A thread that has called log_batch(true) gathers its lines until it calls log_flush,
 * one write(2) for all of them; others write each line at once. A line is never torn and never dropped
 * silently: when the file refuses (a full disk), the lines are counted and the next one that gets through is
 * preceded by how many were lost. Secrets must not be passed in. */
#ifndef COMMON_LOG_H
#define COMMON_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };

/* Appends to path (mode 0640), or to stderr where path is NULL. 0, or -errno. Before other threads start. */
int log_open(const char *path);
int log_reopen(void); /* after the file was moved away; 0, or -errno and the old file stays. Any thread. */
int log_move(
    const char *path); /* from now on there, NULL: to stderr; 0, or -errno and all stays. Any one thread. */
void log_close(void);

void log_set_level(enum log_level most);
bool log_parse_level(const char *name, enum log_level *level);
bool log_wants(enum log_level level);

void log_batch(bool on); /* for the calling thread; turning it off flushes */
void log_flush(void);

/* format gives the rest of the line, `key=value key=value`; values that are not plain words go through
 * log_quote. */
void log_event(enum log_level level, const char *event, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* A finished line, ended by LF. */
void log_line(const char *line, size_t len);

#define LOG_QUOTED_SIZE 400

/* Makes value fit for a line: as it is where it is a plain word, else in double quotes, with `"`, `\`,
 * control characters and what is no UTF-8 escaped; cut, between characters, where it is longer than out.
 * Returns out. */
const char *log_quote(const char *value, size_t len, char out[LOG_QUOTED_SIZE]);
const char *log_quote_text(const char *value, char out[LOG_QUOTED_SIZE]);

#endif
