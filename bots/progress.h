/* progress.h: what is said while a run goes on: on stderr, a line a second, rewritten in place where that is a terminal. */
#ifndef BOTS_PROGRESS_H
#define BOTS_PROGRESS_H

#include "bots/run.h"

#include <stddef.h>
#include <stdint.h>

void progress_phase(struct run *r);                            /* a phase begins */
void progress_row(struct run *r, const struct stats_row *row); /* a second has passed */
void progress_wrong(struct run *r, const char *text);
void progress_end(struct run *r);

#define PROGRESS_TIME_SIZE 16

/* "843 µs", "31.2 ms", "3.21 s": three digits. */
const char *progress_format_time(uint64_t us, char out[PROGRESS_TIME_SIZE]);
const char *progress_format_count(double n, char out[PROGRESS_TIME_SIZE]); /* "12.3k" */

#endif
