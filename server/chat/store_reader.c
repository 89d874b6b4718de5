/* store_reader.c: what a reader's thread does with the database: a room as it is kept, a range of its
 * messages, the list of rooms. See store_sqlite.h. */
#include "server/chat/store_sqlite.h"

#include "common/clock.h"
#include "common/log.h"
#include "common/mem.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define LOG_EVERY_US 10000000

static const char *const texts[SQL_READER_COUNT] = {
    [SQL_ROOM] = "SELECT id, epoch, topic FROM rooms WHERE name = ?",
    [SQL_FIRST] = "SELECT id FROM messages WHERE id BETWEEN ? AND ? ORDER BY id LIMIT 1",
    [SQL_LAST] = "SELECT id, count, time FROM messages WHERE id BETWEEN ? AND ? ORDER BY id DESC LIMIT 1",
    [SQL_KEYS] = "SELECT keys FROM keys WHERE id BETWEEN ? AND ? ORDER BY id",
    [SQL_START] = "SELECT id FROM messages WHERE id BETWEEN ? AND ? ORDER BY id DESC LIMIT 1",
    [SQL_READ] = "SELECT id, count, lines FROM messages WHERE id BETWEEN ? AND ? ORDER BY id",
    [SQL_SIZES] = "SELECT id, length(lines) FROM messages WHERE id BETWEEN ? AND ? ORDER BY id DESC",
    [SQL_READ_INBOX] = STORE_SQL_INBOX,
    [SQL_READ_BEGIN] = "BEGIN",
    [SQL_READ_END] = "COMMIT",
    [SQL_LIST] =
        "SELECT r.name, r.topic, (SELECT id + count - 1 FROM messages WHERE id BETWEEN r.id << 40 AND"
        " (r.id + 1 << 40) - 1 ORDER BY id DESC LIMIT 1),"
        " (SELECT value FROM facts WHERE kind = ?3 AND key = CAST(r.name || '/' AS BLOB))"
        " FROM rooms r WHERE r.name >= ?1 AND r.name < ?2 ORDER BY r.name LIMIT ?4",
    [SQL_FIND_INDEXED] = "SELECT low, high FROM indexed WHERE room = ?",
    [SQL_FIND_WORD] =
        "SELECT rowid FROM words WHERE words MATCH ? AND rowid BETWEEN ? AND ? ORDER BY rowid DESC LIMIT ?",
    [SQL_FIND_ROW] =
        "SELECT id, count, lines FROM messages WHERE id BETWEEN ? AND ? ORDER BY id DESC LIMIT 1",
    [SQL_FIND_CHANGE] = "SELECT by, removed FROM changes WHERE id = ?",
    [SQL_FACT] = STORE_SQL_FACT,
    [SQL_FACTS] = STORE_SQL_FACTS,
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

static sqlite3_stmt *between(struct store_reader *r, enum store_reader_sql which, sqlite3_int64 from,
                             sqlite3_int64 to)
{
    sqlite3_bind_int64(r->sql[which], 1, from);
    sqlite3_bind_int64(r->sql[which], 2, to);
    return r->sql[which];
}

void store_reader_fail(struct store_reader *r, struct store_job *job)
{
    char why[LOG_QUOTED_SIZE], path[LOG_QUOTED_SIZE];
    uint64_t now = clock_mono_us();
    struct store_trouble t;

    store_db_trouble(r->db, &t);
    job->failed = "the server could not read its disk";
    job->is_damaged = t.is_damage;
    r->failed_jobs++;
    if (r->failed_jobs > 1 && now < r->log_again_us)
        return;
    r->log_again_us = now + LOG_EVERY_US;
    log_event(LOG_ERROR, "storage-unread", "file=%s why=%s code=%d failed=%llu todo=\"%s\"",
              log_quote_text(sqlite3_db_filename(r->db, "main"), path), log_quote_text(t.why, why), t.code,
              (unsigned long long)r->failed_jobs, t.todo);
}

void store_reader_run(struct store_reader *r, struct store_job *job)
{
    char path[LOG_QUOTED_SIZE];

    job->failed = NULL;
    job->is_damaged = false;
    errno = 0;
    job->run(r, job);
    if (job->failed != NULL) {
        sqlite3_db_release_memory(r->db); /* what was read badly is read again */
    } else if (r->failed_jobs > 0) {
        log_event(LOG_WARN, "storage-read-again", "file=%s failed=%llu",
                  log_quote_text(sqlite3_db_filename(r->db, "main"), path),
                  (unsigned long long)r->failed_jobs);
        r->failed_jobs = 0;
    }
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
    return (ret == SQLITE_ROW || ret == SQLITE_DONE) && (first == SQLITE_ROW || first == SQLITE_DONE) ? 0
                                                                                                      : -1;
}

static int load_keys(struct store_reader *r, struct store_load *l)
{
    uint64_t from = l->place.kept > l->keys_of ? l->place.kept - l->keys_of + 1 : 1;
    /* A row begins before from, where its last messages are among the newest. */
    sqlite3_stmt *sql = between(r, SQL_START, STORE_KEY(l->place.id, 0), STORE_KEY(l->place.id, from));
    sqlite3_int64 start =
        sqlite3_step(sql) == SQLITE_ROW ? sqlite3_column_int64(sql, 0) : STORE_KEY(l->place.id, from);
    int ret;

    sqlite3_reset(sql);
    sql = between(r, SQL_KEYS, start, STORE_KEY(l->place.id + 1, 0) - 1);
    while ((ret = sqlite3_step(sql)) == SQLITE_ROW) {
        const void *data = sqlite3_column_blob(sql, 0);

        if (keys_unpack(&l->keys, data, (size_t)sqlite3_column_bytes(sql, 0), from) != 0) {
            store_db_row_is_damaged();
            break;
        }
    }
    sqlite3_reset(sql);
    return ret == SQLITE_DONE ? 0 : -1;
}

/* What of it is in the inbox still: the newest, or all there is. */
static void load_part(void *arg, const struct store_part *part, const char *lines, const char *keys)
{
    struct store_load *l = arg;

    (void)lines;
    if (l->oldest > l->place.kept)
        l->oldest = part->first_seq;
    l->place.kept = part->first_seq + part->count - 1;
    l->time_ms = part->time_ms;
    if (part->keys_len > 0)
        keys_unpack(&l->keys, keys, part->keys_len, 0);
}

static int load_all(struct store_reader *r, struct store_load *l)
{
    int ret = load_room(r, l);

    l->found = ret == 0;
    if (ret != 0)
        return ret;
    return load_bounds(r, l) == 0 && load_keys(r, l) == 0 &&
                   store_inbox_each(r->sql[SQL_READ_INBOX], l->place.id, l, load_part) == 0
               ? 0
               : -1;
}

/* What is read belongs to one moment: nothing is moved meanwhile. 0 or -1. */
static int begin(struct store_reader *r)
{
    return store_db_run(r->sql[SQL_READ_BEGIN]);
}

static void end(struct store_reader *r)
{
    if (!sqlite3_get_autocommit(r->db))
        store_db_run(r->sql[SQL_READ_END]);
}

void store_sqlite_load(void *reader, struct store_job *job)
{
    struct store_reader *r = reader;

    if (begin(r) != 0 || load_all(r, (struct store_load *)job) < 0)
        store_reader_fail(r, job);
    end(r);
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

/* What a read has gathered. */
struct piece {
    const struct store_read *wanted;
    struct buf lines;
    uint64_t first;
    uint32_t count;
    uint64_t most_bytes; /* up to the pivot any number */
    bool is_full;        /* or there is a hole */
};

/* Takes what is wanted of some messages. */
static void take(struct piece *p, uint64_t seq, uint64_t n, const char *data, size_t len)
{
    const struct store_read *q = p->wanted;
    uint64_t after = p->count > 0 ? p->first + p->count - 1 : q->after, skip, cut;
    size_t from, to;

    skip = after >= seq ? after - seq + 1 : 0;
    cut = seq + n - 1 > q->last ? seq + n - 1 - q->last : 0;
    if (p->is_full || skip + cut >= n || data == NULL)
        return;
    from = skip_lines(data, len, skip);
    to = cut > 0 ? from + skip_lines(data + from, len - from, n - skip - cut) : len;
    if (p->count > 0 && (p->lines.len + (to - from) > p->most_bytes || seq > after + 1)) {
        p->is_full = true;
        return;
    }
    if (p->count == 0)
        p->first = seq + skip;
    buf_put(&p->lines, data + from, to - from);
    p->count += (uint32_t)(n - skip - cut);
    if (p->most_bytes == UINT64_MAX && p->first + p->count > q->pivot)
        p->most_bytes = p->lines.len + q->most_bytes / 2;
}

static void take_part(void *arg, const struct store_part *part, const char *lines, const char *keys)
{
    (void)keys;
    take(arg, part->first_seq, part->count, lines, part->len);
}

static int read_rows(struct store_reader *r, const struct store_read *q, struct piece *p)
{
    sqlite3_int64 start = STORE_KEY(q->id, q->after + 1);
    sqlite3_stmt *sql = between(r, SQL_START, STORE_KEY(q->id, 0), start);
    int ret;

    if (sqlite3_step(sql) == SQLITE_ROW)
        start = sqlite3_column_int64(sql, 0);
    sqlite3_reset(sql);
    sql = between(r, SQL_READ, start, STORE_KEY(q->id, q->last));
    while (!p->is_full && (ret = sqlite3_step(sql)) == SQLITE_ROW)
        take(p, STORE_SEQ(sqlite3_column_int64(sql, 0)), (uint64_t)sqlite3_column_int64(sql, 1),
             sqlite3_column_blob(sql, 2), (size_t)sqlite3_column_bytes(sql, 2));
    sqlite3_reset(sql);
    return p->is_full || ret == SQLITE_DONE ? 0 : -1;
}

static int read_all(struct store_reader *r, const struct store_read *q, struct piece *p)
{
    int ret = read_rows(r, q, p);

    if (ret == 0 && !p->is_full && (p->count > 0 ? p->first + p->count - 1 : q->after) < q->last)
        ret = store_inbox_each(r->sql[SQL_READ_INBOX], q->id, p, take_part);
    return ret;
}

/* Whether the first row that begins at that seq or behind it can be read; *first: where it begins, or behind all
 * that is wanted. */
static bool can_read(struct store_reader *r, const struct store_read *q, uint64_t seq, uint64_t *first)
{
    sqlite3_stmt *sql = between(r, SQL_READ, STORE_KEY(q->id, seq), STORE_KEY(q->id, q->last));
    int ret = sqlite3_step(sql);

    *first = ret == SQLITE_ROW ? STORE_SEQ(sqlite3_column_int64(sql, 0)) : q->last + 1;
    sqlite3_reset(sql);
    return ret == SQLITE_ROW || ret == SQLITE_DONE;
}

/* What is damaged begins at after + 1: goes on in front of the first row behind it that can be read. The damage is
 * taken for one piece, a page that may have many rows; where it ends is found by halving. */
static int pass_over(struct store_reader *r, struct store_read *q)
{
    uint64_t bad = q->after + 1, good = 0, first, step = 1;

    for (uint64_t at = bad; good == 0; step *= 2) {
        at = at + step < q->last ? at + step : q->last;
        if (can_read(r, q, at, &first))
            good = at;
        else if (at == q->last)
            return -1;
        else
            bad = at;
    }
    while (good - bad > 1) {
        uint64_t middle = bad + (good - bad) / 2;

        if (can_read(r, q, middle, &first))
            good = middle;
        else
            bad = middle;
    }
    q->after = can_read(r, q, good, &first) && first <= q->last ? first - 1 : good - 1;
    return 0;
}

/* With a pivot: goes back from there as far as is to be read. */
static int raise_after(struct store_reader *r, struct store_read *q)
{
    sqlite3_stmt *sql = between(r, SQL_SIZES, STORE_KEY(q->id, 0), STORE_KEY(q->id, q->pivot));
    uint64_t bytes = 0, seq = q->pivot, most = q->pivot < q->last ? q->most_bytes / 2 : q->most_bytes;
    int ret = SQLITE_DONE;

    if (q->pivot == 0)
        return 0;
    while (bytes < most && seq > q->after + 1 && (ret = sqlite3_step(sql)) == SQLITE_ROW) {
        seq = STORE_SEQ(sqlite3_column_int64(sql, 0));
        bytes += (uint64_t)sqlite3_column_int64(sql, 1);
    }
    sqlite3_reset(sql);
    if (bytes >= most && seq > q->after + 1)
        q->after = seq - 1;
    return ret == SQLITE_ROW || ret == SQLITE_DONE ? 0 : -1;
}

void store_sqlite_read(void *reader, struct store_job *job)
{
    struct store_read *q = (struct store_read *)job;
    struct store_reader *r = reader;
    struct piece p = {.wanted = q, .most_bytes = q->pivot > 0 ? UINT64_MAX : q->most_bytes};
    int ret;

    ret = begin(r) == 0 && raise_after(r, q) == 0 ? read_all(r, q, &p) : -1;
    if (ret != 0)
        store_reader_fail(r, job);
    if (ret != 0 && p.count == 0 && job->is_damaged && q->passes_over && pass_over(r, q) == 0)
        read_all(r, q, &p);
    end(r);
    if (p.count > 0) {
        q->chunk = chunk_new_copy(p.lines.data, p.lines.len);
        q->chunk->first_seq = p.first;
        q->chunk->count = p.count;
    }
    buf_deinit(&p.lines);
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
    *known =
        (struct store_known){.name_len = (uint8_t)len, .topic = copy_text(sql, 1), .fact = copy_text(sql, 3)};
    memcpy(known->name, sqlite3_column_text(sql, 0), (size_t)len);
    known->seq = STORE_SEQ(sqlite3_column_int64(sql, 2));
}

/* Adds rooms with names from the first up to the second, without that. */
static int list_between(struct store_reader *r, struct store_list *l, const char *from, const char *to)
{
    sqlite3_stmt *sql = r->sql[SQL_LIST];
    int ret;

    if (l->count >= l->limit || strcmp(from, to) >= 0)
        return 0;
    sqlite3_bind_text(sql, 1, from, -1, SQLITE_STATIC);
    sqlite3_bind_text(sql, 2, to, -1, SQLITE_STATIC);
    sqlite3_bind_text(sql, 3, l->kind, -1, SQLITE_STATIC);
    sqlite3_bind_int64(sql, 4, l->limit - (sqlite3_int64)l->count);
    while ((ret = sqlite3_step(sql)) == SQLITE_ROW)
        add_known(l, sql);
    sqlite3_reset(sql);
    return ret == SQLITE_DONE ? 0 : -1;
}

/* '-' is the first of all characters that a name can have, and '@' stands between two of them. */
void store_sqlite_list(void *reader, struct store_job *job)
{
    struct store_list *l = (struct store_list *)job;
    char from[PROTOCOL_MAX_ROOM + 2] = "", after[PROTOCOL_MAX_ROOM + 2] = "", to[PROTOCOL_MAX_ROOM + 2] = "{";
    struct store_reader *r = reader;

    memcpy(from, l->prefix, l->prefix_len);
    memcpy(after, l->after, l->after_len);
    after[l->after_len] = '-';
    if (l->prefix_len > 0) {
        memcpy(to, l->prefix, l->prefix_len);
        to[l->prefix_len - 1]++;
        to[l->prefix_len] = '\0';
    }
    if (strcmp(after, from) > 0)
        memcpy(from, after, sizeof from);
    if (list_between(r, l, from, strcmp(to, "@") < 0 ? to : "@") != 0 ||
        list_between(r, l, strcmp(from, "A") > 0 ? from : "A", to) != 0)
        store_reader_fail(r, job);
}

void store_sqlite_get(void *reader, struct store_job *job)
{
    struct store_reader *r = reader;

    if (store_fact_get(r->sql[SQL_FACT], (struct store_fact *)job) != 0)
        store_reader_fail(r, job);
}

void store_sqlite_scan(void *reader, struct store_job *job)
{
    struct store_reader *r = reader;

    if (store_fact_scan(r->sql[SQL_FACTS], (struct store_facts *)job) != 0)
        store_reader_fail(r, job);
}
