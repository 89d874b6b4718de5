/* options.h: the command line of chat. */
#ifndef CLIENT_OPTIONS_H
#define CLIENT_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define OPTIONS_ROOMS 100 /* more than a server takes of one connection by default */

enum options_choice { OPTIONS_AUTO, OPTIONS_YES, OPTIONS_NO };

struct options {
    char *host, *server; /* server: HOST:PORT, an IPv6 address in brackets */
    char *nick;
    char *known_hosts; /* NULL: there is no home to keep it in */
    char *key_file;    /* the same */
    const char *ca, *log, *trace, *password_file;
    bool trace_messages;
    const char *rooms[OPTIONS_ROOMS];
    size_t room_count;
    enum options_choice tls, color;
    uint16_t port;
    bool nick_given, rooms_given, is_loopback;
    bool json, verbose, stay, reconnect, ladder;
};

enum options_result {
    OPTIONS_RUN,
    OPTIONS_DONE,  /* --help, --version: all is said */
    OPTIONS_WRONG, /* said on stderr, what and what to do */
};

/* Keeps pointers into argv. options_deinit is due after each result. */
enum options_result options_parse(struct options *o, int argc, char **argv);
void options_deinit(struct options *o);

/* Whether to speak TLS: as asked for (--ca asks too), else wherever the server is on another machine. */
bool options_want_tls(const struct options *o);

bool options_is_room(const char *name);   /* a room, not @nick */
bool options_is_direct(const char *name); /* @nick */

#endif
