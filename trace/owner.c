/* owner.c: see owner.h. A socket's inode is in inet_diag's answer and in /proc/PID/fd; that joins the two. */
#include "trace/owner.h"

#include "common/mem.h"
#include "trace/diag.h"

#include <dirent.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TURN_MS 5

struct end {
    struct tcp_addr local, peer;
    enum owner_who who;
};

struct list {
    uint32_t *items;
    size_t count, cap;
};

struct owner {
    struct diag *diag;
    pthread_t thread;
    atomic_bool stop;
    bool is_running;
    atomic_int root;
    struct list pids, inodes; /* of the present look */
    struct end *ends;
    size_t count, cap;
};

static void add(struct list *l, uint32_t item)
{
    if (l->count == l->cap) {
        l->cap = l->cap == 0 ? 64 : l->cap * 2;
        l->items = mem_realloc(l->items, l->cap * sizeof *l->items);
    }
    l->items[l->count++] = item;
}

static bool has(const struct list *l, uint32_t item)
{
    for (size_t i = 0; i < l->count; i++) {
        if (l->items[i] == item)
            return true;
    }
    return false;
}

/* ---- processes ---- */

static void add_children(struct list *pids, uint32_t pid)
{
    char path[64];
    unsigned child;
    FILE *in;

    snprintf(path, sizeof path, "/proc/%u/task/%u/children", pid, pid);
    in = fopen(path, "re");
    while (in != NULL && fscanf(in, "%u", &child) == 1)
        add(pids, child);
    if (in != NULL)
        fclose(in);
}

static void add_sockets(struct list *inodes, uint32_t pid)
{
    char path[64], link[64];
    const struct dirent *entry;
    unsigned inode;
    DIR *dir;

    snprintf(path, sizeof path, "/proc/%u/fd", pid);
    dir = opendir(path);
    while (dir != NULL && (entry = readdir(dir)) != NULL) {
        ssize_t n = readlinkat(dirfd(dir), entry->d_name, link, sizeof link - 1);

        link[n > 0 ? n : 0] = '\0';
        if (sscanf(link, "socket:[%u]", &inode) == 1)
            add(inodes, inode);
    }
    if (dir != NULL)
        closedir(dir);
}

/* ---- looking ---- */

static struct end *find(const struct owner *o, const struct tcp_addr *local, const struct tcp_addr *peer)
{
    for (size_t i = 0; i < o->count; i++) {
        if (memcmp(&o->ends[i].local, local, sizeof *local) == 0 &&
            memcmp(&o->ends[i].peer, peer, sizeof *peer) == 0)
            return &o->ends[i];
    }
    return NULL;
}

static bool take(const struct diag_socket *s, void *arg)
{
    struct owner *o = arg;
    struct end *e = find(o, &s->local, &s->peer);

    if (s->inode == 0)
        return true; /* nobody's any more, or not yet anybody's */
    if (e == NULL) {
        if (o->count == o->cap) {
            o->cap = o->cap == 0 ? 64 : o->cap * 2;
            o->ends = mem_realloc(o->ends, o->cap * sizeof *o->ends);
        }
        e = &o->ends[o->count++];
        *e = (struct end){.local = s->local, .peer = s->peer};
    }
    if (e->who != OWNER_OURS)
        e->who = has(&o->inodes, s->inode) ? OWNER_OURS : OWNER_OTHERS;
    return true;
}

static void look(struct owner *o)
{
    int root = atomic_load(&o->root);

    o->pids.count = o->inodes.count = 0;
    if (root != 0)
        add(&o->pids, (uint32_t)root);
    for (size_t i = 0; i < o->pids.count; i++) { /* it grows meanwhile */
        add_children(&o->pids, o->pids.items[i]);
        add_sockets(&o->inodes, o->pids.items[i]);
    }
    diag_each(o->diag, AF_INET, take, o);
    diag_each(o->diag, AF_INET6, take, o);
}

static void *run(void *arg)
{
    struct owner *o = arg;

    while (!atomic_load(&o->stop)) {
        look(o);
        poll(NULL, 0, TURN_MS);
    }
    return NULL;
}

struct owner *owner_start(void)
{
    struct owner *o = mem_zalloc(sizeof *o);

    o->diag = diag_new();
    if (o->diag == NULL) {
        free(o);
        return NULL;
    }
    look(o);
    o->is_running = pthread_create(&o->thread, NULL, run, o) == 0;
    return o;
}

void owner_watch(struct owner *o, pid_t root)
{
    atomic_store(&o->root, (int)root);
}

void owner_stop(struct owner *o)
{
    if (!o->is_running)
        return;
    atomic_store(&o->stop, true);
    pthread_join(o->thread, NULL);
    o->is_running = false;
}

enum owner_who owner_of(const struct owner *o, const struct tcp_addr *local, const struct tcp_addr *peer)
{
    const struct end *e = find(o, local, peer);

    return e != NULL ? e->who : OWNER_UNKNOWN;
}

void owner_free(struct owner *o)
{
    if (o == NULL)
        return;
    owner_stop(o);
    diag_free(o->diag);
    free(o->pids.items);
    free(o->inodes.items);
    free(o->ends);
    free(o);
}
