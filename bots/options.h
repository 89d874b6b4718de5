/* options.h: the command line of chatbot. */
#ifndef BOTS_OPTIONS_H
#define BOTS_OPTIONS_H

#include "bots/run.h"
#include "bots/script.h"

#include <stdbool.h>
#include <stddef.h>

#define OPTIONS_SETTINGS 64
#define OPTIONS_COMPARED 8

enum options_result {
    OPTIONS_RUN,
    OPTIONS_COMPARE, /* --compare: no run, only a page out of reports */
    OPTIONS_DONE,    /* --help, --version, --list: all is said */
    OPTIONS_WRONG,   /* said on stderr */
};

struct options {
    const char *script; /* as it was given */
    const char *hosts[RUN_HOSTS];
    size_t host_count;
    struct script_setting settings[OPTIONS_SETTINGS];
    size_t setting_count;
    const char *json, *html;
    const char *compared[OPTIONS_COMPARED];
    size_t compared_count;
    pid_t pid;
    bool quiet;
};

/* Keeps pointers into argv, and writes into it. */
enum options_result options_parse(struct options *o, int argc, char **argv);

#endif
