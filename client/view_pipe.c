/* view_pipe.c: chat with its input from a pipe or a file: each line is said in the first room, what is said
 * by others and oneself is printed as `nick: text`, what changes an earlier message as `nick ✎SEQ: text`. At
 * the end of input it ends its side and waits for the server's end. */
#include "client/view.h"

#include "client/explain.h"
#include "client/feed.h"
#include "client/leave.h"
#include "client/moderate.h"
#include "client/sanitize.h"
#include "common/clock.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

struct pipe_view {
    struct chat *chat;
    struct feed feed;
    struct leave leave;
    struct buf out;
    uint64_t line_number;
    bool failed, input_ended;
};

/* Standard output broke: there is nobody to print to, and nothing to stay for. */
static void write_out(struct pipe_view *v)
{
    if (fwrite(v->out.data, 1, v->out.len, stdout) != v->out.len || fflush(stdout) != 0) {
        link_reset(v->chat->client.link);
        chat_over(v->chat, EXIT_FAILED, errno == EPIPE ? NULL : strerror(errno));
    }
    buf_clear(&v->out);
}

/* Being put out or muted is why lines fail from then on. */
static void complain_of_moderation(struct pipe_view *v, const struct message *m, const struct value *nick)
{
    const char *own = v->chat->client.nick;
    struct buf b = {0};

    if ((m->type == MESSAGE_LEFT ||
         (nick != NULL && nick->len == strlen(own) && memcmp(nick->text, own, nick->len) == 0)) &&
        moderate_put_sentence(&b, m, own, clock_wall_us() / 1000)) {
        buf_put(&b, "", 1);
        chat_complain(b.data);
    }
    buf_deinit(&b);
}

static void print_message(void *view, const struct message *m)
{
    const struct value *room = message_get_kind(m, FIELD_ROOM, VALUE_STRING);
    const struct value *nick = message_get_kind(m, FIELD_NICK, VALUE_STRING);
    const struct value *text = message_get_kind(m, FIELD_TEXT, VALUE_STRING);
    const struct value *edits = message_get_kind(m, FIELD_EDITS, VALUE_UINT);
    const struct value *removes = message_get_kind(m, FIELD_REMOVES, VALUE_UINT);
    struct pipe_view *v = view;

    if (m->type == MESSAGE_ERROR && text != NULL) {
        sanitize_put(&v->out, text->text, text->len);
        buf_put(&v->out, "", 1);
        if (message_get(m, FIELD_RE) == NULL || strncmp(m->fields[FIELD_RE].text, "chat.", 5) == 0)
            chat_complain(v->out.data);
        buf_clear(&v->out);
    }
    if (m->type == MESSAGE_LEFT || m->type == MESSAGE_MODERATION)
        complain_of_moderation(v, m, nick);
    if (m->type != MESSAGE_MSG || room == NULL || nick == NULL || text == NULL)
        return;
    if (v->chat->options.room_count > 1 || room->text[0] == '@') {
        buf_put_literal(&v->out, "[");
        sanitize_put(&v->out, room->text, room->len);
        buf_put_literal(&v->out, "] ");
    }
    sanitize_put(&v->out, nick->text, nick->len);
    if (edits != NULL || removes != NULL) /* which earlier message it changes */
        buf_putf(&v->out, " ✎%llu", (unsigned long long)(edits != NULL ? edits : removes)->number);
    buf_put_literal(&v->out, ": ");
    if (removes != NULL)
        buf_put_literal(&v->out, "(removed)");
    else
        sanitize_put_lines(&v->out, text->text, text->len, "    ");
    buf_put_literal(&v->out, "\n");
    write_out(v);
}

static void complain_news(void *view, enum client_news what, const char *text)
{
    struct pipe_view *v = view;
    bool is_trouble = what == CLIENT_LOST || what == CLIENT_RETRYING || what == CLIENT_NICK ||
                      what == CLIENT_GAP || what == CLIENT_CERTIFICATE || what == CLIENT_PROBLEM;

    if (is_trouble || v->chat->options.verbose)
        chat_complain(text);
}

static void watch(void *view, enum link_event e)
{
    struct pipe_view *v = view;
    struct buf b = {0};

    if (!v->chat->options.verbose)
        return;
    explain_event(&b, v->chat->client.link, e);
    buf_put(&b, "", 1);
    fprintf(stderr, "· %s\n", b.data);
    buf_deinit(&b);
}

static void line_news(void *view, const struct model_line *line, enum line_news what, const char *why)
{
    (void)view, (void)line;
    if (what == LINE_FAILED)
        fprintf(stderr, "chat: not sent: %s\n", why);
}

static void may_say(void *view)
{
    struct pipe_view *v = view;

    feed_start(&v->feed);
}

static void over(void *view, int exit_code, const char *why)
{
    struct pipe_view *v = view;

    feed_stop(&v->feed);
    chat_over(v->chat, exit_code == EXIT_CLEAN && v->failed ? EXIT_FAILED : exit_code, why);
}

static bool feed_wants_more(void *owner)
{
    struct pipe_view *v = owner;

    return v->chat->client.was_on && !client_is_full(&v->chat->client); /* also while it connects again */
}

static void feed_line(void *owner, const char *line, size_t len)
{
    struct pipe_view *v = owner;
    struct buf why = {0};
    int ret;

    v->line_number++;
    if (len == 0)
        return;
    ret = client_say(&v->chat->client, v->chat->options.rooms[0], line, len);
    if (ret == 0)
        return;
    v->failed = true;
    explain_unsaid(&why, &v->chat->client, ret, len);
    fprintf(stderr, "chat: line %llu was not sent: %s\n", (unsigned long long)v->line_number, why.data);
    buf_deinit(&why);
}

static void feed_end(void *owner, const char *why)
{
    struct pipe_view *v = owner;

    if (why != NULL) {
        v->failed = true;
        chat_complain(why);
    }
    client_end(&v->chat->client);
}

static void stop(void *view)
{
    struct pipe_view *v = view;

    feed_stop(&v->feed);
}

void view_pipe_run(struct chat *chat)
{
    static const struct client_view callbacks = {
        .message = print_message,
        .news = complain_news,
        .own_line = line_news,
        .watch = watch,
        .may_say = may_say,
        .over = over,
    };
    struct pipe_view v = {.chat = chat,
                          .feed = {.wants_more = feed_wants_more, .line = feed_line, .end = feed_end}};

    v.feed.owner = &v;
    feed_init(&v.feed, chat->base, STDIN_FILENO);
    chat_init_client(chat, &callbacks, &v, true, false);
    leave_init(&v.leave, chat, stop, &v);
    chat_run(chat);
    leave_deinit(&v.leave);
    feed_deinit(&v.feed);
    buf_deinit(&v.out);
}
