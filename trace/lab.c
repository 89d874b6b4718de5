/* lab.c: the list of labs, and what runs one: a process, a network and a directory of its own. See lab.h. */
#include "trace/lab.h"

#include "common/buf.h"
#include "common/clock.h"
#include "trace/lab_kinds.h"
#include "trace/lab_run.h"
#include "trace/lab_show.h"
#include "trace/netns.h"

#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static const struct lab_kind *const kinds[] = {
    &lab_handshake,     &lab_syn_lost,           &lab_syn_received,      &lab_half_close,
    &lab_three_or_four, &lab_simultaneous_close, &lab_rst_unread,        &lab_lingering_close,
    &lab_linger_zero,   &lab_time_wait,          &lab_orphan_fin_wait_2, &lab_half_open,
    &lab_backlog,       &lab_zero_window,        &lab_tls_close,         &lab_fast_open,
};

#define HEADS 1024 /* bytes of each packet: enough to look at in Wireshark */
#define KINDS (sizeof kinds / sizeof *kinds)

static const char help[] =
    "Usage: chat-trace lab [OPTION]... NAME|list|all\n"
    "Makes the kernel do what TCP can do, shows it, and checks that it came as expected. Needs no root.\n"
    "\n"
    "      --keep DIR   keep the capture, the event logs and the programs' logs there\n"
    "      --brief      show the ladder only where something came otherwise\n"
    "      --here       in the network that there is, not in one of its own: no capture without root\n"
    "      --help\n"
    "\n"
    "Exit codes: 0 all came as expected; 1 something did not; 2 usage; 77 this host forbids it.\n";

/* ---- a lab's surroundings ---- */

static void enter(struct lab *l, bool stays)
{
    char err[CAPTURE_ERROR_SIZE], path[sizeof l->dir + 16];

    if (stays)
        snprintf(l->why_no_network, sizeof l->why_no_network, "--here was asked for");
    else
        l->has_network = netns_enter(l->why_no_network) == 0;
    snprintf(path, sizeof path, "%s/wire.pcap", l->dir);
    if (l->has_network) {
        l->capture = capture_start("lo", path, HEADS, err);
        l->has_wire = l->capture != NULL;
        if (!l->has_wire)
            snprintf(l->why_no_wire, sizeof l->why_no_wire, "%s", err);
    } else {
        snprintf(l->why_no_wire, sizeof l->why_no_wire, "%s", l->why_no_network);
    }
    l->diag = diag_new();
    l->watch = watch_start(false);
}

/* Where nobody wants to keep it, under TMPDIR. */
static int make_dir(struct lab *l, const char *keep)
{
    const char *tmp = getenv("TMPDIR");

    if (keep != NULL) {
        snprintf(l->dir, sizeof l->dir, "%.150s/%s", keep, l->kind->name);
        mkdir(keep, 0777);
        return mkdir(l->dir, 0777) == 0 || errno == EEXIST ? 0 : -1;
    }
    snprintf(l->dir, sizeof l->dir, "%.150s/chat-trace-XXXXXX", tmp != NULL && tmp[0] == '/' ? tmp : "/tmp");
    return mkdtemp(l->dir) != NULL ? 0 : -1;
}

static void print_result(const struct lab *l, const struct lab_options *o)
{
    if (!l->has_wire)
        printf("  (Without the segments on the wire: %s.)\n", l->why_no_wire);
    if (!o->brief || l->failed > 0)
        lab_show(l);
    fputs(l->findings != NULL ? l->findings : "", stdout);
    if (l->model->remarks != NULL)
        printf("%s", l->model->remarks);
}

/* In the lab's own process. */
static int run_inside(struct lab *l, const struct lab_options *o)
{
    printf("%s: %s\n%s\n", l->kind->name, l->kind->title, o->brief ? "" : l->kind->expect);
    fflush(stdout);
    l->model = model_new();
    l->listener = -1;
    enter(l, o->alone);
    if (l->kind->needs_network && !l->has_network) {
        printf("  skipped: %s\n", l->why_no_network);
        return LAB_SKIPPED;
    }
    if (l->kind->needs_wire && !l->has_wire) {
        printf("  skipped: %s\n", l->why_no_wire);
        return LAB_SKIPPED;
    }
    l->kind->run(l);
    if (!l->has_looked)
        lab_look(l);
    print_result(l, o);
    printf("  %u of %u as expected\n\n", l->expected - l->failed, l->expected);
    return l->failed == 0 ? LAB_OK : LAB_FAILED;
}

static void remove_dir(const char *dir)
{
    pid_t pid = fork();

    if (pid == 0) {
        execlp("rm", "rm", "-rf", "--", dir, (char *)NULL);
        _exit(127);
    }
    waitpid(pid, NULL, 0);
}

int lab_run(const struct lab_kind *kind, const struct lab_options *o)
{
    struct lab l = {.kind = kind};
    int status = 0;
    pid_t pid;

    if (make_dir(&l, o->keep) != 0) {
        fprintf(stderr, "chat-trace: no directory %s: %s\n", l.dir, strerror(errno));
        return LAB_FAILED;
    }
    fflush(stdout);
    pid = fork();
    if (pid == 0) {
        signal(SIGPIPE, SIG_IGN);
        status = run_inside(&l, o);
        fflush(stdout);
        _exit(status);
    }
    waitpid(pid, &status, 0);
    if (o->keep == NULL)
        remove_dir(l.dir);
    return WIFEXITED(status) ? WEXITSTATUS(status) : LAB_FAILED;
}

void lab_give_up(struct lab *l, const char *format, ...)
{
    va_list args;

    printf("  NOT   ");
    va_start(args, format);
    vprintf(format, args);
    va_end(args);
    printf(" (%s could not go on)\n\n", l->kind->name);
    fflush(stdout);
    _exit(LAB_FAILED);
}

void lab_set(struct lab *l, const char *sysctl, const char *value)
{
    int err = l->has_network ? netns_set(sysctl, value) : 0;

    if (err != 0)
        lab_give_up(l, "%s cannot be set: %s", sysctl, strerror(-err));
}

void lab_sleep(unsigned ms)
{
    poll(NULL, 0, (int)ms);
}

/* ---- the command ---- */

static int run_all(const struct lab_options *o)
{
    uint64_t began = clock_mono_us();
    unsigned counts[3] = {0};

    for (size_t i = 0; i < KINDS; i++) {
        int code = lab_run(kinds[i], o);

        counts[code == LAB_OK ? 0 : code == LAB_SKIPPED ? 2 : 1]++;
    }
    printf("%u labs as expected, %u not, %u skipped, in %.1f s\n", counts[0], counts[1], counts[2],
           (double)(clock_mono_us() - began) / 1e6);
    return counts[1] > 0 ? LAB_FAILED : counts[0] > 0 ? LAB_OK : LAB_SKIPPED;
}

static int list(void)
{
    for (size_t i = 0; i < KINDS; i++)
        printf("%-20s %s\n", kinds[i]->name, kinds[i]->title);
    return LAB_OK;
}

static int run_word(const char *word, const struct lab_options *o)
{
    if (strcmp(word, "list") == 0)
        return list();
    if (strcmp(word, "all") == 0)
        return run_all(o);
    for (size_t i = 0; i < KINDS; i++) {
        if (strcmp(word, kinds[i]->name) == 0)
            return lab_run(kinds[i], o);
    }
    fprintf(stderr, "chat-trace: there is no lab %s; chat-trace lab list tells which there are\n", word);
    return LAB_USAGE;
}

int lab_main(int argc, char **argv)
{
    static const struct option options[] = {{"keep", required_argument, NULL, 'k'},
                                            {"brief", no_argument, NULL, 'b'},
                                            {"here", no_argument, NULL, 'e'},
                                            {"help", no_argument, NULL, 'h'},
                                            {0}};
    struct lab_options o = {0};
    int c;

    optind = 1;
    while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (c) {
        case 'k':
            o.keep = optarg;
            break;
        case 'b':
            o.brief = true;
            break;
        case 'e':
            o.alone = true;
            break;
        case 'h':
            fputs(help, stdout);
            return LAB_OK;
        default:
            return LAB_USAGE;
        }
    }
    if (argc - optind != 1) {
        fputs(help, stderr);
        return LAB_USAGE;
    }
    return run_word(argv[optind], &o);
}
