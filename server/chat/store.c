/* store.c: see store.h. Which kind it is, and the kind that keeps nothing. */
#include "server/chat/store.h"

#include "common/mem.h"
#include "server/chat/store_sqlite.h"

#include <stdlib.h>

static void done_at_once(struct store *s, struct store_job *job)
{
    (void)s;
    job->done(job->home, &job->post);
}

static void write_nothing(struct store *s, struct store_write *w)
{
    (void)s;
    w->job.done(w->job.home, &w->job.post);
}

static bool nothing_to_settle(struct store *s)
{
    (void)s;
    return false;
}

static void close_memory(struct store *s)
{
    free(s);
}

static const struct store_ops memory_ops = {
    .write = write_nothing, .ask = done_at_once, .settle = nothing_to_settle, .close = close_memory};

struct store *store_open(const struct store_options *options, char err[STORE_ERROR_SIZE])
{
    struct store *s;

    if (options->dir != NULL)
        return store_sqlite_open(options, err);
    s = mem_zalloc(sizeof *s);
    s->ops = &memory_ops;
    return s;
}

bool store_settle(struct store *s)
{
    return s->ops->settle(s);
}

void store_close(struct store *s)
{
    if (s != NULL)
        s->ops->close(s);
}

void store_write(struct store *s, struct store_write *w)
{
    s->ops->write(s, w);
}

void store_load(struct store *s, struct store_load *l)
{
    l->job.run = store_sqlite_load;
    s->ops->ask(s, &l->job);
}

void store_read(struct store *s, struct store_read *r)
{
    r->job.run = store_sqlite_read;
    s->ops->ask(s, &r->job);
}

void store_list(struct store *s, struct store_list *l)
{
    l->job.run = store_sqlite_list;
    s->ops->ask(s, &l->job);
}

void store_list_deinit(struct store_list *l)
{
    for (size_t i = 0; i < l->count; i++)
        free(l->rooms[i].topic);
    free(l->rooms);
    l->rooms = NULL;
    l->count = l->cap = 0;
}
