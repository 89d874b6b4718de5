/* show.h: `chat-trace show` and what its neighbours need of it: files into a model, a ladder in a format.
 * One thread. */
#ifndef TRACE_SHOW_H
#define TRACE_SHOW_H

#include "trace/ladder.h"

enum show_format { SHOW_TERMINAL, SHOW_ASCII, SHOW_SVG, SHOW_HTML, SHOW_MERMAID, SHOW_PCAPNG, SHOW_QLOG };

/* Reads one file, a directory's .sqlog and capture files, or several, each by what it is. 0, or -1 and what
 * went wrong on stderr; faults in a file's middle become remarks. The model is not finished yet. */
int show_read(struct model *m, char *const *paths, int count);

/* Only a directory's event logs; says nothing. */
void show_read_logs(struct model *m, const char *dir);

bool show_parse_format(const char *name, enum show_format *format);

/* One connection in that format. 0, or -1 where the format can't hold it, said on stderr. */
int show_conn(FILE *to, struct model_conn *c, enum show_format format, const struct ladder_options *o);

/* A line a connection: number, ends, how long, bytes, how it ended. */
void show_list(FILE *to, struct model *m, unsigned width);

/* Width, colour and characters as the terminal, or NO_COLOR and the locale, have it. */
void show_default_options(struct ladder_options *o);

int show_main(int argc, char **argv); /* argv[0] is "show"; the exit code */
int live_main(int argc, char **argv); /* live.c */

#endif
