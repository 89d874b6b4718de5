/* store_retain.c: letting go of old messages, by age, number and size of each room. The writer's thread,
 * between commits: a few rows of a few rooms at a time, in order of the rooms, again and again. See
 * store_sqlite.h. */
#include "server/chat/store_sqlite.h"

#include "common/clock.h"
#include "common/log.h"

#define PAUSE_US 1000000 /* between two looks */
#define LOOK_US                                                                                              \
    20000 /* of one look: taking messages out of the index of words takes as long as putting them in */
#define SOON_US      100000 /* when a look was not enough */
#define LOG_EVERY_US 10000000
#define ROOMS_MOST   200  /* looked at each time */
#define ROWS_MOST    2000 /* let go of each time, of one room */

struct bounds {
    sqlite3_int64 low, high; /* keys that the room can have */
    sqlite3_int64 newest;    /* the key of its last row, which always stays */
    uint64_t next_seq, total;
};

static bool next_room(struct store_writer *w, sqlite3_int64 *room)
{
    sqlite3_stmt *sql = w->sql[SQL_NEXT_ROOM];
    bool is_there;

    sqlite3_bind_int64(sql, 1, w->swept_room);
    is_there = sqlite3_step(sql) == SQLITE_ROW;
    if (is_there)
        *room = sqlite3_column_int64(sql, 0);
    sqlite3_reset(sql);
    return is_there;
}

static bool find_bounds(struct store_writer *w, sqlite3_int64 room, struct bounds *b)
{
    sqlite3_stmt *sql = w->sql[SQL_BOUNDS];
    bool is_there;

    b->low = STORE_KEY(room, 0);
    b->high = STORE_KEY(room + 1, 0) - 1;
    sqlite3_bind_int64(sql, 1, b->low);
    sqlite3_bind_int64(sql, 2, b->high);
    is_there = sqlite3_step(sql) == SQLITE_ROW;
    if (is_there) {
        b->newest = sqlite3_column_int64(sql, 0);
        b->next_seq = STORE_SEQ(b->newest) + (uint64_t)sqlite3_column_int64(sql, 1);
        b->total = (uint64_t)sqlite3_column_int64(sql, 2);
    }
    sqlite3_reset(sql);
    return is_there;
}

/* Whether a row whose next one begins at that seq is beyond any limit. */
static bool is_old(const struct store_retention *keep, const struct bounds *b, sqlite3_stmt *row,
                   uint64_t now_ms)
{
    uint64_t after = STORE_SEQ(sqlite3_column_int64(row, 0)) + (uint64_t)sqlite3_column_int64(row, 1);
    uint64_t time_ms = (uint64_t)sqlite3_column_int64(row, 2), total = (uint64_t)sqlite3_column_int64(row, 3);

    return (keep->seconds > 0 && time_ms + keep->seconds * 1000 < now_ms) ||
           (keep->messages > 0 && b->next_seq - after >= keep->messages) ||
           (keep->bytes > 0 && b->total - total >= keep->bytes);
}

/* The key up to which rows go; below b->low where none does. */
static sqlite3_int64 find_end(struct store_writer *w, const struct bounds *b, uint64_t now_ms)
{
    sqlite3_stmt *sql = w->sql[SQL_ROW_AT];
    sqlite3_int64 end = b->low - 1;

    sqlite3_bind_int64(sql, 1, b->low);
    sqlite3_bind_int64(sql, 2, b->newest - 1);
    sqlite3_bind_int(sql, 3, ROWS_MOST);
    while (sqlite3_step(sql) == SQLITE_ROW && is_old(&w->retention, b, sql, now_ms))
        end = sqlite3_column_int64(sql, 0);
    sqlite3_reset(sql);
    return end;
}

static int drop(struct store_writer *w, const struct bounds *b, sqlite3_int64 end)
{
    static const enum store_writer_sql tables[] = {SQL_DROP, SQL_DROP_KEYS, SQL_DROP_CHANGES};

    if (store_index_forget(w, b->low, &end) != 0)
        return -1;
    for (int i = 0; i < 3; i++) {
        sqlite3_stmt *sql = w->sql[tables[i]];

        sqlite3_bind_int64(sql, 1, b->low);
        sqlite3_bind_int64(sql, 2, end);
        if (store_db_run(sql) != 0)
            return -1;
    }
    return 0;
}

/* The rooms behind the last one looked at; 0, or -1. */
static int retain_some(struct store_writer *w, uint64_t now_ms)
{
    sqlite3_int64 room, end;
    struct bounds b;

    for (int i = 0; i < ROOMS_MOST && clock_mono_us() < w->look_until_us; i++) {
        if (!next_room(w, &room)) {
            w->swept_room = 0;
            return 0;
        }
        w->swept_room = room;
        if (!find_bounds(w, room, &b))
            continue;
        end = find_end(w, &b, now_ms);
        if (end >= b.low && drop(w, &b, end) != 0)
            return -1;
    }
    return 0;
}

/* The index of words is damaged: made anew it no longer stands in the way. */
static void fail(struct store_writer *w, uint64_t now)
{
    struct store_trouble t;
    char why[LOG_QUOTED_SIZE];

    store_index_trouble(w, &t);
    if (!sqlite3_get_autocommit(w->db))
        store_db_run(w->sql[SQL_ROLLBACK]);
    if (t.code == SQLITE_CORRUPT_VTAB) {
        store_index_remake(w);
        return;
    }
    if (now < w->retain_log_us)
        return;
    w->retain_log_us = now + LOG_EVERY_US;
    log_event(LOG_WARN, "storage-retain", "why=%s code=%d todo=\"%s\"", log_quote_text(t.why, why), t.code,
              t.todo);
}

/* What is let go of is not to be found in the file either. Elsewhere, where a message is only moved, to write zeros over
 * the place where it was would be as much again as the message. */
static void wipe(struct store_writer *w, bool all)
{
    sqlite3_exec(w->db, all ? "PRAGMA secure_delete=ON" : "PRAGMA secure_delete=FAST", NULL, NULL, NULL);
}

static bool look(struct store_writer *w)
{
    return store_db_run(w->sql[SQL_BEGIN]) == 0 && retain_some(w, clock_wall_us() / 1000) == 0 &&
           store_db_run(w->sql[SQL_COMMIT]) == 0;
}

void store_retain(struct store_writer *w)
{
    uint64_t now = clock_mono_us();

    if ((w->retention.seconds == 0 && w->retention.messages == 0 && w->retention.bytes == 0) ||
        now - w->swept_us < PAUSE_US || (w->is_failing && !w->is_over))
        return;
    w->swept_us = now;
    w->look_until_us = now + LOOK_US;
    wipe(w, true);
    if (!look(w))
        fail(w, now);
    else if (clock_mono_us() >= w->look_until_us)
        w->swept_us = now - PAUSE_US + SOON_US;
    wipe(w, false);
}
