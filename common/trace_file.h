/* trace_file.h: private to trace*.c: where the event log's records go.
 *
 * Each thread that records has a writer of its own, made at its first record: what is put together lies in
 * its buffer until that is nearly full, or until trace_file_flush. None of these fails but trace_file_begin:
 * what the disk refuses is dropped and counted, and the log says so. */
#ifndef COMMON_TRACE_FILE_H
#define COMMON_TRACE_FILE_H

#include "common/trace.h"

#define TRACE_BUFFER     (128U << 10)
#define TRACE_RECORD_MAX 4096 /* no record is longer */
#define TRACE_FLUSH_AT   (TRACE_BUFFER - TRACE_RECORD_MAX)

struct trace_writer {
    int fd;
    unsigned thread, number; /* of its files, from 1 */
    size_t len;
    bool is_unbuffered; /* each record is written at once */
    uint64_t epoch_ns, flushed_ns, written, dropped;
    char buffer[TRACE_BUFFER];
};

extern _Thread_local struct trace_writer *trace_mine; /* NULL: not made yet */

int trace_file_begin(const struct trace_options *o); /* before other threads start; 0 or -errno */
struct trace_writer *trace_file_open(void); /* makes the calling thread's, which is trace_mine then */
void trace_file_flush(struct trace_writer *w, uint64_t now_ns);
void trace_file_close(struct trace_writer *w); /* what was not flushed is gone */

#endif
