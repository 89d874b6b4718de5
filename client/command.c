/* command.c: what is typed with a slash, a table: name, what it takes, a handler. See line.h. */
#include "client/line.h"

#include "client/moderate.h"
#include "client/sanitize.h"
#include "client/term.h"
#include "common/utf8.h"
#include "protocol/codec.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define HISTORY_LINES 20
#define HISTORY_MOST  1000
#define HELP_WIDE     72 /* columns from which /help has columns itself */

struct command {
    const char *name, *takes, *help;
    void (*run)(struct line_view *v, char *args); /* NULL: it moderates */
    bool needs_args;
    enum message_type moderates;
};

/* Cuts the first word off; what is left begins at the next one. */
static char *next_word(char **rest)
{
    char *word = *rest + strspn(*rest, " "), *end = word + strcspn(word, " ");

    *rest = end + strspn(end, " ");
    *end = '\0';
    return word;
}

static bool check_room(struct line_view *v, const char *name)
{
    if (options_is_room(name))
        return true;
    line_notice(v, "!", "%s can't be a room: 1 to %d of a-z 0-9 . _ and - are", name, PROTOCOL_MAX_ROOM);
    return false;
}

static void tell_no_connection(struct line_view *v)
{
    enum client_state state = v->chat->client.state;

    if (state == CLIENT_ENDING || state == CLIENT_OFF)
        line_notice(v, "!", "you have ended your side of the connection; /reconnect makes a new one");
    else
        line_notice(v, "!", "there is no connection at the moment");
}

void command_ask(struct line_view *v, struct buf *b)
{
    char id[32];

    snprintf(id, sizeof id, "line.%u", ++v->asked);
    codec_add_text(b, FIELD_ID, id);
    codec_end(b);
    if (client_request(&v->chat->client, b->data, b->len) != 0)
        tell_no_connection(v);
    buf_deinit(b);
}

static void run_msg(struct line_view *v, char *args)
{
    char *nick = next_word(&args), room[UTF8_NICK_MAX + 2];

    nick += nick[0] == '@';
    if (!utf8_is_nick(nick, strlen(nick))) {
        line_notice(v, "!", "%s can't be a nick", nick);
        return;
    }
    snprintf(room, sizeof room, "@%s", nick);
    if (args[0] == '\0')
        line_look_at(v, room);
    else
        line_say(v, room, args, strlen(args));
}

static void run_join(struct line_view *v, char *args)
{
    char *room = next_word(&args);

    if (room[0] == '@') {
        run_msg(v, room);
        return;
    }
    if (!check_room(v, room))
        return;
    if (v->chat->client.state != CLIENT_ON) {
        tell_no_connection(v);
        line_notice(v, "·", "you will be in %s when there is one again", room);
    }
    client_want_room(&v->chat->client, room);
    line_look_at(v, room);
}

static struct model_room *find_room(struct line_view *v, const char *name)
{
    return model_find(&v->chat->client.model, name, strlen(name));
}

static void run_leave(struct line_view *v, char *args)
{
    char *name = next_word(&args);
    struct model_room *r = find_room(v, name[0] != '\0' ? name : v->room);

    if (r == NULL || !r->wanted) {
        line_notice(v, "!", "you are not in %s", name[0] != '\0' ? name : v->room);
        return;
    }
    if (!r->joined || v->chat->client.state != CLIENT_ON)
        line_notice(v, "·", "you are not in %s any more", r->name);
    client_leave_room(&v->chat->client, r);
}

static void list_own_rooms(struct line_view *v)
{
    struct model_room *r;

    TAILQ_FOREACH(r, &v->chat->client.model.rooms, link)
    if (r->wanted || model_is_direct(r)) {
        char unread[40] = "";

        if (model_unread(r) > 0)
            snprintf(unread, sizeof unread, ": %llu unread", (unsigned long long)model_unread(r));
        line_notice(v, "·", "%s%s%s", r->name, unread,
                    strcmp(r->name, v->room) == 0 ? " (you talk here)" : "");
    }
}

static void run_room(struct line_view *v, char *args)
{
    char *name = next_word(&args);
    struct model_room *r = find_room(v, name);

    if (name[0] == '\0')
        list_own_rooms(v);
    else if (options_is_direct(name) || (r != NULL && r->wanted))
        line_look_at(v, name);
    else
        line_notice(v, "!", "you are not in %s: /join %s", name, name);
}

static void run_who(struct line_view *v, char *args)
{
    char *name = next_word(&args);
    struct buf b = {0};

    if (name[0] == '\0' && v->room[0] == '@') {
        line_notice(v, "·", "only you and %s are here", v->room + 1);
        return;
    }
    buf_clear(&v->names);
    codec_begin(&b, MESSAGE_WHO);
    codec_add_text(&b, FIELD_ROOM, name[0] != '\0' ? name : v->room);
    command_ask(v, &b);
}

static void run_rooms(struct line_view *v, char *args)
{
    char *prefix = next_word(&args);
    struct buf b = {0};

    codec_begin(&b, MESSAGE_ROOMS);
    if (prefix[0] != '\0')
        codec_add_text(&b, FIELD_PREFIX, prefix);
    command_ask(v, &b);
}

static void run_topic(struct line_view *v, char *args)
{
    struct buf b = {0};

    codec_begin(&b, MESSAGE_TOPIC);
    codec_add_text(&b, FIELD_ROOM, v->room);
    codec_add_text(&b, FIELD_TEXT, strcmp(args, "-") == 0 ? "" : args);
    command_ask(v, &b);
}

/* What owners and moderators do, in the current room. */
static void moderate(struct line_view *v, enum message_type type, char *args)
{
    struct buf b = {0};
    const char *why = moderate_put_request(&b, type, v->room, args);

    if (why != NULL)
        line_notice(v, "!", "%s", why);
    else
        command_ask(v, &b);
}

static void run_bans(struct line_view *v, char *args)
{
    v->asked_bans = v->asked + 1;
    moderate(v, MESSAGE_BANS, args);
}

static bool take_number(char **args, uint64_t *n)
{
    size_t digits = strspn(*args, "0123456789");

    if (digits == 0 || digits > 15 || ((*args)[digits] != ' ' && (*args)[digits] != '\0'))
        return false;
    *n = strtoull(*args, NULL, 10);
    next_word(args);
    return true;
}

/* The seq that a command is about: its first word where that is a number, else one's own last message. 0:
 * there is none. */
static uint64_t take_seq(struct line_view *v, char **args)
{
    const struct model_room *r = find_room(v, v->room);
    uint64_t seq;

    if (take_number(args, &seq))
        return seq;
    seq = r != NULL ? r->own : 0;
    if (seq == 0)
        line_notice(v, "!",
                    "nothing that you said in %s can be changed: name its number, as /search shows it",
                    v->room);
    return seq;
}

static void run_edit(struct line_view *v, char *args)
{
    uint64_t seq = take_seq(v, &args);
    struct buf b = {0};

    if (seq == 0)
        return;
    if (args[0] == '\0') {
        line_notice(v, "!", "/edit needs the new text; /remove takes it away");
        return;
    }
    codec_begin(&b, MESSAGE_EDIT);
    codec_add_text(&b, FIELD_ROOM, v->room);
    codec_add_uint(&b, FIELD_SEQ, seq);
    codec_add_text(&b, FIELD_TEXT, args);
    command_ask(v, &b);
}

static void run_remove(struct line_view *v, char *args)
{
    uint64_t seq = take_seq(v, &args);
    struct buf b = {0};

    if (args[0] != '\0') {
        line_notice(v, "!", "/remove takes the number of a message, or nothing for your last one");
    } else if (seq > 0) {
        codec_begin(&b, MESSAGE_REMOVE);
        codec_add_text(&b, FIELD_ROOM, v->room);
        codec_add_uint(&b, FIELD_SEQ, seq);
        command_ask(v, &b);
    }
}

void command_ask_history(struct line_view *v, const char *room, enum message_field where, uint64_t seq,
                         unsigned limit)
{
    struct buf b = {0};

    codec_begin(&b, MESSAGE_HISTORY);
    codec_add_text(&b, FIELD_ROOM, room);
    if (seq > 0)
        codec_add_uint(&b, where, seq);
    codec_add_uint(&b, FIELD_LIMIT, limit);
    command_ask(v, &b);
}

static void run_search(struct line_view *v, char *args)
{
    search_begin(v, args);
}

static void run_more(struct line_view *v, char *args)
{
    (void)args;
    search_more(v);
}

static void run_history(struct line_view *v, char *args)
{
    uint64_t n = HISTORY_LINES, seq = 0;
    bool ok = args[0] == '#' || args[0] == '\0' || take_number(&args, &n);

    if (ok && args[0] == '#') {
        args++;
        ok = take_number(&args, &seq) && seq > 0;
    }
    if (!ok || n < 1 || n > HISTORY_MOST || args[0] != '\0') {
        line_notice(v, "!", "/history takes a number from 1 to %d, or #SEQ, or both", HISTORY_MOST);
        return;
    }
    if (seq > 0)
        v->asked_numbers = v->asked + 1;
    command_ask_history(v, v->room, FIELD_AROUND, seq, (unsigned)n);
}

static void run_nick(struct line_view *v, char *args)
{
    (void)args;
    line_notice(v, "·", "you are %s here%s. To be somebody else, /quit and start chat -n NICK",
                v->chat->client.nick,
                v->chat->client.is_account ? ", which is your account"
                                           : ", as a guest: /register makes the nick yours");
}

static void run_tcp(struct line_view *v, char *args)
{
    const char *what = next_word(&args), *why = NULL;

    if (strcmp(what, "live") == 0) {
        why = live_follow(v->chat->live, true);
        if (why == NULL)
            line_notice(v, "·", "what happens on the connection is drawn from now on; /tcp off ends that");
    } else if (strcmp(what, "off") == 0) {
        live_follow(v->chat->live, false);
        line_notice(v, "·", "the connection is not drawn any more");
    } else if (what[0] == '\0' || strcmp(what, "all") == 0) {
        v->style.width = term_width();
        show_put_connection(&v->out, &v->style, &v->chat->client);
        line_flush(v);
        why = live_show(v->chat->live, what[0] != '\0');
    } else {
        why = "/tcp takes all, live or off, or nothing";
    }
    if (why != NULL)
        line_notice(v, "!", "%s", why);
}

static void run_shutdown(struct line_view *v, char *args)
{
    (void)args;
    if (v->chat->client.state != CLIENT_ON) {
        line_notice(v, "!", "there is nothing to end: /tcp shows the connection");
        return;
    }
    v->ending_by_hand = true;
    client_half_close(&v->chat->client);
}

static void run_reconnect(struct line_view *v, char *args)
{
    (void)args;
    line_notice(v, "·", "connecting to %s again", v->chat->options.server);
    client_reconnect(&v->chat->client);
}

static void run_quit(struct line_view *v, char *args)
{
    (void)args;
    client_quit(&v->chat->client, 3000);
}

static void run_help(struct line_view *v, char *args);

static const struct command commands[] = {
    {"/help", "", "this list", run_help, false, 0},
    {"/join", "ROOM | @NICK", "go into a room and talk there", run_join, true, 0},
    {"/leave", "[ROOM]", "leave it", run_leave, false, 0},
    {"/room", "[ROOM | @NICK]", "talk there; alone: the rooms that you are in, and what is unread", run_room,
     false, 0},
    {"/msg", "NICK [TEXT]", "say something to one person; without text: read what waits, and talk there",
     run_msg, true, 0},
    {"/who", "[ROOM]", "who is here", run_who, false, 0},
    {"/rooms", "[PREFIX]", "which rooms there are", run_rooms, false, 0},
    {"/topic", "TEXT | -", "say what this room is about; - for nothing", run_topic, true, 0},
    {"/history", "[N] [#SEQ]", "what was said last, or around the message of that number, with numbers",
     run_history, false, 0},
    {"/invite", "NICK", "ask somebody into this room", NULL, true, MESSAGE_INVITE},
    {"/kick", "NICK [REASON]", "put somebody out, who may come back", NULL, true, MESSAGE_KICK},
    {"/ban", "NICK [TIME] [REASON]", "put somebody out for good, or for 10m, 2h, 7d", NULL, true,
     MESSAGE_BAN},
    {"/unban", "NICK", "let somebody in again", NULL, true, MESSAGE_UNBAN},
    {"/mute", "NICK [TIME] [REASON]", "let somebody only listen", NULL, true, MESSAGE_MUTE},
    {"/unmute", "NICK", "let somebody speak again", NULL, true, MESSAGE_UNMUTE},
    {"/bans", "", "who is banned and who is muted", run_bans, false, 0},
    {"/access", "open|invited|accounts", "who may come into this room", NULL, true, MESSAGE_ACCESS},
    {"/role", "NICK ROLE", "make somebody owner, moderator or member", NULL, true, MESSAGE_ROLE},
    {"/search", "WORDS", "what was said with these words, in your rooms; \"in quotes\": a phrase", run_search,
     true, 0},
    {"/more", "", "more of that", run_more, false, 0},
    {"/edit", "[SEQ] TEXT", "say your last message anew, or the one of that number, which /search tells",
     run_edit, true, 0},
    {"/remove", "[SEQ]", "take it back", run_remove, false, 0},
    {"/nick", "", "who you are", run_nick, false, 0},
    {"/register", "", "make your nick an account: it is yours then", secret_run_register, false, 0},
    {"/password", "", "give your account another password", secret_run_password, false, 0},
    {"/key", "", "let this machine into your account by its key", secret_run_key, false, 0},
    {"/keys", "", "which keys let into your account", secret_run_keys, false, 0},
    {"/unkey", "[KEY]", "take that one away, or this machine's", secret_run_unkey, false, 0},
    {"/unregister", "NICK", "remove your account, which is NICK, for good", secret_run_unregister, true, 0},
    {"/tcp", "[all | live | off]", "the connection: state and ladder; live: each step as it comes", run_tcp,
     false, 0},
    {"/shutdown", "", "end your side of the connection: you only listen then", run_shutdown, false, 0},
    {"/reconnect", "", "connect anew", run_reconnect, false, 0},
    {"/quit", "", "say good bye and leave", run_quit, false, 0},
    {NULL, NULL, NULL, NULL, false, 0},
};

const char *command_name(size_t i)
{
    return commands[i].name;
}

/* In columns where there is room for them, else one behind the other. */
static void put_help(struct line_view *v, const struct command *c)
{
    bool is_wide = v->style.width == 0 || v->style.width >= HELP_WIDE;
    size_t from = v->out.len;
    struct buf b = {0};
    int column;

    buf_puts(&v->out, "  ");
    if (is_wide)
        buf_putf(&v->out, "%-11s %-21s ", c->name, c->takes);
    else
        buf_putf(&b, "%s%s%s: ", c->name, c->takes[0] != '\0' ? " " : "", c->takes);
    column = (int)(v->out.len - from);
    buf_puts(&b, c->help);
    show_put_wrapped(&v->out, &v->style, b.data, b.len, column, is_wide ? column : 6);
    buf_puts(&v->out, "\n");
    buf_deinit(&b);
}

static void run_help(struct line_view *v, char *args)
{
    static const char more[] =
        "Anything else is said in the current room; a line that begins with // with one slash.\n"
        "TAB completes commands, nicks and rooms; arrow keys bring back earlier lines.";

    (void)args;
    v->style.width = term_width();
    for (const struct command *c = commands; c->name != NULL; c++)
        put_help(v, c);
    buf_puts(&v->out, "  ");
    show_put_wrapped(&v->out, &v->style, more, sizeof more - 1, 2, 2);
    buf_puts(&v->out, "\n");
    line_flush(v);
}

void command_run(struct line_view *v, char *line)
{
    char *args = line, *name = next_word(&args);
    const struct command *c = commands;

    while (c->name != NULL && strcmp(c->name, name) != 0)
        c++;
    if (c->name == NULL)
        line_notice(v, "!", "there is no %s: /help lists what there is", name);
    else if (c->needs_args && args[0] == '\0')
        line_notice(v, "!", "%s %s: %s", c->name, c->takes, c->help);
    else if (c->run == NULL)
        moderate(v, c->moderates, args);
    else
        c->run(v, args);
}
