/* transport.c: see transport.h. The thread that owns the connection.
 *
 * The SSLs of a thread read from and write to one BIO of our own: reading takes from the bytes that were fed,
 * writing appends to a buffer; `current` says for whom. All that is shared because a turn works for one
 * connection, writes, and goes on to the next one: only what the kernel refuses is moved to memory of the
 * connection's own. */
#include "common/transport.h"

#include "common/buf.h"
#include "common/mem.h"
#include "common/tls.h"

#include <errno.h>
#include <openssl/err.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Output of an earlier turn. */
struct parked {
    uint32_t len, at;
    char data[];
};

struct transport {
    SSL *ssl;
    struct parked *parked; /* or NULL, mostly: it is kept apart, since an idle connection has none */
    const char *error;     /* static text, or NULL */
};

/* Of the thread: the one BIO of all its connections, whom OpenSSL is working for, and what was fed and is not
 * taken yet. */
static _Thread_local BIO *shared_bio;
static _Thread_local struct transport *current, *fed;
static _Thread_local const char *input;
static _Thread_local size_t input_len;

static _Thread_local struct buf shared;
static _Thread_local struct transport *shared_owner;
static _Thread_local size_t shared_at;

static BIO_METHOD *method;
static pthread_once_t method_once = PTHREAD_ONCE_INIT;

static int bio_read(BIO *bio, char *to, int size)
{
    size_t n = fed != current ? 0 : input_len < (size_t)size ? input_len : (size_t)size;

    BIO_clear_retry_flags(bio);
    if (n == 0) {
        BIO_set_retry_read(bio);
        return -1;
    }
    memcpy(to, input, n);
    input += n;
    input_len -= n;
    return (int)n;
}

static int bio_write(BIO *bio, const char *from, int len)
{
    struct transport *t = current;

    BIO_clear_retry_flags(bio);
    if (t->parked != NULL) {
        t->parked = mem_realloc(t->parked, sizeof *t->parked + t->parked->len + (size_t)len);
        memcpy(t->parked->data + t->parked->len, from, (size_t)len);
        t->parked->len += (uint32_t)len;
        return len;
    }
    if (shared_owner != t) {
        shared_owner = t;
        shared_at = 0;
        buf_clear(&shared);
    }
    buf_put(&shared, from, (size_t)len);
    return len;
}

static long bio_ctrl(BIO *bio, int what, long number, void *pointer)
{
    (void)bio, (void)number, (void)pointer;
    return what == BIO_CTRL_FLUSH ? 1 : 0;
}

static void make_method(void)
{
    method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "chat transport");
    if (method == NULL)
        abort();
    BIO_meth_set_read(method, bio_read);
    BIO_meth_set_write(method, bio_write);
    BIO_meth_set_ctrl(method, bio_ctrl);
}

static BIO *get_shared_bio(void)
{
    pthread_once(&method_once, make_method);
    if (shared_bio == NULL) {
        shared_bio = BIO_new(method);
        if (shared_bio == NULL)
            abort(); /* OpenSSL is out of memory: see mem.h */
        BIO_set_init(shared_bio, 1);
    }
    BIO_up_ref(shared_bio);
    return shared_bio;
}

struct transport *transport_new(SSL_CTX *ctx, bool is_server)
{
    struct transport *t = mem_zalloc(sizeof *t);

    t->ssl = SSL_new(ctx);
    if (t->ssl == NULL)
        abort();
    SSL_set0_rbio(t->ssl, get_shared_bio());
    SSL_set0_wbio(t->ssl, get_shared_bio());
    if (is_server)
        SSL_set_accept_state(t->ssl);
    else
        SSL_set_connect_state(t->ssl);
    return t;
}

void transport_free(struct transport *t)
{
    if (t == NULL)
        return;
    if (shared_owner == t)
        shared_owner = NULL;
    if (fed == t)
        fed = NULL;
    current = t;
    SSL_free(t->ssl);
    free(t->parked);
    free(t);
}

SSL *transport_ssl(struct transport *t)
{
    return t->ssl;
}

void transport_feed(struct transport *t, const void *raw, size_t len)
{
    fed = t;
    input = raw;
    input_len = len;
}

/* What OpenSSL's error queue says, in our words where a person would not understand its own. */
static const char *explain(void)
{
    unsigned long e = ERR_peek_error();
    const char *reason;

    switch (ERR_GET_REASON(e)) {
    case SSL_R_UNSUPPORTED_PROTOCOL:
    case SSL_R_VERSION_TOO_LOW:
    case SSL_R_TLSV1_ALERT_PROTOCOL_VERSION:
        return "the peer does not speak TLS 1.3, and nothing older is accepted";
    case SSL_R_HTTP_REQUEST:
    case SSL_R_HTTPS_PROXY_REQUEST:
    case SSL_R_WRONG_VERSION_NUMBER:
        return "what came is no TLS record";
    case SSL_R_NO_SHARED_CIPHER:
        return "no cipher suite that both sides know";
    case SSL_R_NO_APPLICATION_PROTOCOL:
        return "the peer asks for another protocol than chat/1 (ALPN)";
    case SSL_R_CERTIFICATE_VERIFY_FAILED:
        return "the certificate could not be verified";
    case SSL_R_TLSV1_ALERT_UNKNOWN_CA:
        return "the peer does not know the issuer of our certificate";
    case SSL_R_SSLV3_ALERT_BAD_CERTIFICATE:
        return "the peer refused our certificate";
    case SSL_R_UNEXPECTED_EOF_WHILE_READING:
        return "the connection ended without close_notify";
    default:
        reason = ERR_reason_error_string(e);
        return reason != NULL ? reason : "the peer broke the TLS protocol";
    }
}

static int failed(struct transport *t)
{
    t->error = explain();
    ERR_clear_error();
    return -EPROTO;
}

static int try_again(struct transport *t, int ret)
{
    int what = SSL_get_error(t->ssl, ret);

    return what == SSL_ERROR_WANT_READ || what == SSL_ERROR_WANT_WRITE ? -EAGAIN : failed(t);
}

int transport_handshake(struct transport *t)
{
    int n, ret;

    current = t;
    ERR_clear_error();
    n = SSL_do_handshake(t->ssl);
    if (n == 1) {
        if (SSL_is_server(t->ssl))
            tls_slim(t->ssl);
        return 1;
    }
    ret = try_again(t, n);
    return ret == -EAGAIN ? 0 : ret;
}

bool transport_is_ready(const struct transport *t)
{
    return SSL_is_init_finished(t->ssl);
}

ssize_t transport_read(struct transport *t, void *to, size_t size)
{
    size_t got;

    current = t;
    ERR_clear_error();
    if (SSL_read_ex(t->ssl, to, size, &got) == 1)
        return (ssize_t)got;
    if (SSL_get_error(t->ssl, 0) == SSL_ERROR_ZERO_RETURN)
        return 0;
    return try_again(t, 0);
}

int transport_write(struct transport *t, const void *from, size_t len)
{
    const char *at = from;

    current = t;
    while (len > 0) {
        size_t done;

        ERR_clear_error();
        if (SSL_write_ex(t->ssl, at, len, &done) != 1)
            return failed(t); /* the BIO takes everything: it can't ask to be called again */
        at += done;
        len -= done;
    }
    return 0;
}

int transport_close_notify(struct transport *t)
{
    current = t;
    ERR_clear_error();
    if (SSL_shutdown(t->ssl) < 0)
        return failed(t);
    SSL_free_buffers(t->ssl); /* SSL_MODE_RELEASE_BUFFERS does not, here */
    return 0;
}

size_t transport_output(const struct transport *t, const char **data)
{
    if (t->parked != NULL) {
        *data = t->parked->data + t->parked->at;
        return t->parked->len - t->parked->at;
    }
    if (shared_owner != t)
        return 0;
    *data = shared.data + shared_at;
    return shared.len - shared_at;
}

void transport_output_done(struct transport *t, size_t len)
{
    if (t->parked != NULL) {
        t->parked->at += (uint32_t)len;
        if (t->parked->at == t->parked->len) {
            free(t->parked);
            t->parked = NULL;
        }
        return;
    }
    shared_at += len;
    if (shared_at == shared.len)
        shared_owner = NULL;
}

void transport_park(struct transport *t)
{
    size_t len = shared.len - shared_at;

    if (shared_owner != t)
        return;
    t->parked = mem_alloc(sizeof *t->parked + len);
    *t->parked = (struct parked){.len = (uint32_t)len};
    memcpy(t->parked->data, shared.data + shared_at, len);
    shared_owner = NULL;
}

void transport_end_thread(void)
{
    shared_owner = NULL;
    buf_deinit(&shared);
    BIO_free(shared_bio);
    shared_bio = NULL;
    tls_slim_end_thread();
}

const char *transport_error(const struct transport *t)
{
    return t->error != NULL ? t->error : "no error";
}
