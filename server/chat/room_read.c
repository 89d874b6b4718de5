/* room_read.c: reading what a room has said: history answers, and the next piece for those who are behind. The home's
 * thread. See room.h. */
#include "common/mem.h"
#include "server/chat/room.h"
#include "server/chat/session.h"

#include <string.h>

#define FEED_BYTES    (256 * 1024)  /* for one who is behind, at a time */
#define FEED_MESSAGES 4096
#define ANSWER_BYTES  (1024 * 1024) /* of one history answer, about */

static struct room *find_asked(struct reactor *r, const struct ask *a)
{
    return room_find(chat_of(r), a->room, a->room_len, table_hash(a->room, a->room_len));
}

static void put_gap(struct ask *a, const char *room, size_t len, uint64_t from, uint64_t to)
{
    codec_begin(&a->answer, MESSAGE_GAP);
    if (a->id_len > 0)
        codec_add(&a->answer, FIELD_RE, a->id, a->id_len);
    codec_add(&a->answer, FIELD_ROOM, room, len);
    codec_add_uint(&a->answer, FIELD_FROM, from);
    codec_add_uint(&a->answer, FIELD_TO, to);
    codec_end(&a->answer);
    a->answer_lines++;
}

void room_on_read_on(struct reactor *r, struct post *p)
{
    struct ask *a = (struct ask *)p;
    struct room *room = find_asked(r, a);
    uint64_t oldest, end;

    if (room != NULL) {
        room_flush(room);
        oldest = history_oldest(&room->history, room->seq + 1);
        if (a->seq + 1 < oldest) {
            put_gap(a, room->name, room->name_len, a->seq + 1, oldest - 1);
            a->seq = oldest - 1;
        }
        if (a->is_last && a->until == 0)
            a->until = room->seq; /* what is said from now on is not for one who is going */
        end = a->until > 0 ? a->until : room->seq;
        a->slices = mem_alloc(ASK_SLICES * sizeof *a->slices);
        if (a->seq < end)
            a->slice_count = history_read(&room->history, a->seq, end - a->seq < FEED_MESSAGES ? end - a->seq : FEED_MESSAGES,
                                          FEED_BYTES, a->slices, ASK_SLICES);
        for (size_t i = 0; i < a->slice_count; i++)
            a->seq += a->slices[i].count;
        a->at_head = a->seq >= end;
    } else {
        a->at_head = true;
    }
    ask_return(a, r);
}

/* The messages wanted are those after *after and up to *last; more: whether there are more in the direction asked. */
static void choose_range(const struct ask *a, uint64_t oldest, uint64_t newest, uint64_t *after, uint64_t *last, bool *more)
{
    uint64_t n = a->limit, at = a->after;

    switch (a->read) {
    case READ_AFTER:
        *after = at < newest ? at : newest;
        *last = newest - *after > n ? *after + n : newest;
        *more = *last < newest;
        return;
    case READ_BEFORE:
        *last = at == 0 ? 0 : at - 1 < newest ? at - 1 : newest;
        *after = *last > n ? *last - n : 0;
        *more = *after >= oldest;
        return;
    case READ_AROUND:
        if (at > newest)
            at = newest;
        *after = at > n / 2 + 1 ? at - n / 2 - 1 : 0;
        *last = newest - *after > n ? *after + n : newest;
        *more = *after >= oldest || *last < newest;
        return;
    case READ_NEWEST:
        break;
    }
    *last = newest;
    *after = newest > n ? newest - n : 0;
    *more = *after >= oldest;
}

static uint32_t put_slice(struct ask *a, const struct slice *s, const char *room, size_t room_len)
{
    const char *line = s->chunk->data + s->at, *end = line + s->len;
    uint32_t n = 0;

    while (line < end) {
        const char *next = (const char *)memchr(line, '\n', (size_t)(end - line)) + 1;

        codec_put_msg_again(&a->answer, line, (size_t)(next - line), a->id_len > 0 ? a->id : NULL, a->id_len, room, room_len);
        line = next;
        n++;
    }
    return n;
}

/* Newer messages matter more than older ones where not all fit: then the range starts later. */
static uint64_t fit_range(const struct history *h, uint64_t after, uint64_t last)
{
    struct slice slices[ASK_SLICES];
    uint64_t bytes = 0, at = after;

    while (at < last) {
        size_t n = history_read(h, at, last - at, ANSWER_BYTES, slices, ASK_SLICES);

        for (size_t i = 0; i < n; i++) {
            at += slices[i].count;
            bytes += slices[i].len;
            slice_unref(&slices[i]);
        }
        if (n == 0)
            break;
    }
    return bytes > ANSWER_BYTES ? after + (last - after) * (bytes - ANSWER_BYTES) / bytes : after;
}

void room_answer_history(struct ask *a, const struct history *h, uint64_t newest, const char *room, size_t room_len)
{
    uint64_t oldest = history_oldest(h, newest + 1), after, last, count = 0;
    struct slice slices[ASK_SLICES];
    bool more, full = false;

    choose_range(a, oldest, newest, &after, &last, &more);
    if (a->read == READ_AFTER && after + 1 < oldest) { /* what is gone does not count: as many as asked for behind it */
        last = newest + 1 - oldest > a->limit ? oldest - 1 + a->limit : newest;
        more = last < newest;
    }
    if (after + 1 < oldest && after < last) {
        put_gap(a, room != NULL ? room : a->room, room != NULL ? room_len : a->room_len, after + 1,
                oldest - 1 < last ? oldest - 1 : last);
        after = oldest - 1 < last ? oldest - 1 : last;
    }
    if (a->read == READ_NEWEST || a->read == READ_BEFORE) {
        uint64_t from = fit_range(h, after, last);

        more = more || from > after;
        after = from;
    }
    while (after < last && !full) {
        size_t n = history_read(h, after, last - after, ANSWER_BYTES, slices, ASK_SLICES);

        for (size_t i = 0; i < n; i++) {
            if (!full) {
                uint32_t lines = put_slice(a, &slices[i], room, room_len);

                after += lines;
                count += lines;
            }
            full = a->answer.len > 2 * ANSWER_BYTES;
            slice_unref(&slices[i]);
        }
        if (n == 0)
            break;
    }
    codec_begin(&a->answer, MESSAGE_END);
    if (a->id_len > 0)
        codec_add(&a->answer, FIELD_RE, a->id, a->id_len);
    codec_add_uint(&a->answer, FIELD_COUNT, count);
    codec_add_bool(&a->answer, FIELD_MORE, more || after < last);
    codec_end(&a->answer);
    a->answer_lines += (uint32_t)count + 1;
}

void room_on_history(struct reactor *r, struct post *p)
{
    struct ask *a = (struct ask *)p;
    struct room *room = find_asked(r, a);

    if (room == NULL) {
        ask_fail(a, "not_member", 0, "you are not in that room");
    } else {
        room_flush(room);
        room_answer_history(a, &room->history, room->seq, NULL, 0);
    }
    ask_return(a, r);
}
