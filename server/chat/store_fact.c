/* store_fact.c: facts in their table. The thread that the statements belong to. See store_sqlite.h. */
#include "server/chat/store_sqlite.h"

#include "common/mem.h"

#include <string.h>

static void bind_key(sqlite3_stmt *sql, int at, const struct buf *key)
{
    sqlite3_bind_blob(sql, at, key->len > 0 ? key->data : "", (int)key->len, SQLITE_STATIC);
}

static sqlite3_stmt *bind(sqlite3_stmt *sql, const struct store_fact *f)
{
    sqlite3_bind_text(sql, 1, f->kind, -1, SQLITE_STATIC);
    bind_key(sql, 2, &f->key);
    return sql;
}

static void put_column(struct buf *b, sqlite3_stmt *sql, int column)
{
    const void *data = sqlite3_column_blob(sql, column);

    buf_put(b, data, (size_t)sqlite3_column_bytes(sql, column));
}

/* The group ends where its last byte is one higher: that one is never 0xff (a NUL, or of UTF-8). */
static int add(sqlite3_stmt *sql, struct store_fact *f)
{
    struct buf from = {f->key.data, f->group_len, f->group_len}, to = {0};
    int ret;

    buf_put(&to, from.data, from.len);
    to.data[to.len - 1]++;
    bind_key(sql, 4, &from);
    bind_key(sql, 5, &to);
    sqlite3_bind_int64(sql, 6, f->most);
    ret = store_db_run(sql);
    f->is_full = ret == 0 && sqlite3_changes(sqlite3_db_handle(sql)) == 0;
    buf_deinit(&to);
    return ret;
}

int store_fact_put(const struct store_fact_sql *sql, struct store_fact *f)
{
    sqlite3_stmt *put = f->most > 0 ? sql->add : sql->put;

    if (f->value.len == 0)
        return store_db_run(bind(sql->drop, f));
    sqlite3_bind_text(put, 3, f->value.data, (int)f->value.len, SQLITE_STATIC);
    return f->most > 0 ? add(bind(put, f), f) : store_db_run(bind(put, f));
}

int store_fact_get(sqlite3_stmt *sql, struct store_fact *f)
{
    int ret = sqlite3_step(bind(sql, f));

    buf_clear(&f->value);
    f->found = ret == SQLITE_ROW;
    if (f->found)
        put_column(&f->value, sql, 0);
    sqlite3_reset(sql);
    return ret == SQLITE_ROW || ret == SQLITE_DONE ? 0 : -1;
}

/* Whether the row's key begins with the prefix; keys come in order, so that the first that does not is behind
 * all that do. */
static bool has_prefix(sqlite3_stmt *sql, const struct buf *prefix)
{
    size_t len = (size_t)sqlite3_column_bytes(sql, 0);

    return prefix->len == 0 ||
           (len >= prefix->len && memcmp(sqlite3_column_blob(sql, 0), prefix->data, prefix->len) == 0);
}

int store_fact_scan(sqlite3_stmt *sql, struct store_facts *f)
{
    size_t cap = 0;
    int ret = SQLITE_DONE;

    sqlite3_bind_text(sql, 1, f->kind, -1, SQLITE_STATIC);
    bind_key(sql, 2, &f->after);
    bind_key(sql, 3, &f->prefix);
    while (f->count < f->limit && (ret = sqlite3_step(sql)) == SQLITE_ROW && has_prefix(sql, &f->prefix)) {
        struct store_fact_row *row;

        if (f->count == cap) {
            cap = cap > 0 ? cap * 2 : 16;
            f->rows = mem_realloc(f->rows, cap * sizeof *f->rows);
        }
        row = &f->rows[f->count++];
        *row = (struct store_fact_row){0};
        put_column(&row->key, sql, 0);
        put_column(&row->value, sql, 1);
    }
    sqlite3_reset(sql);
    return ret == SQLITE_ROW || ret == SQLITE_DONE ? 0 : -1;
}
