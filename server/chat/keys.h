/* keys.h: the keys of the sends that one room keeps, so that a repeated send gets its first acknowledgement
 * again.
 *
 * A key is its sender's, not that of whoever has the nick later. Who sent it is known as long as it is in
 * memory; of a key that was read from the store the nick alone is, because a guest is nobody's old
 * acquaintance after a restart, and has to find his own again.
 *
 * The thread of the room's home. */
#ifndef CHAT_KEYS_H
#define CHAT_KEYS_H

#include "common/buf.h"
#include "common/table.h"

#include <stddef.h>
#include <stdint.h>

struct key;

struct keys {
    struct table table;
    struct key *oldest, *newest;
};

struct key {
    struct table_link link;
    struct key *next; /* newer */
    uint64_t seq, time_ms;
    uint64_t identity; /* the sender's (struct nick); 0: it is not known any more */
    uint16_t len;
    char text[]; /* the sender's folded nick, a NUL, the key */
};

struct keys_sender {
    const char *folded;
    size_t len;
    uint64_t identity, since_ms; /* who has the nick, and since when without a break */
};

/* What the sender's send with that key got, or NULL. */
const struct key *keys_find(const struct keys *k, const struct keys_sender *sender, const char *key,
                            size_t len);
void keys_add(struct keys *k, const struct keys_sender *sender, const char *key, size_t len, uint64_t seq,
              uint64_t time_ms);
void keys_forget(struct keys *k, uint64_t oldest_seq); /* those of messages before it */
void keys_forget_after(struct keys *k,
                       uint64_t newest_seq); /* those of messages behind it, which were not kept */
void keys_deinit(struct keys *k);

/* As the store keeps them, in the order of their messages. keys_unpack adds those of messages from a seq on;
 * -1 where the bytes are no keys. */
void keys_pack(struct buf *b, const char *sender, size_t sender_len, const char *key, size_t len,
               uint64_t seq, uint64_t time_ms);
int keys_unpack(struct keys *k, const void *data, size_t len, uint64_t from_seq);

#endif
