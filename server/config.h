/* config.h: the settings of chatd: one table (config_table.c) behind the command line, the config file,
 * --help, --check-config and the option list of the man page.
 *
 * Three layers, each over the one before: the defaults, the config file, the command line. A list that a
 * layer gives (listen, trusted) replaces the list of the layer below. The main thread loads; afterwards a
 * struct config is only read, so any thread may hold it as long as its owner keeps it. A reload makes a new
 * struct and leaves the old one as it was.
 *
 * A new option is a field here, a row in config_table.c and a line in dist/chatd.conf; then
 * scripts/update-man. */
#ifndef SERVER_CONFIG_H
#define SERVER_CONFIG_H

#include "common/log.h"
#include "common/tcp.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/socket.h>

#define CONFIG_OPTIONS_MAX 64  /* rows that the table may have */
#define CONFIG_ERROR_MAX   512 /* bytes that hold any sentence written to an err buffer, its NUL included */

/* What the command line asks for. CONFIG_SERVE is the usual: the settings are there, so run. */
enum config_ask {
    CONFIG_SERVE = 0,
    CONFIG_HELP,       /* --help: nothing was loaded */
    CONFIG_VERSION,    /* --version: nothing was loaded */
    CONFIG_MAN,        /* --dump-man, for scripts/update-man: nothing was loaded */
    CONFIG_CHECK,      /* --check-config: loaded and found good */
    CONFIG_CHECK_DATA, /* --check-data: the same, to look at what is kept */
};

/* What config_reload says beside 0: good, but some of it waits for a restart. */
#define CONFIG_RESTART 1

enum config_search { CONFIG_SEARCH_ON, CONFIG_SEARCH_OFF };
enum config_durability { CONFIG_DURABILITY_POWER, CONFIG_DURABILITY_PROCESS };
enum config_plain { CONFIG_PLAIN_LOOPBACK, CONFIG_PLAIN_ANY, CONFIG_PLAIN_OFF };

struct config_address {
    struct sockaddr_storage addr;
    socklen_t len;
    bool both;  /* all addresses of both families: addr is [::], to be bound with IPV6_V6ONLY off;
                   on a host without IPv6, bind 0.0.0.0 at the same port. Any other IPv6 address: V6ONLY on */
    char *text; /* as the config file would say it: "127.0.0.1:7000", "[::1]:0", "*:7000" */
};

struct config_addresses {
    struct config_address *v;
    size_t n;
};

struct config_network {
    struct tcp_addr addr; /* no port */
    uint32_t bits;        /* how many of the address's first bits count */
    char *text;           /* "10.0.0.0/8" */
};

struct config_networks {
    struct config_network *v;
    size_t n;
};

enum config_source { CONFIG_FROM_DEFAULT, CONFIG_FROM_FILE, CONFIG_FROM_COMMAND };

struct config_origin {
    uint8_t source; /* enum config_source */
    uint32_t line;  /* of the config file, from 1; 0 elsewhere */
};

/* Zeroed, it is empty and may be given to config_deinit. Strings belong to it. */
struct config {
    struct config_addresses listen; /* at least one */
    char *port_file;                /* NULL: none */
    uint32_t plain;                 /* enum config_plain */
    char *cert, *key;               /* PEM files; both or neither. NULL: one of our own making */
    uint32_t tls_tickets;           /* a TLS handshake; 0: none */

    char *data;                           /* a directory, never "auto" any more; NULL: memory */
    uint32_t durability;                  /* enum config_durability */
    uint32_t search;                      /* enum config_search */
    uint32_t keep_seconds, keep_messages; /* of a room, on disk; 0: all */
    uint64_t keep_bytes;
    uint64_t keep_total;   /* bytes of all that is kept; 0: as much as the disk has */
    char *backup;          /* where a copy of what is kept is to go; NULL: serve */
    uint32_t threads;      /* reactors, from 1 */
    char *name;            /* what the server is called in its certificate and its log */
    char *log;             /* NULL: stderr */
    uint32_t log_level;    /* enum log_level of common/log.h */
    char *trace;           /* a directory; NULL: no event log */
    uint32_t trace_detail; /* 0: calls, 1: messages too */
    uint32_t drain_seconds;
    char *config_file; /* NULL: none */

    uint32_t max_connections;
    uint32_t max_per_address; /* connections from one address that is not trusted */
    uint32_t max_rooms;
    uint32_t max_kept_rooms; /* on disk, direct conversations too, beyond which guests begin no new ones */
    uint32_t max_accounts;
    uint32_t max_rooms_per_connection;
    uint32_t max_members;         /* of one room */
    uint64_t max_line;            /* bytes, LF included */
    uint64_t max_out;             /* bytes that wait to be written to one connection */
    uint32_t history;             /* messages kept of one room in memory */
    uint64_t history_bytes;       /* bytes kept of one room in memory */
    uint64_t history_total;       /* bytes kept of all rooms in memory */
    uint32_t requests_per_second; /* of one connection that is not trusted */
    uint32_t presence_max;        /* members up to which a room tells who comes and goes */
    struct config_networks trusted;

    uint32_t login_seconds;  /* from accept to hello, the TLS handshake included */
    uint32_t ping_seconds;   /* of silence before the server pings; always below idle_seconds */
    uint32_t idle_seconds;   /* of silence before it gives up */
    uint32_t stall_seconds;  /* in which a peer took none of what waits for it */
    uint32_t linger_seconds; /* after our FIN, for the peer's, or for it to take more of what is queued */
    uint32_t linger_total_seconds; /* the same in all */

    struct config_origin origin[CONFIG_OPTIONS_MAX]; /* by row of the table */
};

/*
 * Reads command line and config file into *c, which it overwrites without freeing. argv[0] is skipped; argv
 * is not kept. Returns an enum config_ask, or -EINVAL for bad usage and for a config file that is wrong or
 * cannot be read (exit code 2): err then holds one sentence that starts with "chatd: " and has no newline,
 * and *c is empty.
 */
int config_load(struct config *c, int argc, char **argv, char *err, size_t errlen);

/*
 * Reads the same argv and the config file again, as SIGHUP asks for, into *fresh. An option that cannot
 * change while the server runs keeps the value it has in *running. Returns 0; or CONFIG_RESTART, when restart
 * holds the names of options that would have changed ("threads, data"); or a negative as config_load, when
 * *running stays in force and *fresh is empty. *running is not touched: it is the caller's to deinit once
 * nobody reads it any more.
 */
int config_reload(const struct config *running, int argc, char **argv, struct config *fresh, char *restart,
                  size_t restartlen, char *err, size_t errlen);

/* Frees what *c owns and empties it. Takes NULL. */
void config_deinit(struct config *c);

/* Whether the file or the command line gave the option of that name ("listen"): false for a name not in the
 * table. */
bool config_is_given(const struct config *c, const char *name);

/*
 * Whether the address is in one of the --trusted networks. An IPv4 address inside IPv6 (::ffff:10.0.0.1)
 * counts as IPv4; another family is never trusted. Any thread, no allocation.
 */
bool config_is_trusted(const struct config *c, const struct sockaddr *addr);
bool config_is_trusted_tcp(const struct config *c, const struct tcp_addr *addr);

/* The word of an enum config_plain, as the option and the log spell it. */
const char *config_plain_name(uint32_t plain);

/* What --help prints. */
void config_print_help(FILE *to);

/* The settings in force, one a line in the config file's syntax, each with a comment that says where it is
 * from. */
void config_print_check(FILE *to, const struct config *c);

/* The option list of chatd.1, in mdoc. */
void config_print_man(FILE *to);

#endif
