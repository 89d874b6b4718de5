/* throttle.c: see throttle.h. */
#include "server/chat/throttle.h"

#include "common/mem.h"

#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#define KEY_MAX (1 + 8 + UTF8_FOLD_MAX)

/* What is counted; also the first byte of the key. */
enum what { OF_ADDRESS = 'a', AT_ACCOUNT = 'n', NEW_ACCOUNTS = 'r' };

struct throttle_entry {
    struct table_link link;
    TAILQ_ENTRY(throttle_entry) used;
    uint32_t failures;
    uint64_t seen_us; /* when failures were last made fewer by time */
    uint64_t until_us;
    uint8_t key_len;
    char key[]; /* what, then the address, the folded nick, or both */
};

struct key {
    uint8_t len;
    char text[KEY_MAX];
};

static int matches(const struct table_link *link, const void *key, size_t len)
{
    const struct throttle_entry *e = table_of(link, struct throttle_entry, link);

    return e->key_len == len && memcmp(e->key, key, len) == 0;
}

void throttle_init(struct throttle *t)
{
    *t = (struct throttle){0};
    pthread_mutex_init(&t->lock, NULL);
    TAILQ_INIT(&t->used);
}

static void drop(struct throttle *t, struct throttle_entry *e)
{
    table_remove(&t->entries, &e->link);
    TAILQ_REMOVE(&t->used, e, used);
    free(e);
}

void throttle_deinit(struct throttle *t)
{
    struct throttle_entry *e;

    while ((e = TAILQ_FIRST(&t->used)) != NULL)
        drop(t, e);
    table_deinit(&t->entries);
    pthread_mutex_destroy(&t->lock);
}

static void put(struct key *k, const void *data, size_t len)
{
    memcpy(k->text + k->len, data, len);
    k->len = (uint8_t)(k->len + len);
}

/* Of an IPv6 address the network alone: whoever has one address there has 2^64. */
static struct key make_key(const struct throttle_who *who, enum what what)
{
    struct key k = {.len = 1, .text = {(char)what}};

    if (what != AT_ACCOUNT)
        put(&k, who->peer.ip, who->peer.family == AF_INET6 ? 8 : 4);
    if (what == AT_ACCOUNT || (what == OF_ADDRESS && who->is_trusted))
        put(&k, who->folded, who->folded_len);
    return k;
}

/* The entry, its count as it is by now; NULL where there is none and none is to be made. */
static struct throttle_entry *get(struct throttle *t, const struct key *k, bool make, uint64_t now_us)
{
    uint32_t hash = table_hash(k->text, k->len);
    struct table_link *link = table_find(&t->entries, hash, k->text, k->len, matches);
    struct throttle_entry *e;
    uint64_t forgotten;

    if (link == NULL && !make)
        return NULL;
    if (link == NULL) {
        if (t->entries.count >= THROTTLE_ENTRIES)
            drop(t, TAILQ_FIRST(&t->used));
        e = mem_zalloc(sizeof *e + k->len);
        e->key_len = k->len;
        memcpy(e->key, k->text, k->len);
        e->seen_us = now_us;
        table_insert(&t->entries, &e->link, hash);
    } else {
        e = table_of(link, struct throttle_entry, link);
        TAILQ_REMOVE(&t->used, e, used);
        if (now_us < e->seen_us) /* another thread's turn began later */
            now_us = e->seen_us;
        forgotten = (now_us - e->seen_us) / (THROTTLE_FORGET_MS * UINT64_C(1000));
        e->failures = forgotten < e->failures ? e->failures - (uint32_t)forgotten : 0;
        e->seen_us += forgotten * THROTTLE_FORGET_MS * UINT64_C(1000);
    }
    TAILQ_INSERT_TAIL(&t->used, e, used);
    return e;
}

static uint64_t wait_of(const struct throttle_entry *e, uint64_t now_us)
{
    return e != NULL && e->until_us > now_us ? (e->until_us - now_us + 999) / 1000 : 0;
}

uint64_t throttle_ask(struct throttle *t, const struct throttle_who *who, uint64_t now_us)
{
    struct key k = make_key(who, OF_ADDRESS);
    uint64_t wait;

    pthread_mutex_lock(&t->lock);
    wait = wait_of(get(t, &k, false, now_us), now_us);
    pthread_mutex_unlock(&t->lock);
    return wait;
}

static void count_one(struct throttle_entry *e)
{
    e->failures += e->failures < THROTTLE_COUNTED;
}

static void count(struct throttle_entry *e, uint32_t is_free, uint64_t now_us)
{
    uint64_t ms = THROTTLE_FIRST_MS;

    count_one(e);
    for (uint32_t n = is_free; n + 1 < e->failures && ms < THROTTLE_MOST_MS; n++)
        ms *= 2;
    if (e->failures > is_free)
        e->until_us = now_us + (ms < THROTTLE_MOST_MS ? ms : THROTTLE_MOST_MS) * 1000;
}

uint64_t throttle_try(struct throttle *t, const struct throttle_who *who, uint64_t now_us)
{
    struct key address = make_key(who, OF_ADDRESS), account = make_key(who, AT_ACCOUNT);
    struct throttle_entry *of, *at;
    uint64_t wait;

    pthread_mutex_lock(&t->lock);
    wait = wait_of(get(t, &address, false, now_us), now_us);
    if (wait == 0) {
        at = get(t, &account, true, now_us);
        count_one(at);
        of = get(t, &address, true, now_us);
        count(of, at->failures > THROTTLE_ACCOUNT_FREE ? 0 : THROTTLE_FREE, now_us);
    }
    pthread_mutex_unlock(&t->lock);
    return wait;
}

static void forgive(struct throttle_entry *e)
{
    if (e == NULL)
        return;
    e->failures -= e->failures > 0;
    e->until_us = 0; /* had it had to wait, it would not have been heard */
}

void throttle_forgive(struct throttle *t, const struct throttle_who *who, uint64_t now_us)
{
    struct key address = make_key(who, OF_ADDRESS), account = make_key(who, AT_ACCOUNT);

    pthread_mutex_lock(&t->lock);
    forgive(get(t, &address, false, now_us));
    forgive(get(t, &account, false, now_us));
    pthread_mutex_unlock(&t->lock);
}

uint64_t throttle_register(struct throttle *t, const struct throttle_who *who, uint64_t now_us)
{
    struct key k = make_key(who, NEW_ACCOUNTS);
    struct throttle_entry *e;
    uint64_t wait;

    if (who->is_trusted)
        return 0;
    pthread_mutex_lock(&t->lock);
    e = get(t, &k, true, now_us);
    wait = wait_of(e, now_us);
    if (wait == 0)
        count(e, THROTTLE_NEW_FREE, now_us);
    pthread_mutex_unlock(&t->lock);
    return wait;
}
