/* store_inbox.c: what a commit keeps at first: one row with all that all rooms said, at the end of one small
 * table, so that a commit dirties a page or two however many rooms took part. Once there is enough of it, it
 * is moved to where it is read from: each room's messages one behind the other, in rows of a good size. The
 * writer's thread. See store_sqlite.h.
 *
 * What always holds: the inbox has the newest messages of all rooms, at most INBOX_BYTES of them when a
 * transaction ends; a reader that does not find all it wants where it belongs looks here too, in the same
 * snapshot. */
#include "server/chat/store_sqlite.h"

#include "common/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROW_BYTES 32768 /* messages that are moved together become rows of about that size */

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

/* The rows of the inbox one behind the other. */
static int read_all(sqlite3_stmt *sql, struct buf *all)
{
    int ret;

    while ((ret = sqlite3_step(sql)) == SQLITE_ROW)
        buf_put(all, sqlite3_column_blob(sql, 0), (size_t)sqlite3_column_bytes(sql, 0));
    sqlite3_reset(sql);
    return ret == SQLITE_DONE ? 0 : -1;
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

int store_inbox_move(struct store_writer *w)
{
    struct places parts = {0};
    struct buf all = {0};
    int ret = read_all(w->sql[SQL_INBOX], &all);

    if (ret == 0)
        ret = take_parts(&parts, 0, all.data, all.len);
    if (ret == 0 && parts.count > 0) {
        qsort(parts.v, parts.count, sizeof *parts.v, compare);
        ret = put_parts(w, &parts) == 0 ? put_newest(w, &parts) : -1;
    }
    if (ret == 0)
        ret = store_db_run(w->sql[SQL_EMPTY_INBOX]);
    free(parts.v);
    buf_deinit(&all);
    return ret;
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
