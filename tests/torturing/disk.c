/* disk.c: a disk that fails when a test wants it to: loaded before libc (LD_PRELOAD). The first byte of the file that
 * CHATD_TEST_DISK names says what happens to a database's reads and writes (files named chatd.db and chatd.db-wal):
 *
 *   .  nothing         f  full: writes are refused with ENOSPC        w  read-only: with EROFS
 *   s  fsync fails     r  reads fail with EIO                         g  reads of the database give garbage, but for its first page
 *   h  reads hang until it is something else                          c  fsync of the database fails, not that of its log
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/types.h>
#include <unistd.h>

#define FIRST_PAGE 8192

static const volatile char healthy = '.';
static const volatile char *state = &healthy;

__attribute__((constructor)) static void map_state(void)
{
    const char *name = getenv("CHATD_TEST_DISK");
    int fd = name != NULL ? open(name, O_RDONLY | O_CLOEXEC) : -1;
    void *at;

    if (fd < 0)
        return;
    at = mmap(NULL, 1, PROT_READ, MAP_SHARED, fd, 0);
    close(fd);
    if (at != MAP_FAILED)
        state = at;
}

static int ends_in(const char *text, size_t len, const char *ending)
{
    size_t n = strlen(ending);

    return len >= n && memcmp(text + len - n, ending, n) == 0;
}

/* Whether it is the database (or, where wal is set, its log). */
static int is_ours(int fd, int wal)
{
    char link[64], path[4096];
    ssize_t len;

    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    len = readlink(link, path, sizeof path);
    if (len < 0)
        return 0;
    return ends_in(path, (size_t)len, "/chatd.db") || (wal && ends_in(path, (size_t)len, "/chatd.db-wal"));
}

static int refuse(int error)
{
    errno = error;
    return -1;
}

ssize_t pwrite64(int fd, const void *data, size_t len, off_t at)
{
    static ssize_t (*real)(int, const void *, size_t, off_t);
    char now = *state;

    if (real == NULL)
        *(void **)&real = dlsym(RTLD_NEXT, "pwrite64");
    if ((now == 'f' || now == 'w') && is_ours(fd, 1))
        return refuse(now == 'f' ? ENOSPC : EROFS);
    return real(fd, data, len, at);
}

ssize_t pread64(int fd, void *data, size_t len, off_t at)
{
    static ssize_t (*real)(int, void *, size_t, off_t);
    ssize_t n;
    char now;

    if (real == NULL)
        *(void **)&real = dlsym(RTLD_NEXT, "pread64");
    while (*state == 'h' && is_ours(fd, 1))
        usleep(1000);
    now = *state;
    if (now == 'r' && is_ours(fd, 1))
        return refuse(EIO);
    n = real(fd, data, len, at);
    if (now == 'g' && n > 0 && at >= FIRST_PAGE && is_ours(fd, 0))
        memset(data, 0xa5, (size_t)n);
    return n;
}

static int sync_by(const char *name, int fd)
{
    int (*real)(int) = NULL;

    *(void **)&real = dlsym(RTLD_NEXT, name);
    return (*state == 's' && is_ours(fd, 1)) || (*state == 'c' && is_ours(fd, 0)) ? refuse(EIO) : real(fd);
}

int fsync(int fd)
{
    return sync_by("fsync", fd);
}

int fdatasync(int fd)
{
    return sync_by("fdatasync", fd);
}
