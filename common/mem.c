/* mem.c: see mem.h. Any thread. */
#include "common/mem.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void *must(void *got)
{
    static const char said[] = "out of memory: the process ends, so that it can be started again\n";

    if (got == NULL) {
        if (write(STDERR_FILENO, said, sizeof said - 1) < 0)
            _exit(1);
        abort();
    }
    return got;
}

void *mem_alloc(size_t size)
{
    return must(malloc(size > 0 ? size : 1));
}

void *mem_zalloc(size_t size)
{
    return must(calloc(1, size > 0 ? size : 1));
}

void *mem_realloc(void *old, size_t size)
{
    return must(realloc(old, size > 0 ? size : 1));
}

char *mem_strndup(const char *text, size_t len)
{
    char *copy = mem_alloc(len + 1);

    memcpy(copy, text, len);
    copy[len] = '\0';
    return copy;
}

char *mem_strdup(const char *text)
{
    return mem_strndup(text, strlen(text));
}

void mem_wipe(void *at, size_t size)
{
    static void *(*const volatile set)(void *, int, size_t) = memset;

    set(at, 0, size);
}
