/* scram_client.c: see scram_client.h. */
#include "client/scram_client.h"

#include "common/base64.h"
#include "common/mem.h"
#include "common/tls.h"

#include <openssl/crypto.h>
#include <stdlib.h>
#include <sys/random.h>

#define NONCE_BYTES   18
#define CHALLENGE_MAX 2048

static void put_base64(struct buf *b, const void *data, size_t len)
{
    b->len += base64_encode(data, len, buf_reserve(b, BASE64_SIZE(len)));
}

void scram_client_begin(struct scram_client *s, const char *name, enum scram_binding how,
                        const unsigned char *binding, struct buf *out)
{
    static const char *const headers[] = {
        [SCRAM_UNBOUND] = "n,,", [SCRAM_NOT_OFFERED] = "y,,", [SCRAM_BOUND] = "p=tls-exporter,,"};
    unsigned char nonce[NONCE_BYTES];

    if (getentropy(nonce, sizeof nonce) != 0)
        abort();
    buf_puts(&s->header, headers[how]);
    buf_putf(&s->message, "n=%s,r=", name);
    s->nonce_at = s->message.len;
    put_base64(&s->message, nonce, sizeof nonce);
    s->nonce_len = s->message.len - s->nonce_at;
    buf_put(out, s->header.data, s->header.len);
    buf_put(out, s->message.data, s->message.len);
    if (how == SCRAM_BOUND)
        buf_put(&s->header, binding, TLS_BINDING_SIZE);
}

struct challenge {
    char *nonce;
    unsigned char salt[64];
    ssize_t salt_len;
    unsigned long iterations;
};

/* "r=…,s=…,i=…", in that order, perhaps with more behind it (RFC 5802, section 7). Written into. */
static bool parse(char *text, struct challenge *c)
{
    char *save, *salt, *iterations, *end;

    c->nonce = strtok_r(text, ",", &save);
    salt = strtok_r(NULL, ",", &save);
    iterations = strtok_r(NULL, ",", &save);
    if (iterations == NULL || strncmp(c->nonce, "r=", 2) != 0 || strncmp(salt, "s=", 2) != 0 ||
        strncmp(iterations, "i=", 2) != 0)
        return false;
    c->nonce += 2;
    c->salt_len = base64_decode(salt + 2, strlen(salt + 2), c->salt, sizeof c->salt);
    c->iterations = strtoul(iterations + 2, &end, 10);
    return c->salt_len > 0 && *end == '\0';
}

static const char *check(const struct scram_client *s, const struct challenge *c)
{
    if (strlen(c->nonce) <= s->nonce_len ||
        memcmp(c->nonce, s->message.data + s->nonce_at, s->nonce_len) != 0)
        return "its answer belongs to another login";
    if (c->iterations < SCRAM_ITERATIONS_MIN)
        return "it wants the password with less protection than is safe";
    if (c->iterations > SCRAM_CLIENT_ITERATIONS_MAX)
        return "it wants more work of this machine than any password needs";
    return NULL;
}

static void put_final(struct scram_client *s, const struct challenge *c, const struct scram_keys *keys,
                      struct buf *out)
{
    unsigned char proof[SCRAM_KEY_SIZE];
    size_t at = out->len;

    buf_puts(out, "c=");
    put_base64(out, s->header.data, s->header.len);
    buf_putf(out, ",r=%s", c->nonce);
    buf_puts(&s->message, ",");
    buf_put(&s->message, out->data + at, out->len - at);
    scram_proof(keys, s->message.data, s->message.len, proof);
    scram_signature(keys, s->message.data, s->message.len, s->signature);
    buf_puts(out, ",p=");
    put_base64(out, proof, sizeof proof);
}

const char *scram_client_answer(struct scram_client *s, const char *text, size_t len, const char *password,
                                struct buf *out)
{
    char copy[CHALLENGE_MAX];
    unsigned char salted[SCRAM_KEY_SIZE];
    struct scram_keys keys;
    struct challenge c;
    const char *wrong;

    if (s->is_answered)
        return "it asks twice";
    if (len >= sizeof copy || memchr(text, '\0', len) != NULL)
        return "its answer is none";
    memcpy(copy, text, len);
    copy[len] = '\0';
    if (!parse(copy, &c))
        return "its answer is none";
    wrong = check(s, &c);
    if (wrong != NULL)
        return wrong;
    if (!scram_salt_password(password, strlen(password), c.salt, (size_t)c.salt_len, (uint32_t)c.iterations,
                             salted))
        return "that can't be a password";
    scram_derive(salted, &keys);
    buf_puts(&s->message, ",");
    buf_put(&s->message, text, len);
    put_final(s, &c, &keys, out);
    s->is_answered = true;
    mem_wipe(salted, sizeof salted);
    mem_wipe(&keys, sizeof keys);
    return NULL;
}

bool scram_client_verify(const struct scram_client *s, const char *last, size_t len)
{
    unsigned char shown[SCRAM_KEY_SIZE];

    return s->is_answered && len > 2 && memcmp(last, "v=", 2) == 0 &&
           base64_decode(last + 2, len - 2, shown, sizeof shown) == (ssize_t)sizeof shown &&
           CRYPTO_memcmp(shown, s->signature, sizeof shown) == 0;
}

void scram_client_deinit(struct scram_client *s)
{
    buf_deinit(&s->header);
    buf_deinit(&s->message);
    mem_wipe(s, sizeof *s);
}
