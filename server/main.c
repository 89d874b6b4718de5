/* main.c: chatd's command line. */
#include "server/config.h"
#include "server/server.h"

#include <event2/event.h>
#include <openssl/crypto.h>
#include <stdio.h>

int main(int argc, char **argv)
{
    static struct config config;
    char err[CONFIG_ERROR_MAX];
    int ask = config_load(&config, argc, argv, err, sizeof err);

    switch (ask) {
    case CONFIG_SERVE:
        return server_run(&config, argc, argv);
    case CONFIG_HELP:
        config_print_help(stdout);
        return SERVER_EXIT_OK;
    case CONFIG_VERSION:
        printf("chatd %s (libevent %s, %s)\n", CHATD_VERSION, event_get_version(), OpenSSL_version(OPENSSL_VERSION));
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
