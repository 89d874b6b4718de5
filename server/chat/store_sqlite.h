/* store_sqlite.h: the store on disk: one SQLite file in the data directory, in WAL mode.
 *
 * One thread writes: it takes all that waits, commits it in one transaction, and posts each job back; what
 * comes meanwhile gathers for the next. Beside it the carrier takes what has been committed from the WAL into the file,
 * and readers answer what rooms no longer have in memory. Each thread has a connection to the database of its own.
 * Private to store*.c and to the server's start. */
#ifndef CHAT_STORE_SQLITE_H
#define CHAT_STORE_SQLITE_H

#include "common/file_id.h"
#include "common/words.h"
#include "server/chat/store.h"

#include <pthread.h>
#include <sqlite3.h>
#include <stdatomic.h>

#define TEXT_OF(number)  TEXT_OF_(number)
#define TEXT_OF_(number) #number

#define STORE_FILE    "chatd.db"
#define STORE_READERS 2

/* A message's place: rooms one behind the other, each in the order of its seq. */
#define STORE_SEQ_BITS       40
#define STORE_KEY(room, seq) ((sqlite3_int64)((room) << STORE_SEQ_BITS | (seq)))
#define STORE_SEQ(key)       ((uint64_t)(key) & ((UINT64_C(1) << STORE_SEQ_BITS) - 1))
#define STORE_ROOM(key)      ((uint64_t)(key) >> STORE_SEQ_BITS)

/* What the connection's last error was, what is to be done about it, and whether the file is not what it
 * should be. errno was set to 0 before what has failed, and tells more. */
struct store_trouble {
    int code; /* SQLite's */
    bool is_damage;
    const char *todo; /* static */
    char why[160];
};
void store_db_trouble(sqlite3 *db, struct store_trouble *t);

/* What has failed was no statement: what lies in a row is not what was put there. For the next store_db_trouble of
 * this thread. */
void store_db_row_is_damaged(void);

/* The database and its WAL, as they were opened: what is written to a file that has been moved away or
 * removed would be lost with this process. */
struct store_files {
    struct file_id db, wal;
};
void store_files_note(struct store_files *f, const char *path);
/* Whether they are where they were; else what is wrong. */
bool store_files_are_there(const struct store_files *f, const char *path, struct store_trouble *t);

enum store_reader_sql {
    SQL_ROOM,
    SQL_FIRST,
    SQL_LAST,
    SQL_KEYS,
    SQL_START,
    SQL_READ,
    SQL_SIZES,
    SQL_READ_INBOX,
    SQL_READ_BEGIN,
    SQL_READ_END,
    SQL_LIST,
    SQL_FACT,
    SQL_FACTS,
    SQL_FIND_INDEXED,
    SQL_FIND_WORD,
    SQL_FIND_ROW,
    SQL_FIND_CHANGE,
    SQL_READER_COUNT
};

struct store_reader {
    sqlite3 *db;
    uint64_t failed_jobs, log_again_us;
    atomic_bool found_damage; /* in the index of words */
    sqlite3_stmt *sql[SQL_READER_COUNT];
};

enum store_writer_sql {
    SQL_BEGIN,
    SQL_COMMIT,
    SQL_ROLLBACK,
    SQL_NEWEST_ROOM,
    SQL_NEW_ROOM,
    SQL_TOPIC,
    SQL_INBOX,
    SQL_INBOX_IS_MADE,
    SQL_INBOX_IS_EMPTY,
    SQL_MESSAGES,
    SQL_PUT_KEYS,
    SQL_NEXT_ROOM,
    SQL_BOUNDS,
    SQL_ROW_AT,
    SQL_DROP,
    SQL_DROP_KEYS,
    SQL_PUT_FACT,
    SQL_ADD_FACT,
    SQL_DROP_FACT,
    SQL_INDEXED,
    SQL_PUT_INDEXED,
    SQL_PUT_WORDS,
    SQL_DROP_WORDS,
    SQL_ROWS,
    SQL_ROWS_BACK,
    SQL_PUT_CHANGE,
    SQL_DROP_CHANGES,
    SQL_PAGES,
    SQL_FREE_PAGES,
    SQL_PAGE_SIZE,
    SQL_WRITER_COUNT
};

#define INDEX_ROOMS 64

/* How far the index of words has come (store_index.c). */
struct store_index {
    bool is_on;
    bool is_swept; /* all rooms have been looked at since the start; then those below are all there are */
    sqlite3_int64 room;         /* the last one looked at */
    uint64_t news[INDEX_ROOMS]; /* rooms of which something was moved to its place */
    size_t news_count;
    uint64_t stepped_us, again_us;
    bool has_found_damage; /* of the file; until a step goes well */
    bool
        has_trouble; /* a statement has failed: why, which the next one of another kind makes SQLite forget */
    struct store_trouble trouble;
    sqlite3_int64 last; /* the key put in last, in this step */
    struct words words;
    struct buf terms, lines;
};

/* What has come of carrying the WAL over. */
struct store_carried {
    int pages, carried; /* that were in it; of them, that are carried over now, or -1 */
    int error;          /* -errno: those are not known to be on the disk; or 0 */
};

/* What the writer knows of the WAL, in pages. */
struct store_wal {
    int page;          /* bytes of one */
    int pages;         /* that the last commit left in it */
    int carried;       /* of them, that are carried over */
    int passes;        /* of the carrier's since the writer did it last; it may still be at the last one */
    bool is_another;   /* it has begun anew since that pass began */
    uint64_t again_us; /* the writer did the last of it, and it has not begun anew: when to try again; or 0 */
    uint64_t wait_us;  /* it has failed: until when it is not tried */
    bool is_unsafe;    /* what was carried over is not on the disk: this file is not written to any more */
    int error;         /* why: an errno */
};

/* A thread that carries over what is in the WAL while the writer goes on (store_carry.c). */
struct store_carrier {
    sqlite3 *db;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t more;
    bool is_started, is_asked, ended;
    struct store_carried found; /* the last time */
};

struct store_writer {
    sqlite3 *db;
    sqlite3_stmt *sql[SQL_WRITER_COUNT];
    const char *path;
    struct buf batch;     /* what this commit puts into the inbox */
    uint64_t inbox_bytes; /* in it */
    uint64_t inbox_then;  /* once what is being written is committed */
    uint64_t newest_ms;   /* of the messages that were moved out of it, ever */
    struct store_wal wal;
    struct store_files files;
    struct store_trouble trouble; /* while it is failing */
    bool is_failing;
    uint64_t failed_jobs, log_again_us, try_again_us;
    uint64_t most_pages; /* that may be in use; 0: any number */
    bool is_over;        /* there are as many: the reason why it is failing */
    struct store_retention retention;
    uint64_t swept_us, look_until_us, retain_log_us;
    sqlite3_int64 swept_room;    /* the last one looked at */
    bool is_powerful;            /* STORE_POWER */
    atomic_uint_fast64_t *rooms; /* where others can see how many there are */
    bool is_checked;             /* store_epoch_check went well */
    struct store_index index;
};

struct store *store_sqlite_open(const struct store_options *options, char err[STORE_ERROR_SIZE]);

/* What a reader does; its thread. */
void store_sqlite_load(void *reader, struct store_job *job);
void store_sqlite_read(void *reader, struct store_job *job);
void store_sqlite_list(void *reader, struct store_job *job);
void store_sqlite_get(void *reader, struct store_job *job);
void store_sqlite_scan(void *reader, struct store_job *job);
void store_reader_fail(struct store_reader *r,
                       struct store_job *job); /* it could not be read: said, logged */

#define STORE_SQL_INBOX "SELECT id FROM inbox ORDER BY id"

/* Facts, in a table and by statements of these texts; 0, or -1 and why is in the connection. */
#define STORE_SQL_FACTS_TABLE                                                                                \
    "CREATE TABLE facts(kind TEXT NOT NULL, key BLOB NOT NULL, value TEXT NOT NULL, PRIMARY KEY(kind, key))" \
    " WITHOUT ROWID"
#define STORE_SQL_PUT_FACT                                                                                   \
    "INSERT INTO facts(kind, key, value) VALUES(?, ?, ?) ON CONFLICT DO UPDATE SET value = excluded.value"
#define STORE_SQL_ADD_FACT                                                                                   \
    "INSERT INTO facts(kind, key, value) SELECT ?1, ?2, ?3"                                                  \
    " WHERE EXISTS(SELECT 1 FROM facts WHERE kind = ?1 AND key = ?2)"                                        \
    " OR (SELECT count(*) FROM (SELECT 1 FROM facts"                                                         \
    " WHERE kind = ?1 AND key >= ?4 AND key < ?5 LIMIT ?6)) < ?6"                                            \
    " ON CONFLICT DO UPDATE SET value = excluded.value"
#define STORE_KIND_SERVER   "server" /* facts of this kind are the server's own, and no objects */
#define STORE_NEWEST_FACT   "newest" /* of all messages, when: ms */
#define STORE_SQL_DROP_FACT "DELETE FROM facts WHERE kind = ? AND key = ?"
#define STORE_SQL_FACT      "SELECT value FROM facts WHERE kind = ? AND key = ?"
#define STORE_SQL_FACTS     "SELECT key, value FROM facts WHERE kind = ? AND key > ? AND key >= ? ORDER BY key"
struct store_fact_sql {
    sqlite3_stmt *put, *add, *drop;
};
int store_fact_put(const struct store_fact_sql *sql, struct store_fact *f);
int store_fact_get(sqlite3_stmt *sql, struct store_fact *f);
int store_fact_scan(sqlite3_stmt *sql, struct store_facts *f);

bool store_reader_open(struct store_reader *r, const char *path, char err[STORE_ERROR_SIZE]);
void store_reader_close(struct store_reader *r);
void store_reader_run(struct store_reader *r, struct store_job *job); /* sets failed and is_damaged */

/* The writer's thread: one transaction for all of them; each job's failed is set. */
bool store_writer_open(struct store_writer *w, const char *path, const struct store_options *options,
                       char err[STORE_ERROR_SIZE]);
void store_writer_put(struct store_writer *w, struct store_job *jobs);

/* The carrier, opened behind the writer; started and ended beside it: 0, or why it can't be (an errno). */
bool store_carrier_open(struct store_carrier *c, const char *path, char err[STORE_ERROR_SIZE]);
int store_carrier_start(struct store_carrier *c);
void store_carrier_end(struct store_carrier *c);
void store_carrier_close(struct store_carrier *c);

/* The writer's, between two commits: a commit has left so many pages in the WAL; has what is in it carried over into
 * the file, if it is much; is_idle: there is a pause in what is written. */
void store_wal_grew(struct store_wal *wal, int pages);
void store_wal_carry(struct store_wal *wal, sqlite3 *db, struct store_carrier *c, bool is_idle);

/* A transaction of its own that moves what is in the inbox, so that readers see all there is; 0 or -1, which
 * is logged. */
int store_writer_tidy(struct store_writer *w);

/* Says so, once, where the file is not written to any more (store_wal.is_unsafe). */
void store_writer_check(struct store_writer *w);

/* Somebody beside the writer's own work has found the file damaged: nothing more is written until it is found
 * good. */
void store_writer_found_damage(struct store_writer *w, const struct store_trouble *t);

#define STORE_PAGE  8192 /* bytes, of a file that is made; one that is there keeps its own */
#define INBOX_BYTES 1048576

/* The inbox. Adds a write's messages to a batch to be. */
void store_inbox_add(struct buf *b, uint64_t room, const struct store_write *one);

/* Inside a transaction; 0 or -1. Puts the batch behind what is in the inbox; where that is too much, moves all of it to its
 * places. Moves what is in it, and the batch. The same for an inbox of any shape, which is then made anew. */
int store_inbox_put(struct store_writer *w);
int store_inbox_move(struct store_writer *w);
int store_inbox_make(struct store_writer *w);

/* What a room said in one turn, as it lies in the inbox: in front of its lines, its keys and its changes, one
 * behind the other. */
struct store_part {
    uint64_t room, first_seq, time_ms;
    uint32_t count, len, keys_len, changes_len;
};

/* Every part in the inbox, by room and seq; room: only of that one, or 0. sql: its rows' numbers in order. 0, or -1
 * where it can't be read or is damaged. */
int store_inbox_each(sqlite3_stmt *sql, uint64_t room, void *arg,
                     void (*fn)(void *arg, const struct store_part *part, const char *lines,
                                const char *keys));
void store_writer_close(struct store_writer *w);

/* When it has been opened: where the end of what clients have seen may be missing, all rooms get a new epoch. 0, or -1
 * and why is in the connection. At its end: nothing is missing. */
int store_epoch_check(struct store_writer *w);
void store_epoch_end(struct store_writer *w);
int store_epoch_mark_copy(sqlite3 *copy); /* that it is one; 0 or -1 */

/* Lets go of some of what is beyond the retention, if it is time to. */
void store_retain(struct store_writer *w);

/* Makes the file, if it is not there, for this user alone: passwords' verifiers are kept in it. Its WAL gets
 * the same mode. */
void store_make_private(const char *path);

/* The index of words, by the writer between commits: whether there is something to do, and now (busy: there
 * is also something to write); some milliseconds' worth of it. */
bool store_index_is_due(const struct store_writer *w);
bool store_index_may_step(struct store_writer *w, bool is_busy);
void store_index_step(struct store_writer *w);
void store_index_remake(
    struct store_writer *w); /* it is damaged: all that it has can be had from the messages */
void store_index_trouble(struct store_writer *w,
                         struct store_trouble *t);            /* why a step, or forgetting, has failed */
void store_index_note(struct store_writer *w, uint64_t room); /* messages of it have come to their place */

/* Inside a transaction: takes messages with keys from low to *end out of the index, or as many as there is
 * time for up to look_until_us; *end is then lower. 0 or -1. */
int store_index_forget(struct store_writer *w, sqlite3_int64 low, sqlite3_int64 *end);
void store_index_deinit(struct store_index *index);

/* Opens the file, makes or brings up its schema. NULL with a sentence in err. */
sqlite3 *store_db_open(const char *path, bool makes, char err[STORE_ERROR_SIZE]);
bool store_db_prepare(sqlite3 *db, const char *const *texts, sqlite3_stmt **out, int count,
                      char err[STORE_ERROR_SIZE]);
void store_db_explain(sqlite3 *db, const char *path, char err[STORE_ERROR_SIZE]);

/* Done and back: run to its end, or -1 (and why is in the connection). The statement is reset and unbound. */
int store_db_run(sqlite3_stmt *sql);

/* chatd --check-data and --backup: whether all is well; what they find goes to stdout, what is wrong to
 * stderr. */
bool store_check(const char *dir);
sqlite3 *store_check_open(const char *dir,
                          struct buf *path); /* NULL: told to stderr; path: its name, in any case */
bool store_backup(const char *dir, const char *to);

#endif
