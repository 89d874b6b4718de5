/* nick_set.h: a set of folded nicks that only tells whether one is in it: 16 bytes each, as what is kept of a
 * nick is a keyed hash of 64 bits, which nobody can make collide. The caller's lock. */
#ifndef CHAT_NICK_SET_H
#define CHAT_NICK_SET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct nick_set {
    uint64_t key[2];
    uint64_t *slots; /* 0: empty */
    size_t count, cap;
};

void nick_set_init(struct nick_set *s);
void nick_set_deinit(struct nick_set *s);
void nick_set_add(struct nick_set *s, const char *folded, size_t len);
bool nick_set_has(const struct nick_set *s, const char *folded, size_t len);

#endif
