/* lab_show.h: a lab's connections as ladders, on the standard output. */
#ifndef TRACE_LAB_SHOW_H
#define TRACE_LAB_SHOW_H

#include "trace/lab_run.h"

void lab_show(const struct lab *l); /* after lab_look */

#endif
