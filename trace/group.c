/* group.c: see group.h; cgroups(7), bpf(2). */
#include "trace/group.h"

#include "common/mem.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <linux/bpf.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define PATH_SIZE 512

/* What the program notes of a connection, as the kernel has it; the other family's addresses are whatever
 * they are. */
struct noted {
    uint32_t family, remote_ip4, local_ip4, remote_ip6[4], local_ip6[4];
    uint32_t remote_port; /* network's order, 32 bits */
    uint32_t local_port;  /* the host's */
};

struct ends {
    struct tcp_addr local, peer;
};

struct group {
    char path[PATH_SIZE + 64];
    int dir, map, program;
    struct ends *ends; /* sorted */
    size_t count;
    struct ifaddrs *own; /* this host's addresses */
};

static int bpf(enum bpf_cmd cmd, union bpf_attr *attr)
{
    return (int)syscall(SYS_bpf, cmd, attr, sizeof *attr);
}

/* ---- the program ---- */

static struct bpf_insn insn(int code, int to, int from, size_t offset, int number)
{
    return (struct bpf_insn){.code = (uint8_t)code,
                             .dst_reg = (uint8_t)(to & 15),
                             .src_reg = (uint8_t)(from & 15),
                             .off = (int16_t)offset,
                             .imm = number};
}

/* On connect(), before the SYN goes out; when a handshake with a listener is complete; on listen(): puts the
 * socket's ends into the map. */
static int load_program(int map)
{
    enum { R0, R1, R2, R3, R4, R6 = 6, R10 = 10, CODE_MAX = 48, OUT = 2 };
    enum { KEY = -(int)sizeof(struct noted) - 4, VALUE = KEY - 8 };
    static const int ops[] = {BPF_SOCK_OPS_TCP_CONNECT_CB, BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB,
                              BPF_SOCK_OPS_TCP_LISTEN_CB};
    static const char license[] = "MIT";
    const size_t first = offsetof(struct bpf_sock_ops, family), fields = sizeof(struct noted) / 4;
    struct bpf_insn code[CODE_MAX];
    union bpf_attr attr = {0};
    size_t n = 0;

    code[n++] = insn(BPF_ALU64 | BPF_MOV | BPF_X, R6, R1, 0, 0);
    code[n++] = insn(BPF_LDX | BPF_MEM | BPF_W, R2, R6, offsetof(struct bpf_sock_ops, op), 0);
    for (size_t i = 0; i < 3; i++)
        code[n++] = insn(BPF_JMP | BPF_JEQ | BPF_K, R2, 0, 2 - i + OUT, ops[i]);
    code[n++] = insn(BPF_ALU64 | BPF_MOV | BPF_K, R0, 0, 0, 1);
    code[n++] = insn(BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
    for (size_t i = 0; i < fields; i++) {
        code[n++] = insn(BPF_LDX | BPF_MEM | BPF_W, R3, R6, first + 4 * i, 0);
        code[n++] = insn(BPF_STX | BPF_MEM | BPF_W, R10, R3, (size_t)KEY + 4 * i, 0);
    }
    code[n++] = insn(BPF_ST | BPF_MEM | BPF_DW, R10, 0, (size_t)VALUE, 1);
    code[n++] = insn(BPF_LD | BPF_DW | BPF_IMM, R1, BPF_PSEUDO_MAP_FD, 0, map);
    code[n++] = insn(0, 0, 0, 0, 0);
    code[n++] = insn(BPF_ALU64 | BPF_MOV | BPF_X, R2, R10, 0, 0);
    code[n++] = insn(BPF_ALU64 | BPF_ADD | BPF_K, R2, 0, 0, KEY);
    code[n++] = insn(BPF_ALU64 | BPF_MOV | BPF_X, R3, R10, 0, 0);
    code[n++] = insn(BPF_ALU64 | BPF_ADD | BPF_K, R3, 0, 0, VALUE);
    code[n++] = insn(BPF_ALU64 | BPF_MOV | BPF_K, R4, 0, 0, BPF_ANY);
    code[n++] = insn(BPF_JMP | BPF_CALL, 0, 0, 0, BPF_FUNC_map_update_elem);
    code[n++] = insn(BPF_ALU64 | BPF_MOV | BPF_K, R0, 0, 0, 1);
    code[n++] = insn(BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
    attr.prog_type = BPF_PROG_TYPE_SOCK_OPS;
    attr.insns = (uint64_t)(uintptr_t)code;
    attr.insn_cnt = (uint32_t)n;
    attr.license = (uint64_t)(uintptr_t)license;
    return bpf(BPF_PROG_LOAD, &attr);
}

static int make_map(void)
{
    union bpf_attr attr = {.map_type = BPF_MAP_TYPE_HASH,
                           .key_size = sizeof(struct noted),
                           .value_size = 8,
                           .max_entries = GROUP_CONNS,
                           .map_flags = BPF_F_NO_PREALLOC};

    return bpf(BPF_MAP_CREATE, &attr);
}

/* ---- the group ---- */

/* Where cgroup2 is mounted. */
static bool find_mount(char *path, size_t size)
{
    FILE *in = fopen("/proc/self/mounts", "re");
    char line[1024], where[PATH_SIZE], type[64];
    bool found = false;

    while (in != NULL && !found && fgets(line, sizeof line, in) != NULL)
        if (sscanf(line, "%*s %511s %63s", where, type) == 2 && strcmp(type, "cgroup2") == 0) {
            snprintf(path, size, "%s", where);
            found = true;
        }
    if (in != NULL)
        fclose(in);
    return found;
}

/* Below the one that we are in. */
static bool find_own(char *path, size_t size)
{
    FILE *in = fopen("/proc/self/cgroup", "re");
    char line[PATH_SIZE];
    bool found = false;

    while (in != NULL && !found && fgets(line, sizeof line, in) != NULL)
        if (strncmp(line, "0::", 3) == 0) {
            line[strcspn(line, "\n")] = '\0';
            snprintf(path, size, "%s", strcmp(line + 3, "/") == 0 ? "" : line + 3);
            found = true;
        }
    if (in != NULL)
        fclose(in);
    return found;
}

static bool make_dir(struct group *g)
{
    char mount[PATH_SIZE], own[PATH_SIZE];

    if (!find_mount(mount, sizeof mount) || !find_own(own, sizeof own)) {
        errno = ENOENT;
        return false;
    }
    snprintf(g->path, sizeof g->path, "%.250s%.250s/chat-trace-%ld", mount, own, (long)getpid());
    if (mkdir(g->path, 0755) != 0)
        return false;
    g->dir = open(g->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return g->dir >= 0;
}

static bool attach(struct group *g)
{
    union bpf_attr attr = {0};

    g->map = make_map();
    if (g->map < 0)
        return false;
    g->program = load_program(g->map);
    if (g->program < 0)
        return false;
    attr.target_fd = (uint32_t)g->dir;
    attr.attach_bpf_fd = (uint32_t)g->program;
    attr.attach_type = BPF_CGROUP_SOCK_OPS;
    attr.attach_flags = BPF_F_ALLOW_MULTI;
    return bpf(BPF_PROG_ATTACH, &attr) == 0;
}

struct group *group_new(void)
{
    struct group *g = mem_zalloc(sizeof *g);
    int err;

    g->dir = g->map = g->program = -1;
    if (make_dir(g) && attach(g))
        return g;
    err = errno;
    group_free(g);
    errno = err;
    return NULL;
}

int group_enter(const struct group *g)
{
    int fd = openat(g->dir, "cgroup.procs", O_WRONLY | O_CLOEXEC), err = 0;

    if (fd < 0)
        return -errno;
    if (write(fd, "0", 1) != 1)
        err = -errno;
    close(fd);
    return err;
}

void group_free(struct group *g)
{
    int fds[] = {g != NULL ? g->dir : -1, g != NULL ? g->map : -1, g != NULL ? g->program : -1};
    union bpf_attr attr = {0};

    if (g == NULL)
        return;
    attr.target_fd = (uint32_t)g->dir;
    attr.attach_bpf_fd = (uint32_t)g->program;
    attr.attach_type = BPF_CGROUP_SOCK_OPS;
    if (g->dir >= 0 && g->program >= 0)
        bpf(BPF_PROG_DETACH, &attr);
    for (size_t i = 0; i < 3; i++)
        if (fds[i] >= 0)
            close(fds[i]);
    if (g->path[0] != '\0')
        rmdir(g->path);
    if (g->own != NULL)
        freeifaddrs(g->own);
    free(g->ends);
    free(g);
}

/* ---- what was noted ---- */

static void take_addr(struct tcp_addr *a, uint32_t family, uint32_t ip4, const uint32_t ip6[4], uint16_t port)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = ip4};
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};

    memcpy(&in6.sin6_addr, ip6, 16);
    tcp_addr_from(a, family == AF_INET6 ? (struct sockaddr *)&in6 : (struct sockaddr *)&in);
}

static int by_ends(const void *a, const void *b)
{
    return memcmp(a, b, sizeof(struct ends));
}

void group_read(struct group *g)
{
    struct noted last, next;
    union bpf_attr attr = {.map_fd = (uint32_t)g->map};

    g->ends = mem_realloc(g->ends, GROUP_CONNS * sizeof *g->ends);
    g->count = 0;
    if (g->own == NULL && getifaddrs(&g->own) != 0)
        g->own = NULL;
    attr.next_key = (uint64_t)(uintptr_t)&next;
    while (g->count < GROUP_CONNS && bpf(BPF_MAP_GET_NEXT_KEY, &attr) == 0) {
        struct ends *e = &g->ends[g->count++];

        memset(e, 0, sizeof *e);
        take_addr(&e->local, next.family, next.local_ip4, next.local_ip6, (uint16_t)next.local_port);
        take_addr(&e->peer, next.family, next.remote_ip4, next.remote_ip6, (uint16_t)ntohl(next.remote_port));
        last = next;
        attr.key = (uint64_t)(uintptr_t)&last;
    }
    qsort(g->ends, g->count, sizeof *g->ends, by_ends);
}

bool group_is_full(const struct group *g)
{
    return g->count == GROUP_CONNS;
}

bool group_has(const struct group *g, const struct tcp_addr *local, const struct tcp_addr *peer)
{
    struct ends key;

    memset(&key, 0, sizeof key);
    key.local = *local;
    key.peer = *peer;
    return bsearch(&key, g->ends, g->count, sizeof key, by_ends) != NULL;
}

static bool is_own(const struct group *g, const struct tcp_addr *a)
{
    for (const struct ifaddrs *i = g->own; i != NULL; i = i->ifa_next) {
        struct tcp_addr own = {0};

        if (i->ifa_addr != NULL)
            tcp_addr_from(&own, i->ifa_addr);
        if (own.family == a->family && memcmp(own.ip, a->ip, sizeof own.ip) == 0)
            return true;
    }
    return tcp_addr_is_loopback(a);
}

/* A listener has no peer; its address may be any of this host: another one's port of that number is none of
 * its business. */
bool group_listens(const struct group *g, const struct tcp_addr *local)
{
    static const uint8_t any[16];

    for (size_t i = 0; i < g->count; i++) {
        const struct tcp_addr *at = &g->ends[i].local;

        if (g->ends[i].peer.port == 0 && at->port == local->port &&
            ((memcmp(at->ip, any, sizeof any) == 0 && is_own(g, local)) ||
             memcmp(at->ip, local->ip, sizeof any) == 0))
            return true;
    }
    return false;
}
