/* directory.c: see directory.h. */
#include "server/chat/directory.h"

#include "common/mem.h"
#include "common/siphash.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

static int matches(const struct table_link *link, const void *key, size_t len)
{
    const struct nick *n = table_of(link, struct nick, link);

    return n->folded_len == len && memcmp(n->text, key, len) == 0;
}

void directory_init(struct directory *d)
{
    *d = (struct directory){0};
    pthread_mutex_init(&d->lock, NULL);
    if (getentropy(d->secret, sizeof d->secret) != 0 ||
        getentropy(&d->last_identity, sizeof d->last_identity) != 0)
        abort();
}

void directory_deinit(struct directory *d)
{
    table_deinit(&d->nicks);
    pthread_mutex_destroy(&d->lock);
}

struct nick *nick_new(const char *folded, size_t folded_len, const char *text, size_t len)
{
    struct nick *n = mem_zalloc(sizeof *n + folded_len + len + 2);

    n->folded_len = (uint8_t)folded_len;
    n->len = (uint8_t)len;
    memcpy(n->text, folded, folded_len);
    memcpy(n->text + folded_len + 1, text, len);
    return n;
}

static struct nick *find(struct directory *d, const char *folded, size_t len, uint32_t hash)
{
    struct table_link *link = table_find(&d->nicks, hash, folded, len, matches);

    return link != NULL ? table_of(link, struct nick, link) : NULL;
}

bool directory_add(struct directory *d, struct nick *n)
{
    uint32_t hash = table_hash(n->text, n->folded_len);
    bool is_free;

    pthread_mutex_lock(&d->lock);
    is_free = find(d, n->text, n->folded_len, hash) == NULL;
    if (is_free) {
        if (n->identity == 0)
            n->identity = ++d->last_identity;
        table_insert(&d->nicks, &n->link, hash);
    }
    pthread_mutex_unlock(&d->lock);
    return is_free;
}

void directory_remove(struct directory *d, struct nick *n)
{
    pthread_mutex_lock(&d->lock);
    table_remove(&d->nicks, &n->link);
    pthread_mutex_unlock(&d->lock);
}

bool directory_find(struct directory *d, const char *folded, size_t len, struct nick_place *place)
{
    uint32_t hash = table_hash(folded, len);
    struct nick *n;

    pthread_mutex_lock(&d->lock);
    n = find(d, folded, len, hash);
    if (n != NULL) {
        *place = (struct nick_place){.reactor = n->reactor, .identity = n->identity, .len = n->len};
        memcpy(place->text, nick_text(n), n->len);
    }
    pthread_mutex_unlock(&d->lock);
    return n != NULL;
}

struct session *directory_session(struct directory *d, const char *folded, size_t len,
                                  const struct reactor *r)
{
    uint32_t hash = table_hash(folded, len);
    struct session *s = NULL;
    struct nick *n;

    pthread_mutex_lock(&d->lock);
    n = find(d, folded, len, hash);
    if (n != NULL && n->reactor == r)
        s = n->session;
    pthread_mutex_unlock(&d->lock);
    return s;
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
