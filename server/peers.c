/* peers.c: see peers.h. */
#include "server/peers.h"

#include "common/mem.h"
#include "common/table.h"

#include <netinet/in.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

struct peer {
    struct table_link link;
    uint32_t count;
    uint8_t key_len, key[8];
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct table peers;
static struct config_networks trusted;
static uint32_t most;

static void free_networks(void)
{
    free(trusted.v);
    trusted = (struct config_networks){0};
}

void peers_configure(const struct config *c)
{
    pthread_mutex_lock(&lock);
    free_networks();
    trusted.v = mem_alloc((c->trusted.n + 1) * sizeof *trusted.v);
    if (c->trusted.n > 0)
        memcpy(trusted.v, c->trusted.v, c->trusted.n * sizeof *trusted.v);
    trusted.n = c->trusted.n;
    for (size_t i = 0; i < trusted.n; i++)
        trusted.v[i].text = NULL; /* the config's */
    most = c->max_per_address;
    pthread_mutex_unlock(&lock);
}

void peers_deinit(void)
{
    uint32_t at;

    for (struct table_link *link = table_first(&peers, &at), *next; link != NULL; link = next) {
        next = table_next(&peers, &at, link);
        free(table_of(link, struct peer, link));
    }
    table_deinit(&peers);
    free_networks();
}

bool peers_is_trusted(const struct tcp_addr *peer)
{
    bool is;

    pthread_mutex_lock(&lock);
    is = config_is_trusted_tcp(&(struct config){.trusted = trusted}, peer);
    pthread_mutex_unlock(&lock);
    return is;
}

static int matches(const struct table_link *link, const void *key, size_t len)
{
    const struct peer *p = table_of(link, struct peer, link);

    return p->key_len == len && memcmp(p->key, key, len) == 0;
}

static size_t key_len(const struct tcp_addr *peer)
{
    return peer->family == AF_INET6 ? 8 : 4;
}

static struct peer *find(const struct tcp_addr *peer, uint32_t *hash)
{
    struct table_link *link;

    *hash = table_hash(peer->ip, key_len(peer));
    link = table_find(&peers, *hash, peer->ip, key_len(peer), matches);
    return link != NULL ? table_of(link, struct peer, link) : NULL;
}

bool peers_enter(const struct tcp_addr *peer)
{
    struct peer *p;
    uint32_t hash;
    bool may;

    pthread_mutex_lock(&lock);
    p = find(peer, &hash);
    may = p == NULL || p->count < most;
    if (p == NULL) {
        p = mem_zalloc(sizeof *p);
        p->key_len = (uint8_t)key_len(peer);
        memcpy(p->key, peer->ip, p->key_len);
        table_insert(&peers, &p->link, hash);
    }
    p->count += may;
    pthread_mutex_unlock(&lock);
    return may;
}

void peers_leave(const struct tcp_addr *peer)
{
    struct peer *p;
    uint32_t hash;

    pthread_mutex_lock(&lock);
    p = find(peer, &hash);
    if (p != NULL && --p->count == 0) {
        table_remove(&peers, &p->link);
        free(p);
    }
    pthread_mutex_unlock(&lock);
}
