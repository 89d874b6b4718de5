/* command_session.c: hello, ping, bye. See command.h. */
#include "server/chat/command.h"

#include "common/log.h"
#include "common/mem.h"
#include "common/utf8.h"
#include "server/chat/fanout.h"
#include "server/chat/login.h"
#include "server/chat/session.h"
#include "server/chat/unread.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#define MAX_AGENT  128
#define MAX_RESUME 128
#define MAX_BYE    512

/* A hello that waits: at the start for the store to say whether the nick is an account's, then perhaps until
 * an older connection has let go of it. */
struct greeting {
    struct store_fact fact; /* first */
    struct post post;
    struct reactor *from;
    struct session *session;
    struct nick *nick;
    char id[PROTOCOL_MAX_ID], agent[MAX_AGENT + 1];
    uint8_t id_len;
    bool may_resume;  /* the identity in nick is one that an earlier connection had */
    unsigned awaited; /* reactors that have yet to say that they know of the older connection's end */
};

#define greeting_of(p) ((struct greeting *)(void *)((char *)(p)-offsetof(struct greeting, post)))

static void put_limits(struct buf *b, const struct session *s)
{
    const struct net_limits *net = &s->conn.reactor->limits;
    const struct chat_limits *chat = &session_chat(s)->limits;

    buf_putf(
        b,
        ",\"limits\":{\"max_line\":%u,\"max_text\":%d,\"max_rooms\":%u,\"history\":%u,\"presence_max\":%u,\"ping_s\":%u,"
        "\"idle_s\":%u,\"requests_per_s\":%u,\"max_out\":%u}",
        net->max_line, PROTOCOL_MAX_TEXT, chat->max_rooms_per_connection, chat->history, chat->presence_max,
        net->ping_ms / 1000, (net->ping_ms + net->idle_ms) / 1000, net->requests_per_s, net->max_out);
}

static void welcome(struct session *s, const char *re, size_t re_len, const char *agent)
{
    struct chat *chat = session_chat(s);
    struct buf *b = &s->conn.reactor->scratch;
    char session[LIFECYCLE_ID_SIZE], token[DIRECTORY_TOKEN_SIZE], nick[LOG_QUOTED_SIZE],
        quoted[LOG_QUOTED_SIZE];

    lifecycle_format_id(&s->conn.life, session);
    log_event(LOG_INFO, "hello", "conn=%s nick=%s agent=%s", session,
              log_quote(nick_text(s->nick), s->nick->len, nick), log_quote_text(agent, quoted));
    conn_greet(&s->conn);
    if (re_len == 0)
        return;
    reactor_now(s->conn.reactor);
    buf_clear(b);
    codec_begin(b, MESSAGE_WELCOME);
    codec_add(b, FIELD_RE, re, re_len);
    codec_add_text(b, FIELD_SERVER, chat->shared->server);
    codec_add_uint(b, FIELD_VERSION, PROTOCOL_VERSION);
    codec_add(b, FIELD_NICK, nick_text(s->nick), s->nick->len);
    if (s->nick->is_account)
        codec_add_bool(b, FIELD_ACCOUNT, true);
    codec_add_text(b, FIELD_SESSION, session);
    if (!s->nick->is_account) { /* an account logs in again, and is on from as many connections as it likes */
        directory_token(&chat->shared->directory, s->nick, s->conn.life.id, token);
        codec_add_text(b, FIELD_RESUME, token);
    }
    codec_add_uint(b, FIELD_TIME, s->conn.reactor->wall_ms);
    put_limits(b, s);
    codec_end(b);
    session_send(s, b);
}

/* ---- taking a nick ---- */

static void greeting_end(struct greeting *g)
{
    struct session *s = g->session;

    buf_deinit(&g->fact.key);
    buf_deinit(&g->fact.value);
    free(g->nick);
    free(g);
    session_go_on(s);
    session_unhold(s);
}

static void refuse(struct greeting *g, const char *code, const char *text)
{
    struct value id;

    g->session->stays = false;
    session_error(g->session, command_id(g->id, g->id_len, &id), code, "%.*s %s", g->nick->len,
                  nick_text(g->nick), text);
}

static void take_over(struct greeting *g, struct reactor *owner);

/* What holds an account's nick and is no account was let in before the account was kept: it makes way. */
static void take_nick(struct greeting *g)
{
    struct directory *d = &session_chat(g->session)->shared->directory;
    struct session *s = g->session;
    struct nick_place place;

    reactor_now(s->conn.reactor);
    g->nick->session = s;
    switch (directory_add(d, g->nick)) {
    case DIRECTORY_OK:
        if (g->nick->is_account &&
            accounts_is_closed(&session_chat(s)->shared->accounts, g->nick->text, g->nick->folded_len)) {
            directory_remove(d, g->nick); /* removed since it has logged in */
            refuse(g, "bad_login", "was an account, and has been removed");
            break;
        }
        login_free(s->login);
        s->login = NULL;
        s->nick = g->nick;
        g->nick = NULL;
        welcome(s, g->id, g->id_len, g->agent);
        if (s->nick->is_account)
            unread_tell(s);
        break;
    case DIRECTORY_FULL:
        refuse(g, "too_many_connections", "is on as many connections as one account may be: end one first");
        break;
    case DIRECTORY_TAKEN:
        if (g->nick->is_account && directory_find(d, g->nick->text, g->nick->folded_len, &place) &&
            !place.is_account) {
            take_over(g, place.reactor);
            return;
        }
        refuse(g, "nick_in_use", "is somebody's nick at the moment");
        break;
    }
    greeting_end(g);
}

/* ---- taking it over from an older connection ---- */

/* On its way from the older connection's reactor by one of the others, behind what was posted there, to ours. */
struct word {
    struct post post;
    struct greeting *greeting;
};

static void on_freed(struct reactor *r, struct post *p)
{
    struct word *word = (struct word *)p;
    struct greeting *g = word->greeting;

    (void)r;
    free(word);
    if (--g->awaited > 0)
        return;
    if (conn_can_speak(&g->session->conn))
        take_nick(g);
    else
        greeting_end(g);
}

static void pass_on(struct reactor *r, struct post *p)
{
    reactor_post(r, ((struct word *)p)->greeting->from, p, on_freed);
}

/* The rooms that the older connection was in hear of its end before they hear of us. */
static void tell_freed(struct reactor *r, struct greeting *g)
{
    struct net *net = r->net;

    g->awaited = net->count;
    for (unsigned i = 0; i < net->count; i++) {
        struct word *word = mem_zalloc(sizeof *word);

        word->greeting = g;
        reactor_post(r, net->reactors[i], &word->post, pass_on);
    }
}

static void on_takeover(struct reactor *r, struct post *p)
{
    struct greeting *g = greeting_of(p);
    struct nick *n = g->nick;
    struct session *old[DIRECTORY_SESSIONS_MAX];
    size_t count = directory_sessions(&chat_of(r)->shared->directory, n->text, n->folded_len, r, old);

    if (count == 1 && !old[0]->nick->is_account && (n->is_account || old[0]->nick->identity == n->identity)) {
        if (!n->is_account)
            n->since_ms = old[0]->nick->since_ms;
        session_let_go(old[0], "detach");
        session_bye(old[0], "replaced",
                    n->is_account ? "your nick is an account's, whose owner has come"
                                  : "another connection has taken over your nick");
    }
    tell_freed(r, g);
}

static void take_over(struct greeting *g, struct reactor *owner)
{
    reactor_post(g->from, owner, &g->post, on_takeover);
}

/* ---- whose nick it is ---- */

static void take_as_guest(struct greeting *g)
{
    struct directory *d = &session_chat(g->session)->shared->directory;
    struct nick_place place;

    if (g->may_resume && directory_find(d, g->nick->text, g->nick->folded_len, &place) && !place.is_account &&
        place.identity == g->nick->identity)
        take_over(g, place.reactor);
    else
        take_nick(g);
}

static void ask_for_login(struct greeting *g)
{
    struct value id;

    g->session->stays = false;
    login_require(g->session, command_id(g->id, g->id_len, &id), nick_text(g->nick), g->nick->len);
    greeting_end(g);
}

static void on_account_read(struct reactor *r, struct post *p)
{
    struct greeting *g = (struct greeting *)(void *)p;

    (void)r;
    if (!conn_can_speak(&g->session->conn)) {
        greeting_end(g);
    } else if (g->fact.job.failed != NULL) {
        refuse(g, "storage", "could not be looked up on the server's disk: try again later");
        greeting_end(g);
    } else if (g->fact.found) {
        ask_for_login(g);
    } else {
        take_as_guest(g);
    }
}

static void look_up(struct greeting *g)
{
    struct chat_shared *shared = session_chat(g->session)->shared;

    switch (accounts_ask(&shared->accounts, g->nick->text, g->nick->folded_len)) {
    case ACCOUNTS_NO:
        take_as_guest(g);
        return;
    case ACCOUNTS_YES:
        ask_for_login(g);
        return;
    case ACCOUNTS_UNKNOWN:
        break;
    }
    g->fact.job.home = g->from;
    g->fact.job.done = on_account_read;
    accounts_find(shared->store, &g->fact, g->nick->text, g->nick->folded_len);
}

static struct greeting *greeting_new(struct session *s, struct nick *n, const struct value *id,
                                     const struct value *agent)
{
    struct greeting *g = mem_zalloc(sizeof *g);

    g->from = s->conn.reactor;
    g->session = s;
    g->nick = n;
    if (id != NULL) {
        memcpy(g->id, id->text, id->len);
        g->id_len = (uint8_t)id->len;
    }
    if (agent != NULL)
        memcpy(g->agent, agent->text, agent->len);
    session_hold(s);
    session_wait(s); /* what comes behind the hello needs its nick */
    return g;
}

/* ---- hello ---- */

static bool check_version(struct session *s, const struct message *m, const struct value *id)
{
    const struct value *v = message_get(m, FIELD_VERSION);
    struct buf *b = &s->conn.reactor->scratch;

    if (v == NULL || v->kind != VALUE_UINT) {
        session_error_field(s, id, "bad_request", "version", 0, "version takes a whole number: %d",
                            PROTOCOL_VERSION);
        return false;
    }
    if (v->number == PROTOCOL_VERSION)
        return true;
    buf_clear(b);
    codec_begin(b, MESSAGE_ERROR);
    if (id != NULL)
        codec_add(b, FIELD_RE, id->text, id->len);
    codec_add_text(b, FIELD_CODE, "bad_version");
    codec_add_text(b, FIELD_TEXT, "this server speaks version 1 of the protocol");
    codec_add_uint(b, FIELD_MIN, PROTOCOL_VERSION);
    codec_add_uint(b, FIELD_MAX, PROTOCOL_VERSION);
    codec_end(b);
    session_send(s, b);
    return false;
}

static bool check_on_eof(struct session *s, const struct message *m, const struct value *id, bool *stays)
{
    const struct value *v = message_get(m, FIELD_ON_EOF);

    *stays = v != NULL && v->kind == VALUE_STRING && v->len == 4 && memcmp(v->text, "stay", 4) == 0;
    if (v == NULL || *stays || (v->kind == VALUE_STRING && v->len == 5 && memcmp(v->text, "drain", 5) == 0))
        return true;
    session_error_field(s, id, "bad_request", "on_eof", 0, "on_eof takes \"drain\" or \"stay\"");
    return false;
}

static struct nick *make_nick(struct session *s, const struct value *nick, const struct value *id)
{
    char folded[UTF8_FOLD_MAX];
    size_t len = utf8_is_nick(nick->text, nick->len) ? utf8_fold_nick(nick->text, nick->len, folded) : 0;

    if (len > 0)
        return nick_new(folded, len, nick->text, nick->len);
    session_error(s, id, "bad_nick", "a nick is 1 to %d bytes of letters, digits, _, - and .", UTF8_NICK_MAX);
    return NULL;
}

static void greet(struct session *s, struct nick *n, const struct value *id, const struct value *agent,
                  const struct value *resume)
{
    const struct directory *d = &session_chat(s)->shared->directory;
    struct greeting *g = greeting_new(s, n, id, agent);

    if (login_is_of(s->login, n->text, n->folded_len)) {
        n->is_account = true;
        n->identity = s->login->account.identity;
        n->since_ms = s->login->account.since_ms & NICK_SINCE_MAX;
        take_nick(g);
        return;
    }
    g->may_resume = resume != NULL &&
                    directory_check_token(d, resume->text, resume->len, n->text, n->folded_len, &n->identity);
    look_up(g);
}

void command_hello(struct session *s, const struct message *m, const struct value *id)
{
    const struct value *nick, *agent, *resume;
    struct nick *n;
    bool stays;

    if (s->nick != NULL) {
        session_error(s, id, "already", "you have said hello, as %.*s", s->nick->len, nick_text(s->nick));
        return;
    }
    if (!check_version(s, m, id) || !command_need_string(s, m, id, FIELD_NICK, 0, 8192, &nick))
        return;
    n = make_nick(s, nick, id);
    if (n == NULL)
        return;
    if (!command_take_string(s, m, id, FIELD_AGENT, 0, MAX_AGENT, &agent) ||
        !check_on_eof(s, m, id, &stays) ||
        !command_take_string(s, m, id, FIELD_RESUME, 0, MAX_RESUME, &resume)) {
        free(n);
        return;
    }
    s->stays = stays;
    greet(s, n, id, agent, resume);
}

/* ---- ping, bye ---- */

void command_ping(struct session *s, const struct message *m, const struct value *id)
{
    const struct value *data = message_get(m, FIELD_DATA);
    struct buf *b = &s->conn.reactor->scratch;

    if (id == NULL)
        return;
    reactor_now(s->conn.reactor);
    buf_clear(b);
    codec_begin(b, MESSAGE_PONG);
    codec_add(b, FIELD_RE, id->text, id->len);
    if (data != NULL && data->kind == VALUE_STRING)
        codec_add(b, FIELD_DATA, data->text, data->len);
    else if (data != NULL)
        codec_add_raw(b, FIELD_DATA, data->text, data->len);
    codec_add_uint(b, FIELD_TIME, s->conn.reactor->wall_ms);
    codec_end(b);
    session_send(s, b);
}

void command_bye(struct session *s, const struct message *m, const struct value *id)
{
    const struct value *text;
    char said[LOG_QUOTED_SIZE], conn[LIFECYCLE_ID_SIZE];

    if (!command_take_string(s, m, id, FIELD_TEXT, 0, MAX_BYE, &text))
        return;
    if (text != NULL)
        log_event(LOG_INFO, "bye", "conn=%s text=%s", lifecycle_format_id(&s->conn.life, conn),
                  log_quote(text->text, text->len, said));
    conn_pause(&s->conn, CONN_PAUSE_BUSY); /* nothing behind it is read */
    s->wants_bye = true;
    if (id != NULL) {
        struct session_end *end = session_get_end(s);

        memcpy(end->id, id->text, id->len);
        end->id_len = (uint8_t)id->len;
    }
    member_await_all(s);
    session_consider_finish(s);
}
