/* main.c: chatd's command line. */
#include "server/chat/scram_server.h"
#include "server/chat/store_sqlite.h"
#include "server/config.h"
#include "server/server.h"

#include <event2/event.h>
#include <openssl/crypto.h>
#include <stdio.h>

/* What is kept, without serving. */
static int look_after(struct config *c, bool (*what)(const struct config *c))
{
    int status = SERVER_EXIT_USAGE;

    if (c->data == NULL)
        fprintf(stderr, "chatd: --data memory keeps nothing to look at: say --data DIR\n");
    else
        status = what(c) ? SERVER_EXIT_OK : SERVER_EXIT_STORAGE;
    config_deinit(c);
    return status;
}

static bool check_data(const struct config *c)
{
    return store_check(c->data);
}

static bool back_up(const struct config *c)
{
    return store_backup(c->data, c->backup);
}

int main(int argc, char **argv)
{
    static struct config config;
    char err[CONFIG_ERROR_MAX];
    int ask = config_load(&config, argc, argv, err, sizeof err);

    switch (ask) {
    case CONFIG_CHECK_DATA:
        return look_after(&config, check_data);
    case CONFIG_SERVE:
        if (config.backup != NULL)
            return look_after(&config, back_up);
        return server_run(&config, argc, argv);
    case CONFIG_HELP:
        config_print_help(stdout);
        return SERVER_EXIT_OK;
    case CONFIG_VERSION:
        printf("chatd %s (libevent %s, %s, %s)\n", CHATD_VERSION, event_get_version(),
               OpenSSL_version(OPENSSL_VERSION), scram_server_version());
        return SERVER_EXIT_OK;
    case CONFIG_MAN:
        config_print_man(stdout);
        return SERVER_EXIT_OK;
    case CONFIG_CHECK:
        config_print_check(stdout, &config);
        config_deinit(&config);
        return SERVER_EXIT_OK;
    default:
        fprintf(stderr, "%s\n", err);
        return SERVER_EXIT_USAGE;
    }
}
