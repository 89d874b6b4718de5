/* load_cost.c: see load.h. Linux's /proc: schedstat counts in ns where stat counts in ticks of 10 ms. */
#include "load.h"

#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint64_t thread_cpu_ns(int pid, const char *thread)
{
    char path[320];
    uint64_t ns = 0;
    FILE *f;

    snprintf(path, sizeof path, "/proc/%d/task/%s/schedstat", pid, thread);
    f = fopen(path, "r");
    if (f == NULL)
        return 0;
    if (fscanf(f, "%" SCNu64, &ns) != 1)
        ns = 0;
    fclose(f);
    return ns;
}

static void read_ticks(int pid, struct cost *cost)
{
    char path[64], line[1024];
    const char *rest;
    FILE *f;

    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    f = fopen(path, "r");
    if (f == NULL)
        return;
    if (fgets(line, sizeof line, f) != NULL && (rest = strrchr(line, ')')) != NULL)
        sscanf(rest + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %" SCNu64 " %" SCNu64,
               &cost->user_ticks, &cost->system_ticks);
    fclose(f);
}

struct cost cost_of(int pid)
{
    struct cost cost = {0};
    char path[64];
    struct dirent *entry;
    DIR *threads;

    snprintf(path, sizeof path, "/proc/%d/task", pid);
    threads = opendir(path);
    if (threads == NULL)
        fail("the server's process");
    while ((entry = readdir(threads)) != NULL)
        if (entry->d_name[0] != '.')
            cost.cpu_ns += thread_cpu_ns(pid, entry->d_name);
    closedir(threads);
    read_ticks(pid, &cost);
    return cost;
}

uint64_t memory_of(int pid)
{
    char path[64], line[256];
    uint64_t kib = 0;
    FILE *f;

    snprintf(path, sizeof path, "/proc/%d/smaps_rollup", pid);
    f = fopen(path, "r");
    if (f == NULL)
        fail(path);
    while (fgets(line, sizeof line, f) != NULL)
        if (sscanf(line, "Pss: %" SCNu64, &kib) == 1)
            break;
    fclose(f);
    return kib * 1024;
}
