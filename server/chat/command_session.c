/* command_session.c: hello, ping, bye. See command.h. */
#include "server/chat/command.h"

#include "common/log.h"
#include "common/mem.h"
#include "common/utf8.h"
#include "server/chat/fanout.h"
#include "server/chat/session.h"

#include <stdlib.h>
#include <string.h>

#define MAX_AGENT  128
#define MAX_RESUME 128
#define MAX_BYE    512

/* A hello that waits until an older connection of the same one has let go of the nick. */
struct takeover {
    struct post post;
    struct reactor *from;
    struct session *session;
    struct nick *nick;
    char id[PROTOCOL_MAX_ID + 1], agent[MAX_AGENT + 1];
    uint8_t id_len;
};

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
    directory_token(&chat->shared->directory, s->nick, s->conn.life.id, token);
    reactor_now(s->conn.reactor);
    buf_clear(b);
    codec_begin(b, MESSAGE_WELCOME);
    codec_add(b, FIELD_RE, re, re_len);
    codec_add_text(b, FIELD_SERVER, chat->shared->server);
    codec_add_uint(b, FIELD_VERSION, PROTOCOL_VERSION);
    codec_add(b, FIELD_NICK, nick_text(s->nick), s->nick->len);
    codec_add_text(b, FIELD_SESSION, session);
    codec_add_text(b, FIELD_RESUME, token);
    codec_add_uint(b, FIELD_TIME, s->conn.reactor->wall_ms);
    put_limits(b, s);
    codec_end(b);
    session_send(s, b);
}

static void say_in_use(struct session *s, const struct value *id, const struct nick *n)
{
    session_error(s, id, "nick_in_use", "%.*s is somebody's nick at the moment", n->len, nick_text(n));
}

static void take_nick(struct session *s, struct nick *n, const char *re, size_t re_len, const char *agent)
{
    struct value id = {.text = re, .len = (uint32_t)re_len};

    reactor_now(s->conn.reactor);
    n->session = s;
    if (n->since_ms == 0)
        n->since_ms = s->conn.reactor->wall_ms & NICK_SINCE_MAX;
    if (directory_add(&session_chat(s)->shared->directory, n) != DIRECTORY_OK) {
        say_in_use(s, re_len > 0 ? &id : NULL, n);
        s->stays = false;
        free(n);
        return;
    }
    s->nick = n;
    welcome(s, re, re_len, agent);
}

/* ---- taking a nick over from an older connection ---- */

static void on_freed(struct reactor *r, struct post *p)
{
    struct takeover *t = (struct takeover *)p;
    struct session *s = t->session;

    (void)r;
    if (conn_can_speak(&s->conn))
        take_nick(s, t->nick, t->id, t->id_len, t->agent);
    else
        free(t->nick);
    session_go_on(s);
    session_unhold(s);
    free(t);
}

static void on_takeover(struct reactor *r, struct post *p)
{
    struct takeover *t = (struct takeover *)p;
    struct session *old[DIRECTORY_SESSIONS_MAX];
    size_t count =
        directory_sessions(&chat_of(r)->shared->directory, t->nick->text, t->nick->folded_len, r, old);

    if (count == 1 && !old[0]->nick->is_account && old[0]->nick->identity == t->nick->identity) {
        t->nick->since_ms = old[0]->nick->since_ms;
        session_let_go(old[0], "detach");
        session_bye(old[0], "replaced", "another connection has taken over your nick", NULL, 0);
    }
    reactor_post(r, t->from, &t->post, on_freed);
}

static void take_over(struct session *s, struct nick *n, struct reactor *owner, const struct value *id,
                      const char *agent)
{
    struct takeover *t = mem_zalloc(sizeof *t);

    t->from = s->conn.reactor;
    t->session = s;
    t->nick = n;
    if (id != NULL) {
        memcpy(t->id, id->text, id->len);
        t->id_len = (uint8_t)id->len;
    }
    strcpy(t->agent, agent);
    session_hold(s);
    session_wait(s); /* what comes behind the hello needs its nick */
    reactor_post(s->conn.reactor, owner, &t->post, on_takeover);
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

void command_hello(struct session *s, const struct message *m, const struct value *id)
{
    struct directory *d = &session_chat(s)->shared->directory;
    const struct value *nick, *agent, *resume;
    char agent_text[MAX_AGENT + 1] = "";
    struct nick_place place;
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
    if (agent != NULL)
        memcpy(agent_text, agent->text, agent->len);
    if (resume != NULL &&
        directory_check_token(d, resume->text, resume->len, n->text, n->folded_len, &n->identity) &&
        directory_find(d, n->text, n->folded_len, &place) && !place.is_account &&
        place.identity == n->identity)
        take_over(s, n, place.reactor, id, agent_text);
    else
        take_nick(s, n, id != NULL ? id->text : NULL, id != NULL ? id->len : 0, agent_text);
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
