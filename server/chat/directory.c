/* directory.c: see directory.h. */
#include "server/chat/directory.h"

#include "common/clock.h"
#include "common/mem.h"
#include "common/siphash.h"
#include "server/chat/session.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

/* By how much nicks that are had for less than a millisecond, one after the other, may run ahead of the
 * clock. */
#define AHEAD_MAX_MS 1000

static int matches(const struct table_link *link, const void *key, size_t len)
{
    const struct nick *n = table_of(link, struct nick, link);

    return n->folded_len == len && memcmp(n->text, key, len) == 0;
}

void directory_init(struct directory *d, uint64_t newest_ms)
{
    *d = (struct directory){.newest_ms = newest_ms};
    pthread_mutex_init(&d->lock, NULL);
    if (getentropy(d->secret, sizeof d->secret) != 0 ||
        getentropy(&d->last_identity, sizeof d->last_identity) != 0)
        abort();
    d->last_identity &= DIRECTORY_ACCOUNT / 2 - 1; /* guests of an earlier run, in what is kept, are others */
}

void directory_deinit(struct directory *d)
{
    table_deinit(&d->nicks);
    pthread_mutex_destroy(&d->lock);
}

struct nick *nick_new(const char *folded, size_t folded_len, const char *text, size_t len)
{
    bool is_folded = folded_len == len && memcmp(folded, text, len) == 0;
    struct nick *n = mem_zalloc(sizeof *n + folded_len + 1 + (is_folded ? 0 : len + 1));

    n->folded_len = (uint8_t)folded_len;
    n->len = (uint8_t)len;
    n->is_folded = is_folded;
    memcpy(n->text, folded, folded_len);
    if (!is_folded)
        memcpy(n->text + folded_len + 1, text, len);
    return n;
}

/* A registered nick's session is there, and its reactor never changes: any thread that has the lock may
 * look. */
static struct reactor *reactor_of(const struct nick *n)
{
    return n->session->conn.reactor;
}

static struct nick *find(struct directory *d, const char *folded, size_t len, uint32_t hash)
{
    struct table_link *link = table_find(&d->nicks, hash, folded, len, matches);

    return link != NULL ? table_of(link, struct nick, link) : NULL;
}

/* Behind the others of its account; the caller has the lock. */
static enum directory_result join_account(struct nick *first, struct nick *n)
{
    struct nick **at = &first->next;
    size_t count = 1;

    if (!n->is_account || !first->is_account || first->identity != n->identity)
        return DIRECTORY_TAKEN;
    for (; *at != NULL; at = &(*at)->next)
        count++;
    if (count >= DIRECTORY_SESSIONS_MAX)
        return DIRECTORY_FULL;
    *at = n;
    return DIRECTORY_OK;
}

/* The time, or that of the newest message where the clock has been set back. */
static uint64_t latest(struct directory *d)
{
    uint64_t now_ms = clock_wall_us() / 1000, newest_ms = atomic_load(&d->newest_ms);

    return now_ms >= newest_ms ? now_ms : newest_ms + 1;
}

/* The caller has the lock. */
static uint64_t since_now(struct directory *d)
{
    uint64_t now_ms = latest(d);

    return now_ms > d->released_ms ? now_ms : d->released_ms + 1;
}

enum directory_result directory_add(struct directory *d, struct nick *n)
{
    uint32_t hash = table_hash(n->text, n->folded_len);
    enum directory_result result = DIRECTORY_OK;
    struct nick *first;

    pthread_mutex_lock(&d->lock);
    n->next = NULL;
    first = find(d, n->text, n->folded_len, hash);
    if (first != NULL)
        result = join_account(first, n);
    else
        table_insert(&d->nicks, &n->link, hash);
    if (result == DIRECTORY_OK && n->since_ms == 0)
        n->since_ms = since_now(d) & NICK_SINCE_MAX;
    if (result == DIRECTORY_OK && n->identity == 0)
        n->identity = ++d->last_identity;
    pthread_mutex_unlock(&d->lock);
    return result;
}

void directory_remove(struct directory *d, struct nick *n)
{
    uint32_t hash = table_hash(n->text, n->folded_len);
    struct nick *at;
    uint64_t last_ms;

    pthread_mutex_lock(&d->lock);
    at = find(d, n->text, n->folded_len, hash);
    if (at == n) {
        table_remove(&d->nicks, &n->link);
        if (n->next != NULL)
            table_insert(&d->nicks, &n->next->link, hash);
    } else {
        while (at->next != n)
            at = at->next;
        at->next = n->next;
    }
    last_ms = latest(d);
    if (n->since_ms > last_ms)
        last_ms = n->since_ms < last_ms + AHEAD_MAX_MS ? n->since_ms : last_ms + AHEAD_MAX_MS;
    if (last_ms > d->released_ms)
        d->released_ms = last_ms;
    pthread_mutex_unlock(&d->lock);
}

void directory_promote(struct directory *d, struct nick *n, uint64_t identity)
{
    pthread_mutex_lock(&d->lock);
    n->identity = identity;
    n->is_account = true;
    pthread_mutex_unlock(&d->lock);
}

bool directory_find(struct directory *d, const char *folded, size_t len, struct nick_place *place)
{
    uint32_t hash = table_hash(folded, len);
    struct nick *n;

    pthread_mutex_lock(&d->lock);
    n = find(d, folded, len, hash);
    if (n != NULL) {
        *place = (struct nick_place){.reactor = reactor_of(n),
                                     .identity = n->identity,
                                     .since_ms = n->since_ms,
                                     .is_account = n->is_account,
                                     .len = n->len};
        memcpy(place->text, nick_text(n), n->len);
    }
    pthread_mutex_unlock(&d->lock);
    return n != NULL;
}

static bool has_reactor(struct reactor *const *list, size_t count, const struct reactor *r)
{
    for (size_t i = 0; i < count; i++)
        if (list[i] == r)
            return true;
    return false;
}

size_t directory_reactors(struct directory *d, const char *folded, size_t len,
                          struct reactor *out[DIRECTORY_SESSIONS_MAX])
{
    uint32_t hash = table_hash(folded, len);
    size_t count = 0;

    pthread_mutex_lock(&d->lock);
    for (const struct nick *n = find(d, folded, len, hash); n != NULL; n = n->next)
        if (!has_reactor(out, count, reactor_of(n)))
            out[count++] = reactor_of(n);
    pthread_mutex_unlock(&d->lock);
    return count;
}

size_t directory_sessions(struct directory *d, const char *folded, size_t len, const struct reactor *r,
                          struct session *out[DIRECTORY_SESSIONS_MAX])
{
    uint32_t hash = table_hash(folded, len);
    size_t count = 0;

    pthread_mutex_lock(&d->lock);
    for (const struct nick *n = find(d, folded, len, hash); n != NULL; n = n->next)
        if (reactor_of(n) == r)
            out[count++] = n->session;
    pthread_mutex_unlock(&d->lock);
    return count;
}

static uint64_t seal(const struct directory *d, uint64_t identity, uint64_t nonce, const char *folded,
                     size_t len)
{
    uint64_t head[2] = {identity, nonce};
    char text[sizeof head + UTF8_FOLD_MAX];

    memcpy(text, head, sizeof head);
    memcpy(text + sizeof head, folded, len);
    return siphash24(d->secret, text, sizeof head + len);
}

void directory_token(const struct directory *d, const struct nick *n, uint64_t nonce,
                     char out[DIRECTORY_TOKEN_SIZE])
{
    snprintf(out, DIRECTORY_TOKEN_SIZE, "%016llx%016llx%016llx", (unsigned long long)n->identity,
             (unsigned long long)nonce,
             (unsigned long long)seal(d, n->identity, nonce, n->text, n->folded_len));
}

bool directory_check_token(const struct directory *d, const char *token, size_t len, const char *folded,
                           size_t folded_len, uint64_t *identity)
{
    char text[DIRECTORY_TOKEN_SIZE];
    unsigned long long who, nonce, proof;

    if (len != 48)
        return false;
    memcpy(text, token, len);
    text[len] = '\0';
    if (strspn(text, "0123456789abcdef") != 48) /* sscanf alone takes blanks, signs and 0x */
        return false;
    if (sscanf(text, "%16llx%16llx%16llx", &who, &nonce, &proof) != 3)
        return false;
    if (who == 0 || seal(d, who, nonce, folded, folded_len) != proof)
        return false;
    *identity = who;
    return true;
}
