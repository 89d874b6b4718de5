/* store_check.c: chatd --check-data: a look at the whole of what is kept. It may be run beside a chatd that
 * serves. The main thread. See store_sqlite.h. */
#include "server/chat/store_sqlite.h"

#include "protocol/codec.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FAULTS_TOLD 20
#define SAMPLE      5000 /* messages that are looked up in the index of words, about */

struct look {
    uint64_t room, next_seq; /* where the row before it has ended */
    uint64_t rooms, messages, facts, faults, unindexed;
    sqlite3_stmt *newest; /* of a room, where it belongs; while the inbox is looked at */
};

sqlite3 *store_check_open(const char *dir, struct buf *path)
{
    char err[STORE_ERROR_SIZE];
    sqlite3 *db;

    buf_putf(path, "%s/%s", dir, STORE_FILE);
    buf_put(path, "", 1);
    if (access(path->data, F_OK) != 0 && errno == ENOENT) {
        fprintf(stderr, "chatd: %s is not there: --data DIR says where to look\n", path->data);
        return NULL;
    }
    db = store_db_open(path->data, false, err);
    if (db == NULL)
        fprintf(stderr, "chatd: %s\n", err);
    return db;
}

static void tell_fault(struct look *look, uint64_t room, uint64_t seq, const char *what)
{
    if (look->faults++ < FAULTS_TOLD)
        fprintf(stderr, "chatd: room %llu, seq %llu: %s\n", (unsigned long long)room, (unsigned long long)seq,
                what);
}

/* Whether the lines are count messages with the numbers from seq on. */
static bool lines_fit(const char *data, size_t len, uint64_t seq, uint64_t count)
{
    const char *end = data + len;

    while (data < end && count > 0) {
        const char *next = memchr(data, '\n', (size_t)(end - data));

        if (next == NULL || next - data < 20 || memcmp(data, "{\"type\":\"msg\"", 13) != 0 ||
            codec_msg_seq(data, (size_t)(next - data)) != seq)
            return false;
        data = next + 1;
        seq++;
        count--;
    }
    return data == end && count == 0;
}

static void look_at_row(struct look *look, sqlite3_stmt *sql)
{
    sqlite3_int64 key = sqlite3_column_int64(sql, 0);
    uint64_t room = STORE_ROOM(key), seq = STORE_SEQ(key), count = (uint64_t)sqlite3_column_int64(sql, 1);

    if (room != look->room) {
        look->rooms++;
        if (sqlite3_column_type(sql, 3) == SQLITE_NULL)
            tell_fault(look, room, seq, "messages of a room that is not there");
    } else if (seq != look->next_seq) {
        tell_fault(look, room, seq,
                   seq > look->next_seq ? "messages before it are missing" : "messages stand twice");
    }
    if (!lines_fit(sqlite3_column_blob(sql, 2), (size_t)sqlite3_column_bytes(sql, 2), seq, count))
        tell_fault(look, room, seq, "its lines are not the messages they should be");
    look->room = room;
    look->next_seq = seq + count;
    look->messages += count;
}

/* Where the inbox begins to speak of a room: what is in its place already. */
static void look_at_newest(struct look *look, uint64_t room)
{
    look->room = room;
    look->next_seq = 0;
    sqlite3_bind_int64(look->newest, 1, STORE_KEY(room, 0));
    sqlite3_bind_int64(look->newest, 2, STORE_KEY(room + 1, 0) - 1);
    if (sqlite3_step(look->newest) == SQLITE_ROW)
        look->next_seq = STORE_SEQ(sqlite3_column_int64(look->newest, 0)) +
                         (uint64_t)sqlite3_column_int64(look->newest, 1);
    else
        look->rooms++;
    sqlite3_reset(look->newest);
}

static void look_at_part(void *arg, const struct store_part *part, const char *lines, const char *keys)
{
    struct look *look = arg;

    (void)keys;
    if (part->room != look->room)
        look_at_newest(look, part->room);
    if (look->next_seq != 0 && part->first_seq != look->next_seq)
        tell_fault(look, part->room, part->first_seq,
                   part->first_seq > look->next_seq ? "messages before it are missing"
                                                    : "messages stand twice");
    look->next_seq = part->first_seq + part->count;
    if (!lines_fit(lines, part->len, part->first_seq, part->count))
        tell_fault(look, part->room, part->first_seq, "its lines are not the messages they should be");
    look->messages += part->count;
}

/* What is not moved to its place yet. */
static int look_at_inbox(sqlite3 *db, struct look *look)
{
    sqlite3_stmt *sql = NULL;
    int ret = -1;

    look->room = 0;
    if (sqlite3_prepare_v2(db,
                           "SELECT id, count FROM messages WHERE id BETWEEN ? AND ? ORDER BY id DESC LIMIT 1",
                           -1, &look->newest, NULL) == SQLITE_OK &&
        sqlite3_prepare_v2(db, STORE_SQL_INBOX, -1, &sql, NULL) == SQLITE_OK)
        ret = store_inbox_each(sql, 0, look, look_at_part);
    sqlite3_finalize(sql);
    sqlite3_finalize(look->newest);
    return ret;
}

/* Accounts, rights and the like: each is an object, but what is the server's own. A file of the first version
 * has none. */
static int look_at_facts(sqlite3 *db, struct look *look)
{
    sqlite3_stmt *sql;
    int ret;

    if (sqlite3_table_column_metadata(db, NULL, "facts", "value", NULL, NULL, NULL, NULL, NULL) != SQLITE_OK)
        return 0;
    ret = sqlite3_prepare_v2(
        db,
        "SELECT kind, CAST(key AS TEXT), length(kind) > 0 AND length(key) <= ?1 AND length(CAST(value AS BLOB)) <= ?2 AND"
        " (kind = 'server' OR (json_valid(value) AND substr(value, 1, 1) = '{')) FROM facts ORDER BY kind, key",
        -1, &sql, NULL);
    if (ret == SQLITE_OK) {
        sqlite3_bind_int(sql, 1, STORE_FACT_KEY_MAX);
        sqlite3_bind_int(sql, 2, STORE_FACT_MAX);
    }
    while (ret == SQLITE_OK && (ret = sqlite3_step(sql)) == SQLITE_ROW) {
        look->facts++;
        if (!sqlite3_column_int(sql, 2) && look->faults++ < FAULTS_TOLD)
            fprintf(stderr, "chatd: %s \"%s\": it is not what it should be\n", sqlite3_column_text(sql, 0),
                    sqlite3_column_text(sql, 1));
        ret = SQLITE_OK;
    }
    sqlite3_finalize(sql);
    return ret == SQLITE_DONE ? 0 : -1;
}

static int look_at_messages(sqlite3 *db, struct look *look)
{
    sqlite3_stmt *sql;
    int ret = sqlite3_prepare_v2(
        db,
        "SELECT m.id, m.count, m.lines, r.id FROM messages m LEFT JOIN rooms r ON r.id = m.id >> 40"
        " ORDER BY m.id",
        -1, &sql, NULL);

    while (ret == SQLITE_OK && (ret = sqlite3_step(sql)) == SQLITE_ROW) {
        look_at_row(look, sql);
        ret = SQLITE_OK;
    }
    sqlite3_finalize(sql);
    return ret == SQLITE_DONE ? 0 : -1;
}

/* SQLite's own look at its file. */
static int look_at_file(sqlite3 *db, struct look *look)
{
    sqlite3_stmt *sql;
    int ret = sqlite3_prepare_v2(db, "PRAGMA integrity_check(20)", -1, &sql, NULL);

    while (ret == SQLITE_OK && (ret = sqlite3_step(sql)) == SQLITE_ROW) {
        const char *text = (const char *)sqlite3_column_text(sql, 0);

        if (text != NULL && strcmp(text, "ok") != 0) {
            fprintf(stderr, "chatd: %s\n", text);
            look->faults++;
        }
        ret = SQLITE_OK;
    }
    sqlite3_finalize(sql);
    return ret == SQLITE_DONE ? 0 : -1;
}

/* Whether a message that is in the range which is indexed is found under each of its terms. */
static bool is_indexed(sqlite3_stmt *find, sqlite3_int64 key, char *line, size_t len, struct words *words)
{
    const struct value *text;
    struct buf terms = {0};
    struct message m;
    const char *where;
    bool found = true;

    if (codec_decode(line, len, &m, &where) != CODEC_OK ||
        (text = message_get_kind(&m, FIELD_TEXT, VALUE_STRING)) == NULL)
        return true; /* told already */
    words_split(words, text->text, text->len);
    words_put_terms(&terms, words);
    for (size_t at = 0; found && at < terms.len;) {
        char *end = memchr(terms.data + at, ' ', terms.len - at);
        struct buf match = {0};

        buf_putf(&match, "\"%.*s\"", (int)(end - terms.data - (ptrdiff_t)at), terms.data + at);
        sqlite3_bind_text(find, 1, match.data, (int)match.len, SQLITE_STATIC);
        sqlite3_bind_int64(find, 2, key);
        found = sqlite3_step(find) == SQLITE_ROW;
        sqlite3_reset(find);
        buf_deinit(&match);
        at = (size_t)(end + 1 - terms.data);
    }
    buf_deinit(&terms);
    return found;
}

/* The first message of each row of the sample, where it is indexed. */
static int look_up_sample(struct look *look, sqlite3_stmt *rows, sqlite3_stmt *find)
{
    struct words words = {0};
    int ret;

    while ((ret = sqlite3_step(rows)) == SQLITE_ROW) {
        sqlite3_int64 key = sqlite3_column_int64(rows, 0);
        const char *data = sqlite3_column_blob(rows, 1);
        const char *end = data != NULL ? memchr(data, '\n', (size_t)sqlite3_column_bytes(rows, 1)) : NULL;
        struct buf line = {0};

        if (end == NULL)
            continue;
        buf_put(&line, data, (size_t)(end - data));
        if (!is_indexed(find, key, line.data, line.len, &words))
            look->unindexed++;
        buf_deinit(&line);
    }
    words_deinit(&words);
    return ret == SQLITE_DONE ? 0 : -1;
}

/* A sample of what the index says that it has. */
static int look_at_index(sqlite3 *db, struct look *look)
{
    sqlite3_stmt *rows = NULL, *find = NULL;
    int ret = -1;

    if (sqlite3_table_column_metadata(db, NULL, "indexed", NULL, NULL, NULL, NULL, NULL, NULL) != SQLITE_OK)
        return 0; /* of an older chatd */

    if (sqlite3_prepare_v2(
            db,
            "SELECT m.id, m.lines FROM indexed i JOIN messages m ON m.id BETWEEN i.room << 40 | i.low AND"
            " i.room << 40 | i.high WHERE m.id % ? = 0",
            -1, &rows, NULL) == SQLITE_OK &&
        sqlite3_prepare_v2(db, "SELECT 1 FROM words WHERE words MATCH ? AND rowid = ?", -1, &find, NULL) ==
            SQLITE_OK) {
        sqlite3_bind_int64(rows, 1, look->messages > SAMPLE ? (sqlite3_int64)(look->messages / SAMPLE) : 1);
        ret = look_up_sample(look, rows, find);
    }
    sqlite3_finalize(rows);
    sqlite3_finalize(find);
    return ret;
}

bool store_check(const char *dir)
{
    struct look look = {0};
    struct buf path = {0};
    struct store_trouble t;
    sqlite3 *db = store_check_open(dir, &path);
    bool is_good = false;

    if (db == NULL) {
        buf_deinit(&path);
        return false;
    }
    errno = 0;
    if (sqlite3_exec(db, "BEGIN", NULL, NULL, NULL) != SQLITE_OK || look_at_file(db, &look) != 0 ||
        look_at_messages(db, &look) != 0 || look_at_inbox(db, &look) != 0 || look_at_facts(db, &look) != 0 ||
        look_at_index(db, &look) != 0) {
        store_db_trouble(db, &t);
        fprintf(stderr, "chatd: %s: %s; %s\n", path.data, t.why, t.todo);
    } else if (look.unindexed > 0 && look.faults == 0) {
        fprintf(
            stderr,
            "chatd: %s: all messages are there, but searches don't find all; to have the index made anew, stop chatd, then:\n"
            "sqlite3 %s \"INSERT INTO words(words) VALUES('delete-all'); DELETE FROM indexed\"\n",
            path.data, path.data);
    } else if (look.faults > 0) {
        fprintf(stderr, "chatd: %s: %llu faults; put a backup in its place\n", path.data,
                (unsigned long long)look.faults);
    } else {
        printf("%s: good: %llu messages in %llu rooms, %llu facts\n", path.data,
               (unsigned long long)look.messages, (unsigned long long)look.rooms,
               (unsigned long long)look.facts);
        is_good = true;
    }
    sqlite3_close(db);
    buf_deinit(&path);
    return is_good;
}
