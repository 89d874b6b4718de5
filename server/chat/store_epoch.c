/* store_epoch.c: whether what is kept is all that clients may have seen. Where it is not, each room's order is
 * another one from then on (a new epoch): its numbers are given out a second time, and who had the first would
 * take what comes under them for what he has. The writer's thread, when it starts and ends. See store_sqlite.h.
 *
 * Two ways lead there. A copy of --backup is put in the place of what went on behind it: so a copy is marked, in
 * the header of its file. And with --durability process the end of what was written may be gone when the machine
 * has stopped: so the store says in a fact which run of the machine it was used in, and takes that back, with an
 * fsync, at its end. */
#include "server/chat/store_sqlite.h"

#include "common/boot.h"
#include "common/clock.h"
#include "common/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COPY_MARK 1667785571 /* of application_id: "chcc" */
#define BOOT_FACT "kind = 'server' AND key = CAST('boot' AS BLOB)"

int store_epoch_mark_copy(sqlite3 *copy)
{
    char sql[96];

    /* Without a WAL, so that all is in the one file that is given its name next. */
    snprintf(sql, sizeof sql, "PRAGMA journal_mode=DELETE; PRAGMA application_id=%d", COPY_MARK);
    return sqlite3_exec(copy, sql, NULL, NULL, NULL) == SQLITE_OK ? 0 : -1;
}

/* The first column of the only row; "" where there is none. 0 or -1. */
static int ask(sqlite3 *db, const char *text, char *out, size_t size)
{
    sqlite3_stmt *sql;
    int ret;

    out[0] = '\0';
    if (sqlite3_prepare_v2(db, text, -1, &sql, NULL) != SQLITE_OK)
        return -1;
    ret = sqlite3_step(sql);
    if (ret == SQLITE_ROW)
        snprintf(out, size, "%s", (const char *)sqlite3_column_text(sql, 0));
    sqlite3_finalize(sql);
    return ret == SQLITE_ROW || ret == SQLITE_DONE ? 0 : -1;
}

/* How far accounts have read stays true: no mark is beyond what is kept, because it was written behind that. */
static int begin_new_orders(struct store_writer *w)
{
    char newest[32], sql[512];
    unsigned long long epoch = clock_wall_us() / 1000, last;

    if (ask(w->db, "SELECT coalesce(max(epoch), 0) FROM rooms", newest, sizeof newest) != 0 ||
        sscanf(newest, "%llu", &last) != 1)
        return -1;
    if (epoch <= last)
        epoch = last + 1;
    snprintf(
        sql, sizeof sql,
        "BEGIN IMMEDIATE; UPDATE rooms SET epoch = %llu;"
        "UPDATE facts SET value = json_set(value, '$.epoch', %llu) WHERE kind = 'read' AND json_valid(value);"
        "DELETE FROM facts WHERE " BOOT_FACT "; PRAGMA application_id = 0; COMMIT",
        epoch, epoch);
    return sqlite3_exec(w->db, sql, NULL, NULL, NULL) == SQLITE_OK ? 0 : -1;
}

static int put_boot(struct store_writer *w, const char *boot, const char *last_boot)
{
    char sql[160 + BOOT_ID_SIZE];

    if (w->is_powerful)
        boot = "";
    if (strcmp(boot, last_boot) == 0)
        return 0;
    if (boot[0] != '\0')
        snprintf(
            sql, sizeof sql,
            "INSERT OR REPLACE INTO facts(kind, key, value) VALUES('server', CAST('boot' AS BLOB), '%s')",
            boot);
    else
        snprintf(sql, sizeof sql, "DELETE FROM facts WHERE " BOOT_FACT);
    return sqlite3_exec(w->db, sql, NULL, NULL, NULL) == SQLITE_OK ? 0 : -1;
}

static int load_newest(struct store_writer *w)
{
    char text[32];

    if (ask(w->db,
            "SELECT value FROM facts WHERE kind = 'server' AND key = CAST('" STORE_NEWEST_FACT "' AS BLOB)",
            text, sizeof text) != 0)
        return -1;
    w->newest_ms = strtoull(text, NULL, 10);
    return 0;
}

int store_epoch_check(struct store_writer *w)
{
    char mark[16], last_boot[BOOT_ID_SIZE], boot[BOOT_ID_SIZE], path[LOG_QUOTED_SIZE];
    bool is_copy, has_stopped;

    boot_id(boot);
    if (load_newest(w) != 0 || ask(w->db, "PRAGMA application_id", mark, sizeof mark) != 0 ||
        ask(w->db, "SELECT value FROM facts WHERE " BOOT_FACT, last_boot, sizeof last_boot) != 0)
        return -1;
    is_copy = strtol(mark, NULL, 10) == COPY_MARK;
    has_stopped = last_boot[0] != '\0' && strcmp(last_boot, boot) != 0;
    if (is_copy || has_stopped) {
        if (begin_new_orders(w) != 0)
            return -1;
        log_event(LOG_WARN, "storage-new-epochs", "file=%s why=\"%s\"", log_quote_text(w->path, path),
                  is_copy ? "it is a copy: what came behind it may have been seen"
                          : "the machine has stopped: the last that was acknowledged may be lost");
    }
    w->is_checked = put_boot(w, boot, has_stopped || is_copy ? "" : last_boot) == 0;
    return w->is_checked ? 0 : -1;
}

void store_epoch_end(struct store_writer *w)
{
    if (w->is_checked && !w->is_powerful)
        sqlite3_exec(w->db, "PRAGMA synchronous=FULL; DELETE FROM facts WHERE " BOOT_FACT, NULL, NULL, NULL);
}
