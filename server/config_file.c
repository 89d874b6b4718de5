/* config_file.c: the config file. A line is `name = value`, a comment or empty. A comment starts with # at
 * the start of a line or after white space. A value that holds # after white space, or ends in it, goes into
 * "quotes", where \" is a quote and \\ a backslash. The main thread reads it, at the start and for SIGHUP. */
#include "server/config_option.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct reader {
    struct config *c;
    const char *path;
    uint32_t line;
    char *err;
    size_t errlen;
};

static int refuse(const struct reader *r, const char *what)
{
    snprintf(r->err, r->errlen, "chatd: %s:%u: %s", r->path, r->line, what);
    return -EINVAL;
}

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* Takes the quotes off the value at p, in place. Returns what is wrong with it, or NULL. */
static const char *unquote(char *p)
{
    char *to = p;

    for (p++; *p != '"'; p++) {
        if (*p == '\\' && (p[1] == '"' || p[1] == '\\'))
            p++;
        if (*p == '\0')
            return "this value opens a quote and does not close it";
        *to++ = *p;
    }
    for (p++; is_space(*p); p++)
        ;
    if (*p != '\0' && *p != '#')
        return "there is something after the closing quote: only a comment may follow";
    *to = '\0';
    return NULL;
}

/* Ends a bare value before its comment and the white space at its end. */
static void cut_bare(char *value)
{
    char *end = value;

    for (char *p = value; *p != '\0' && !(*p == '#' && (p == value || is_space(p[-1]))); p++) {
        if (!is_space(*p))
            end = p + 1;
    }
    *end = '\0';
}

static int unknown_name(const struct reader *r, const char *name, size_t len)
{
    char what[CONFIG_QUOTED_MAX + 120], quoted[CONFIG_QUOTED_MAX];
    const struct config_option *o = config_option_find(name, len);
    const char *near = config_option_nearest(name, len, true);

    config_quote(quoted, name, len);
    if (o != NULL)
        snprintf(what, sizeof what, "%s goes on the command line only, as --%s", quoted, o->name);
    else if (near != NULL)
        snprintf(what, sizeof what, "there is no setting %s; is \"%s\" meant?", quoted, near);
    else
        snprintf(what, sizeof what, "there is no setting %s; chatd --help lists them", quoted);
    return refuse(r, what);
}

static int assign(const struct reader *r, const struct config_option *o, const char *value)
{
    struct config_origin from = {.source = CONFIG_FROM_FILE, .line = r->line};
    const struct config_origin *before = &r->c->origin[o - config_options];
    bool list = o->type == CONFIG_T_ADDRESSES || o->type == CONFIG_T_NETWORKS;
    char why[300], what[400];

    if (!list && before->source == CONFIG_FROM_FILE) {
        snprintf(what, sizeof what, "\"%s\" is set twice: line %u sets it already", o->name, before->line);
        return refuse(r, what);
    }
    if (config_assign(r->c, o, value, from, why, sizeof why) < 0) {
        snprintf(what, sizeof what, "\"%s\" %s", o->name, why);
        return refuse(r, what);
    }
    return 0;
}

static int read_setting(const struct reader *r, char *line)
{
    char *equals = strchr(line, '='), *value, quoted[CONFIG_QUOTED_MAX], what[CONFIG_QUOTED_MAX + 40];
    const struct config_option *o;
    const char *wrong = NULL;
    size_t len;

    if (equals == NULL || equals == line) {
        cut_bare(line);
        snprintf(what, sizeof what, "expected NAME = VALUE, not %s",
                 config_quote(quoted, line, strlen(line)));
        return refuse(r, what);
    }
    for (len = (size_t)(equals - line); len > 0 && is_space(line[len - 1]); len--)
        ;
    o = config_option_find(line, len);
    if (o == NULL || (o->flags & CONFIG_F_COMMAND))
        return unknown_name(r, line, len);
    for (value = equals + 1; is_space(*value); value++)
        ;
    if (*value == '"')
        wrong = unquote(value);
    else
        cut_bare(value);
    if (wrong != NULL)
        return refuse(r, wrong);
    return assign(r, o, value);
}

static int read_line(const struct reader *r, char *line, size_t len)
{
    if (strlen(line) != len)
        return refuse(r, "this line has a NUL byte in it: is this a text file?");
    if (r->line == 1 && strncmp(line, "\xef\xbb\xbf", 3) == 0)
        line += 3; /* the mark that some editors put first */
    while (is_space(*line))
        line++;
    return *line == '\0' || *line == '#' ? 0 : read_setting(r, line);
}

int config_file_read(struct config *c, const char *path, char *err, size_t errlen)
{
    struct reader r = {.c = c, .path = path, .err = err, .errlen = errlen};
    FILE *f = fopen(path, "re");
    char *line = NULL;
    size_t cap = 0;
    ssize_t len;
    int rc = 0;

    while (f != NULL && rc == 0 && (len = getline(&line, &cap, f)) >= 0) {
        r.line++;
        rc = read_line(&r, line, (size_t)len);
    }
    if (rc == 0 && (f == NULL || ferror(f))) {
        snprintf(err, errlen, "chatd: the config file %s cannot be read: %s", path, strerror(errno));
        rc = -EINVAL;
    }
    free(line);
    if (f != NULL)
        fclose(f);
    return rc;
}
