/* config_value.c: an option's value, from text into its field of struct config and back, by the option's
 * type. The two ways agree: what config_value_format gives, config_value_set takes to mean the same. */
#include "server/config_option.h"

#include "common/mem.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static void *field(struct config *c, const struct config_option *o)
{
    return (char *)c + o->offset;
}

static const void *field_const(const struct config *c, const struct config_option *o)
{
    return (const char *)c + o->offset;
}

const char *config_quote(char buf[CONFIG_QUOTED_MAX], const char *text, size_t len)
{
    size_t room = CONFIG_QUOTED_MAX - 6, at = 0; /* two quotes, "..." and the NUL */
    bool cut = len > room;

    if (cut)
        len = room;
    while (cut && len > 0 && ((unsigned char)text[len] & 0xc0) == 0x80)
        len--; /* not inside a UTF-8 sequence */
    buf[at++] = '"';
    for (size_t i = 0; i < len; i++)
        buf[at++] = (unsigned char)text[i] < 0x20 || text[i] == 0x7f ? '?' : text[i];
    snprintf(buf + at, CONFIG_QUOTED_MAX - at, "%s\"", cut ? "..." : "");
    return buf;
}

const char *config_format_size(uint64_t bytes, char *buf, size_t len)
{
    static const char suffix[] = "\0kMG";
    size_t i = 0;

    while (i < 3 && bytes > 0 && bytes % 1024 == 0) {
        bytes /= 1024;
        i++;
    }
    snprintf(buf, len, "%" PRIu64 "%.1s", bytes, &suffix[i]);
    return buf;
}

/* A whole number and nothing else; with sizes, k, M or G may follow it. */
static bool parse_number(const char *text, bool size, uint64_t *out)
{
    uint64_t value = 0, unit = 1;
    const char *p = text;

    for (; *p >= '0' && *p <= '9'; p++) {
        if (value > (UINT64_MAX - 9) / 10)
            return false;
        value = value * 10 + (uint64_t)(*p - '0');
    }
    if (p == text)
        return false;
    if (size && *p != '\0') {
        const char *units = "kKmMgG", *u = strchr(units, *p);

        if (u == NULL)
            return false;
        unit = UINT64_C(1) << (10 * ((u - units) / 2 + 1));
        p++;
    }
    if (*p != '\0' || value > UINT64_MAX / unit)
        return false;
    *out = value * unit;
    return true;
}

static int set_number(struct config *c, const struct config_option *o, const char *text)
{
    uint64_t value;

    if (!parse_number(text, o->type == CONFIG_T_SIZE, &value) || value < o->min || value > o->max)
        return -EINVAL;
    if (o->type == CONFIG_T_SIZE)
        *(uint64_t *)field(c, o) = value;
    else
        *(uint32_t *)field(c, o) = (uint32_t)value;
    return 0;
}

static int set_word(struct config *c, const struct config_option *o, const char *text)
{
    for (uint32_t i = 0; o->words[i] != NULL; i++) {
        if (strcmp(o->words[i], text) == 0) {
            *(uint32_t *)field(c, o) = i;
            return 0;
        }
    }
    return -EINVAL;
}

static bool is_name(const char *text)
{
    for (; *text != '\0'; text++) {
        bool alnum = (*text >= 'a' && *text <= 'z') || (*text >= 'A' && *text <= 'Z') ||
                     (*text >= '0' && *text <= '9');

        if (!alnum && strchr(".-_", *text) == NULL)
            return false;
    }
    return true;
}

/* No control characters: a path goes into the log and onto terminals. */
static bool is_path(const char *text)
{
    for (; *text != '\0'; text++) {
        if ((unsigned char)*text < 0x20 || *text == 0x7f)
            return false;
    }
    return true;
}

static int set_text(struct config *c, const struct config_option *o, const char *text)
{
    char **to = field(c, o);
    size_t len = strlen(text);

    if (len < o->min || len > o->max || !(o->type == CONFIG_T_NAME ? is_name(text) : is_path(text)))
        return -EINVAL;
    free(*to);
    *to = mem_strdup(text);
    return 0;
}

/* What the option takes, for a person. */
static void say_expected(const struct config_option *o, char *buf, size_t len)
{
    char min[24], max[24];
    size_t at = 0;

    switch (o->type) {
    case CONFIG_T_COUNT:
    case CONFIG_T_SECONDS:
        snprintf(buf, len, "a whole number%s from %" PRIu64 " to %" PRIu64,
                 o->type == CONFIG_T_SECONDS ? " of seconds" : "", o->min, o->max);
        break;
    case CONFIG_T_SIZE:
        snprintf(buf, len, "a number of bytes from %s to %s", config_format_size(o->min, min, sizeof min),
                 config_format_size(o->max, max, sizeof max));
        break;
    case CONFIG_T_WORD:
        for (size_t i = 0; o->words[i] != NULL && at < len; i++)
            at += (size_t)snprintf(buf + at, len - at, "%s%s",
                                   i == 0            ? ""
                                   : o->words[i + 1] ? ", "
                                                     : " or ",
                                   o->words[i]);
        break;
    case CONFIG_T_NAME:
        snprintf(buf, len, "%" PRIu64 " to %" PRIu64 " letters, digits, \".\", \"-\" or \"_\"", o->min,
                 o->max);
        break;
    case CONFIG_T_PATH:
        snprintf(buf, len, "a path of at most %" PRIu64 " bytes without control characters", o->max);
        break;
    case CONFIG_T_ADDRESSES:
        snprintf(buf, len, "an address in numbers and a port, such as 127.0.0.1:7000, [::1]:7000 or *:7000");
        break;
    case CONFIG_T_NETWORKS:
        snprintf(buf, len, "a network such as 10.0.0.0/8 or fd00::/8, or one address");
        break;
    case CONFIG_T_ACTION:
        snprintf(buf, len, "no value");
        break;
    }
}

static int set_by_type(struct config *c, const struct config_option *o, const char *text, char *why,
                       size_t whylen)
{
    switch (o->type) {
    case CONFIG_T_COUNT:
    case CONFIG_T_SECONDS:
    case CONFIG_T_SIZE:
        return set_number(c, o, text);
    case CONFIG_T_WORD:
        return set_word(c, o, text);
    case CONFIG_T_PATH:
    case CONFIG_T_NAME:
        return set_text(c, o, text);
    case CONFIG_T_ADDRESSES:
        return config_address_add(field(c, o), text, why, whylen);
    case CONFIG_T_NETWORKS:
        return config_network_add(field(c, o), text, why, whylen);
    case CONFIG_T_ACTION:
        break;
    }
    return -EINVAL;
}

int config_value_set(struct config *c, const struct config_option *o, const char *text, char *why,
                     size_t whylen)
{
    char quoted[CONFIG_QUOTED_MAX], expected[160] = "", none[24] = "";

    why[0] = '\0';
    if (o->none != NULL && strcmp(text, o->none) == 0) {
        config_value_clear(c, o);
        return 0;
    }
    if (set_by_type(c, o, text, why, whylen) == 0)
        return 0;
    if (why[0] == '\0') {
        say_expected(o, expected, sizeof expected);
        if (o->none != NULL)
            snprintf(none, sizeof none, ", or \"%s\"", o->none);
        snprintf(why, whylen, "takes %s%s, not %s", expected, none, config_quote(quoted, text, strlen(text)));
    }
    return -EINVAL;
}

size_t config_value_count(const struct config *c, const struct config_option *o)
{
    size_t n = 1;

    if (o->type == CONFIG_T_ADDRESSES)
        n = ((const struct config_addresses *)field_const(c, o))->n;
    else if (o->type == CONFIG_T_NETWORKS)
        n = ((const struct config_networks *)field_const(c, o))->n;
    return n > 0 ? n : 1;
}

const char *config_value_format(const struct config *c, const struct config_option *o, size_t i,
                                char buf[CONFIG_VALUE_MAX])
{
    const void *from = field_const(c, o);
    const char *text = NULL;

    buf[0] = '\0';
    switch (o->type) {
    case CONFIG_T_COUNT:
    case CONFIG_T_SECONDS:
        snprintf(buf, CONFIG_VALUE_MAX, "%" PRIu32, *(const uint32_t *)from);
        return buf;
    case CONFIG_T_SIZE:
        return config_format_size(*(const uint64_t *)from, buf, CONFIG_VALUE_MAX);
    case CONFIG_T_WORD:
        text = o->words[*(const uint32_t *)from];
        break;
    case CONFIG_T_PATH:
    case CONFIG_T_NAME:
        text = *(char *const *)from;
        break;
    case CONFIG_T_ADDRESSES:
        text = i < ((const struct config_addresses *)from)->n
                   ? ((const struct config_addresses *)from)->v[i].text
                   : NULL;
        break;
    case CONFIG_T_NETWORKS:
        text = i < ((const struct config_networks *)from)->n
                   ? ((const struct config_networks *)from)->v[i].text
                   : NULL;
        break;
    case CONFIG_T_ACTION:
        return buf;
    }
    snprintf(buf, CONFIG_VALUE_MAX, "%s", text != NULL ? text : o->none != NULL ? o->none : "");
    return buf;
}

void config_value_clear(struct config *c, const struct config_option *o)
{
    char **text;

    switch (o->type) {
    case CONFIG_T_COUNT:
    case CONFIG_T_SECONDS:
    case CONFIG_T_WORD:
        *(uint32_t *)field(c, o) = 0;
        break;
    case CONFIG_T_SIZE:
        *(uint64_t *)field(c, o) = 0;
        break;
    case CONFIG_T_PATH:
    case CONFIG_T_NAME:
        text = field(c, o);
        free(*text);
        *text = NULL;
        break;
    case CONFIG_T_ADDRESSES:
        config_addresses_clear(field(c, o));
        break;
    case CONFIG_T_NETWORKS:
        config_networks_clear(field(c, o));
        break;
    case CONFIG_T_ACTION:
        break;
    }
}
