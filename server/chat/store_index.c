/* store_index.c: the index of words, for searches: made by the writer between commits, in steps of some
 * milliseconds, so that no acknowledgement waits for it. See store_sqlite.h.
 *
 * What always holds: of each room the messages from `low` to `high` are in it, and no others; those above are
 * looked through by a search itself, as those in the inbox are. New messages come first; then what is older,
 * the newest of it first, down to the oldest that is kept: so an index that is new to a database fills by
 * itself. A step is a transaction that need not wait for the disk: the next commit that does takes it along,
 * and what is lost before that is indexed again. */
#include "server/chat/store_sqlite.h"

#include "common/clock.h"
#include "common/log.h"
#include "protocol/codec.h"

#include <stdlib.h>

#define STEP_MESSAGES 1000     /* of one transaction, about */
#define ROOM_COST     10       /* messages that looking at a room is worth */
#define AGAIN_US      10000000 /* after it has failed */
#define BUSY_US       250000   /* between two steps where there is always something to write */

struct marks {
    uint64_t room, low, high;
};

static int read_marks(struct store_writer *w, uint64_t room, struct marks *m)
{
    sqlite3_stmt *sql = w->sql[SQL_INDEXED];
    int ret;

    *m = (struct marks){.room = room};
    sqlite3_bind_int64(sql, 1, (sqlite3_int64)room);
    ret = sqlite3_step(sql);
    if (ret == SQLITE_ROW) {
        m->low = (uint64_t)sqlite3_column_int64(sql, 0);
        m->high = (uint64_t)sqlite3_column_int64(sql, 1);
    }
    sqlite3_reset(sql);
    return ret == SQLITE_ROW || ret == SQLITE_DONE ? 0 : -1;
}

static int put_marks(struct store_writer *w, const struct marks *m)
{
    sqlite3_stmt *sql = w->sql[SQL_PUT_INDEXED];

    sqlite3_bind_int64(sql, 1, (sqlite3_int64)m->room);
    sqlite3_bind_int64(sql, 2, (sqlite3_int64)m->low);
    sqlite3_bind_int64(sql, 3, (sqlite3_int64)m->high);
    return store_db_run(sql);
}

/* Puts a message's terms in, or takes them out: which is SQL_PUT_WORDS or SQL_DROP_WORDS. */
static int put_line(struct store_writer *w, enum store_writer_sql which, sqlite3_int64 key, char *line,
                    size_t len)
{
    struct store_index *index = &w->index;
    const struct value *text;
    struct message m;
    const char *where;

    if (codec_decode(line, len, &m, &where) != CODEC_OK)
        return 0; /* --check-data tells of it */
    text = message_get_kind(&m, FIELD_TEXT, VALUE_STRING);
    if (text == NULL)
        return 0;
    buf_clear(&index->terms);
    words_split(&index->words, text->text, text->len);
    words_put_terms(&index->terms, &index->words);
    if (index->terms.len == 0)
        return 0;
    sqlite3_bind_int64(w->sql[which], 1, key);
    sqlite3_bind_text(w->sql[which], 2, index->terms.data, (int)index->terms.len, SQLITE_STATIC);
    if (store_db_run(w->sql[which]) == 0)
        return 0;
    store_db_trouble(w->db, &index->trouble);
    index->has_trouble = true;
    return -1;
}

/* Of a row of messages, those from seq low to high. */
static int put_row(struct store_writer *w, enum store_writer_sql which, sqlite3_stmt *row, uint64_t low,
                   uint64_t high)
{
    sqlite3_int64 key = sqlite3_column_int64(row, 0);
    struct buf *lines = &w->index.lines;
    char *at, *end, *next;

    buf_clear(lines);
    buf_put(lines, sqlite3_column_blob(row, 2), (size_t)sqlite3_column_bytes(row, 2));
    for (at = lines->data, end = at + lines->len;
         at < end && (next = memchr(at, '\n', (size_t)(end - at))) != NULL; at = next + 1, key++)
        if (STORE_SEQ(key) >= low && STORE_SEQ(key) <= high &&
            put_line(w, which, key, at, (size_t)(next - at)) != 0)
            return -1;
    return 0;
}

/* Rows from seq `from` up to `to`, until there are enough of them; *next: the seq behind them. */
static int put_rows(struct store_writer *w, uint64_t room, uint64_t from, uint64_t to, uint64_t most,
                    uint64_t *next)
{
    sqlite3_stmt *sql = w->sql[SQL_ROWS];
    uint64_t end = from + most;
    int ret = SQLITE_DONE;

    *next = from;
    sqlite3_bind_int64(sql, 1, STORE_KEY(room, from));
    sqlite3_bind_int64(sql, 2, STORE_KEY(room, to));
    while (*next < end && (ret = sqlite3_step(sql)) == SQLITE_ROW) {
        if (put_row(w, SQL_PUT_WORDS, sql, 0, UINT64_MAX) != 0)
            break;
        *next = STORE_SEQ(sqlite3_column_int64(sql, 0)) + (uint64_t)sqlite3_column_int64(sql, 1);
    }
    sqlite3_reset(sql);
    return *next >= end || ret == SQLITE_DONE ? 0 : -1;
}

/* The seq behind a room's last message that is in its place; 1 where there is none. */
static int find_next(struct store_writer *w, uint64_t room, uint64_t *next)
{
    sqlite3_stmt *sql = w->sql[SQL_BOUNDS];
    int ret;

    *next = 1;
    sqlite3_bind_int64(sql, 1, STORE_KEY(room, 0));
    sqlite3_bind_int64(sql, 2, STORE_KEY(room + 1, 0) - 1);
    ret = sqlite3_step(sql);
    if (ret == SQLITE_ROW)
        *next = STORE_SEQ(sqlite3_column_int64(sql, 0)) + (uint64_t)sqlite3_column_int64(sql, 1);
    sqlite3_reset(sql);
    return ret == SQLITE_ROW || ret == SQLITE_DONE ? 0 : -1;
}

/* Where the rows right before seq `low` begin that have about so many messages; low where there is none. */
static int find_before(struct store_writer *w, uint64_t room, uint64_t low, uint64_t most, uint64_t *from)
{
    sqlite3_stmt *sql = w->sql[SQL_ROWS_BACK];
    uint64_t count = 0;
    int ret = SQLITE_DONE;

    *from = low;
    sqlite3_bind_int64(sql, 1, STORE_KEY(room, 0));
    sqlite3_bind_int64(sql, 2, STORE_KEY(room, low) - 1);
    while (count < most && (ret = sqlite3_step(sql)) == SQLITE_ROW) {
        *from = STORE_SEQ(sqlite3_column_int64(sql, 0));
        count += (uint64_t)sqlite3_column_int64(sql, 1);
    }
    sqlite3_reset(sql);
    return count >= most || ret == SQLITE_DONE ? 0 : -1;
}

static bool next_room(struct store_writer *w, uint64_t *room)
{
    sqlite3_stmt *sql = w->sql[SQL_NEXT_ROOM];
    bool is_there;

    sqlite3_bind_int64(sql, 1, w->index.room);
    is_there = sqlite3_step(sql) == SQLITE_ROW;
    if (is_there)
        *room = (uint64_t)sqlite3_column_int64(sql, 0);
    sqlite3_reset(sql);
    return is_there;
}

/* What follows what is indexed; as much as *most says, which gets less. */
static int go_up(struct store_writer *w, struct marks *m, uint64_t end, uint64_t *most)
{
    uint64_t from = m->high + 1, next;

    if (put_rows(w, m->room, from, end, *most, &next) != 0)
        return -1;
    if (next == from) /* what stood there was let go of */
        next = end;
    *most -= next - from < *most ? next - from : *most;
    m->high = next - 1;
    return put_marks(w, m);
}

/* What comes before it; 1 where there is nothing. */
static int go_down(struct store_writer *w, struct marks *m, uint64_t *most)
{
    uint64_t from, next, count;

    if (find_before(w, m->room, m->low, *most, &from) != 0)
        return -1;
    count = m->low - from;
    if (count == 0)
        return 1;
    if (put_rows(w, m->room, from, m->low - 1, count, &next) != 0)
        return -1;
    m->low = from;
    if (put_marks(w, m) != 0)
        return -1;
    if (count < *most) {
        *most -= count;
        return 1;
    }
    *most = 0;
    return 0;
}

/* Some of what a room has and the index has not, up to *most messages. 1 where there is no more of it, 0, or
 * -1. */
static int index_room(struct store_writer *w, uint64_t room, bool is_news, uint64_t *most)
{
    struct marks m;
    uint64_t end;
    bool is_new;
    int ret;

    if (read_marks(w, room, &m) != 0 || find_next(w, room, &end) != 0)
        return -1;
    is_new = m.high == 0 && m.low == 0;
    if (is_new) {
        m.low = end;
        m.high = end - 1;
    }
    if (m.high + 1 < end)
        return go_up(w, &m, end, most);
    if (is_news && !is_new)
        return 1;
    ret = go_down(w, &m, most);
    if (is_news && ret == 0) { /* a room with a past: that can wait */
        w->index.is_swept = false;
        w->index.room = 0;
        return 1;
    }
    return ret;
}

/* 0, or -1. */
static int index_some(struct store_writer *w)
{
    struct store_index *index = &w->index;
    uint64_t most = STEP_MESSAGES, room;
    int ret;

    while (most > 0 && store_index_is_due(w)) {
        bool is_news = index->news_count > 0;

        if (is_news) {
            room = index->news[0];
        } else if (!next_room(w, &room)) {
            index->is_swept = true;
            break;
        }
        ret = index_room(w, room, is_news, &most);
        if (ret < 0)
            return -1;
        if (ret == 1 && is_news)
            memmove(index->news, index->news + 1, --index->news_count * sizeof *index->news);
        else if (ret == 1)
            index->room = (sqlite3_int64)room;
        most -= most < ROOM_COST ? most : ROOM_COST;
    }
    return 0;
}

void store_index_note(struct store_writer *w, uint64_t room)
{
    struct store_index *index = &w->index;

    for (size_t i = 0; i < index->news_count; i++)
        if (index->news[i] == room)
            return;
    if (index->news_count < INDEX_ROOMS) {
        index->news[index->news_count++] = room;
    } else { /* too many to remember: all are looked at */
        index->is_swept = false;
        index->room = 0;
    }
}

bool store_index_is_due(const struct store_writer *w)
{
    return w->index.is_on && (w->index.news_count > 0 || !w->index.is_swept);
}

bool store_index_may_step(struct store_writer *w, bool is_busy)
{
    uint64_t now = clock_mono_us();

    return store_index_is_due(w) && !w->is_failing && now >= w->index.again_us &&
           (!is_busy || now - w->index.stepped_us >= BUSY_US);
}

static void begin_anew(struct store_writer *w)
{
    w->index.again_us = clock_mono_us() + AGAIN_US;
    w->index.is_swept = false;
    w->index.room = 0;
}

void store_index_remake(struct store_writer *w)
{
    static const char sql[] =
        "BEGIN IMMEDIATE; INSERT INTO words(words) VALUES('delete-all'); DELETE FROM indexed; COMMIT";
    bool is_done = !w->is_failing && sqlite3_exec(w->db, sql, NULL, NULL, NULL) == SQLITE_OK;

    if (!is_done && !sqlite3_get_autocommit(w->db))
        store_db_run(w->sql[SQL_ROLLBACK]);
    log_event(LOG_ERROR, "search-index", "why=\"it is damaged\" todo=\"%s\"",
              is_done ? "nothing: it is being made anew" : "look with chatd --check-data");
    begin_anew(w);
    if (is_done)
        w->index.again_us = 0;
}

void store_index_trouble(struct store_writer *w, struct store_trouble *t)
{
    if (w->index.has_trouble)
        *t = w->index.trouble;
    else
        store_db_trouble(w->db, t);
    w->index.has_trouble = false;
}

static void fail(struct store_writer *w)
{
    struct store_trouble t;
    char why[LOG_QUOTED_SIZE];

    store_index_trouble(w, &t);
    if (!sqlite3_get_autocommit(w->db))
        store_db_run(w->sql[SQL_ROLLBACK]);
    log_event(LOG_ERROR, "search-index", "why=%s code=%d todo=\"%s\"", log_quote_text(t.why, why), t.code,
              t.todo);
    if (t.code == SQLITE_CORRUPT_VTAB) {
        store_index_remake(w);
        return;
    }
    begin_anew(w);
    w->index.has_found_damage = t.is_damage; /* of the file itself: messages are not safe in it either */
    if (t.is_damage)
        store_writer_found_damage(w, &t);
}

void store_index_step(struct store_writer *w)
{
    if (!store_files_are_there(&w->files, w->path, &w->trouble)) /* moved away: the next write tells */
        return;
    sqlite3_exec(w->db, "PRAGMA synchronous=NORMAL", NULL, NULL, NULL);
    if (store_db_run(w->sql[SQL_BEGIN]) != 0 || index_some(w) != 0 || store_db_run(w->sql[SQL_COMMIT]) != 0)
        fail(w);
    else
        w->index.has_found_damage = false;
    if (w->is_powerful)
        sqlite3_exec(w->db, "PRAGMA synchronous=FULL", NULL, NULL, NULL);
    w->index.stepped_us = clock_mono_us();
}

int store_index_forget(struct store_writer *w, sqlite3_int64 low, sqlite3_int64 *end)
{
    sqlite3_stmt *sql = w->sql[SQL_ROWS];
    uint64_t next = STORE_SEQ(low);
    struct marks m;
    int ret;

    if (read_marks(w, STORE_ROOM(low), &m) != 0)
        return -1;
    if (m.low == 0 && m.high == 0)
        return 0;
    sqlite3_bind_int64(sql, 1, low);
    sqlite3_bind_int64(sql, 2, *end);
    while ((ret = sqlite3_step(sql)) == SQLITE_ROW) {
        if (put_row(w, SQL_DROP_WORDS, sql, m.low, m.high) != 0)
            break;
        next = STORE_SEQ(sqlite3_column_int64(sql, 0)) + (uint64_t)sqlite3_column_int64(sql, 1);
        if (clock_mono_us() > w->look_until_us) {
            *end = sqlite3_column_int64(sql, 0);
            ret = SQLITE_DONE;
            break;
        }
    }
    sqlite3_reset(sql);
    if (next > m.low)
        m.low = next;
    if (m.high + 1 < m.low)
        m.high = m.low - 1;
    return ret == SQLITE_DONE ? put_marks(w, &m) : -1;
}

void store_index_deinit(struct store_index *index)
{
    words_deinit(&index->words);
    buf_deinit(&index->terms);
    buf_deinit(&index->lines);
}
