/* table.c: see table.h. Chains that double when they are as many as the slots. */
#include "common/table.h"

#include "common/mem.h"
#include "common/siphash.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/random.h>

static uint64_t secret[2];
static pthread_once_t secret_once = PTHREAD_ONCE_INIT;

static void make_secret(void)
{
    if (getentropy(secret, sizeof secret) != 0)
        abort();
}

uint32_t table_hash(const void *key, size_t len)
{
    uint64_t h;

    pthread_once(&secret_once, make_secret);
    h = siphash13(secret, key, len);
    return (uint32_t)(h ^ h >> 32);
}

struct table_link *table_find(const struct table *t, uint32_t hash, const void *key, size_t len,
                              table_match_fn *match)
{
    struct table_link *at = t->nslots > 0 ? t->slots[hash & (t->nslots - 1)] : NULL;

    while (at != NULL && (at->hash != hash || !match(at, key, len)))
        at = at->next;
    return at;
}

static void grow(struct table *t)
{
    uint32_t n = t->nslots > 0 ? t->nslots * 2 : 16;
    struct table_link **slots = mem_zalloc(n * sizeof(struct table_link *));

    for (uint32_t i = 0; i < t->nslots; i++) {
        struct table_link *at = t->slots[i], *next;

        for (; at != NULL; at = next) {
            next = at->next;
            at->next = slots[at->hash & (n - 1)];
            slots[at->hash & (n - 1)] = at;
        }
    }
    free(t->slots);
    t->slots = slots;
    t->nslots = n;
}

void table_insert(struct table *t, struct table_link *link, uint32_t hash)
{
    if (t->count >= t->nslots)
        grow(t);
    link->hash = hash;
    link->next = t->slots[hash & (t->nslots - 1)];
    t->slots[hash & (t->nslots - 1)] = link;
    t->count++;
}

void table_remove(struct table *t, struct table_link *link)
{
    struct table_link **at = &t->slots[link->hash & (t->nslots - 1)];

    while (*at != link)
        at = &(*at)->next;
    *at = link->next;
    t->count--;
}

void table_deinit(struct table *t)
{
    free(t->slots);
    *t = (struct table){0};
}

struct table_link *table_first(const struct table *t, uint32_t *at)
{
    for (*at = 0; *at < t->nslots; ++*at)
        if (t->slots[*at] != NULL)
            return t->slots[*at];
    return NULL;
}

struct table_link *table_next(const struct table *t, uint32_t *at, const struct table_link *link)
{
    if (link->next != NULL)
        return link->next;
    for (++*at; *at < t->nslots; ++*at)
        if (t->slots[*at] != NULL)
            return t->slots[*at];
    return NULL;
}
