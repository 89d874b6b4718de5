/* config_print.c: what a person sees of the settings: --help, --check-config, and the man page's option list,
 * all from the table. */
#include "server/config_option.h"

#include <inttypes.h>
#include <string.h>

#define WIDTH  80
#define INDENT 32

const char *config_where(const struct config *c, const struct config_option *o, char buf[CONFIG_WHERE_MAX])
{
    const struct config_origin *from = &c->origin[o - config_options];

    if (from->source == CONFIG_FROM_FILE)
        snprintf(buf, CONFIG_WHERE_MAX, "%.200s:%" PRIu32, c->config_file, from->line);
    else
        snprintf(buf, CONFIG_WHERE_MAX, "%s",
                 from->source == CONFIG_FROM_COMMAND ? "command line" : "default");
    return buf;
}

/* The range of a number, "1 to 64", the words that can be, or "". */
static const char *format_range(const struct config_option *o, char *buf, size_t len)
{
    char min[24], max[24];
    size_t at = 0;

    buf[0] = '\0';
    if (o->type == CONFIG_T_COUNT || o->type == CONFIG_T_SECONDS)
        snprintf(buf, len, "%" PRIu64 " to %" PRIu64, o->min, o->max);
    if (o->type == CONFIG_T_SIZE)
        snprintf(buf, len, "%s to %s", config_format_size(o->min, min, sizeof min),
                 config_format_size(o->max, max, sizeof max));
    for (size_t i = 0; o->type == CONFIG_T_WORD && o->words[i] != NULL && at < len; i++)
        at += (size_t)snprintf(buf + at, len - at, "%s%s", i == 0 ? "" : "|", o->words[i]);
    return buf;
}

/* The text in lines of WIDTH from column INDENT on; the cursor stands in column at. */
static void print_wrapped(FILE *to, const char *text, size_t at)
{
    if (at + 2 > INDENT) {
        fputc('\n', to);
        at = 0;
    }
    while (*text != '\0') {
        size_t room = WIDTH - INDENT, len = strlen(text);

        if (len > room) {
            for (len = room; len > 0 && text[len] != ' '; len--)
                ;
            if (len == 0)
                len = strcspn(text, " ");
        }
        fprintf(to, "%*s%.*s\n", (int)(INDENT - at), "", (int)len, text);
        at = 0;
        text += len + strspn(text + len, " ");
    }
}

static void print_option(FILE *to, const struct config_option *o)
{
    char range[64], text[400];
    int at =
        fprintf(to, "  --%s%s%s", o->name, o->value != NULL ? " " : "", o->value != NULL ? o->value : "");

    snprintf(text, sizeof text, "%s", o->help);
    if (o->type != CONFIG_T_ACTION) {
        format_range(o, range, sizeof range);
        snprintf(text, sizeof text, "%s (%s%s%s)", o->help, range, range[0] != '\0' ? "; " : "", o->fallback);
    }
    print_wrapped(to, text, at > 0 ? (size_t)at : 0);
}

void config_print_help(FILE *to)
{
    fputs("Usage: chatd [--OPTION VALUE]...\n"
          "Serves chat rooms over TCP, plain and TLS on one port.\n",
          to);
    for (int group = 0; group < CONFIG_GROUPS; group++) {
        fprintf(to, "\n%s:\n", config_group_titles[group]);
        for (size_t i = 0; i < config_options_count; i++) {
            if ((int)config_options[i].group == group && !(config_options[i].flags & CONFIG_F_HIDDEN))
                print_option(to, &config_options[i]);
        }
    }
    fputs("\nIn parentheses: what a value may be, then the default. BYTES take k, M or G, times\n"
          "1024. An option that takes a value is also a line of the config file (but --config\n"
          "is not): threads = 4. SIGHUP reads the file again. Exit codes: 0 a clean end,\n"
          "1 failed, 2 bad usage, 3 cannot listen, 4 cannot keep its data.\n",
          to);
}

/* A value as the config file would have to say it. */
static void print_value(FILE *to, const char *value)
{
    size_t len = strlen(value);

    if (len > 0 && value[0] != '"' && value[0] != '#' && value[0] != ' ' && value[len - 1] != ' ' &&
        strstr(value, " #") == NULL) {
        fputs(value, to);
        return;
    }
    fputc('"', to);
    for (; *value != '\0'; value++) {
        if (*value == '"' || *value == '\\')
            fputc('\\', to);
        fputc(*value, to);
    }
    fputc('"', to);
}

void config_print_check(FILE *to, const struct config *c)
{
    char value[CONFIG_VALUE_MAX], where[CONFIG_WHERE_MAX];

    for (size_t i = 0; i < config_options_count; i++) {
        const struct config_option *o = &config_options[i];

        if (o->flags & CONFIG_F_COMMAND)
            continue;
        for (size_t n = 0; n < config_value_count(c, o); n++) {
            fprintf(to, "%s = ", o->name);
            print_value(to, config_value_format(c, o, n, value));
            fprintf(to, "  # %s\n", config_where(c, o, where));
        }
    }
}

/* Text for mdoc: a line must not begin with a control character, and '\' and '-' mean something. */
static void print_roff(FILE *to, const char *text)
{
    for (; *text != '\0'; text++) {
        if (*text == '\\')
            fputs("\\e", to);
        else if (*text == '-')
            fputs("\\-", to);
        else
            fputc(*text, to);
    }
}

static void print_man_option(FILE *to, const struct config_option *o)
{
    char range[64];

    fprintf(to, ".It Fl -%s", o->name);
    if (o->value != NULL)
        fprintf(to, " Ar %s", o->value);
    fputc('\n', to);
    fputc((o->help[0] >= 'a' && o->help[0] <= 'z') ? o->help[0] - 'a' + 'A' : o->help[0], to);
    print_roff(to, o->help + 1);
    fputs(".\n", to);
    if (o->type == CONFIG_T_ACTION)
        return;
    format_range(o, range, sizeof range);
    if (o->type == CONFIG_T_WORD)
        fprintf(to, "One of %s.\n", range);
    else if (range[0] != '\0')
        fprintf(to, "From %s.\n", range);
    fprintf(to, "The default is %s.\n", o->fallback);
    if (o->flags & CONFIG_F_RUNTIME)
        fputs("Can change on SIGHUP.\n", to);
}

void config_print_man(FILE *to)
{
    for (int group = 0; group < CONFIG_GROUPS; group++) {
        fprintf(to, ".Ss %s\n.Bl -tag -width Ds\n", config_group_titles[group]);
        for (size_t i = 0; i < config_options_count; i++) {
            if ((int)config_options[i].group == group && !(config_options[i].flags & CONFIG_F_HIDDEN))
                print_man_option(to, &config_options[i]);
        }
        fputs(".El\n", to);
    }
}
