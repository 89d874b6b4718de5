/* store_memory.c: see store_memory.h. */
#include "server/chat/store_memory.h"

#include "common/mem.h"
#include "server/chat/store_sqlite.h"

#include <pthread.h>
#include <stdlib.h>

enum { PUT, ADD, DROP, COUNT };

struct memory {
    struct store store; /* first */
    pthread_mutex_t lock;
    struct store_reader facts; /* only its statements about facts; no database: there is no fact yet */
    sqlite3_stmt *sql[COUNT];
};

static const char *const texts[COUNT] = {
    [PUT] = STORE_SQL_PUT_FACT, [ADD] = STORE_SQL_ADD_FACT, [DROP] = STORE_SQL_DROP_FACT};

/* Nothing can fail here but for want of memory, which nothing survives. */
static void make_facts(struct memory *m)
{
    static const char *const reads[] = {STORE_SQL_FACT, STORE_SQL_FACTS};
    char err[STORE_ERROR_SIZE];

    if (m->facts.db != NULL)
        return;
    if (sqlite3_open_v2(":memory:", &m->facts.db,
                        SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX,
                        NULL) != SQLITE_OK ||
        sqlite3_exec(m->facts.db, STORE_SQL_FACTS_TABLE, NULL, NULL, NULL) != SQLITE_OK ||
        !store_db_prepare(m->facts.db, texts, m->sql, COUNT, err) ||
        !store_db_prepare(m->facts.db, reads, &m->facts.sql[SQL_FACT], 2, err))
        abort();
}

static void memory_write(struct store *s, struct store_job *job)
{
    struct memory *m = (struct memory *)s;

    if (job->is_fact) {
        pthread_mutex_lock(&m->lock);
        make_facts(m);
        if (store_fact_put(&(struct store_fact_sql){m->sql[PUT], m->sql[ADD], m->sql[DROP]},
                           (struct store_fact *)job) != 0)
            job->failed = "the server's memory did not take it";
        pthread_mutex_unlock(&m->lock);
    }
    job->done(job->home, &job->post);
}

static void memory_ask(struct store *s, struct store_job *job)
{
    struct memory *m = (struct memory *)s;

    if (job->is_fact) {
        pthread_mutex_lock(&m->lock);
        if (m->facts.db != NULL)
            job->run(&m->facts, job);
        pthread_mutex_unlock(&m->lock);
    }
    job->done(job->home, &job->post);
}

static bool memory_settle(struct store *s)
{
    (void)s;
    return false;
}

static void memory_close(struct store *s)
{
    struct memory *m = (struct memory *)s;

    for (int i = 0; i < COUNT; i++)
        sqlite3_finalize(m->sql[i]);
    store_reader_close(&m->facts);
    pthread_mutex_destroy(&m->lock);
    free(m);
}

static const struct store_ops memory_ops = {
    .write = memory_write, .ask = memory_ask, .settle = memory_settle, .close = memory_close};

struct store *store_memory_open(void)
{
    struct memory *m = mem_zalloc(sizeof *m);

    m->store.ops = &memory_ops;
    pthread_mutex_init(&m->lock, NULL);
    return &m->store;
}
