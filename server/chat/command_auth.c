/* command_auth.c: auth: logging in to an account, before hello. See command.h.
 *
 * Whether there is such an account nobody learns here: one that there is not is made up (account.h), and goes
 * the same way to the same answer. */
#include "common/base64.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/tls.h"
#include "common/transport.h"
#include "server/chat/accounts.h"
#include "server/chat/command.h"
#include "server/chat/login.h"
#include "server/chat/scram_server.h"
#include "server/chat/session.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define WAIT_TEXT "too many logins have failed: wait, then try again"

/* The account is being read for the first message of a login. */
struct lookup {
    struct store_fact fact; /* first */
    struct session *session;
    char id[PROTOCOL_MAX_ID];
    uint8_t id_len;
    size_t data_len;
    char data[LOGIN_DATA_MAX];
};

static struct accounts *accounts_of(const struct session *s)
{
    return &session_chat(s)->shared->accounts;
}

static void tell_log(const struct session *s, const struct login *l, const char *outcome)
{
    char conn[LIFECYCLE_ID_SIZE], nick[LOG_QUOTED_SIZE];

    log_event(LOG_INFO, "login", "conn=%s nick=%s mechanism=%s outcome=%s",
              lifecycle_format_id(&s->conn.life, conn), log_quote(l->who.folded, l->who.folded_len, nick),
              login_mechanism_name(l->mechanism), outcome);
}

static void end_login(struct session *s)
{
    login_free(s->login);
    s->login = NULL;
}

static void refuse(struct session *s, const struct value *id)
{
    tell_log(s, s->login, "refused");
    end_login(s);
    session_error(s, id, "bad_login",
                  "that does not log in to that account: the password or key is another one");
}

static void answer(struct session *s, const struct value *id, enum message_type type, const void *data,
                   size_t len)
{
    struct buf *b = &s->conn.reactor->scratch;
    struct buf text = {0};

    text.len = base64_encode(data, len, buf_reserve(&text, BASE64_SIZE(len)));
    buf_clear(b);
    codec_begin(b, type);
    if (id != NULL)
        codec_add(b, FIELD_RE, id->text, id->len);
    if (type == MESSAGE_AUTHENTICATED)
        codec_add_text(b, FIELD_NICK, s->login->account.nick);
    codec_add(b, FIELD_DATA, text.data, text.len);
    codec_end(b);
    session_send(s, b);
    buf_deinit(&text);
}

/* ---- the first message ---- */

/* SCRAM has a place of its own for the name. `*` is there for nicks that SASLprep does not let through. */
static bool names_itself(const struct login *l)
{
    const char *user = scram_server_user(l->scram);
    char folded[UTF8_FOLD_MAX];
    size_t len = strlen(user);

    if (strcmp(user, "*") == 0)
        return true;
    len = utf8_is_nick(user, len) ? utf8_fold_nick(user, len, folded) : 0;
    return len == l->who.folded_len && memcmp(folded, l->who.folded, len) == 0;
}

static void challenge_password(struct session *s, const struct value *id, const char *data, size_t len)
{
    struct login *l = s->login;
    struct buf out = {0};

    l->scram =
        scram_server_new(&l->account, l->mechanism == LOGIN_SCRAM_PLUS, l->is_bound ? l->binding : NULL);
    if (l->scram == NULL || scram_server_step(l->scram, data, len, &out) != SCRAM_MORE || !names_itself(l)) {
        refuse(s, id);
    } else {
        l->state = LOGIN_CHALLENGED;
        answer(s, id, MESSAGE_CHALLENGE, out.data, out.len);
    }
    buf_deinit(&out);
}

static void challenge_key(struct session *s, const struct value *id, const char *data, size_t len)
{
    struct login *l = s->login;

    if (len != LOGIN_KEY_SIZE) {
        refuse(s, id);
        return;
    }
    memcpy(l->key, data, LOGIN_KEY_SIZE);
    if (getentropy(l->challenge, sizeof l->challenge) != 0)
        abort();
    l->state = LOGIN_CHALLENGED;
    answer(s, id, MESSAGE_CHALLENGE, l->challenge, sizeof l->challenge);
}

static void challenge(struct session *s, const struct lookup *k)
{
    const struct value id = {.text = k->id, .len = k->id_len}, *to = k->id_len > 0 ? &id : NULL;
    const unsigned char *secret = accounts_of(s)->secret;
    struct login *l = s->login;

    if (k->fact.job.failed != NULL) {
        end_login(s);
        session_error(s, to, "storage", "the server could not read its disk: try again later");
        return;
    }
    l->is_real = k->fact.found && account_parse(k->fact.value.data, k->fact.value.len, &l->account);
    if (!l->is_real || (l->mechanism != LOGIN_KEY && !l->account.has_password)) {
        l->is_real = false;
        account_make_up(secret, l->who.folded, l->who.folded_len, &l->account);
    }
    if (l->mechanism == LOGIN_KEY)
        challenge_key(s, to, k->data, k->data_len);
    else
        challenge_password(s, to, k->data, k->data_len);
}

static void on_found(struct reactor *r, struct post *p)
{
    struct lookup *k = (struct lookup *)p;
    struct session *s = k->session;

    if (!atomic_load(&accounts_of(s)->has_secret)) { /* the server has only just started: it comes back */
        store_get(chat_of(r)->shared->store, &k->fact);
        return;
    }
    session_go_on(s);
    if (s->login != NULL && conn_can_speak(&s->conn))
        challenge(s, k);
    session_unhold(s);
    buf_deinit(&k->fact.key);
    buf_deinit(&k->fact.value);
    free(k);
}

static void look_up(struct session *s, const struct value *id, const char *data, size_t len)
{
    struct lookup *k = mem_zalloc(sizeof *k);

    k->session = s;
    if (id != NULL) {
        memcpy(k->id, id->text, id->len);
        k->id_len = (uint8_t)id->len;
    }
    memcpy(k->data, data, len);
    k->data_len = len;
    k->fact.job.home = s->conn.reactor;
    k->fact.job.done = on_found;
    session_hold(s);
    session_wait(s); /* the next message belongs to what this one begins */
    accounts_find(session_chat(s)->shared->store, &k->fact, s->login->who.folded, s->login->who.folded_len);
}

static bool check_mechanism(struct session *s, const struct value *id, const struct value *name,
                            enum login_mechanism *m)
{
    if (!login_mechanism_find(name->text, name->len, m)) {
        session_error_field(s, id, "bad_request", "mechanism", 0,
                            "mechanism takes SCRAM-SHA-256, SCRAM-SHA-256-PLUS or ED25519");
        return false;
    }
    if (*m != LOGIN_KEY && !scram_server_is_built()) {
        session_error_field(s, id, "bad_request", "mechanism", 0,
                            "this chatd was built without GNU SASL: it takes ED25519 alone");
        return false;
    }
    if (*m != LOGIN_SCRAM_PLUS || s->conn.transport != NULL)
        return true;
    session_error_field(s, id, "bad_request", "mechanism", 0,
                        "SCRAM-SHA-256-PLUS needs TLS to be bound to: this connection has none");
    return false;
}

static void begin(struct session *s, const struct message *m, const struct value *id,
                  const struct value *name, const char *data, size_t len)
{
    char folded[UTF8_FOLD_MAX];
    enum login_mechanism mechanism;
    const struct value *nick;
    struct throttle_who who;
    size_t folded_len;
    uint64_t wait;

    if (!check_mechanism(s, id, name, &mechanism) ||
        !command_need_string(s, m, id, FIELD_NICK, 0, 8192, &nick))
        return;
    folded_len = utf8_is_nick(nick->text, nick->len) ? utf8_fold_nick(nick->text, nick->len, folded) : 0;
    if (folded_len == 0) {
        session_error(s, id, "bad_nick", "a nick is 1 to %d bytes of letters, digits, _, - and .",
                      UTF8_NICK_MAX);
        return;
    }
    login_identify(&who, s, folded, folded_len);
    wait = throttle_ask(&accounts_of(s)->throttle, &who, reactor_now(s->conn.reactor));
    if (wait > 0) {
        login_put_off(s, id, "throttled", wait, WAIT_TEXT);
        return;
    }
    end_login(s);
    s->login = mem_zalloc(sizeof *s->login);
    s->login->mechanism = mechanism;
    s->login->who = who;
    s->login->is_bound =
        s->conn.transport != NULL && tls_binding(transport_ssl(s->conn.transport), s->login->binding);
    look_up(s, id, data, len);
}

/* ---- the second message ---- */

static bool proves_key(const struct login *l, const char *data, size_t len)
{
    struct buf text = {0};
    bool ok;

    login_key_put_text(&text, l->who.folded, l->who.folded_len, l->challenge,
                       l->is_bound ? l->binding : NULL);
    ok = login_key_verify(l->key, &text, data, len); /* also where the key is nobody's: it takes its time */
    buf_deinit(&text);
    return ok && l->is_real && account_has_key(&l->account, l->key);
}

static void go_on(struct session *s, const struct value *id, const char *data, size_t len)
{
    struct throttle *t = &accounts_of(s)->throttle;
    struct login *l = s->login;
    struct buf out = {0};
    uint64_t now = reactor_now(s->conn.reactor), wait = throttle_try(t, &l->who, now);
    bool ok;

    if (wait > 0) {
        end_login(s);
        login_put_off(s, id, "throttled", wait, WAIT_TEXT);
        return;
    }
    ok = l->mechanism == LOGIN_KEY ? proves_key(l, data, len)
                                   : scram_server_step(l->scram, data, len, &out) == SCRAM_DONE && l->is_real;
    if (ok) {
        throttle_forgive(t, &l->who, now);
        l->state = LOGIN_DONE;
        tell_log(s, l, "done");
        answer(s, id, MESSAGE_AUTHENTICATED, out.data, out.len);
        scram_server_free(l->scram);
        l->scram = NULL;
    } else {
        refuse(s, id);
    }
    buf_deinit(&out);
}

void command_auth(struct session *s, const struct message *m, const struct value *id)
{
    const struct value *mechanism, *data;
    char bytes[LOGIN_DATA_MAX];
    ssize_t len;

    if (s->nick != NULL) {
        session_error(s, id, "already", "you have said hello, as %.*s", s->nick->len, nick_text(s->nick));
        return;
    }
    if (!command_take_string(s, m, id, FIELD_MECHANISM, 0, 64, &mechanism) ||
        !command_need_string(s, m, id, FIELD_DATA, 0, BASE64_SIZE(LOGIN_DATA_MAX), &data))
        return;
    len = base64_decode(data->text, data->len, bytes, sizeof bytes);
    if (len < 0)
        session_error_field(s, id, "bad_request", "data", 0, "data takes base64, of at most %d bytes",
                            LOGIN_DATA_MAX);
    else if (mechanism != NULL)
        begin(s, m, id, mechanism, bytes, (size_t)len);
    else if (s->login != NULL && s->login->state == LOGIN_CHALLENGED)
        go_on(s, id, bytes, (size_t)len);
    else
        session_error_field(s, id, "bad_request", "mechanism", 0,
                            "mechanism is missing: no login is under way");
}
