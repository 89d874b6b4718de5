/* clock.c: a clock that tests can set, for one program: loaded before libc (LD_PRELOAD), it shifts the time
 * of day that the program is told by the microseconds in the file that CHATD_TEST_CLOCK names, an int64_t
 * which may change at any moment. Clocks that nobody can set run on as they are. */
#include <fcntl.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static _Atomic int64_t none;
static _Atomic int64_t *shift = &none;

__attribute__((constructor)) static void map_shift(void)
{
    const char *name = getenv("CHATD_TEST_CLOCK");
    int fd = name != NULL ? open(name, O_RDONLY | O_CLOEXEC) : -1;
    void *at;

    if (fd < 0)
        return;
    at = mmap(NULL, sizeof *shift, PROT_READ, MAP_SHARED, fd, 0);
    close(fd);
    if (at != MAP_FAILED)
        shift = at;
}

static void add_shift(struct timespec *t)
{
    int64_t us = atomic_load_explicit(shift, memory_order_relaxed);
    int64_t ns = t->tv_nsec + us % 1000000 * 1000;

    t->tv_sec += us / 1000000 + (ns < 0 ? -1 : ns >= 1000000000 ? 1 : 0);
    t->tv_nsec = ns + (ns < 0 ? 1000000000 : ns >= 1000000000 ? -1000000000 : 0);
}

int clock_gettime(clockid_t which, struct timespec *t)
{
    int ret = (int)syscall(SYS_clock_gettime, which, t);

    if (ret == 0 && (which == CLOCK_REALTIME || which == CLOCK_REALTIME_COARSE))
        add_shift(t);
    return ret;
}

int gettimeofday(struct timeval *restrict tv, void *restrict zone)
{
    struct timespec t;

    (void)zone;
    clock_gettime(CLOCK_REALTIME, &t);
    tv->tv_sec = t.tv_sec;
    tv->tv_usec = t.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *out)
{
    struct timespec t;

    clock_gettime(CLOCK_REALTIME, &t);
    if (out != NULL)
        *out = t.tv_sec;
    return t.tv_sec;
}
