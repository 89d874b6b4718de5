/* read_text.h: the words of an event log as values. No state; any thread. */
#ifndef TRACE_READ_TEXT_H
#define TRACE_READ_TEXT_H

#include "trace/model.h"

bool readtext_addr(const char *text, struct tcp_addr *a); /* "127.0.0.1:7000", "[::1]:7000" */
bool readtext_time(const char *text, int64_t *epoch_ns);  /* "2026-11-23T18:47:01.123456Z" */
enum tcp_state readtext_state(const char *name);          /* TCP_STATE_UNKNOWN where it is none */
enum model_source readtext_source(const char *name);      /* MODEL_INFERRED where it is none */
/* Numbers of a file, which may be any: the nearest that there is; 0 for none. */
uint32_t readtext_u32(double n);
uint64_t readtext_u64(double n);
int64_t readtext_ns(double ms); /* at most some three years either way, so that it can be added to a time */
uint8_t readtext_flags(const char *names); /* "SYN,ACK" */
int readtext_errno(const char *name);      /* "ECONNRESET"; -1 for one that this host does not have */
const char *readtext_errno_name(int err);

#endif
