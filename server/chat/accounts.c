/* accounts.c: see accounts.h. */
#include "server/chat/accounts.h"

#include "common/log.h"
#include "common/mem.h"
#include "server/chat/chat.h"
#include "server/chat/scram_server.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define SECRET_FACT "server"
#define SECRET_KEY  "login-secret"

#define NICKS_AT_ONCE 1000

struct change {
    struct table_link link;
    uint8_t len;
    char folded[UTF8_FOLD_MAX];
};

void accounts_init(struct accounts *a)
{
    throttle_init(&a->throttle);
    hasher_init(&a->hasher);
    nick_set_init(&a->nicks);
    nick_set_init(&a->closed);
    pthread_mutex_init(&a->lock, NULL);
}

bool accounts_settle(struct accounts *a)
{
    return hasher_settle(&a->hasher);
}

void accounts_deinit(struct accounts *a)
{
    throttle_deinit(&a->throttle);
    hasher_deinit(&a->hasher);
    table_deinit(&a->changing);
    nick_set_deinit(&a->nicks);
    nick_set_deinit(&a->closed);
    pthread_mutex_destroy(&a->lock);
    mem_wipe(a->secret, sizeof a->secret);
    scram_server_end();
}

/* ---- the secret: of this server for good, as what it makes up has to be the same after a restart ---- */

static void free_secret(struct store_fact *f)
{
    if (f->value.data != NULL)
        mem_wipe(f->value.data, f->value.cap);
    buf_deinit(&f->key);
    buf_deinit(&f->value);
    free(f);
}

static void on_secret_kept(struct reactor *r, struct post *p)
{
    struct store_fact *f = (struct store_fact *)(void *)p;
    char why[LOG_QUOTED_SIZE];

    (void)r;
    if (f->job.failed != NULL)
        log_event(LOG_WARN, "accounts", "what=secret why=%s todo=\"none: it is good until the next start\"",
                  log_quote_text(f->job.failed, why));
    free_secret(f);
}

static void on_secret_read(struct reactor *r, struct post *p)
{
    struct store_fact *f = (struct store_fact *)(void *)p;
    struct accounts *a = f->arg;
    bool known = f->job.failed == NULL && f->found && f->value.len == sizeof a->secret;

    if (known)
        memcpy(a->secret, f->value.data, sizeof a->secret);
    else if (getentropy(a->secret, sizeof a->secret) != 0)
        abort();
    atomic_store(&a->has_secret, true);
    if (known || f->job.failed != NULL) {
        free_secret(f);
        return;
    }
    buf_clear(&f->value);
    buf_put(&f->value, a->secret, sizeof a->secret);
    f->job.done = on_secret_kept;
    store_put(chat_of(r)->shared->store, f);
}

/* ---- the nicks of all accounts, a thousand at a time ---- */

static void free_scan(struct store_facts *f)
{
    store_facts_deinit(f);
    free(f);
}

static void clear_rows(struct store_facts *f)
{
    struct buf after = {0};

    buf_put(&after, f->rows[f->count - 1].key.data, f->rows[f->count - 1].key.len);
    store_facts_deinit(f);
    f->after = after;
}

/* The caller has the lock, here and below. */
static void add_closed(struct accounts *a, const char *folded, size_t len)
{
    nick_set_add(&a->closed, folded, len);
    atomic_store(&a->has_closed, true);
}

static void take_row(struct accounts *a, struct store_fact_row *row)
{
    struct account account;

    nick_set_add(&a->nicks, row->key.data, row->key.len);
    if (account_parse(row->value.data, row->value.len, &account) && account_is_closed(&account))
        add_closed(a, row->key.data, row->key.len);
}

/* Where they can't be read each hello asks for its own, and is told so. */
static void on_nicks_read(struct reactor *r, struct post *p)
{
    struct store_facts *f = (struct store_facts *)(void *)p;
    struct accounts *a = f->arg;
    bool is_last = f->count < f->limit;
    char why[LOG_QUOTED_SIZE];

    if (f->job.failed != NULL) {
        log_event(LOG_ERROR, "accounts",
                  "what=nicks why=%s todo=\"see that the data directory can be read, then start again\"",
                  log_quote_text(f->job.failed, why));
        free_scan(f);
        return;
    }
    pthread_mutex_lock(&a->lock);
    for (size_t i = 0; i < f->count; i++)
        take_row(a, &f->rows[i]);
    a->has_nicks = is_last;
    pthread_mutex_unlock(&a->lock);
    if (is_last) {
        free_scan(f);
        return;
    }
    clear_rows(f);
    store_scan(chat_of(r)->shared->store, f);
}

static void read_nicks(struct accounts *a, struct store *store, struct reactor *first)
{
    struct store_facts *f = mem_zalloc(sizeof *f);

    f->job.home = first;
    f->job.done = on_nicks_read;
    f->kind = ACCOUNT_FACT;
    f->limit = NICKS_AT_ONCE;
    f->arg = a;
    store_scan(store, f);
}

enum accounts_answer accounts_ask(struct accounts *a, const char *folded, size_t len)
{
    enum accounts_answer answer;

    pthread_mutex_lock(&a->lock);
    answer = nick_set_has(&a->nicks, folded, len) ? ACCOUNTS_YES
             : a->has_nicks                       ? ACCOUNTS_NO
                                                  : ACCOUNTS_UNKNOWN;
    pthread_mutex_unlock(&a->lock);
    return answer;
}

void accounts_tell(struct accounts *a, const char *folded, size_t len)
{
    pthread_mutex_lock(&a->lock);
    nick_set_add(&a->nicks, folded, len);
    pthread_mutex_unlock(&a->lock);
}

bool accounts_is_closed(struct accounts *a, const char *folded, size_t len)
{
    bool is;

    if (!atomic_load(&a->has_closed))
        return false;
    pthread_mutex_lock(&a->lock);
    is = nick_set_has(&a->closed, folded, len);
    pthread_mutex_unlock(&a->lock);
    return is;
}

void accounts_tell_closed(struct accounts *a, const char *folded, size_t len)
{
    pthread_mutex_lock(&a->lock);
    add_closed(a, folded, len);
    pthread_mutex_unlock(&a->lock);
}

void accounts_start(struct accounts *a, struct store *store, struct reactor *first)
{
    struct store_fact *f = mem_zalloc(sizeof *f);

    f->job.home = first;
    f->job.done = on_secret_read;
    f->kind = SECRET_FACT;
    f->arg = a;
    buf_puts(&f->key, SECRET_KEY);
    store_get(store, f);
    read_nicks(a, store, first);
}

/* ---- reading and changing ---- */

void accounts_find(struct store *store, struct store_fact *f, const char *folded, size_t len)
{
    f->kind = ACCOUNT_FACT;
    buf_clear(&f->key);
    buf_put(&f->key, folded, len);
    store_get(store, f);
}

static int matches(const struct table_link *link, const void *key, size_t len)
{
    const struct change *c = table_of(link, struct change, link);

    return c->len == len && memcmp(c->folded, key, len) == 0;
}

bool accounts_begin_change(struct accounts *a, const char *folded, size_t len)
{
    uint32_t hash = table_hash(folded, len);
    struct change *c;
    bool is_free;

    pthread_mutex_lock(&a->lock);
    is_free = table_find(&a->changing, hash, folded, len, matches) == NULL;
    if (is_free) {
        c = mem_zalloc(sizeof *c);
        c->len = (uint8_t)len;
        memcpy(c->folded, folded, len);
        table_insert(&a->changing, &c->link, hash);
    }
    pthread_mutex_unlock(&a->lock);
    return is_free;
}

bool accounts_have_place(struct accounts *a, uint32_t most)
{
    bool have;

    pthread_mutex_lock(&a->lock);
    have = a->nicks.count + a->changing.count <= most;
    pthread_mutex_unlock(&a->lock);
    return have;
}

void accounts_end_change(struct accounts *a, const char *folded, size_t len)
{
    struct table_link *link;

    pthread_mutex_lock(&a->lock);
    link = table_find(&a->changing, table_hash(folded, len), folded, len, matches);
    table_remove(&a->changing, link);
    pthread_mutex_unlock(&a->lock);
    free(table_of(link, struct change, link));
}
