/* store_db.c: the database file itself: opened, its schema made or brought up, its errors put into words. Any
 * thread, with a connection of its own. See store_sqlite.h. */
#include "server/chat/store_sqlite.h"

#include "common/log.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* Fewer merges than usual: a step of the writer's stays short. */
#define WORDS_TABLE                                                                                          \
    "CREATE VIRTUAL TABLE words USING fts5(terms, content='', columnsize=0, detail=none, tokenize='ascii');" \
    "INSERT INTO words(words, rank) VALUES('automerge', 8);"

/* What makes version N of the schema out of version N-1; only ever added to.
 *
 * messages: a row is some messages of a room in order, as the lines that were delivered. id: STORE_KEY of the
 * first message; count: messages in it; time: of the last one; total: bytes that the room had written with
 * it, so that the size of a range is a difference. keys: keys_pack, under the id of the messages. inbox: what
 * is not moved there yet (store_inbox.c). facts: JSON in the eyes of those who keep it. words: the terms of
 * messages (common/words.h), under STORE_KEY; indexed: from which seq to which one those of a room are in
 * there. changes: by which seq a message, its STORE_KEY, was changed last, or removed. */
static const char *const steps[] = {
    "CREATE TABLE rooms(id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, epoch INTEGER NOT NULL, topic TEXT);"
    "CREATE TABLE messages(id INTEGER PRIMARY KEY, count INTEGER NOT NULL, time INTEGER NOT NULL, total INTEGER NOT NULL,"
    " lines BLOB NOT NULL);"
    "CREATE TABLE keys(id INTEGER PRIMARY KEY, keys BLOB NOT NULL);"
    "CREATE TABLE inbox(id INTEGER PRIMARY KEY, parts BLOB NOT NULL);",
    STORE_SQL_FACTS_TABLE,
    WORDS_TABLE
    "CREATE TABLE indexed(room INTEGER PRIMARY KEY, low INTEGER NOT NULL, high INTEGER NOT NULL);"
    "CREATE TABLE changes(id INTEGER PRIMARY KEY, by INTEGER NOT NULL, removed INTEGER NOT NULL);",
    "", /* the inbox has one row, which an older chatd does not know the end of: the writer makes it when it opens */
};

#define WAL_BYTES                                                                                            \
    50331648 /* what is more, after a backup for instance, is given back once it is carried over */

#define VERSION ((int)(sizeof steps / sizeof *steps))

static const char *remedy(int code, int error)
{
    if (error == EROFS)
        return "mount that file system for writing again: it goes on by itself";
    switch (code & 0xff) {
    case SQLITE_FULL:
        return "make space on that disk: it goes on by itself";
    case SQLITE_READONLY:
    case SQLITE_PERM:
    case SQLITE_CANTOPEN:
        return "let chatd write to that file and its directory: it goes on by itself";
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        return "stop chatd, look with chatd --check-data, and put a backup in its place";
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return "end the other program that holds that file: it goes on by itself";
    default:
        return "look at the disk and at the log of the kernel: it goes on by itself once writing works";
    }
}

void store_db_explain(sqlite3 *db, const char *path, char err[STORE_ERROR_SIZE])
{
    int code = db != NULL ? sqlite3_extended_errcode(db) : SQLITE_NOMEM;

    snprintf(err, STORE_ERROR_SIZE, "%s: %s (%s); %s", path, db != NULL ? sqlite3_errmsg(db) : "no memory",
             sqlite3_errstr(code), remedy(code, 0));
}

/* SQLite calls a file damaged also where the disk could not read it. */
static int error_of(sqlite3 *db, int kind, int last_error)
{
    int error = sqlite3_system_errno(db);

    if (kind == SQLITE_IOERR || kind == SQLITE_CANTOPEN)
        return error != 0 ? error : last_error;
    return kind == SQLITE_CORRUPT && (last_error == EIO || last_error == ENXIO) ? last_error : 0;
}

/* As errno is: of what this thread has done last. */
static _Thread_local bool row_is_damaged;

void store_db_row_is_damaged(void)
{
    row_is_damaged = true;
}

void store_db_trouble(sqlite3 *db, struct store_trouble *t)
{
    int last_error = errno, code = sqlite3_extended_errcode(db), kind = code & 0xff;
    int error = error_of(db, kind, last_error);

    bool is_row = kind == SQLITE_OK && row_is_damaged;

    row_is_damaged = false;
    if (is_row)
        kind = code = SQLITE_CORRUPT;
    else if (error != 0 && kind == SQLITE_CORRUPT)
        kind = SQLITE_IOERR;
    t->code = code;
    t->is_damage = kind == SQLITE_CORRUPT || kind == SQLITE_NOTADB;
    t->todo = remedy(kind, error);
    snprintf(t->why, sizeof t->why, "%s%s%s",
             kind == SQLITE_IOERR ? "disk I/O error"
             : is_row             ? "what a row has is damaged"
                                  : sqlite3_errmsg(db),
             error != 0 ? ": " : "", error != 0 ? strerror(error) : "");
}

static int version_of(sqlite3 *db)
{
    sqlite3_stmt *sql;
    int version = -1;

    if (sqlite3_prepare_v2(db, "PRAGMA user_version", -1, &sql, NULL) == SQLITE_OK &&
        sqlite3_step(sql) == SQLITE_ROW)
        version = sqlite3_column_int(sql, 0);
    sqlite3_finalize(sql);
    return version;
}

static bool bring_up(sqlite3 *db, int version)
{
    char text[64];

    for (; version < VERSION; version++) {
        snprintf(text, sizeof text, "PRAGMA user_version=%d; COMMIT", version + 1);
        if (sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL) != SQLITE_OK ||
            sqlite3_exec(db, steps[version], NULL, NULL, NULL) != SQLITE_OK ||
            sqlite3_exec(db, text, NULL, NULL, NULL) != SQLITE_OK)
            return false;
    }
    return true;
}

/* An index of words so damaged that it does not open cannot be dropped either, as that opens it: it is taken out of the
 * schema, and what it consists of is dropped. Everything else in the file is as good as before, and the index
 * fills by itself (store_index.c). */
static bool mend_words(sqlite3 *db)
{
    static const char anew[] = "BEGIN IMMEDIATE; PRAGMA writable_schema=ON;"
                               "DELETE FROM sqlite_schema WHERE name='words'; PRAGMA writable_schema=RESET;"
                               "DROP TABLE IF EXISTS words_data; DROP TABLE IF EXISTS words_idx;"
                               "DROP TABLE IF EXISTS words_config;" WORDS_TABLE "DELETE FROM indexed; COMMIT";
    sqlite3_stmt *sql;
    int ret = sqlite3_prepare_v2(db, "SELECT rowid FROM words LIMIT 0", -1, &sql, NULL);

    sqlite3_finalize(sql);
    if (ret != SQLITE_CORRUPT_VTAB)
        return true; /* any other trouble is told by who uses it */
    ret = sqlite3_exec(db, anew, NULL, NULL, NULL);
    log_event(LOG_ERROR, "search-index", "why=\"it is damaged\" todo=\"%s\"",
              ret == SQLITE_OK ? "nothing: it is being made anew" : "put a backup in its place");
    return ret == SQLITE_OK;
}

sqlite3 *store_db_open(const char *path, bool makes, char err[STORE_ERROR_SIZE])
{
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | (makes ? SQLITE_OPEN_CREATE : 0), version;
    static const char settings[] =
        "PRAGMA page_size=" TEXT_OF(STORE_PAGE) "; PRAGMA journal_mode=WAL; PRAGMA wal_autocheckpoint=0;"
                                                " PRAGMA journal_size_limit=" TEXT_OF(WAL_BYTES);
    sqlite3 *db = NULL;

    if (sqlite3_open_v2(path, &db, flags, NULL) != SQLITE_OK) {
        store_db_explain(db, path, err);
        sqlite3_close(db);
        return NULL;
    }
    sqlite3_busy_timeout(db, 5000);
    sqlite3_extended_result_codes(db, 1);
    version = version_of(db);
    if (version > VERSION) {
        snprintf(err, STORE_ERROR_SIZE, "%s was made by a newer chatd (its version is %d, this one's %d)",
                 path, version, VERSION);
    } else if (version < 0 || sqlite3_exec(db, settings, NULL, NULL, NULL) != SQLITE_OK ||
               (makes && !(bring_up(db, version) && mend_words(db)))) {
        store_db_explain(db, path, err);
    } else {
        return db;
    }
    sqlite3_close(db);
    return NULL;
}

bool store_db_prepare(sqlite3 *db, const char *const *texts, sqlite3_stmt **out, int count,
                      char err[STORE_ERROR_SIZE])
{
    for (int i = 0; i < count; i++) {
        if (sqlite3_prepare_v3(db, texts[i], -1, SQLITE_PREPARE_PERSISTENT, &out[i], NULL) != SQLITE_OK) {
            store_db_explain(db, sqlite3_db_filename(db, "main"), err);
            return false;
        }
    }
    return true;
}

int store_db_run(sqlite3_stmt *sql)
{
    int ret = sqlite3_step(sql);

    sqlite3_reset(sql);
    return ret == SQLITE_DONE || ret == SQLITE_ROW ? 0 : -1;
}
