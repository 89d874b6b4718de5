/* tls.h: the SSL_CTX of either side, certificates, fingerprints. TLS 1.3 only; ALPN chat/1. Any thread,
 * except where said. Functions that can fail return 0 or -1 and leave one sentence in err. */
#ifndef COMMON_TLS_H
#define COMMON_TLS_H

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stddef.h>

#define TLS_ERROR_SIZE       512
#define TLS_FINGERPRINT_SIZE 104 /* "SHA256:" and 32 bytes in hex with colons, and a NUL */

/* The certificate that a server makes for itself. */
struct tls_own {
    const char *dir;  /* keeps it (chatd.crt, chatd.key, mode 0600), and has it the next time; NULL: memory */
    const char *name; /* the server's: CN, and in subjectAltName besides localhost; NULL: chatd */
};

/* A server's context. cert and key are PEM files; where both are NULL a self-signed P-256 certificate of its
 * own is made. tickets: how many session tickets each handshake sends (RFC 8446, section 4.6.1). */
SSL_CTX *tls_new_server(const char *cert, const char *key, const struct tls_own *own, unsigned tickets,
                        char err[TLS_ERROR_SIZE]);

/* After a server's handshake: lets go of what the connection does not need any more (tls_slim.c says
 * what). */
void tls_slim(SSL *ssl);
void tls_slim_end_thread(void); /* frees what the calling thread keeps for it */

/* A client's context. ca is a PEM file of trusted issuers, or NULL for the system's; it verifies nothing by
 * itself: the client asks for the verdict with SSL_get_verify_result and decides (trust on first use). */
SSL_CTX *tls_new_client(const char *ca, char err[TLS_ERROR_SIZE]);

/* RFC 9266's tls-exporter: a secret of this one connection, the same on both sides of it and on no other.
 * false before the handshake is done. */
#define TLS_BINDING_SIZE 32
bool tls_binding(SSL *ssl, unsigned char out[TLS_BINDING_SIZE]);

/* SHA-256 of the certificate's DER. */
void tls_fingerprint(X509 *cert, char out[TLS_FINGERPRINT_SIZE]);

#endif
