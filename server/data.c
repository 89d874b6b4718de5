/* data.c: see data.h. */
#include "server/data.h"

#include "common/buf.h"
#include "common/log.h"
#include "common/mem.h"
#include "server/chat/store.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define ROOT_PARENT "/var/lib"
#define ROOT_DIR    ROOT_PARENT "/chatd"

/* An environment variable's path, or NULL where it is none that says the same from everywhere. */
static const char *path_of(const char *name)
{
    const char *path = getenv(name);

    return path != NULL && path[0] == '/' ? path : NULL;
}

static char *below(const char *parent, const char *rest)
{
    struct buf path = {0};

    buf_puts(&path, parent);
    buf_put(&path, rest, strlen(rest) + 1);
    return path.data;
}

char *data_default_dir(void)
{
    const char *path = path_of("STATE_DIRECTORY");

    if (path != NULL)
        return mem_strndup(path, strcspn(path, ":")); /* the first, where a service has several */
    path = path_of("XDG_STATE_HOME");
    if (path != NULL)
        return below(path, "/chatd");
    if (geteuid() == 0 && (access(ROOT_DIR, W_OK | X_OK) == 0 || access(ROOT_PARENT, W_OK | X_OK) == 0))
        return mem_strdup(ROOT_DIR);
    path = path_of("HOME");
    return path != NULL ? below(path, "/.local/state/chatd") : NULL;
}

static int make_dir(const char *dir)
{
    char *path = mem_strdup(dir);
    int ret = 0;

    for (char *at = path + 1; ret == 0 && *at != '\0'; at++) {
        if (*at != '/')
            continue;
        *at = '\0';
        if (mkdir(path, 0700) != 0 && access(path, F_OK) != 0)
            ret = -errno;
        *at = '/';
    }
    free(path);
    if (ret == 0 && mkdir(dir, 0700) != 0 && errno != EEXIST)
        ret = -errno;
    return ret == 0 && access(dir, W_OK | X_OK) != 0 ? -errno : ret;
}

bool data_make_dir(const char *dir)
{
    int ret = dir != NULL ? make_dir(dir) : 0;

    if (ret == 0)
        return true;
    fprintf(stderr, "chatd: %s: %s: let chatd write there, or choose another directory with --data DIR\n",
            dir, strerror(-ret));
    return false;
}

void data_tell_where(const struct config *c)
{
    char where[LOG_QUOTED_SIZE];

    log_event(LOG_INFO, "data", "where=%s by=%s", c->data != NULL ? log_quote_text(c->data, where) : "memory",
              config_is_given(c, "data") ? "setting" : "default");
}

struct store *data_open_store(const struct config *c)
{
    struct store_options options = {
        .dir = c->data,
        .durability = c->durability == CONFIG_DURABILITY_POWER ? STORE_POWER : STORE_PROCESS,
        .search = c->search == CONFIG_SEARCH_ON,
        .retention = {.seconds = c->keep_seconds, .messages = c->keep_messages, .bytes = c->keep_bytes},
        .most_bytes = c->keep_total,
    };
    char err[STORE_ERROR_SIZE];
    struct store *store = store_open(&options, err);

    if (store == NULL)
        fprintf(stderr, "chatd: %s\n", err);
    return store;
}
