/* keys.c: see keys.h. */
#include "server/chat/keys.h"

#include "common/mem.h"
#include "common/utf8.h"
#include "protocol/message.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define TEXT_MAX (UTF8_FOLD_MAX + 1 + PROTOCOL_MAX_ID)

struct wanted {
    const struct keys_sender *sender;
    const char *text;
};

/* The same guest over reconnects, the same account; or a guest who has become one since. */
static bool is_senders(const struct key *k, const struct keys_sender *s)
{
    return k->identity == 0 || k->identity == s->identity || s->since_ms <= k->time_ms;
}

static int matches(const struct table_link *link, const void *key, size_t len)
{
    const struct key *k = table_of(link, struct key, link);
    const struct wanted *w = key;

    return k->len == len && memcmp(k->text, w->text, len) == 0 && is_senders(k, w->sender);
}

static size_t make_text(char *out, const char *sender, size_t sender_len, const char *key, size_t len)
{
    memcpy(out, sender, sender_len);
    out[sender_len] = '\0';
    memcpy(out + sender_len + 1, key, len);
    return sender_len + 1 + len;
}

const struct key *keys_find(const struct keys *k, const struct keys_sender *sender, const char *key,
                            size_t len)
{
    char text[TEXT_MAX];
    size_t n = make_text(text, sender->folded, sender->len, key, len);
    const struct wanted w = {sender, text};
    struct table_link *link = table_find(&k->table, table_hash(text, n), &w, n, matches);

    return link != NULL ? table_of(link, struct key, link) : NULL;
}

static void add(struct keys *k, struct key *new, uint64_t seq, uint64_t time_ms)
{
    new->seq = seq;
    new->time_ms = time_ms;
    if (k->newest != NULL)
        k->newest->next = new;
    else
        k->oldest = new;
    k->newest = new;
    table_insert(&k->table, &new->link, table_hash(new->text, new->len));
}

void keys_add(struct keys *k, const struct keys_sender *sender, const char *key, size_t len, uint64_t seq,
              uint64_t time_ms)
{
    struct key *new = mem_zalloc(sizeof *new + sender->len + 1 + len);

    new->identity = sender->identity;
    new->len = (uint16_t)make_text(new->text, sender->folded, sender->len, key, len);
    add(k, new, seq, time_ms);
}

void keys_forget(struct keys *k, uint64_t oldest_seq)
{
    struct key *at;

    while ((at = k->oldest) != NULL && at->seq < oldest_seq) {
        k->oldest = at->next;
        if (k->oldest == NULL)
            k->newest = NULL;
        table_remove(&k->table, &at->link);
        free(at);
    }
}

void keys_forget_after(struct keys *k, uint64_t newest_seq)
{
    struct key **at = &k->oldest, *last = NULL, *next;

    while (*at != NULL && (*at)->seq <= newest_seq) {
        last = *at;
        at = &last->next;
    }
    for (struct key *gone = *at; gone != NULL; gone = next) {
        next = gone->next;
        table_remove(&k->table, &gone->link);
        free(gone);
    }
    *at = NULL;
    k->newest = last;
}

/* seq and time as they lie in memory, the length of the text, the text. */
struct packed {
    uint64_t seq, time_ms;
    uint16_t len;
};

#define PACKED_SIZE 18

void keys_pack(struct buf *b, const char *sender, size_t sender_len, const char *key, size_t len,
               uint64_t seq, uint64_t time_ms)
{
    char text[TEXT_MAX];
    struct packed p = {seq, time_ms, (uint16_t)make_text(text, sender, sender_len, key, len)};

    buf_put(b, &p.seq, 8);
    buf_put(b, &p.time_ms, 8);
    buf_put(b, &p.len, 2);
    buf_put(b, text, p.len);
}

int keys_unpack(struct keys *k, const void *data, size_t len, uint64_t from_seq)
{
    const char *at = data, *end = at + len;

    while (at < end) {
        struct packed p;
        struct key *new;

        if (end - at < PACKED_SIZE)
            return -1;
        memcpy(&p.seq, at, 8);
        memcpy(&p.time_ms, at + 8, 8);
        memcpy(&p.len, at + 16, 2);
        at += PACKED_SIZE;
        if (p.len > TEXT_MAX || end - at < p.len)
            return -1;
        if (p.seq >= from_seq) {
            new = mem_zalloc(sizeof *new + p.len);
            new->len = p.len;
            memcpy(new->text, at, p.len);
            add(k, new, p.seq, p.time_ms);
        }
        at += p.len;
    }
    return 0;
}

void keys_deinit(struct keys *k)
{
    keys_forget(k, UINT64_MAX);
    table_deinit(&k->table);
}
