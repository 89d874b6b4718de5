/* client_login.c: coming in under an account's nick, and registering one; see client.h. Where the server says
 * login_required, the machine's key is tried, then the password: one that was given, or that the user is
 * asked for. Both are kept for the next connection. */
#include "client/client.h"

#include "client/secret_file.h"
#include "common/base64.h"
#include "common/login_key.h"
#include "common/mem.h"
#include "common/tls.h"
#include "common/utf8.h"
#include "protocol/codec.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

#define AUTH_ID          "chat.auth"
#define DATA_MAX         2048
#define FALLBACK_WAIT_MS 5000

static bool is_text(const struct value *v, const char *text)
{
    return v != NULL && v->len == strlen(text) && memcmp(v->text, text, v->len) == 0;
}

static const struct value *get_string(const struct message *m, enum message_field f)
{
    return message_get_kind(m, f, VALUE_STRING);
}

static bool offers(const struct client *c, const char *mechanism)
{
    char quoted[40];

    snprintf(quoted, sizeof quoted, "\"%s\"", mechanism);
    return strstr(c->login.mechanisms, quoted) != NULL;
}

static const unsigned char *binding_of(const struct client *c, unsigned char binding[TLS_BINDING_SIZE])
{
    SSL *ssl = link_ssl(c->link);

    return ssl != NULL && tls_binding(ssl, binding) ? binding : NULL;
}

void client_login_deinit(struct client *c)
{
    struct client_login *l = &c->login;

    EVP_PKEY_free(l->key);
    l->key = NULL;
    scram_client_deinit(&l->scram);
    secret_free(l->password);
    l->password = NULL;
}

static void send_auth(struct client *c, const char *mechanism, const void *data, size_t len)
{
    struct buf b = {0}, text = {0};

    text.len = base64_encode(data, len, buf_reserve(&text, BASE64_SIZE(len)));
    codec_begin(&b, MESSAGE_AUTH);
    codec_add_text(&b, FIELD_ID, AUTH_ID);
    if (mechanism != NULL) {
        codec_add_text(&b, FIELD_NICK, c->nick);
        codec_add_text(&b, FIELD_MECHANISM, mechanism);
    }
    codec_add(&b, FIELD_DATA, text.data, text.len);
    codec_end(&b);
    link_send(c->link, b.data, b.len);
    buf_deinit(&b);
    buf_deinit(&text);
}

/* ---- by key ---- */

static bool load_key(struct client *c, bool make, char err[SECRET_ERROR_SIZE])
{
    struct client_login *l = &c->login;

    snprintf(err, SECRET_ERROR_SIZE, "there is no home directory to keep a key in: --key says where");
    if (l->key == NULL && c->config.key_file != NULL) {
        l->key = secret_load_key(c->config.key_file, err);
        if (l->key == NULL && make && err[0] == '\0')
            l->key = secret_make_key(c->config.key_file, err);
    }
    return l->key != NULL;
}

static bool get_public(const struct client *c, unsigned char public[LOGIN_KEY_SIZE])
{
    size_t len = LOGIN_KEY_SIZE;

    return EVP_PKEY_get_raw_public_key(c->login.key, public, &len) == 1 && len == LOGIN_KEY_SIZE;
}

static bool try_key(struct client *c)
{
    struct client_login *l = &c->login;
    unsigned char public[LOGIN_KEY_SIZE];
    char err[SECRET_ERROR_SIZE];

    if (l->key_refused || !offers(c, "ED25519"))
        return false;
    if (!load_key(c, false, err)) {
        l->key_refused = true;
        if (err[0] != '\0' && c->config.key_file != NULL)
            client_tell(c, CLIENT_PROBLEM, "no login by key: %s", err);
        return false;
    }
    if (!get_public(c, public))
        return false;
    l->step = LOGIN_BY_KEY;
    send_auth(c, "ED25519", public, sizeof public);
    return true;
}

static void sign(struct client *c, const unsigned char *challenge, size_t len)
{
    unsigned char binding[TLS_BINDING_SIZE], signature[LOGIN_SIGNATURE_SIZE];
    char folded[UTF8_FOLD_MAX];
    size_t folded_len = utf8_fold_nick(c->nick, strlen(c->nick), folded);
    struct buf text = {0};

    if (len != LOGIN_CHALLENGE_SIZE) {
        client_give_up(c, EXIT_PROTOCOL, "%s asks for a login in a way that is not of the protocol",
                       c->config.server);
        return;
    }
    login_key_put_text(&text, folded, folded_len, challenge, binding_of(c, binding));
    if (login_key_sign(c->login.key, &text, signature))
        send_auth(c, NULL, signature, sizeof signature);
    buf_deinit(&text);
}

/* ---- by password ---- */

/* SASLprep, as SCRAM has it for names, forbids some that are nicks; then the request's nick stands for it. */
static const char *scram_name(const struct client *c)
{
    for (const char *at = c->nick; *at != '\0'; at++)
        if ((unsigned char)*at >= 0x80)
            return "*";
    return c->nick;
}

static bool try_password(struct client *c)
{
    struct client_login *l = &c->login;
    unsigned char bytes[TLS_BINDING_SIZE];
    const unsigned char *binding = binding_of(c, bytes);
    bool plus = binding != NULL && offers(c, "SCRAM-SHA-256-PLUS");
    struct buf first = {0};

    if (l->password == NULL || (!plus && !offers(c, "SCRAM-SHA-256")))
        return false;
    scram_client_deinit(&l->scram);
    scram_client_begin(&l->scram, scram_name(c),
                       plus              ? SCRAM_BOUND
                       : binding != NULL ? SCRAM_NOT_OFFERED
                                         : SCRAM_UNBOUND,
                       binding, &first);
    l->step = LOGIN_BY_PASSWORD;
    send_auth(c, plus ? "SCRAM-SHA-256-PLUS" : "SCRAM-SHA-256", first.data, first.len);
    buf_deinit(&first);
    return true;
}

static void answer_challenge(struct client *c, const char *challenge, size_t len)
{
    struct buf final = {0};
    const char *wrong = scram_client_answer(&c->login.scram, challenge, len, c->login.password, &final);

    if (wrong == NULL)
        send_auth(c, NULL, final.data, final.len);
    else
        client_give_up(c, EXIT_DISTRUSTED, "the login at %s is not gone on with: %s", c->config.server,
                       wrong);
    buf_deinit(&final);
}

/* The user is asked while there is no connection: no server waits so long. */
static bool ask_password(struct client *c, const char *why)
{
    if (c->view->ask_password == NULL || (!offers(c, "SCRAM-SHA-256") && !offers(c, "SCRAM-SHA-256-PLUS")))
        return false;
    link_set_reason(c->link, "password");
    link_close_politely(c->link);
    c->state = CLIENT_ASKING;
    c->view->ask_password(c->view_arg, why);
    return true;
}

void client_give_password(struct client *c, const char *text)
{
    if (c->state != CLIENT_ASKING)
        return;
    if (text[0] == '\0') {
        client_give_up(c, EXIT_NOT_CONNECTED,
                       "no password: %s is an account's nick; another one can be had with -n", c->nick);
        return;
    }
    secret_free(c->login.password);
    c->login.password = mem_strdup(text);
    client_reconnect(c);
}

/* ---- the server's part ---- */

static void give_up(struct client *c, const char *why)
{
    client_give_up(c, c->was_on ? EXIT_LOST : EXIT_NOT_CONNECTED, "%s is an account's nick at %s, and %s: %s",
                   c->nick, c->config.server, why,
                   "give its password with --password-file, or on a terminal, or take another nick with -n");
}

/* m: the server's last word on it. */
static void try_next(struct client *c, const struct message *m, const char *why)
{
    c->login.step = LOGIN_NOT;
    if (try_key(c) || try_password(c) || ask_password(c, why))
        return;
    if (why == NULL && c->config.other_nick && !c->was_on)
        client_take_other_nick(c, m);
    else
        give_up(c, why != NULL ? why : "this machine has neither its key nor its password");
}

void client_login_required(struct client *c, const struct message *m)
{
    const struct value *list = message_get_kind(m, FIELD_MECHANISMS, VALUE_NESTED);

    snprintf(c->login.mechanisms, sizeof c->login.mechanisms, "%.*s", list != NULL ? (int)list->len : 0,
             list != NULL ? list->text : "");
    try_next(c, m, NULL);
}

static void wait_for_turn(struct client *c, const struct message *m)
{
    const struct value *v = message_get_kind(m, FIELD_RETRY, VALUE_UINT);
    uint32_t ms = v != NULL ? client_retry_ms(m) + 1 : FALLBACK_WAIT_MS;

    if (!c->config.reconnect) {
        client_give_up(c, EXIT_NOT_CONNECTED, "%s wants you to wait %u s: too many logins have failed",
                       c->config.server, ms / 1000 + 1);
        return;
    }
    link_set_reason(c->link, "throttled");
    link_close_politely(c->link);
    client_tell(c, CLIENT_PROBLEM,
                "%s wants you to wait, as too many logins have failed: trying again in %u s",
                c->config.server, ms / 1000 + 1);
    client_wait(c, ms);
}

static void take_refusal(struct client *c, const struct message *m)
{
    const struct value *code = get_string(m, FIELD_CODE), *text = get_string(m, FIELD_TEXT);
    struct client_login *l = &c->login;

    if (is_text(code, "throttled")) {
        wait_for_turn(c, m);
    } else if (!is_text(code, "bad_login")) {
        if (!client_put_off(c, m))
            client_give_up(c, EXIT_NOT_CONNECTED, "%s does not let you log in as %s: %.*s", c->config.server,
                           c->nick, text != NULL ? (int)text->len : 0, text != NULL ? text->text : "");
    } else if (l->step == LOGIN_BY_KEY) {
        l->key_refused = true;
        try_next(c, m, l->password == NULL ? "it does not know this machine's key" : NULL);
    } else {
        secret_free(l->password);
        l->password = NULL;
        try_next(c, m, "that is not the password");
    }
}

static void take_challenge(struct client *c, const struct message *m)
{
    const struct value *v = get_string(m, FIELD_DATA);
    char data[DATA_MAX];
    ssize_t len = v != NULL ? base64_decode(v->text, v->len, data, sizeof data) : -1;

    if (len < 0)
        client_give_up(c, EXIT_PROTOCOL, "%s asks for a login in a way that is not of the protocol",
                       c->config.server);
    else if (c->login.step == LOGIN_BY_KEY)
        sign(c, (unsigned char *)data, (size_t)len);
    else
        answer_challenge(c, data, (size_t)len);
}

/* Only one who has the account can have made the server's signature. */
static bool is_the_server(const struct client *c, const struct message *m)
{
    const struct value *v = get_string(m, FIELD_DATA);
    char data[DATA_MAX];
    ssize_t len = v != NULL ? base64_decode(v->text, v->len, data, sizeof data) : -1;

    return c->login.step != LOGIN_BY_PASSWORD ||
           (len > 0 && scram_client_verify(&c->login.scram, data, (size_t)len));
}

static void take_authenticated(struct client *c, const struct message *m)
{
    if (!is_the_server(c, m)) {
        client_give_up(
            c, EXIT_DISTRUSTED,
            "%s did not show that it knows your account: somebody may be between you and the server",
            c->config.server);
        return;
    }
    c->login.step = LOGIN_NOT;
    c->login.is_done = c->login.is_needed = true;
    client_greet(c);
}

/* Without this a server that is not the one need not show anything: it would only have to let us in at
 * once. */
bool client_login_suffices(struct client *c, bool is_account)
{
    const struct client_login *l = &c->login;

    if (l->step == LOGIN_NOT && (l->is_done || (!is_account && !l->is_needed)))
        return true;
    if (l->step != LOGIN_NOT || is_account)
        client_give_up(
            c, EXIT_DISTRUSTED,
            "%s lets you in as %s before the login is done, and so did not show that it knows your "
            "account: somebody may be between you and the server",
            c->config.server, c->nick);
    else if (c->was_on)
        client_give_up(
            c, EXIT_DISTRUSTED,
            "%s lets you in as %s without a login now: the account is gone there, or somebody is between "
            "you and the server",
            c->config.server, c->nick);
    else
        client_give_up(
            c, EXIT_DISTRUSTED,
            "%s lets you in as %s without a login: the nick is no account's there, or somebody is between "
            "you and the server. To be there as a guest, leave out --password-file",
            c->config.server, c->nick);
    return false;
}

bool client_login_take(struct client *c, const struct message *m)
{
    if (!is_text(get_string(m, FIELD_RE), AUTH_ID) || c->login.step == LOGIN_NOT)
        return false;
    if (m->type == MESSAGE_CHALLENGE)
        take_challenge(c, m);
    else if (m->type == MESSAGE_AUTHENTICATED)
        take_authenticated(c, m);
    else if (m->type == MESSAGE_ERROR)
        take_refusal(c, m);
    return true;
}

/* ---- registering ---- */

static void add_base64(struct buf *b, enum message_field f, const void *data, size_t len)
{
    char text[BASE64_SIZE(64)];

    codec_add(b, f, text, base64_encode(data, len, text));
}

/* The server gets what it can check a password with, and never the password. */
static bool add_verifiers(struct buf *b, const char *password)
{
    unsigned char salt[SCRAM_SALT_SIZE], salted[SCRAM_KEY_SIZE];
    struct scram_keys keys;

    if (getentropy(salt, sizeof salt) != 0)
        abort();
    if (!scram_salt_password(password, strlen(password), salt, sizeof salt, SCRAM_ITERATIONS, salted))
        return false;
    scram_derive(salted, &keys);
    codec_add_text(b, FIELD_MECHANISM, "SCRAM-SHA-256");
    add_base64(b, FIELD_SALT, salt, sizeof salt);
    codec_add_uint(b, FIELD_ITERATIONS, SCRAM_ITERATIONS);
    add_base64(b, FIELD_STORED_KEY, keys.stored_key, sizeof keys.stored_key);
    add_base64(b, FIELD_SERVER_KEY, keys.server_key, sizeof keys.server_key);
    mem_wipe(salted, sizeof salted);
    mem_wipe(&keys, sizeof keys);
    return true;
}

bool client_own_key(struct client *c, char text[CLIENT_KEY_SIZE])
{
    unsigned char public[LOGIN_KEY_SIZE];
    char err[SECRET_ERROR_SIZE];

    if (!load_key(c, false, err) || !get_public(c, public))
        return false;
    text[base64_encode(public, sizeof public, text)] = '\0';
    return true;
}

bool client_register(struct client *c, const char *id, const char *password, bool with_key,
                     char err[SECRET_ERROR_SIZE])
{
    unsigned char public[LOGIN_KEY_SIZE];
    struct buf b = {0};
    bool ok = true;

    codec_begin(&b, MESSAGE_REGISTER);
    codec_add_text(&b, FIELD_ID, id);
    if (with_key) {
        ok = load_key(c, true, err) && get_public(c, public);
        if (ok)
            add_base64(&b, FIELD_PUBLIC_KEY, public, sizeof public);
    }
    if (ok && password != NULL && !add_verifiers(&b, password)) {
        snprintf(err, SECRET_ERROR_SIZE, "that can't be a password: it takes 1 to %d bytes",
                 SCRAM_PASSWORD_MAX);
        ok = false;
    }
    codec_end(&b);
    if (ok && client_request(c, b.data, b.len) != 0) {
        snprintf(err, SECRET_ERROR_SIZE, "there is no connection at the moment");
        ok = false;
    }
    if (ok && password != NULL) {
        secret_free(c->login.password);
        c->login.password = mem_strdup(password);
    }
    if (ok && with_key)
        c->login.key_refused = false;
    buf_deinit(&b);
    return ok;
}
