/* accounts.h: what all reactors share about accounts: the secret behind made-up ones, who has failed how
 * often, and whose account is being changed. Accounts themselves are facts of the store (account.h). */
#ifndef CHAT_ACCOUNTS_H
#define CHAT_ACCOUNTS_H

#include "server/chat/account.h"
#include "server/chat/hasher.h"
#include "server/chat/nick_set.h"
#include "server/chat/store.h"
#include "server/chat/throttle.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

struct accounts {
    struct throttle throttle;
    struct hasher hasher;
    unsigned char secret[SCRAM_KEY_SIZE];
    atomic_bool has_secret;
    pthread_mutex_t lock;
    struct table changing;  /* folded nicks */
    struct nick_set nicks;  /* of all accounts, so that no guest's hello waits for a disk, or fails with it */
    struct nick_set closed; /* of those that were removed */
    atomic_bool has_closed; /* any */
    bool has_nicks;         /* they have all been read */
};

void accounts_init(struct accounts *a);

/* The main thread, before first's thread runs: has the secret read, or made and kept, and the nicks of all
 * accounts read. */
void accounts_start(struct accounts *a, struct store *store, struct reactor *first);
bool accounts_settle(struct accounts *a); /* as hasher_settle */
void accounts_deinit(struct accounts *a);

/* Any reactor's thread: store_get of the account of that nick; f's job.home and job.done are set. */
void accounts_find(struct store *store, struct store_fact *f, const char *folded, size_t len);

/* Whether there is such an account. Any thread. */
enum accounts_answer {
    ACCOUNTS_NO,
    ACCOUNTS_YES,
    ACCOUNTS_UNKNOWN /* they are still being read: ask accounts_find */
};
enum accounts_answer accounts_ask(struct accounts *a, const char *folded, size_t len);
void accounts_tell(struct accounts *a, const char *folded, size_t len); /* there is one from now on */

/* Whether it was removed (account.h), and that it is from now on. Any thread. */
bool accounts_is_closed(struct accounts *a, const char *folded, size_t len);
void accounts_tell_closed(struct accounts *a, const char *folded, size_t len);

/* Whether the new one whose change has begun may be, where most are the most; other changes under way count
 * as new ones. Any thread. */
bool accounts_have_place(struct accounts *a, uint32_t most);

/* One change of an account at a time. Any thread. false: another one is under way. */
bool accounts_begin_change(struct accounts *a, const char *folded, size_t len);
void accounts_end_change(struct accounts *a, const char *folded, size_t len);

#endif
