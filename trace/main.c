/* main.c: the program chat-trace: a table of what it does. */
#include "trace/lab.h"
#include "trace/record.h"
#include "trace/show.h"

#include <locale.h>
#include <string.h>

struct command {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *help;
};

static const struct command commands[] = {
    {"show", show_main, "show FILE...          event logs and captures as a ladder, with a verdict"},
    {"live", live_main, "live DIR|FILE         follow the connections of a running chatd's trace"},
    {"record", record_main, "record -- COMMAND    capture and trace a command's connections while it runs"},
    {"lab", lab_main, "lab NAME|list|all     what TCP does, made to happen, shown and checked"},
};

static void print_help(FILE *to)
{
    fputs("Usage: chat-trace COMMAND [ARGUMENT]...\n"
          "Calls, TCP states and segments of a connection in one picture.\n\n",
          to);
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
        fprintf(to, "  %s\n", commands[i].help);
    fputs("\nchat-trace COMMAND --help says more; chat-trace(1) says all.\n", to);
}

int main(int argc, char **argv)
{
    setlocale(LC_ALL, "");
    if (argc < 2) {
        print_help(stderr);
        return 2;
    }
    if (strcmp(argv[1], "--version") == 0) {
        puts("chat-trace " CHAT_VERSION);
        return 0;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "help") == 0) {
        print_help(stdout);
        return 0;
    }
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
        if (strcmp(argv[1], commands[i].name) == 0)
            return commands[i].run(argc - 1, argv + 1);
    fprintf(stderr, "chat-trace: there is no command %s\n", argv[1]);
    print_help(stderr);
    return 2;
}
