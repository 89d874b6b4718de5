/* command.c: one line of a peer: decoded, checked, handed to its command. The thread of the session's
 * reactor.
 *
 * Commands are a table: a new one is one function and one line. Of several faults the first in PROTOCOL.md's
 * order is told. */
#include "server/chat/command.h"

#include "server/chat/ask.h"
#include "server/chat/session.h"

#include <stdio.h>
#include <string.h>

enum { NEEDS_HELLO = 1 };

static const struct command {
    enum message_type type;
    uint8_t flags;
    uint8_t cost; /* in requests of requests_per_s; PROTOCOL.md has those that are not 1 */
    command_fn *run;
} commands[] = {
    {MESSAGE_SEND, NEEDS_HELLO, 1, command_send},
    {MESSAGE_PING, 0, 1, command_ping},
    {MESSAGE_JOIN, NEEDS_HELLO, 1, command_join},
    {MESSAGE_HELLO, 0, 1, command_hello},
    {MESSAGE_LEAVE, NEEDS_HELLO, 1, command_leave},
    {MESSAGE_HISTORY, NEEDS_HELLO, 5, command_history},
    {MESSAGE_WHO, NEEDS_HELLO, 5, command_who},
    {MESSAGE_ROOMS, NEEDS_HELLO, 5, command_rooms},
    {MESSAGE_TOPIC, NEEDS_HELLO, 1, command_topic},
    {MESSAGE_BYE, 0, 1, command_bye},
    {MESSAGE_ROLE, NEEDS_HELLO, 1, command_moderate},
    {MESSAGE_ACCESS, NEEDS_HELLO, 1, command_moderate},
    {MESSAGE_INVITE, NEEDS_HELLO, 1, command_moderate},
    {MESSAGE_KICK, NEEDS_HELLO, 1, command_moderate},
    {MESSAGE_BAN, NEEDS_HELLO, 1, command_moderate},
    {MESSAGE_UNBAN, NEEDS_HELLO, 1, command_moderate},
    {MESSAGE_MUTE, NEEDS_HELLO, 1, command_moderate},
    {MESSAGE_UNMUTE, NEEDS_HELLO, 1, command_moderate},
    {MESSAGE_BANS, NEEDS_HELLO, 1, command_moderate},
    {MESSAGE_AUTH, 0, 5, command_auth},
    {MESSAGE_REGISTER, NEEDS_HELLO, 5, command_register},
    {MESSAGE_READ, NEEDS_HELLO, 1, command_read},
    {MESSAGE_EDIT, NEEDS_HELLO, 1, command_edit},
    {MESSAGE_REMOVE, NEEDS_HELLO, 1, command_remove},
    {MESSAGE_SEARCH, NEEDS_HELLO, 10, command_search},
    {MESSAGE_KEYS, NEEDS_HELLO, 1, command_keys},
    {MESSAGE_UNREGISTER, NEEDS_HELLO, 1, command_unregister},
};

/* Something that speaks HTTP is answered in kind, so that a browser or curl shows what this is. */
static bool is_http(const char *line, size_t len)
{
    static const char *const methods[] = {"GET ",     "POST ",   "HEAD ",  "PUT ",
                                          "OPTIONS ", "DELETE ", "PATCH ", "CONNECT "};

    for (size_t i = 0; i < sizeof methods / sizeof *methods; i++) {
        size_t n = strlen(methods[i]);

        if (len > n + 8 && memcmp(line, methods[i], n) == 0 && memmem(line, len, " HTTP/", 6) != NULL)
            return true;
    }
    return false;
}

static void refuse_http(struct session *s)
{
    static const char body[] =
        "{\"type\":\"error\",\"code\":\"bad_json\",\"text\":\"this is a chat server, not a web server: it "
        "speaks one JSON object a line; try the chat client, or nc\"}\n"
        "{\"type\":\"bye\",\"code\":\"protocol\",\"text\":\"HTTP is not spoken here\"}\n";
    char head[256];
    int n =
        snprintf(head, sizeof head,
                 "HTTP/1.1 400 Bad Request\r\nContent-Type: application/x-ndjson\r\nContent-Length: %zu\r\n"
                 "Connection: close\r\n\r\n",
                 sizeof body - 1);

    conn_answer(&s->conn, head, (size_t)n);
    conn_answer(&s->conn, body, sizeof body - 1);
    s->conn.life.msgs_out += 2;
    s->said_bye = true;
    conn_end(&s->conn, "protocol");
}

static void tell_decode(struct session *s, enum codec_result result, const char *where)
{
    switch (result) {
    case CODEC_BAD_UTF8:
        session_error(s, NULL, "bad_utf8", "%s", where);
        return;
    case CODEC_TOO_DEEP:
        session_error_field(s, NULL, "too_deep", NULL, PROTOCOL_MAX_DEPTH, "%s: at most %d levels", where,
                            PROTOCOL_MAX_DEPTH);
        return;
    default:
        session_error(s, NULL, "bad_json", "%s", where);
    }
}

void command_on_answered(struct reactor *r, struct post *p)
{
    struct ask *a = (struct ask *)p;

    (void)r;
    ask_deliver(a);
    ask_free(a);
}

const struct value *command_id(const char *kept, size_t len, struct value *id)
{
    *id = (struct value){.text = kept, .len = (uint32_t)len};
    return len > 0 ? id : NULL;
}

bool command_need_string(struct session *s, const struct message *m, const struct value *id,
                         enum message_field f, size_t min, size_t max, const struct value **out)
{
    const char *name = message_field_name(f);
    const struct value *v = message_get(m, f);

    *out = v;
    if (v == NULL || v->kind != VALUE_STRING || v->len < min) {
        session_error_field(s, id, "bad_request", name, 0,
                            v == NULL ? "%s is missing" : "%s takes a string of %zu to %zu bytes", name, min,
                            max);
        return false;
    }
    if (v->len > max) {
        session_error_field(s, id, "too_long", name, max, "%s is longer than %zu bytes", name, max);
        return false;
    }
    return true;
}

bool command_take_string(struct session *s, const struct message *m, const struct value *id,
                         enum message_field f, size_t min, size_t max, const struct value **out)
{
    *out = NULL;
    return message_get(m, f) == NULL || command_need_string(s, m, id, f, min, max, out);
}

bool command_take_uint(struct session *s, const struct message *m, const struct value *id,
                       enum message_field f, uint64_t min, uint64_t max, const struct value **out)
{
    const char *name = message_field_name(f);
    const struct value *v = message_get(m, f);

    *out = v;
    if (v == NULL || (v->kind == VALUE_UINT && v->number >= min && v->number <= max))
        return true;
    session_error_field(s, id, "bad_request", name, 0, "%s takes a whole number from %llu to %llu", name,
                        (unsigned long long)min, (unsigned long long)max);
    return false;
}

bool command_need_uint(struct session *s, const struct message *m, const struct value *id,
                       enum message_field f, uint64_t min, uint64_t max, const struct value **out)
{
    const char *name = message_field_name(f);

    if (!command_take_uint(s, m, id, f, min, max, out))
        return false;
    if (*out == NULL)
        session_error_field(s, id, "bad_request", name, 0, "%s is missing", name);
    return *out != NULL;
}

static bool is_twice(const struct message *m, enum message_field f)
{
    return m->twice >> f & 1;
}

static bool check_id(struct session *s, const struct message *m, const struct value **id)
{
    const struct value *v = message_get(m, FIELD_ID);

    *id = NULL;
    if (v == NULL)
        return true;
    if (v->kind != VALUE_STRING || v->len < 1 || v->len > PROTOCOL_MAX_ID || is_twice(m, FIELD_ID)) {
        session_error_field(s, NULL, "bad_request", "id", 0, "id takes a string of 1 to %d bytes, once",
                            PROTOCOL_MAX_ID);
        return false;
    }
    *id = v;
    return true;
}

/* Says which of the fields that stand twice comes first in the list of fields. */
static void refuse_twice(struct session *s, const struct message *m, const struct value *id)
{
    int f = 0;
    const char *name;

    while (!is_twice(m, (enum message_field)f))
        f++;
    name = message_field_name((enum message_field)f);
    session_error_field(s, id, "bad_request", name, 0, "%s stands twice", name);
}

static const struct command *find_command(struct session *s, const struct message *m, const struct value *id)
{
    const struct value *type = message_get(m, FIELD_TYPE);

    if (type == NULL || type->kind != VALUE_STRING) {
        session_error_field(s, id, "bad_request", "type", 0,
                            type == NULL ? "type is missing" : "type takes a string");
        return NULL;
    }
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
        if (commands[i].type == m->type)
            return &commands[i];
    session_error(s, id, "unknown_type", "there is no such request: %.*s",
                  type->len > 500 ? 500 : (int)type->len, type->text);
    return NULL;
}

static void run(struct session *s, const struct message *m)
{
    const struct command *c;
    const struct value *id;

    if (!check_id(s, m, &id))
        return;
    if (is_twice(m, FIELD_TYPE)) {
        refuse_twice(s, m, id);
        return;
    }
    c = find_command(s, m, id);
    if (c == NULL)
        return;
    if ((c->flags & NEEDS_HELLO) && s->nick == NULL) {
        session_error(s, id, "hello_first",
                      "say hello first: {\"type\":\"hello\",\"version\":%d,\"nick\":\"…\"}",
                      PROTOCOL_VERSION);
        return;
    }
    if (m->twice != 0) {
        refuse_twice(s, m, id);
        return;
    }
    if (c->cost > 1)
        conn_charge(&s->conn, c->cost - 1U);
    c->run(s, m, id);
}

void command_run(struct session *s, char *line, size_t len)
{
    struct message m;
    const char *where;
    enum codec_result result;

    if (s->nick == NULL && is_http(line, len)) {
        refuse_http(s);
        return;
    }
    result = codec_decode(line, len, &m, &where);
    if (result == CODEC_OK || result == CODEC_TWICE)
        run(s, &m);
    else
        tell_decode(s, result, where);
}
