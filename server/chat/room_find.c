/* room_find.c: a search where all is in memory: the messages that rooms at home here remember are looked
 * through, the newest first, for some milliseconds. The home's thread. See room.h and search.h. */
#include "common/clock.h"
#include "server/chat/room.h"
#include "server/chat/search.h"

#include <string.h>

#define PIECE   64   /* messages looked at at a time */
#define LOOK_US 5000 /* that a reactor gives to one search, about: then one message more of each room */

struct finder {
    struct chat *chat;
    struct search *s;
    uint64_t until_us;
};

static bool is_current(const struct room *room, const struct search_seen *seen)
{
    uint64_t of = seen->edits > 0 ? seen->edits : seen->seq, by = 0;
    struct store_change change;

    for (size_t at = 0; at + sizeof change <= room->changes.len; at += sizeof change) {
        memcpy(&change, room->changes.data + at, sizeof change);
        if (change.of != of)
            continue;
        if (change.removes != 0)
            return false;
        by = change.seq;
    }
    return by == (seen->edits > 0 ? seen->seq : 0);
}

/* The lines of a slice, from its last one on; false when there is enough, or the time is up. */
static bool look_through(struct finder *f, const struct room *room, struct search_room *r,
                         const struct slice *slice)
{
    const char *start = slice->chunk->data + slice->at, *end = start + slice->len;
    struct search_seen seen;

    while (end > start) {
        const char *lf = memrchr(start, '\n', (size_t)(end - 1 - start)), *line = lf != NULL ? lf + 1 : start;
        bool is_match = search_look(f->s, line, (size_t)(end - line), &seen);

        r->bound_ms = seen.time_ms;
        if (is_match && is_current(room, &seen))
            search_add(f->s, r, &seen, line, (size_t)(end - line));
        r->at = seen.seq - 1;
        end = line;
        if (search_is_full(f->s, r) || clock_mono_us() >= f->until_us)
            return false;
    }
    return true;
}

static bool advance(void *arg, size_t i)
{
    struct finder *f = arg;
    struct search_room *r = &f->s->rooms[i];
    uint32_t hash = table_hash(r->name, r->name_len);
    struct slice slices[PIECE];
    struct room *room;
    uint64_t oldest, after;
    bool goes_on = true;
    size_t n;

    if (chat_home(f->chat, hash) != f->chat->reactor)
        return false;
    room = room_find(f->chat, r->name, r->name_len, hash);
    oldest = room != NULL ? room_oldest(room) : 1;
    if (room == NULL || r->at < oldest || oldest > room->kept) {
        r->at = 0;
        return false;
    }
    if (r->at > room->kept)
        r->at = room->kept;
    after = r->at >= oldest + PIECE ? r->at - PIECE : oldest - 1;
    n = history_read(&room->history, after, r->at - after, UINT64_MAX, slices, PIECE);
    for (size_t k = n; k-- > 0;) {
        goes_on = goes_on && look_through(f, room, r, &slices[k]);
        slice_unref(&slices[k]);
    }
    return true;
}

void room_search(struct chat *chat, struct search *s)
{
    struct finder f = {chat, s, clock_mono_us() + LOOK_US};

    search_run(s, f.until_us, &f, advance);
}
