/* settings.c: see settings.h. */
#include "bots/settings.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define AT(field) offsetof(struct settings, field)
#define MAX_TEXT  8192

const struct settings_entry settings_entries[] = {
    {"bots", SETTINGS_COUNT, AT(bots), "N", "how many bots"},
    {"rate", SETTINGS_NUMBER, AT(rate), "N",
     "turns a second of all bots together, at their times whatever happens (open loop)"},
    {"closed", SETTINGS_FLAG, AT(closed), "yes|no",
     "closed loop: a bot's next turn comes after its last one is done"},
    {"think", SETTINGS_NUMBER, AT(think), "SECONDS", "closed loop: the pause between two turns"},
    {"arrivals", SETTINGS_ARRIVALS, AT(poisson), "steady|poisson", "how the turns of a rate are spread"},
    {"ramp", SETTINGS_NUMBER, AT(ramp), "SECONDS", "over which the bots are started"},
    {"settle", SETTINGS_NUMBER, AT(settle), "SECONDS", "of traffic before it is measured"},
    {"duration", SETTINGS_NUMBER, AT(duration), "SECONDS", "that are measured"},
    {"drain", SETTINGS_NUMBER, AT(drain), "SECONDS", "at the end for what is under way"},
    {"within", SETTINGS_NUMBER, AT(within), "SECONDS", "that an answer may take"},
    {"rooms", SETTINGS_COUNT, AT(rooms), "N", "how many rooms the bots are spread over"},
    {"room_prefix", SETTINGS_NAME, AT(room_prefix), "NAME", "what the rooms' names begin with"},
    {"size", SETTINGS_SIZE, AT(size_min), "N or MIN-MAX", "bytes of a message's text"},
    {"text", SETTINGS_TEXT, AT(text), "ascii|cjk|emoji|mixed", "what it is made of"},
    {"tls", SETTINGS_FLAG, AT(tls), "yes|no", "speak TLS"},
    {"sources", SETTINGS_COUNT, AT(sources), "N",
     "connect from 127.0.0.1 to 127.0.0.N in turn; 0: as many as needed"},
    {"manual", SETTINGS_FLAG, AT(manual), "yes|no", "bots do not connect by themselves"},
    {"seed", SETTINGS_COUNT, AT(seed), "N", "of all that is left to chance"},
    {"gaps", SETTINGS_FLAG, AT(gaps), "yes|no",
     "who is away for long or reads too slowly may find that messages are no longer kept"},
    {"new_epochs", SETTINGS_FLAG, AT(new_epochs), "yes|no",
     "rooms may begin a new order: the server is restarted and keeps nothing"},
    {"flat", SETTINGS_NUMBER, AT(flat), "PERCENT",
     "the run fails if the server's memory has grown more, or descriptors are left; 0: not looked at"},
};

const size_t settings_count = sizeof settings_entries / sizeof settings_entries[0];

void settings_init(struct settings *s)
{
    *s = (struct settings){.bots = 10,
                           .rooms = 1,
                           .seed = 1,
                           .ramp = 1,
                           .settle = 1,
                           .duration = 10,
                           .drain = 10,
                           .within = 30,
                           .size_min = 40,
                           .size_max = 200,
                           .text = TEXT_MIXED,
                           .room_prefix = "bots-"};
}

const struct settings_entry *settings_find(const char *name)
{
    for (size_t i = 0; i < settings_count; i++)
        if (strcmp(settings_entries[i].name, name) == 0)
            return &settings_entries[i];
    return NULL;
}

static bool set_number(double *to, const char *value, bool whole, const char **why)
{
    char *end;
    double n = strtod(value, &end);

    *why = whole ? "a whole number is expected" : "a number is expected";
    if (end == value || *end != '\0' || !(n >= 0) || n > 1e12 || (whole && n != (double)(uint64_t)n))
        return false;
    *to = n;
    return true;
}

static bool set_flag(bool *to, const char *value, const char *yes, const char *no, const char **why)
{
    *why = "one of its two words is expected";
    *to = strcmp(value, yes) == 0;
    return *to || strcmp(value, no) == 0;
}

static bool set_size(struct settings *s, const char *value, const char **why)
{
    char *end;
    unsigned long min = strtoul(value, &end, 10), max = min;

    if (*end == '-' && end > value)
        max = strtoul(end + 1, &end, 10);
    *why = "bytes are expected, 1 to 8192, or MIN-MAX";
    if (*end != '\0' || min < 1 || max < min || max > MAX_TEXT)
        return false;
    s->size_min = min;
    s->size_max = max;
    return true;
}

static bool set_name(struct settings *s, const char *value, const char **why)
{
    *why = "at most 32 of a-z 0-9 . _ - are expected";
    if (strlen(value) > 32 || strspn(value, "abcdefghijklmnopqrstuvwxyz0123456789._-") != strlen(value))
        return false;
    snprintf(s->room_prefix, sizeof s->room_prefix, "%s", value);
    return true;
}

bool settings_set(struct settings *s, const struct settings_entry *e, const char *value, const char **why)
{
    void *at = (char *)s + e->offset;

    switch (e->kind) {
    case SETTINGS_COUNT:
    case SETTINGS_NUMBER:
        return set_number(at, value, e->kind == SETTINGS_COUNT, why);
    case SETTINGS_FLAG:
        return set_flag(at, value, "yes", "no", why);
    case SETTINGS_ARRIVALS:
        return set_flag(at, value, "poisson", "steady", why);
    case SETTINGS_SIZE:
        return set_size(s, value, why);
    case SETTINGS_TEXT:
        *why = "ascii, cjk, emoji or mixed is expected";
        return text_parse_kind(value, &s->text);
    case SETTINGS_NAME:
        return set_name(s, value, why);
    }
    return false;
}

bool settings_is_number(const struct settings *s, const struct settings_entry *e)
{
    return e->kind == SETTINGS_COUNT || e->kind == SETTINGS_NUMBER ||
           (e->kind == SETTINGS_SIZE && s->size_min == s->size_max);
}

void settings_format(const struct settings *s, const struct settings_entry *e, char *out, size_t size)
{
    const void *at = (const char *)s + e->offset;

    switch (e->kind) {
    case SETTINGS_COUNT:
    case SETTINGS_NUMBER:
        snprintf(out, size, "%.10g", *(const double *)at);
        break;
    case SETTINGS_FLAG:
        snprintf(out, size, "%s", *(const bool *)at ? "yes" : "no");
        break;
    case SETTINGS_ARRIVALS:
        snprintf(out, size, "%s", *(const bool *)at ? "poisson" : "steady");
        break;
    case SETTINGS_SIZE:
        snprintf(out, size, s->size_min == s->size_max ? "%zu" : "%zu-%zu", s->size_min, s->size_max);
        break;
    case SETTINGS_TEXT:
        snprintf(out, size, "%s", text_kind_name(s->text));
        break;
    case SETTINGS_NAME:
        snprintf(out, size, "%s", s->room_prefix);
        break;
    }
}
