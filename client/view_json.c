/* view_json.c: chat for scripts: requests of the protocol as lines on standard input, every line of the
 * server and some events of chat's own on standard output. chat(1) describes both. One connection: what comes
 * after a loss is the script's to decide. */
#include "client/view.h"

#include "client/feed.h"
#include "client/leave.h"
#include "client/sanitize.h"
#include "protocol/codec.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

struct json_view {
    struct chat *chat;
    struct feed feed;
    struct leave leave;
    struct buf out;
    uint64_t line_number;
    bool failed;
};

static void write_out(struct json_view *v)
{
    if (fwrite(v->out.data, 1, v->out.len, stdout) != v->out.len || fflush(stdout) != 0) {
        link_reset(v->chat->client.link);
        chat_over(v->chat, EXIT_FAILED, errno == EPIPE ? NULL : strerror(errno));
    }
    buf_clear(&v->out);
}

static void raw(void *view, const char *line, size_t len)
{
    struct json_view *v = view;
    struct message m;
    const char *where;
    struct buf copy = {0};

    buf_put(&copy, line, len);
    if (codec_decode(copy.data, len, &m, &where) ==
        CODEC_OK) { /* else it is no line of the protocol: over says so */
        sanitize_put_json(&v->out, line, len);
        buf_put_literal(&v->out, "\n");
        write_out(v);
    }
    buf_deinit(&copy);
}

static void begin_event(struct json_view *v, const char *name)
{
    buf_puts(&v->out, "{\"type\":\"chat\",\"event\":");
    codec_put_string(&v->out, name, strlen(name));
}

static void add_text(struct json_view *v, const char *name, const char *value)
{
    buf_putf(&v->out, ",\"%s\":", name);
    codec_put_string(&v->out, value, strlen(value));
}

static void end_event(struct json_view *v)
{
    buf_puts(&v->out, "}\n");
    write_out(v);
}

static void add_connection(struct json_view *v)
{
    const struct link *l = v->chat->client.link;
    char local[TCP_ADDR_TEXT], id[LIFECYCLE_ID_SIZE];
    struct tcp_addr a;

    tcp_get_local(link_fd(l), &a);
    add_text(v, "server", v->chat->options.server);
    add_text(v, "local", tcp_addr_format(&a, local));
    add_text(v, "conn", lifecycle_format_id(link_life(l), id));
    buf_puts(&v->out, v->chat->tls != NULL ? ",\"tls\":true" : ",\"tls\":false");
}

static const char *event_name(enum link_event e)
{
    static const char *const names[] = {
        [LINK_RESOLVING] = "resolve",
        [LINK_CONNECTING] = "connect",
        [LINK_CONNECTED] = "connected",
        [LINK_SECURED] = "tls-handshake",
        [LINK_NOTIFY_SENT] = "send-close-notify",
        [LINK_FIN_SENT] = "shutdown",
        [LINK_NOTIFY_RECEIVED] = "recv-close-notify",
        [LINK_FIN_RECEIVED] = "recv-fin",
        [LINK_RST_RECEIVED] = "recv-rst",
        [LINK_CLOSING] = "close",
    };

    return names[e];
}

static void watch(void *view, enum link_event e)
{
    struct json_view *v = view;
    struct tcp_facts facts;

    if (e != LINK_CONNECTED && e != LINK_FIN_SENT && !v->chat->options.verbose)
        return;
    begin_event(v, event_name(e));
    if (link_get_facts(v->chat->client.link, &facts) == 0)
        add_text(v, "state", tcp_state_name(facts.state));
    if (e == LINK_CONNECTED)
        add_connection(v);
    end_event(v);
}

static void news(void *view, enum client_news what, const char *text)
{
    struct json_view *v = view;

    if (what == CLIENT_CERTIFICATE || what == CLIENT_NICK || what == CLIENT_PROBLEM) {
        begin_event(v, what == CLIENT_CERTIFICATE ? "certificate" : what == CLIENT_NICK ? "nick" : "problem");
        add_text(v, "text", text);
        end_event(v);
    }
}

static void may_say(void *view)
{
    struct json_view *v = view;

    feed_start(&v->feed);
}

static void over(void *view, int exit_code, const char *why)
{
    struct json_view *v = view;

    feed_stop(&v->feed);
    if (exit_code == EXIT_CLEAN && v->failed)
        exit_code = EXIT_FAILED;
    begin_event(v, "over");
    buf_putf(&v->out, ",\"exit\":%d", exit_code);
    if (why != NULL)
        add_text(v, "text", why);
    end_event(v);
    chat_over(v->chat, exit_code, why);
}

static bool feed_wants_more(void *owner)
{
    struct json_view *v = owner;

    return v->chat->client.state == CLIENT_ON && !link_is_full(v->chat->client.link);
}

static void refuse(struct json_view *v, const char *why)
{
    v->failed = true;
    begin_event(v, "invalid");
    buf_putf(&v->out, ",\"line\":%llu", (unsigned long long)v->line_number);
    add_text(v, "text", why);
    end_event(v);
}

/* NULL where the line may go to the server. Types and fields are the server's to judge: it may know more than
 * this chat. */
static const char *find_fault(const char *line, size_t len, uint32_t max_line)
{
    struct buf copy = {0};
    struct message m;
    const char *where = NULL;
    enum codec_result ret;

    if (len + 1 > max_line)
        return "the line is too long";
    buf_put(&copy, line, len);
    ret = codec_decode(copy.data, len, &m, &where);
    buf_deinit(&copy);
    if (ret == CODEC_OK && m.type == MESSAGE_HELLO)
        return "hello is said by chat itself: see --nick and --on-eof";
    if (ret == CODEC_OK)
        return NULL;
    return ret == CODEC_TWICE ? "a field stands twice"
           : where != NULL    ? where
                              : "this is not one JSON object";
}

static void feed_line(void *owner, const char *line, size_t len)
{
    struct json_view *v = owner;
    struct buf request = {0};
    const char *fault;

    v->line_number++;
    if (len == 0)
        return;
    fault = find_fault(line, len, v->chat->client.max_line);
    if (fault != NULL) {
        refuse(v, fault);
        return;
    }
    buf_put(&request, line, len);
    buf_put_literal(&request, "\n");
    client_request(&v->chat->client, request.data, request.len);
    buf_deinit(&request);
}

static void feed_end(void *owner, const char *why)
{
    struct json_view *v = owner;

    if (why != NULL)
        refuse(v, why);
    client_end(&v->chat->client);
}

static void stop(void *view)
{
    struct json_view *v = view;

    feed_stop(&v->feed);
}

void view_json_run(struct chat *chat)
{
    static const struct client_view callbacks = {
        .raw = raw,
        .news = news,
        .watch = watch,
        .may_say = may_say,
        .over = over,
    };
    struct json_view v = {.chat = chat,
                          .feed = {.wants_more = feed_wants_more, .line = feed_line, .end = feed_end}};

    v.feed.owner = &v;
    feed_init(&v.feed, chat->base, STDIN_FILENO);
    chat_init_client(chat, &callbacks, &v, false, true);
    leave_init(&v.leave, chat, stop, &v);
    chat_run(chat);
    leave_deinit(&v.leave);
    feed_deinit(&v.feed);
    buf_deinit(&v.out);
}
