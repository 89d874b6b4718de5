/* table.h: a hash table of things that carry their own link.
 *
 * It owns nothing: the caller embeds a struct table_link in what he puts in, and frees it after taking it
 * out. Keys are bytes that peers choose (names of rooms, nicks), so that the hash is keyed by a secret of the
 * process. One thread, or the caller's lock. */
#ifndef COMMON_TABLE_H
#define COMMON_TABLE_H

#include <stddef.h>
#include <stdint.h>

struct table_link {
    struct table_link *next;
    uint32_t hash;
};

struct table {
    struct table_link **slots; /* NULL until the first is put in; a power of two */
    uint32_t nslots, count;
};

/* Says whether the thing of that link has that key. */
typedef int table_match_fn(const struct table_link *link, const void *key, size_t len);

#define table_of(link, type, member) ((type *)(void *)((char *)(link)-offsetof(type, member)))

uint32_t table_hash(const void *key, size_t len); /* the same for the life of the process */
struct table_link *table_find(const struct table *t, uint32_t hash, const void *key, size_t len,
                              table_match_fn *match);
void table_insert(struct table *t, struct table_link *link,
                  uint32_t hash);                            /* the key must not be there yet */
void table_remove(struct table *t, struct table_link *link); /* link must be in t */
void table_deinit(struct table *t);                          /* the slots only */

/* for (link = table_first(t, &at); link; link = table_next(t, &at, link)); what it gives may be removed if
 * the next one is asked for before. */
struct table_link *table_first(const struct table *t, uint32_t *at);
struct table_link *table_next(const struct table *t, uint32_t *at, const struct table_link *link);

#endif
