/* store_reader.c: what a reader's thread does with the database: a room as it is kept, a range of its messages, the list
 * of rooms. See store_sqlite.h. */
#include "server/chat/store_sqlite.h"

#include "common/log.h"
#include "common/mem.h"

#include <stdlib.h>
#include <string.h>

static const char *const texts[SQL_READER_COUNT] = {
    [SQL_ROOM] = "SELECT id, epoch, topic FROM rooms WHERE name = ?",
    [SQL_FIRST] = "SELECT id FROM messages WHERE id BETWEEN ? AND ? ORDER BY id LIMIT 1",
    [SQL_LAST] = "SELECT id, count, time FROM messages WHERE id BETWEEN ? AND ? ORDER BY id DESC LIMIT 1",
    [SQL_KEYS] = "SELECT keys FROM keys WHERE id BETWEEN ? AND ? ORDER BY id",
    [SQL_START] = "SELECT id FROM messages WHERE id BETWEEN ? AND ? ORDER BY id DESC LIMIT 1",
    [SQL_READ] = "SELECT id, count, lines FROM messages WHERE id BETWEEN ? AND ? ORDER BY id",
    [SQL_READ_INBOX] = "SELECT parts FROM inbox",
    [SQL_LIST] = "SELECT r.name, r.topic, (SELECT id + count - 1 FROM messages WHERE id BETWEEN r.id << 40 AND (r.id + 1 << 40) - 1"
                 " ORDER BY id DESC LIMIT 1) FROM rooms r WHERE substr(r.name, 1, ?1) = ?2 ORDER BY r.name",
};

bool store_reader_open(struct store_reader *r, const char *path, char err[STORE_ERROR_SIZE])
{
    *r = (struct store_reader){.db = store_db_open(path, false, err)};
    return r->db != NULL && sqlite3_exec(r->db, "PRAGMA query_only=1", NULL, NULL, NULL) == SQLITE_OK &&
           store_db_prepare(r->db, texts, r->sql, SQL_READER_COUNT, err);
}

void store_reader_close(struct store_reader *r)
{
    for (int i = 0; i < SQL_READER_COUNT; i++)
        sqlite3_finalize(r->sql[i]);
    sqlite3_close(r->db);
}

static sqlite3_stmt *between(struct store_reader *r, enum store_reader_sql which, sqlite3_int64 from, sqlite3_int64 to)
{
    sqlite3_bind_int64(r->sql[which], 1, from);
    sqlite3_bind_int64(r->sql[which], 2, to);
    return r->sql[which];
}

static void fail(struct store_reader *r, struct store_job *job)
{
    char why[LOG_QUOTED_SIZE];
    int code = sqlite3_extended_errcode(r->db);

    job->failed = "the server could not read its disk";
    log_event(LOG_ERROR, "storage-unread", "why=%s code=%d todo=\"%s\"", log_quote_text(sqlite3_errmsg(r->db), why), code,
              store_db_remedy(code));
}

static char *copy_text(sqlite3_stmt *sql, int column)
{
    const void *text = sqlite3_column_text(sql, column);

    return text != NULL ? mem_strndup(text, (size_t)sqlite3_column_bytes(sql, column)) : NULL;
}

/* 0, 1 where nothing is kept under that name, or -1. */
static int load_room(struct store_reader *r, struct store_load *l)
{
    sqlite3_stmt *sql = r->sql[SQL_ROOM];
    int ret;

    sqlite3_bind_text(sql, 1, l->room, l->room_len, SQLITE_STATIC);
    ret = sqlite3_step(sql);
    if (ret == SQLITE_ROW) {
        l->place.id = (uint64_t)sqlite3_column_int64(sql, 0);
        l->epoch = (uint64_t)sqlite3_column_int64(sql, 1);
        l->topic = copy_text(sql, 2);
    }
    sqlite3_reset(sql);
    return ret == SQLITE_ROW ? 0 : ret == SQLITE_DONE ? 1 : -1;
}

static int load_bounds(struct store_reader *r, struct store_load *l)
{
    sqlite3_int64 from = STORE_KEY(l->place.id, 0), to = STORE_KEY(l->place.id + 1, 0) - 1;
    sqlite3_stmt *sql = between(r, SQL_LAST, from, to);
    int ret = sqlite3_step(sql), first;

    if (ret == SQLITE_ROW) {
        l->place.kept = STORE_SEQ(sqlite3_column_int64(sql, 0)) + (uint64_t)sqlite3_column_int64(sql, 1) - 1;
        l->time_ms = (uint64_t)sqlite3_column_int64(sql, 2);
    }
    sqlite3_reset(sql);
    l->oldest = l->place.kept + 1;
    sql = between(r, SQL_FIRST, from, to);
    first = sqlite3_step(sql);
    if (first == SQLITE_ROW)
        l->oldest = STORE_SEQ(sqlite3_column_int64(sql, 0));
    sqlite3_reset(sql);
    return (ret == SQLITE_ROW || ret == SQLITE_DONE) && (first == SQLITE_ROW || first == SQLITE_DONE) ? 0 : -1;
}

static int load_keys(struct store_reader *r, struct store_load *l)
{
    uint64_t from = l->place.kept > l->keys_of ? l->place.kept - l->keys_of + 1 : 1;
    /* A row begins before from, where its last messages are among the newest. */
    sqlite3_stmt *sql = between(r, SQL_START, STORE_KEY(l->place.id, 0), STORE_KEY(l->place.id, from));
    sqlite3_int64 start = sqlite3_step(sql) == SQLITE_ROW ? sqlite3_column_int64(sql, 0) : STORE_KEY(l->place.id, from);
    int ret;

    sqlite3_reset(sql);
    sql = between(r, SQL_KEYS, start, STORE_KEY(l->place.id + 1, 0) - 1);
    while ((ret = sqlite3_step(sql)) == SQLITE_ROW) {
        const void *data = sqlite3_column_blob(sql, 0);

        if (keys_unpack(&l->keys, data, (size_t)sqlite3_column_bytes(sql, 0), from) != 0)
            break;
    }
    sqlite3_reset(sql);
    return ret == SQLITE_DONE ? 0 : -1;
}

struct wanted {
    uint64_t room;
    bool found;
};

static void look_for(void *arg, uint64_t room, uint64_t first_seq, uint64_t count, const char *lines, size_t len)
{
    struct wanted *wanted = arg;

    (void)first_seq, (void)count, (void)lines, (void)len;
    wanted->found = wanted->found || room == wanted->room;
}

/* The disk takes nothing at the moment, so that the inbox could not be moved: rooms with nothing in it are well all the same. */
static int check_inbox(struct store_reader *r, const struct store_load *l)
{
    struct wanted wanted = {.room = l->place.id};

    if (!l->job.is_partial)
        return 0;
    return store_inbox_each(r->sql[SQL_READ_INBOX], &wanted, look_for) == 0 && !wanted.found ? 0 : -1;
}

void store_sqlite_load(void *reader, struct store_job *job)
{
    struct store_load *l = (struct store_load *)job;
    struct store_reader *r = reader;
    int ret = load_room(r, l);

    l->found = ret == 0;
    if (ret < 0 || (l->found && (check_inbox(r, l) != 0 || load_bounds(r, l) != 0 || load_keys(r, l) != 0)))
        fail(r, job);
}

static size_t skip_lines(const char *data, size_t len, uint64_t lines)
{
    const char *at = data, *end = data + len;

    while (lines-- > 0 && at < end) {
        at = memchr(at, '\n', (size_t)(end - at));
        at = at != NULL ? at + 1 : end;
    }
    return (size_t)(at - data);
}

/* The part of a row that is wanted; false when it begins behind a hole or is more than what is left of the bytes. */
static bool take_row(const struct store_read *q, sqlite3_stmt *sql, struct buf *lines, uint64_t *first, uint32_t *count)
{
    uint64_t seq = STORE_SEQ(sqlite3_column_int64(sql, 0)), n = (uint64_t)sqlite3_column_int64(sql, 1);
    const char *data = sqlite3_column_blob(sql, 2);
    size_t len = (size_t)sqlite3_column_bytes(sql, 2), from, to;
    uint64_t skip = q->after >= seq ? q->after - seq + 1 : 0, cut = seq + n - 1 > q->last ? seq + n - 1 - q->last : 0;

    if (skip + cut >= n || data == NULL)
        return true;
    from = skip_lines(data, len, skip);
    to = cut > 0 ? from + skip_lines(data + from, len - from, n - skip - cut) : len;
    if (*count > 0 && (lines->len + (to - from) > q->most_bytes || seq != *first + *count))
        return false;
    if (*count == 0)
        *first = seq + skip;
    buf_put(lines, data + from, to - from);
    *count += (uint32_t)(n - skip - cut);
    return true;
}

void store_sqlite_read(void *reader, struct store_job *job)
{
    struct store_read *q = (struct store_read *)job;
    struct store_reader *r = reader;
    sqlite3_int64 start = STORE_KEY(q->id, q->after + 1);
    sqlite3_stmt *sql = between(r, SQL_START, STORE_KEY(q->id, 0), start);
    struct buf lines = {0};
    uint64_t first = 0;
    uint32_t count = 0;
    int ret;

    if (sqlite3_step(sql) == SQLITE_ROW)
        start = sqlite3_column_int64(sql, 0);
    sqlite3_reset(sql);
    sql = between(r, SQL_READ, start, STORE_KEY(q->id, q->last));
    while ((ret = sqlite3_step(sql)) == SQLITE_ROW && take_row(q, sql, &lines, &first, &count))
        ;
    if (ret != SQLITE_ROW && ret != SQLITE_DONE)
        fail(r, job);
    sqlite3_reset(sql);
    if (count > 0) {
        q->chunk = chunk_new_copy(lines.data, lines.len);
        q->chunk->first_seq = first;
        q->chunk->count = count;
    }
    buf_deinit(&lines);
}

static void add_known(struct store_list *l, sqlite3_stmt *sql)
{
    struct store_known *known;
    int len = sqlite3_column_bytes(sql, 0);

    if (len > PROTOCOL_MAX_ROOM)
        return;
    if (l->count == l->cap) {
        l->cap = l->cap > 0 ? l->cap * 2 : 16;
        l->rooms = mem_realloc(l->rooms, l->cap * sizeof *l->rooms);
    }
    known = &l->rooms[l->count++];
    *known = (struct store_known){.name_len = (uint8_t)len, .topic = copy_text(sql, 1)};
    memcpy(known->name, sqlite3_column_text(sql, 0), (size_t)len);
    known->seq = STORE_SEQ(sqlite3_column_int64(sql, 2));
}

void store_sqlite_list(void *reader, struct store_job *job)
{
    struct store_list *l = (struct store_list *)job;
    struct store_reader *r = reader;
    sqlite3_stmt *sql = r->sql[SQL_LIST];
    int ret;

    sqlite3_bind_int(sql, 1, l->prefix_len);
    sqlite3_bind_text(sql, 2, l->prefix, l->prefix_len, SQLITE_STATIC);
    while ((ret = sqlite3_step(sql)) == SQLITE_ROW)
        add_known(l, sql);
    if (ret != SQLITE_DONE)
        fail(r, job);
    sqlite3_reset(sql);
}
