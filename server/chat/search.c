/* search.c: see search.h. What every search does, wherever messages lie. */
#include "server/chat/search.h"

#include "common/clock.h"
#include "common/mem.h"
#include "protocol/codec.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EVERYTHING ((UINT64_C(1) << 40) - 1) /* above any seq */

struct search *search_new(void)
{
    return mem_zalloc(sizeof(struct search));
}

void search_free(struct search *s)
{
    for (size_t i = 0; i < s->room_count; i++)
        free(s->rooms[i].hits);
    free(s->rooms);
    words_query_deinit(&s->query);
    words_deinit(&s->words);
    buf_deinit(&s->lines);
    buf_deinit(&s->copy);
    buf_deinit(&s->next);
    free(s);
}

static uint32_t hash_name(const char *name, size_t len)
{
    uint32_t h = 2166136261U; /* FNV-1a: it has to outlive the server */

    for (size_t i = 0; i < len; i++)
        h = (h ^ (unsigned char)name[i]) * 16777619U;
    return h;
}

struct search_room *search_add_room(struct search *s, const char *name, size_t len)
{
    struct search_room *r;

    s->rooms = mem_realloc(s->rooms, (s->room_count + 1) * sizeof *s->rooms);
    r = &s->rooms[s->room_count++];
    *r = (struct search_room){.at = EVERYTHING, .bound_ms = UINT64_MAX, .name_len = (uint8_t)len};
    memcpy(r->name, name, len);
    r->hash = hash_name(name, len);
    return r;
}

void search_drop_room(struct search *s, size_t i)
{
    free(s->rooms[i].hits);
    s->rooms[i] = s->rooms[--s->room_count];
}

/* ---- `next`: for each room that is not done a hash of its name and the seq to go on from ---- */

static void put_next(const struct search *s, struct buf *out)
{
    for (size_t i = 0; i < s->room_count; i++) {
        const struct search_room *r = &s->rooms[i];
        uint64_t at = r->taken < r->count ? r->hits[r->taken].seq : r->at;

        if (at > 0)
            buf_putf(out, "%s%x:%llx", out->len > 0 ? "." : "", r->hash, (unsigned long long)at);
    }
}

static const char *take_hex(const char *p, const char *end, uint64_t *out)
{
    const char *start = p;

    *out = 0;
    for (; p < end && p - start < 16 && strchr("0123456789abcdef", *p) != NULL && *p != '\0'; p++)
        *out = *out << 4 | (uint64_t)(*p <= '9' ? *p - '0' : *p - 'a' + 10);
    return p > start ? p : NULL;
}

bool search_go_on(struct search *s)
{
    const char *p = s->next.data, *end = p + s->next.len;
    uint64_t hash, at;

    if (s->next.len == 0)
        return true;
    for (size_t i = 0; i < s->room_count; i++)
        s->rooms[i].at = 0;
    for (; p < end; p++) {
        p = take_hex(p, end, &hash);
        if (p == NULL || p == end || *p != ':')
            return false;
        p = take_hex(p + 1, end, &at);
        if (p == NULL || (p < end && *p != '.'))
            return false;
        for (size_t i = 0; i < s->room_count; i++)
            if (s->rooms[i].hash == hash)
                s->rooms[i].at = at < EVERYTHING ? at : EVERYTHING;
    }
    return true;
}

/* ---- looking ---- */

static uint64_t number_of(const struct message *m, enum message_field f)
{
    const struct value *v = message_get_kind(m, f, VALUE_UINT);

    return v != NULL ? v->number : 0;
}

bool search_look(struct search *s, const char *line, size_t len, struct search_seen *seen)
{
    const struct value *text;
    struct message m;
    const char *where;

    *seen = (struct search_seen){0};
    buf_clear(&s->copy);
    buf_put(&s->copy, line, len);
    if (codec_decode(s->copy.data, len - (len > 0 && line[len - 1] == '\n'), &m, &where) != CODEC_OK)
        return false;
    seen->seq = number_of(&m, FIELD_SEQ);
    seen->time_ms = number_of(&m, FIELD_TIME);
    seen->edits = number_of(&m, FIELD_EDITS);
    seen->removes = number_of(&m, FIELD_REMOVES);
    text = message_get_kind(&m, FIELD_TEXT, VALUE_STRING);
    if (text == NULL || seen->removes > 0)
        return false;
    words_split(&s->words, text->text, text->len);
    return words_match(&s->query, &s->words);
}

void search_add(struct search *s, struct search_room *r, const struct search_seen *seen, const char *line,
                size_t len)
{
    if (seen->seq < r->first)
        return;
    if (r->count == r->cap) {
        r->cap = r->cap > 0 ? r->cap * 2 : 8;
        r->hits = mem_realloc(r->hits, r->cap * sizeof *r->hits);
    }
    r->hits[r->count++] = (struct search_hit){seen->seq, seen->time_ms, s->lines.len, len};
    buf_put(&s->lines, line, len);
    r->bytes += len;
    r->bound_ms = seen->time_ms;
}

bool search_is_full(const struct search *s, const struct search_room *r)
{
    return r->count >= s->limit || (r->count > 0 && r->bytes >= SEARCH_BYTES / s->room_count);
}

void search_run(struct search *s, uint64_t until_us, void *arg, bool (*advance)(void *arg, size_t room))
{
    bool is_first = true, any = true;

    for (; any; is_first = false) {
        any = false;
        for (size_t i = 0; i < s->room_count; i++) {
            if (s->rooms[i].at == 0 || search_is_full(s, &s->rooms[i]))
                continue;
            if (!is_first && clock_mono_us() >= until_us)
                return;
            any = advance(arg, i) || any;
            if (s->rooms[i].at < s->rooms[i].first)
                s->rooms[i].at = 0;
        }
    }
}

/* ---- the answer ---- */

/* The room whose next hit is the newest of all; NULL where there is none, or where a room may still have a
 * newer one. */
static struct search_room *choose(const struct search *s)
{
    struct search_room *best = NULL;

    for (size_t i = 0; i < s->room_count; i++) {
        struct search_room *r = &s->rooms[i];

        if (r->taken < r->count &&
            (best == NULL || r->hits[r->taken].time_ms > best->hits[best->taken].time_ms))
            best = r;
    }
    for (size_t i = 0; best != NULL && i < s->room_count; i++) {
        const struct search_room *r = &s->rooms[i];

        if (r->taken == r->count && r->at > 0 && r->bound_ms > best->hits[best->taken].time_ms)
            return NULL;
    }
    return best;
}

uint32_t search_answer(struct search *s, struct buf *out)
{
    const char *re = s->id_len > 0 ? s->id : NULL;
    struct search_room *r;
    struct buf next = {0};
    uint32_t count = 0;

    for (; count < s->limit && (r = choose(s)) != NULL; count++) {
        const struct search_hit *hit = &r->hits[r->taken++];

        codec_put_msg_again(out, s->lines.data + hit->at, hit->len, re, s->id_len,
                            r->shown_len > 0 ? r->shown : NULL, r->shown_len);
    }
    put_next(s, &next);
    codec_begin(out, MESSAGE_END);
    if (re != NULL)
        codec_add(out, FIELD_RE, re, s->id_len);
    codec_add_uint(out, FIELD_COUNT, count);
    codec_add_bool(out, FIELD_MORE, next.len > 0);
    if (next.len > 0)
        codec_add(out, FIELD_NEXT, next.data, next.len);
    codec_end(out);
    buf_deinit(&next);
    return count + 1;
}
