/* command_register.c: register: a guest's nick becomes an account, or an account gets another password or one
 * more key. keys: which it has. unregister: one of them is taken away, or the account is closed. See
 * command.h.
 *
 * The account is read, changed and kept while the session waits; a password is turned into verifiers first,
 * by the hasher's thread. One change of an account is under way at a time. */
#include "common/base64.h"
#include "common/log.h"
#include "common/mem.h"
#include "server/chat/accounts.h"
#include "server/chat/command.h"
#include "server/chat/direct.h"
#include "server/chat/fanout.h"
#include "server/chat/login.h"
#include "server/chat/scram_server.h"
#include "server/chat/session.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define change_of_hash(p) ((struct change *)(void *)((char *)(p)-offsetof(struct change, hash)))

enum change_what { CHANGE_SET, CHANGE_DROP_KEY, CHANGE_CLOSE, CHANGE_NOTHING };

struct change {
    struct store_fact fact; /* first */
    enum change_what what;
    struct hash_job hash;
    struct session *session;
    struct account with; /* what is to be set: a password's four, or a key */
    struct account account;
    char folded[UTF8_FOLD_MAX], id[PROTOCOL_MAX_ID];
    uint8_t folded_len, id_len;
    bool is_new;
};

static struct accounts *accounts_of(const struct session *s)
{
    return &session_chat(s)->shared->accounts;
}

/* ---- the end of it ---- */

/* The session is still there, with the nick that it is about. */
static bool is_wanted(const struct change *c)
{
    return c->session->nick != NULL && conn_can_speak(&c->session->conn);
}

static void change_end(struct change *c)
{
    struct session *s = c->session;

    accounts_end_change(accounts_of(s), c->folded, c->folded_len);
    buf_deinit(&c->fact.key);
    if (c->fact.value.data != NULL)
        mem_wipe(c->fact.value.data, c->fact.value.cap);
    buf_deinit(&c->fact.value);
    mem_wipe(c, sizeof *c);
    free(c);
    session_go_on(s);
    session_unhold(s);
}

static void fail(struct change *c, const char *code, const char *text)
{
    struct value id;

    if (is_wanted(c))
        session_error(c->session, command_id(c->id, c->id_len, &id), code, "%s", text);
    change_end(c);
}

static void put_keys(struct buf *b, const struct account *a)
{
    char text[BASE64_SIZE(LOGIN_KEY_SIZE)];
    struct buf list = {0};

    for (uint32_t i = 0; i < a->key_count; i++)
        buf_putf(&list, "%c\"%.*s\"", i == 0 ? '[' : ',',
                 (int)base64_encode(a->keys[i], LOGIN_KEY_SIZE, text), text);
    buf_puts(&list, a->key_count > 0 ? "]" : "[]");
    codec_add_bool(b, FIELD_PASSWORD, a->has_password);
    codec_add_raw(b, FIELD_PUBLIC_KEYS, list.data, list.len);
    buf_deinit(&list);
}

static void answer(struct change *c)
{
    static const enum message_type types[] = {[CHANGE_SET] = MESSAGE_REGISTERED,
                                              [CHANGE_DROP_KEY] = MESSAGE_UNREGISTERED,
                                              [CHANGE_CLOSE] = MESSAGE_UNREGISTERED,
                                              [CHANGE_NOTHING] = MESSAGE_KEYS};
    struct session *s = c->session;
    struct buf *b = &s->conn.reactor->scratch;

    if (c->id_len == 0)
        return;
    buf_clear(b);
    codec_begin(b, types[c->what]);
    codec_add(b, FIELD_RE, c->id, c->id_len);
    codec_add_text(b, FIELD_NICK, c->account.nick);
    if (c->what == CHANGE_NOTHING)
        put_keys(b, &c->account);
    codec_end(b);
    session_send(s, b);
}

static void on_promoted(struct reactor *r, struct post *p)
{
    (void)r;
    ask_free((struct ask *)p);
}

static void promote(struct session *s, const struct account *a)
{
    const struct net *net = session_chat(s)->shared->net;
    uint64_t was = s->nick->identity;

    directory_promote(&session_chat(s)->shared->directory, s->nick, a->identity);
    member_promote_all(s, was);
    for (unsigned i = 0; i < net->count; i++) {
        struct ask *ask = ask_new(s->conn.reactor, NULL, NULL, direct_on_promote, on_promoted);

        ask_set_nick(ask, s);
        ask->was = was;
        ask_send(ask, net->reactors[i]);
    }
}

/* The other connections of an account that is closed: one reactor's. */
struct closing {
    struct post post;
    char folded[UTF8_FOLD_MAX];
    uint8_t len;
};

static void on_closing(struct reactor *r, struct post *p)
{
    struct closing *c = (struct closing *)p;
    struct session *there[DIRECTORY_SESSIONS_MAX];
    size_t count = directory_sessions(&chat_of(r)->shared->directory, c->folded, c->len, r, there);

    for (size_t i = 0; i < count; i++) {
        session_let_go(there[i], "leave");
        session_bye(there[i], "kicked", "your account has been removed");
    }
    free(c);
}

/* Who logs in from now on is turned away after having come into the directory: so nobody is missed. */
static void close_all(struct change *c)
{
    struct session *s = c->session;
    struct directory *d = &session_chat(s)->shared->directory;
    struct reactor *there[DIRECTORY_SESSIONS_MAX];
    size_t count;

    accounts_tell_closed(accounts_of(s), c->folded, c->folded_len);
    if (is_wanted(c)) {
        answer(c);
        session_let_go(s, "leave");
        session_bye(s, "kicked", "your account has been removed");
    }
    count = directory_reactors(d, c->folded, c->folded_len, there);
    for (size_t i = 0; i < count; i++) {
        struct closing *closing = mem_zalloc(sizeof *closing);

        memcpy(closing->folded, c->folded, c->folded_len);
        closing->len = c->folded_len;
        reactor_post(s->conn.reactor, there[i], &closing->post, on_closing);
    }
}

static void go_on_as(struct change *c)
{
    accounts_tell(accounts_of(c->session), c->folded, c->folded_len);
    if (!is_wanted(c))
        return;
    if (!c->session->nick->is_account)
        promote(c->session, &c->account);
    answer(c);
}

static void on_kept(struct reactor *r, struct post *p)
{
    struct change *c = (struct change *)p;
    char conn[LIFECYCLE_ID_SIZE], nick[LOG_QUOTED_SIZE];

    (void)r;
    if (c->fact.job.failed != NULL) {
        fail(c, "storage", "the account could not be kept: try again later");
        return;
    }
    log_event(LOG_INFO,
              c->is_new                 ? "register"
              : c->what == CHANGE_CLOSE ? "unregister"
                                        : "account-change",
              "conn=%s nick=%s password=%s keys=%u", lifecycle_format_id(&c->session->conn.life, conn),
              log_quote(c->folded, c->folded_len, nick), c->account.has_password ? "yes" : "no",
              c->account.key_count);
    if (c->what == CHANGE_CLOSE)
        close_all(c);
    else
        go_on_as(c);
    change_end(c);
}

/* ---- the account as it is to be ---- */

static void make_new(struct change *c)
{
    const struct session *s = c->session;
    struct account *a = &c->account;

    *a = (struct account){.registered_ms = s->conn.reactor->wall_ms, .since_ms = s->nick->since_ms};
    memcpy(a->nick, nick_text(s->nick), s->nick->len);
    if (getentropy(&a->identity, sizeof a->identity) != 0)
        abort();
    a->identity = (a->identity & (DIRECTORY_ACCOUNT - 1)) | DIRECTORY_ACCOUNT;
    if (s->nick->is_account) /* it was there before, and is being made again */
        a->identity = s->nick->identity;
    c->is_new = true;
}

static bool set(struct change *c)
{
    const struct account *with = &c->with;
    struct account *a = &c->account;

    if (with->has_password) {
        a->has_password = true;
        a->iterations = with->iterations;
        memcpy(a->salt, with->salt, sizeof a->salt);
        memcpy(a->stored_key, with->stored_key, sizeof a->stored_key);
        memcpy(a->server_key, with->server_key, sizeof a->server_key);
    }
    return with->key_count == 0 || account_add_key(a, with->keys[0]);
}

static bool drop_key(struct change *c)
{
    struct account *a = &c->account;

    if (!account_has_key(a, c->with.keys[0])) {
        fail(c, "no_such_key", "the account has no such key: keys lists those that it has");
        return false;
    }
    if (a->key_count == 1 && !a->has_password) {
        fail(c, "last_key", "that key is all that one logs in by: set a password or add another key first");
        return false;
    }
    account_drop_key(a, c->with.keys[0]);
    return true;
}

/* false: it is not to be kept, and has been answered. */
static bool apply(struct change *c)
{
    switch (c->what) {
    case CHANGE_SET:
        if (set(c))
            return true;
        fail(c, "too_many_keys", "the account has as many keys as it may have: take one away (unregister)");
        return false;
    case CHANGE_DROP_KEY:
        return drop_key(c);
    case CHANGE_CLOSE:
        account_close(&c->account);
        return true;
    case CHANGE_NOTHING:
        break;
    }
    answer(c);
    change_end(c);
    return false;
}

static void on_read(struct reactor *r, struct post *p)
{
    struct change *c = (struct change *)p;
    struct store_fact *f = &c->fact;

    reactor_now(r);
    if (!is_wanted(c) || f->job.failed != NULL) {
        fail(c, "storage", "the server could not read its disk: try again later");
        return;
    }
    if (!f->found) {
        make_new(c);
    } else if (!account_parse(f->value.data, f->value.len, &c->account)) {
        fail(c, "storage", "what the server has kept of that account can't be read");
        return;
    } else if (!c->session->nick->is_account || account_is_closed(&c->account)) {
        fail(c, "nick_in_use", "that nick is somebody's account");
        return;
    }
    if (!apply(c))
        return;
    buf_clear(&f->value);
    account_put(&f->value, &c->account);
    f->job.done = on_kept;
    store_put(chat_of(r)->shared->store, f);
}

static void read_account(struct change *c)
{
    c->fact.job.home = c->session->conn.reactor;
    c->fact.job.done = on_read;
    accounts_find(session_chat(c->session)->shared->store, &c->fact, c->folded, c->folded_len);
}

static void on_hashed(struct reactor *r, struct post *p)
{
    struct change *c = change_of_hash(p);
    struct value id;

    (void)r;
    if (!c->hash.ok) {
        if (is_wanted(c))
            session_error_field(c->session, command_id(c->id, c->id_len, &id), "bad_request", "password", 0,
                                "password takes text of at most %d bytes, without control characters",
                                SCRAM_PASSWORD_MAX);
        change_end(c);
        return;
    }
    memcpy(c->with.salt, c->hash.salt, sizeof c->with.salt);
    memcpy(c->with.stored_key, c->hash.keys.stored_key, sizeof c->with.stored_key);
    memcpy(c->with.server_key, c->hash.keys.server_key, sizeof c->with.server_key);
    read_account(c);
}

static void hash(struct change *c, const struct value *password)
{
    struct hash_job *job = &c->hash;
    struct value id;

    job->home = c->session->conn.reactor;
    job->done = on_hashed;
    job->password = mem_strndup(password->text, password->len);
    job->len = password->len;
    job->iterations = c->with.iterations = SCRAM_ITERATIONS;
    if (getentropy(job->salt, sizeof job->salt) != 0)
        abort();
    if (hasher_put(&accounts_of(c->session)->hasher, job))
        return;
    mem_wipe(job->password, job->len);
    free(job->password);
    if (is_wanted(c))
        login_put_off(c->session, command_id(c->id, c->id_len, &id), "overloaded", 5000,
                      "many set a password just now: try again in 5 s");
    change_end(c);
}

/* ---- the request ---- */

static bool take_bytes(struct session *s, const struct message *m, const struct value *id,
                       enum message_field f, unsigned char *out, size_t len, bool *given)
{
    const struct value *v;

    if (!command_take_string(s, m, id, f, 0, 128, &v))
        return false;
    *given = v != NULL;
    if (v == NULL || base64_decode(v->text, v->len, out, len) == (ssize_t)len)
        return true;
    session_error_field(s, id, "bad_request", message_field_name(f), 0, "%s takes %zu bytes in base64",
                        message_field_name(f), len);
    return false;
}

/* The four of a password that the client has made: all, or none. */
static bool take_verifiers(struct session *s, const struct message *m, const struct value *id,
                           struct account *with)
{
    const struct value *iterations, *mechanism;
    bool salt, stored, server;

    if (!command_take_string(s, m, id, FIELD_MECHANISM, 0, 64, &mechanism) ||
        !take_bytes(s, m, id, FIELD_SALT, with->salt, sizeof with->salt, &salt) ||
        !command_take_uint(s, m, id, FIELD_ITERATIONS, SCRAM_ITERATIONS_MIN, SCRAM_ITERATIONS_MAX,
                           &iterations) ||
        !take_bytes(s, m, id, FIELD_STORED_KEY, with->stored_key, sizeof with->stored_key, &stored) ||
        !take_bytes(s, m, id, FIELD_SERVER_KEY, with->server_key, sizeof with->server_key, &server))
        return false;
    if (mechanism != NULL && (mechanism->len != 13 || memcmp(mechanism->text, "SCRAM-SHA-256", 13) != 0)) {
        session_error_field(s, id, "bad_request", "mechanism", 0, "mechanism takes SCRAM-SHA-256 here");
        return false;
    }
    with->has_password = salt && stored && server && iterations != NULL;
    if (with->has_password)
        with->iterations = (uint32_t)iterations->number;
    if (with->has_password || (!salt && !stored && !server && iterations == NULL))
        return true;
    session_error_field(s, id, "bad_request", "mechanism", 0,
                        "salt, iterations, stored_key and server_key belong together");
    return false;
}

static bool check_password(struct session *s, const struct value *id, const struct value *password,
                           struct account *with)
{
    if (password != NULL && s->conn.transport == NULL) {
        session_error(s, id, "plain_refused",
                      "a password is never taken on a plain connection: use TLS, or send what is made of it");
        return false;
    }
    if (password != NULL && with->has_password) {
        session_error_field(s, id, "bad_request", "password", 0,
                            "there is a password, and what is made of one: only one of them is expected");
        return false;
    }
    with->has_password |= password != NULL;
    if (with->has_password && !scram_server_is_built()) {
        session_error_field(s, id, "bad_request", "password", 0,
                            "this chatd was built without GNU SASL: it takes a public_key alone");
        return false;
    }
    if (with->has_password || with->key_count > 0)
        return true;
    session_error_field(s, id, "bad_request", "public_key", 0,
                        "neither a password nor a public_key is given: what shall one log in by?");
    return false;
}

/* New accounts are bounded by the address: guests are many. */
static bool may_register(struct session *s, const struct value *id)
{
    struct throttle_who who;
    uint64_t wait;

    if (s->nick->is_account)
        return true;
    login_identify(&who, s, s->nick->text, s->nick->folded_len);
    wait = throttle_register(&accounts_of(s)->throttle, &who, reactor_now(s->conn.reactor));
    if (wait > 0)
        login_put_off(s, id, "throttled", wait,
                      "your address has registered many accounts: wait, then try again");
    return wait == 0;
}

/* A new account; its change has begun. */
static bool has_place(struct session *s, const struct value *id)
{
    uint32_t most = session_chat(s)->limits.max_accounts;

    if (s->nick->is_account || accounts_have_place(accounts_of(s), most))
        return true;
    session_error_field(s, id, "server_accounts", NULL, most,
                        "the server has %u accounts, as many as it may (--max-accounts)", most);
    return false;
}

static struct change *change_begin(struct session *s, const struct value *id, const struct account *with)
{
    struct change *c;

    if (!accounts_begin_change(accounts_of(s), s->nick->text, s->nick->folded_len)) {
        login_put_off(s, id, "overloaded", 1000,
                      "another change of that account is under way: try again in a second");
        return NULL;
    }
    if (!has_place(s, id)) {
        accounts_end_change(accounts_of(s), s->nick->text, s->nick->folded_len);
        return NULL;
    }
    c = mem_zalloc(sizeof *c);
    c->session = s;
    c->with = *with;
    memcpy(c->folded, s->nick->text, s->nick->folded_len);
    c->folded_len = s->nick->folded_len;
    if (id != NULL) {
        memcpy(c->id, id->text, id->len);
        c->id_len = (uint8_t)id->len;
    }
    session_hold(s);
    session_wait(s); /* what comes behind it is the account's already */
    return c;
}

void command_register(struct session *s, const struct message *m, const struct value *id)
{
    struct account with = {0};
    const struct value *password;
    struct change *c;
    bool has_key;

    if (!command_take_string(s, m, id, FIELD_PASSWORD, 1, SCRAM_PASSWORD_MAX, &password) ||
        !take_verifiers(s, m, id, &with) ||
        !take_bytes(s, m, id, FIELD_PUBLIC_KEY, with.keys[0], LOGIN_KEY_SIZE, &has_key))
        return;
    with.key_count = has_key;
    if (!check_password(s, id, password, &with) || !may_register(s, id))
        return;
    c = change_begin(s, id, &with);
    if (c == NULL)
        return;
    if (password != NULL)
        hash(c, password);
    else
        read_account(c);
}

/* ---- keys, unregister ---- */

static bool need_account(struct session *s, const struct value *id)
{
    if (!s->nick->is_account)
        session_error(s, id, "account_needed", "%.*s is no account", s->nick->len, nick_text(s->nick));
    return s->nick->is_account;
}

static void begin(struct session *s, const struct value *id, enum change_what what,
                  const struct account *with)
{
    struct change *c = change_begin(s, id, with);

    if (c == NULL)
        return;
    c->what = what;
    read_account(c);
}

void command_keys(struct session *s, const struct message *m, const struct value *id)
{
    (void)m;
    if (need_account(s, id))
        begin(s, id, CHANGE_NOTHING, &(struct account){0});
}

/* Who removes an account names it, so that nobody does by a field that is missing. */
static bool is_own_nick(struct session *s, const struct value *id, const struct value *nick)
{
    char folded[UTF8_FOLD_MAX];

    if (utf8_is_nick(nick->text, nick->len) &&
        utf8_fold_nick(nick->text, nick->len, folded) == s->nick->folded_len &&
        memcmp(folded, s->nick->text, s->nick->folded_len) == 0)
        return true;
    session_error_field(s, id, "bad_request", "nick", 0, "nick takes %.*s here, the account that is yours",
                        s->nick->len, nick_text(s->nick));
    return false;
}

void command_unregister(struct session *s, const struct message *m, const struct value *id)
{
    struct account with = {.key_count = 1};
    const struct value *nick;
    bool has_key;

    if (!need_account(s, id) ||
        !take_bytes(s, m, id, FIELD_PUBLIC_KEY, with.keys[0], LOGIN_KEY_SIZE, &has_key) ||
        !command_take_string(s, m, id, FIELD_NICK, 1, UTF8_NICK_MAX, &nick))
        return;
    if (has_key == (nick != NULL))
        session_error_field(
            s, id, "bad_request", "public_key", 0,
            "either a public_key is expected, to take that key away, or nick, to remove the account");
    else if (has_key)
        begin(s, id, CHANGE_DROP_KEY, &with);
    else if (is_own_nick(s, id, nick))
        begin(s, id, CHANGE_CLOSE, &with);
}
