/* client_error.c: what an error of the server's means for who comes in, for rooms and for lines; see
 * client.h.
 *
 * Where somebody comes for the first time, a refusal is final, and he is told. Who has been in comes back
 * by himself: then what may pass is waited for, and nothing that was said is given up for it. */
#include "client/client.h"

#include "client/sanitize.h"
#include "common/clock.h"
#include "common/utf8.h"

#define NICK_TRIES 4
#define RETRY_MOST (600 * 1000) /* ms; whatever the server says */
#define REJOIN_MS  2000

static bool is_text(const struct value *v, const char *text)
{
    return v != NULL && v->len == strlen(text) && memcmp(v->text, text, v->len) == 0;
}

static const struct value *get_string(const struct message *m, enum message_field f)
{
    return message_get_kind(m, f, VALUE_STRING);
}

static uint64_t get_uint(const struct message *m, enum message_field f)
{
    const struct value *v = message_get_kind(m, f, VALUE_UINT);

    return v != NULL ? v->number : 0;
}

uint32_t client_retry_ms(const struct message *m)
{
    uint64_t ms = get_uint(m, FIELD_RETRY);

    return ms < RETRY_MOST ? (uint32_t)ms : RETRY_MOST;
}

/* The server is not able to, for the time being. */
static bool may_pass(const struct value *code)
{
    return is_text(code, "storage") || is_text(code, "overloaded") || is_text(code, "too_many_connections") ||
           is_text(code, "nick_in_use");
}

bool client_put_off(struct client *c, const struct message *m)
{
    const struct value *text = get_string(m, FIELD_TEXT);
    struct buf why = {0};

    if (!c->was_on || !c->config.reconnect || !may_pass(get_string(m, FIELD_CODE)))
        return false;
    buf_putf(&why, "%.*s", text != NULL ? (int)text->len : 0, text != NULL ? text->text : "");
    buf_put(&why, "", 1);
    link_set_reason(c->link, "refused");
    link_close_politely(c->link);
    c->retry_after_ms = client_retry_ms(m);
    client_come_back(c, false, why.data);
    buf_deinit(&why);
    return true;
}

/* ---- hello ---- */

void client_drop_uncertain(struct client *c)
{
    struct model_line *line, *next;

    for (line = TAILQ_FIRST(&c->model.lines); line != NULL; line = next) {
        next = TAILQ_NEXT(line, link);
        if (line->sent > 0)
            client_fail_line(c, line, "it is not known whether it arrived");
    }
}

/* The nick with one more `_`, where that is still a nick. */
static bool lengthen_nick(struct client *c)
{
    size_t len = strlen(c->nick);

    if (!c->config.other_nick || c->login.is_needed || len >= UTF8_NICK_MAX || c->nick_tries >= NICK_TRIES)
        return false;
    c->nick[len] = '_';
    c->nick[len + 1] = '\0';
    c->nick_tries++;
    return true;
}

void client_take_other_nick(struct client *c, const struct message *m)
{
    char taken[sizeof c->nick];

    memcpy(taken, c->nick, sizeof taken);
    if (!lengthen_nick(c)) {
        if (!client_put_off(c, m))
            client_give_up(c, c->was_on ? EXIT_LOST : EXIT_NOT_CONNECTED,
                           "the nick %s is taken at %s: choose another one with -n, for example -n %.30s_",
                           taken, c->config.server, taken);
        return;
    }
    if (c->was_on)
        client_drop_uncertain(c);
    client_tell(c, CLIENT_NICK, "the nick %s is taken: trying %s", taken, c->nick);
    client_greet(c);
}

static void hello_failed(struct client *c, const struct message *m)
{
    const struct value *code = get_string(m, FIELD_CODE), *text = get_string(m, FIELD_TEXT);
    uint64_t min = get_uint(m, FIELD_MIN), max = get_uint(m, FIELD_MAX);

    if (is_text(code, "nick_in_use")) {
        client_take_other_nick(c, m);
    } else if (is_text(code, "login_required")) {
        client_login_required(c, m);
    } else if (is_text(code, "bad_version")) {
        client_give_up(
            c, EXIT_PROTOCOL,
            "%s speaks version %llu%s%.0llu of the protocol, this chat version %d: the %s is too old",
            c->config.server, (unsigned long long)min, max > min ? " to " : "",
            (unsigned long long)(max > min ? max : 0), PROTOCOL_VERSION,
            min > PROTOCOL_VERSION ? "chat" : "server");
    } else if (is_text(code, "plain_refused")) {
        client_give_up(c, EXIT_PROTOCOL, "%s takes no plain connections from here: use --tls",
                       c->config.server);
    } else if (!client_put_off(c, m)) {
        client_give_up(c, is_text(code, "bad_nick") ? EXIT_USAGE : EXIT_NOT_CONNECTED,
                       "%s does not let you in as %s: %.*s", c->config.server, c->nick,
                       text != NULL ? (int)text->len : 0, text != NULL ? text->text : "");
    }
}

/* ---- rooms ---- */

static struct model_room *find_join(const struct client *c, const struct value *re)
{
    char id[PROTOCOL_MAX_ID + 1];
    struct model_room *r;

    TAILQ_FOREACH(r, &c->model.rooms, link)
    {
        client_join_id(r, id);
        if (!r->joined && is_text(re, id))
            return r;
    }
    return NULL;
}

static bool room_may_open(const struct value *code)
{
    return may_pass(code) || is_text(code, "room_full") || is_text(code, "server_rooms");
}

/* A room that one was in is gone back into; what is said there meanwhile waits. */
static void put_room_off(struct client *c, const struct message *m, struct model_room *r)
{
    const struct value *text = get_string(m, FIELD_TEXT);
    uint32_t ms = client_retry_ms(m);

    r->rejoin_us = clock_mono_us() + (ms > REJOIN_MS ? ms : REJOIN_MS) * UINT64_C(1000);
    if (!r->is_put_off)
        client_tell(c, CLIENT_PROBLEM, "not back in %s yet, trying again every few seconds: %.*s", r->name,
                    text != NULL ? (int)text->len : 0, text != NULL ? text->text : "");
    r->is_put_off = true;
}

void client_rejoin(struct client *c)
{
    uint64_t now = clock_mono_us();
    struct model_room *r;

    TAILQ_FOREACH(r, &c->model.rooms, link)
    if (r->rejoin_us > 0 && now >= r->rejoin_us && r->wanted)
        client_join(c, r);
}

/* Whether that is all there is to say about it. */
static bool join_failed(struct client *c, const struct message *m, struct model_room *r)
{
    if (r->wanted && r->epoch != 0 && c->config.reconnect && room_may_open(get_string(m, FIELD_CODE))) {
        put_room_off(c, m, r);
        return true;
    }
    c->exit_code = EXIT_FAILED;
    r->reads_failed = r->reads_on;
    r->wanted = r->reads_on = r->is_put_off = false;
    if (c->view->room != NULL)
        c->view->room(c->view_arg, r, false);
    return false;
}

/* ---- lines ---- */

static bool is_put_off(const struct client *c, const struct model_line *line)
{
    const struct model_room *r = model_find(&c->model, line->room, strlen(line->room));

    return r != NULL && r->is_put_off;
}

static void line_failed(struct client *c, const struct message *m, struct model_line *line)
{
    const struct value *code = get_string(m, FIELD_CODE), *text = get_string(m, FIELD_TEXT);
    struct buf why = {0};

    if (is_text(code, "overloaded")) {
        line->retry_us = clock_mono_us() + (client_retry_ms(m) + 1) * UINT64_C(1000);
        return;
    }
    if (is_text(code, "not_member") && is_put_off(c, line)) {
        line->on_wire = false;
        return;
    }
    if (text != NULL)
        sanitize_put(&why, text->text, text->len);
    buf_put(&why, "", 1);
    client_fail_line(c, line, why.data);
    buf_deinit(&why);
}

bool client_take_error(struct client *c, const struct message *m)
{
    const struct value *re = get_string(m, FIELD_RE), *code = get_string(m, FIELD_CODE);
    struct model_line *line = re != NULL ? model_find_line(&c->model, re->text, re->len) : NULL;
    struct model_room *r = re != NULL ? find_join(c, re) : NULL;

    if (is_text(re, CLIENT_HELLO_ID) ||
        (c->state == CLIENT_CONNECTING && (re == NULL || is_text(code, "plain_refused")))) {
        hello_failed(c, m);
        return c->state == CLIENT_WAITING;
    }
    if (line != NULL)
        line_failed(c, m, line);
    else if (r != NULL)
        return join_failed(c, m, r);
    else
        c->exit_code = EXIT_FAILED;
    return false;
}
