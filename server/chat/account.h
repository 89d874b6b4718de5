/* account.h: an account as it is kept: who may log in under a nick, and by what.
 *
 * Never a password: SCRAM's verifiers (common/scram.h), and public keys. A fact of the kind "account" under
 * the folded nick; its value is one line of JSON. Any thread. */
#ifndef CHAT_ACCOUNT_H
#define CHAT_ACCOUNT_H

#include "common/buf.h"
#include "common/login_key.h"
#include "common/scram.h"
#include "common/utf8.h"

#include <stdbool.h>
#include <stdint.h>

#define ACCOUNT_FACT     "account" /* the kind */
#define ACCOUNT_KEYS_MAX 16        /* public keys of one account */

struct account {
    char nick[UTF8_NICK_MAX + 1]; /* as it was registered */
    uint64_t identity, since_ms, registered_ms;
    bool has_password; /* then the four below are set */
    unsigned char salt[SCRAM_SALT_SIZE], stored_key[SCRAM_KEY_SIZE], server_key[SCRAM_KEY_SIZE];
    uint32_t iterations;
    uint32_t key_count;
    unsigned char keys[ACCOUNT_KEYS_MAX][LOGIN_KEY_SIZE];
};

void account_put(struct buf *b, const struct account *a);

/* The line is written into. false where it is none. */
bool account_parse(char *line, size_t len, struct account *a);

/* What stands for an account that there is not, or that has no password: the same each time for that nick,
 * and no password fits. secret: the server's. */
void account_make_up(const unsigned char secret[SCRAM_KEY_SIZE], const char *folded, size_t len,
                     struct account *a);

/* It was removed: nobody logs in to it ever again, and nobody else gets its nick, nor what that was given. */
bool account_is_closed(const struct account *a);
void account_close(struct account *a);

bool account_has_key(const struct account *a, const unsigned char key[LOGIN_KEY_SIZE]);

/* false where it has as many as it may. One that it has already is not added again. */
bool account_add_key(struct account *a, const unsigned char key[LOGIN_KEY_SIZE]);
void account_drop_key(struct account *a, const unsigned char key[LOGIN_KEY_SIZE]);

#endif
