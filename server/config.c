/* config.c: see config.h. Lays the three layers over each other, then checks what one option alone cannot
 * tell. */
#include "server/config_option.h"

#include "common/mem.h"
#include "server/data.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct args {
    int argc, at;
    char **argv;
    char *err;
    size_t errlen;
};

__attribute__((format(printf, 3, 4))) static int refuse(char *err, size_t errlen, const char *format, ...)
{
    va_list args;
    int n = snprintf(err, errlen, "chatd: ");

    va_start(args, format);
    if (n > 0 && (size_t)n < errlen)
        vsnprintf(err + n, errlen - (size_t)n, format, args);
    va_end(args);
    return -EINVAL;
}

static int refuse_arg(struct args *a, const char *arg)
{
    char quoted[CONFIG_QUOTED_MAX];
    const char *name = arg + strspn(arg, "-"), *near;
    size_t len = strcspn(name, "=");

    if (arg[0] != '-')
        return refuse(a->err, a->errlen, "it takes options only, so %s means nothing to it; see chatd --help",
                      config_quote(quoted, arg, strlen(arg)));
    config_quote(quoted, arg, (size_t)(name - arg) + len);
    near = config_option_nearest(name, len, false);
    if (near != NULL)
        return refuse(a->err, a->errlen, "there is no option %s; is --%s meant?", quoted, near);
    return refuse(a->err, a->errlen, "there is no option %s; chatd --help lists them", quoted);
}

/* The option that the argument names, or NULL; *value is what follows its '=', or NULL. */
static const struct config_option *find_arg(const char *arg, const char **value)
{
    size_t len = strcspn(arg, "=");

    *value = arg[len] == '=' ? arg + len + 1 : NULL;
    if (strcmp(arg, "-h") == 0)
        return config_option_find("help", 4);
    return strncmp(arg, "--", 2) == 0 ? config_option_find(arg + 2, len - 2) : NULL;
}

/* Takes the next option off the command line: 1 with *o and *value (NULL for one that takes none), 0 at the
 * end. */
static int next_arg(struct args *a, const struct config_option **o, const char **value)
{
    const char *arg;

    if (a->at >= a->argc)
        return 0;
    arg = a->argv[a->at++];
    *o = find_arg(arg, value);
    if (*o == NULL)
        return refuse_arg(a, arg);
    if ((*o)->type == CONFIG_T_ACTION)
        return *value == NULL ? 1 : refuse(a->err, a->errlen, "--%s takes no value", (*o)->name);
    if (*value == NULL) {
        if (a->at >= a->argc)
            return refuse(a->err, a->errlen, "--%s needs a value: --%s %s", (*o)->name, (*o)->name,
                          (*o)->value);
        *value = a->argv[a->at++];
        if (strncmp(*value, "--", 2) == 0)
            return refuse(a->err, a->errlen, "--%s needs a value: --%s %s", (*o)->name, (*o)->name,
                          (*o)->value);
    }
    return 1;
}

int config_assign(struct config *c, const struct config_option *o, const char *text,
                  struct config_origin from, char *why, size_t whylen)
{
    struct config_origin *origin = &c->origin[o - config_options];
    int rc;

    if ((o->type == CONFIG_T_ADDRESSES || o->type == CONFIG_T_NETWORKS) && origin->source != from.source)
        config_value_clear(c, o);
    rc = config_value_set(c, o, text, why, whylen);
    if (rc == 0)
        *origin = from;
    return rc;
}

static int assign_arg(struct config *c, struct args *a, const struct config_option *o, const char *value)
{
    char why[300];

    if (config_assign(c, o, value, (struct config_origin){.source = CONFIG_FROM_COMMAND}, why, sizeof why) <
        0)
        return refuse(a->err, a->errlen, "--%s %s", o->name, why);
    return 0;
}

static bool needs_settings(int ask)
{
    return ask == CONFIG_SERVE || ask == CONFIG_CHECK || ask == CONFIG_CHECK_DATA;
}

/* Looks for what must be known before the rest is read: --help and the like, and --config. An enum
 * config_ask. */
static int read_asked(struct config *c, struct args a)
{
    const struct config_option *o;
    const char *value;
    int rc, ask = CONFIG_SERVE;

    while ((rc = next_arg(&a, &o, &value)) > 0) {
        if (o->type == CONFIG_T_ACTION)
            ask = (int)o->min;
        else if (o->offset == offsetof(struct config, config_file))
            rc = assign_arg(c, &a, o, value);
        if (rc < 0 || (!needs_settings(ask)))
            break;
    }
    return rc < 0 ? rc : ask;
}

static int read_args(struct config *c, struct args a)
{
    const struct config_option *o;
    const char *value;
    int rc;

    while ((rc = next_arg(&a, &o, &value)) > 0) {
        if (o->type != CONFIG_T_ACTION && (rc = assign_arg(c, &a, o, value)) < 0)
            break;
    }
    return rc;
}

/* The table is right about its own defaults: a test reads each. */
static void set_defaults(struct config *c)
{
    char why[300], one[64];

    for (size_t i = 0; i < config_options_count; i++) {
        const char *p = config_options[i].fallback;

        for (size_t len; p != NULL && *p != '\0'; p += len + strspn(p + len, " ")) {
            len = strcspn(p, " ");
            snprintf(one, sizeof one, "%.*s", (int)len, p);
            if (config_value_set(c, &config_options[i], one, why, sizeof why) < 0)
                abort();
        }
    }
}

static char *host_name(void)
{
    char name[65] = "";

    if (gethostname(name, sizeof name) != 0 || name[0] == '\0')
        return mem_strdup("chatd");
    name[sizeof name - 1] = '\0';
    for (char *p = name; *p != '\0'; p++) {
        bool alnum = (*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') || (*p >= '0' && *p <= '9');

        if (!alnum && strchr(".-_", *p) == NULL)
            *p = '-';
    }
    return mem_strdup(name);
}

/* The directory where nothing says which. */
static int resolve_data(struct config *c, char *err, size_t errlen)
{
    if (c->data == NULL || strcmp(c->data, CONFIG_DATA_AUTO) != 0)
        return 0;
    free(c->data);
    c->data = data_default_dir();
    if (c->data != NULL)
        return 0;
    return refuse(
        err, errlen,
        "neither STATE_DIRECTORY, XDG_STATE_HOME nor HOME says where to keep data: say it with --data DIR, or "
        "--data memory to keep nothing");
}

/* Puts values where it says auto and that is not the business of whoever uses it. */
static int resolve_auto(struct config *c, char *err, size_t errlen)
{
    if (c->threads == 0) {
        long cores = sysconf(_SC_NPROCESSORS_ONLN);

        c->threads = cores < 1 ? 1 : cores > 64 ? 64 : (uint32_t)cores;
    }
    if (c->name == NULL)
        c->name = host_name();
    if (c->ping_seconds == 0)
        c->ping_seconds = c->idle_seconds < 6 ? 1 : c->idle_seconds / 3;
    return resolve_data(c, err, errlen);
}

/* One option that must be at least so many times another, and plus more. */
static const struct rule {
    const char *big, *small;
    uint64_t times, plus;
    const char *because;
} rules[] = {
    {"idle-seconds", "ping-seconds", 1, 1, "a connection is pinged before it is given up"},
    {"max-out", "max-line", 4, 0, "some answers must fit beside each other"},
    {"history-bytes", "max-line", 1, 0, "one message must fit"},
};

static uint64_t number_of(const struct config *c, const struct config_option *o)
{
    const void *at = (const char *)c + o->offset;

    return o->type == CONFIG_T_SIZE ? *(const uint64_t *)at : *(const uint32_t *)at;
}

static int check_rule(const struct config *c, const struct rule *r, char *err, size_t errlen)
{
    const struct config_option *big = config_option_find(r->big, strlen(r->big));
    const struct config_option *small = config_option_find(r->small, strlen(r->small));
    uint64_t least = number_of(c, small) * r->times + r->plus;
    char is[CONFIG_VALUE_MAX], other[CONFIG_VALUE_MAX], need[24], where[CONFIG_WHERE_MAX],
        whence[CONFIG_WHERE_MAX];

    if (number_of(c, big) >= least)
        return 0;
    if (big->type == CONFIG_T_SIZE)
        config_format_size(least, need, sizeof need);
    else
        snprintf(need, sizeof need, "%llu", (unsigned long long)least);
    return refuse(err, errlen, "\"%s\" is %s (%s) but must be at least %s, as \"%s\" is %s (%s): %s",
                  big->name, config_value_format(c, big, 0, is), config_where(c, big, where), need,
                  small->name, config_value_format(c, small, 0, other), config_where(c, small, whence),
                  r->because);
}

static int check_together(const struct config *c, char *err, size_t errlen)
{
    if ((c->cert == NULL) != (c->key == NULL))
        return refuse(err, errlen,
                      "\"%s\" is set and \"%s\" is not: a certificate and its private key go together",
                      c->cert != NULL ? "cert" : "key", c->cert != NULL ? "key" : "cert");
    for (size_t i = 0; i < sizeof rules / sizeof rules[0]; i++) {
        int rc = check_rule(c, &rules[i], err, errlen);

        if (rc < 0)
            return rc;
    }
    return 0;
}

int config_load(struct config *c, int argc, char **argv, char *err, size_t errlen)
{
    struct args args = {.argc = argc, .at = 1, .argv = argv, .err = err, .errlen = errlen};
    int ask, rc = 0;

    memset(c, 0, sizeof *c);
    ask = read_asked(c, args);
    if (needs_settings(ask)) {
        char *file = c->config_file; /* the defaults must not say there is none */

        c->config_file = NULL;
        set_defaults(c);
        c->config_file = file;
        if (file != NULL)
            rc = config_file_read(c, file, err, errlen);
        if (rc == 0)
            rc = read_args(c, args);
        if (rc == 0)
            rc = resolve_auto(c, err, errlen);
        if (rc == 0)
            rc = check_together(c, err, errlen);
    }
    if (ask < 0 || rc < 0)
        config_deinit(c);
    return rc < 0 ? rc : ask;
}

/* Whether both hold the same value of the option. */
static bool same_value(const struct config *a, const struct config *b, const struct config_option *o)
{
    char one[CONFIG_VALUE_MAX], other[CONFIG_VALUE_MAX];
    size_t n = config_value_count(a, o);

    if (n != config_value_count(b, o))
        return false;
    for (size_t i = 0; i < n; i++) {
        if (strcmp(config_value_format(a, o, i, one), config_value_format(b, o, i, other)) != 0)
            return false;
    }
    return true;
}

static void copy_value(struct config *to, const struct config *from, const struct config_option *o)
{
    char text[CONFIG_VALUE_MAX], why[300];

    config_value_clear(to, o);
    for (size_t i = 0; i < config_value_count(from, o); i++) {
        if (config_value_set(to, o, config_value_format(from, o, i, text), why, sizeof why) < 0)
            abort(); /* what a field holds, its text sets again: config_value.c */
    }
    to->origin[o - config_options] = from->origin[o - config_options];
}

int config_reload(const struct config *running, int argc, char **argv, struct config *fresh, char *restart,
                  size_t restartlen, char *err, size_t errlen)
{
    size_t used = 0;
    int rc = config_load(fresh, argc, argv, err, errlen);

    if (rc < 0)
        return rc;
    restart[0] = '\0';
    for (size_t i = 0; i < config_options_count; i++) {
        const struct config_option *o = &config_options[i];

        if (o->type == CONFIG_T_ACTION || (o->flags & CONFIG_F_RUNTIME) || same_value(running, fresh, o))
            continue;
        copy_value(fresh, running, o);
        if (used < restartlen)
            used +=
                (size_t)snprintf(restart + used, restartlen - used, "%s%s", used > 0 ? ", " : "", o->name);
    }
    rc = check_together(fresh, err, errlen);
    if (rc < 0) {
        config_deinit(fresh);
        return rc;
    }
    return used > 0 ? CONFIG_RESTART : 0;
}

void config_deinit(struct config *c)
{
    if (c == NULL)
        return;
    for (size_t i = 0; i < config_options_count; i++)
        config_value_clear(c, &config_options[i]);
    memset(c, 0, sizeof *c);
}

bool config_is_given(const struct config *c, const char *name)
{
    const struct config_option *o = config_option_find(name, strlen(name));

    return o != NULL && c->origin[o - config_options].source != CONFIG_FROM_DEFAULT;
}
