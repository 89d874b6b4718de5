/* ledger.c: see ledger.h. */
#include "bots/ledger.h"

#include "common/mem.h"

#include <stdlib.h>
#include <string.h>

#define FIRST_SIZE 64
#define MOST       65536

static int has_name(const struct table_link *link, const void *name, size_t len)
{
    const struct ledger_room *r = table_of(link, const struct ledger_room, link);

    return r->name_len == len && memcmp(r->name, name, len) == 0;
}

struct ledger_room *ledger_find(const struct ledger *l, const char *name, size_t len)
{
    struct table_link *link = table_find(&l->rooms, table_hash(name, len), name, len, has_name);

    return link != NULL ? table_of(link, struct ledger_room, link) : NULL;
}

struct ledger_room *ledger_get(struct ledger *l, const char *name, size_t len)
{
    struct ledger_room *r = ledger_find(l, name, len);

    if (r != NULL)
        return r;
    r = mem_zalloc(sizeof *r + len + 1);
    r->name_len = (uint16_t)len;
    memcpy(r->name, name, len);
    table_insert(&l->rooms, &r->link, table_hash(name, len));
    return r;
}

bool ledger_enter(struct ledger *l, struct ledger_room *r, uint64_t epoch)
{
    bool had_another = r->epoch != 0 && r->epoch != epoch;

    if (r->epoch == epoch)
        return false;
    l->epochs += had_another;
    free(r->ring);
    r->ring = NULL;
    r->size = 0;
    r->newest = 0;
    r->epoch = epoch;
    return had_another;
}

static void resize(struct ledger_room *r, uint32_t size)
{
    struct ledger_slot *old = r->ring;
    uint32_t old_size = r->size;

    r->ring = mem_zalloc(size * sizeof *r->ring);
    r->size = size;
    for (uint32_t i = 0; i < old_size; i++)
        if (old[i].seq != 0)
            r->ring[old[i].seq & (size - 1)] = old[i];
    free(old);
}

enum ledger_verdict ledger_note(struct ledger *l, struct ledger_room *r, uint64_t seq, uint64_t hash)
{
    struct ledger_slot *s;

    if (r->size == 0)
        resize(r, FIRST_SIZE);
    if (seq > r->newest)
        r->newest = seq;
    s = &r->ring[seq & (r->size - 1)];
    if (s->seq == seq)
        return s->hash == hash ? LEDGER_SAME : LEDGER_DIFFERENT;
    if (s->seq > seq) {
        l->forgotten++;
        if (r->size < MOST)
            resize(r, r->size * 2);
        return LEDGER_FORGOTTEN;
    }
    *s = (struct ledger_slot){.seq = seq, .hash = hash};
    return LEDGER_FIRST;
}

void ledger_set_due(struct ledger_room *r, uint64_t seq, uint64_t due_us)
{
    if (r->size > 0 && r->ring[seq & (r->size - 1)].seq == seq)
        r->ring[seq & (r->size - 1)].due_us = due_us;
}

uint64_t ledger_due(const struct ledger_room *r, uint64_t seq)
{
    return r->size > 0 && r->ring[seq & (r->size - 1)].seq == seq ? r->ring[seq & (r->size - 1)].due_us : 0;
}

void ledger_deinit(struct ledger *l)
{
    struct table_link *link, *next;
    uint32_t at;

    for (link = table_first(&l->rooms, &at); link != NULL; link = next) {
        struct ledger_room *r = table_of(link, struct ledger_room, link);

        next = table_next(&l->rooms, &at, link);
        free(r->ring);
        free(r);
    }
    table_deinit(&l->rooms);
}
