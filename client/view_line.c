/* view_line.c: chat on a terminal: what is shown of what comes, and where what is typed goes. See line.h.
 *
 * A line that was typed is taken off the screen and comes back as the room's message, in its place in the
 * room's order; one that waits longer than a moment is shown as pending, one that fails as not sent. */
#include "client/line.h"

#include "client/explain.h"
#include "client/moderate.h"
#include "client/sanitize.h"
#include "client/term.h"
#include "client/view.h"
#include "common/clock.h"
#include "protocol/codec.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define FIRST_LINES 10      /* of a room's history, on going in */
#define MOST_LINES  200     /* of it, where so many are unread */
#define PATIENCE_US 1500000 /* after which a line is shown as pending */
#define QUIT_MS     3000
#define RE_PREFIX   "line."

static void update_prompt(struct line_view *v)
{
    struct buf b = {0};

    show_put_prompt(&b, &v->style, &v->chat->client, v->room);
    buf_put(&b, "", 1);
    term_set_prompt(b.data);
    buf_deinit(&b);
}

void line_look_at(struct line_view *v, const char *room)
{
    struct client *c = &v->chat->client;
    struct model_room *r = model_find(&c->model, room, strlen(room));

    snprintf(v->room, sizeof v->room, "%s", r != NULL ? r->name : room);
    if (r != NULL) {
        client_read_on(c, r);
        client_saw(c, r);
    }
    update_prompt(v);
}

static void on_end(void *owner)
{
    struct line_view *v = owner;

    client_quit(&v->chat->client, QUIT_MS);
}

static char **on_complete(void *owner, const char *line, size_t start, const char *word)
{
    struct line_view *v = owner;

    return complete_word(&v->chat->client.model, v->room, line, start, word);
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

static bool is_current(const struct line_view *v, const struct value *room)
{
    return model_is_same(v->room, strlen(v->room), room->text, room->len);
}

/* Something new is on the screen: in the room that the user looks at he has seen it. */
static void count_message(struct line_view *v, const struct value *room)
{
    struct client *c = &v->chat->client;
    struct model_room *r = model_find(&c->model, room->text, room->len);

    if (r == NULL || !c->is_account)
        return;
    if (is_current(v, room))
        client_saw(c, r);
    else
        update_prompt(v);
}

/* What has waited for the user in a direct conversation. */
static void show_unread(struct line_view *v, const struct message *m, const struct value *room)
{
    struct model_room *r = model_find(&v->chat->client.model, room->text, room->len);
    uint64_t unread = get_uint(m, FIELD_UNREAD);

    if (r == NULL || r->waiting == 0)
        return;
    line_notice(v, "·", "%llu unread from %.*s%s%.*s%s", (unsigned long long)unread, (int)room->len,
                room->text, is_current(v, room) ? "" : ": /msg ",
                is_current(v, room) ? 0 : (int)room->len - 1, room->text + 1,
                is_current(v, room) ? "" : " shows what");
    if (is_current(v, room))
        client_read_on(&v->chat->client, r);
    else
        update_prompt(v);
}

/* Whether it answers the request of that number, if there was one. */
static bool answers(const struct message *m, unsigned asked)
{
    const struct value *re = get_string(m, FIELD_RE);
    char id[32];

    snprintf(id, sizeof id, RE_PREFIX "%u", asked);
    return asked > 0 && re != NULL && re->len == strlen(id) && memcmp(re->text, id, re->len) == 0;
}

static void show_message(struct line_view *v, const struct message *m, const struct value *room)
{
    const struct value *nick = get_string(m, FIELD_NICK), *text = get_string(m, FIELD_TEXT);
    struct show_message s;

    if (nick == NULL || text == NULL)
        return;
    s = (struct show_message){
        .nick = nick->text,
        .nick_len = nick->len,
        .text = text->text,
        .text_len = text->len,
        .time_ms = get_uint(m, FIELD_TIME),
        .is_old = message_get(m, FIELD_RE) != NULL,
        .about = get_uint(m, FIELD_EDITS) + get_uint(m, FIELD_REMOVES),
        .is_removal = get_uint(m, FIELD_REMOVES) > 0,
    };
    if (answers(m, v->asked_numbers))
        s.seq = get_uint(m, FIELD_SEQ);
    if (s.seq > 0 || !is_current(v, room)) {
        s.room = room->text;
        s.room_len = room->len;
    }
    v->style.width = term_width();
    show_put_message(&v->out, &v->style, &s, clock_wall_us() / 1000);
    line_flush(v);
}

static void show_presence(struct line_view *v, const struct message *m, const struct value *room)
{
    const struct value *event = get_string(m, FIELD_EVENT), *nick = get_string(m, FIELD_NICK);
    const char *what;

    if (event == NULL || nick == NULL || !is_current(v, room))
        return;
    if (event->len == 5 && nick->len == strlen(v->put_out) &&
        memcmp(nick->text, v->put_out, nick->len) == 0) {
        v->put_out[0] = '\0';
        return;
    }
    what = event->len == 4 && memcmp(event->text, "join", 4) == 0     ? "came"
           : event->len == 6 && memcmp(event->text, "detach", 6) == 0 ? "is gone (the connection ended)"
                                                                      : "left";
    line_notice(v, "·", "%.*s %s", (int)nick->len, nick->text, what);
}

static void show_topic(struct line_view *v, const struct message *m, const struct value *room)
{
    const struct value *nick = get_string(m, FIELD_NICK), *text = get_string(m, FIELD_TEXT);

    if (nick != NULL && text != NULL)
        line_notice(v, "·", "%.*s has set the topic of %.*s: %.*s", (int)nick->len, nick->text,
                    (int)room->len, room->text, (int)text->len, text->text);
}

static void show_room(struct line_view *v, const struct message *m, const struct value *room)
{
    const struct value *topic = get_string(m, FIELD_TOPIC);

    line_notice(v, "·", "%.*s: %llu here, %llu said%s%s%.*s", (int)room->len, room->text,
                (unsigned long long)get_uint(m, FIELD_MEMBERS), (unsigned long long)get_uint(m, FIELD_SEQ),
                moderate_access(m), topic != NULL && topic->len > 0 ? "; " : "",
                topic != NULL ? (int)topic->len : 0, topic != NULL ? topic->text : "");
}

/* Whether a line answers a command that was typed. */
static bool is_asked(const struct message *m)
{
    const struct value *re = get_string(m, FIELD_RE);

    return re != NULL && re->len > sizeof RE_PREFIX - 1 &&
           memcmp(re->text, RE_PREFIX, sizeof RE_PREFIX - 1) == 0;
}

static void collect_member(struct line_view *v, const struct message *m)
{
    const struct value *nick = get_string(m, FIELD_NICK), *role = get_string(m, FIELD_ROLE);

    if (nick == NULL || !is_asked(m))
        return;
    if (v->names.len > 0)
        buf_puts(&v->names, ", ");
    sanitize_put(&v->names, nick->text, nick->len);
    if (role != NULL) {
        buf_puts(&v->names, " (");
        sanitize_put(&v->names, role->text, role->len);
        buf_puts(&v->names, ")");
    }
}

/* Whether it is the end of a list of bans that holds none. */
static bool is_no_bans(const struct line_view *v, const struct message *m)
{
    return answers(m, v->asked_bans) && get_uint(m, FIELD_COUNT) == 0;
}

/* The end of an answer: of `who`, where names were gathered. */
static void show_end(struct line_view *v, const struct message *m)
{
    if (is_no_bans(v, m))
        line_notice(v, "·", "nobody is banned or muted here");
    if (is_asked(m) && get_string(m, FIELD_NEXT) != NULL) /* searches have a view of their own */
        line_notice(v, "·", "there are more: /rooms PREFIX shows those that begin with it");
    if (v->names.len == 0 || !is_asked(m))
        return;
    buf_put(&v->names, "", 1);
    buf_putf(&v->out, "· %llu here: ", (unsigned long long)get_uint(m, FIELD_COUNT));
    v->style.width = term_width();
    show_put_wrapped(&v->out, &v->style, v->names.data, v->names.len - 1, 10, 2);
    buf_puts(&v->out, "\n");
    buf_clear(&v->names);
    line_flush(v);
}

/* What became of somebody, or of oneself, and why. */
static void show_moderation(struct line_view *v, const struct message *m)
{
    const struct value *nick = get_string(m, FIELD_NICK);
    struct buf b = {0};

    if ((m->type == MESSAGE_BAN || m->type == MESSAGE_MUTE) && !is_asked(m))
        return;
    if (moderate_puts_out(m) && nick != NULL)
        snprintf(v->put_out, sizeof v->put_out, "%.*s", (int)nick->len, nick->text);
    if (moderate_put_sentence(&b, m, v->chat->client.nick, clock_wall_us() / 1000))
        line_notice(v, m->type == MESSAGE_LEFT ? "!" : "·", "%.*s", (int)b.len, b.data);
    buf_deinit(&b);
}

static void show_joined(struct line_view *v, const struct message *m, const struct value *room)
{
    const struct value *topic = get_string(m, FIELD_TOPIC);
    struct buf b = {0};

    if (topic != NULL && topic->len > 0)
        line_notice(v, "·", "%.*s is about: %.*s", (int)room->len, room->text, (int)topic->len, topic->text);
    if (moderate_put_joined(&b, m, !v->chat->client.is_account))
        line_notice(v, "·", "%.*s", (int)b.len, b.data);
    buf_deinit(&b);
}

static void show_error(struct line_view *v, const struct message *m)
{
    const struct value *text = get_string(m, FIELD_TEXT), *re = get_string(m, FIELD_RE);

    if (re != NULL && re->len == sizeof CLIENT_READ_ID - 1 && memcmp(re->text, CLIENT_READ_ID, re->len) == 0)
        return; /* nobody has asked for that */
    /* What is about a line said is shown with that line. */
    if (text != NULL && (re == NULL || is_asked(m) || (re->len > 5 && memcmp(re->text, "chat.", 5) == 0)))
        line_notice(v, "!", "%.*s", (int)text->len, text->text);
}

static void on_message(void *view, const struct message *m)
{
    const struct value *room = get_string(m, FIELD_ROOM);
    struct line_view *v = view;

    if (search_is_answer(v, m)) {
        search_take(v, m);
        return;
    }
    if (m->type == MESSAGE_END)
        show_end(v, m);
    else if (m->type == MESSAGE_ERROR)
        show_error(v, m);
    else if (m->type == MESSAGE_MEMBER)
        collect_member(v, m);
    else if (m->type == MESSAGE_REGISTERED)
        secret_show_registered(v);
    else if (m->type == MESSAGE_KEYS)
        secret_show_keys(v, m);
    else if (m->type == MESSAGE_UNREGISTERED)
        secret_show_unregistered(v);
    if (room == NULL)
        return;
    if (m->type == MESSAGE_MSG) {
        show_message(v, m, room);
        if (message_get(m, FIELD_RE) == NULL)
            count_message(v, room);
    } else if (m->type == MESSAGE_UNREAD) {
        show_unread(v, m, room);
    } else if (m->type == MESSAGE_READ) {
        update_prompt(v);
    }
    if (m->type == MESSAGE_PRESENCE)
        show_presence(v, m, room);
    else if (m->type == MESSAGE_TOPIC)
        show_topic(v, m, room);
    else if (m->type == MESSAGE_ROOM)
        show_room(v, m, room);
    else if (m->type == MESSAGE_JOINED)
        show_joined(v, m, room);
    else
        show_moderation(v, m);
}

/* Who is here, for completion: the answer is heard by the model and not shown. */
static void ask_names(struct line_view *v, const struct model_room *r)
{
    struct buf b = {0};

    codec_begin(&b, MESSAGE_WHO);
    codec_add_text(&b, FIELD_ROOM, r->name);
    codec_add_text(&b, FIELD_ID, "chat.names");
    codec_end(&b);
    client_request(&v->chat->client, b.data, b.len);
    buf_deinit(&b);
}

static void on_room(void *view, struct model_room *r, bool joined)
{
    struct line_view *v = view;
    uint64_t unread;

    if (!joined) {
        if (r->epoch != 0) /* else it was never joined: the refusal says all */
            line_notice(v, "·", "you are not in %s any more", r->name);
        update_prompt(v);
        return;
    }
    if (r->missed > 0 || r->target > 0 || model_is_direct(r))
        return;
    unread = model_unread(r);
    if (r->members <= 1)
        line_notice(v, "·", "you are in %s, alone so far", r->name);
    else
        line_notice(v, "·", "you are in %s, with %llu other%s", r->name, (unsigned long long)(r->members - 1),
                    r->members == 2 ? "" : "s");
    if (r->members > 1 && r->members <= MODEL_NICKS)
        ask_names(v, r);
    if (unread > 0)
        line_notice(v, "·", "%llu unread there", (unsigned long long)unread);
    if (r->seq > 0)
        command_ask_history(v, r->name, FIELD_BEFORE, r->seq + 1,
                            unread > MOST_LINES    ? MOST_LINES
                            : unread > FIRST_LINES ? (unsigned)unread
                                                   : FIRST_LINES);
    if (model_is_same(r->name, strlen(r->name), v->room, strlen(v->room)))
        client_saw(&v->chat->client, r);
    update_prompt(v);
}

static const struct term_handler terminal = {.line = line_take_typed, .end = on_end, .complete = on_complete};

static void need_terminal(struct line_view *v)
{
    if (!v->term_ready)
        term_init(v->chat->base, &terminal, v);
    v->term_ready = true;
}

static void on_ask_password(void *view, const char *why)
{
    need_terminal(view);
    secret_ask_login(view, why);
}

static void greet(struct line_view *v, const char *text)
{
    static const char hint[] = "type to talk; /help lists the commands, /quit leaves";

    need_terminal(v);
    line_notice(v, "·", "%s", text);
    line_notice(v, "·", "%s", hint);
}

static void on_news(void *view, enum client_news what, const char *text)
{
    struct line_view *v = view;
    bool is_trouble = what == CLIENT_LOST || what == CLIENT_RETRYING || what == CLIENT_NICK ||
                      what == CLIENT_GAP || what == CLIENT_PROBLEM || what == CLIENT_STARTED_OVER;

    if (what == CLIENT_CONNECTED)
        greet(v, text);
    else
        line_notice(v, is_trouble ? "!" : "·", "%s", text);
    if (what == CLIENT_OVER)
        line_notice(v, "·", "/reconnect makes a new connection, /quit leaves");
    if (v->term_ready)
        update_prompt(v);
}

static void show_pending(struct line_view *v, const struct model_line *line)
{
    struct buf fit = {0};

    sanitize_put(&fit, line->text, line->len);
    line_notice(v, "…", "pending, to %s: %.*s", line->room, (int)fit.len, fit.data);
    buf_deinit(&fit);
}

static void on_own_line(void *view, const struct model_line *line, enum line_news what, const char *why)
{
    struct line_view *v = view;

    if (what == LINE_FAILED)
        line_notice(v, "✗", "not sent to %s: %.*s (%s)", line->room, (int)line->len, line->text, why);
    else if (what == LINE_PENDING && v->chat->client.state != CLIENT_ON)
        update_prompt(v);
}

/* Lines that have waited long enough to be worth a word. */
static void on_tick(evutil_socket_t fd, short what, void *arg)
{
    struct line_view *v = arg;
    uint64_t now = clock_mono_us();
    struct model_line *line;

    (void)fd, (void)what;
    TAILQ_FOREACH(line, &v->chat->client.model.lines, link)
    {
        if (now - line->said_us < PATIENCE_US)
            break;
        if (!line->shown)
            show_pending(v, line);
        line->shown = true;
    }
}

static void on_watch(void *view, enum link_event e)
{
    struct line_view *v = view;
    struct buf b = {0};

    if (!v->chat->options.verbose && !v->ending_by_hand)
        return;
    explain_event(&b, v->chat->client.link, e);
    line_notice(v, "·", "%.*s", (int)b.len, b.data);
    buf_deinit(&b);
    if (v->ending_by_hand && e == LINK_CLOSING)
        v->ending_by_hand = false;
    if (v->term_ready)
        update_prompt(v);
}

static void on_over(void *view, int exit_code, const char *why)
{
    struct line_view *v = view;

    live_free(v->chat->live); /* its last rungs go above the line still */
    v->chat->live = NULL;
    term_deinit();
    /* A person has seen what failed; the code is for what ends the program. */
    chat_over(v->chat, exit_code == EXIT_FAILED ? EXIT_CLEAN : exit_code, why);
}

static bool want_color(const struct options *o)
{
    const char *no = getenv("NO_COLOR"), *kind = getenv("TERM");

    if (o->color != OPTIONS_AUTO)
        return o->color == OPTIONS_YES;
    return (no == NULL || no[0] == '\0') && isatty(STDOUT_FILENO) && kind != NULL &&
           strcmp(kind, "dumb") != 0;
}

static void print_rungs(void *arg, const char *text, size_t len)
{
    struct line_view *v = arg;

    buf_put(&v->out, text, len);
    line_flush(v);
}

void view_line_run(struct chat *chat)
{
    static const struct client_view callbacks = {
        .message = on_message,
        .news = on_news,
        .own_line = on_own_line,
        .room = on_room,
        .watch = on_watch,
        .over = on_over,
        .ask_password = on_ask_password,
    };
    struct line_view v = {.chat = chat, .style = {.color = want_color(&chat->options)}};
    struct timeval second = {.tv_sec = 1};

    snprintf(v.room, sizeof v.room, "%s", chat->options.rooms[0]);
    v.tick = event_new(chat->base, -1, EV_PERSIST, on_tick, &v);
    event_add(v.tick, &second);
    chat->live = live_new(chat->base, &(struct live_options){.color = v.style.color,
                                                             .follow = chat->options.ladder,
                                                             .print = print_rungs,
                                                             .width = term_width,
                                                             .arg = &v});
    chat_init_client(chat, &callbacks, &v, true, false);
    chat->client.config.tells_read = true;
    chat_run(chat);
    term_deinit();
    event_free(v.tick);
    buf_deinit(&v.out);
    buf_deinit(&v.names);
    secret_free(v.first_secret);
    search_deinit(&v.search);
}
