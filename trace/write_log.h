/* write_log.h: connections as an event log of both sides (docs/trace-events.md): what was called, told and
 * captured, on one clock. What was inferred is left out: a reader finds the same again. One thread. */
#ifndef TRACE_WRITE_LOG_H
#define TRACE_WRITE_LOG_H

#include "trace/model.h"

#include <stdio.h>

/* Of a finished model; their events in order of time. */
void writelog_conns(FILE *to, struct model_conn *const *conns, size_t count);

#endif
