/* lab.h: `chat-trace lab NAME`: what TCP does, made to happen: real sockets, the real kernel, no root. */
#ifndef TRACE_LAB_H
#define TRACE_LAB_H

#define LAB_OK      0
#define LAB_FAILED  1 /* the kernel did otherwise than expected */
#define LAB_USAGE   2
#define LAB_SKIPPED 77 /* this host does not let it happen */

/* argv[0] is "lab". The exit code: LAB_OK, …; for `all`, LAB_FAILED where any failed. */
int lab_main(int argc, char **argv);

#endif
