/* trim_other.c: a platform whose allocator gives freed memory back by itself. See mem.h. */
#include "common/mem.h"

void mem_trim(void)
{
}
