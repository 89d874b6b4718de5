/* live.c: `chat-trace live`. */
#include "trace/show.h"
int live_main(int argc, char **argv) { (void)argc, (void)argv; return 2; }
