/* store_inbox.c: what a commit keeps at first: all that all rooms said, behind what was said before, in the one blob
 * of one small table. It is written over in place, so that a commit dirties as many pages as it has bytes for, however
 * many rooms took part. Once it is full it is moved to where it is read from: each room's messages one behind the
 * other, in rows of a good size. The writer's thread; readers look too. See store_sqlite.h.
 *
 * What always holds, once the writer has opened it: the inbox has the newest messages of all rooms, and behind them a
 * part of no room, which is its end: what stands behind that is old. A reader that does not find all it wants where it belongs looks here too, in the
 * same snapshot. */
#include "server/chat/store_sqlite.h"

#include "common/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROW_BYTES   32768 /* messages that are moved together become rows of about that size */
#define FIRST_BYTES 4096  /* of the blob, which mostly has nothing */
#define READ_BYTES  65536 /* of it at a time, behind those: most of it may be old */
#define INBOX_ROW   1

static const struct store_part nothing; /* the end of what is in the blob */

struct place {
    struct store_part head;
    const char *lines, *keys, *changes;
};

struct places {
    struct place *v;
    size_t count, cap;
};

void store_inbox_add(struct buf *b, uint64_t room, const struct store_write *one)
{
    const struct chunk *c = one->chunk;
    struct store_part head = {room,
                              c->first_seq,
                              one->time_ms,
                              c->count,
                              c->len,
                              (uint32_t)one->keys.len,
                              (uint32_t)one->changes.len};

    buf_put(b, &head, sizeof head);
    buf_put(b, c->data, c->len);
    buf_put(b, one->keys.data, one->keys.len);
    buf_put(b, one->changes.data, one->changes.len);
}

static int tell_damage(void)
{
    store_db_row_is_damaged();
    return -1;
}

/* Adds what a row of the inbox has; -1 where it is not what was put there. */
static int take_parts(struct places *parts, uint64_t room, const char *at, size_t len)
{
    const char *end = at + len;

    while (at < end) {
        struct place part;

        if ((size_t)(end - at) < sizeof part.head)
            return tell_damage();
        memcpy(&part.head, at, sizeof part.head);
        at += sizeof part.head;
        if ((uint64_t)(end - at) < (uint64_t)part.head.len + part.head.keys_len + part.head.changes_len)
            return tell_damage();
        part.lines = at;
        part.keys = at + part.head.len;
        part.changes = part.keys + part.head.keys_len;
        at = part.changes + part.head.changes_len;
        if (room != 0 && part.head.room != room)
            continue;
        if (parts->count == parts->cap) {
            parts->cap = parts->cap > 0 ? parts->cap * 2 : 256;
            parts->v = mem_realloc(parts->v, parts->cap * sizeof *parts->v);
        }
        parts->v[parts->count++] = part;
    }
    return 0;
}

/* More of a blob, of which all has bytes from start on: up to there at least. */
static int read_up_to(sqlite3_blob *blob, struct buf *all, size_t start, size_t to)
{
    size_t have = all->len - start, size = (size_t)sqlite3_blob_bytes(blob);
    size_t n = have == 0 ? FIRST_BYTES : READ_BYTES;

    if (have >= to)
        return 0;
    if (n < to - have)
        n = to - have;
    if (n > size - have)
        n = size - have;
    buf_reserve(all, n);
    if (sqlite3_blob_read(blob, all->data + all->len, (int)n, (int)have) != SQLITE_OK)
        return -1;
    all->len += n;
    return 0;
}

/* Adds the parts of a blob, without the end and what is behind it. What chatd wrote up to version 3 of the schema ends with
 * the blob. */
static int read_blob(sqlite3_blob *blob, struct buf *all)
{
    size_t start = all->len, size = (size_t)sqlite3_blob_bytes(blob), at = 0;

    while (at < size) {
        struct store_part head;
        uint64_t len;

        if (size - at < sizeof head)
            return tell_damage();
        if (read_up_to(blob, all, start, at + sizeof head) != 0)
            return -1;
        memcpy(&head, all->data + start + at, sizeof head);
        if (head.room == 0)
            break;
        len = (uint64_t)head.len + head.keys_len + head.changes_len;
        if (size - at - sizeof head < len)
            return tell_damage();
        at += sizeof head + len;
        if (read_up_to(blob, all, start, at) != 0)
            return -1;
    }
    all->len = start + at;
    return 0;
}

static int read_row(sqlite3 *db, sqlite3_int64 row, struct buf *all)
{
    sqlite3_blob *blob = NULL;
    int ret = -1;

    if (sqlite3_blob_open(db, "main", "inbox", "parts", row, 0, &blob) == SQLITE_OK)
        ret = read_blob(blob, all);
    sqlite3_blob_close(blob);
    return ret;
}

/* All of the inbox; sql: its rows' numbers, which are read first: to end it would cover up what was wrong with a row. */
static int read_all(sqlite3_stmt *sql, struct buf *all)
{
    struct buf rows = {0};
    sqlite3_int64 row;
    int ret;

    while ((ret = sqlite3_step(sql)) == SQLITE_ROW) {
        row = sqlite3_column_int64(sql, 0);
        buf_put(&rows, &row, sizeof row);
    }
    sqlite3_reset(sql);
    ret = ret == SQLITE_DONE ? 0 : -1;
    for (size_t at = 0; ret == 0 && at < rows.len; at += sizeof row) {
        memcpy(&row, rows.data + at, sizeof row);
        ret = read_row(sqlite3_db_handle(sql), row, all);
    }
    buf_deinit(&rows);
    return ret;
}

static int compare(const void *a, const void *b)
{
    const struct store_part *one = &((const struct place *)a)->head,
                            *other = &((const struct place *)b)->head;

    if (one->room != other->room)
        return one->room < other->room ? -1 : 1;
    return one->first_seq < other->first_seq ? -1 : one->first_seq > other->first_seq;
}

static int put_row(struct store_writer *w, const struct store_part *head, uint64_t total,
                   const struct buf *lines, const struct buf *keys)
{
    sqlite3_int64 id = STORE_KEY(head->room, head->first_seq);
    sqlite3_stmt *sql = w->sql[SQL_MESSAGES];

    sqlite3_bind_int64(sql, 1, id);
    sqlite3_bind_int64(sql, 2, head->count);
    sqlite3_bind_int64(sql, 3, (sqlite3_int64)head->time_ms);
    sqlite3_bind_int64(sql, 4, (sqlite3_int64)total);
    sqlite3_bind_blob64(sql, 5, lines->data, lines->len, SQLITE_STATIC);
    if (store_db_run(sql) != 0)
        return -1;
    if (keys->len == 0)
        return 0;
    sql = w->sql[SQL_PUT_KEYS];
    sqlite3_bind_int64(sql, 1, id);
    sqlite3_bind_blob64(sql, 2, keys->data, keys->len, SQLITE_STATIC);
    return store_db_run(sql);
}

static int total_of(struct store_writer *w, uint64_t room, uint64_t *total)
{
    sqlite3_stmt *sql = w->sql[SQL_BOUNDS];
    int ret;

    sqlite3_bind_int64(sql, 1, STORE_KEY(room, 0));
    sqlite3_bind_int64(sql, 2, STORE_KEY(room + 1, 0) - 1);
    ret = sqlite3_step(sql);
    *total = ret == SQLITE_ROW ? (uint64_t)sqlite3_column_int64(sql, 2) : 0;
    sqlite3_reset(sql);
    return ret == SQLITE_ROW || ret == SQLITE_DONE ? 0 : -1;
}

/* The first parts, as many as make one row; how many, or -1. */
static long put_some(struct store_writer *w, const struct place *parts, size_t count, uint64_t *total)
{
    struct store_part head = parts[0].head;
    struct buf lines = {0}, keys = {0};
    size_t n = 0;
    long ret;

    head.count = 0;
    for (; n < count && parts[n].head.room == head.room &&
           parts[n].head.first_seq == head.first_seq + head.count;
         n++) {
        if (n > 0 && lines.len + parts[n].head.len > ROW_BYTES)
            break;
        buf_put(&lines, parts[n].lines, parts[n].head.len);
        buf_put(&keys, parts[n].keys, parts[n].head.keys_len);
        head.count += parts[n].head.count;
        head.time_ms = parts[n].head.time_ms;
    }
    *total += lines.len;
    ret = put_row(w, &head, *total, &lines, &keys) == 0 ? (long)n : -1;
    buf_deinit(&lines);
    buf_deinit(&keys);
    return ret;
}

static int put_changes(struct store_writer *w, const struct place *part)
{
    sqlite3_stmt *sql = w->sql[SQL_PUT_CHANGE];
    struct store_change change;

    for (uint32_t at = 0; at + sizeof change <= part->head.changes_len; at += sizeof change) {
        memcpy(&change, part->changes + at, sizeof change);
        sqlite3_bind_int64(sql, 1, STORE_KEY(part->head.room, change.of));
        sqlite3_bind_int64(sql, 2, (sqlite3_int64)change.seq);
        sqlite3_bind_int64(sql, 3, (sqlite3_int64)change.removes);
        if (store_db_run(sql) != 0)
            return -1;
    }
    return 0;
}

static int put_parts(struct store_writer *w, const struct places *parts)
{
    uint64_t room = 0, total = 0;
    long n;

    for (size_t i = 0; i < parts->count; i += (size_t)n) {
        if (parts->v[i].head.room != room) {
            room = parts->v[i].head.room;
            if (total_of(w, room, &total) != 0)
                return -1;
            store_index_note(w, room);
        }
        n = put_some(w, &parts->v[i], parts->count - i, &total);
        if (n < 0)
            return -1;
        for (long k = 0; k < n; k++)
            if (put_changes(w, &parts->v[i + (size_t)k]) != 0)
                return -1;
    }
    return 0;
}

/* Nicks ask for it when the server starts: whose a message is, is told by times. */
static int put_newest(struct store_writer *w, const struct places *parts)
{
    sqlite3_stmt *sql = w->sql[SQL_PUT_FACT];
    char text[24];

    for (size_t i = 0; i < parts->count; i++)
        if (parts->v[i].head.time_ms > w->newest_ms)
            w->newest_ms = parts->v[i].head.time_ms;
    snprintf(text, sizeof text, "%llu", (unsigned long long)w->newest_ms);
    sqlite3_bind_text(sql, 1, STORE_KIND_SERVER, -1, SQLITE_STATIC);
    sqlite3_bind_blob(sql, 2, STORE_NEWEST_FACT, sizeof STORE_NEWEST_FACT - 1, SQLITE_STATIC);
    sqlite3_bind_text(sql, 3, text, -1, SQLITE_STATIC);
    return store_db_run(sql);
}

/* In place, from that byte on. */
static int write_blob(struct store_writer *w, const void *data, size_t len, size_t at)
{
    sqlite3_blob *blob = NULL;
    int ret = sqlite3_blob_open(w->db, "main", "inbox", "parts", INBOX_ROW, 1, &blob);

    if (ret == SQLITE_OK)
        ret = sqlite3_blob_write(blob, data, (int)len, (int)at);
    sqlite3_blob_close(blob);
    return ret == SQLITE_OK ? 0 : -1;
}

/* Takes what is in the inbox, and the batch behind it, to where it belongs. */
static int move(struct store_writer *w)
{
    struct places parts = {0};
    struct buf all = {0};
    int ret = read_all(w->sql[SQL_INBOX], &all);

    if (ret == 0) {
        buf_put(&all, w->batch.data, w->batch.len);
        ret = take_parts(&parts, 0, all.data, all.len);
    }
    if (ret == 0 && parts.count > 0) {
        qsort(parts.v, parts.count, sizeof *parts.v, compare);
        ret = put_parts(w, &parts) == 0 ? put_newest(w, &parts) : -1;
    }
    free(parts.v);
    buf_deinit(&all);
    return ret;
}

int store_inbox_put(struct store_writer *w)
{
    size_t len = w->batch.len;
    int ret;

    if (w->inbox_bytes + len + sizeof nothing > INBOX_BYTES)
        return store_inbox_move(w);
    buf_put(&w->batch, &nothing, sizeof nothing);
    ret = write_blob(w, w->batch.data, w->batch.len, w->inbox_bytes);
    w->batch.len = len;
    w->inbox_then = w->inbox_bytes + len;
    return ret;
}

int store_inbox_move(struct store_writer *w)
{
    w->inbox_then = 0;
    return move(w) == 0 ? write_blob(w, &nothing, sizeof nothing, 0) : -1;
}

int store_inbox_make(struct store_writer *w)
{
    static const char anew[] = "DELETE FROM inbox; INSERT INTO inbox(id, parts) VALUES(" TEXT_OF(
        INBOX_ROW) ", zeroblob(" TEXT_OF(INBOX_BYTES) "))";

    w->inbox_then = 0;
    return move(w) == 0 && sqlite3_exec(w->db, anew, NULL, NULL, NULL) == SQLITE_OK ? 0 : -1;
}

int store_inbox_each(sqlite3_stmt *sql, uint64_t room, void *arg,
                     void (*fn)(void *arg, const struct store_part *part, const char *lines,
                                const char *keys))
{
    struct places parts = {0};
    struct buf all = {0};
    int ret = read_all(sql, &all);

    if (ret == 0)
        ret = take_parts(&parts, room, all.data, all.len);
    if (ret == 0 && parts.count > 0)
        qsort(parts.v, parts.count, sizeof *parts.v, compare);
    for (size_t i = 0; ret == 0 && i < parts.count; i++)
        fn(arg, &parts.v[i].head, parts.v[i].lines, parts.v[i].keys);
    free(parts.v);
    buf_deinit(&all);
    return ret;
}
