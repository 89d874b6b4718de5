/* trim_linux.c: giving freed memory back, with glibc. See mem.h. */
#include "common/mem.h"

#include <malloc.h>

void mem_trim(void)
{
#ifdef __GLIBC__
    malloc_trim(0);
#endif
}
