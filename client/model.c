/* model.c: see model.h. */
#include "client/model.h"

#include "common/clock.h"
#include "common/mem.h"
#include "common/utf8.h"
#include "protocol/codec.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

void model_init(struct model *m)
{
    uint64_t random;

    *m = (struct model){0};
    TAILQ_INIT(&m->rooms);
    TAILQ_INIT(&m->lines);
    if (getentropy(&random, sizeof random) != 0)
        abort();
    snprintf(m->key_prefix, sizeof m->key_prefix, "%016llx", (unsigned long long)random);
}

void model_deinit(struct model *m)
{
    while (!TAILQ_EMPTY(&m->rooms))
        model_remove(m, TAILQ_FIRST(&m->rooms));
    while (!TAILQ_EMPTY(&m->lines))
        model_drop_line(m, TAILQ_FIRST(&m->lines));
}

bool model_is_same(const char *a, size_t a_len, const char *b, size_t b_len)
{
    char one[UTF8_FOLD_MAX], other[UTF8_FOLD_MAX];
    size_t n;

    if (a_len == b_len && memcmp(a, b, a_len) == 0)
        return true;
    if (a_len == 0 || b_len == 0 || a[0] != '@' || b[0] != '@')
        return false;
    n = utf8_is_nick(a + 1, a_len - 1) ? utf8_fold_nick(a + 1, a_len - 1, one) : 0;
    return n > 0 && utf8_is_nick(b + 1, b_len - 1) && utf8_fold_nick(b + 1, b_len - 1, other) == n &&
           memcmp(one, other, n) == 0;
}

struct model_room *model_find(const struct model *m, const char *name, size_t len)
{
    struct model_room *r;

    TAILQ_FOREACH(r, &m->rooms, link)
    if (model_is_same(r->name, strlen(r->name), name, len))
        return r;
    return NULL;
}

struct model_room *model_get(struct model *m, const char *name, size_t len)
{
    struct model_room *r = model_find(m, name, len);

    if (r != NULL)
        return r;
    r = mem_zalloc(sizeof *r);
    snprintf(r->name, sizeof r->name, "%.*s", (int)len, name);
    TAILQ_INSERT_TAIL(&m->rooms, r, link);
    return r;
}

void model_remove(struct model *m, struct model_room *r)
{
    TAILQ_REMOVE(&m->rooms, r, link);
    for (size_t i = 0; i < r->nick_count; i++)
        free(r->nicks[i]);
    free(r->nicks);
    free(r);
}

void model_detach(struct model *m)
{
    struct model_room *r;

    TAILQ_FOREACH(r, &m->rooms, link)
    {
        r->joined = r->starting_over = r->reads_on = r->reads_failed = r->is_put_off = false;
        r->target = r->waiting = r->lag_ms = r->rejoin_us = 0;
        if (model_is_direct(r) && !r->wanted) {
            r->seq = r->own = r->read = r->seen = 0;
            r->is_counted = false;
        }
    }
}

enum model_join model_joined(struct model_room *r, uint64_t epoch, uint64_t seq, uint64_t members)
{
    bool known = r->epoch != 0, same = r->epoch == epoch;

    r->joined = true;
    r->members = members;
    r->epoch = epoch;
    r->missed = r->target = 0;
    if (known && !same) {
        r->seq = r->own = r->read = r->seen = 0;
        r->starting_over = true;
        return MODEL_START_OVER;
    }
    if (!known && !r->reads_on) {
        r->starting_over = false; /* from before it was left */
        r->seq = seq;
        return MODEL_FRESH;
    }
    r->starting_over = r->reads_on = false;
    r->waiting = 0;
    r->missed = seq > r->seq ? seq - r->seq : 0;
    r->target = seq;
    return MODEL_RESUMED;
}

enum model_take model_take(struct model_room *r, uint64_t seq, uint64_t *hole)
{
    uint64_t last = r->seq;

    if (seq == 1 && last > 0 && model_is_direct(r) && !r->joined) /* with another guest of that nick */
        last = r->read = r->seen = 0;
    /* What comes of a room while it starts over is replayed from 1 in a moment. */
    if (seq <= last || r->starting_over)
        return MODEL_SEEN;
    r->seq = seq;
    if (seq == last + 1 || (model_is_direct(r) && last == 0))
        return MODEL_NEW;
    *hole = last + 1;
    return MODEL_HOLE;
}

void model_take_gap(struct model_room *r, uint64_t to)
{
    if (!r->starting_over && to > r->seq)
        r->seq = to;
}

bool model_caught_up(struct model_room *r)
{
    if (r->target == 0 || r->starting_over || r->seq < r->target)
        return false;
    r->target = 0;
    return true;
}

uint64_t model_unread(const struct model_room *r)
{
    uint64_t newest = r->waiting > r->seq ? r->waiting : r->seq, seen = r->seen > r->read ? r->seen : r->read;

    return r->is_counted && newest > seen ? newest - seen : 0;
}

static size_t find_nick(const struct model_room *r, const char *nick, size_t len)
{
    size_t i = 0;

    while (i < r->nick_count && (strlen(r->nicks[i]) != len || memcmp(r->nicks[i], nick, len) != 0))
        i++;
    return i;
}

static void take_nick_out(struct model_room *r, size_t at)
{
    r->nick_count--;
    memmove(r->nicks + at, r->nicks + at + 1, (r->nick_count - at) * sizeof *r->nicks);
}

void model_heard_of(struct model_room *r, const char *nick, size_t len)
{
    size_t at = find_nick(r, nick, len);
    char *name;

    if (at == 0 && r->nick_count > 0)
        return;
    if (at < r->nick_count) {
        name = r->nicks[at];
        take_nick_out(r, at);
    } else {
        name = mem_strndup(nick, len);
        if (r->nick_count == MODEL_NICKS)
            free(r->nicks[--r->nick_count]);
        if (r->nicks == NULL)
            r->nicks = mem_alloc(MODEL_NICKS * sizeof *r->nicks);
    }
    memmove(r->nicks + 1, r->nicks, r->nick_count * sizeof *r->nicks);
    r->nicks[0] = name;
    r->nick_count++;
}

void model_forget_nick(struct model_room *r, const char *nick, size_t len)
{
    size_t at = find_nick(r, nick, len);

    if (at == r->nick_count)
        return;
    free(r->nicks[at]);
    take_nick_out(r, at);
}

struct model_line *model_say(struct model *m, const char *room, const char *text, size_t len)
{
    struct model_line *line = mem_zalloc(sizeof *line);

    snprintf(line->key, sizeof line->key, "%s-%llu", m->key_prefix, (unsigned long long)++m->last_key);
    snprintf(line->room, sizeof line->room, "%s", room);
    line->text = mem_strndup(text, len);
    line->len = len;
    line->said_us = clock_mono_us();
    TAILQ_INSERT_TAIL(&m->lines, line, link);
    m->line_count++;
    m->line_bytes += len;
    return line;
}

struct model_line *model_find_line(const struct model *m, const char *key, size_t len)
{
    struct model_line *line;

    TAILQ_FOREACH(line, &m->lines, link) /* acks come in order: it is the first one, nearly always */
    if (strlen(line->key) == len && memcmp(line->key, key, len) == 0)
        return line;
    return NULL;
}

void model_drop_line(struct model *m, struct model_line *line)
{
    TAILQ_REMOVE(&m->lines, line, link);
    m->line_count--;
    m->line_bytes -= line->len;
    free(line->text);
    free(line);
}

void model_forget_wire(struct model *m)
{
    struct model_line *line;

    TAILQ_FOREACH(line, &m->lines, link)
    line->on_wire = false;
}

void model_put_send(struct buf *b, const struct model_line *line)
{
    codec_begin(b, MESSAGE_SEND);
    codec_add_text(b, FIELD_ROOM, line->room);
    codec_add(b, FIELD_TEXT, line->text, line->len);
    codec_add_text(b, FIELD_KEY, line->key);
    codec_add_text(b, FIELD_ID, line->key);
    codec_end(b);
}

size_t model_send_size(const struct model_line *line)
{
    struct buf b = {0};
    size_t size;

    model_put_send(&b, line);
    size = b.len;
    buf_deinit(&b);
    return size;
}
