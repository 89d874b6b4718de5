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
#include <sys/wait.h>
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

/* One user and one group are known inside: the ones that the process has. NULL, or what failed, and errno. */
static const char *map_self(uid_t uid, gid_t gid)
{
    char line[48];
    int err = write_file("/proc/self/setgroups", "deny");

    if (err != 0 && err != -ENOENT) {
        errno = -err;
        return "setgroups";
    }
    snprintf(line, sizeof line, "%u %u 1", (unsigned)uid, (unsigned)uid);
    err = write_file("/proc/self/uid_map", line);
    if (err == 0) {
        snprintf(line, sizeof line, "%u %u 1", (unsigned)gid, (unsigned)gid);
        err = write_file("/proc/self/gid_map", line);
    }
    errno = -err;
    return err == 0 ? NULL : "the map of users";
}

/* There is no way back out of it. NULL, or what failed, and errno. */
static const char *go_in(void)
{
    uid_t uid = geteuid();
    gid_t gid = getegid();
    const char *failed;
    int err;

    if (uid != 0 || unshare(CLONE_NEWNET) != 0) {
        if (unshare(CLONE_NEWUSER | CLONE_NEWNET) != 0)
            return "unshare";
        failed = map_self(uid, gid);
        if (failed != NULL)
            return failed;
    }
    err = raise_loopback();
    errno = -err;
    return err == 0 ? NULL : "lo";
}

static void explain(char err[NETNS_ERROR_SIZE], const char *failed)
{
    snprintf(err, NETNS_ERROR_SIZE, "this host forbids a network namespace of one's own (%s: %s)", failed,
             strerror(errno));
}

/* In a child, which goes in and is gone: a host may let unshare() pass and forbid all that comes behind it
 * (Ubuntu from 23.10 on), and then it is too late. */
static int try_out(char err[NETNS_ERROR_SIZE])
{
    int told[2], status = -1;
    ssize_t n;
    pid_t pid;

    if (pipe2(told, O_CLOEXEC) != 0 || (pid = fork()) < 0) {
        explain(err, "fork");
        return -1;
    }
    if (pid == 0) {
        const char *failed = go_in();

        if (failed != NULL) {
            explain(err, failed);
            (void)!write(told[1], err, strlen(err));
        }
        _exit(failed != NULL);
    }
    close(told[1]);
    snprintf(err, NETNS_ERROR_SIZE, "a network namespace of one's own could not be tried out");
    while ((n = read(told[0], err, NETNS_ERROR_SIZE - 1)) < 0 && errno == EINTR)
        ;
    if (n > 0)
        err[n] = '\0';
    close(told[0]);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    return status == 0 ? 0 : -1;
}

int netns_enter(char err[NETNS_ERROR_SIZE])
{
    const char *failed;

    if (try_out(err) != 0)
        return -1;
    failed = go_in();
    if (failed != NULL)
        explain(err, failed);
    return failed == NULL ? 0 : -1;
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
