/* humble_other.c: see humble.h. */
#include "common/humble.h"

void thread_be_humble(void)
{
}
