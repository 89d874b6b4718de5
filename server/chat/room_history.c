/* room_history.c: answers to `history`, from memory or from the store: as many of the messages that were asked
 * for as one answer takes. The home's thread. See room.h. */
#include "common/mem.h"
#include "protocol/codec.h"
#include "server/chat/room_read.h"

#include <stdlib.h>
#include <string.h>

#define ANSWER_BYTES (1024 * 1024)      /* of messages in one answer, unless one alone has more */
#define READ_BYTES   (2 * ANSWER_BYTES) /* for one: what is read ends where a turn of the room did */

/* The messages wanted are those after *after and up to *last; more: whether there are more in the direction
 * asked. */
static void choose_range(const struct ask *a, uint64_t oldest, uint64_t newest, uint64_t *after,
                         uint64_t *last, bool *more)
{
    uint64_t n = a->limit, at = a->after;

    switch (a->read) {
    case READ_AFTER:
        *after = at < newest ? at : newest;
        *last = newest - *after > n ? *after + n : newest;
        if (*after + 1 < oldest) /* what is gone does not count: as many as asked for behind it */
            *last = newest + 1 - oldest > n ? oldest - 1 + n : newest;
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

/* The lengths of the messages behind after, up to last; how many there are. */
static size_t measure(const struct history *h, uint64_t after, uint64_t last, uint32_t *lengths)
{
    struct slice slices[ASK_SLICES];
    size_t count = 0, n;

    while (after < last && (n = history_read(h, after, last - after, ANSWER_BYTES, slices, ASK_SLICES)) > 0) {
        for (size_t i = 0; i < n; i++) {
            const char *line = slices[i].chunk->data + slices[i].at, *end = line + slices[i].len;

            for (; line < end; line += lengths[count++])
                lengths[count] =
                    (uint32_t)((const char *)memchr(line, '\n', (size_t)(end - line)) + 1 - line);
            after += slices[i].count;
            slice_unref(&slices[i]);
        }
    }
    return count;
}

/* The message that must be in an answer, whatever is left out. */
static uint64_t pivot_of(const struct ask *a, uint64_t after, uint64_t last)
{
    uint64_t wanted = a->read == READ_AFTER ? after + 1 : a->read == READ_AROUND ? a->after : last;

    return wanted <= after ? after + 1 : wanted > last ? last : wanted;
}

/* Where not all fit, the answer has those that are nearest to what was asked for: without a hole. */
static void fit_range(const struct ask *a, const struct history *h, uint64_t *after, uint64_t *last)
{
    uint32_t *lengths = mem_alloc((size_t)(*last - *after) * sizeof *lengths);
    size_t count = measure(h, *after, *last, lengths), pivot, from, to;
    uint64_t bytes, before = a->read == READ_AROUND ? ANSWER_BYTES / 2 : ANSWER_BYTES;

    if (count > 0) {
        pivot = (size_t)(pivot_of(a, *after, *after + count) - *after - 1);
        bytes = lengths[pivot];
        for (from = pivot; from > 0 && bytes + lengths[from - 1] <= before; from--)
            bytes += lengths[from - 1];
        for (to = pivot + 1; to < count && bytes + lengths[to] <= ANSWER_BYTES; to++)
            bytes += lengths[to];
        *last = *after + to;
        *after += from;
    }
    free(lengths);
}

static uint32_t put_slice(struct ask *a, const struct slice *s, const char *room, size_t room_len)
{
    const char *line = s->chunk->data + s->at, *end = line + s->len;
    uint32_t n = 0;

    while (line < end) {
        const char *next = (const char *)memchr(line, '\n', (size_t)(end - line)) + 1;

        codec_put_msg_again(&a->answer, line, (size_t)(next - line), a->id_len > 0 ? a->id : NULL, a->id_len,
                            room, room_len);
        line = next;
        n++;
    }
    return n;
}

/* What h has of the messages behind after, up to last; how many. */
static uint64_t put_messages(struct ask *a, const struct history *h, uint64_t after, uint64_t last,
                             const char *room, size_t room_len)
{
    struct slice slices[ASK_SLICES];
    uint64_t at = after;
    size_t n;

    while (at < last && (n = history_read(h, at, last - at, ANSWER_BYTES, slices, ASK_SLICES)) > 0) {
        for (size_t i = 0; i < n; i++) {
            at += put_slice(a, &slices[i], room, room_len);
            slice_unref(&slices[i]);
        }
    }
    return at - after;
}

void room_answer_history(struct ask *a, const struct history *h, uint64_t oldest, uint64_t newest,
                         const char *room, size_t room_len)
{
    uint64_t after, last, wanted_after, wanted_last, there, count;
    bool more;

    choose_range(a, oldest, newest, &after, &last, &more);
    if (after + 1 < oldest && after < last) {
        uint64_t end = oldest - 1 < last ? oldest - 1 : last;

        room_put_gap(a, room != NULL ? room : a->room, room != NULL ? room_len : a->room_len, after + 1, end);
        after = end;
    }
    wanted_after = after;
    wanted_last = last;
    there = history_oldest(h, newest + 1); /* of long messages not all that were asked for were read */
    if (after + 1 < there && after < last)
        after = there - 1 < last ? there - 1 : last;
    if (after < last)
        fit_range(a, h, &after, &last);
    count = put_messages(a, h, after, last, room, room_len);
    codec_begin(&a->answer, MESSAGE_END);
    if (a->id_len > 0)
        codec_add(&a->answer, FIELD_RE, a->id, a->id_len);
    codec_add_uint(&a->answer, FIELD_COUNT, count);
    codec_add_bool(&a->answer, FIELD_MORE, more || after > wanted_after || last < wanted_last);
    codec_end(&a->answer);
    a->answer_lines += (uint32_t)count + 1;
}

static void answer_from(struct room *room, struct ask *a, const struct history *h, uint64_t newest)
{
    bool direct = room->direct != NULL;

    room_answer_history(a, h, room_oldest_for(room, a), newest, direct ? a->other : NULL,
                        direct ? a->other_len : 0);
}

static void answer_read(struct room *room, struct ask *a, const struct reading *reading, bool goes_on)
{
    struct history h = {0};

    history_append(&h, reading->read.chunk, UINT64_MAX, UINT64_MAX);
    if (goes_on)
        history_append_all(&h, &room->history);
    answer_from(room, a, &h, reading->newest);
    history_deinit(&h);
    ask_return(a, room->chat->reactor);
}

static void on_history_read(struct reactor *r, struct post *p)
{
    struct reading *reading = (struct reading *)p;
    const struct store_read *read = &reading->read;
    const struct chunk *chunk = read->chunk;
    struct room *room = reading->room;
    struct ask *a = reading->ask;
    uint64_t last = chunk != NULL ? chunk->first_seq + chunk->count - 1 : 0;
    bool goes_on = reading->goes_on && last == read->last;

    if (read->job.failed != NULL || (chunk != NULL && last < read->pivot)) {
        ask_fail(a, "storage", 0, "the server could not read its disk: try again later");
        ask_return(a, r);
    } else if (chunk == NULL || chunk->first_seq > read->after + 1) { /* it was let go of meanwhile */
        room->oldest = chunk != NULL ? chunk->first_seq : read->last + 1;
        room_answer_or_read(room, a);
    } else if (goes_on && history_oldest(&room->history, room->kept + 1) > last + 1) {
        room_answer_or_read(room, a); /* what was in memory is on the disk only by now */
    } else {
        answer_read(room, a, reading, goes_on);
    }
    reading_free(reading);
}

/* From what is in memory if that is enough, else from the store. */
void room_answer_or_read(struct room *room, struct ask *a)
{
    uint64_t oldest = room_oldest_for(room, a), recent = history_oldest(&room->history, room->kept + 1),
             after, last;
    bool more;

    choose_range(a, oldest, room->kept, &after, &last, &more);
    if (after + 1 < oldest)
        after = oldest - 1;
    if (after + 1 < recent && after < last) {
        room_read_kept(room, a, after, last, pivot_of(a, after, last), READ_BYTES, on_history_read);
        return;
    }
    answer_from(room, a, &room->history, room->kept);
    ask_return(a, room->chat->reactor);
}

void room_on_history(struct reactor *r, struct post *p)
{
    struct ask *a = (struct ask *)p;
    struct room *room = room_find_or_refuse(r, a);

    if (room != NULL && !room_put_off(room, a, true))
        room_answer_or_read(room, a);
}
