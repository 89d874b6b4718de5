/* forbid.c: a host that lets unshare() pass and forbids all that one would do in a user namespace of one's own, as
 * Ubuntu does from 23.10 on (apparmor_restrict_unprivileged_userns): loaded before libc (LD_PRELOAD). Maps of users and
 * groups can't be written, no interface can be set up. CHATD_TEST_FORBID forbids more, by its letters: packet sockets (p), BPF programs (b),
 * questions about other sockets (d). */
#include <dlfcn.h>
#include <errno.h>
#include <linux/netlink.h>
#include <net/if.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

static int refuse(void)
{
    errno = EPERM;
    return -1;
}

static int is_forbidden(char what)
{
    const char *all = getenv("CHATD_TEST_FORBID");

    return all != NULL && strchr(all, what) != NULL;
}

static int is_map(int fd)
{
    char link[64] = "/proc/self/fd/", path[4096], digits[16], *at = digits + sizeof digits;
    ssize_t len;

    *--at = '\0';
    do
        *--at = (char)('0' + fd % 10);
    while ((fd /= 10) > 0);
    strcat(link, at);
    len = readlink(link, path, sizeof path);
    return len > 8 &&
           (memcmp(path + len - 8, "/uid_map", 8) == 0 || memcmp(path + len - 8, "/gid_map", 8) == 0);
}

ssize_t write(int fd, const void *data, size_t len)
{
    static ssize_t (*real)(int, const void *, size_t);

    if (real == NULL)
        *(void **)(&real) = dlsym(RTLD_NEXT, "write");
    return fd > 2 && is_map(fd) ? refuse() : real(fd, data, len);
}

int ioctl(int fd, unsigned long request, ...)
{
    static int (*real)(int, unsigned long, void *);
    va_list args;
    void *arg;

    va_start(args, request);
    arg = va_arg(args, void *);
    va_end(args);
    if (real == NULL)
        *(void **)(&real) = dlsym(RTLD_NEXT, "ioctl");
    return request == SIOCSIFFLAGS ? refuse() : real(fd, request, arg);
}

int socket(int family, int type, int protocol)
{
    static int (*real)(int, int, int);
    if (real == NULL)
        *(void **)(&real) = dlsym(RTLD_NEXT, "socket");
    if ((family == AF_PACKET && is_forbidden('p')) ||
        (family == AF_NETLINK && protocol == NETLINK_SOCK_DIAG && is_forbidden('d')))
        return refuse();
    return real(family, type, protocol);
}

long syscall(long number, ...)
{
    static long (*real)(long, long, long, long, long, long, long);
    long arg[6];
    va_list args;

    va_start(args, number);
    for (int i = 0; i < 6; i++)
        arg[i] = va_arg(args, long);
    va_end(args);
    if (real == NULL)
        *(void **)(&real) = dlsym(RTLD_NEXT, "syscall");
    if (number == SYS_bpf && is_forbidden('b'))
        return refuse();
    return real(number, arg[0], arg[1], arg[2], arg[3], arg[4], arg[5]);
}
