/* capture_none.c: what capture.h offers in a build without libpcap: a word about it. */
#include "trace/capture.h"

#include <stdio.h>

bool capture_is_built(void)
{
    return false;
}

struct capture *capture_start(const char *interface, const char *path, int snaplen,
                              char err[CAPTURE_ERROR_SIZE])
{
    (void)interface;
    (void)path;
    (void)snaplen;
    snprintf(err, CAPTURE_ERROR_SIZE,
             "this chat-trace was built without libpcap (meson option capture): it cannot capture");
    return NULL;
}

uint64_t capture_stop(struct capture *c)
{
    (void)c;
    return 0;
}
