/* store_backup.c: chatd --backup: a copy of all that is kept, of one moment. It may be run beside a chatd that
 * serves. The main thread. See store_sqlite.h. */
#include "server/chat/store_sqlite.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define BACKUP_PAGES 1024 /* copied at a time */

/* A copy that is begun while nothing is being looked at begins anew with every commit of the one who serves, and may
 * never be done; BEGIN alone does not look yet. */
static int begin_looking(sqlite3 *db)
{
    return sqlite3_exec(db, "BEGIN; SELECT count(*) FROM sqlite_master", NULL, NULL, NULL) == SQLITE_OK ? 0
                                                                                                        : -1;
}

static int copy_all(sqlite3 *from, sqlite3 *to)
{
    sqlite3_backup *backup = sqlite3_backup_init(to, "main", from, "main");
    int ret;

    if (backup == NULL)
        return -1;
    do {
        ret = sqlite3_backup_step(backup, BACKUP_PAGES);
        if (ret == SQLITE_BUSY || ret == SQLITE_LOCKED)
            usleep(10000);
    } while (ret == SQLITE_OK || ret == SQLITE_BUSY || ret == SQLITE_LOCKED);
    return sqlite3_backup_finish(backup) == SQLITE_OK && ret == SQLITE_DONE ? 0 : -1;
}

static int fsync_path(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC), ret;

    if (fd < 0)
        return -errno;
    ret = fsync(fd) == 0 ? 0 : -errno;
    close(fd);
    return ret;
}

static int fsync_directory_of(const char *path)
{
    struct buf copy = {0};
    int ret;

    buf_put(&copy, path, strlen(path) + 1);
    ret = fsync_path(dirname(copy.data));
    buf_deinit(&copy);
    return ret;
}

/* Written beside its place first, so that what stands there is always whole. */
static int back_up(sqlite3 *db, const char *part, const char *to)
{
    char err[STORE_ERROR_SIZE];
    sqlite3 *copy = NULL;
    int ret;

    unlink(part);
    store_make_private(part);
    ret = sqlite3_open(part, &copy) == SQLITE_OK && begin_looking(db) == 0 && copy_all(db, copy) == 0 &&
                  store_epoch_mark_copy(copy) == 0
              ? 0
              : -1;
    if (ret != 0) {
        store_db_explain(copy, part, err);
        fprintf(stderr, "chatd: %s\n", err);
    }
    sqlite3_close(copy);
    if (ret == 0 && (fsync_path(part) != 0 || rename(part, to) != 0 || fsync_directory_of(to) != 0)) {
        fprintf(stderr, "chatd: %s: %s\n", to, strerror(errno));
        ret = -1;
    }
    if (ret != 0)
        unlink(part);
    return ret;
}

bool store_backup(const char *dir, const char *to)
{
    struct buf path = {0}, part = {0};
    sqlite3 *db = store_check_open(dir, &path);
    int ret = -1;

    buf_putf(&part, "%s.part", to);
    buf_put(&part, "", 1);
    if (db != NULL)
        ret = back_up(db, part.data, to);
    if (ret == 0)
        printf("%s: a copy of %s; to use it, put it in the place of that while chatd does not run\n", to,
               path.data);
    sqlite3_close(db);
    buf_deinit(&path);
    buf_deinit(&part);
    return ret == 0;
}
