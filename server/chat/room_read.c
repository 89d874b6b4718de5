/* room_read.c: reading what a room has said: the next piece for those who are behind, one message. The home's
 * thread. See room.h. */
#include "server/chat/room_read.h"

#include "common/mem.h"
#include "server/chat/marks.h"
#include "server/chat/room.h"
#include "server/chat/session.h"

#include <stdlib.h>
#include <string.h>

#define FEED_BYTES    (256 * 1024) /* for one who is behind, at a time */
#define FEED_MESSAGES 4096
#define DAMAGED_TRIES 3 /* before what can't be read is passed over */

void room_put_gap(struct ask *a, const char *room, size_t len, uint64_t from, uint64_t to)
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

struct reading *room_read_kept(struct room *room, struct ask *a, uint64_t after, uint64_t last,
                               uint64_t pivot, uint64_t most_bytes, post_fn *done)
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
    reading->read.pivot = pivot < reading->read.last ? pivot : reading->read.last;
    reading->read.most_bytes = most_bytes;
    reading->read.passes_over = a->tries >= DAMAGED_TRIES;
    reading->read.job.home = room->chat->reactor;
    reading->read.job.done = done;
    room->reads++;
    store_read(room->chat->shared->store, &reading->read);
    return reading;
}

void reading_free(struct reading *reading)
{
    reading->room->reads--;
    chunk_unref(reading->read.chunk);
    free(reading);
}

uint64_t room_oldest_for(const struct room *room, const struct ask *a)
{
    uint64_t oldest = room_oldest(room);

    return room->direct != NULL && a->first > oldest ? a->first : oldest;
}

static void skip_gap(struct ask *a, const struct room *room, uint64_t oldest)
{
    bool direct = room->direct != NULL;

    if (a->seq + 1 >= oldest)
        return;
    room_put_gap(a, direct ? a->other : room->name, direct ? a->other_len : room->name_len, a->seq + 1,
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
    skip_gap(a, room, room_oldest_for(room, a));
    if (a->is_last && a->until == 0)
        a->until = room->kept; /* what is said from now on is not for one who is going */
    end = a->until > 0 && a->until < room->kept ? a->until : room->kept;
    recent = history_oldest(&room->history, room->kept + 1);
    a->slices = mem_alloc(ASK_SLICES * sizeof *a->slices);
    if (a->seq + 1 >= recent || a->seq >= end)
        read_recent(room, a, end);
    else
        room_read_kept(room, a, a->seq, end, 0, FEED_BYTES, on_piece_read);
}

void room_on_mark(struct reactor *r, struct post *p)
{
    struct ask *a = (struct ask *)p;
    struct room *room = room_find_or_refuse(r, a);

    if (room != NULL && !room_put_off(room, a, true))
        marks_go_on(room, a);
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
        room_read_kept(room, a, a->after - 1, a->after, 0, 1, on_line_read)->found = found;
    } else if (history_read(&room->history, a->after - 1, 1, 1, &slice, 1) == 0) {
        found(room, a, NULL, 0);
    } else {
        give_line(room, a, slice.chunk->data + slice.at, slice.len, found);
        slice_unref(&slice);
    }
}
