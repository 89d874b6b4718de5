/* words.h: what a text is made of in the eyes of a search: words, whatever their case, width and accents.
 *
 * Where a script puts spaces between words, a word is what stands between them. Where it does not (Chinese,
 * Japanese, Thai; and Korean, whose words carry their particles), each character is a word, `single`, and two
 * that touch are `joined`: then a word of such a script is a phrase of joined singles. A pictogram is a
 * single too. Any thread. */
#ifndef COMMON_WORDS_H
#define COMMON_WORDS_H

#include "common/buf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WORDS_LONGEST 64 /* bytes of a word that count; what is beyond does not tell words apart */
#define WORDS_PHRASES 32 /* of a query; what is beyond is not looked for */

struct word {
    uint32_t at;       /* in words.text, folded */
    uint32_t from, to; /* in the text that was split */
    uint8_t len;
    bool is_single, is_joined; /* joined: to the one before it, both singles */
};

struct words {
    struct buf text;
    struct word *v;
    size_t count, cap;
};

void words_split(struct words *w, const char *text, size_t len); /* text: UTF-8. What was in w is gone */
void words_deinit(struct words *w);

/* The terms under which an index has the text, each with a space behind it: every word, and every pair of
 * joined singles. */
void words_put_terms(struct buf *b, const struct words *w);

/* What is looked for: phrases, each some words that follow each other, all of which have to be in a text. */
struct words_query {
    struct words words;
    struct words_phrase {
        size_t first, count; /* of words */
    } phrases[WORDS_PHRASES];
    size_t phrase_count;
};

/* Words, and phrases in quotes; what is written without a space between is a phrase too. False where there is
 * no word in it. */
bool words_parse(struct words_query *q, const char *text, size_t len);
void words_query_deinit(struct words_query *q);
bool words_match(const struct words_query *q, const struct words *w);

/* The first of the query's phrases in w at or behind word *at: where it begins and how many words it has; for
 * marking. */
bool words_next(const struct words_query *q, const struct words *w, size_t *at, size_t *count);

/* Terms that every text which matches is indexed under, those first that may be the rarest; at most size of
 * them. */
struct words_term {
    char text[2 * WORDS_LONGEST];
    size_t len;
};
size_t words_terms(const struct words_query *q, struct words_term *terms, size_t size);

#endif
