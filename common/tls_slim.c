/* tls_slim.c: what an idle TLS connection need not hold. See tls.h.
 *
 * Of the 13.5 KB that a server's SSL holds after its handshake (OpenSSL 3.0), 2 KB are leftovers of the
 * handshake: the two ephemeral keys, the SSL_SESSION (there are no tickets and no cache that would use it)
 * and a copy of the context's certificate. The keys are emptied; session and certificate are exchanged for
 * ones that all connections of a thread share, by public calls whose effect was read in OpenSSL's source and
 * is pinned down by tests. Where the library is another than the one read, or a connection is not as
 * expected, nothing is done: it then just holds more. */
#include "common/tls.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <string.h>

#define SUITES 3 /* TLS 1.3's that tls.c offers */

/* A connection that never was one, for each suite: its session holds no secret. */
static _Thread_local struct template
{
    uint32_t suite; /* 0: none yet */
    SSL_CTX *ctx;
    SSL *ssl;
}
templates[SUITES];

static void empty_key(EVP_PKEY *key)
{
    EVP_PKEY_set_type(key, EVP_PKEY_NONE); /* frees the key, then says that there is no such type */
    EVP_PKEY_free(key);
}

static void empty_ephemeral_keys(SSL *ssl)
{
    EVP_PKEY *key;

    if (SSL_get_tmp_key(ssl, &key))
        empty_key(key);
    if (SSL_get_peer_tmp_key(ssl, &key))
        empty_key(key);
}

static void free_template(struct template *t)
{
    SSL_free(t->ssl);
    SSL_CTX_free(t->ctx);
    memset(t, 0, sizeof *t);
}

static int make_template(struct template *t, const SSL *ssl, const SSL_CIPHER *suite)
{
    SSL_SESSION *session = SSL_SESSION_new();

    t->ctx = SSL_CTX_new(SSL_get_ssl_method(ssl));
    t->ssl = t->ctx != NULL ? SSL_new(t->ctx) : NULL;
    if (session == NULL || t->ssl == NULL || !SSL_SESSION_set_protocol_version(session, TLS1_3_VERSION) ||
        !SSL_SESSION_set_cipher(session, suite) || !SSL_set_session(t->ssl, session)) {
        SSL_SESSION_free(session);
        free_template(t);
        return -1;
    }
    SSL_SESSION_free(session);
    SSL_CTX_set_session_cache_mode(t->ctx, SSL_SESS_CACHE_OFF);
    t->suite = SSL_CIPHER_get_id(suite);
    return 0;
}

static struct template *get_template(const SSL *ssl)
{
    const SSL_CIPHER *suite = SSL_get_current_cipher(ssl);
    uint32_t id = (uint32_t)SSL_CIPHER_get_id(suite);

    for (int i = 0; i < SUITES; i++) {
        if (templates[i].suite == id)
            return &templates[i];
        if (templates[i].suite == 0)
            return make_template(&templates[i], ssl, suite) == 0 ? &templates[i] : NULL;
    }
    return NULL;
}

static void share_session(SSL *ssl)
{
    struct template *t = get_template(ssl);

    if (t == NULL ||
        SSL_get_ssl_method(ssl) != SSL_get_ssl_method(t->ssl)) /* else its state would be set back */
        return;
    if (SSL_set_SSL_CTX(ssl, t->ctx) == t->ctx)
        SSL_copy_session_id(ssl, t->ssl);
}

void tls_slim(SSL *ssl)
{
    if (OPENSSL_version_major() != 3 || OPENSSL_version_minor() != 0)
        return;
    ERR_set_mark();
    empty_ephemeral_keys(ssl);
    if (SSL_get_num_tickets(ssl) == 0)
        share_session(ssl);
    ERR_pop_to_mark();
    SSL_free_buffers(ssl);
}

void tls_slim_end_thread(void)
{
    for (int i = 0; i < SUITES; i++)
        free_template(&templates[i]);
}
