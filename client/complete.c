/* complete.c: what TAB offers: commands, nicks that were heard of here, rooms that one is in; see line.h. */
#include "client/line.h"

#include "common/mem.h"

#include <strings.h>

struct offer {
    char **words; /* ends with NULL */
    size_t count;
    const char *word; /* what they have to begin with */
    size_t word_len;
};

/* before and after are put around the text. */
static void offer(struct offer *o, const char *before, const char *text, const char *after)
{
    struct buf b = {0};

    buf_putf(&b, "%s%s%s", before, text, after);
    buf_put(&b, "", 1);
    if (strncasecmp(b.data, o->word, o->word_len) != 0) {
        buf_deinit(&b);
        return;
    }
    o->words = mem_realloc(o->words, (o->count + 2) * sizeof *o->words);
    o->words[o->count++] = b.data;
    o->words[o->count] = NULL;
}

static void offer_commands(struct offer *o)
{
    const char *name;

    for (size_t i = 0; (name = command_name(i)) != NULL; i++)
        offer(o, "", name, " ");
}

static void offer_nicks(struct offer *o, const struct model_room *r, const char *before, const char *after)
{
    for (size_t i = 0; r != NULL && i < r->nick_count; i++)
        offer(o, before, r->nicks[i], after);
}

static void offer_rooms(struct offer *o, const struct model *m)
{
    const struct model_room *r;

    TAILQ_FOREACH(r, &m->rooms, link)
    offer(o, "", r->name, " ");
}

static bool begins_with(const char *line, const char *command)
{
    return strncmp(line, command, strlen(command)) == 0;
}

/* Words that a command takes, and which of its arguments they are. */
static const struct {
    const char *command;
    size_t argument;
    const char *words[4];
} arguments[] = {
    {"/tcp ", 1, {"all", "live", "off"}},
    {"/access ", 1, {"open", "invited", "accounts"}},
    {"/role ", 2, {"owner", "moderator", "member"}},
};

/* Which argument of a command begins there. */
static size_t count_arguments(const char *line, size_t start)
{
    size_t n = 0;

    for (size_t i = 1; i <= start; i++)
        n += line[i - 1] == ' ' && (i == start || line[i] != ' ');
    return n;
}

static bool offer_arguments(struct offer *o, const char *line, size_t start)
{
    for (size_t i = 0; i < sizeof arguments / sizeof *arguments; i++)
        if (begins_with(line, arguments[i].command) &&
            count_arguments(line, start) == arguments[i].argument) {
            for (size_t w = 0; arguments[i].words[w] != NULL; w++)
                offer(o, "", arguments[i].words[w], " ");
            return true;
        }
    return false;
}

char **complete_word(const struct model *m, const char *room, const char *line, size_t start,
                     const char *word)
{
    struct offer o = {.word = word, .word_len = strlen(word)};
    const struct model_room *r = model_find(m, room, strlen(room));

    if (start == 0 && word[0] == '/') {
        offer_commands(&o);
    } else if (offer_arguments(&o, line, start)) {
        return o.words;
    } else if (begins_with(line, "/join ") || begins_with(line, "/leave ") || begins_with(line, "/room ") ||
               begins_with(line, "/who ")) {
        offer_rooms(&o, m);
        if (word[0] == '@')
            offer_nicks(&o, r, "@", " ");
    } else {
        offer_nicks(&o, r, word[0] == '@' ? "@" : "", start == 0 ? ": " : " ");
    }
    return o.words;
}
