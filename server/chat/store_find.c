/* store_find.c: a search, by the thread that the store on disk has for them. See search.h and store_sqlite.h.
 *
 * The index of words says which messages may match; their lines, read where they lie, say whether they do,
 * and the table of changes whether that is what they say now. Of several words the one that is rarest at that
 * place leads. What the index has not got is looked through as it is: the inbox, what has just come from
 * there, and what an index that is still being made has not come to. All is of one moment. */
#include "server/chat/search.h"
#include "server/chat/store_sqlite.h"

#include "common/clock.h"
#include "common/mem.h"

#include <stdlib.h>

#define TERMS     8       /* of a query, that are looked up */
#define BATCH     256     /* messages that the index is asked for at a time */
#define ROWS      4       /* of messages looked through at a time */
#define LONG_US   1000000 /* then it is given up */
#define CHECK_OPS 10000   /* of SQLite's, between two looks at the clock */

/* A room in the store. */
struct place {
    uint64_t id;          /* 0: nothing is kept of it */
    uint64_t low, high;   /* in the index */
    uint64_t inbox_first; /* the first seq in the inbox */
};

/* What is in the inbox: a message that matches, or a change. */
struct fresh {
    size_t room, at, len; /* at: in finder.text */
    struct search_seen seen;
};

struct finder {
    struct store_reader *r;
    struct search *s;
    struct place *places;
    struct words_term terms[TERMS];
    size_t term_count;
    sqlite3_int64 keys[TERMS][BATCH]; /* the newest first */
    size_t key_count[TERMS];
    struct fresh *fresh;
    size_t fresh_count, fresh_cap;
    struct buf text;
    struct {
        sqlite3_int64 id;
        uint64_t by, removes;
    } * changes;
    size_t change_count, change_cap;
    sqlite3_int64 row_key; /* the row of messages looked at last, */
    uint64_t row_count;    /* 0: none, */
    struct buf row;        /* and its lines */
    uint64_t until_us, give_up_us;
    bool has_failed;
};

/* ---- the inbox ---- */

static void take_changes(struct finder *f, const struct store_part *part, const char *data)
{
    struct store_change change;

    for (uint32_t at = 0; at + sizeof change <= part->changes_len; at += sizeof change) {
        memcpy(&change, data + at, sizeof change);
        if (f->change_count == f->change_cap) {
            f->change_cap = f->change_cap > 0 ? f->change_cap * 2 : 16;
            f->changes = mem_realloc(f->changes, f->change_cap * sizeof *f->changes);
        }
        f->changes[f->change_count].id = STORE_KEY(part->room, change.of);
        f->changes[f->change_count].by = change.seq;
        f->changes[f->change_count++].removes = change.removes;
    }
}

static void take_fresh(struct finder *f, size_t room, const char *line, size_t len)
{
    struct search_seen seen;

    if (!search_look(f->s, line, len, &seen))
        return;
    if (f->fresh_count == f->fresh_cap) {
        f->fresh_cap = f->fresh_cap > 0 ? f->fresh_cap * 2 : 16;
        f->fresh = mem_realloc(f->fresh, f->fresh_cap * sizeof *f->fresh);
    }
    f->fresh[f->fresh_count++] = (struct fresh){room, f->text.len, len, seen};
    buf_put(&f->text, line, len);
}

static void take_part(void *arg, const struct store_part *part, const char *lines, const char *keys)
{
    struct finder *f = arg;
    const char *end = lines + part->len, *next;
    size_t i = 0;

    while (i < f->s->room_count && f->places[i].id != part->room)
        i++;
    if (i == f->s->room_count)
        return;
    if (f->places[i].inbox_first == 0)
        f->places[i].inbox_first = part->first_seq;
    take_changes(f, part, keys + part->keys_len);
    for (; lines < end && (next = memchr(lines, '\n', (size_t)(end - lines))) != NULL; lines = next + 1)
        take_fresh(f, i, lines, (size_t)(next + 1 - lines));
}

/* ---- one message ---- */

/* Whether that is what its message says now. */
static bool is_current(struct finder *f, const struct place *p, const struct search_seen *seen)
{
    sqlite3_int64 id = STORE_KEY(p->id, seen->edits > 0 ? seen->edits : seen->seq);
    sqlite3_stmt *sql = f->r->sql[SQL_FIND_CHANGE];
    bool is_removed = false;
    uint64_t by = 0;

    sqlite3_bind_int64(sql, 1, id);
    if (sqlite3_step(sql) == SQLITE_ROW) {
        by = (uint64_t)sqlite3_column_int64(sql, 0);
        is_removed = sqlite3_column_int64(sql, 1) != 0;
    }
    sqlite3_reset(sql);
    for (size_t i = 0; i < f->change_count; i++)
        if (f->changes[i].id == id) {
            by = f->changes[i].by;
            is_removed = is_removed || f->changes[i].removes != 0;
        }
    return !is_removed && by == (seen->edits > 0 ? seen->seq : 0);
}

/* The row of messages that has that key, or the last one before it, of its room; false where there is
 * none. */
static bool fetch_row(struct finder *f, const struct place *p, sqlite3_int64 key)
{
    sqlite3_stmt *sql = f->r->sql[SQL_FIND_ROW];
    int ret;

    if (f->row_count > 0 && f->row_key <= key && key < f->row_key + (sqlite3_int64)f->row_count)
        return true;
    f->row_count = 0;
    sqlite3_bind_int64(sql, 1, STORE_KEY(p->id, 0));
    sqlite3_bind_int64(sql, 2, key);
    ret = sqlite3_step(sql);
    if (ret == SQLITE_ROW) {
        f->row_key = sqlite3_column_int64(sql, 0);
        f->row_count = (uint64_t)sqlite3_column_int64(sql, 1);
        buf_clear(&f->row);
        buf_put(&f->row, sqlite3_column_blob(sql, 2), (size_t)sqlite3_column_bytes(sql, 2));
    }
    sqlite3_reset(sql);
    f->has_failed = f->has_failed || (ret != SQLITE_ROW && ret != SQLITE_DONE);
    return ret == SQLITE_ROW;
}

/* Line number n of the row; NULL where it has fewer. */
static const char *find_line(const struct finder *f, uint64_t n, size_t *len)
{
    const char *line = f->row.data, *end = line + f->row.len, *next;

    for (;; line = next + 1) {
        next = line < end ? memchr(line, '\n', (size_t)(end - line)) : NULL;
        if (next == NULL)
            return NULL;
        if (n-- == 0)
            break;
    }
    *len = (size_t)(next + 1 - line);
    return line;
}

/* Looks at the message of that key, in the row at hand. */
static void look_at(struct finder *f, size_t i, sqlite3_int64 key)
{
    struct search_room *r = &f->s->rooms[i];
    struct search_seen seen;
    size_t len;
    const char *line = find_line(f, (uint64_t)(key - f->row_key), &len);
    bool is_match;

    if (line == NULL)
        return;
    is_match = search_look(f->s, line, len, &seen);
    if (seen.time_ms > 0)
        r->bound_ms = seen.time_ms;
    if (is_match && is_current(f, &f->places[i], &seen))
        search_add(f->s, r, &seen, line, len);
}

/* ---- a room, some of it at a time; each lowers its `at` ---- */

static void look_through_inbox(struct finder *f, size_t i)
{
    struct search_room *r = &f->s->rooms[i];

    for (size_t n = f->fresh_count; n-- > 0;) {
        const struct fresh *fresh = &f->fresh[n];

        if (fresh->room != i || fresh->seen.seq > r->at || !is_current(f, &f->places[i], &fresh->seen))
            continue;
        search_add(f->s, r, &fresh->seen, f->text.data + fresh->at, fresh->len);
        if (search_is_full(f->s, r)) {
            r->at = fresh->seen.seq - 1;
            return;
        }
    }
    r->at = f->places[i].inbox_first - 1;
}

/* Rows as they are, down to what is indexed (or, below that, to the first one). */
static void look_through_rows(struct finder *f, size_t i)
{
    struct search_room *r = &f->s->rooms[i];
    const struct place *p = &f->places[i];
    uint64_t floor = r->at > p->high ? p->high : 0;

    for (int rows = 0; rows < ROWS && r->at > floor && (rows == 0 || clock_mono_us() < f->until_us); rows++) {
        sqlite3_int64 last, key = STORE_KEY(p->id, r->at);

        if (!fetch_row(f, p, key)) {
            r->at = 0;
            return;
        }
        last = f->row_key + (sqlite3_int64)f->row_count - 1;
        for (key = key < last ? key : last; key >= f->row_key && STORE_SEQ(key) > floor; key--) {
            look_at(f, i, key);
            r->at = STORE_SEQ(key) - 1;
            if (search_is_full(f->s, r))
                return;
        }
        if (STORE_SEQ(last) <= floor)
            r->at = floor;
    }
}

static bool has_key(const sqlite3_int64 *keys, size_t count, sqlite3_int64 key)
{
    size_t low = 0, high = count;

    while (low < high) {
        size_t middle = (low + high) / 2;

        if (keys[middle] == key)
            return true;
        if (keys[middle] > key)
            low = middle + 1;
        else
            high = middle;
    }
    return false;
}

/* The newest messages from seq low to high that are indexed under a term. */
static void ask_index(struct finder *f, size_t term, const struct place *p, uint64_t low, uint64_t high)
{
    sqlite3_stmt *sql = f->r->sql[SQL_FIND_WORD];
    const struct words_term *t = &f->terms[term];
    char match[sizeof t->text + 2];
    int ret;

    match[0] = match[t->len + 1] = '"';
    memcpy(match + 1, t->text, t->len);
    sqlite3_bind_text(sql, 1, match, (int)t->len + 2, SQLITE_STATIC);
    sqlite3_bind_int64(sql, 2, STORE_KEY(p->id, low));
    sqlite3_bind_int64(sql, 3, STORE_KEY(p->id, high));
    sqlite3_bind_int(sql, 4, BATCH);
    f->key_count[term] = 0;
    while ((ret = sqlite3_step(sql)) == SQLITE_ROW)
        f->keys[term][f->key_count[term]++] = sqlite3_column_int64(sql, 0);
    sqlite3_reset(sql);
    f->has_failed = f->has_failed || ret != SQLITE_DONE;
    if ((ret & 0xff) == SQLITE_CORRUPT)
        atomic_store(&f->r->found_damage, true);
}

/* The term that is the rarest here: whose batch reaches down the farthest. */
static size_t find_rarest(const struct finder *f)
{
    size_t best = 0;

    for (size_t t = 1; t < f->term_count; t++) {
        size_t n = f->key_count[t], most = f->key_count[best];

        if (n < BATCH ? n < most : most == BATCH && f->keys[t][n - 1] < f->keys[best][most - 1])
            best = t;
    }
    return best;
}

/* Whether other terms, as far as is known of them, leave it possible that a message has them all. */
static bool may_match(const struct finder *f, size_t rarest, sqlite3_int64 key)
{
    for (size_t t = 0; t < f->term_count; t++) {
        size_t n = f->key_count[t];

        if (t != rarest && (n < BATCH || key >= f->keys[t][n - 1]) && !has_key(f->keys[t], n, key))
            return false;
    }
    return true;
}

static void look_up(struct finder *f, size_t i)
{
    struct search_room *r = &f->s->rooms[i];
    const struct place *p = &f->places[i];
    size_t rarest, n;

    for (size_t t = 0; t < f->term_count; t++) {
        ask_index(f, t, p, p->low, r->at);
        if (f->key_count[t] == 0) {
            r->at = p->low - 1;
            return;
        }
    }
    rarest = find_rarest(f);
    n = f->key_count[rarest];
    for (size_t k = 0; k < n; k++) {
        sqlite3_int64 key = f->keys[rarest][k];

        if (!may_match(f, rarest, key) || !fetch_row(f, p, key))
            continue;
        look_at(f, i, key);
        r->at = STORE_SEQ(key) - 1;
        if (search_is_full(f->s, r) || clock_mono_us() >= f->until_us)
            return;
    }
    r->at = n < BATCH ? p->low - 1 : STORE_SEQ(f->keys[rarest][n - 1]) - 1;
}

static bool advance(void *arg, size_t i)
{
    struct finder *f = arg;
    struct search_room *r = &f->s->rooms[i];
    const struct place *p = &f->places[i];

    if (f->has_failed)
        return false;
    if (p->id == 0)
        r->at = 0;
    else if (p->inbox_first > 0 && r->at >= p->inbox_first)
        look_through_inbox(f, i);
    else if (r->at > p->high || r->at < p->low)
        look_through_rows(f, i);
    else
        look_up(f, i);
    return r->at > 0;
}

/* ---- all of it ---- */

static int find_places(struct finder *f)
{
    for (size_t i = 0; i < f->s->room_count; i++) {
        const struct search_room *r = &f->s->rooms[i];
        struct place *p = &f->places[i];
        sqlite3_stmt *sql = f->r->sql[SQL_ROOM];
        int ret;

        sqlite3_bind_text(sql, 1, r->name, r->name_len, SQLITE_STATIC);
        ret = sqlite3_step(sql);
        if (ret == SQLITE_ROW)
            p->id = (uint64_t)sqlite3_column_int64(sql, 0);
        sqlite3_reset(sql);
        if (ret != SQLITE_ROW && ret != SQLITE_DONE)
            return -1;
        sql = f->r->sql[SQL_FIND_INDEXED];
        sqlite3_bind_int64(sql, 1, (sqlite3_int64)p->id);
        ret = sqlite3_step(sql);
        if (ret == SQLITE_ROW) {
            p->low = (uint64_t)sqlite3_column_int64(sql, 0);
            p->high = (uint64_t)sqlite3_column_int64(sql, 1);
        }
        sqlite3_reset(sql);
        if (ret != SQLITE_ROW && ret != SQLITE_DONE)
            return -1;
    }
    return 0;
}

static int is_too_long(void *arg)
{
    const struct finder *f = arg;

    return clock_mono_us() >= f->give_up_us;
}

static void finder_deinit(struct finder *f)
{
    free(f->places);
    free(f->fresh);
    free(f->changes);
    buf_deinit(&f->text);
    buf_deinit(&f->row);
}

void store_sqlite_search(void *reader, struct store_job *job)
{
    uint64_t now = clock_mono_us();
    struct search *s = (struct search *)job;
    struct finder f = {.r = reader, .s = s, .until_us = now + SEARCH_MS * 1000, .give_up_us = now + LONG_US};

    f.places = mem_zalloc(s->room_count * sizeof *f.places);
    f.term_count = words_terms(&s->query, f.terms, TERMS);
    sqlite3_progress_handler(f.r->db, CHECK_OPS, is_too_long, &f);
    if (store_db_run(f.r->sql[SQL_READ_BEGIN]) != 0 || find_places(&f) != 0 ||
        store_inbox_each(f.r->sql[SQL_READ_INBOX], 0, &f, take_part) != 0)
        f.has_failed = true;
    else
        search_run(s, f.until_us, &f, advance);
    if (f.has_failed && (sqlite3_errcode(f.r->db) & 0xff) == SQLITE_INTERRUPT)
        s->took_too_long = true;
    else if (f.has_failed)
        store_reader_fail(f.r, job);
    sqlite3_progress_handler(f.r->db, 0, NULL, NULL);
    if (!sqlite3_get_autocommit(f.r->db))
        store_db_run(f.r->sql[SQL_READ_END]);
    finder_deinit(&f);
}
