/* config_option.h: private to config*.c. A row of the options table, and what the parts of config share. */
#ifndef SERVER_CONFIG_OPTION_H
#define SERVER_CONFIG_OPTION_H

#include "server/config.h"

enum config_type {
    CONFIG_T_COUNT,     /* uint32_t */
    CONFIG_T_SECONDS,   /* uint32_t */
    CONFIG_T_SIZE,      /* uint64_t, in bytes; takes k, M and G */
    CONFIG_T_WORD,      /* uint32_t, the index of one of words */
    CONFIG_T_PATH,      /* char * */
    CONFIG_T_NAME,      /* char *, letters, digits, '.', '-' and '_'; min and max are its length */
    CONFIG_T_ADDRESSES, /* struct config_addresses */
    CONFIG_T_NETWORKS,  /* struct config_networks */
    CONFIG_T_ACTION,    /* no value; min is an enum config_ask */
};

enum config_group {
    CONFIG_G_LISTEN,
    CONFIG_G_SERVER,
    CONFIG_G_LIMITS,
    CONFIG_G_TIMES,
    CONFIG_G_ASK,
    CONFIG_GROUPS
};

#define CONFIG_DATA_AUTO "auto" /* the value of data before config_load has looked for the place */

#define CONFIG_F_RUNTIME 1u /* SIGHUP can change it */
#define CONFIG_F_COMMAND 2u /* command line only */
#define CONFIG_F_HIDDEN  4u /* not in --help or the man page */

struct config_option {
    const char *name;
    enum config_type type;
    enum config_group group;
    unsigned flags;
    size_t offset;            /* of the field in struct config */
    const char *value;        /* what stands for the value in --help, its unit with it: "SECONDS" */
    const char *fallback;     /* the default, as the file would say it */
    const char *none;         /* a word for NULL, 0 or the empty list; NULL: there is none */
    const char *const *words; /* CONFIG_T_WORD; ends with NULL */
    uint64_t min, max;
    const char *help; /* some words with no full stop; --help adds default and range, the man page too */
};

extern const struct config_option config_options[];
extern const size_t config_options_count;
extern const char *const config_group_titles[CONFIG_GROUPS];

/* NULL if there is none. */
const struct config_option *config_option_find(const char *name, size_t len);

/* The name nearest to a mistyped one, or NULL if none is near. from_file leaves out what no file may say. */
const char *config_option_nearest(const char *name, size_t len, bool from_file);

/* Puts name in quotes into buf, cut to a length fit for a message and without control characters. Returns
 * buf. */
#define CONFIG_QUOTED_MAX 72
const char *config_quote(char buf[CONFIG_QUOTED_MAX], const char *text, size_t len);

/*
 * Sets the option's field from text: a list grows by one, anything else is replaced. 0, or -EINVAL with
 * `why` saying what the option takes, to follow its name: `takes a whole number from 1 to 64, not "many"`.
 */
int config_value_set(struct config *c, const struct config_option *o, const char *text, char *why,
                     size_t whylen);

/* Values that the field holds: for a list any number, otherwise 1. */
size_t config_value_count(const struct config *c, const struct config_option *o);

/* The i-th value as the file would say it, unquoted; a value that is none gives its word for it. Returns buf.
 */
#define CONFIG_VALUE_MAX 4200
const char *config_value_format(const struct config *c, const struct config_option *o, size_t i,
                                char buf[CONFIG_VALUE_MAX]);

/* Frees the field and empties it. */
void config_value_clear(struct config *c, const struct config_option *o);

/* A whole number of bytes as "16k", "1M" or "1000". Returns buf. */
const char *config_format_size(uint64_t bytes, char *buf, size_t len);

/* As config_value_set, for one address or network to be added to a list. */
int config_address_add(struct config_addresses *list, const char *text, char *why, size_t whylen);
int config_network_add(struct config_networks *list, const char *text, char *why, size_t whylen);
void config_addresses_clear(struct config_addresses *list);
void config_networks_clear(struct config_networks *list);

/*
 * Gives the option its value in the name of a layer: the first value that a layer gives to a list drops what
 * the layers below gave. Errors as config_value_set.
 */
int config_assign(struct config *c, const struct config_option *o, const char *text,
                  struct config_origin from, char *why, size_t whylen);

/* Where the value of an option is from: "default", "command line" or "FILE:LINE". Returns buf. */
#define CONFIG_WHERE_MAX 256
const char *config_where(const struct config *c, const struct config_option *o, char buf[CONFIG_WHERE_MAX]);

/* Reads the file into *c. 0, or a negative with a sentence in err as config_load. */
int config_file_read(struct config *c, const char *path, char *err, size_t errlen);

#endif
