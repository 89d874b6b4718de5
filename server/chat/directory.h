/* directory.h: which nick is whose, for the whole server.
 *
 * One lock, held for a look-up at a time; only hello, the end of a connection and direct messages come here, never a
 * message to a room. A session is touched only by its own reactor: others find out which one that is and post. */
#ifndef CHAT_DIRECTORY_H
#define CHAT_DIRECTORY_H

#include "common/table.h"
#include "common/utf8.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

struct reactor;
struct session;

/* A nick in use. Immutable once registered; owned by its session, which frees it after directory_remove. */
struct nick {
    struct table_link link;
    struct session *session;
    struct reactor *reactor;
    uint64_t identity; /* who it is over reconnects: kept by the resume token */
    uint8_t folded_len, len;
    char text[]; /* folded, then as it was given, each with a NUL */
};

struct directory {
    pthread_mutex_t lock;
    struct table nicks;
    uint64_t secret[2];
    uint64_t last_identity;
};

void directory_init(struct directory *d);
void directory_deinit(struct directory *d);

struct nick *nick_new(const char *folded, size_t folded_len, const char *text, size_t len);
static inline const char *nick_text(const struct nick *n)
{
    return n->text + n->folded_len + 1;
}

/* Registers n (identity 0: a new one is given) unless its folded nick is taken. */
bool directory_add(struct directory *d, struct nick *n);
void directory_remove(struct directory *d, struct nick *n);

/* What others may know of a nick in use. */
struct nick_place {
    struct reactor *reactor;
    uint64_t identity;
    uint8_t len;
    char text[UTF8_NICK_MAX + 1];
};

bool directory_find(struct directory *d, const char *folded, size_t len, struct nick_place *place);

/* The session of that nick if it lives on r, on whose thread this is called; else NULL. */
struct session *directory_session(struct directory *d, const char *folded, size_t len,
                                  const struct reactor *r);

#define DIRECTORY_TOKEN_SIZE 52

/* The resume token: proof of having been that identity under that nick, since the server's start. nonce: of the
 * connection, so that each has a token of its own. */
void directory_token(const struct directory *d, const struct nick *n, uint64_t nonce,
                     char out[DIRECTORY_TOKEN_SIZE]);
bool directory_check_token(const struct directory *d, const char *token, size_t len, const char *folded,
                           size_t folded_len, uint64_t *identity);

#endif
