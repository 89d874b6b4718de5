/* store_write.c: what the writer's thread does with the database: many rooms' turns in one transaction. See
 * store_sqlite.h.
 *
 * What always holds: a room's messages are kept without a hole. A write whose first seq does not follow the
 * last one kept fails, so that a failure takes along whatever was behind it; the room then gives those
 * numbers out again. */
#include "server/chat/store_sqlite.h"

#include "common/clock.h"
#include "common/log.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define LOG_EVERY_US 10000000
#define TRY_EVERY_US 1000000
#define SPARE_PART   64

static const char *const texts[SQL_WRITER_COUNT] = {
    [SQL_BEGIN] = "BEGIN IMMEDIATE",
    [SQL_COMMIT] = "COMMIT",
    [SQL_ROLLBACK] = "ROLLBACK",
    [SQL_NEWEST_ROOM] = "SELECT coalesce(max(id), 0) FROM rooms",
    [SQL_NEW_ROOM] = "INSERT INTO rooms(name, epoch) VALUES(?, ?)",
    [SQL_TOPIC] = "UPDATE rooms SET topic = ? WHERE id = ?",
    [SQL_INBOX] = STORE_SQL_INBOX,
    [SQL_INBOX_IS_MADE] = "SELECT id = 1 AND length(parts) = " TEXT_OF(
        INBOX_BYTES) " AND (SELECT count(*) FROM inbox) = 1 FROM inbox LIMIT 1",
    [SQL_INBOX_IS_EMPTY] = "SELECT substr(parts, 1, 8) = zeroblob(8) FROM inbox",
    [SQL_MESSAGES] = "INSERT INTO messages(id, count, time, total, lines) VALUES(?, ?, ?, ?, ?)",
    [SQL_PUT_KEYS] = "INSERT INTO keys(id, keys) VALUES(?, ?)",
    [SQL_NEXT_ROOM] = "SELECT id FROM rooms WHERE id > ? ORDER BY id LIMIT 1",
    [SQL_BOUNDS] = "SELECT id, count, total FROM messages WHERE id BETWEEN ? AND ? ORDER BY id DESC LIMIT 1",
    [SQL_ROW_AT] = "SELECT id, count, time, total FROM messages WHERE id BETWEEN ? AND ? ORDER BY id LIMIT ?",
    [SQL_DROP] = "DELETE FROM messages WHERE id BETWEEN ? AND ?",
    [SQL_DROP_KEYS] = "DELETE FROM keys WHERE id BETWEEN ? AND ?",
    [SQL_PUT_FACT] = STORE_SQL_PUT_FACT,
    [SQL_ADD_FACT] = STORE_SQL_ADD_FACT,
    [SQL_DROP_FACT] = STORE_SQL_DROP_FACT,
    [SQL_INDEXED] = "SELECT low, high FROM indexed WHERE room = ?",
    [SQL_PUT_INDEXED] = "INSERT OR REPLACE INTO indexed(room, low, high) VALUES(?, ?, ?)",
    [SQL_PUT_WORDS] = "INSERT INTO words(rowid, terms) VALUES(?, ?)",
    [SQL_DROP_WORDS] = "INSERT INTO words(words, rowid, terms) VALUES('delete', ?, ?)",
    [SQL_ROWS] = "SELECT id, count, lines FROM messages WHERE id BETWEEN ? AND ? ORDER BY id",
    [SQL_ROWS_BACK] = "SELECT id, count FROM messages WHERE id BETWEEN ? AND ? ORDER BY id DESC",
    [SQL_PUT_CHANGE] = "INSERT INTO changes(id, by, removed) VALUES(?, ?, ?) ON CONFLICT DO UPDATE SET"
                       " by = excluded.by, removed = excluded.removed WHERE removed = 0",
    [SQL_DROP_CHANGES] = "DELETE FROM changes WHERE id BETWEEN ?1 AND ?2 AND by <= (?2 & 0xffffffffff)",
    [SQL_PAGES] = "PRAGMA page_count",
    [SQL_FREE_PAGES] = "PRAGMA freelist_count",
    [SQL_PAGE_SIZE] = "PRAGMA page_size",
};

static int on_wal(void *arg, sqlite3 *db, const char *name, int pages)
{
    struct store_writer *w = arg;

    (void)db, (void)name;
    store_wal_grew(&w->wal, pages);
    return SQLITE_OK;
}

static uint64_t number_of(sqlite3_stmt *sql)
{
    uint64_t n = sqlite3_step(sql) == SQLITE_ROW ? (uint64_t)sqlite3_column_int64(sql, 0) : 0;

    sqlite3_reset(sql);
    return n;
}

/* A file keeps the size of page that it was made with. */
static void set_sizes(struct store_writer *w, uint64_t most_bytes)
{
    uint64_t page = number_of(w->sql[SQL_PAGE_SIZE]);

    if (page == 0)
        page = STORE_PAGE; /* it can't be read: whatever comes next says why */
    w->wal.page = (int)page;
    if (most_bytes > 0) /* the inbox is always there, whatever is in it */
        w->most_pages = (most_bytes + INBOX_BYTES + page - 1) / page;
}

/* What a chatd that was killed has left there is moved before anyone asks for it; one that an older chatd has made is
 * made anew. */
static bool open_inbox(struct store_writer *w, char err[STORE_ERROR_SIZE])
{
    bool is_made = number_of(w->sql[SQL_INBOX_IS_MADE]) == 1;
    struct store_trouble t;

    store_files_note(&w->files, w->path);
    errno = 0;
    if (is_made && number_of(w->sql[SQL_INBOX_IS_EMPTY]) == 1)
        return true;
    if (store_db_run(w->sql[SQL_BEGIN]) == 0 && (is_made ? store_inbox_move(w) : store_inbox_make(w)) == 0 &&
        store_db_run(w->sql[SQL_COMMIT]) == 0)
        return true;
    store_db_trouble(w->db, &t);
    snprintf(err, STORE_ERROR_SIZE, "%s: %s; %s", w->path, t.why, t.todo);
    return false;
}

/* Rooms have the numbers from 1 on, and none goes. */
static int count_rooms(struct store_writer *w, uint64_t *count)
{
    sqlite3_stmt *sql = w->sql[SQL_NEWEST_ROOM];
    int ret = sqlite3_step(sql);

    *count = ret == SQLITE_ROW ? (uint64_t)sqlite3_column_int64(sql, 0) : 0;
    sqlite3_reset(sql);
    return ret == SQLITE_ROW ? 0 : -1;
}

bool store_writer_open(struct store_writer *w, const char *path, const struct store_options *options,
                       char err[STORE_ERROR_SIZE])
{
    char pragmas[160];

    uint64_t rooms = 0;

    *w = (struct store_writer){.path = path,
                               .rooms = w->rooms,
                               .retention = options->retention,
                               .is_powerful = options->durability == STORE_POWER,
                               .index.is_on = options->search};
    store_make_private(path);
    w->db = store_db_open(path, true, err);
    if (w->db == NULL)
        return false;
    snprintf(pragmas, sizeof pragmas,
             "PRAGMA synchronous=%s; PRAGMA cache_size=-8192; PRAGMA secure_delete=FAST",
             options->durability == STORE_POWER ? "FULL" : "NORMAL");
    sqlite3_wal_hook(w->db, on_wal, w);
    if (sqlite3_exec(w->db, pragmas, NULL, NULL, NULL) != SQLITE_OK) {
        store_db_explain(w->db, path, err);
        return false;
    }
    if (!store_db_prepare(w->db, texts, w->sql, SQL_WRITER_COUNT, err))
        return false;
    set_sizes(w, options->most_bytes);
    if (store_epoch_check(w) != 0) {
        store_db_explain(w->db, path, err);
        return false;
    }
    if (!open_inbox(w, err))
        return false;
    if (count_rooms(w, &rooms) == 0)
        atomic_store(w->rooms, rooms);
    return true;
}

void store_writer_close(struct store_writer *w)
{
    buf_deinit(&w->batch);
    store_index_deinit(&w->index);
    for (int i = 0; i < SQL_WRITER_COUNT; i++)
        sqlite3_finalize(w->sql[i]);
    if (w->db != NULL && !w->wal.is_unsafe)
        store_epoch_end(w);
    sqlite3_close(w->db);
}

static int put_room(struct store_writer *w, struct store_write *one)
{
    sqlite3_stmt *sql = w->sql[SQL_NEW_ROOM];
    uint64_t count;

    if (count_rooms(w, &count) != 0)
        return -1;
    if (count >= STORE_ROOMS_MAX) {
        one->job.failed = "there are as many rooms as can be kept";
        return 0;
    }
    sqlite3_bind_text(sql, 1, one->room, (int)one->room_len, SQLITE_STATIC);
    sqlite3_bind_int64(sql, 2, (sqlite3_int64)one->epoch);
    if (store_db_run(sql) != 0)
        return -1;
    one->place->id = (uint64_t)sqlite3_last_insert_rowid(w->db);
    one->is_first = true;
    atomic_store_explicit(w->rooms, one->place->id, memory_order_relaxed);
    return 0;
}

static int put_topic(struct store_writer *w, const struct store_write *one)
{
    sqlite3_stmt *sql = w->sql[SQL_TOPIC];

    if (one->topic[0] != '\0')
        sqlite3_bind_text(sql, 1, one->topic, -1, SQLITE_STATIC);
    else
        sqlite3_bind_null(sql, 1);
    sqlite3_bind_int64(sql, 2, (sqlite3_int64)one->place->id);
    return store_db_run(sql);
}

static int put_one(struct store_writer *w, struct store_write *one)
{
    if (one->chunk != NULL && one->chunk->first_seq != one->place->kept + 1) {
        one->job.failed = "what came before it was not kept";
        return 0;
    }
    if (one->place->id == 0 && put_room(w, one) != 0)
        return -1;
    if (one->job.failed != NULL)
        return 0;
    if (one->topic != NULL && put_topic(w, one) != 0)
        return -1;
    if (one->chunk == NULL)
        return 0;
    one->place->kept += one->chunk->count;
    store_inbox_add(&w->batch, one->place->id, one);
    return 0;
}

/* Nothing from first up to end was kept: their rooms stand where they stood. */
static void take_back(struct store_job *first, const struct store_job *end)
{
    for (struct store_job *job = first; job != end; job = job->next) {
        struct store_write *one = (struct store_write *)job;

        if (job->is_fact)
            continue;
        if (job->failed == NULL && one->chunk != NULL && one->place->kept >= one->chunk->first_seq)
            one->place->kept = one->chunk->first_seq - 1;
        if (one->is_first)
            one->place->id = 0;
        one->is_first = false;
    }
}

static void tell_failure(struct store_writer *w)
{
    uint64_t now = clock_mono_us();
    char why[LOG_QUOTED_SIZE], path[LOG_QUOTED_SIZE];

    if (w->is_failing && now < w->log_again_us)
        return;
    w->log_again_us = now + LOG_EVERY_US;
    log_event(LOG_ERROR, "storage-failed", "file=%s why=%s code=%d failed=%llu todo=\"%s\"",
              log_quote_text(w->path, path), log_quote_text(w->trouble.why, why), w->trouble.code,
              (unsigned long long)w->failed_jobs, w->trouble.todo);
}

/* For the reason in w->trouble. */
static void fail_jobs(struct store_writer *w, struct store_job *jobs)
{
    for (struct store_job *job = jobs; job != NULL; job = job->next) {
        job->failed = "the server's disk did not take it";
        w->failed_jobs++;
    }
    tell_failure(w);
    w->is_failing = true;
}

/* What SQLite has just refused. Its cache goes, so that what was read badly is read again. */
static void fail_all(struct store_writer *w, struct store_job *jobs)
{
    store_db_trouble(w->db, &w->trouble);
    if (!sqlite3_get_autocommit(w->db))
        store_db_run(w->sql[SQL_ROLLBACK]);
    sqlite3_db_release_memory(w->db);
    fail_jobs(w, jobs);
}

/* A commit whose fsync has failed stands in the WAL all the same: who opens that after a kill would take it for
 * kept, though everyone was told that it is not. Another one in its place, refused or not, does away with it. */
static void commit_nothing(struct store_writer *w)
{
    static const char sql[] =
        "BEGIN IMMEDIATE; INSERT OR REPLACE INTO facts(kind, key, value) SELECT '" STORE_KIND_SERVER
        "', CAST('failed' AS BLOB),"
        " coalesce((SELECT value FROM facts WHERE kind = '" STORE_KIND_SERVER
        "' AND key = CAST('failed' AS BLOB)), 0) + 1; COMMIT";

    sqlite3_exec(w->db, sql, NULL, NULL, NULL);
    if (!sqlite3_get_autocommit(w->db))
        store_db_run(w->sql[SQL_ROLLBACK]);
}

void store_writer_found_damage(struct store_writer *w, const struct store_trouble *t)
{
    w->trouble = *t;
    sqlite3_db_release_memory(w->db);
    fail_jobs(w, NULL);
}

static void tell_success(struct store_writer *w)
{
    char path[LOG_QUOTED_SIZE];

    if (!w->is_failing || w->is_over)
        return;
    w->is_failing = w->trouble.is_damage = false;
    log_event(LOG_WARN, "storage-again", "file=%s failed=%llu", log_quote_text(w->path, path),
              (unsigned long long)w->failed_jobs);
    w->failed_jobs = 0;
}

/* All of it into a transaction that has begun; *end: the first that was not looked at. */
static int put_all(struct store_writer *w, struct store_job *jobs, struct store_job **end)
{
    const struct store_fact_sql facts = {w->sql[SQL_PUT_FACT], w->sql[SQL_ADD_FACT], w->sql[SQL_DROP_FACT]};
    int ret = 0;

    buf_clear(&w->batch);
    w->inbox_then = w->inbox_bytes;
    for (*end = jobs; *end != NULL && ret == 0; *end = (*end)->next)
        ret = (*end)->is_fact ? store_fact_put(&facts, (struct store_fact *)*end)
                              : put_one(w, (struct store_write *)*end);
    return ret == 0 && w->batch.len > 0 ? store_inbox_put(w) : ret;
}

static void count_inbox(struct store_writer *w)
{
    w->inbox_bytes = w->inbox_then;
    if (w->batch.cap > INBOX_BYTES)
        buf_deinit(&w->batch);
}

/* Whether the database may take more. What moves things in it, or lets go of them, does not ask: so it may grow
 * beyond its limit by what the inbox held and by the index of that. Once it was full there must be some space, so
 * that it is not full again at once. */
static bool has_space(struct store_writer *w)
{
    uint64_t most = w->most_pages - (w->is_over ? w->most_pages / SPARE_PART : 0), pages;

    if (w->most_pages == 0)
        return true;
    pages = number_of(w->sql[SQL_PAGES]);
    w->is_over = pages >= most && pages - number_of(w->sql[SQL_FREE_PAGES]) >= most;
    if (w->is_over)
        w->trouble = (struct store_trouble){
            .code = SQLITE_FULL,
            .todo =
                "raise --keep-total, or keep less of each room by --keep-bytes, --keep-messages or --keep-seconds",
            .why = "what is kept takes as much as it may"};
    return !w->is_over;
}

/* Whether the file is the one that was opened, and what is written to it is kept. */
static bool is_sound(struct store_writer *w)
{
    if (!w->wal.is_unsafe)
        return store_files_are_there(&w->files, w->path, &w->trouble);
    w->trouble = (struct store_trouble){
        .code = SQLITE_IOERR_FSYNC,
        .todo =
            "look at the disk, then restart chatd: what was acknowledged is in chatd.db-wal, and is taken from there"};
    snprintf(w->trouble.why, sizeof w->trouble.why, "what was carried over into it is not on the disk: %s",
             strerror(w->wal.error));
    return false;
}

void store_writer_check(struct store_writer *w)
{
    if (w->wal.is_unsafe && !w->is_failing && !is_sound(w))
        fail_jobs(w, NULL);
}

/* Whether it makes sense to try: nothing is written to files that have been moved away, nor to a damaged one,
 * which is looked at again once in a while. */
static bool may_write(struct store_writer *w)
{
    uint64_t now;

    if (!is_sound(w)) {
        w->is_over = false;
        return false;
    }
    if (!w->is_failing || !w->trouble.is_damage)
        return has_space(w);
    now = clock_mono_us();
    if (now < w->try_again_us)
        return false;
    w->try_again_us = now + TRY_EVERY_US;
    if (store_writer_tidy(w) != 0)
        return false;
    if (w->index.has_found_damage)
        store_index_step(w);
    return !w->index.has_found_damage;
}

void store_writer_put(struct store_writer *w, struct store_job *jobs)
{
    struct store_job *end;

    if (!may_write(w)) {
        fail_jobs(w, jobs);
        return;
    }
    errno = 0;
    if (store_db_run(w->sql[SQL_BEGIN]) != 0) {
        fail_all(w, jobs);
        return;
    }
    if (put_all(w, jobs, &end) != 0) {
        take_back(jobs, end);
        fail_all(w, jobs);
        return;
    }
    if (store_db_run(w->sql[SQL_COMMIT]) != 0) {
        take_back(jobs, end);
        fail_all(w, jobs);
        commit_nothing(w);
        return;
    }
    count_inbox(w);
    tell_success(w);
}

int store_writer_tidy(struct store_writer *w)
{
    if (w->inbox_bytes == 0)
        return 0;
    if (!is_sound(w)) {
        fail_jobs(w, NULL);
        return -1;
    }
    errno = 0;
    buf_clear(&w->batch);
    if (store_db_run(w->sql[SQL_BEGIN]) != 0 || store_inbox_move(w) != 0 ||
        store_db_run(w->sql[SQL_COMMIT]) != 0) {
        fail_all(w, NULL);
        return -1;
    }
    count_inbox(w);
    tell_success(w);
    return 0;
}
