/* secret.c: the account behind the nick, on a terminal: its password is asked for without being shown, to log
 * in, to register and to change it. See line.h. */
#include "client/line.h"

#include "client/secret_file.h"
#include "client/term.h"
#include "common/mem.h"

#include <stdio.h>
#include <stdlib.h>

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
