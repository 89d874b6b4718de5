/* settings.h: what a run is to be like: from the script's table, overruled by the command line.
 *
 * One table of names serves the script, the command line and the report. Times are seconds. */
#ifndef BOTS_SETTINGS_H
#define BOTS_SETTINGS_H

#include "bots/text.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct settings {
    double bots, rooms, sources, seed;
    double ramp, settle, duration, drain, within, think;
    double rate, flat;
    bool closed, poisson, tls, manual;
    bool gaps, new_epochs; /* they are expected */
    size_t size_min, size_max;
    enum text_kind text;
    char room_prefix[33];
};

enum settings_kind {
    SETTINGS_COUNT,  /* a whole number from 0 */
    SETTINGS_NUMBER, /* from 0 */
    SETTINGS_FLAG,
    SETTINGS_SIZE, /* N or MIN-MAX bytes */
    SETTINGS_TEXT,
    SETTINGS_ARRIVALS,
    SETTINGS_NAME,
};

struct settings_entry {
    const char *name;
    enum settings_kind kind;
    size_t offset;
    const char *value, *help; /* value: how it is called in --help */
};

extern const struct settings_entry settings_entries[];
extern const size_t settings_count;

void settings_init(struct settings *s);
const struct settings_entry *settings_find(const char *name);

/* false where the value does not fit; then why is a static text that follows "NAME: ". */
bool settings_set(struct settings *s, const struct settings_entry *e, const char *value, const char **why);
bool settings_is_number(const struct settings *s, const struct settings_entry *e); /* as it is written */
void settings_format(const struct settings *s, const struct settings_entry *e, char *out, size_t size);

#endif
