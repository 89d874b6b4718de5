/* scram_client.h: the client's side of one SCRAM-SHA-256 login (RFC 5802, RFC 7677), message by message. No
 * socket; one thread. */
#ifndef CLIENT_SCRAM_CLIENT_H
#define CLIENT_SCRAM_CLIENT_H

#include "common/buf.h"
#include "common/scram.h"

#include <stdbool.h>
#include <stddef.h>

#define SCRAM_CLIENT_ITERATIONS_MAX 2000000 /* a server that asks for more wants our time, not our password */

/* How the connection's binding (RFC 9266) goes into it. */
enum scram_binding {
    SCRAM_UNBOUND,     /* "n": there is no TLS */
    SCRAM_NOT_OFFERED, /* "y": we could, the server does not offer it; it notices if that is not so */
    SCRAM_BOUND,       /* -PLUS */
};

struct scram_client {
    struct buf header;  /* of GS2, and behind it the binding's bytes, as `c` has them */
    struct buf message; /* the AuthMessage as far as it is known */
    size_t nonce_at, nonce_len;
    unsigned char signature[SCRAM_KEY_SIZE]; /* that the server must show; not before is_answered */
    bool is_answered;                        /* the challenge: once */
};

/* The first message into out. name: ASCII, or "*". binding: TLS_BINDING_SIZE bytes where it is
 * SCRAM_BOUND. */
void scram_client_begin(struct scram_client *s, const char *name, enum scram_binding how,
                        const unsigned char *binding, struct buf *out);

/* The server's challenge; the answer into out. A sentence about what is wrong with it, or NULL. */
const char *scram_client_answer(struct scram_client *s, const char *challenge, size_t len,
                                const char *password, struct buf *out);

/* Whether the server's last message shows that it knows the account: no other server does. */
bool scram_client_verify(const struct scram_client *s, const char *last, size_t len);
void scram_client_deinit(struct scram_client *s);

#endif
