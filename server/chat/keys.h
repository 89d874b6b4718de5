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

#include <stddef.h>
#include <stdint.h>

/* Of a message's key there is no more in memory than it takes to know it again: some 45 bytes. */
struct key {
    uint64_t hash;
    uint64_t seq, time_ms;
    uint64_t identity; /* the sender's (struct nick); 0: it is not known any more */
};

/* In the order of their messages: a ring, and slots that are found by the hash and have a place in it, plus one. */
struct keys {
    struct key *ring;
    uint32_t *slots;
    uint32_t first, count, cap, slot_count;
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
uint64_t keys_bytes(const struct keys *k); /* that they take */

/* As the store keeps them, in the order of their messages. keys_unpack adds those of messages from a seq on;
 * -1 where the bytes are no keys. */
void keys_pack(struct buf *b, const char *sender, size_t sender_len, const char *key, size_t len,
               uint64_t seq, uint64_t time_ms);
int keys_unpack(struct keys *k, const void *data, size_t len, uint64_t from_seq);

#endif
