/* store_files.c: whether the database is still where it was opened. The writer's thread. See store_sqlite.h.
 *
 * SQLite goes on writing to a file that was moved or removed; what it is told to keep there goes with the
 * process. */
#include "server/chat/store_sqlite.h"

#include "common/buf.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static int look_at(const char *path, const char *ending, struct file_id *id)
{
    struct buf name = {0};
    int ret;

    buf_puts(&name, path);
    buf_put(&name, ending, strlen(ending) + 1);
    ret = file_id_of(name.data, id);
    buf_deinit(&name);
    return ret;
}

void store_files_note(struct store_files *f, const char *path)
{
    *f = (struct store_files){0};
    look_at(path, "", &f->db);
    look_at(path, "-wal", &f->wal);
}

void store_make_private(const char *path)
{
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600); /* where it can't be, SQLite says why */

    if (fd >= 0)
        close(fd);
}

static bool is_missing(int ret)
{
    return ret == -ENOENT || ret == -ENOTDIR;
}

static bool is_other(const struct file_id *a, const struct file_id *b)
{
    return a->number != b->number || a->device != b->device;
}

bool store_files_are_there(const struct store_files *f, const char *path, struct store_trouble *t)
{
    struct file_id db, wal;
    int has_db = look_at(path, "", &db), has_wal = look_at(path, "-wal", &wal);
    bool other = (has_db == 0 && is_other(&db, &f->db)) || (has_wal == 0 && is_other(&wal, &f->wal));

    if (!other && !is_missing(has_db) && !is_missing(has_wal))
        return true;
    t->code = 0;
    t->is_damage = false;
    t->todo =
        other
            ? "put back the files that this chatd has opened, and it goes on by itself; or restart it on these"
            : "put the directory back, with chatd.db and chatd.db-wal: it goes on by itself";
    snprintf(t->why, sizeof t->why, "%s",
             other ? "another file is in its place" : "it is not where it was any more");
    return false;
}
