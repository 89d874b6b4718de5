/* scram.h: the keys of SCRAM-SHA-256 (RFC 5802, RFC 7677), and the client's and server's proofs made of them.
 *
 * A server keeps stored_key and server_key: with them it can tell that a client knows the password, and show
 * that it knows the keys itself; it can't log in anywhere. Any thread. */
#ifndef COMMON_SCRAM_H
#define COMMON_SCRAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SCRAM_KEY_SIZE       32
#define SCRAM_SALT_SIZE      16
#define SCRAM_ITERATIONS     100000 /* of a password that is new */
#define SCRAM_ITERATIONS_MIN 4096
#define SCRAM_ITERATIONS_MAX 10000000
#define SCRAM_PASSWORD_MAX   1024 /* bytes */

struct scram_keys {
    unsigned char client_key[SCRAM_KEY_SIZE]; /* the client's alone */
    unsigned char stored_key[SCRAM_KEY_SIZE], server_key[SCRAM_KEY_SIZE];
};

/* The costly part, by intention: PBKDF2. password as typed: it is brought into one form (NFKC), as by
 * SASLprep. false where that can't be done: it is empty, too long, not UTF-8, or has control characters. */
bool scram_salt_password(const char *password, size_t len, const unsigned char *salt, size_t salt_len,
                         uint32_t iterations, unsigned char salted[SCRAM_KEY_SIZE]);
void scram_derive(const unsigned char salted[SCRAM_KEY_SIZE], struct scram_keys *keys);

/* For the AuthMessage of a login: what the client sends, and what the server must answer. */
void scram_proof(const struct scram_keys *keys, const char *message, size_t len,
                 unsigned char proof[SCRAM_KEY_SIZE]);
void scram_signature(const struct scram_keys *keys, const char *message, size_t len,
                     unsigned char signature[SCRAM_KEY_SIZE]);

/* HMAC-SHA-256. */
void scram_hmac(const void *key, size_t key_len, const void *data, size_t len,
                unsigned char out[SCRAM_KEY_SIZE]);

#endif
