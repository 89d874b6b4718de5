/* keys.c: see keys.h. */
#include "server/chat/keys.h"

#include "common/mem.h"
#include "common/siphash.h"
#include "common/utf8.h"
#include "protocol/message.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TEXT_MAX (UTF8_FOLD_MAX + 1 + PROTOCOL_MAX_ID)

static uint64_t secret[2];

static void make_secret(void)
{
    if (getentropy(secret, sizeof secret) != 0)
        abort();
}

/* Of a sender's folded nick, a NUL and his key. Nobody who does not know the secret finds two with the same one, and by
 * chance there are none. */
static uint64_t hash_of(const char *text, size_t len)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    pthread_once(&once, make_secret);
    return siphash24(secret, text, len);
}

static size_t make_text(char *out, const char *sender, size_t sender_len, const char *key, size_t len)
{
    memcpy(out, sender, sender_len);
    out[sender_len] = '\0';
    memcpy(out + sender_len + 1, key, len);
    return sender_len + 1 + len;
}

/* The same guest over reconnects, the same account; or a guest who has become one since. */
static bool is_senders(const struct key *k, const struct keys_sender *s)
{
    return k->identity == 0 || k->identity == s->identity || s->since_ms <= k->time_ms;
}

const struct key *keys_find(const struct keys *k, const struct keys_sender *sender, const char *key,
                            size_t len)
{
    uint32_t mask = k->slot_count - 1;
    char text[TEXT_MAX];
    uint64_t hash;

    if (k->count == 0)
        return NULL;
    hash = hash_of(text, make_text(text, sender->folded, sender->len, key, len));
    for (uint32_t i = (uint32_t)hash & mask; k->slots[i] != 0; i = (i + 1) & mask) {
        const struct key *at = &k->ring[k->slots[i] - 1];

        if (at->hash == hash && is_senders(at, sender))
            return at;
    }
    return NULL;
}

/* The place in the ring of the one so many behind the oldest. */
static uint32_t place(const struct keys *k, uint32_t n)
{
    return n < k->cap - k->first ? k->first + n : n - (k->cap - k->first);
}

static void put_slot(struct keys *k, uint32_t at)
{
    uint32_t mask = k->slot_count - 1, i = (uint32_t)k->ring[at].hash & mask;

    while (k->slots[i] != 0)
        i = (i + 1) & mask;
    k->slots[i] = at + 1;
}

/* What stands behind it, and would be looked for in its place, moves up. */
static void drop_slot(struct keys *k, uint32_t at)
{
    uint32_t mask = k->slot_count - 1, i = (uint32_t)k->ring[at].hash & mask;

    while (k->slots[i] != at + 1)
        i = (i + 1) & mask;
    for (uint32_t next = (i + 1) & mask; k->slots[next] != 0; next = (next + 1) & mask) {
        uint32_t wanted = (uint32_t)k->ring[k->slots[next] - 1].hash & mask;

        if (((next - wanted) & mask) >= ((next - i) & mask)) {
            k->slots[i] = k->slots[next];
            i = next;
        }
    }
    k->slots[i] = 0;
}

static void grow(struct keys *k)
{
    struct keys bigger = {.cap = k->cap + k->cap / 2 + 16, .count = k->count, .slot_count = 32};

    while (bigger.slot_count < bigger.cap + bigger.cap / 2)
        bigger.slot_count *= 2;
    bigger.ring = mem_alloc(bigger.cap * sizeof *bigger.ring);
    bigger.slots = mem_zalloc(bigger.slot_count * sizeof *bigger.slots);
    for (uint32_t i = 0; i < k->count; i++) {
        bigger.ring[i] = k->ring[place(k, i)];
        put_slot(&bigger, i);
    }
    keys_deinit(k);
    *k = bigger;
}

static void add(struct keys *k, const struct key *new)
{
    uint32_t at;

    if (k->count == k->cap)
        grow(k);
    at = place(k, k->count++);
    k->ring[at] = *new;
    put_slot(k, at);
}

void keys_add(struct keys *k, const struct keys_sender *sender, const char *key, size_t len, uint64_t seq,
              uint64_t time_ms)
{
    char text[TEXT_MAX];
    uint64_t hash = hash_of(text, make_text(text, sender->folded, sender->len, key, len));

    add(k, &(struct key){hash, seq, time_ms, sender->identity});
}

void keys_forget(struct keys *k, uint64_t oldest_seq)
{
    while (k->count > 0 && k->ring[k->first].seq < oldest_seq) {
        drop_slot(k, k->first);
        k->first = place(k, 1);
        k->count--;
    }
    if (k->count == 0)
        keys_deinit(k);
}

void keys_forget_after(struct keys *k, uint64_t newest_seq)
{
    while (k->count > 0 && k->ring[place(k, k->count - 1)].seq > newest_seq)
        drop_slot(k, place(k, --k->count));
    if (k->count == 0)
        keys_deinit(k);
}

uint64_t keys_bytes(const struct keys *k)
{
    return k->cap * sizeof *k->ring + k->slot_count * sizeof *k->slots;
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

        if (end - at < PACKED_SIZE)
            return -1;
        memcpy(&p.seq, at, 8);
        memcpy(&p.time_ms, at + 8, 8);
        memcpy(&p.len, at + 16, 2);
        at += PACKED_SIZE;
        if (p.len > TEXT_MAX || end - at < p.len)
            return -1;
        if (p.seq >= from_seq) {
            add(k, &(struct key){hash_of(at, p.len), p.seq, p.time_ms, 0});
        }
        at += p.len;
    }
    return 0;
}

void keys_deinit(struct keys *k)
{
    free(k->ring);
    free(k->slots);
    *k = (struct keys){0};
}
