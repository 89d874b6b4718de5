/* store_carry.c: what stands in the WAL is carried over into the file, by a thread of its own beside the writer,
 * which goes on meanwhile. A WAL begins anew only if nothing in it is left to be carried over: so the writer
 * carries over the last few pages itself, between two commits, after those who wait have been answered. See
 * store_sqlite.h.
 *
 * What always holds: while the thread is at it the writer does not carry anything over; what a carrier has found
 * is looked at by the writer alone. */
#include "server/chat/store_sqlite.h"

#include "common/clock.h"
#include "common/log.h"

#define CARRY_BYTES      (32 << 20)
#define CARRY_BYTES_IDLE (4 << 20) /* in a pause, where nobody waits for what the writer does itself */
#define REST_BYTES       (2 << 20) /* that the writer does itself */
#define PASSES           3         /* of the thread, after which it does so whatever is left */

/* How many pages of the WAL are carried over when it is done, of all it had; or -1. */
static int carry(sqlite3 *db, int *pages)
{
    char why[LOG_QUOTED_SIZE];
    int carried = -1;
    uint64_t began = clock_mono_us();

    *pages = 0;
    if (sqlite3_wal_checkpoint_v2(db, NULL, SQLITE_CHECKPOINT_PASSIVE, pages, &carried) != SQLITE_OK)
        log_event(LOG_WARN, "storage-checkpoint", "why=%s", log_quote_text(sqlite3_errmsg(db), why));
    log_event(LOG_DEBUG, "storage-carried", "pages=%d of=%d took=%.1fms", carried, *pages,
              (double)(clock_mono_us() - began) / 1000);
    return carried;
}

/* ---- the carrier's thread ---- */

/* SQLite leaves the file's fsync to whoever carries over the last page: all of it would be the writer's. If it fails,
 * that one fails as well, and says so. */
static void sync_file(sqlite3 *db)
{
    sqlite3_file *file = NULL;

    if (sqlite3_file_control(db, "main", SQLITE_FCNTL_FILE_POINTER, &file) == SQLITE_OK &&
        file->pMethods != NULL)
        file->pMethods->xSync(file, SQLITE_SYNC_NORMAL | SQLITE_SYNC_DATAONLY);
}

static void *carry_on(void *arg)
{
    struct store_carrier *c = arg;
    int pages, carried;

    pthread_mutex_lock(&c->lock);
    while (!c->ended) {
        if (!c->is_asked) {
            pthread_cond_wait(&c->more, &c->lock);
            continue;
        }
        pthread_mutex_unlock(&c->lock);
        carried = carry(c->db, &pages);
        sync_file(c->db);
        pthread_mutex_lock(&c->lock);
        c->carried = carried;
        c->is_asked = false;
    }
    pthread_mutex_unlock(&c->lock);
    return NULL;
}

bool store_carrier_open(struct store_carrier *c, const char *path, char err[STORE_ERROR_SIZE])
{
    c->db = store_db_open(path, false, err);
    return c->db != NULL;
}

int store_carrier_start(struct store_carrier *c)
{
    int ret;

    pthread_mutex_init(&c->lock, NULL);
    pthread_cond_init(&c->more, NULL);
    ret = pthread_create(&c->thread, NULL, carry_on, c);
    c->is_started = ret == 0;
    return ret;
}

void store_carrier_end(struct store_carrier *c)
{
    if (!c->is_started)
        return;
    pthread_mutex_lock(&c->lock);
    c->ended = true;
    pthread_mutex_unlock(&c->lock);
    pthread_cond_signal(&c->more);
    pthread_join(c->thread, NULL);
    pthread_mutex_destroy(&c->lock);
    pthread_cond_destroy(&c->more);
}

void store_carrier_close(struct store_carrier *c)
{
    sqlite3_close(c->db);
}

/* ---- the writer's ---- */

static void ask(struct store_carrier *c)
{
    pthread_mutex_lock(&c->lock);
    c->is_asked = true;
    pthread_mutex_unlock(&c->lock);
    pthread_cond_signal(&c->more);
}

/* Whether it is at it; else *carried is what it has found last. */
static bool is_at_it(struct store_carrier *c, int *carried)
{
    bool is_asked;

    pthread_mutex_lock(&c->lock);
    is_asked = c->is_asked;
    *carried = c->carried;
    pthread_mutex_unlock(&c->lock);
    return is_asked;
}

/* What could not be carried over, or not yet, because someone still looks at something, waits for as many more. */
static void give_up(struct store_wal *wal)
{
    wal->carry_from = wal->pages;
    wal->passes = 0;
}

static void finish(struct store_wal *wal, sqlite3 *db)
{
    int pages, carried = carry(db, &pages);

    wal->carried = carried > 0 ? carried : 0;
    wal->passes = 0;
    if (carried < wal->pages)
        give_up(wal);
}

void store_wal_grew(struct store_wal *wal, int pages)
{
    if (pages <= wal->pages) /* it has begun anew */
        wal->carried = wal->carry_from = 0;
    wal->pages = pages;
}

void store_wal_carry(struct store_wal *wal, sqlite3 *db, struct store_carrier *c, bool is_idle)
{
    int carried = 0, most = (is_idle ? CARRY_BYTES_IDLE : CARRY_BYTES) / wal->page;

    if (wal->passes == 0 && (wal->pages - wal->carried < most || wal->pages - wal->carry_from < most))
        return;
    if (wal->passes > 0 && is_at_it(c, &carried))
        return;
    if (wal->passes > 0)
        wal->carried = carried > 0 ? carried : 0;
    if (wal->passes > 0 && carried < 0) {
        give_up(wal);
    } else if (wal->passes == PASSES ||
               (wal->passes > 0 && wal->pages - wal->carried <= REST_BYTES / wal->page)) {
        finish(wal, db);
    } else {
        wal->passes++;
        ask(c);
    }
}
