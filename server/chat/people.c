/* people.c: see people.h. */
#include "server/chat/people.h"

#include "common/mem.h"

#include <stdlib.h>
#include <string.h>

struct person {
    struct table_link link;
    uint64_t identity;
    uint32_t connections;
};

static int matches(const struct table_link *link, const void *key, size_t len)
{
    return memcmp(&table_of(link, struct person, link)->identity, key, len) == 0;
}

static struct person *find(const struct people *p, uint64_t identity, uint32_t hash)
{
    struct table_link *link = table_find(&p->accounts, hash, &identity, sizeof identity, matches);

    return link != NULL ? table_of(link, struct person, link) : NULL;
}

bool people_come(struct people *p, uint64_t identity)
{
    uint32_t hash = table_hash(&identity, sizeof identity);
    struct person *one = find(p, identity, hash);

    if (one == NULL) {
        one = mem_zalloc(sizeof *one);
        one->identity = identity;
        table_insert(&p->accounts, &one->link, hash);
    }
    return one->connections++ == 0;
}

bool people_go(struct people *p, uint64_t identity)
{
    struct person *one = find(p, identity, table_hash(&identity, sizeof identity));

    if (one == NULL)
        return true;
    if (--one->connections > 0)
        return false;
    table_remove(&p->accounts, &one->link);
    free(one);
    return true;
}

void people_deinit(struct people *p)
{
    uint32_t at;

    for (struct table_link *link = table_first(&p->accounts, &at), *next; link != NULL; link = next) {
        next = table_next(&p->accounts, &at, link);
        free(table_of(link, struct person, link));
    }
    table_deinit(&p->accounts);
}
