/* record.h: `chat-trace record -- COMMAND`: a command's connections, captured and traced while it runs. */
#ifndef TRACE_RECORD_H
#define TRACE_RECORD_H

int record_main(int argc, char **argv); /* argv[0] is "record"; the command's exit code, or 2 */

#endif
