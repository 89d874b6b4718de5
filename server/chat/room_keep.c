/* room_keep.c: a room and the store: turns on their way there and back, what waits for them, and the room as
 * it was kept. The home's thread. See room.h. */
#include "common/log.h"
#include "common/mem.h"
#include "server/chat/room.h"
#include "server/chat/session.h"

#include <stdlib.h>
#include <string.h>

#define RECENT_BYTES (4 << 20) /* of messages in memory, where the rest can be read from a disk */
#define MANY_MEMBERS 32        /* of a room */

bool room_lasts(const struct room *room)
{
    return room->chat->shared->store->lasts;
}

uint64_t room_oldest(const struct room *room)
{
    return room_lasts(room) ? room->oldest : history_oldest(&room->history, room->kept + 1);
}

bool room_is_busy(const struct room *room)
{
    return room->is_dirty || room->turns != NULL || room->waiting != NULL || room->is_loading ||
           room->reads > 0 || room->moderation.now != NULL || room->moderation.puts > 0;
}

/* ---- waiting ---- */

bool room_put_off(struct room *room, struct ask *a, bool needs_kept)
{
    if (a->is_ready)
        return false;
    room_flush(room);
    if (!room->is_loading && room->waiting == NULL && (!needs_kept || room->turns == NULL))
        return false;
    a->wait_for = needs_kept ? room->turns_given : 0;
    a->next_waiting = NULL;
    if (room->waiting == NULL)
        room->waiting = a;
    else
        room->newest_waiting->next_waiting = a;
    room->newest_waiting = a;
    return true;
}

void room_wait_first(struct room *room, struct ask *a)
{
    a->wait_for = 0;
    a->next_waiting = room->waiting;
    if (room->waiting == NULL)
        room->newest_waiting = a;
    room->waiting = a;
}

void room_run_waiting(struct room *room)
{
    struct ask *a;

    while ((a = room->waiting) != NULL && !room->is_loading && a->wait_for <= room->turns_done) {
        room->waiting = a->next_waiting;
        a->is_ready = true;
        a->home(room->chat->reactor, &a->post);
    }
}

/* ---- turns ---- */

struct turn *room_new_turn(struct room *room)
{
    struct turn *turn = mem_zalloc(sizeof *turn);

    turn->room = room;
    turn->acks = room->acks;
    turn->ack_count = room->ack_count;
    turn->ack_lines = room->ack_lines;
    room->acks = NULL;
    room->ack_count = room->ack_cap = 0;
    room->ack_lines = (struct buf){0};
    return turn;
}

static void turn_free(struct turn *turn)
{
    chunk_unref(turn->chunk);
    buf_deinit(&turn->write.keys);
    buf_deinit(&turn->write.changes);
    buf_deinit(&turn->ack_lines);
    free(turn->acks);
    free(turn->topic);
    free(turn);
}

void room_fail_acks(struct ack *acks, uint32_t count, struct buf *lines)
{
    struct buf out = {0};

    buf_put(&out, lines->data, acks[0].at);
    for (uint32_t i = 0; i < count; i++) {
        struct ack *ack = &acks[i];
        uint32_t at = (uint32_t)out.len;

        if (ack->is_error) {
            buf_put(&out, lines->data + ack->at, ack->len);
        } else {
            codec_begin(&out, MESSAGE_ERROR);
            buf_put(&out, lines->data + ack->at + sizeof "{\"type\":\"ack\"" - 1, ack->re_len);
            codec_add_text(&out, FIELD_CODE, "storage");
            codec_add_text(&out, FIELD_TEXT,
                           "the server could not store it, and nobody has seen it: try again later");
            codec_end(&out);
        }
        ack->at = at;
        ack->len = (uint32_t)out.len - at;
        ack->is_error = true;
    }
    buf_deinit(lines);
    *lines = out;
}

/* What is said and not given to the store yet can't be kept any more: its numbers are too high. */
static void begin_failing(struct room *room)
{
    room->is_failing = true;
    if (room->ack_count > 0)
        room_fail_acks(room->acks, room->ack_count, &room->ack_lines);
    room->count = 0;
    buf_clear(&room->lines);
    buf_clear(&room->said_keys);
    buf_clear(&room->said_changes);
}

static void end_failing(struct room *room)
{
    room->is_failing = false;
    room->seq = room->kept;
    keys_forget_after(&room->keys, room->kept);
    if (room->direct != NULL)
        direct_take_back(room);
}

/* Counts what a room has in memory now. */
static void count_memory(struct room *room)
{
    uint64_t before = room->counted;

    room->counted = room->history.bytes + keys_bytes(&room->keys);
    atomic_fetch_add(&room->chat->shared->history_bytes, room->counted - before);
    if (before > 0 && room->counted == 0)
        TAILQ_REMOVE(&room->chat->remembered, room, remembered);
    if (before == 0 && room->counted > 0)
        TAILQ_INSERT_TAIL(&room->chat->remembered, room, remembered);
}

/* Where there is a disk, keys are known of as many messages as memory would keep. */
static void forget_keys(struct room *room)
{
    uint32_t most = room->chat->limits.history;

    if (!room_lasts(room))
        keys_forget(&room->keys, history_oldest(&room->history, room->kept + 1));
    else if (room->kept > most)
        keys_forget(&room->keys, room->kept - most + 1);
}

/* A room that is silent can do without its oldest messages, and, where they can be read again, without its keys. */
static bool forget_some(struct room *room)
{
    if (room->history.count > 0) {
        history_drop_oldest(&room->history);
        forget_keys(room);
    } else if (room_lasts(room) && room->keys.count > 0 && room->turns == NULL && room->count == 0 &&
               !room->is_loading) {
        log_event(LOG_DEBUG, "keys-let-go", "room=%.*s keys=%u", room->name_len, room->name,
                  room->keys.count);
        keys_deinit(&room->keys);
        room->keys_are_out = room->takes_asks_only = true;
    } else {
        return false;
    }
    count_memory(room);
    return true;
}

static bool is_too_much(const struct chat *chat)
{
    return atomic_load_explicit(&chat->shared->history_bytes, memory_order_relaxed) >
           chat->limits.history_total;
}

/* While all rooms have too much, those of this home that were silent longest let go of what they have; the last one has
 * just spoken, or come from the disk, and keeps its keys. */
static void forget_the_silent(struct chat *chat)
{
    struct room *room, *next;

    for (room = TAILQ_FIRST(&chat->remembered); room != NULL && is_too_much(chat); room = next) {
        next = TAILQ_NEXT(room, remembered);
        while (is_too_much(chat) && (next != NULL || room->history.count > 0) && forget_some(room))
            ;
    }
}

/* It has spoken, or come from the disk: all others are silent for longer. */
static void count_as_newest(struct room *room)
{
    count_memory(room);
    if (room->counted > 0) {
        TAILQ_REMOVE(&room->chat->remembered, room, remembered);
        TAILQ_INSERT_TAIL(&room->chat->remembered, room, remembered);
    }
    forget_the_silent(room->chat);
}

static void remember(struct room *room, struct chunk *chunk)
{
    const struct chat_limits *limits = &room->chat->limits;
    uint64_t most = limits->history_bytes;

    if (room_lasts(room) && most > RECENT_BYTES)
        most = RECENT_BYTES;
    room->kept += chunk->count;
    history_append(&room->history, chunk, limits->history, most);
    forget_keys(room);
    count_as_newest(room);
}

/* For searches: those by messages that are no longer in memory go. */
static void remember_changes(struct room *room, const struct buf *changes)
{
    uint64_t oldest = history_oldest(&room->history, room->kept + 1);
    struct store_change change;
    size_t gone = 0;

    for (; gone < room->changes.len; gone += sizeof change) {
        memcpy(&change, room->changes.data + gone, sizeof change);
        if (change.seq >= oldest)
            break;
    }
    if (gone > 0) {
        memmove(room->changes.data, room->changes.data + gone, room->changes.len - gone);
        room->changes.len -= gone;
    }
    buf_put(&room->changes, changes->data, changes->len);
}

static void finish_turn(struct room *room, struct turn *turn)
{
    bool failed = turn->write.job.failed != NULL || (turn->chunk == NULL && room->is_failing);

    if (failed) {
        begin_failing(room);
        if (turn->ack_count > 0)
            room_fail_acks(turn->acks, turn->ack_count, &turn->ack_lines);
        room_hand_out(room, NULL, false, turn);
        return;
    }
    if (turn->write.chunk != NULL)
        remember(room, turn->chunk);
    if (turn->write.changes.len > 0 && !room_lasts(room))
        remember_changes(room, &turn->write.changes);
    if (turn->topic != NULL) {
        free(room->topic);
        room->topic = turn->topic[0] != '\0' ? mem_strdup(turn->topic) : NULL;
    }
    if (turn->chunk != NULL)
        presence_flush(room);
    room_hand_out(room, turn->chunk, false, turn);
}

/* To write to many members costs more than a commit: what the store is just about to keep goes along. A turn
 * is held back for the one behind it, and no longer. */
static bool hold_back(struct room *room)
{
    struct turn *first = room->turns, *turn = first;

    while (turn != NULL && turn->is_back)
        turn = turn->next;
    if (room->members < MANY_MEMBERS || first == NULL || !first->is_back || turn == NULL || first->is_held)
        return false;
    first->is_held = true;
    return true;
}

static void settle(struct room *room)
{
    struct turn *turn;

    if (hold_back(room))
        return;
    while ((turn = room->turns) != NULL && turn->is_back) {
        room->turns = turn->next;
        room->turns_done++;
        finish_turn(room, turn);
        turn_free(turn);
    }
    if (room->turns == NULL && room->is_failing)
        end_failing(room);
    room_run_waiting(room);
}

static void on_kept(struct reactor *r, struct post *p)
{
    struct turn *turn = (struct turn *)p;

    (void)r;
    turn->is_back = true;
    settle(turn->room);
}

void room_keep(struct room *room, struct turn *turn)
{
    struct store_write *w = &turn->write;

    if (room->turns == NULL)
        room->turns = turn;
    else
        room->newest_turn->next = turn;
    room->newest_turn = turn;
    room->turns_given++;
    if (w->chunk == NULL && w->topic == NULL) {
        turn->is_back = true;
        settle(room);
        return;
    }
    w->job.home = room->chat->reactor;
    w->job.done = on_kept;
    w->place = &room->place;
    w->room = room->name;
    w->room_len = room->name_len;
    w->epoch = room->epoch;
    w->time_ms = room->last_time_ms;
    directory_note_time(&room->chat->shared->directory, w->time_ms);
    store_write(room->chat->shared->store, w);
}

/* ---- loading ---- */

struct loading {
    struct store_load load; /* first */
    struct room *room;
};

static void take_loaded(struct room *room, struct store_load *l)
{
    room->place = l->place;
    room->epoch = l->epoch;
    room->seq = room->kept = l->place.kept;
    room->oldest = l->oldest;
    room->last_time_ms = l->time_ms;
    room->topic = l->topic;
    room->keys = l->keys;
    count_as_newest(room);
}

void room_fail_waiting(struct room *room)
{
    struct ask *a;

    while ((a = room->waiting) != NULL) {
        room->waiting = a->next_waiting;
        ask_fail(a, "storage", 0,
                 "the server could not read that room from its disk, or not write to it: try again later");
        ask_return(a, room->chat->reactor);
    }
}

void room_loaded(struct room *room, const char *failed)
{
    room->is_loading = false;
    if (failed != NULL) {
        room_fail_waiting(room);
        room_free(room); /* all that asked for it wanted to join */
    } else {
        room_run_waiting(room);
    }
}

static void on_loaded(struct reactor *r, struct post *p)
{
    struct loading *l = (struct loading *)p;
    struct room *room = l->room;

    const char *failed = l->load.job.failed;

    (void)r;
    if (failed != NULL) {
        free(l->load.topic);
        keys_deinit(&l->load.keys);
        room_loaded(room, failed);
    } else {
        if (l->load.found)
            take_loaded(room, &l->load);
        if (room->direct != NULL) {
            room->is_loading = false;
            if (l->load.found)
                direct_load_sides(room);
            else
                room_run_waiting(room);
        } else {
            room->is_unclaimed = !l->load.found;
            room_load_rights(room);
        }
    }
    free(l);
}

static void load(struct room *room, post_fn *done)
{
    struct loading *l = mem_zalloc(sizeof *l);

    room->is_loading = true;
    l->room = room;
    l->load.job.home = room->chat->reactor;
    l->load.job.done = done;
    memcpy(l->load.room, room->name, room->name_len);
    l->load.room_len = room->name_len;
    l->load.keys_of = room->chat->limits.history;
    store_load(room->chat->shared->store, &l->load);
}

void room_load(struct room *room)
{
    load(room, on_loaded);
}

/* What was asked for on this reactor while there were no keys stands in front of this. */
static void on_asks_done(struct reactor *r, struct post *p)
{
    struct loading *l = (struct loading *)p;

    (void)r;
    l->room->takes_asks_only = l->room->keys_are_out;
    l->room->reads--;
    free(l);
}

static void on_keys_loaded(struct reactor *r, struct post *p)
{
    struct loading *l = (struct loading *)p;
    struct room *room = l->room;

    room->is_loading = false;
    if (l->load.job.failed == NULL) {
        room->keys_are_out = false;
        room->keys = l->load.keys;
        log_event(LOG_DEBUG, "keys-read", "room=%.*s keys=%u", room->name_len, room->name, room->keys.count);
        count_as_newest(room);
    } else {
        keys_deinit(&l->load.keys);
    }
    free(l->load.topic);
    room->reads++; /* it stays until then */
    reactor_post(r, r, &l->load.job.post, on_asks_done);
    room_run_waiting(room);
}

bool room_put_off_for_keys(struct room *room, struct ask *a)
{
    if (a->keys == ASK_WAITS_FOR_KEYS) {
        a->keys = ASK_HAS_WAITED;
        a->is_ready = false; /* it may have to wait for something else yet */
    }
    if (!room->keys_are_out || a->keys == ASK_HAS_WAITED)
        return false;
    a->keys = ASK_WAITS_FOR_KEYS;
    if (!room->is_loading)
        load(room, on_keys_loaded);
    a->is_ready = false;
    return room_put_off(room, a, false);
}

bool room_lacks_keys(const struct room *room, struct ask *a)
{
    if (!room->keys_are_out || a->key_len == 0)
        return false;
    ask_fail(a, "storage", 0,
             "the server could not read from its disk whether this was said before: try again later");
    ask_return(a, room->chat->reactor);
    return true;
}
