/* login_key.c: see login_key.h. */
#include "common/login_key.h"

#include "common/tls.h"

#include <openssl/err.h>

static const char label[] = "chatd login v1";

void login_key_put_text(struct buf *b, const char *folded, size_t len,
                        const unsigned char challenge[LOGIN_CHALLENGE_SIZE], const unsigned char *binding)
{
    buf_put(b, label, sizeof label);
    buf_put(b, folded, len);
    buf_put(b, "", 1);
    buf_put(b, challenge, LOGIN_CHALLENGE_SIZE);
    if (binding != NULL)
        buf_put(b, binding, TLS_BINDING_SIZE);
}

bool login_key_verify(const unsigned char key[LOGIN_KEY_SIZE], const struct buf *text, const void *signature,
                      size_t len)
{
    EVP_PKEY *public = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, key, LOGIN_KEY_SIZE);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool ok = public != NULL && ctx != NULL && EVP_DigestVerifyInit(ctx, NULL, NULL, NULL, public) == 1 &&
              EVP_DigestVerify(ctx, signature, len, (const unsigned char *)text->data, text->len) == 1;

    EVP_MD_CTX_free(ctx);
    EVP_PKEY_free(public);
    ERR_clear_error();
    return ok;
}

bool login_key_sign(EVP_PKEY *key, const struct buf *text, unsigned char signature[LOGIN_SIGNATURE_SIZE])
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    size_t len = LOGIN_SIGNATURE_SIZE;
    bool ok = ctx != NULL && EVP_DigestSignInit(ctx, NULL, NULL, NULL, key) == 1 &&
              EVP_DigestSign(ctx, signature, &len, (const unsigned char *)text->data, text->len) == 1;

    EVP_MD_CTX_free(ctx);
    return ok && len == LOGIN_SIGNATURE_SIZE;
}
