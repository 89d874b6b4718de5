/* store_carry.c: what stands in the WAL is carried over into the file, by a thread of its own beside the writer,
 * which goes on meanwhile. A WAL begins anew only if nothing in it is left to be carried over: so the writer
 * carries over the last few pages itself, between two commits, after those who wait have been answered. See
 * store_sqlite.h.
 *
 * What always holds:
 * - While the carrier is at it the writer carries nothing over; what a carrier has found is looked at by the writer
 *   alone.
 * - The carrier is asked only while there is something left to carry over, and nobody else carries over then: a
 *   checkpoint that begins when there is not, and during which another connection begins the WAL anew, is what SQLite
 *   before 3.51.3 gets wrong (sqlite.org/wal.html, the WAL-reset bug).
 * - What SQLite takes for carried over is on the disk. Of a checkpoint that does not reach the WAL's end it makes no
 *   fsync, and does not write those pages again: so that is done here; and where it fails, nothing is written to this
 *   file any more (is_unsafe): what the kernel did not get to the disk it takes for written, and forgets. All of it is in
 *   the WAL, and is taken from there when the file is opened anew. */
#include "server/chat/store_sqlite.h"

#include "common/clock.h"
#include "common/log.h"

#include <errno.h>

#define CARRY_BYTES      (32 << 20)
#define CARRY_BYTES_IDLE (4 << 20) /* in a pause, where nobody waits for what the writer does itself */
#define REST_BYTES       (2 << 20) /* that the writer does itself */
#define PASSES           3         /* of the thread, after which it does so whatever is left */
#define ANEW_US          20000     /* within which a WAL that is carried over should have begun anew */
#define BLOCKED_US       200000    /* someone still looks at something in it */
#define FAILED_US        10000000

/* SQLite's own handle: to open and close the file once more would drop SQLite's locks on it (close(2), fcntl(2)). 0
 * or -errno. */
static int sync_file(sqlite3 *db)
{
    sqlite3_file *file = NULL;

    if (sqlite3_file_control(db, "main", SQLITE_FCNTL_FILE_POINTER, &file) != SQLITE_OK ||
        file->pMethods == NULL)
        return -EIO;
    errno = 0;
    if (file->pMethods->xSync(file, SQLITE_SYNC_NORMAL | SQLITE_SYNC_DATAONLY) == SQLITE_OK)
        return 0;
    return errno != 0 ? -errno : -EIO;
}

/* By whoever is asked to, up to where it can. */
static struct store_carried carry(sqlite3 *db, bool is_writer)
{
    struct store_carried c = {.carried = -1};
    char why[LOG_QUOTED_SIZE];
    uint64_t began = clock_mono_us();

    if (sqlite3_wal_checkpoint_v2(db, NULL, SQLITE_CHECKPOINT_PASSIVE, &c.pages, &c.carried) != SQLITE_OK) {
        log_event(LOG_WARN, "storage-checkpoint", "why=%s", log_quote_text(sqlite3_errmsg(db), why));
        c.carried = -1;
    } else if (!is_writer ||
               c.carried < c.pages) { /* else no commit came in between, and SQLite made an fsync */
        c.error = sync_file(db);
    }
    log_event(LOG_DEBUG, "storage-carried", "by=%s pages=%d of=%d took=%.1fms",
              is_writer ? "writer" : "carrier", c.carried, c.pages, (double)(clock_mono_us() - began) / 1000);
    return c;
}

/* ---- the carrier's thread ---- */

static void *carry_on(void *arg)
{
    struct store_carrier *c = arg;
    struct store_carried found;

    pthread_mutex_lock(&c->lock);
    while (!c->ended) {
        if (!c->is_asked) {
            pthread_cond_wait(&c->more, &c->lock);
            continue;
        }
        pthread_mutex_unlock(&c->lock);
        found = carry(c->db, false);
        pthread_mutex_lock(&c->lock);
        c->found = found;
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

/* Whether it is at it; else what it has found last. */
static bool is_at_it(struct store_carrier *c, struct store_carried *found)
{
    bool is_asked;

    pthread_mutex_lock(&c->lock);
    is_asked = c->is_asked;
    *found = c->found;
    pthread_mutex_unlock(&c->lock);
    return is_asked;
}

static void take(struct store_wal *wal, const struct store_carried *found)
{
    if (found->error != 0) {
        wal->is_unsafe = true;
        wal->error = -found->error;
    }
    if (found->carried > 0)
        wal->carried = found->carried;
}

/* The next commit should begin the WAL anew. It does not where someone looks at something in it: then the rest is carried
 * over once more after a while, until it does. */
static void finish(struct store_wal *wal, sqlite3 *db)
{
    struct store_carried found = carry(db, true);

    take(wal, &found);
    wal->passes = 0;
    wal->again_us = clock_mono_us() + (found.carried < 0             ? FAILED_US
                                       : found.carried < found.pages ? BLOCKED_US
                                                                     : ANEW_US);
}

void store_wal_grew(struct store_wal *wal, int pages)
{
    if (pages <= wal->pages) { /* it has begun anew */
        wal->carried = 0;
        wal->again_us = 0;
        wal->is_another = wal->passes > 0;
    }
    wal->pages = pages;
}

/* The carrier has done a pass. */
static void go_on(struct store_wal *wal, sqlite3 *db, struct store_carrier *c,
                  const struct store_carried *found)
{
    if (wal->is_another) { /* it reached the end, and what it has found is of the WAL before */
        wal->is_another = false;
        wal->passes = 0;
        return;
    }
    take(wal, found);
    if (found->error != 0 || found->carried < 0) {
        wal->passes = 0;
        wal->wait_us = clock_mono_us() + FAILED_US;
    } else if (wal->passes == PASSES || wal->pages - wal->carried <= REST_BYTES / wal->page) {
        finish(wal, db);
    } else {
        wal->passes++;
        ask(c);
    }
}

void store_wal_carry(struct store_wal *wal, sqlite3 *db, struct store_carrier *c, bool is_idle)
{
    int most = (is_idle ? CARRY_BYTES_IDLE : CARRY_BYTES) / wal->page;
    struct store_carried found;

    if (wal->is_unsafe)
        return;
    if (wal->passes > 0) {
        if (!is_at_it(c, &found))
            go_on(wal, db, c, &found);
    } else if (wal->again_us > 0) {
        if (wal->carried < wal->pages && clock_mono_us() >= wal->again_us)
            finish(wal, db);
    } else if (wal->pages - wal->carried >= most && clock_mono_us() >= wal->wait_us) {
        wal->passes = 1;
        ask(c);
    }
}
