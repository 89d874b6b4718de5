/* read_log.h: reads event logs (common/trace.h, docs/trace-events.md) into a model. One thread. */
#ifndef TRACE_READ_LOG_H
#define TRACE_READ_LOG_H

#include "trace/model.h"

#define READLOG_ERROR_SIZE 320

struct readlog;

struct readlog *readlog_new(struct model *m);
void readlog_free(struct readlog *r); /* takes NULL; the model stays */

/* All of a file. 0, or -1 with one sentence in err: it can't be read, or it is no event log. A record that
 * is cut or wrong becomes a remark of the model, and the others are read. Files of one program belong
 * together: give all. */
int readlog_file(struct readlog *r, const char *path, char err[READLOG_ERROR_SIZE]);

/* What one record says; for a log that is still being written. name is the file's, for remarks. Returns
 * false where the record is wrong. The first record of each file must have been its header. */
bool readlog_record(struct readlog *r, const char *path, const char *record, size_t len, unsigned number);

#endif
