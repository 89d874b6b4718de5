/* report.h: what a run has shown, when it is over: for people, as JSON, as a page. */
#ifndef BOTS_REPORT_H
#define BOTS_REPORT_H

#include "bots/run.h"
#include "common/buf.h"

#include <stdio.h>

void report_summary(const struct run *r, FILE *to);
void report_put_json(const struct run *r, struct buf *b);

/* A page of these JSON documents. -1, and that is said on stderr, where it cannot be written. */
int report_write_page(const char *path, const char *const documents[], size_t count);
int report_write_file(const char *path, const char *data, size_t len);

/* Bytes a bot holds at the end of the measured time: with Lua's state, and without. */
void report_find_memory(const struct run *r, double *with, double *without);

/* What was asked of the server's memory and descriptors (setting flat): false, and a sentence, where it does not hold. */
bool report_check_flat(const struct run *r, char *out, size_t size);

#endif
