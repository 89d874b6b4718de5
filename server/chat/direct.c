/* direct.c: see direct.h. The thread of the pair's home. */
#include "server/chat/direct.h"

#include "common/clock.h"
#include "common/mem.h"
#include "server/chat/history.h"
#include "server/chat/keys.h"
#include "server/chat/room.h"
#include "server/chat/session.h"

#include <stdlib.h>
#include <string.h>

#define PAIR_KEY_MAX (2 * UTF8_FOLD_MAX + 1)

struct pair {
    struct table_link link;
    struct pair *older, *newer; /* by their last message */
    uint64_t identity[2];       /* of the nick that sorts first, and of the other */
    uint64_t epoch, seq, last_time_ms;
    struct history history; /* as the second one sees it: under the first one's nick */
    struct keys keys;
    uint16_t key_len;
    char key[]; /* both folded nicks in order, a NUL between them */
};

/* A line on its way to one nick. */
struct note {
    struct post post;
    struct chunk *chunk;
    uint64_t identity;
    uint8_t len;
    char folded[UTF8_FOLD_MAX];
};

/* Whether the asker's nick sorts first. */
static bool asker_is_first(const struct ask *a)
{
    size_t n = a->folded_len < a->other_folded_len ? a->folded_len : a->other_folded_len;
    int order = memcmp(a->folded, a->other_folded, n);

    return order != 0 ? order < 0 : a->folded_len < a->other_folded_len;
}

static size_t make_key(const struct ask *a, char key[PAIR_KEY_MAX])
{
    bool first = asker_is_first(a);
    const char *one = first ? a->folded : a->other_folded, *two = first ? a->other_folded : a->folded;
    size_t one_len = first ? a->folded_len : a->other_folded_len,
           two_len = first ? a->other_folded_len : a->folded_len;

    memcpy(key, one, one_len);
    key[one_len] = '\0';
    memcpy(key + one_len + 1, two, two_len);
    return one_len + 1 + two_len;
}

struct reactor *direct_home(const struct chat *chat, const struct ask *a)
{
    char key[PAIR_KEY_MAX];
    size_t len = make_key(a, key);

    return chat_home(chat, table_hash(key, len));
}

static int matches(const struct table_link *link, const void *key, size_t len)
{
    const struct pair *pair = table_of(link, struct pair, link);

    return pair->key_len == len && memcmp(pair->key, key, len) == 0;
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

void direct_free_all(struct chat *chat)
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
    bool first = asker_is_first(a);
    uint64_t identity[2] = {first ? a->identity : other_identity, first ? other_identity : a->identity};
    char key[PAIR_KEY_MAX];
    size_t len = make_key(a, key);
    uint32_t hash = table_hash(key, len);
    struct table_link *link = table_find(&chat->pairs, hash, key, len, matches);
    struct pair *pair;

    if (link == NULL) {
        if (chat->pairs.count >= chat->limits.max_rooms)
            pair_free(chat, chat->pairs_oldest);
        pair = mem_zalloc(sizeof *pair + len);
        pair->key_len = (uint16_t)len;
        memcpy(pair->key, key, len);
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

static void give(struct session *s, struct chunk *chunk)
{
    /* its answers are bounded as such */
    if (s->conn.out.bytes - s->conn.out.own > 2 * s->conn.reactor->limits.max_out) {
        session_let_go(s, "detach");
        session_bye(s, "slow", "too much waits for you: come back and read on", NULL, 0);
        return;
    }
    conn_push(&s->conn, chunk, 0, chunk->len);
    s->conn.life.msgs_out++;
}

static void on_note(struct reactor *r, struct post *p)
{
    struct note *n = (struct note *)p;
    struct session *there[DIRECTORY_SESSIONS_MAX];
    size_t count = directory_sessions(&chat_of(r)->shared->directory, n->folded, n->len, r, there);

    for (size_t i = 0; i < count; i++)
        if (there[i]->nick->identity == n->identity)
            give(there[i], n->chunk);
    chunk_unref(n->chunk);
    free(n);
}

/* All connections of that nick. */
static void tell(struct chat *chat, const char *folded, size_t len, uint64_t identity, struct chunk *chunk)
{
    struct reactor *there[DIRECTORY_SESSIONS_MAX];
    size_t count = directory_reactors(&chat->shared->directory, folded, len, there);

    for (size_t i = 0; i < count; i++) {
        struct note *n = mem_alloc(sizeof *n);

        n->chunk = chunk_ref(chunk);
        n->identity = identity;
        n->len = (uint8_t)len;
        memcpy(n->folded, folded, len);
        reactor_post(chat->reactor, there[i], &n->post, on_note);
    }
}

/* "@nick" into out; how long it is. */
static size_t at_nick(char out[UTF8_NICK_MAX + 2], const char *nick, size_t len)
{
    out[0] = '@';
    memcpy(out + 1, nick, len);
    return len + 1;
}

static struct chunk *make_line(const struct pair *pair, const struct ask *a, const char *under,
                               size_t under_len)
{
    struct buf line = {0};
    char room[UTF8_NICK_MAX + 2];
    size_t len = at_nick(room, under, under_len);
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
    char room[UTF8_NICK_MAX + 2];
    size_t len = at_nick(room, other->text, other->len);

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

/* What pairs keep counts with what rooms keep: where it is too much, the pairs that were silent longest are forgotten. */
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
    keep(chat, pair, asker_is_first(a) ? theirs : mine);
    if (a->key_len > 0)
        keys_add(&pair->keys, a->folded, a->folded_len, a->key, a->key_len, pair->seq, pair->last_time_ms);
    keys_forget(&pair->keys, history_oldest(&pair->history, pair->seq + 1));
    tell(chat, a->folded, a->folded_len, a->identity, mine);
    tell(chat, a->other_folded, a->other_folded_len, other->identity, theirs);
    chunk_unref(mine);
    chunk_unref(theirs);
}

void direct_on_send(struct reactor *r, struct post *p)
{
    struct ask *a = (struct ask *)p;
    struct chat *chat = chat_of(r);
    const struct key *old = NULL;
    struct nick_place other;
    struct pair *pair;

    if (!directory_find(&chat->shared->directory, a->other_folded, a->other_folded_len, &other)) {
        ask_fail(a, "no_such_nick", 0, "nobody of that nick is here");
        ask_return(a, r);
        return;
    }
    pair = get_pair(chat, a, other.identity);
    if (a->key_len > 0)
        old = keys_find(&pair->keys, a->folded, a->folded_len, a->key, a->key_len);
    if (old != NULL) {
        answer_ack(a, &other, old->seq, old->time_ms, true);
    } else {
        say(chat, pair, a, &other);
        answer_ack(a, &other, pair->seq, pair->last_time_ms, false);
    }
    ask_return(a, r);
}

void direct_on_history(struct reactor *r, struct post *p)
{
    struct ask *a = (struct ask *)p;
    struct chat *chat = chat_of(r);
    struct nick_place other;
    char room[UTF8_NICK_MAX + 2];
    struct pair *pair;

    if (!directory_find(&chat->shared->directory, a->other_folded, a->other_folded_len, &other)) {
        ask_fail(a, "no_such_nick", 0, "nobody of that nick is here");
    } else {
        pair = get_pair(chat, a, other.identity);
        room_answer_history(a, &pair->history, history_oldest(&pair->history, pair->seq + 1), pair->seq, room,
                            at_nick(room, other.text, other.len));
    }
    ask_return(a, r);
}
