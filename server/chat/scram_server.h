/* scram_server.h: the server's side of one SCRAM login, which GNU SASL carries out (scram_gsasl.c), or nobody
 * where chatd is built without it (scram_none.c). The thread of the connection. */
#ifndef CHAT_SCRAM_SERVER_H
#define CHAT_SCRAM_SERVER_H

#include "common/buf.h"
#include "server/chat/account.h"

#include <stdbool.h>
#include <stddef.h>

struct scram_server;

enum scram_result {
    SCRAM_MORE, /* out is for the client, whose answer is the next step */
    SCRAM_DONE, /* he knows the password; out shows him that we know the keys */
    SCRAM_REFUSED,
};

bool scram_server_is_built(void);
const char *scram_server_version(void); /* "GNU SASL 2.2.0", "no GNU SASL" */
void scram_server_end(void);            /* the main thread, when no login is left */

/* plus: with channel binding. binding: the connection's (common/tls.h), or NULL on a plain one. NULL: out of
 * memory. */
struct scram_server *scram_server_new(const struct account *a, bool plus, const unsigned char *binding);
void scram_server_free(struct scram_server *s); /* NULL is fine */

/* One message of the client; what is to be said is appended to out. */
enum scram_result scram_server_step(struct scram_server *s, const char *in, size_t len, struct buf *out);

/* After the first step: who he says he is. */
const char *scram_server_user(const struct scram_server *s);

#endif
