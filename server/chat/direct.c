/* direct.c: see direct.h. */
#include "server/chat/direct.h"

#include "common/digest.h"
#include "common/mem.h"
#include "server/chat/marks.h"
#include "server/chat/note.h"
#include "server/chat/pair.h"
#include "server/chat/room.h"
#include "server/chat/session.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- names ---- */

bool direct_is_first(const struct ask *a)
{
    size_t n = a->folded_len < a->other_folded_len ? a->folded_len : a->other_folded_len;
    int order = memcmp(a->folded, a->other_folded, n);

    return order != 0 ? order < 0 : a->folded_len < a->other_folded_len;
}

/* A digest, because two nicks are longer than a room's name may be. */
void direct_set_name(struct ask *a)
{
    static const char digits[] = "0123456789abcdef";
    bool first = direct_is_first(a);
    char text[2 * UTF8_FOLD_MAX + 1];
    unsigned char digest[DIGEST_SIZE];
    size_t one_len = first ? a->folded_len : a->other_folded_len,
           two_len = first ? a->other_folded_len : a->folded_len;

    memcpy(text, first ? a->folded : a->other_folded, one_len);
    text[one_len] = '\0';
    memcpy(text + one_len + 1, first ? a->other_folded : a->folded, two_len);
    digest_sha256(text, one_len + 1 + two_len, digest);
    a->room[0] = '@';
    for (size_t i = 0; i < DIRECT_NAME_LEN / 2; i++) {
        a->room[1 + 2 * i] = digits[digest[i] >> 4];
        a->room[2 + 2 * i] = digits[digest[i] & 15];
    }
    a->room_len = DIRECT_NAME_LEN;
}

size_t direct_show(char out[DIRECT_SHOWN_SIZE], const char *nick, size_t len)
{
    out[0] = '@';
    memcpy(out + 1, nick, len);
    return len + 1;
}

void direct_view(const struct room *room, struct ask *a)
{
    struct direct *d = room->direct;
    const struct side *me = direct_side(d, a->folded, a->folded_len), *other = direct_peer(d, me);

    a->first = me->from > room->kept + 1 ? room->kept + 1 : me->from;
    if (other->len > 0)
        a->other_len = (uint8_t)direct_show(a->other, other->nick, other->len);
}

/* ---- what was said ---- */

static void rewrite(struct buf *b, const char *line, size_t len, const char *shown, size_t shown_len)
{
    const char *end = line + len;

    while (line < end) {
        const char *next = (const char *)memchr(line, '\n', (size_t)(end - line)) + 1;

        codec_put_msg_again(b, line, (size_t)(next - line), NULL, 0, shown, shown_len);
        line = next;
    }
}

static struct chunk *take_chunk(struct buf *b, uint64_t first_seq, uint32_t count)
{
    struct chunk *chunk = chunk_new_copy(b->data, b->len);

    chunk->first_seq = first_seq;
    chunk->count = count;
    buf_deinit(b);
    return chunk;
}

static void tell_side(struct room *room, const struct side *s, const struct side *other, struct chunk *chunk)
{
    struct note_to to = {.folded = s->folded,
                         .folded_len = s->folded_len,
                         .identity = s->identity,
                         .since_ms = s->since_ms,
                         .room = room->name,
                         .room_len = room->name_len,
                         .other = other->folded,
                         .other_len = other->folded_len};
    char shown[DIRECT_SHOWN_SIZE];
    struct buf lines = {0};
    struct chunk *seen;

    if (s->identity == 0 || chunk->first_seq < s->from)
        return;
    rewrite(&lines, chunk->data, chunk->len, shown, direct_show(shown, other->nick, other->len));
    seen = take_chunk(&lines, chunk->first_seq, chunk->count);
    note_send(room->chat, &to, seen);
    chunk_unref(seen);
}

void direct_tell(struct room *room, struct chunk *chunk)
{
    struct side *sides = room->direct->sides;

    tell_side(room, &sides[0], &sides[1], chunk);
    tell_side(room, &sides[1], &sides[0], chunk);
}

void direct_rewrite(struct ask *a)
{
    struct buf lines = {0};
    uint32_t count = 0;
    uint64_t first = a->seq + 1;

    for (size_t i = 0; i < a->slice_count; i++) {
        rewrite(&lines, a->slices[i].chunk->data + a->slices[i].at, a->slices[i].len, a->other, a->other_len);
        count += a->slices[i].count;
        slice_unref(&a->slices[i]);
    }
    a->slice_count = count > 0;
    if (count > 0) {
        struct chunk *chunk = take_chunk(&lines, first, count);

        a->slices[0] = (struct slice){chunk, 0, chunk->len, count};
    }
}

void direct_take_back(struct room *room)
{
    for (int i = 0; i < 2; i++) {
        struct side *s = &room->direct->sides[i];

        if (s->from > room->kept + 1) {
            s->from = room->kept + 1;
            s->is_entered = false;
        }
    }
}

/* ---- what is asked ---- */

/* Both are guests, and the other is there. */
static bool is_pair(struct chat *chat, const struct ask *a, struct nick_place *other)
{
    return !a->is_account &&
           directory_find(&chat->shared->directory, a->other_folded, a->other_folded_len, other) &&
           !other->is_account;
}

static void refuse_full(struct direct *d, struct ask *a)
{
    struct side *full = d->full;
    uint32_t most = direct_most(d, full);
    char text[192];

    snprintf(
        text, sizeof text,
        "%.*s has %u direct conversations or more: as many as an account may have where a new one is with "
        "%s",
        full->len, full->nick, most, most == DIRECT_MAX ? "an account" : "a guest");
    ask_fail(a, "too_many_conversations", most, text);
    d->full = NULL;
}

static void refuse(struct direct *d, struct ask *a, enum direct_ready why)
{
    if (why == DIRECT_FULL)
        refuse_full(d, a);
    else if (why == DIRECT_NOBODY)
        ask_fail(a, "no_such_nick", 0, "nobody of that nick is here, and it is no account");
    else
        ask_fail(a, "storage", 0, "the server could not store who talks to whom: try again later");
}

/* The conversation, loaded, with both sides known; NULL: the ask waits, or has been answered. */
static struct room *open_room(struct chat *chat, struct ask *a, bool needs_kept, bool is_said)
{
    struct room *room = room_find(chat, a->room, a->room_len, table_hash(a->room, a->room_len));
    enum direct_ready ready;
    bool is_first_try = !a->is_ready;

    if (room == NULL)
        room = room_make(chat, a->room, a->room_len, direct_new(a));
    if (room == NULL) {
        ask_fail(a, "server_rooms", chat->limits.max_rooms, "the server has as many rooms as it may");
        ask_return(a, chat->reactor);
        return NULL;
    }
    if ((needs_kept || room->is_loading || room->waiting != NULL) && room_put_off(room, a, needs_kept))
        return NULL;
    if (is_said && (room_put_off_for_keys(room, a) || room_lacks_keys(room, a)))
        return NULL;
    ready = direct_prepare(room, a, is_said);
    if (ready == DIRECT_READY) {
        direct_view(room, a);
        return room;
    }
    if (ready == DIRECT_WAITS) {
        room_wait_first(room, a);
        return NULL;
    }
    refuse(room->direct, a, ready);
    ask_return(a, chat->reactor);
    if (is_first_try)
        direct_give_up(room);
    return NULL;
}

void direct_on_send(struct reactor *r, struct post *p)
{
    struct ask *a = (struct ask *)p;
    struct nick_place other;
    struct room *room;

    if (is_pair(chat_of(r), a, &other)) {
        pair_send(chat_of(r), a, &other);
        ask_return(a, r);
        return;
    }
    room = open_room(chat_of(r), a, false, true);
    if (room != NULL)
        room_take_send(room, a);
}

void direct_on_edit(struct reactor *r, struct post *p)
{
    struct ask *a = (struct ask *)p;
    struct nick_place other;
    struct refusal f;
    struct room *room;

    if (is_pair(chat_of(r), a, &other)) {
        refusal_say(&f, "bad_request", "what guests say directly to each other stays as it was said");
        f.field = "room";
        ask_refuse(a, &f);
        ask_return(a, r);
        return;
    }
    room = open_room(chat_of(r), a, true, true);
    if (room != NULL)
        room_take_edit(room, a);
}

void direct_on_history(struct reactor *r, struct post *p)
{
    struct ask *a = (struct ask *)p;
    struct nick_place other;
    struct room *room;

    if (is_pair(chat_of(r), a, &other)) {
        pair_history(chat_of(r), a, &other);
        ask_return(a, r);
        return;
    }
    room = open_room(chat_of(r), a, true, false);
    if (room != NULL)
        room_answer_or_read(room, a);
}

void direct_on_join(struct reactor *r, struct post *p)
{
    struct ask *a = (struct ask *)p;
    struct room *room = open_room(chat_of(r), a, false, false);

    if (room == NULL)
        return;
    if (a->is_new)
        room->members++; /* connections that read on here: it stays in memory */
    room_answer_joined(room, a);
    ask_return(a, r);
}

void direct_on_mark(struct reactor *r, struct post *p)
{
    struct ask *a = (struct ask *)p;
    struct room *room = open_room(chat_of(r), a, true, false);

    if (room != NULL)
        marks_go_on(room, a);
}
