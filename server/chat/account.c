/* account.c: see account.h. */
#include "server/chat/account.h"

#include "common/base64.h"
#include "protocol/codec.h"

#include <string.h>

static void put_bytes(struct buf *b, enum message_field f, const unsigned char *data, size_t len)
{
    char text[BASE64_SIZE(64)];

    codec_add(b, f, text, base64_encode(data, len, text));
}

static void put_keys(struct buf *b, const struct account *a)
{
    char text[ACCOUNT_KEYS_MAX * (BASE64_SIZE(LOGIN_KEY_SIZE) + 1)], *to = text;

    for (uint32_t i = 0; i < a->key_count; i++) {
        if (i > 0)
            *to++ = ' ';
        to += base64_encode(a->keys[i], LOGIN_KEY_SIZE, to);
    }
    codec_add(b, FIELD_PUBLIC_KEY, text, (size_t)(to - text));
}

void account_put(struct buf *b, const struct account *a)
{
    codec_begin(b, MESSAGE_REGISTERED);
    codec_add_text(b, FIELD_NICK, a->nick);
    codec_add_uint(b, FIELD_SESSION, a->identity);
    codec_add_uint(b, FIELD_FROM, a->since_ms);
    codec_add_uint(b, FIELD_TIME, a->registered_ms);
    if (a->has_password) {
        put_bytes(b, FIELD_SALT, a->salt, sizeof a->salt);
        codec_add_uint(b, FIELD_ITERATIONS, a->iterations);
        put_bytes(b, FIELD_STORED_KEY, a->stored_key, sizeof a->stored_key);
        put_bytes(b, FIELD_SERVER_KEY, a->server_key, sizeof a->server_key);
    }
    if (a->key_count > 0)
        put_keys(b, a);
    codec_end(b);
}

static bool get_bytes(const struct message *m, enum message_field f, unsigned char *out, size_t len)
{
    const struct value *v = message_get_kind(m, f, VALUE_STRING);

    return v != NULL && base64_decode(v->text, v->len, out, len) == (ssize_t)len;
}

static uint64_t get_uint(const struct message *m, enum message_field f)
{
    const struct value *v = message_get_kind(m, f, VALUE_UINT);

    return v != NULL ? v->number : 0;
}

static bool parse_keys(const struct value *v, struct account *a)
{
    const char *at = v->text, *end = at + v->len;

    while (at < end) {
        const char *blank = memchr(at, ' ', (size_t)(end - at));
        size_t len = (size_t)((blank != NULL ? blank : end) - at);

        if (a->key_count == ACCOUNT_KEYS_MAX ||
            base64_decode(at, len, a->keys[a->key_count], LOGIN_KEY_SIZE) != LOGIN_KEY_SIZE)
            return false;
        a->key_count++;
        at += len + 1;
    }
    return true;
}

bool account_parse(char *line, size_t len, struct account *a)
{
    const struct value *nick, *keys;
    const char *where;
    struct message m;

    *a = (struct account){0};
    if (codec_decode(line, len > 0 && line[len - 1] == '\n' ? len - 1 : len, &m, &where) != CODEC_OK)
        return false;
    nick = message_get_kind(&m, FIELD_NICK, VALUE_STRING);
    keys = message_get_kind(&m, FIELD_PUBLIC_KEY, VALUE_STRING);
    if (nick == NULL || nick->len > UTF8_NICK_MAX)
        return false;
    memcpy(a->nick, nick->text, nick->len);
    a->identity = get_uint(&m, FIELD_SESSION);
    a->since_ms = get_uint(&m, FIELD_FROM);
    a->registered_ms = get_uint(&m, FIELD_TIME);
    a->iterations = (uint32_t)get_uint(&m, FIELD_ITERATIONS);
    a->has_password = a->iterations > 0;
    if (a->has_password && (!get_bytes(&m, FIELD_SALT, a->salt, sizeof a->salt) ||
                            !get_bytes(&m, FIELD_STORED_KEY, a->stored_key, sizeof a->stored_key) ||
                            !get_bytes(&m, FIELD_SERVER_KEY, a->server_key, sizeof a->server_key)))
        return false;
    return a->identity != 0 && (keys == NULL || parse_keys(keys, a));
}

static void derive(const unsigned char secret[SCRAM_KEY_SIZE], char what, const char *folded, size_t len,
                   unsigned char out[SCRAM_KEY_SIZE])
{
    char text[1 + UTF8_FOLD_MAX] = {what};

    memcpy(text + 1, folded, len);
    scram_hmac(secret, SCRAM_KEY_SIZE, text, len + 1, out);
}

void account_make_up(const unsigned char secret[SCRAM_KEY_SIZE], const char *folded, size_t len,
                     struct account *a)
{
    unsigned char salt[SCRAM_KEY_SIZE];

    *a = (struct account){.has_password = true, .iterations = SCRAM_ITERATIONS};
    derive(secret, 's', folded, len, salt);
    memcpy(a->salt, salt, sizeof a->salt);
    derive(secret, 'c', folded, len, a->stored_key); /* of no client key that anyone can know */
    derive(secret, 'k', folded, len, a->server_key);
}

bool account_is_closed(const struct account *a)
{
    return !a->has_password && a->key_count == 0;
}

void account_close(struct account *a)
{
    a->has_password = false;
    a->key_count = 0;
}

bool account_has_key(const struct account *a, const unsigned char key[LOGIN_KEY_SIZE])
{
    for (uint32_t i = 0; i < a->key_count; i++)
        if (memcmp(a->keys[i], key, LOGIN_KEY_SIZE) == 0)
            return true;
    return false;
}

bool account_add_key(struct account *a, const unsigned char key[LOGIN_KEY_SIZE])
{
    if (account_has_key(a, key))
        return true;
    if (a->key_count == ACCOUNT_KEYS_MAX)
        return false;
    memcpy(a->keys[a->key_count++], key, LOGIN_KEY_SIZE);
    return true;
}

void account_drop_key(struct account *a, const unsigned char key[LOGIN_KEY_SIZE])
{
    for (uint32_t i = 0; i < a->key_count; i++)
        if (memcmp(a->keys[i], key, LOGIN_KEY_SIZE) == 0) {
            memmove(a->keys[i], a->keys[i + 1], (a->key_count - i - 1) * sizeof a->keys[0]);
            a->key_count--;
            return;
        }
}
