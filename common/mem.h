/* mem.h: allocation that does not fail.
 *
 * What a peer can make the server allocate is bounded by a named limit before it gets here, so that running
 * out of memory means the machine has none left for anyone: the process says so and aborts, and is restarted
 * clean. */
#ifndef COMMON_MEM_H
#define COMMON_MEM_H

#include <stddef.h>

/* Never NULL, also for size 0. The caller frees with free(). */
void *mem_alloc(size_t size);
void *mem_zalloc(size_t size);
void *mem_realloc(void *old, size_t size);
char *mem_strdup(const char *text);
char *mem_strndup(const char *text, size_t len);

/* Overwrites a secret that is no longer needed; a compiler does not leave it out. */
void mem_wipe(void *at, size_t size);

/* Gives freed pages back to the system, some ms of work: after a burst that has left many holes. Platform
 * file. */
void mem_trim(void);

#endif
