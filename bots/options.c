/* options.c: see options.h. Each setting of settings.h is an option of the same name. */
#include "bots/options.h"

#include "bots/library.h"
#include "bots/settings.h"

#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    OPTION_HOST = 256,
    OPTION_SET,
    OPTION_JSON,
    OPTION_HTML,
    OPTION_PID,
    OPTION_COMPARE,
    OPTION_LIST,
    OPTION_QUIET,
    OPTION_HELP,
    OPTION_VERSION,
    OPTION_SETTING
};

static const struct option fixed[] = {
    {"host", required_argument, NULL, OPTION_HOST}, {"set", required_argument, NULL, OPTION_SET},
    {"json", required_argument, NULL, OPTION_JSON}, {"html", required_argument, NULL, OPTION_HTML},
    {"pid", required_argument, NULL, OPTION_PID},   {"compare", no_argument, NULL, OPTION_COMPARE},
    {"list", no_argument, NULL, OPTION_LIST},       {"quiet", no_argument, NULL, OPTION_QUIET},
    {"help", no_argument, NULL, OPTION_HELP},       {"version", no_argument, NULL, OPTION_VERSION},
};

#define FIXED       (sizeof fixed / sizeof fixed[0])
#define MAX_OPTIONS 48

static const char usage[] =
    "Usage: chatbot SCENARIO|SCRIPT.lua [OPTION]...\n"
    "       chatbot --compare --html FILE RUN.json...\n"
    "Runs bots against a chatd server, checks every message, and measures how long each took.\n"
    "\n"
    "      --list               the ready scenarios\n"
    "      --host HOST:PORT     the server (127.0.0.1:7000); several are used in turn\n"
    "      --json FILE          write everything that was counted; - is standard output\n"
    "      --html FILE          write it as one page to look at\n"
    "      --pid PID            the server's process, for its CPU and memory; found by itself\n"
    "      --compare            no run: put the runs of these JSON files side by side on one page\n"
    "      --set NAME=VALUE     what the script has in `custom`\n"
    "      --quiet              no progress\n"
    "      --help, --version\n"
    "What the script has set, and you can set otherwise:\n";

static const char exits[] =
    "\nExit codes: 0 everything was right; 1 something was wrong, and it is shown; 2 usage, or an error in\n"
    "the script; 3 there was no server to connect to; 4 a report could not be written.\n";

static enum options_result wrong(const char *format, ...) __attribute__((format(printf, 1, 2)));

static enum options_result wrong(const char *format, ...)
{
    va_list args;

    fputs("chatbot: ", stderr);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputs("\n", stderr);
    return OPTIONS_WRONG;
}

static void print_help(void)
{
    fputs(usage, stdout);
    for (size_t i = 0; i < settings_count; i++) {
        char left[64];

        if (settings_entries[i].kind == SETTINGS_FLAG)
            snprintf(left, sizeof left, "--%s[=yes|no]", settings_entries[i].name);
        else
            snprintf(left, sizeof left, "--%s %s", settings_entries[i].name, settings_entries[i].value);
        for (char *c = left; *c != '\0'; c++)
            *c = *c == '_' ? '-' : *c;
        printf("      %-28s %s\n", left, settings_entries[i].help);
    }
    fputs(exits, stdout);
}

static enum options_result add_setting(struct options *o, const char *name, const char *value)
{
    if (o->setting_count == OPTIONS_SETTINGS)
        return wrong("at most %d settings", OPTIONS_SETTINGS);
    o->settings[o->setting_count++] = (struct script_setting){.name = name, .value = value};
    return OPTIONS_RUN;
}

static enum options_result take_set(struct options *o, char *text)
{
    char *equals = strchr(text, '=');

    if (equals == NULL || equals == text)
        return wrong("--set %s: NAME=VALUE is expected", text);
    *equals = '\0';
    return add_setting(o, text, equals + 1);
}

static enum options_result take_host(struct options *o, const char *text)
{
    if (o->host_count == RUN_HOSTS)
        return wrong("at most %d hosts", RUN_HOSTS);
    o->hosts[o->host_count++] = text;
    return OPTIONS_RUN;
}

static enum options_result take_fixed(struct options *o, int option, bool *compare)
{
    switch (option) {
    case OPTION_HOST:
        return take_host(o, optarg);
    case OPTION_SET:
        return take_set(o, optarg);
    case OPTION_JSON:
        o->json = optarg;
        break;
    case OPTION_HTML:
        o->html = optarg;
        break;
    case OPTION_PID:
        o->pid = (pid_t)atol(optarg);
        if (o->pid <= 0)
            return wrong("--pid %s: the number of a process is expected", optarg);
        break;
    case OPTION_COMPARE:
        *compare = true;
        break;
    case OPTION_LIST:
        library_list();
        return OPTIONS_DONE;
    case OPTION_QUIET:
        o->quiet = true;
        break;
    case OPTION_VERSION:
        puts("chatbot " CHATBOT_VERSION);
        return OPTIONS_DONE;
    default:
        print_help();
        return OPTIONS_DONE;
    }
    return OPTIONS_RUN;
}

static enum options_result take(struct options *o, int option, char **argv, bool *compare)
{
    const struct settings_entry *e;

    if (option == ':')
        return wrong("%s needs a value: chatbot --help lists the options", argv[optind - 1]);
    if (option == '?')
        return wrong("there is no option %s: chatbot --help lists them", argv[optind - 1]);
    if (option < OPTION_SETTING)
        return take_fixed(o, option, compare);
    e = &settings_entries[option - OPTION_SETTING];
    return add_setting(o, e->name, optarg != NULL ? optarg : "yes");
}

/* The fixed options and one for each setting; names has room for theirs. */
static void list_options(struct option list[MAX_OPTIONS], char names[MAX_OPTIONS][32])
{
    memcpy(list, fixed, sizeof fixed);
    for (size_t i = 0; i < settings_count; i++) {
        const struct settings_entry *e = &settings_entries[i];

        snprintf(names[i], 32, "%s", e->name);
        for (char *c = names[i]; *c != '\0'; c++)
            *c = *c == '_' ? '-' : *c;
        list[FIXED + i] =
            (struct option){names[i], e->kind == SETTINGS_FLAG ? optional_argument : required_argument, NULL,
                            OPTION_SETTING + (int)i};
    }
    list[FIXED + settings_count] = (struct option){NULL, 0, NULL, 0};
}

static enum options_result take_compared(struct options *o, int argc, char **argv)
{
    if (o->html == NULL || optind == argc)
        return wrong("--compare needs --html FILE and the JSON files of some runs");
    if (argc - optind > OPTIONS_COMPARED)
        return wrong("at most %d runs can be compared", OPTIONS_COMPARED);
    while (optind < argc)
        o->compared[o->compared_count++] = argv[optind++];
    return OPTIONS_COMPARE;
}

enum options_result options_parse(struct options *o, int argc, char **argv)
{
    static char names[MAX_OPTIONS][32];
    struct option list[MAX_OPTIONS];
    enum options_result ret = OPTIONS_RUN;
    bool compare = false;
    int option;

    *o = (struct options){0};
    list_options(list, names);
    opterr = 0;
    while (ret == OPTIONS_RUN && (option = getopt_long(argc, argv, ":", list, NULL)) != -1)
        ret = take(o, option, argv, &compare);
    if (ret != OPTIONS_RUN)
        return ret;
    if (compare)
        return take_compared(o, argc, argv);
    if (optind == argc)
        return wrong("a scenario or a script is expected: chatbot --list names the ready ones");
    if (argc > optind + 1)
        return wrong("%s is one argument too many; a server is given by --host", argv[optind + 1]);
    o->script = argv[optind];
    if (o->host_count == 0)
        o->hosts[o->host_count++] = "127.0.0.1:7000";
    return OPTIONS_RUN;
}
