/* proc.c: see proc.h; proc(5). */
#include "bots/proc.h"

#include <ctype.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define LISTEN_STATE 0x0a

static bool read_cpu(pid_t pid, struct proc_facts *f)
{
    unsigned long user, system;
    char path[64], line[1024], *after;
    FILE *file;
    bool ok;

    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    file = fopen(path, "re");
    if (file == NULL)
        return false;
    ok = fgets(line, sizeof line, file) != NULL;
    fclose(file);
    after = ok ? strrchr(line, ')') : NULL; /* the name before it may hold anything */
    if (after == NULL ||
        sscanf(after + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &system) != 2)
        return false;
    f->cpu_us = (uint64_t)(user + system) * 1000000 / (uint64_t)sysconf(_SC_CLK_TCK);
    return true;
}

static bool read_memory(pid_t pid, struct proc_facts *f)
{
    unsigned long pages;
    char path[64];
    FILE *file;
    bool ok;

    snprintf(path, sizeof path, "/proc/%d/statm", (int)pid);
    file = fopen(path, "re");
    if (file == NULL)
        return false;
    ok = fscanf(file, "%*u %lu", &pages) == 1;
    fclose(file);
    f->rss = ok ? pages * (uint64_t)sysconf(_SC_PAGESIZE) : 0;
    return ok;
}

/* Since Linux 6.2 the directory's size is the number of its entries; before that they have to be counted. */
static void count_descriptors(pid_t pid, struct proc_facts *f)
{
    struct dirent *entry;
    struct stat st;
    char path[64];
    DIR *dir;

    snprintf(path, sizeof path, "/proc/%d/fd", (int)pid);
    if (stat(path, &st) == 0 && st.st_size > 0) {
        f->descriptors = (uint32_t)st.st_size;
        return;
    }
    dir = opendir(path);
    while (dir != NULL && (entry = readdir(dir)) != NULL)
        f->descriptors += entry->d_name[0] != '.';
    if (dir != NULL)
        closedir(dir);
}

static void read_waiting(pid_t pid, struct proc_facts *f)
{
    unsigned long long waited;
    FILE *file;

    if (pid != getpid() || (file = fopen("/proc/self/schedstat", "re")) == NULL)
        return;
    if (fscanf(file, "%*u %llu", &waited) == 1)
        f->waited_us = waited / 1000;
    fclose(file);
}

bool proc_read(pid_t pid, struct proc_facts *f)
{
    *f = (struct proc_facts){0};
    if (pid <= 0 || !read_cpu(pid, f) || !read_memory(pid, f))
        return false;
    count_descriptors(pid, f);
    read_waiting(pid, f);
    return true;
}

/* The inode of the socket that listens there, out of /proc/net/tcp or tcp6. 0 where there is none. */
static unsigned long find_inode(const char *path, uint16_t port)
{
    unsigned long inode, found = 0;
    unsigned local, state;
    char line[512];
    FILE *file = fopen(path, "re");

    if (file == NULL)
        return 0;
    while (found == 0 && fgets(line, sizeof line, file) != NULL)
        if (sscanf(line, " %*d: %*[0-9A-Fa-f]:%x %*[0-9A-Fa-f]:%*x %x %*s %*s %*s %*u %*d %lu", &local,
                   &state, &inode) == 3 &&
            local == port && state == LISTEN_STATE)
            found = inode;
    fclose(file);
    return found;
}

static bool holds_socket(const char *pid, const char *socket)
{
    char path[320], target[64];
    struct dirent *entry;
    bool found = false;
    DIR *dir;

    snprintf(path, sizeof path, "/proc/%s/fd", pid);
    dir = opendir(path);
    if (dir == NULL)
        return false;
    while (!found && (entry = readdir(dir)) != NULL) {
        ssize_t n = readlinkat(dirfd(dir), entry->d_name, target, sizeof target - 1);

        if (n > 0) {
            target[n] = '\0';
            found = strcmp(target, socket) == 0;
        }
    }
    closedir(dir);
    return found;
}

pid_t proc_find_listener(uint16_t port)
{
    unsigned long inode = find_inode("/proc/net/tcp", port);
    struct dirent *entry;
    char socket[64];
    pid_t found = 0;
    DIR *dir;

    if (inode == 0)
        inode = find_inode("/proc/net/tcp6", port);
    dir = inode != 0 ? opendir("/proc") : NULL;
    if (dir == NULL)
        return 0;
    snprintf(socket, sizeof socket, "socket:[%lu]", inode);
    while (found == 0 && (entry = readdir(dir)) != NULL)
        if (isdigit((unsigned char)entry->d_name[0]) && holds_socket(entry->d_name, socket))
            found = (pid_t)atol(entry->d_name);
    closedir(dir);
    return found;
}
