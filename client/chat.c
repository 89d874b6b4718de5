/* chat.c: see chat.h. */
#include "client/chat.h"

#include "client/sanitize.h"

#include <stdio.h>

void chat_complain(const char *why)
{
    struct buf fit = {0};

    buf_puts(&fit, "chat: ");
    sanitize_put_lines(&fit, why, strlen(why), "  ");
    buf_puts(&fit, "\n");
    fwrite(fit.data, 1, fit.len, stderr);
    buf_deinit(&fit);
}

void chat_init_client(struct chat *chat, const struct client_view *view, void *view_arg, bool reconnect,
                      bool passes)
{
    const struct options *o = &chat->options;
    struct client_config config = {
        .host = o->host,
        .server = o->server,
        .nick = o->nick,
        .known_hosts = o->known_hosts,
        .key_file = o->key_file,
        .password = chat->password,
        .tls = chat->tls,
        .port = o->port,
        .ca_given = o->ca != NULL,
        .stay = o->stay,
        .reconnect = reconnect && o->reconnect,
        .other_nick = !o->nick_given,
        .is_loopback = o->is_loopback,
        .quiet = o->log == NULL,
        .passes_requests = passes,
    };

    client_init(&chat->client, chat->base, &config, view, view_arg);
    for (size_t i = 0; i < o->room_count; i++)
        if (options_is_room(o->rooms[i])) /* a direct conversation needs no join */
            client_want_room(&chat->client, o->rooms[i]);
}

void chat_run(struct chat *chat)
{
    client_start(&chat->client);
    event_base_dispatch(chat->base);
    client_deinit(&chat->client);
}

void chat_over(struct chat *chat, int exit_code, const char *why)
{
    chat->exit_code = exit_code;
    if (why != NULL)
        chat_complain(why);
    event_base_loopbreak(chat->base);
}
