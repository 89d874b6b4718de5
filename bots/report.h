/* report.h: what a run has shown, when it is over: for people, as JSON, as a page. */
#ifndef BOTS_REPORT_H
#define BOTS_REPORT_H

#include "bots/run.h"
#include "common/buf.h"

#include <stdio.h>

void report_summary(const struct run *r, FILE *to);
void report_put_json(const struct run *r, struct buf *b);

/* Before the run, so that a path that cannot be written does not cost a run: "-" is stdout. NULL, and that is
 * said on stderr. */
FILE *report_open(const char *path);

void report_drop(FILE *f, const char *path); /* there was no run; NULL is fine */

/* Over what was there before; closes f. -1, and that is said on stderr, where it cannot be written. */
int report_write(FILE *f, const char *path, const char *data, size_t len);

/* The same with a page of these JSON documents. The template is report_read_template's, which is to be freed;
 * NULL, and that is said, where there is none. */
int report_write_page(FILE *f, const char *path, const char *template, const char *const documents[],
                      size_t count);
char *report_read_template(void);

/* Bytes a bot holds at the end of the measured time: with Lua's state, and without. */
void report_find_memory(const struct run *r, double *with, double *without);

/* What was asked of the server's memory and descriptors (setting flat): false, and a sentence, where it does
 * not hold. */
bool report_check_flat(const struct run *r, char *out, size_t size);

#endif
