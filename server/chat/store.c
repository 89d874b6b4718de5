/* store.c: see store.h. Which kind it is, and what is the same in both. */
#include "server/chat/store.h"

#include "server/chat/search.h"

#include "common/mem.h"
#include "server/chat/store_memory.h"
#include "server/chat/store_sqlite.h"

#include <stdlib.h>

struct store *store_open(const struct store_options *options, char err[STORE_ERROR_SIZE])
{
    struct store *s = options->dir != NULL ? store_sqlite_open(options, err) : store_memory_open();

    if (s != NULL)
        s->searches = options->search;
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
    w->job.is_fact = false;
    s->ops->write(s, &w->job);
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
    for (size_t i = 0; i < l->count; i++) {
        free(l->rooms[i].topic);
        free(l->rooms[i].fact);
    }
    free(l->rooms);
    l->rooms = NULL;
    l->count = l->cap = 0;
}

void store_search(struct store *s, struct search *search)
{
    search->job.run = store_sqlite_search;
    s->ops->ask(s, &search->job);
}

void store_put(struct store *s, struct store_fact *f)
{
    f->job.is_fact = true;
    s->ops->write(s, &f->job);
}

void store_get(struct store *s, struct store_fact *f)
{
    f->found = false;
    f->job.is_fact = true;
    f->job.run = store_sqlite_get;
    s->ops->ask(s, &f->job);
}

void store_scan(struct store *s, struct store_facts *f)
{
    f->job.is_fact = true;
    f->job.run = store_sqlite_scan;
    s->ops->ask(s, &f->job);
}

void store_facts_deinit(struct store_facts *f)
{
    for (size_t i = 0; i < f->count; i++) {
        buf_deinit(&f->rows[i].key);
        buf_deinit(&f->rows[i].value);
    }
    free(f->rows);
    f->rows = NULL;
    f->count = 0;
    buf_deinit(&f->prefix);
    buf_deinit(&f->after);
}
