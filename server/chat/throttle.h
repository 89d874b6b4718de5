/* throttle.h: how often somebody may try to log in: failures are counted per address and per account, and
 * each further one makes the next try wait longer.
 *
 * Nobody is ever locked out of an account by what others do from other addresses: an account that is being
 * guessed at only takes away the free failures of each address, so that an address's first try, which with
 * the right password is the only one, is always heard. Behind an address that is trusted there may be many (a
 * relay): there each account is counted for itself. Any thread; a bounded number of entries under one lock,
 * the one unused for longest gives way. */
#ifndef CHAT_THROTTLE_H
#define CHAT_THROTTLE_H

#include "common/table.h"
#include "common/tcp.h"
#include "common/utf8.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#define THROTTLE_ENTRIES 16384
#define THROTTLE_FREE    5 /* failures of an address before it has to wait */
#define THROTTLE_ACCOUNT_FREE                                                                                \
    20 /* failures at an account, wherever from, before no address has free ones there */
#define THROTTLE_FIRST_MS  1000 /* the first wait; each further failure doubles it */
#define THROTTLE_MOST_MS   60000
#define THROTTLE_FORGET_MS 120000 /* in which one failure is forgotten */
#define THROTTLE_COUNTED   50     /* failures remembered at most: they are forgotten in 100 minutes */
#define THROTTLE_NEW_FREE  20     /* accounts that an address may register before it has to wait */

struct throttle {
    pthread_mutex_t lock;
    struct table entries;
    TAILQ_HEAD(throttle_queue, throttle_entry) used; /* the one unused for longest first */
};

struct throttle_who {
    struct tcp_addr peer;
    bool is_trusted;
    char folded[UTF8_FOLD_MAX];
    uint8_t folded_len;
};

void throttle_init(struct throttle *t);
void throttle_deinit(struct throttle *t);

/* 0: may try now; else after how many ms. Nothing is counted. */
uint64_t throttle_ask(struct throttle *t, const struct throttle_who *who, uint64_t now_us);

/* The same right before a password is looked at: where the answer is 0 the try counts as failed until
 * throttle_forgive, so that many at once are not all heard. */
uint64_t throttle_try(struct throttle *t, const struct throttle_who *who, uint64_t now_us);
void throttle_forgive(struct throttle *t, const struct throttle_who *who, uint64_t now_us);

/* The same for a new account, which counts for good. */
uint64_t throttle_register(struct throttle *t, const struct throttle_who *who, uint64_t now_us);

#endif
