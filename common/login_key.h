/* login_key.h: logging in by an Ed25519 key (RFC 8032): what is signed, by the client, and verified, by the
 * server. Any thread. */
#ifndef COMMON_LOGIN_KEY_H
#define COMMON_LOGIN_KEY_H

#include "common/buf.h"

#include <openssl/evp.h>
#include <stdbool.h>
#include <stddef.h>

#define LOGIN_KEY_SIZE       32 /* of a public key */
#define LOGIN_CHALLENGE_SIZE 32
#define LOGIN_SIGNATURE_SIZE 64

/* What is signed: "chatd login v1", a NUL, the folded nick, a NUL, the server's challenge, and over TLS the
 * connection's binding (common/tls.h; else NULL), so that the signature is good for this one connection. */
void login_key_put_text(struct buf *b, const char *folded, size_t len,
                        const unsigned char challenge[LOGIN_CHALLENGE_SIZE], const unsigned char *binding);

bool login_key_verify(const unsigned char key[LOGIN_KEY_SIZE], const struct buf *text, const void *signature,
                      size_t len);
bool login_key_sign(EVP_PKEY *key, const struct buf *text, unsigned char signature[LOGIN_SIGNATURE_SIZE]);

#endif
