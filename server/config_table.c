/* config_table.c: the options of chatd, each in one row, and how a row is found by name. Everything that
 * knows an option's name, default, range or wording reads it from here. No state; any thread.
 *
 * A row's place is its option's id: struct config keeps the origin of each value under it. */
#include "server/config_option.h"

#include <string.h>

static const char *const plain_words[] = {"loopback", "any", "off", NULL};
static const char *const durability_words[] = {"power", "process", NULL};
static const char *const search_words[] = {"on", "off", NULL};
static const char *const trace_words[] = {"calls", "messages", NULL};
static const char *const level_words[] = {"error", "warn", "info", "debug", NULL};

const char *const config_group_titles[CONFIG_GROUPS] = {
    [CONFIG_G_LISTEN] = "Listening and TLS",
    [CONFIG_G_SERVER] = "The server",
    [CONFIG_G_LIMITS] = "Limits",
    [CONFIG_G_TIMES] = "Times",
    [CONFIG_G_ASK] = "Asking",
};

#define AT(field) offsetof(struct config, field)
#define RUNTIME   CONFIG_F_RUNTIME

/* Shorthands for what many rows share: G is the group, F the flags. */
/* clang-format off */
#define COUNT(NAME, FIELD, G, F, DEF, MIN, MAX, HELP) \
    {NAME, CONFIG_T_COUNT, G, F, AT(FIELD), "N", DEF, NULL, NULL, MIN, MAX, HELP}
#define SIZE(NAME, FIELD, G, F, DEF, MIN, MAX, HELP) \
    {NAME, CONFIG_T_SIZE, G, F, AT(FIELD), "BYTES", DEF, NULL, NULL, MIN, MAX, HELP}
#define SECONDS(NAME, FIELD, G, DEF, NONE, MIN, MAX, HELP) \
    {NAME, CONFIG_T_SECONDS, G, RUNTIME, AT(FIELD), "SECONDS", DEF, NONE, NULL, MIN, MAX, HELP}
#define PATH(NAME, FIELD, G, F, VALUE, DEF, HELP) \
    {NAME, CONFIG_T_PATH, G, F, AT(FIELD), VALUE, DEF, DEF, NULL, 1, 4095, HELP}
#define WORD(NAME, FIELD, G, F, VALUE, DEF, WORDS, HELP) \
    {NAME, CONFIG_T_WORD, G, F, AT(FIELD), VALUE, DEF, NULL, WORDS, 0, 0, HELP}
#define ACTION(NAME, F, ASK, HELP) \
    {NAME, CONFIG_T_ACTION, CONFIG_G_ASK, CONFIG_F_COMMAND | (F), 0, NULL, NULL, NULL, NULL, ASK, 0, HELP}
/* clang-format on */

const struct config_option config_options[] = {
    {"listen", CONFIG_T_ADDRESSES, CONFIG_G_LISTEN, 0, AT(listen), "ADDR:PORT", "127.0.0.1:7000", NULL, NULL,
     0, 0,
     "where to listen, plain and TLS on the same port: 127.0.0.1:7000, [::1]:7000, *:7000 for all addresses, "
     "port 0 for any that is free; may be given several times"},
    PATH("port-file", port_file, CONFIG_G_LISTEN, 0, "FILE", "none",
         "write the ports listened on to this file, one a line, once connections are taken"),
    WORD("plain", plain, CONFIG_G_LISTEN, RUNTIME, "WHO", "loopback", plain_words,
         "who may talk without TLS: those on this machine, anyone, or nobody"),
    PATH("cert", cert, CONFIG_G_LISTEN, RUNTIME, "FILE", "auto",
         "the certificate for TLS, in PEM, with its chain; auto makes one on the first start and keeps it in "
         "the data directory"),
    PATH("key", key, CONFIG_G_LISTEN, RUNTIME, "FILE", "auto",
         "the private key that belongs to the certificate"),
    COUNT("tls-tickets", tls_tickets, CONFIG_G_LISTEN, RUNTIME, "0", 0, 16,
          "session tickets to send after a TLS handshake"),

    {"data", CONFIG_T_PATH, CONFIG_G_SERVER, 0, AT(data), "DIR", CONFIG_DATA_AUTO, "memory", NULL, 1, 4095,
     "the directory for what the server keeps, made if it is missing; memory keeps nothing over a restart; auto is "
     "/var/lib/chatd for root and ~/.local/state/chatd for others, or where STATE_DIRECTORY or XDG_STATE_HOME say"},
    WORD("durability", durability, CONFIG_G_SERVER, 0, "WHAT", "power", durability_words,
         "what an acknowledged message outlives: a loss of power, or only the end of the process"),
    WORD("search", search, CONFIG_G_SERVER, 0, "WHETHER", "on", search_words,
         "whether messages can be searched; on disk an index of their words is kept for that"),
    {"keep-seconds", CONFIG_T_SECONDS, CONFIG_G_SERVER, 0, AT(keep_seconds), "SECONDS", "0", NULL, NULL, 0,
     4000000000, "age up to which messages are kept on disk; 0 keeps all, and a room's newest always stay"},
    COUNT("keep-messages", keep_messages, CONFIG_G_SERVER, 0, "0", 0, 4000000000,
          "messages of a room kept on disk at least, and older ones no longer; 0 keeps all"),
    SIZE("keep-bytes", keep_bytes, CONFIG_G_SERVER, 0, "0", 0, UINT64_C(1) << 50,
         "bytes of a room's messages kept on disk, about; 0 keeps all"),
    SIZE(
        "keep-total", keep_total, CONFIG_G_SERVER, 0, "0", 0, UINT64_C(1) << 50,
        "bytes that all that is kept may take on disk, about; then sends fail until there is space in it; 0 is as many "
        "as the disk has"),
    {"threads", CONFIG_T_COUNT, CONFIG_G_SERVER, 0, AT(threads), "N", "auto", "auto", NULL, 1, 64,
     "threads that serve connections; auto is one a core"},
    {"name", CONFIG_T_NAME, CONFIG_G_SERVER, 0, AT(name), "NAME", "auto", "auto", NULL, 1, 64,
     "what the server is called in its own certificate and its log; auto is the name of the host"},
    PATH("log", log, CONFIG_G_SERVER, RUNTIME, "FILE", "stderr", "where to log; opened anew on SIGHUP"),
    WORD("log-level", log_level, CONFIG_G_SERVER, RUNTIME, "LEVEL", "info", level_words,
         "the least that is worth a line"),
    PATH("trace", trace, CONFIG_G_SERVER, 0, "DIR", "none",
         "write an event log of each connection's calls and TCP states into this directory, for chat-trace"),
    WORD("trace-detail", trace_detail, CONFIG_G_SERVER, 0, "WHAT", "calls", trace_words,
         "what the event log has: calls and states, or each message's type and length too (never its text)"),
    SECONDS("drain-seconds", drain_seconds, CONFIG_G_SERVER, "10", NULL, 0, 3600,
            "how long a stop waits for connections to end by themselves"),
    {"config", CONFIG_T_PATH, CONFIG_G_SERVER, CONFIG_F_COMMAND, AT(config_file), "FILE", "none", "none",
     NULL, 1, 4095, "read settings from this file first; the command line overrides them"},

    COUNT("max-connections", max_connections, CONFIG_G_LIMITS, RUNTIME, "20000", 1, 1000000,
          "connections at once"),
    COUNT("max-per-address", max_per_address, CONFIG_G_LIMITS, RUNTIME, "100", 1, 1000000,
          "connections at once from one address that is not trusted"),
    COUNT("max-rooms", max_rooms, CONFIG_G_LIMITS, RUNTIME, "100000", 1, 1000000, "rooms at once"),
    COUNT(
        "max-kept-rooms", max_kept_rooms, CONFIG_G_LIMITS, RUNTIME, "1000000", 1, 8000000,
        "rooms and direct conversations kept on disk while guests may begin new rooms; then only accounts do"),
    COUNT("max-accounts", max_accounts, CONFIG_G_LIMITS, RUNTIME, "100000", 1, 10000000, "accounts in all"),
    COUNT("max-rooms-per-connection", max_rooms_per_connection, CONFIG_G_LIMITS, RUNTIME, "100", 1, 10000,
          "rooms that one connection may be in"),
    COUNT("max-members", max_members, CONFIG_G_LIMITS, RUNTIME, "20000", 1, 1000000, "members of one room"),
    SIZE("max-line", max_line, CONFIG_G_LIMITS, 0, "16k", 1024, 1 << 20,
         "the longest line taken, its LF included"),
    SIZE("max-out", max_out, CONFIG_G_LIMITS, 0, "1M", 16 << 10, 1 << 30,
         "what may wait to be written to one connection before it is fed from the history instead"),
    COUNT("history", history, CONFIG_G_LIMITS, 0, "65536", 1, 10000000, "messages of a room kept in memory"),
    SIZE("history-bytes", history_bytes, CONFIG_G_LIMITS, 0, "16M", 16 << 10, UINT64_C(64) << 30,
         "memory that the kept messages of a room may take"),
    SIZE(
        "history-total", history_total, CONFIG_G_LIMITS, RUNTIME, "256M", 64 << 10, UINT64_C(1) << 40,
        "memory that the kept messages of all rooms and their keys may take; beyond it the rooms that were silent longest lose theirs"),
    COUNT("requests-per-second", requests_per_second, CONFIG_G_LIMITS, RUNTIME, "50", 1, 1000000,
          "requests taken from one connection that is not trusted; beyond it they wait"),
    COUNT("presence-max", presence_max, CONFIG_G_LIMITS, RUNTIME, "200", 0, 1000000,
          "members up to which a room is told who comes and goes; a larger one is told its number"),
    {"trusted", CONFIG_T_NETWORKS, CONFIG_G_LIMITS, RUNTIME, AT(trusted), "ADDR/BITS", "127.0.0.0/8 ::1/128",
     "none", NULL, 0, 0,
     "addresses that the limits per address and per second leave alone; may be given several times"},

    SECONDS("login-seconds", login_seconds, CONFIG_G_TIMES, "30", NULL, 1, 3600,
            "how long a new connection may take to say hello"),
    SECONDS("ping-seconds", ping_seconds, CONFIG_G_TIMES, "auto", "auto", 1, 86400,
            "silence after which the server pings; auto is a third of idle-seconds"),
    SECONDS("idle-seconds", idle_seconds, CONFIG_G_TIMES, "180", NULL, 2, 604800,
            "silence after which a connection is given up"),
    SECONDS("stall-seconds", stall_seconds, CONFIG_G_TIMES, "60", NULL, 1, 86400,
            "how long a peer may take nothing of what waits for it"),
    SECONDS(
        "linger-seconds", linger_seconds, CONFIG_G_TIMES, "10", NULL, 1, 3600,
        "how long the server waits, after its own end, for the peer's, or for it to take more of what waits for it"),
    SECONDS("linger-total-seconds", linger_total_seconds, CONFIG_G_TIMES, "600", NULL, 1, 86400,
            "how long it waits for that in all"),

    {"backup", CONFIG_T_PATH, CONFIG_G_ASK, CONFIG_F_COMMAND, AT(backup), "FILE", "none", "none", NULL, 1,
     4095, "copy what is kept to that file, also beside a chatd that serves, then end"},
    ACTION("check-data", 0, CONFIG_CHECK_DATA,
           "look at all that is kept and tell whether it is whole, then end"),
    ACTION("check-config", 0, CONFIG_CHECK, "print the settings in force and where each is from, then end"),
    ACTION("help", 0, CONFIG_HELP, "print the options"),
    ACTION("version", 0, CONFIG_VERSION, "print the version"),
    ACTION("dump-man", CONFIG_F_HIDDEN, CONFIG_MAN, "print the option list of the man page"),
};

const size_t config_options_count = sizeof(config_options) / sizeof(config_options[0]);
_Static_assert(sizeof(config_options) / sizeof(config_options[0]) <= CONFIG_OPTIONS_MAX,
               "raise CONFIG_OPTIONS_MAX");

const char *config_plain_name(uint32_t plain)
{
    return plain <= CONFIG_PLAIN_OFF ? plain_words[plain] : "?";
}

_Static_assert(LOG_ERROR == 0 && LOG_DEBUG == 3, "level_words is in the order of enum log_level");

const struct config_option *config_option_find(const char *name, size_t len)
{
    for (size_t i = 0; i < config_options_count; i++) {
        const char *n = config_options[i].name;
        if (strlen(n) == len && memcmp(n, name, len) == 0)
            return &config_options[i];
    }
    return NULL;
}

#define NEAREST_MAX 40

/* Letters to add, drop or change to make a into b; both shorter than NEAREST_MAX. */
static size_t edit_distance(const char *a, size_t alen, const char *b, size_t blen)
{
    size_t row[NEAREST_MAX + 1];

    for (size_t j = 0; j <= blen; j++)
        row[j] = j;
    for (size_t i = 1; i <= alen; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= blen; j++) {
            size_t change = diagonal + (a[i - 1] != b[j - 1]);
            size_t add = (row[j] < row[j - 1] ? row[j] : row[j - 1]) + 1;
            diagonal = row[j];
            row[j] = change < add ? change : add;
        }
    }
    return row[blen];
}

const char *config_option_nearest(const char *name, size_t len, bool from_file)
{
    if (len < 2 || len >= NEAREST_MAX)
        return NULL;
    const char *best = NULL;
    size_t best_distance = (len + 1) / 3 + 1;
    for (size_t i = 0; i < config_options_count; i++) {
        const struct config_option *o = &config_options[i];
        if ((o->flags & CONFIG_F_HIDDEN) || (from_file && (o->flags & CONFIG_F_COMMAND)))
            continue;
        size_t d = edit_distance(name, len, o->name, strlen(o->name));
        if (d < best_distance) {
            best_distance = d;
            best = o->name;
        }
    }
    return best;
}
