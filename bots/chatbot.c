/* chatbot.c: from the command line to a run, and from a run to its reports; see chatbot.h. */
#include "bots/chatbot.h"

#include "bots/library.h"
#include "bots/options.h"
#include "bots/report.h"
#include "bots/run.h"
#include "bots/script.h"
#include "common/lifecycle.h"
#include "common/mem.h"

#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* HOST:PORT, [ADDRESS6]:PORT. Looked up once, before anything runs. */
static int add_host(struct run *r, const char *text)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found = NULL;
    const char *colon = strrchr(text, ':');
    struct run_host *to;
    char *host;
    size_t len;
    int ret;

    if (colon == NULL || colon == text || colon[1] == '\0') {
        fprintf(stderr, "chatbot: --host %s: HOST:PORT is expected\n", text);
        return -1;
    }
    len = (size_t)(colon - text);
    host = text[0] == '[' && colon[-1] == ']' ? mem_strndup(text + 1, len - 2) : mem_strndup(text, len);
    ret = getaddrinfo(host, colon + 1, &hints, &found);
    free(host);
    if (ret != 0) {
        fprintf(stderr, "chatbot: --host %s: %s\n", text, gai_strerror(ret));
        return -1;
    }
    to = &r->hosts[r->host_count++];
    for (const struct addrinfo *a = found; a != NULL && to->address_count < RUN_ADDRESSES; a = a->ai_next)
        tcp_addr_from(&to->addresses[to->address_count++], a->ai_addr);
    to->name = mem_strdup(text);
    freeaddrinfo(found);
    return 0;
}

static void find_server(struct run *r, pid_t given)
{
    r->server = given;
    if (given == 0 && r->host_count == 1 && tcp_addr_is_loopback(&r->hosts[0].addresses[0]))
        r->server = proc_find_listener(r->hosts[0].addresses[0].port);
}

/* Other addresses than those of the loopback have to be given to the machine first; chatbot does not. */
static int check_sources(const struct run *r)
{
    bool can = r->settings.sources <= RUN_SOURCES;

    for (size_t i = 0; i < r->host_count; i++)
        can = can && run_find_loopback4(&r->hosts[i]) != NULL;
    if (r->settings.sources < 2 || can)
        return 0;
    fprintf(stderr,
            "chatbot: sources = %.0f: only a server on the IPv4 loopback can be connected to from many "
            "addresses, 127.0.0.1 and up, at most %d\n",
            r->settings.sources, RUN_SOURCES);
    return -1;
}

static int load(struct run *r, const struct options *o)
{
    settings_init(&r->settings);
    r->name = o->script;
    r->is_tty = isatty(STDERR_FILENO);
    r->quiet = o->quiet;
    r->path = library_find_script(o->script, &r->sentence);
    if (r->path == NULL)
        return -1;
    for (size_t i = 0; i < o->host_count; i++)
        if (add_host(r, o->hosts[i]) != 0)
            return -1;
    find_server(r, o->pid);
    return script_load(r, o->settings, o->setting_count) == 0 ? check_sources(r) : -1;
}

struct reports {
    FILE *json, *html;
    char *template;
};

static int open_reports(struct reports *to, const struct options *o)
{
    if (o->json != NULL && (to->json = report_open(o->json)) == NULL)
        return -1;
    if (o->html == NULL)
        return 0;
    to->template = report_read_template();
    to->html = to->template != NULL ? report_open(o->html) : NULL;
    return to->html != NULL ? 0 : -1;
}

static void drop_reports(const struct reports *from, const struct options *o)
{
    report_drop(from->json, o->json);
    report_drop(from->html, o->html);
}

static int write_reports(const struct run *r, const struct options *o, struct reports *to)
{
    struct buf json = {0};
    int ret = 0;

    report_put_json(r, &json);
    if (to->json != NULL)
        ret |= report_write(to->json, o->json, json.data, json.len);
    if (to->html != NULL) {
        buf_put(&json, "", 1);
        ret |= report_write_page(to->html, o->html, to->template, (const char *const[]){json.data}, 1);
    }
    buf_deinit(&json);
    return ret;
}

/* Below the summary, where what went wrong for each bot has scrolled past. */
static int tell_nobody(const struct options *o)
{
    fprintf(stderr, "chatbot: no bot got a connection to %s%s: is chatd running there? (--host HOST:PORT)\n",
            o->hosts[0], o->host_count > 1 ? " or the other hosts" : "");
    return RUN_NOBODY;
}

/* It has been, and how it was. */
static int report(struct run *r, const struct options *o, struct reports *to)
{
    char text[256];
    int code;

    if (!report_check_flat(r, text, sizeof text))
        run_wrong(r, NULL, CHECK_SCRIPT, text);
    report_summary(r, o->json != NULL && strcmp(o->json, "-") == 0 ? stderr : stdout);
    code = run_has_failed(r) ? RUN_WRONG : RUN_OK;
    if (!r->ever_connected && r->bot_count > 0)
        code = tell_nobody(o);
    return write_reports(r, o, to) == 0 ? code : RUN_UNWRITTEN;
}

static int run(const struct options *o)
{
    struct run *r = mem_zalloc(sizeof *r);
    struct reports reports = {0};
    int code = RUN_USAGE;

    lifecycle_set_side("client");
    if (load(r, o) == 0) {
        bool open = open_reports(&reports, o) == 0;

        if (open && run_go(r) == 0)
            code = report(r, o, &reports);
        else
            drop_reports(&reports, o);
        code = open ? code : RUN_UNWRITTEN;
    }
    free(reports.template);
    run_deinit(r);
    free(r);
    return code;
}

static int write_compared(const struct options *o, char *const documents[])
{
    char *template = report_read_template();
    FILE *f = template != NULL ? report_open(o->html) : NULL;
    int ret = f != NULL
                  ? report_write_page(f, o->html, template, (const char *const *)documents, o->compared_count)
                  : -1;

    free(template);
    return ret;
}

static int compare(const struct options *o)
{
    char *documents[OPTIONS_COMPARED] = {0};
    int code = RUN_OK;

    for (size_t i = 0; i < o->compared_count && code == RUN_OK; i++) {
        documents[i] = library_read_file(o->compared[i]);
        if (documents[i] == NULL || strncmp(documents[i], "{\"scenario\":", 12) != 0) {
            fprintf(stderr, "chatbot: %s: %s\n", o->compared[i],
                    documents[i] == NULL ? strerror(errno) : "not a file that chatbot --json has written");
            code = RUN_USAGE;
        }
    }
    if (code == RUN_OK && write_compared(o, documents) != 0)
        code = RUN_UNWRITTEN;
    for (size_t i = 0; i < o->compared_count; i++)
        free(documents[i]);
    return code;
}

int chatbot_main(int argc, char **argv)
{
    struct options o;

    switch (options_parse(&o, argc, argv)) {
    case OPTIONS_RUN:
        return run(&o);
    case OPTIONS_COMPARE:
        return compare(&o);
    case OPTIONS_DONE:
        return RUN_OK;
    case OPTIONS_WRONG:
        break;
    }
    return RUN_USAGE;
}
