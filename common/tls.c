/* tls.c: see tls.h. */
#include "common/tls.h"

#include "common/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SELF_SIGNED_DAYS 3650
#define PATH_SIZE        4096
#define HELLO_LIST_MAX   512 /* bytes of one list in a ClientHello */

static const unsigned char alpn[] = "\006chat/1";

static const char *why(void)
{
    const char *reason = ERR_reason_error_string(ERR_peek_last_error());

    return reason != NULL ? reason : "unknown reason";
}

/* Refuses a client that offers protocols and not ours; one that offers none (nc, openssl s_client) is
 * welcome. */
static int choose_alpn(SSL *ssl, const unsigned char **out, unsigned char *outlen, const unsigned char *in,
                       unsigned int inlen, void *arg)
{
    (void)ssl, (void)arg;
    return SSL_select_next_proto((unsigned char **)(uintptr_t)out, outlen, alpn, sizeof alpn - 1, in,
                                 inlen) == OPENSSL_NPN_NEGOTIATED
               ? SSL_TLSEXT_ERR_OK
               : SSL_TLSEXT_ERR_ALERT_FATAL;
}

/* OpenSSL keeps the client's lists for the life of the connection, as long as they are: what no client needs
 * is refused. */
static int check_hello(SSL *ssl, int *alert, void *arg)
{
    const unsigned char *data;
    size_t count = 0, len;
    int *types = NULL, ok = 1;

    (void)arg;
    if (SSL_client_hello_get0_ciphers(ssl, &data) > HELLO_LIST_MAX ||
        SSL_client_hello_get1_extensions_present(ssl, &types, &count) != 1)
        ok = 0;
    for (size_t i = 0; ok && i < count; i++)
        if (types[i] != TLSEXT_TYPE_key_share && types[i] != TLSEXT_TYPE_padding &&
            types[i] != TLSEXT_TYPE_psk &&
            SSL_client_hello_get0_ext(ssl, (unsigned)types[i], &data, &len) == 1 && len > HELLO_LIST_MAX)
            ok = 0;
    OPENSSL_free(types);
    if (!ok)
        *alert = SSL_AD_DECODE_ERROR;
    return ok ? SSL_CLIENT_HELLO_SUCCESS : SSL_CLIENT_HELLO_ERROR;
}

/* Of what both sides can do, what holds the least memory and takes the least time: one key exchange that is
 * quick and one that everybody has, and the suite whose keys and transcript are the shortest first. */
static void prefer_small(SSL_CTX *ctx)
{
    const EVP_PKEY *key = SSL_CTX_get0_privatekey(ctx);

    SSL_CTX_set_max_proto_version(ctx, TLS1_3_VERSION);
    SSL_CTX_set_ciphersuites(ctx,
                             "TLS_AES_128_GCM_SHA256:TLS_CHACHA20_POLY1305_SHA256:TLS_AES_256_GCM_SHA384");
    SSL_CTX_set_options(ctx, SSL_OP_CIPHER_SERVER_PREFERENCE);
    SSL_CTX_set1_groups_list(ctx, "X25519:P-256");
    if (key != NULL && EVP_PKEY_is_a(key, "EC") && EVP_PKEY_get_bits(key) == 256)
        SSL_CTX_set1_sigalgs_list(ctx, "ECDSA+SHA256");
}

static SSL_CTX *new_context(const SSL_METHOD *with, char err[TLS_ERROR_SIZE])
{
    SSL_CTX *ctx = SSL_CTX_new(with);

    if (ctx == NULL) {
        snprintf(err, TLS_ERROR_SIZE, "OpenSSL could not be started: %s", why());
        return NULL;
    }
    SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION);
    SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                              SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    return ctx;
}

static bool add_extension(X509 *cert, int nid, const char *value)
{
    X509V3_CTX v3;
    X509_EXTENSION *extension;
    bool ok;

    X509V3_set_ctx_nodb(&v3);
    X509V3_set_ctx(&v3, cert, cert, NULL, NULL, 0);
    extension = X509V3_EXT_conf_nid(NULL, &v3, nid, value);
    ok = extension != NULL && X509_add_ext(cert, extension, -1) == 1;
    X509_EXTENSION_free(extension);
    return ok;
}

static X509 *make_certificate(EVP_PKEY *key, const char *called)
{
    X509 *cert = X509_new();
    char names[256];
    unsigned char serial[8];
    X509_NAME *name;

    if (cert == NULL || RAND_bytes(serial, sizeof serial) != 1)
        abort();
    serial[0] =
        (serial[0] & 0x7f) | 0x40; /* positive, and no leading zero byte: DER has the shortest form only */
    X509_set_version(cert, 2);
    ASN1_STRING_set(X509_get_serialNumber(cert), serial, sizeof serial);
    X509_gmtime_adj(X509_getm_notBefore(cert), -3600);
    X509_gmtime_adj(X509_getm_notAfter(cert), (long)SELF_SIGNED_DAYS * 86400);
    X509_set_pubkey(cert, key);
    name = X509_get_subject_name(cert);
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8,
                               (const unsigned char *)(called != NULL ? called : "chatd"), -1, -1, 0);
    X509_set_issuer_name(cert, name);
    snprintf(names, sizeof names, "DNS:localhost,IP:127.0.0.1,IP:::1%s%s", called != NULL ? ",DNS:" : "",
             called != NULL ? called : "");
    if (!add_extension(cert, NID_subject_alt_name, names))
        add_extension(cert, NID_subject_alt_name, "DNS:localhost,IP:127.0.0.1,IP:::1");
    add_extension(cert, NID_basic_constraints, "critical,CA:FALSE");
    if (X509_sign(cert, key, EVP_sha256()) == 0) {
        X509_free(cert);
        return NULL;
    }
    return cert;
}

/* Writes a new file of mode 0600 by a temporary name, so that a crash leaves none or a whole one. */
static int save(const char *path, EVP_PKEY *key, X509 *cert)
{
    char part[PATH_SIZE + 8];
    FILE *f;
    int fd, ok;

    snprintf(part, sizeof part, "%s.part", path);
    fd = open(part, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    f = fd >= 0 ? fdopen(fd, "w") : NULL;
    if (f == NULL) {
        if (fd >= 0)
            close(fd);
        return -1;
    }
    ok = key != NULL ? PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL) : PEM_write_X509(f, cert);
    ok = ok && fflush(f) == 0 && fsync(fd) == 0;
    return fclose(f) == 0 && ok && rename(part, path) == 0 ? 0 : -1;
}

static int use_files(SSL_CTX *ctx, const char *cert, const char *key, char err[TLS_ERROR_SIZE])
{
    if (SSL_CTX_use_certificate_chain_file(ctx, cert) != 1)
        snprintf(err, TLS_ERROR_SIZE, "the certificate %.180s can't be used: %s (a PEM file is expected)",
                 cert, why());
    else if (SSL_CTX_use_PrivateKey_file(ctx, key, SSL_FILETYPE_PEM) != 1)
        snprintf(
            err, TLS_ERROR_SIZE,
            "the key %.120s can't be used with the certificate %.120s: %s (a PEM file of that certificate's key is expected)",
            key, cert, why());
    else
        return 0;
    ERR_clear_error();
    return -1;
}

static int use_self_signed(SSL_CTX *ctx, const struct tls_own *own, char err[TLS_ERROR_SIZE])
{
    const char *dir = own->dir;
    char cert_path[PATH_SIZE], key_path[PATH_SIZE];
    EVP_PKEY *key;
    X509 *cert;
    int ret = -1;

    if (dir != NULL) {
        snprintf(cert_path, sizeof cert_path, "%s/chatd.crt", dir);
        snprintf(key_path, sizeof key_path, "%s/chatd.key", dir);
        if (access(cert_path, F_OK) == 0 && access(key_path, F_OK) == 0)
            return use_files(ctx, cert_path, key_path, err);
    }
    key = EVP_EC_gen("P-256");
    cert = key != NULL ? make_certificate(key, own->name) : NULL;
    if (cert == NULL)
        snprintf(err, TLS_ERROR_SIZE, "no certificate could be made: %s", why());
    else if (dir != NULL && (save(key_path, key, NULL) != 0 || save(cert_path, NULL, cert) != 0))
        snprintf(err, TLS_ERROR_SIZE, "the new certificate can't be kept in %s: %s", dir, strerror(errno));
    else if (SSL_CTX_use_certificate(ctx, cert) != 1 || SSL_CTX_use_PrivateKey(ctx, key) != 1)
        snprintf(err, TLS_ERROR_SIZE, "the new certificate can't be used: %s", why());
    else
        ret = 0;
    X509_free(cert);
    EVP_PKEY_free(key);
    return ret;
}

SSL_CTX *tls_new_server(const char *cert, const char *key, const struct tls_own *own, unsigned tickets,
                        char err[TLS_ERROR_SIZE])
{
    SSL_CTX *ctx = new_context(TLS_server_method(), err);

    if (ctx == NULL)
        return NULL;
    if ((cert != NULL ? use_files(ctx, cert, key, err) : use_self_signed(ctx, own, err)) != 0) {
        SSL_CTX_free(ctx);
        return NULL;
    }
    prefer_small(ctx);
    SSL_CTX_set_client_hello_cb(ctx, check_hello, NULL);
    SSL_CTX_set_alpn_select_cb(ctx, choose_alpn, NULL);
    SSL_CTX_set_num_tickets(ctx, tickets);
    if (tickets == 0)
        SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET);
    return ctx;
}

SSL_CTX *tls_new_client(const char *ca, char err[TLS_ERROR_SIZE])
{
    SSL_CTX *ctx = new_context(TLS_client_method(), err);

    if (ctx == NULL)
        return NULL;
    SSL_CTX_set_verify(ctx, SSL_VERIFY_NONE, NULL);
    SSL_CTX_set_alpn_protos(ctx, alpn, sizeof alpn - 1);
    if (ca == NULL) {
        SSL_CTX_set_default_verify_paths(ctx);
    } else if (SSL_CTX_load_verify_locations(ctx, ca, NULL) != 1) {
        snprintf(err, TLS_ERROR_SIZE, "the issuers' file %s can't be used: %s (a PEM file is expected)", ca,
                 why());
        ERR_clear_error();
        SSL_CTX_free(ctx);
        return NULL;
    }
    return ctx;
}

bool tls_binding(SSL *ssl, unsigned char out[TLS_BINDING_SIZE])
{
    static const char label[] = "EXPORTER-Channel-Binding";

    return SSL_is_init_finished(ssl) &&
           SSL_export_keying_material(ssl, out, TLS_BINDING_SIZE, label, sizeof label - 1,
                                      (const unsigned char *)"", 0, 1) == 1;
}

void tls_fingerprint(X509 *cert, char out[TLS_FINGERPRINT_SIZE])
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned int n = 0;
    int at = snprintf(out, TLS_FINGERPRINT_SIZE, "SHA256:");

    if (X509_digest(cert, EVP_sha256(), digest, &n) != 1)
        n = 0;
    for (unsigned int i = 0; i < n && i < 32; i++)
        at += snprintf(out + at, TLS_FINGERPRINT_SIZE - (size_t)at, "%s%02x", i > 0 ? ":" : "", digest[i]);
}
