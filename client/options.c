/* options.c: see options.h. */
#include "client/options.h"

#include "client/resolve.h"
#include "client/trust.h"
#include "common/buf.h"
#include "common/mem.h"
#include "common/tcp.h"
#include "common/utf8.h"
#include "protocol/message.h"

#include <getopt.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#ifndef CHAT_VERSION
#define CHAT_VERSION "0.1.0"
#endif

#define DEFAULT_HOST "127.0.0.1"
#define DEFAULT_PORT 7000
#define DEFAULT_ROOM "general"

static const char help[] =
    "Usage: chat [OPTION]... [HOST:PORT]\n"
    "Talks in the rooms of a chatd server (default 127.0.0.1:7000).\n"
    "\n"
    "On a terminal it takes lines and commands (/help lists them). With its input from a pipe or a\n"
    "file it sends each line, ends its side at the end of input, waits for what is still to come, and\n"
    "exits with 0 if the server has acknowledged everything:  echo hello | chat -r general\n"
    "\n"
    "Who and where\n"
    "  -n, --nick NAME        the nick to be known by (default: your login name)\n"
    "      --password-file FILE  the password of the nick's account, in the file's first line\n"
    "      --key FILE         this machine's key, by which accounts let it in (default: ~/.config/chat/key.pem)\n"
    "  -r, --room ROOM        a room to be in, or @NICK; may be given several times, the first one is\n"
    "                         talked to (default: general)\n"
    "The connection\n"
    "      --tls              speak TLS (default where the server is another machine)\n"
    "      --plain            speak plain TCP (default on this machine)\n"
    "      --ca FILE          trust only certificates of these issuers (PEM)\n"
    "      --known-hosts FILE where certificates are kept that were trusted on first use\n"
    "                         (default: ~/.config/chat/known_hosts)\n"
    "      --on-eof WHAT      what the end of our side asks of the server: drain (default), deliver what is\n"
    "                         queued and end; or stay, go on delivering\n"
    "      --no-reconnect     end when the connection is lost\n"
    "How it shows\n"
    "      --json             lines of JSON in and out, for scripts; see chat(1)\n"
    "  -v, --verbose          show each step of the connection's life\n"
    "      --log FILE         append the lifecycle log to FILE\n"
    "      --trace FILE       write an event log of the connection to FILE, for chat-trace\n"
    "      --trace-detail WHAT  what it has: calls (default) and states, or messages too: each line's type and\n"
    "                         length, never its text\n"
    "      --ladder           draw the connection as it goes: calls, TCP states and segments, as /tcp live\n"
    "                         does; with its input from a pipe or a file on standard error\n"
    "      --color WHEN       auto (default), always or never; NO_COLOR is respected\n"
    "      --help, --version\n"
    "\n"
    "Exit codes: 0 all went well; 1 the server answered with an error, or a line was not sent; 2 usage;\n"
    "3 no connection; 4 the connection was lost; 5 the certificate was refused; 6 no chat server, or one\n"
    "of another version.\n";

static enum options_result wrong(const char *format, ...) __attribute__((format(printf, 1, 2)));

static enum options_result wrong(const char *format, ...)
{
    va_list args;

    fputs("chat: ", stderr);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputs("\n", stderr);
    return OPTIONS_WRONG;
}

bool options_is_room(const char *name)
{
    size_t len = strlen(name);

    return len >= 1 && len <= PROTOCOL_MAX_ROOM &&
           strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789._-") == len;
}

bool options_is_direct(const char *name)
{
    return name[0] == '@' && utf8_is_nick(name + 1, strlen(name + 1));
}

static bool parse_port(const char *text, uint16_t *port)
{
    char *end;
    unsigned long n = strtoul(text, &end, 10);

    *port = (uint16_t)n;
    return text[0] >= '0' && text[0] <= '9' && *end == '\0' && n >= 1 && n <= 65535;
}

/* HOST, HOST:PORT, :PORT, ADDRESS6 or [ADDRESS6]:PORT. */
static enum options_result parse_server(struct options *o, const char *text)
{
    const char *colon = strrchr(text, ':'), *end = text + strlen(text);
    struct tcp_addr literal;

    o->port = DEFAULT_PORT;
    if (text[0] == '[') {
        end = strchr(text, ']');
        if (end == NULL || (end[1] != '\0' && end[1] != ':'))
            return wrong("%s is no address: an IPv6 address goes like [::1]:7000", text);
        colon = end[1] == ':' ? end + 1 : NULL;
        text++;
    } else if (colon != NULL && strchr(text, ':') != colon) {
        colon = NULL; /* an IPv6 address without a port */
    } else if (colon != NULL) {
        end = colon;
    }
    if (colon != NULL && !parse_port(colon + 1, &o->port))
        return wrong("%s: behind the colon a port is expected, 1 to 65535", text);
    o->host = end > text ? mem_strndup(text, (size_t)(end - text)) : mem_strdup(DEFAULT_HOST);
    o->is_loopback = resolve_literal(o->host, o->port, &literal) ? tcp_addr_is_loopback(&literal)
                                                                 : strcasecmp(o->host, "localhost") == 0;
    return OPTIONS_RUN;
}

static void format_server(struct options *o)
{
    struct buf b = {0};

    buf_putf(&b, strchr(o->host, ':') != NULL ? "[%s]:%u" : "%s:%u", o->host, o->port);
    buf_put(&b, "", 1);
    o->server = b.data;
}

/* The login name as far as it can be a nick. */
static void choose_nick(struct options *o)
{
    const char *name = getenv("USER");
    const struct passwd *user = name == NULL || name[0] == '\0' ? getpwuid(getuid()) : NULL;
    size_t len;

    if (user != NULL)
        name = user->pw_name;
    len = name != NULL ? strlen(name) : 0;
    if (len > UTF8_NICK_MAX)
        len = UTF8_NICK_MAX;
    o->nick = len > 0 && utf8_is_nick(name, len) ? mem_strndup(name, len) : mem_strdup("guest");
}

static enum options_result take_nick(struct options *o, const char *name)
{
    if (!utf8_is_nick(name, strlen(name)))
        return wrong("%s can't be a nick: 1 to %d bytes of letters, digits, _ - and . are", name,
                     UTF8_NICK_MAX);
    free(o->nick);
    o->nick = mem_strdup(name);
    o->nick_given = true;
    return OPTIONS_RUN;
}

static enum options_result take_room(struct options *o, const char *name)
{
    if (!options_is_room(name) && !options_is_direct(name))
        return wrong("%s can't be a room: 1 to %d of a-z 0-9 . _ and - are, or @ and a nick", name,
                     PROTOCOL_MAX_ROOM);
    if (o->room_count == OPTIONS_ROOMS)
        return wrong("these are more than %d rooms", OPTIONS_ROOMS);
    o->rooms[o->room_count++] = name;
    o->rooms_given = true;
    return OPTIONS_RUN;
}

static enum options_result take_color(struct options *o, const char *when)
{
    if (strcmp(when, "auto") == 0)
        o->color = OPTIONS_AUTO;
    else if (strcmp(when, "always") == 0)
        o->color = OPTIONS_YES;
    else if (strcmp(when, "never") == 0)
        o->color = OPTIONS_NO;
    else
        return wrong("--color %s: auto, always or never is expected", when);
    return OPTIONS_RUN;
}

static enum options_result take_on_eof(struct options *o, const char *what)
{
    o->stay = strcmp(what, "stay") == 0;
    if (!o->stay && strcmp(what, "drain") != 0)
        return wrong("--on-eof %s: drain or stay is expected", what);
    return OPTIONS_RUN;
}

enum {
    OPTION_JSON = 256,
    OPTION_TLS,
    OPTION_PLAIN,
    OPTION_CA,
    OPTION_KNOWN_HOSTS,
    OPTION_KEY,
    OPTION_PASSWORD_FILE,
    OPTION_LOG,
    OPTION_TRACE,
    OPTION_TRACE_DETAIL,
    OPTION_LADDER,
    OPTION_ON_EOF,
    OPTION_NO_RECONNECT,
    OPTION_COLOR,
    OPTION_VERSION,
    OPTION_HELP,
};

static const struct option long_options[] = {
    {"nick", required_argument, NULL, 'n'},
    {"room", required_argument, NULL, 'r'},
    {"verbose", no_argument, NULL, 'v'},
    {"json", no_argument, NULL, OPTION_JSON},
    {"tls", no_argument, NULL, OPTION_TLS},
    {"plain", no_argument, NULL, OPTION_PLAIN},
    {"ca", required_argument, NULL, OPTION_CA},
    {"known-hosts", required_argument, NULL, OPTION_KNOWN_HOSTS},
    {"key", required_argument, NULL, OPTION_KEY},
    {"password-file", required_argument, NULL, OPTION_PASSWORD_FILE},
    {"log", required_argument, NULL, OPTION_LOG},
    {"trace", required_argument, NULL, OPTION_TRACE},
    {"trace-detail", required_argument, NULL, OPTION_TRACE_DETAIL},
    {"ladder", no_argument, NULL, OPTION_LADDER},
    {"on-eof", required_argument, NULL, OPTION_ON_EOF},
    {"no-reconnect", no_argument, NULL, OPTION_NO_RECONNECT},
    {"color", required_argument, NULL, OPTION_COLOR},
    {"version", no_argument, NULL, OPTION_VERSION},
    {"help", no_argument, NULL, OPTION_HELP},
    {NULL, 0, NULL, 0},
};

static enum options_result take_trace_detail(struct options *o, const char *what)
{
    o->trace_messages = strcmp(what, "messages") == 0;
    if (!o->trace_messages && strcmp(what, "calls") != 0)
        return wrong("--trace-detail %s: calls or messages is expected", what);
    return OPTIONS_RUN;
}

static enum options_result take_tls(struct options *o, enum options_choice tls)
{
    if (o->tls != OPTIONS_AUTO && o->tls != tls)
        return wrong("--tls and --plain exclude each other");
    o->tls = tls;
    return OPTIONS_RUN;
}

static enum options_result take_flag(struct options *o, int option)
{
    switch (option) {
    case OPTION_JSON:
        o->json = true;
        break;
    case OPTION_NO_RECONNECT:
        o->reconnect = false;
        break;
    case 'v':
        o->verbose = true;
        break;
    case OPTION_CA:
        o->ca = optarg;
        break;
    case OPTION_KNOWN_HOSTS:
        free(o->known_hosts);
        o->known_hosts = mem_strdup(optarg);
        break;
    case OPTION_KEY:
        free(o->key_file);
        o->key_file = mem_strdup(optarg);
        break;
    case OPTION_PASSWORD_FILE:
        o->password_file = optarg;
        break;
    case OPTION_LOG:
        o->log = optarg;
        break;
    case OPTION_TRACE:
        o->trace = optarg;
        break;
    case OPTION_LADDER:
        o->ladder = true;
        break;
    case OPTION_VERSION:
        puts("chat " CHAT_VERSION);
        return OPTIONS_DONE;
    case OPTION_HELP:
        fputs(help, stdout);
        return OPTIONS_DONE;
    default:
        return OPTIONS_WRONG;
    }
    return OPTIONS_RUN;
}

static enum options_result take(struct options *o, int option, char **argv)
{
    switch (option) {
    case 'n':
        return take_nick(o, optarg);
    case 'r':
        return take_room(o, optarg);
    case OPTION_TLS:
        return take_tls(o, OPTIONS_YES);
    case OPTION_PLAIN:
        return take_tls(o, OPTIONS_NO);
    case OPTION_ON_EOF:
        return take_on_eof(o, optarg);
    case OPTION_COLOR:
        return take_color(o, optarg);
    case OPTION_TRACE_DETAIL:
        return take_trace_detail(o, optarg);
    case ':':
        return wrong("%s needs a value: chat --help lists the options", argv[optind - 1]);
    case '?':
        if (optopt > 0 && optopt < 256)
            return wrong("there is no option -%c: chat --help lists them", optopt);
        return wrong("%s: there is no such option, or it takes no value: chat --help lists them",
                     argv[optind - 1]);
    default:
        return take_flag(o, option);
    }
}

enum options_result options_parse(struct options *o, int argc, char **argv)
{
    enum options_result ret = OPTIONS_RUN;
    int option;

    *o = (struct options){.reconnect = true,
                          .known_hosts = trust_default_file("known_hosts"),
                          .key_file = trust_default_file("key.pem")};
    opterr = 0;
    optind = 1;
    while (ret == OPTIONS_RUN && (option = getopt_long(argc, argv, ":n:r:v", long_options, NULL)) != -1)
        ret = take(o, option, argv);
    if (ret == OPTIONS_RUN && argc > optind + 1)
        ret = wrong("%s is one argument too many: one HOST:PORT is expected", argv[optind + 1]);
    if (ret == OPTIONS_RUN)
        ret = parse_server(o, argc > optind ? argv[optind] : DEFAULT_HOST);
    if (ret != OPTIONS_RUN)
        return ret;
    format_server(o);
    if (o->ca != NULL && !options_want_tls(o))
        return wrong("--ca and --plain exclude each other: the issuers are those of TLS certificates");
    if (o->nick == NULL)
        choose_nick(o);
    if (o->room_count == 0 && !o->json)
        o->rooms[o->room_count++] = DEFAULT_ROOM;
    return OPTIONS_RUN;
}

void options_deinit(struct options *o)
{
    free(o->host);
    free(o->server);
    free(o->nick);
    free(o->known_hosts);
    free(o->key_file);
}

bool options_want_tls(const struct options *o)
{
    return o->tls != OPTIONS_AUTO ? o->tls == OPTIONS_YES : o->ca != NULL || !o->is_loopback;
}
