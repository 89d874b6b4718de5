/* nick_set.c: see nick_set.h. */
#include "server/chat/nick_set.h"

#include "common/mem.h"
#include "common/siphash.h"

#include <stdlib.h>
#include <sys/random.h>

#define FIRST_CAP 64

void nick_set_init(struct nick_set *s)
{
    *s = (struct nick_set){0};
    if (getentropy(s->key, sizeof s->key) != 0)
        abort();
}

void nick_set_deinit(struct nick_set *s)
{
    free(s->slots);
    *s = (struct nick_set){0};
}

static uint64_t hash_of(const struct nick_set *s, const char *folded, size_t len)
{
    uint64_t hash = siphash24(s->key, folded, len);

    return hash != 0 ? hash : 1;
}

/* Where it is, or would be. */
static uint64_t *find(uint64_t *slots, size_t cap, uint64_t hash)
{
    size_t at = hash & (cap - 1);

    while (slots[at] != 0 && slots[at] != hash)
        at = (at + 1) & (cap - 1);
    return &slots[at];
}

static void grow(struct nick_set *s)
{
    size_t cap = s->cap > 0 ? s->cap * 2 : FIRST_CAP;
    uint64_t *slots = mem_zalloc(cap * sizeof *slots);

    for (size_t i = 0; i < s->cap; i++)
        if (s->slots[i] != 0)
            *find(slots, cap, s->slots[i]) = s->slots[i];
    free(s->slots);
    s->slots = slots;
    s->cap = cap;
}

void nick_set_add(struct nick_set *s, const char *folded, size_t len)
{
    uint64_t hash = hash_of(s, folded, len), *slot;

    if (s->count * 2 >= s->cap)
        grow(s);
    slot = find(s->slots, s->cap, hash);
    s->count += *slot == 0;
    *slot = hash;
}

bool nick_set_has(const struct nick_set *s, const char *folded, size_t len)
{
    uint64_t hash = hash_of(s, folded, len);

    return s->cap > 0 && *find(s->slots, s->cap, hash) == hash;
}
