/* show.c: see show.h. */
#include "trace/show.h"

#include "common/mem.h"
#include "trace/pcap_file.h"
#include "trace/pcap_flow.h"
#include "trace/read_log.h"
#include "trace/write_log.h"

#include <dirent.h>
#include <errno.h>
#include <getopt.h>
#include <langinfo.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

static const char usage[] =
    "Usage: chat-trace show [OPTION]... FILE...\n"
    "Shows what happened on a connection: the calls and TCP states of both sides and the segments between\n"
    "them. FILE is an event log (chatd --trace DIR, chat --trace FILE), a capture (pcap, pcapng), or a\n"
    "directory of them; give both sides' and the capture, and they are merged.\n"
    "\n"
    "  -c, --conn N        connection number N of the list, or its id, or ADDR:PORT of one of its ends\n"
    "  -f, --format WHAT   terminal (default), ascii, svg, html, mermaid, pcapng, qlog\n"
    "  -o, --output FILE   write there instead of to the standard output\n"
    "  -w, --width N       columns, from 60 (default: the terminal's, else 100)\n"
    "  -e, --evidence      show what the verdict rests on\n"
    "  -l, --list          only list the connections\n"
    "  -a, --all           show all of them, one after another\n"
    "      --color WHEN    auto (default), always, never; NO_COLOR is respected\n"
    "      --help\n"
    "\n"
    "With several connections and none chosen, the list is shown.\n"
    "Exit codes: 0 shown; 1 a file can't be read or holds nothing; 2 usage.\n";

/* ---- reading ---- */

struct input {
    struct model *model;
    struct readlog *logs;
    bool failed;
};

static void complain(struct input *in, const char *what)
{
    fprintf(stderr, "chat-trace: %s\n", what);
    in->failed = true;
}

static void read_file(struct input *in, const char *path)
{
    char err[PCAPFILE_ERROR_SIZE > READLOG_ERROR_SIZE ? PCAPFILE_ERROR_SIZE : READLOG_ERROR_SIZE];
    int ret = strcmp(path, "-") == 0 || pcapfile_is_one(path) ? pcapflow_read(in->model, path, err)
                                                              : readlog_file(in->logs, path, err);

    if (ret < 0)
        complain(in, err);
}

static bool is_ours(const char *name)
{
    const char *dot = strrchr(name, '.');

    return dot != NULL &&
           (strcmp(dot, ".sqlog") == 0 || strcmp(dot, ".pcap") == 0 || strcmp(dot, ".pcapng") == 0);
}

static int only_ours(const struct dirent *e)
{
    return is_ours(e->d_name);
}

static int only_logs(const struct dirent *e)
{
    const char *dot = strrchr(e->d_name, '.');

    return dot != NULL && strcmp(dot, ".sqlog") == 0;
}

void show_read_logs(struct model *m, const char *dir)
{
    struct readlog *logs = readlog_new(m);
    char file[4096], err[READLOG_ERROR_SIZE];
    struct dirent **names = NULL;
    int n = scandir(dir, &names, only_logs, alphasort);

    for (int i = 0; i < n; i++) {
        snprintf(file, sizeof file, "%s/%s", dir, names[i]->d_name);
        readlog_file(logs, file, err);
        free(names[i]);
    }
    free(names);
    readlog_free(logs);
}

static void read_directory(struct input *in, const char *path)
{
    struct dirent **names = NULL;
    int n = scandir(path, &names, only_ours, alphasort);
    char file[4096];

    if (n <= 0) {
        snprintf(file, sizeof file, "%s: %s", path,
                 n < 0 ? strerror(errno) : "no .sqlog, .pcap or .pcapng is in it");
        complain(in, file);
    }
    for (int i = 0; i < n; i++) {
        snprintf(file, sizeof file, "%s/%s", path, names[i]->d_name);
        read_file(in, file);
        free(names[i]);
    }
    free(names);
}

int show_read(struct model *m, char *const *paths, int count)
{
    struct input in = {.model = m, .logs = readlog_new(m)};
    struct stat st;

    for (int i = 0; i < count; i++) {
        if (stat(paths[i], &st) == 0 && S_ISDIR(st.st_mode))
            read_directory(&in, paths[i]);
        else
            read_file(&in, paths[i]);
    }
    readlog_free(in.logs);
    return in.failed ? -1 : 0;
}

/* ---- showing ---- */

bool show_parse_format(const char *name, enum show_format *format)
{
    static const char *const names[] = {"terminal", "ascii", "svg", "html", "mermaid", "pcapng", "qlog"};

    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(name, names[i]) == 0) {
            *format = (enum show_format)i;
            return true;
        }
    return false;
}

int show_conn(FILE *to, struct model_conn *c, enum show_format format, const struct ladder_options *o)
{
    struct ladder_options own = *o;
    struct ladder l;
    int ret = 0;

    ladder_init(&l, c);
    switch (format) {
    case SHOW_ASCII:
        own.ascii = true;
        ladder_write_terminal(to, &l, &own);
        break;
    case SHOW_TERMINAL:
        ladder_write_terminal(to, &l, &own);
        break;
    case SHOW_SVG:
        ladder_write_svg(to, &l);
        break;
    case SHOW_HTML:
        ladder_write_html(to, &l);
        break;
    case SHOW_MERMAID:
        ladder_write_mermaid(to, &l);
        break;
    case SHOW_PCAPNG:
        ret = ladder_write_pcapng(to, &l);
        break;
    case SHOW_QLOG:
        writelog_conns(to, &c, 1);
        break;
    }
    ladder_deinit(&l);
    if (ret < 0)
        fprintf(stderr, "chat-trace: connection %u has no captured packets to put into a pcapng\n",
                c->number);
    return ret;
}

static void count_bytes(const struct model_conn *c, uint64_t bytes[MODEL_SIDES])
{
    bytes[0] = bytes[1] = 0;
    for (size_t i = 0; i < c->count; i++)
        if (c->events[i].kind == MODEL_SEGMENT && !c->events[i].segment.retransmission &&
            !c->events[i].segment.keepalive)
            bytes[c->events[i].segment.from] += c->events[i].segment.len;
}

static void list_one(FILE *to, const struct model_conn *c, unsigned width)
{
    char client[TCP_ADDR_TEXT], server[TCP_ADDR_TEXT], line[1024];
    uint64_t bytes[MODEL_SIDES];
    double ms = (double)(c->events[c->count - 1].time_ns - c->start_ns) / 1e6;

    count_bytes(c, bytes);
    snprintf(line, sizeof line, "%4u  %s > %s  %.1f ms  %llu > < %llu  %s", c->number,
             tcp_addr_format(&c->end[MODEL_CLIENT].addr, client),
             tcp_addr_format(&c->end[MODEL_SERVER].addr, server), ms, (unsigned long long)bytes[MODEL_CLIENT],
             (unsigned long long)bytes[MODEL_SERVER], c->verdict->sentence);
    ladder_make_plain(line, false);
    line[ladder_fit(line, width)] = '\0';
    fprintf(to, "%s\n", line);
}

void show_list(FILE *to, struct model *m, unsigned width)
{
    for (size_t i = 0; i < m->count; i++)
        list_one(to, m->conns[i], width);
}

void show_default_options(struct ladder_options *o)
{
    struct winsize size;
    const char *codeset = nl_langinfo(CODESET);

    *o = (struct ladder_options){.width = 100};
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0)
        o->width = size.ws_col;
    o->color = isatty(STDOUT_FILENO) && (getenv("NO_COLOR") == NULL || getenv("NO_COLOR")[0] == '\0');
    o->ascii = isatty(STDOUT_FILENO) && strcmp(codeset, "UTF-8") != 0;
}

/* ---- the command ---- */

struct request {
    struct ladder_options ladder;
    enum show_format format;
    const char *conn, *output;
    bool list, all;
};

static const struct option long_options[] = {
    {"conn", required_argument, NULL, 'c'},   {"format", required_argument, NULL, 'f'},
    {"output", required_argument, NULL, 'o'}, {"width", required_argument, NULL, 'w'},
    {"evidence", no_argument, NULL, 'e'},     {"list", no_argument, NULL, 'l'},
    {"all", no_argument, NULL, 'a'},          {"color", required_argument, NULL, 'C'},
    {"help", no_argument, NULL, 'h'},         {NULL, 0, NULL, 0},
};

/* -1: go on; else the exit code. */
static int wrong(const char *what, const char *value)
{
    fprintf(stderr, "chat-trace show: %s %s: chat-trace show --help says what is possible\n", what, value);
    return 2;
}

static int take_width(struct request *r, const char *text)
{
    char *end;
    unsigned long n = strtoul(text, &end, 10);

    if (*end != '\0' || n < 60 || n > 1000)
        return wrong("--width takes a number from 60 to 1000, not", text);
    r->ladder.width = (unsigned)n;
    return -1;
}

static int take_option(struct request *r, int option, char **argv)
{
    switch (option) {
    case 'c':
        r->conn = optarg;
        return -1;
    case 'f':
        return show_parse_format(optarg, &r->format) ? -1 : wrong("there is no format", optarg);
    case 'o':
        r->output = optarg;
        return -1;
    case 'w':
        return take_width(r, optarg);
    case 'e':
        r->ladder.evidence = true;
        return -1;
    case 'l':
        r->list = true;
        return -1;
    case 'a':
        r->all = true;
        return -1;
    case 'C':
        if (strcmp(optarg, "always") != 0 && strcmp(optarg, "never") != 0 && strcmp(optarg, "auto") != 0)
            return wrong("--color takes auto, always or never, not", optarg);
        if (strcmp(optarg, "auto") != 0)
            r->ladder.color = strcmp(optarg, "always") == 0;
        return -1;
    case 'h':
        fputs(usage, stdout);
        return 0;
    default:
        return wrong("there is no option, or no value for,", argv[optind - 1]);
    }
}

static bool is_chosen(const struct model_conn *c, const char *what)
{
    char number[16], addr[TCP_ADDR_TEXT];

    snprintf(number, sizeof number, "%u", c->number);
    if (strcmp(what, number) == 0)
        return true;
    for (int side = 0; side < MODEL_SIDES; side++)
        if (strcmp(what, tcp_addr_format(&c->end[side].addr, addr)) == 0 ||
            (c->end[side].id != NULL && strcmp(what, c->end[side].id) == 0))
            return true;
    return false;
}

/* A picture, a page or a diagram is of one. */
static bool holds_one(enum show_format format)
{
    return format == SHOW_SVG || format == SHOW_HTML || format == SHOW_MERMAID;
}

static int show_chosen(FILE *to, struct model *m, const struct request *r)
{
    int ret = 0;
    size_t shown = 0;

    if (r->conn == NULL && r->format == SHOW_QLOG) {
        writelog_conns(to, m->conns, m->count);
        return 0;
    }
    for (size_t i = 0; i < m->count; i++)
        if (r->conn == NULL || is_chosen(m->conns[i], r->conn)) {
            if (shown++ > 0 && (r->format == SHOW_TERMINAL || r->format == SHOW_ASCII))
                fputc('\n', to);
            ret |= show_conn(to, m->conns[i], r->format, &r->ladder);
            if (holds_one(r->format) || (!r->all && r->format >= SHOW_SVG))
                break;
        }
    if (shown == 0)
        fprintf(stderr,
                "chat-trace: there is no connection %s: chat-trace show --list shows which there are\n",
                r->conn);
    return ret < 0 || shown == 0 ? 1 : 0;
}

static int show_model(struct model *m, const struct request *r)
{
    FILE *to = stdout;
    int ret = 0;

    if (m->remarks != NULL)
        fputs(m->remarks, stderr);
    if (m->count == 0) {
        fprintf(stderr, "chat-trace: no connection is in there\n");
        return r->conn != NULL;
    }
    if (r->all && r->conn == NULL && m->count > 1 && holds_one(r->format)) {
        fprintf(stderr,
                "chat-trace: a file of that format holds one connection, and these are %zu: --conn N chooses "
                "one, --list shows them\n",
                m->count);
        return 2;
    }
    if (r->output != NULL && (to = fopen(r->output, "we")) == NULL) {
        fprintf(stderr, "chat-trace: %s: %s\n", r->output, strerror(errno));
        return 1;
    }
    if (r->list || (m->count > 1 && r->conn == NULL && !r->all))
        show_list(to, m, r->output == NULL && isatty(STDOUT_FILENO) ? r->ladder.width : LADDER_TEXT * 4);
    else
        ret = show_chosen(to, m, r);
    if (to != stdout)
        fclose(to);
    if (!r->list && m->count > 1 && r->conn == NULL && !r->all)
        fprintf(stderr, "These are %zu connections: --conn N shows one, --all shows all.\n", m->count);
    return ret;
}

int show_main(int argc, char **argv)
{
    struct request r = {.format = SHOW_TERMINAL};
    struct model *m;
    int option, ret = -1;

    show_default_options(&r.ladder);
    opterr = 0;
    optind = 1;
    while (ret < 0 && (option = getopt_long(argc, argv, "c:f:o:w:elah", long_options, NULL)) != -1)
        ret = take_option(&r, option, argv);
    if (ret >= 0)
        return ret;
    if (optind == argc)
        return wrong("a FILE is needed", "");
    m = model_new();
    ret = show_read(m, argv + optind, argc - optind) < 0 ? 1 : 0;
    if (ret == 0 || m->count > 0) {
        model_finish(m);
        ret |= show_model(m, &r);
    } else if (m->remarks != NULL) {
        fputs(m->remarks, stderr);
    }
    model_free(m);
    return ret;
}
