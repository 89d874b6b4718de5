/* record.c: see record.h.
 *
 * Calls and states come from chatd and chat themselves, which write their event logs where the environment's
 * CHAT_TRACE says. Segments come from libpcap: on all interfaces where this is allowed, and then only the
 * command's connections are kept; else in a network of the command's own, where all are. Whose a connection
 * is, the kernel says exactly where the command can be in a control group of its own (group.h); else it is
 * what was seen by looking (owner.h), or what chatd's and chat's event logs say, and a connection that is in
 * neither is left out. */
#include "trace/record.h"

#include "common/mem.h"
#include "trace/capture.h"
#include "trace/group.h"
#include "trace/netns.h"
#include "trace/owner.h"
#include "trace/pcap_file.h"
#include "trace/pcap_tcp.h"
#include "trace/show.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define LAST_SEGMENTS_MS 100 /* what comes behind the command's end */
#define PATH_SIZE        4096

static const char help[] =
    "Usage: chat-trace record [OPTION]... -- COMMAND [ARGUMENT]...\n"
    "Runs the command, and records its TCP connections meanwhile: segments by libpcap, calls and states of each\n"
    "chatd and chat in it. As root, or with CAP_NET_RAW, the connections that the command has with anyone; else\n"
    "the command gets a network of its own, in which it reaches only what it starts itself.\n"
    "\n"
    "  -o, --output DIR      write the capture (wire.pcap) and event logs there (default: chat-trace.out);\n"
    "                        a name that ends in .pcap: only the capture, into that file\n"
    "  -i, --interface NAME  capture there (default: any)\n"
    "      --own-network     a network of its own, also for root\n"
    "      --quiet           don't list the connections at the end\n"
    "      --help\n"
    "\n"
    "chat-trace show DIR shows them. Exit code: the command's; 127 where it can't be run; 2 for usage, or where\n"
    "the output or the interface can't be used.\n";

struct recording {
    const char *output, *interface;
    bool own_network, quiet, is_one_file;
    char dir[PATH_SIZE], wire[PATH_SIZE + 16];
    char raw[PATH_SIZE + 32]; /* what others send is in it, too: a file without a name, behind /proc */
    int raw_fd;
    bool is_shared; /* the capture has others' connections too; whose one is, is told */
    struct capture *capture;
    struct group *group; /* by this, */
    struct owner *owner; /* or by this, */
    struct model *logs;  /* and else by what the event logs tell of */
    unsigned unknown;    /* connections that were too short to see whose they were */
};

static void say(const char *what)
{
    fprintf(stderr, "chat-trace: %s\n", what);
}

/* ---- where it goes ---- */

static bool ends_in(const char *text, const char *end)
{
    size_t n = strlen(text), k = strlen(end);

    return n > k && strcmp(text + n - k, end) == 0;
}

static int prepare_output(struct recording *r)
{
    r->is_one_file = ends_in(r->output, ".pcap");
    if (r->is_one_file) {
        snprintf(r->wire, sizeof r->wire, "%s", r->output);
    } else {
        if ((mkdir(r->output, 0777) != 0 && errno != EEXIST) || realpath(r->output, r->dir) == NULL) {
            fprintf(stderr, "chat-trace: the directory %s cannot be made: %s\n", r->output, strerror(errno));
            return -1;
        }
        snprintf(r->wire, sizeof r->wire, "%s/wire.pcap", r->dir);
        setenv("CHAT_TRACE", r->dir, 1);
    }
    snprintf(r->raw, sizeof r->raw, "%s.all", r->wire);
    return 0;
}

/* ---- capturing ---- */

/* Nobody else may read it, and it is gone with us, however we end. */
static bool open_raw(struct recording *r, char err[CAPTURE_ERROR_SIZE])
{
    unlink(r->raw);
    r->raw_fd = open(r->raw, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (r->raw_fd < 0) {
        snprintf(err, CAPTURE_ERROR_SIZE, "%.200s cannot be written: %s", r->raw, strerror(errno));
        return false;
    }
    unlink(r->raw);
    snprintf(r->raw, sizeof r->raw, "/proc/self/fd/%d", r->raw_fd);
    return true;
}

/* In the network that there is; then others' connections are in it. */
static bool capture_here(struct recording *r, char err[CAPTURE_ERROR_SIZE])
{
    if (!open_raw(r, err))
        return false;
    r->capture = capture_start(r->interface != NULL ? r->interface : "any", r->raw, CAPTURE_WHOLE, err);
    if (r->capture == NULL)
        return false;
    r->is_shared = true;
    r->group = group_new();
    if (r->group == NULL)
        r->owner = owner_start();
    if (r->group == NULL && r->owner == NULL)
        say("this host does not tell whose connections are whose: only those are kept of which the event logs"
            " of chatd and chat tell");
    return true;
}

static bool capture_apart(struct recording *r)
{
    char why[NETNS_ERROR_SIZE], err[CAPTURE_ERROR_SIZE];

    if (!capture_is_built() && !r->own_network) {
        capture_start("lo", r->wire, CAPTURE_WHOLE, err);
        say(err);
        return false;
    }
    if (netns_enter(why) != 0) {
        say(why);
        return false;
    }
    r->capture = capture_start("lo", r->wire, CAPTURE_WHOLE, err);
    if (r->capture == NULL)
        say(err);
    else if (!r->own_network)
        say("no right to capture here: the command runs in a network of its own, and reaches only what it starts itself");
    return r->capture != NULL;
}

/* -1: there is no such interface, or the like; the command is not run then. */
static int begin_capture(struct recording *r)
{
    char err[CAPTURE_ERROR_SIZE] = "";

    if (!r->own_network && capture_here(r, err))
        return 0;
    if (!r->own_network && capture_is_built() && strcmp(err, CAPTURE_DENIED) != 0) {
        say(err);
        if (r->interface != NULL)
            return -1;
    }
    if (capture_apart(r))
        return 0;
    say(r->is_one_file ? "nothing can be captured; the command runs without"
                       : "no segments are captured; calls and states are, of chatd and chat");
    return 0;
}

static bool is_in_group(const struct group *g, const struct pcaptcp_segment *s)
{
    return group_has(g, &s->from, &s->to) || group_has(g, &s->to, &s->from) || group_listens(g, &s->from) ||
           group_listens(g, &s->to);
}

/* The client's end decides; where it was seen with nobody, the server's may. */
static bool is_ours(struct recording *r, const struct pcaptcp_segment *s)
{
    enum owner_who one, other;

    if (r->group != NULL)
        return is_in_group(r->group, s);
    one = r->owner != NULL ? owner_of(r->owner, &s->from, &s->to) : OWNER_OTHERS;
    other = r->owner != NULL ? owner_of(r->owner, &s->to, &s->from) : OWNER_OTHERS;
    if (one == OWNER_OURS || other == OWNER_OURS || model_find_conn(r->logs, NULL, &s->from, &s->to) != NULL)
        return true;
    r->unknown +=
        one == OWNER_UNKNOWN && other == OWNER_UNKNOWN && (s->flags & (MODEL_SYN | MODEL_ACK)) == MODEL_SYN;
    return false;
}

/* From all that was captured to what the command had. */
static void keep_ours(struct recording *r)
{
    char err[PCAPFILE_ERROR_SIZE];
    struct pcapfile *in = pcapfile_open(r->raw, err);
    FILE *out = fopen(r->wire, "wbe");
    struct pcapfile_packet p;
    struct pcaptcp_segment s;
    bool has_head = false;

    while (in != NULL && out != NULL && pcapfile_next(in, &p, err) == 1) {
        if (!has_head)
            pcapfile_put_head(out, p.link, CAPTURE_WHOLE);
        has_head = true;
        if (pcaptcp_decode(&p, &s) == PCAPTCP_SEGMENT && is_ours(r, &s))
            pcapfile_put(out, &p);
    }
    if (out != NULL && !has_head)
        pcapfile_put_head(out, PCAPFILE_ETHERNET, CAPTURE_WHOLE);
    if (out == NULL || fclose(out) != 0)
        fprintf(stderr, "chat-trace: %s cannot be written: %s\n", r->wire, strerror(errno));
    pcapfile_close(in);
}

static void find_out_whose(struct recording *r)
{
    if (r->group != NULL) {
        group_read(r->group);
        if (group_is_full(r->group))
            fprintf(stderr, "chat-trace: more than %d connections: some may be missing\n", GROUP_CONNS);
        return;
    }
    if (r->owner != NULL)
        owner_stop(r->owner);
    r->logs = model_new();
    if (!r->is_one_file)
        show_read_logs(r->logs, r->dir);
}

static void keep_only_ours(struct recording *r)
{
    find_out_whose(r);
    keep_ours(r);
    if (r->unknown > 0)
        fprintf(stderr,
                "chat-trace: %u connections were too short to see whose they were, and are left out"
                " (--own-network has all of the command's, and no others)\n",
                r->unknown);
    model_free(r->logs);
    owner_free(r->owner);
    group_free(r->group);
}

static void end_capture(struct recording *r)
{
    uint64_t lost;

    if (r->capture == NULL)
        return;
    poll(NULL, 0, LAST_SEGMENTS_MS);
    lost = capture_stop(r->capture);
    if (lost > 0)
        fprintf(stderr, "chat-trace: the kernel dropped %llu packets of the capture\n",
                (unsigned long long)lost);
    if (r->is_shared)
        keep_only_ours(r);
}

/* ---- the command ---- */

static volatile sig_atomic_t command;

/* The command ends of it, and then the recording as ever; a second one ends us. */
static void pass_on(int signal)
{
    if (command > 0)
        kill((pid_t)command, signal);
}

static void handle_signals(void)
{
    struct sigaction once = {.sa_handler = pass_on, .sa_flags = (int)SA_RESETHAND};

    signal(SIGINT, SIG_IGN); /* it is for the command */
    signal(SIGQUIT, SIG_IGN);
    sigaction(SIGTERM, &once, NULL);
    sigaction(SIGHUP, &once, NULL);
}

/* Its exit code. */
static int run_command(struct recording *r, char **argv)
{
    int status = 0;
    pid_t pid;

    prctl(PR_SET_CHILD_SUBREAPER, 1); /* so that its grandchildren stay below us */
    pid = fork();
    if (pid == 0) {
        if (r->group != NULL && group_enter(r->group) != 0)
            say("the command is in no control group of its own: its connections are missing");
        execvp(argv[0], argv);
        fprintf(stderr, "chat-trace: %s cannot be run: %s\n", argv[0], strerror(errno));
        _exit(127);
    }
    if (pid < 0) {
        fprintf(stderr, "chat-trace: %s cannot be run: fork: %s\n", argv[0], strerror(errno));
        return 127;
    }
    command = (sig_atomic_t)pid;
    handle_signals();
    if (r->owner != NULL)
        owner_watch(r->owner, getpid());
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static void list_connections(const struct recording *r)
{
    const char *what = r->is_one_file ? r->wire : r->dir;
    char *paths[] = {(char *)(uintptr_t)what};
    struct model *m = model_new();
    struct ladder_options o;

    show_default_options(&o);
    if (show_read(m, paths, 1) == 0) {
        model_finish(m);
        for (size_t i = 0; i < m->count; i++)
            verdict_of(m->conns[i]);
        show_list(stderr, m, o.width);
        fprintf(stderr, "chat-trace show %s shows %s\n", r->output, m->count == 1 ? "it" : "them");
    }
    model_free(m);
}

static int run(struct recording *r, char **argv)
{
    int code;

    if (prepare_output(r) != 0 || begin_capture(r) != 0)
        return 2;
    code = run_command(r, argv);
    end_capture(r);
    if (!r->quiet)
        list_connections(r);
    return code;
}

int record_main(int argc, char **argv)
{
    static const struct option options[] = {
        {"output", required_argument, NULL, 'o'}, {"interface", required_argument, NULL, 'i'},
        {"own-network", no_argument, NULL, 'n'},  {"quiet", no_argument, NULL, 'q'},
        {"help", no_argument, NULL, 'h'},         {0}};
    struct recording *r = mem_zalloc(sizeof *r);
    int c, code = -1;

    r->output = "chat-trace.out";
    r->raw_fd = -1;
    optind = 1;
    while (code < 0 && (c = getopt_long(argc, argv, "+o:i:", options, NULL)) != -1) {
        if (c == 'o')
            r->output = optarg;
        else if (c == 'i')
            r->interface = optarg;
        else if (c == 'n')
            r->own_network = true;
        else if (c == 'q')
            r->quiet = true;
        else
            code = c == 'h' ? 0 : 2;
    }
    if (code < 0 && optind == argc)
        code = 2;
    if (code >= 0)
        fputs(help, code == 0 ? stdout : stderr);
    else
        code = run(r, argv + optind);
    free(r);
    return code;
}
