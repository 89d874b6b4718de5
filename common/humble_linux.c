/* humble_linux.c: see humble.h. */
#include "common/humble.h"

#include <sys/resource.h>

void thread_be_humble(void)
{
    setpriority(PRIO_PROCESS, 0,
                19); /* Linux has it of each thread, not of the process: setpriority(2), BUGS */
}
