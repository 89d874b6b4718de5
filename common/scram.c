/* scram.c: see scram.h. */
#include "common/scram.h"

#include "common/mem.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

void scram_hmac(const void *key, size_t key_len, const void *data, size_t len,
                unsigned char out[SCRAM_KEY_SIZE])
{
    if (HMAC(EVP_sha256(), key, (int)key_len, data, len, out, NULL) == NULL)
        abort(); /* memory alone can be missing */
}

/* NFKC, blanks of every kind as one, without what is invisible by intention: what SASLprep makes of a
 * password that people type. NULL where it is none. */
static char *prepare(const char *password, size_t len)
{
    utf8proc_uint8_t *out = NULL;
    utf8proc_ssize_t n;

    if (len == 0 || len > SCRAM_PASSWORD_MAX)
        return NULL;
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)password[i] < 0x20 || password[i] == 0x7f)
            return NULL;
    n = utf8proc_map((const utf8proc_uint8_t *)password, (utf8proc_ssize_t)len, &out,
                     UTF8PROC_STABLE | UTF8PROC_COMPOSE | UTF8PROC_COMPAT | UTF8PROC_IGNORE);
    if (n > 0)
        return (char *)out;
    free(out);
    return NULL;
}

bool scram_salt_password(const char *password, size_t len, const unsigned char *salt, size_t salt_len,
                         uint32_t iterations, unsigned char salted[SCRAM_KEY_SIZE])
{
    char *text = prepare(password, len);
    bool ok;

    if (text == NULL)
        return false;
    ok = PKCS5_PBKDF2_HMAC(text, (int)strlen(text), salt, (int)salt_len, (int)iterations, EVP_sha256(),
                           SCRAM_KEY_SIZE, salted) == 1;
    mem_wipe(text, strlen(text));
    free(text);
    return ok;
}

void scram_derive(const unsigned char salted[SCRAM_KEY_SIZE], struct scram_keys *keys)
{
    unsigned n;

    scram_hmac(salted, SCRAM_KEY_SIZE, "Client Key", 10, keys->client_key);
    scram_hmac(salted, SCRAM_KEY_SIZE, "Server Key", 10, keys->server_key);
    if (EVP_Digest(keys->client_key, SCRAM_KEY_SIZE, keys->stored_key, &n, EVP_sha256(), NULL) != 1)
        abort();
}

void scram_proof(const struct scram_keys *keys, const char *message, size_t len,
                 unsigned char proof[SCRAM_KEY_SIZE])
{
    scram_hmac(keys->stored_key, SCRAM_KEY_SIZE, message, len, proof);
    for (int i = 0; i < SCRAM_KEY_SIZE; i++)
        proof[i] ^= keys->client_key[i];
}

void scram_signature(const struct scram_keys *keys, const char *message, size_t len,
                     unsigned char signature[SCRAM_KEY_SIZE])
{
    scram_hmac(keys->server_key, SCRAM_KEY_SIZE, message, len, signature);
}
