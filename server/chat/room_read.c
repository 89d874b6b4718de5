/* room_read.c: reading what a room has said: history answers, and the next piece for those who are behind.
 * The home's thread. See room.h. */
#include "common/mem.h"
#include "server/chat/marks.h"
#include "server/chat/room.h"
#include "server/chat/session.h"

#include <stdlib.h>
#include <string.h>

#define FEED_BYTES    (256 * 1024) /* for one who is behind, at a time */
#define FEED_MESSAGES 4096
#define DAMAGED_TRIES 3             /* before what can't be read is passed over */
#define ANSWER_BYTES  (1024 * 1024) /* of one history answer, about */
#define HISTORY_BYTES                                                                                        \
    (16 * 1024 * 1024) /* read for one: as many of the longest messages as can be asked for */

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

/* A read of the store on behalf of an ask; the room stays as long as it is under way. */
struct reading {
    struct store_read read; /* first */
    struct room *room;
    struct ask *ask;
    uint64_t newest; /* for a history answer: what was kept when it was asked for */
    void (*found)(struct room *room, struct ask *a, char *line, size_t len); /* for room_find_line */
    bool goes_on; /* the answer goes on with what is in memory */
};

/* From the store, up to last or up to what is in memory. What it gives comes back in a later turn. */
static struct reading *read_kept(struct room *room, struct ask *a, uint64_t after, uint64_t last,
                                 uint64_t most_bytes, post_fn *done)
{
    uint64_t recent = history_oldest(&room->history, room->kept + 1);
    struct reading *reading = mem_zalloc(sizeof *reading);

    reading->room = room;
    reading->ask = a;
    reading->newest = room->kept;
    reading->read.id = room->place.id;
    reading->read.after = after;
    reading->goes_on = last >= recent;
    reading->read.last = last < recent ? last : recent - 1;
    reading->read.most_bytes = most_bytes;
    reading->read.job.home = room->chat->reactor;
    reading->read.job.done = done;
    room->reads++;
    store_read(room->chat->shared->store, &reading->read);
    return reading;
}

static void reading_free(struct reading *reading)
{
    reading->room->reads--;
    chunk_unref(reading->read.chunk);
    free(reading);
}

/* The oldest message that there is for the asker. */
static uint64_t oldest_for(const struct room *room, const struct ask *a)
{
    uint64_t oldest = room_oldest(room);

    return room->direct != NULL && a->first > oldest ? a->first : oldest;
}

static void skip_gap(struct ask *a, const struct room *room, uint64_t oldest)
{
    bool direct = room->direct != NULL;

    if (a->seq + 1 >= oldest)
        return;
    put_gap(a, direct ? a->other : room->name, direct ? a->other_len : room->name_len, a->seq + 1,
            oldest - 1);
    a->seq = oldest - 1;
}

/* It has what there was for it: is it at the head now? */
static void end_piece(struct room *room, struct ask *a)
{
    if (room->direct != NULL)
        direct_rewrite(a);
    for (size_t i = 0; i < a->slice_count; i++)
        a->seq += a->slices[i].count;
    a->at_head = a->seq >= (a->until > 0 && a->until < room->kept ? a->until : room->kept);
    ask_return(a, room->chat->reactor);
}

/* A disk that does not answer may do so again; what is damaged stays so, unless it was only read badly. */
static bool may_be_read_later(const struct reading *reading)
{
    return reading->read.job.failed != NULL &&
           (!reading->read.job.is_damaged || reading->ask->tries < DAMAGED_TRIES);
}

static void on_piece_read(struct reactor *r, struct post *p)
{
    struct reading *reading = (struct reading *)p;
    struct chunk *chunk = reading->read.chunk;
    struct room *room = reading->room;
    struct ask *a = reading->ask;

    if (chunk == NULL && may_be_read_later(reading)) {
        a->result = ASK_FAILED;
        reading_free(reading);
        ask_return(a, r);
        return;
    }
    skip_gap(a, room,
             chunk != NULL ? chunk->first_seq : reading->read.last + 1); /* let go of meanwhile, or damaged */
    if (chunk != NULL) {
        a->slices[0] = (struct slice){chunk_ref(chunk), 0, chunk->len, chunk->count};
        a->slice_count = 1;
    }
    reading_free(reading);
    end_piece(room, a);
}

static void read_recent(struct room *room, struct ask *a, uint64_t end)
{
    uint64_t most = end - a->seq < FEED_MESSAGES ? end - a->seq : FEED_MESSAGES;

    if (a->seq < end)
        a->slice_count = history_read(&room->history, a->seq, most, FEED_BYTES, a->slices, ASK_SLICES);
    end_piece(room, a);
}

void room_on_read_on(struct reactor *r, struct post *p)
{
    struct ask *a = (struct ask *)p;
    struct room *room = room_find_asked(r, a);
    uint64_t end, recent;

    if (room == NULL) {
        a->at_head = true;
        ask_return(a, r);
        return;
    }
    room_flush(room);
    if (room->direct != NULL)
        direct_view(room, a);
    skip_gap(a, room, oldest_for(room, a));
    if (a->is_last && a->until == 0)
        a->until = room->kept; /* what is said from now on is not for one who is going */
    end = a->until > 0 && a->until < room->kept ? a->until : room->kept;
    recent = history_oldest(&room->history, room->kept + 1);
    a->slices = mem_alloc(ASK_SLICES * sizeof *a->slices);
    if (a->seq + 1 >= recent || a->seq >= end)
        read_recent(room, a, end);
    else
        read_kept(room, a, a->seq, end, FEED_BYTES, on_piece_read);
}

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

void room_answer_history(struct ask *a, const struct history *h, uint64_t oldest, uint64_t newest,
                         const char *room, size_t room_len)
{
    uint64_t after, last, count = 0;
    struct slice slices[ASK_SLICES];
    bool more, full = false;

    choose_range(a, oldest, newest, &after, &last, &more);
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

static void answer_from(struct room *room, struct ask *a, const struct history *h, uint64_t newest)
{
    bool direct = room->direct != NULL;

    room_answer_history(a, h, oldest_for(room, a), newest, direct ? a->other : NULL,
                        direct ? a->other_len : 0);
}

static void answer_read(struct room *room, struct ask *a, const struct reading *reading)
{
    struct history h = {0};

    history_append(&h, reading->read.chunk, UINT64_MAX, UINT64_MAX);
    if (reading->goes_on)
        history_append_all(&h, &room->history);
    answer_from(room, a, &h, reading->newest);
    history_deinit(&h);
    ask_return(a, room->chat->reactor);
}

static void on_history_read(struct reactor *r, struct post *p)
{
    struct reading *reading = (struct reading *)p;
    struct chunk *chunk = reading->read.chunk;
    struct room *room = reading->room;
    struct ask *a = reading->ask;
    uint64_t last = chunk != NULL ? chunk->first_seq + chunk->count - 1 : 0;

    if (reading->read.job.failed != NULL || (chunk != NULL && last < reading->read.last)) {
        ask_fail(a, "storage", 0, "the server could not read its disk: try again later");
        ask_return(a, r);
    } else if (chunk == NULL || chunk->first_seq > reading->read.after + 1) { /* it was let go of meanwhile */
        room->oldest = chunk != NULL ? chunk->first_seq : reading->read.last + 1;
        room_answer_or_read(room, a);
    } else if (reading->goes_on && history_oldest(&room->history, room->kept + 1) > last + 1) {
        room_answer_or_read(room, a); /* what was in memory is on the disk only by now */
    } else {
        answer_read(room, a, reading);
    }
    reading_free(reading);
}

/* From what is in memory if that is enough, else from the store. */
void room_answer_or_read(struct room *room, struct ask *a)
{
    uint64_t oldest = oldest_for(room, a), recent = history_oldest(&room->history, room->kept + 1), after,
             last;
    bool more;

    choose_range(a, oldest, room->kept, &after, &last, &more);
    if (after + 1 < oldest)
        after = oldest - 1;
    if (after + 1 < recent && after < last) {
        read_kept(room, a, after, last, HISTORY_BYTES, on_history_read);
        return;
    }
    answer_from(room, a, &room->history, room->kept);
    ask_return(a, room->chat->reactor);
}

void room_on_history(struct reactor *r, struct post *p)
{
    struct ask *a = (struct ask *)p;
    struct room *room = room_find_asked(r, a);

    if (room == NULL) {
        ask_fail(a, "not_member", 0, "you are not in that room");
        ask_return(a, r);
    } else if (!room_put_off(room, a, true)) {
        room_answer_or_read(room, a);
    }
}

void room_on_mark(struct reactor *r, struct post *p)
{
    struct ask *a = (struct ask *)p;
    struct room *room = room_find_asked(r, a);

    if (room == NULL) {
        ask_fail(a, "not_member", 0, "you are not in that room");
        ask_return(a, r);
    } else if (!room_put_off(room, a, true)) {
        marks_go_on(room, a);
    }
}

/* ---- one message ---- */

static void give_line(struct room *room, struct ask *a, const char *data, size_t len,
                      void (*found)(struct room *room, struct ask *a, char *line, size_t len))
{
    struct buf line = {0};

    buf_put(&line, data, len - 1); /* without its LF */
    found(room, a, line.data, line.len);
    buf_deinit(&line);
}

static void stop_seeking(struct room *room, struct ask *a)
{
    struct ask **at = &room->seeking;

    while (*at != a)
        at = &(*at)->next_waiting;
    *at = a->next_waiting;
}

static void on_line_read(struct reactor *r, struct post *p)
{
    struct reading *reading = (struct reading *)p;
    const struct chunk *chunk = reading->read.chunk;
    struct room *room = reading->room;
    struct ask *a = reading->ask;

    stop_seeking(room, a);
    if (reading->read.job.failed != NULL) {
        ask_fail(a, "storage", 0, "the server could not read its disk: try again later");
        ask_return(a, r);
    } else if (chunk == NULL || chunk->first_seq != a->after) { /* it was let go of meanwhile */
        reading->found(room, a, NULL, 0);
    } else {
        give_line(room, a, chunk->data, chunk->len, reading->found);
    }
    reading_free(reading);
}

void room_find_line(struct room *room, struct ask *a,
                    void (*found)(struct room *room, struct ask *a, char *line, size_t len))
{
    struct slice slice;

    if (a->after < history_oldest(&room->history, room->kept + 1)) {
        a->next_waiting = room->seeking;
        room->seeking = a;
        read_kept(room, a, a->after - 1, a->after, 1, on_line_read)->found = found;
    } else if (history_read(&room->history, a->after - 1, 1, 1, &slice, 1) == 0) {
        found(room, a, NULL, 0);
    } else {
        give_line(room, a, slice.chunk->data + slice.at, slice.len, found);
        slice_unref(&slice);
    }
}
