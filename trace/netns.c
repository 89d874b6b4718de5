/* netns.c: see netns.h; user_namespaces(7), network_namespaces(7). */
#include "trace/netns.h"

#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

static int write_file(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC), err = 0;

    if (fd < 0)
        return -errno;
    if (write(fd, text, strlen(text)) < 0)
        err = -errno;
    close(fd);
    return err;
}

static int raise_loopback(void)
{
    struct ifreq request = {.ifr_name = "lo"};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), err = 0;

    if (fd < 0)
        return -errno;
    if (ioctl(fd, SIOCGIFFLAGS, &request) != 0)
        err = -errno;
    request.ifr_flags |= IFF_UP;
    if (err == 0 && ioctl(fd, SIOCSIFFLAGS, &request) != 0)
        err = -errno;
    close(fd);
    return err;
}

/* One user and one group are known inside: the ones that the process has. */
static void map_self(uid_t uid, gid_t gid)
{
    char line[48];

    write_file("/proc/self/setgroups", "deny");
    snprintf(line, sizeof line, "%u %u 1", (unsigned)uid, (unsigned)uid);
    write_file("/proc/self/uid_map", line);
    snprintf(line, sizeof line, "%u %u 1", (unsigned)gid, (unsigned)gid);
    write_file("/proc/self/gid_map", line);
}

int netns_enter(char err[NETNS_ERROR_SIZE])
{
    uid_t uid = geteuid();
    gid_t gid = getegid();
    int result;

    if (uid != 0 || unshare(CLONE_NEWNET) != 0) {
        if (unshare(CLONE_NEWUSER | CLONE_NEWNET) != 0) {
            snprintf(err, NETNS_ERROR_SIZE,
                     "this host forbids a network namespace of one's own (unshare: %s)", strerror(errno));
            return -1;
        }
        map_self(uid, gid);
    }
    result = raise_loopback();
    if (result != 0)
        snprintf(err, NETNS_ERROR_SIZE, "lo cannot be set up in a network namespace of one's own: %s",
                 strerror(-result));
    return result == 0 ? 0 : -1;
}

int netns_set(const char *name, const char *value)
{
    char path[128] = "/proc/sys/";
    size_t at = strlen(path);

    for (; *name != '\0' && at < sizeof path - 1; name++)
        path[at++] = *name == '.' ? '/' : *name;
    path[at] = '\0';
    return write_file(path, value);
}
