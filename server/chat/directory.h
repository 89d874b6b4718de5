/* directory.h: which nick is whose, for the whole server. A guest's is one connection's; an account's may be
 * on several.
 *
 * One lock, held for a look-up at a time; only hello, the end of a connection and direct messages come here,
 * never a message to a room. A session is touched only by its own reactor: others find out which one that is
 * and post. */
#ifndef CHAT_DIRECTORY_H
#define CHAT_DIRECTORY_H

#include "common/table.h"
#include "common/utf8.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct reactor;
struct session;

#define NICK_SINCE_MAX         ((UINT64_C(1) << 44) - 1) /* ms: until the year 2527 */
#define DIRECTORY_SESSIONS_MAX 64                        /* connections of one account at a time */

/* Accounts' identities have this bit, guests' never: they don't meet. All are below 2^53. */
#define DIRECTORY_ACCOUNT (UINT64_C(1) << 52)

/* A nick in use by one session. It changes in directory_promote only; owned by its session, which frees it
 * after directory_remove. */
struct nick {
    struct table_link link; /* of the first of those who share it */
    struct nick *next;      /* the same account's next connection */
    struct session *session;
    /* Who it is over reconnects: a guest's is kept by the resume token, an account's on disk. */
    uint64_t identity;
    uint64_t since_ms : 44; /* since when this identity has had this nick without a break */
    uint64_t folded_len : 8, len : 8;
    uint64_t is_account : 1;
    uint64_t is_folded : 1; /* it was given as it is when folded: the text stands once */
    char text[];            /* folded, then as it was given, each with a NUL */
};

_Static_assert(UTF8_FOLD_MAX < 256 && UTF8_NICK_MAX < 256, "both lengths fit");

struct directory {
    pthread_mutex_t lock;
    struct table nicks;
    uint64_t secret[2];
    uint64_t last_identity;
    uint64_t released_ms; /* up to when a nick that was let go of may have said something; wall time */
    atomic_uint_fast64_t
        newest_ms; /* of all messages there are: later than now where the clock was set back */
};

void directory_init(struct directory *d, uint64_t newest_ms);
void directory_deinit(struct directory *d);

struct nick *nick_new(const char *folded, size_t folded_len, const char *text, size_t len);
static inline const char *nick_text(const struct nick *n)
{
    return n->is_folded ? n->text : n->text + n->folded_len + 1;
}

enum directory_result {
    DIRECTORY_OK,
    DIRECTORY_TAKEN, /* by somebody else */
    DIRECTORY_FULL,  /* the account has DIRECTORY_SESSIONS_MAX connections */
};

/* Registers n; a guest's identity 0: a new one is given. An account's nick may be shared by those of its
 * identity. since_ms 0: since now, and that is later than all that was said under the nick before, be it in
 * the very millisecond in which it was let go of, be it that the clock was set back since. */
enum directory_result directory_add(struct directory *d, struct nick *n);
void directory_remove(struct directory *d, struct nick *n);

/* The guest n, who is registered, is that account from now on. The thread of its session. */
void directory_promote(struct directory *d, struct nick *n, uint64_t identity);

/* A message has that time. Any thread. */
static inline void directory_note_time(struct directory *d, uint64_t ms)
{
    uint_fast64_t was = atomic_load_explicit(&d->newest_ms, memory_order_relaxed);

    while (was < ms && !atomic_compare_exchange_weak(&d->newest_ms, &was, ms))
        ;
}

/* What others may know of a nick in use; text as its first connection gave it. */
struct nick_place {
    struct reactor *reactor; /* of the first connection */
    uint64_t identity, since_ms;
    bool is_account;
    uint8_t len;
    char text[UTF8_NICK_MAX + 1];
};

bool directory_find(struct directory *d, const char *folded, size_t len, struct nick_place *place);

/* The reactors that have sessions of that nick, each once; how many. */
size_t directory_reactors(struct directory *d, const char *folded, size_t len,
                          struct reactor *out[DIRECTORY_SESSIONS_MAX]);

/* The sessions of that nick that live on r, on whose thread this is called; how many. */
size_t directory_sessions(struct directory *d, const char *folded, size_t len, const struct reactor *r,
                          struct session *out[DIRECTORY_SESSIONS_MAX]);

#define DIRECTORY_TOKEN_SIZE 52

/* The resume token: proof of having been that identity under that nick, since the server's start. nonce: of
 * the connection, so that each has a token of its own. */
void directory_token(const struct directory *d, const struct nick *n, uint64_t nonce,
                     char out[DIRECTORY_TOKEN_SIZE]);
bool directory_check_token(const struct directory *d, const char *token, size_t len, const char *folded,
                           size_t folded_len, uint64_t *identity);

#endif
