/* login.h: a connection's login, from the first `auth` to its `hello`; command_auth.c speaks about it with
 * the peer. The thread of the session's reactor. */
#ifndef CHAT_LOGIN_H
#define CHAT_LOGIN_H

#include "common/login_key.h"
#include "common/utf8.h"
#include "server/chat/account.h"
#include "server/chat/throttle.h"

#include <stdbool.h>
#include <stdint.h>

struct session;
struct scram_server;

#define LOGIN_DATA_MAX 1024 /* bytes of one message of a mechanism */

enum login_mechanism { LOGIN_SCRAM, LOGIN_SCRAM_PLUS, LOGIN_KEY };

enum login_state {
    LOGIN_LOOKING,    /* the account is being read */
    LOGIN_CHALLENGED, /* the peer has been asked to prove itself */
    LOGIN_DONE,       /* it has: its hello may come */
};

struct login {
    enum login_mechanism mechanism;
    enum login_state state;
    struct throttle_who who;
    struct account account; /* from the challenge on; made up where there is none */
    bool is_real;
    struct scram_server *scram;
    unsigned char key[LOGIN_KEY_SIZE], challenge[LOGIN_CHALLENGE_SIZE];
    bool is_bound;
    unsigned char binding[32]; /* of the connection, if so */
};

void login_free(struct login *l); /* NULL is fine */

const char *login_mechanism_name(enum login_mechanism m);
bool login_mechanism_find(const char *name, size_t len, enum login_mechanism *m);

/* Those that can be used on this connection, as a JSON array. */
void login_put_mechanisms(struct buf *b, const struct session *s);

/* Whether that session has logged in as that nick; its hello then is the account's. */
bool login_is_of(const struct login *l, const char *folded, size_t len);

/* Answers a hello with the nick of an account that it has not logged in to. */
struct value;
void login_require(struct session *s, const struct value *id, const char *nick, size_t len);

/* Who tries, for the throttle. */
void login_identify(struct throttle_who *who, const struct session *s, const char *folded, size_t len);
/* An error with retry_after_ms. */
void login_put_off(struct session *s, const struct value *id, const char *code, uint64_t wait_ms,
                   const char *text);

#endif
