/* pair.c: see pair.h. The thread of the pair's home. */
#include "server/chat/pair.h"

#include "common/clock.h"
#include "common/mem.h"
#include "protocol/codec.h"
#include "server/chat/history.h"
#include "server/chat/keys.h"
#include "server/chat/note.h"
#include "server/chat/room.h"

#include <stdlib.h>
#include <string.h>

struct pair {
    struct table_link link;
    struct pair *older, *newer; /* by their last message */
    uint64_t identity[2];       /* of the nick that sorts first, and of the other */
    uint64_t epoch, seq, last_time_ms;
    struct history history; /* as the second one sees it: under the first one's nick */
    struct keys keys;
    char name[DIRECT_NAME_LEN];
};

static int matches(const struct table_link *link, const void *key, size_t len)
{
    const struct pair *pair = table_of(link, struct pair, link);

    return len == DIRECT_NAME_LEN && memcmp(pair->name, key, len) == 0;
}

static void unlist(struct chat *chat, struct pair *pair)
{
    if (pair->older != NULL)
        pair->older->newer = pair->newer;
    else
        chat->pairs_oldest = pair->newer;
    if (pair->newer != NULL)
        pair->newer->older = pair->older;
    else
        chat->pairs_newest = pair->older;
}

static void list_newest(struct chat *chat, struct pair *pair)
{
    pair->older = chat->pairs_newest;
    pair->newer = NULL;
    if (pair->older != NULL)
        pair->older->newer = pair;
    else
        chat->pairs_oldest = pair;
    chat->pairs_newest = pair;
}

static void pair_free(struct chat *chat, struct pair *pair)
{
    atomic_fetch_sub(&chat->shared->history_bytes, pair->history.bytes);
    unlist(chat, pair);
    table_remove(&chat->pairs, &pair->link);
    history_deinit(&pair->history);
    keys_deinit(&pair->keys);
    free(pair);
}

void pair_free_all(struct chat *chat)
{
    while (chat->pairs_oldest != NULL)
        pair_free(chat, chat->pairs_oldest);
}

static void begin_anew(struct chat *chat, struct pair *pair, const uint64_t identity[2])
{
    atomic_fetch_sub(&chat->shared->history_bytes, pair->history.bytes);
    history_deinit(&pair->history);
    keys_deinit(&pair->keys);
    pair->seq = 0;
    pair->epoch = clock_wall_us() / 1000;
    memcpy(pair->identity, identity, sizeof pair->identity);
}

/* The conversation of these two as they are now; a new one in place of that of an earlier owner of a nick. */
static struct pair *get_pair(struct chat *chat, const struct ask *a, uint64_t other_identity)
{
    bool first = direct_is_first(a);
    uint64_t identity[2] = {first ? a->identity : other_identity, first ? other_identity : a->identity};
    uint32_t hash = table_hash(a->room, a->room_len);
    struct table_link *link = table_find(&chat->pairs, hash, a->room, a->room_len, matches);
    struct pair *pair;

    if (link == NULL) {
        if (chat->pairs.count >= chat->limits.max_rooms)
            pair_free(chat, chat->pairs_oldest);
        pair = mem_zalloc(sizeof *pair);
        memcpy(pair->name, a->room, DIRECT_NAME_LEN);
        table_insert(&chat->pairs, &pair->link, hash);
        list_newest(chat, pair);
        begin_anew(chat, pair, identity);
        return pair;
    }
    pair = table_of(link, struct pair, link);
    if (memcmp(pair->identity, identity, sizeof identity) != 0)
        begin_anew(chat, pair, identity);
    return pair;
}

static void tell(struct chat *chat, const char *folded, size_t len, uint64_t identity, struct chunk *chunk)
{
    struct note_to to = {.folded = folded, .folded_len = len, .identity = identity};

    note_send(chat, &to, chunk);
}

static struct chunk *make_line(const struct pair *pair, const struct ask *a, const char *under,
                               size_t under_len)
{
    struct buf line = {0};
    char room[DIRECT_SHOWN_SIZE];
    size_t len = direct_show(room, under, under_len);
    struct chunk *chunk;

    codec_put_msg(&line, room, len, pair->seq, a->nick, a->nick_len, pair->last_time_ms, a->text.data,
                  a->text.len);
    chunk = chunk_new_copy(line.data, line.len);
    chunk->first_seq = pair->seq;
    chunk->count = 1;
    buf_deinit(&line);
    return chunk;
}

static void answer_ack(struct ask *a, const struct nick_place *other, uint64_t seq, uint64_t time_ms,
                       bool repeat)
{
    char room[DIRECT_SHOWN_SIZE];
    size_t len = direct_show(room, other->text, other->len);

    if (a->id_len == 0)
        return;
    codec_begin(&a->answer, MESSAGE_ACK);
    codec_add(&a->answer, FIELD_RE, a->id, a->id_len);
    codec_add(&a->answer, FIELD_ROOM, room, len);
    codec_add_uint(&a->answer, FIELD_SEQ, seq);
    codec_add_uint(&a->answer, FIELD_TIME, time_ms);
    if (repeat)
        codec_add_bool(&a->answer, FIELD_REPEAT, true);
    codec_end(&a->answer);
    a->answer_lines = 1;
}

/* What pairs keep counts with what rooms keep: where it is too much, the pairs that were silent longest are
 * forgotten. */
static void keep(struct chat *chat, struct pair *pair, struct chunk *line)
{
    uint64_t before = pair->history.bytes;

    history_append(&pair->history, line, chat->limits.history, chat->limits.history_bytes);
    atomic_fetch_add(&chat->shared->history_bytes, pair->history.bytes - before);
    while (atomic_load(&chat->shared->history_bytes) > chat->limits.history_total &&
           chat->pairs_oldest != pair)
        pair_free(chat, chat->pairs_oldest);
}

static void say(struct chat *chat, struct pair *pair, struct ask *a, const struct nick_place *other)
{
    const struct keys_sender sender = ask_sender(a);
    struct reactor *r = chat->reactor;
    struct chunk *mine, *theirs;

    reactor_now(r);
    if (r->wall_ms > pair->last_time_ms)
        pair->last_time_ms = r->wall_ms;
    pair->seq++;
    mine = make_line(pair, a, other->text, other->len);
    theirs = make_line(pair, a, a->nick, a->nick_len);
    unlist(chat, pair);
    list_newest(chat, pair);
    keep(chat, pair, direct_is_first(a) ? theirs : mine);
    if (a->key_len > 0)
        keys_add(&pair->keys, &sender, a->key, a->key_len, pair->seq, pair->last_time_ms);
    keys_forget(&pair->keys, history_oldest(&pair->history, pair->seq + 1));
    tell(chat, a->folded, a->folded_len, a->identity, mine);
    tell(chat, a->other_folded, a->other_folded_len, other->identity, theirs);
    chunk_unref(mine);
    chunk_unref(theirs);
}

void pair_send(struct chat *chat, struct ask *a, const struct nick_place *other)
{
    struct pair *pair = get_pair(chat, a, other->identity);
    const struct keys_sender sender = ask_sender(a);
    const struct key *old = NULL;

    if (a->key_len > 0)
        old = keys_find(&pair->keys, &sender, a->key, a->key_len);
    if (old != NULL) {
        answer_ack(a, other, old->seq, old->time_ms, true);
    } else {
        say(chat, pair, a, other);
        answer_ack(a, other, pair->seq, pair->last_time_ms, false);
    }
}

void pair_history(struct chat *chat, struct ask *a, const struct nick_place *other)
{
    struct pair *pair = get_pair(chat, a, other->identity);
    char room[DIRECT_SHOWN_SIZE];

    room_answer_history(a, &pair->history, history_oldest(&pair->history, pair->seq + 1), pair->seq, room,
                        direct_show(room, other->text, other->len));
}
