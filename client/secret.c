/* secret.c: the account behind the nick, on a terminal: its password is asked for without being shown, to log
 * in, to register and to change it; its keys are listed and taken away, and it is removed. See line.h. */
#include "client/line.h"

#include "client/secret_file.h"
#include "client/term.h"
#include "common/mem.h"
#include "protocol/codec.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- to log in ---- */

static void on_login_given(void *owner, const char *text)
{
    struct line_view *v = owner;

    client_give_password(&v->chat->client, text != NULL ? text : "");
}

void secret_ask_login(struct line_view *v, const char *why)
{
    const struct client *c = &v->chat->client;
    char prompt[160];

    if (why != NULL)
        line_notice(v, "!", "%s", why);
    else
        line_notice(v, "·", "%s is an account's nick", c->nick);
    snprintf(prompt, sizeof prompt, "password of %s at %.60s: ", c->nick, c->config.server);
    term_ask_secret(prompt, on_login_given);
}

/* ---- to register ---- */

static void set(struct line_view *v, const char *password, bool with_key)
{
    char id[32], err[SECRET_ERROR_SIZE];

    v->was_account = v->chat->client.is_account;
    v->has_set_password = password != NULL;
    snprintf(id, sizeof id, "line.%u", ++v->asked);
    if (!client_register(&v->chat->client, id, password, with_key, err))
        line_notice(v, "!", "%s", err);
}

static void forget_first(struct line_view *v)
{
    secret_free(v->first_secret);
    v->first_secret = NULL;
}

static void on_second_given(void *owner, const char *text)
{
    struct line_view *v = owner;

    if (text == NULL)
        line_notice(v, "!", "nothing has changed");
    else if (strcmp(text, v->first_secret) != 0)
        line_notice(v, "!", "these were two different passwords: nothing has changed; try it once more");
    else
        set(v, text, !v->was_account);
    forget_first(v);
}

static void on_first_given(void *owner, const char *text)
{
    struct line_view *v = owner;

    if (text == NULL || (text[0] == '\0' && v->was_account)) {
        line_notice(v, "!", "nothing has changed");
    } else if (text[0] == '\0') {
        set(v, NULL, true);
    } else {
        forget_first(v);
        v->first_secret = mem_strdup(text);
        term_ask_secret("the same once more: ", on_second_given);
    }
}

static bool is_on(struct line_view *v)
{
    if (v->chat->client.state == CLIENT_ON)
        return true;
    line_notice(v, "!", "there is no connection at the moment");
    return false;
}

static bool needs_account(struct line_view *v)
{
    if (!is_on(v))
        return false;
    if (!v->chat->client.is_account)
        line_notice(v, "!", "%s is no account: /register makes it one", v->chat->client.nick);
    return v->chat->client.is_account;
}

void secret_run_register(struct line_view *v, char *args)
{
    const struct client *c = &v->chat->client;
    char prompt[160];

    (void)args;
    if (!is_on(v))
        return;
    if (c->is_account) {
        line_notice(v, "·",
                    "%s is your account already: /password changes its password, /key lets this machine in",
                    c->nick);
        return;
    }
    v->was_account = false;
    snprintf(prompt, sizeof prompt, "password for %s (none: this machine's key alone): ", c->nick);
    term_ask_secret(prompt, on_first_given);
}

void secret_run_password(struct line_view *v, char *args)
{
    char prompt[160];

    (void)args;
    if (!needs_account(v))
        return;
    v->was_account = true;
    snprintf(prompt, sizeof prompt, "new password for %s: ", v->chat->client.nick);
    term_ask_secret(prompt, on_first_given);
}

void secret_run_key(struct line_view *v, char *args)
{
    (void)args;
    if (needs_account(v))
        set(v, NULL, true);
}

/* ---- to take away ---- */

void secret_run_keys(struct line_view *v, char *args)
{
    struct buf b = {0};

    (void)args;
    if (!needs_account(v))
        return;
    codec_begin(&b, MESSAGE_KEYS);
    command_ask(v, &b);
}

void secret_run_unkey(struct line_view *v, char *args)
{
    char own[CLIENT_KEY_SIZE];
    struct buf b = {0};

    if (!needs_account(v))
        return;
    if (args[0] == '\0' && !client_own_key(&v->chat->client, own)) {
        line_notice(v, "!",
                    "this machine has no key: /keys lists those of your account, /unkey KEY takes one away");
        return;
    }
    v->unregisters = false;
    codec_begin(&b, MESSAGE_UNREGISTER);
    codec_add_text(&b, FIELD_PUBLIC_KEY, args[0] != '\0' ? args : own);
    command_ask(v, &b);
}

/* The nick has to be typed: there is no way back. */
void secret_run_unregister(struct line_view *v, char *args)
{
    struct buf b = {0};

    if (!needs_account(v))
        return;
    v->unregisters = true;
    codec_begin(&b, MESSAGE_UNREGISTER);
    codec_add_text(&b, FIELD_NICK, args);
    command_ask(v, &b);
}

/* Each of the strings of a JSON array, which is base64 without any escape. */
static void show_each(struct line_view *v, const char *at, const char *end)
{
    char own[CLIENT_KEY_SIZE] = "";

    client_own_key(&v->chat->client, own);
    while ((at = memchr(at, '"', (size_t)(end - at))) != NULL) {
        const char *key = at + 1, *close = memchr(key, '"', (size_t)(end - key));
        size_t len;

        if (close == NULL)
            return;
        len = (size_t)(close - key);
        line_notice(v, "·", "%.*s%s", (int)len, key,
                    len == strlen(own) && memcmp(key, own, len) == 0 ? " (this machine's)" : "");
        at = close + 1;
    }
}

void secret_show_keys(struct line_view *v, const struct message *m)
{
    const struct value *keys = message_get_kind(m, FIELD_PUBLIC_KEYS, VALUE_NESTED);
    bool password = message_get_kind(m, FIELD_PASSWORD, VALUE_TRUE) != NULL,
         any = keys != NULL && keys->len > 2;

    line_notice(v, "·", "%s logs in by %s%s", v->chat->client.nick,
                password ? "its password"
                : any    ? "a key alone"
                         : "nothing",
                any ? password ? ", and by these keys:" : ":" : "");
    if (any)
        show_each(v, keys->text, keys->text + keys->len);
}

void secret_show_unregistered(struct line_view *v)
{
    if (v->unregisters)
        line_notice(v, "·", "your account %s is removed, and its nick is nobody's any more",
                    v->chat->client.nick);
    else
        line_notice(v, "·", "that key lets nobody in as %s any more", v->chat->client.nick);
}

/* ---- what has come of it ---- */

void secret_show_registered(struct line_view *v)
{
    const struct client *c = &v->chat->client;

    if (v->was_account && v->has_set_password)
        line_notice(v, "·", "%s has another password from now on", c->nick);
    else if (v->was_account)
        line_notice(v, "·", "this machine's key lets it in as %s from now on: %s", c->nick,
                    c->config.key_file);
    else if (v->has_set_password)
        line_notice(
            v, "·",
            "%s is your account from now on: elsewhere by its password, here by this machine's key, %s",
            c->nick, c->config.key_file);
    else
        line_notice(v, "·", "%s is your account from now on, by this machine's key alone: keep a copy of %s",
                    c->nick, c->config.key_file);
}
