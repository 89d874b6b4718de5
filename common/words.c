/* words.c: see words.h. ASCII takes the short way.
 *
 * A character is folded for itself (NFKD, case folding; utf8proc), not composed again: marks stay with the
 * word before them, but for the accents of Latin, Greek and Cyrillic, which don't count. So half a width
 * katakana with its voiced mark is the same as the full one, and a syllable of Korean is one word however it
 * is written. */
#include "common/words.h"

#include "common/mem.h"
#include "common/utf8.h"

#include <stdlib.h>
#include <utf8proc.h>

#define POINTS 32 /* that one character can come to; the most are 18 */

enum kind { NOTHING, SEPARATOR, MARK, LETTER, SINGLE };

struct range {
    utf8proc_int32_t from, to;
};

/* Thai, Lao, Tibetan, Burmese; Korean's letters; Khmer; Chinese and Japanese; Korean; the rare of the
 * former. */
static const struct range unspaced[] = {
    {0x0e00, 0x109f}, {0x1100, 0x11ff}, {0x1780, 0x17ff},   {0x2e80, 0x2fff},
    {0x3005, 0x3007}, {0x3031, 0x3035}, {0x3040, 0x318f},   {0x31a0, 0x31ff},
    {0x3400, 0x4dbf}, {0x4e00, 0x9fff}, {0xa960, 0xa97f},   {0xac00, 0xd7ff},
    {0xf900, 0xfaff}, {0xff66, 0xffdc}, {0x16fe0, 0x1b2ff}, {0x20000, 0x3ffff},
};

static bool is_unspaced(utf8proc_int32_t c)
{
    for (size_t i = 0; i < sizeof unspaced / sizeof *unspaced; i++)
        if (c <= unspaced[i].to)
            return c >= unspaced[i].from;
    return false;
}

static enum kind kind_of(utf8proc_int32_t c)
{
    if ((c >= 0x300 && c <= 0x36f) || (c >= 0x1f3fb && c <= 0x1f3ff)) /* accents; tones of skin */
        return NOTHING;
    if (c >= 0x1160 && c <= 0x11ff) /* the rest of a Korean syllable */
        return MARK;
    switch (utf8proc_category(c)) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_NO:
        return is_unspaced(c) ? SINGLE : LETTER;
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_MC:
    case UTF8PROC_CATEGORY_ME:
        return MARK;
    case UTF8PROC_CATEGORY_SO:
        return SINGLE;
    case UTF8PROC_CATEGORY_CF:
        return NOTHING;
    default:
        return SEPARATOR;
    }
}

struct split {
    struct words *w;
    uint32_t from, to; /* the character in the text */
    bool touches;      /* nothing stands between the last word and this character */
};

static struct word *last_of(const struct words *w)
{
    return &w->v[w->count - 1];
}

static void begin_word(struct split *s, bool is_single)
{
    struct words *w = s->w;
    bool joined = s->touches && is_single && last_of(w)->is_single;

    if (w->count == w->cap) {
        w->cap = w->cap > 0 ? w->cap * 2 : 64;
        w->v = mem_realloc(w->v, w->cap * sizeof *w->v);
    }
    w->v[w->count++] = (struct word){.at = (uint32_t)w->text.len,
                                     .from = s->from,
                                     .to = s->to,
                                     .is_single = is_single,
                                     .is_joined = joined};
    s->touches = true;
}

static void add_bytes(struct split *s, const char *bytes, size_t len)
{
    struct word *word = last_of(s->w);

    word->to = s->to;
    if (word->len + len > WORDS_LONGEST)
        return;
    buf_put(&s->w->text, bytes, len);
    word->len = (uint8_t)(word->len + len);
}

static void take_point(struct split *s, utf8proc_int32_t c)
{
    enum kind kind = kind_of(c);
    char bytes[4];

    if (kind == SEPARATOR)
        s->touches = false;
    if (kind == NOTHING || kind == SEPARATOR || (kind == MARK && !s->touches))
        return;
    if (kind == SINGLE || (kind == LETTER && (!s->touches || last_of(s->w)->is_single)))
        begin_word(s, kind == SINGLE);
    add_bytes(s, bytes, utf8_encode((uint32_t)c, bytes));
}

static size_t take_character(struct split *s, const char *text, size_t len)
{
    utf8proc_int32_t c, points[POINTS];
    utf8proc_ssize_t n = utf8proc_iterate((const utf8proc_uint8_t *)text, (utf8proc_ssize_t)len, &c), count;
    int boundary = 0;

    if (n <= 0) {
        s->touches = false;
        return 1;
    }
    s->to = s->from + (uint32_t)n;
    count = utf8proc_decompose_char(
        c, points, POINTS, UTF8PROC_COMPAT | UTF8PROC_DECOMPOSE | UTF8PROC_CASEFOLD | UTF8PROC_IGNORE,
        &boundary);
    for (utf8proc_ssize_t i = 0; i < count && i < POINTS; i++)
        take_point(s, points[i]);
    return (size_t)n;
}

static bool is_word_byte(unsigned char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

/* Letters and digits of ASCII up to what is none. */
static size_t take_ascii(struct split *s, const char *text, size_t len)
{
    size_t n = 1, fits;
    struct word *word;
    char *out;

    while (n < len && is_word_byte((unsigned char)text[n]))
        n++;
    s->to = s->from + (uint32_t)n;
    if (!s->touches || last_of(s->w)->is_single)
        begin_word(s, false);
    word = last_of(s->w);
    word->to = s->to;
    fits = (size_t)(WORDS_LONGEST - word->len) < n ? (size_t)(WORDS_LONGEST - word->len) : n;
    out = buf_reserve(&s->w->text, fits);
    for (size_t i = 0; i < fits; i++)
        out[i] = (char)(text[i] >= 'A' && text[i] <= 'Z' ? text[i] | 0x20 : text[i]);
    s->w->text.len += fits;
    word->len = (uint8_t)(word->len + fits);
    return n;
}

void words_split(struct words *w, const char *text, size_t len)
{
    struct split s = {.w = w};
    size_t at = 0;

    w->count = 0;
    buf_clear(&w->text);
    while (at < len) {
        unsigned char c = (unsigned char)text[at];

        s.from = (uint32_t)at;
        s.to = s.from + 1;
        if (c >= 0x80) {
            at += take_character(&s, text + at, len - at);
        } else if (is_word_byte(c)) {
            at += take_ascii(&s, text + at, len - at);
        } else {
            s.touches = false;
            at++;
        }
    }
}

void words_deinit(struct words *w)
{
    buf_deinit(&w->text);
    free(w->v);
    *w = (struct words){0};
}

static void put_word(struct buf *b, const struct words *w, size_t i)
{
    buf_put(b, w->text.data + w->v[i].at, w->v[i].len);
}

void words_put_terms(struct buf *b, const struct words *w)
{
    for (size_t i = 0; i < w->count; i++) {
        if (w->v[i].is_joined) {
            put_word(b, w, i - 1);
            put_word(b, w, i);
            buf_put_literal(b, " ");
        }
        put_word(b, w, i);
        buf_put_literal(b, " ");
    }
}

/* ---- queries ---- */

static size_t quote_len(const char *text, size_t len)
{
    if (text[0] == '"')
        return 1;
    return len >= 3 && (memcmp(text, "\xe2\x80\x9c", 3) == 0 || memcmp(text, "\xe2\x80\x9d", 3) == 0) ? 3 : 0;
}

static size_t space_len(const char *text, size_t len)
{
    if (text[0] == ' ' || (text[0] >= '\t' && text[0] <= '\r'))
        return 1;
    return len >= 3 && memcmp(text, "\xe3\x80\x80", 3) == 0 ? 3 : 0; /* U+3000 */
}

/* What stands at text: up to the next space outside of quotes, or the next quote. Where it ends. */
static size_t piece_end(const char *text, size_t at, size_t len, bool *in_quotes)
{
    while (at < len) {
        size_t quote = quote_len(text + at, len - at);

        if (quote > 0) {
            *in_quotes = !*in_quotes;
            return at + quote;
        }
        if (!*in_quotes && space_len(text + at, len - at) > 0)
            return at + 1;
        at++;
    }
    return len;
}

bool words_parse(struct words_query *q, const char *text, size_t len)
{
    bool in_quotes = false;
    size_t word = 0, at = 0;

    words_split(&q->words, text, len);
    q->phrase_count = 0;
    while (at < len && q->phrase_count < WORDS_PHRASES) {
        size_t end = piece_end(text, at, len, &in_quotes), first = word;

        while (word < q->words.count && q->words.v[word].from < end)
            word++;
        if (word > first)
            q->phrases[q->phrase_count++] = (struct words_phrase){first, word - first};
        at = end;
    }
    return q->phrase_count > 0;
}

void words_query_deinit(struct words_query *q)
{
    words_deinit(&q->words);
}

static bool is_word(const struct words *a, size_t i, const struct words *b, size_t j)
{
    return a->v[i].len == b->v[j].len &&
           memcmp(a->text.data + a->v[i].at, b->text.data + b->v[j].at, a->v[i].len) == 0;
}

static bool stands_at(const struct words_query *q, const struct words_phrase *p, const struct words *w,
                      size_t at)
{
    if (p->count > w->count - at)
        return false;
    for (size_t i = 0; i < p->count; i++) {
        if (!is_word(&q->words, p->first + i, w, at + i))
            return false;
        if (i > 0 && q->words.v[p->first + i].is_joined && !w->v[at + i].is_joined)
            return false;
    }
    return true;
}

static bool has_phrase(const struct words_query *q, const struct words_phrase *p, const struct words *w)
{
    for (size_t at = 0; at < w->count; at++)
        if (stands_at(q, p, w, at))
            return true;
    return false;
}

bool words_match(const struct words_query *q, const struct words *w)
{
    for (size_t i = 0; i < q->phrase_count; i++)
        if (!has_phrase(q, &q->phrases[i], w))
            return false;
    return true;
}

bool words_next(const struct words_query *q, const struct words *w, size_t *at, size_t *count)
{
    for (; *at < w->count; (*at)++) {
        *count = 0;
        for (size_t i = 0; i < q->phrase_count; i++)
            if (q->phrases[i].count > *count && stands_at(q, &q->phrases[i], w, *at))
                *count = q->phrases[i].count;
        if (*count > 0)
            return true;
    }
    return false;
}

/* The longer, the rarer, by and large. */
static void add_term(struct words_term *terms, size_t *count, size_t size, const struct words_term *new)
{
    size_t at = *count;

    for (size_t i = 0; i < *count; i++)
        if (terms[i].len == new->len && memcmp(terms[i].text, new->text, new->len) == 0)
            return;
    while (at > 0 && terms[at - 1].len < new->len)
        at--;
    if (at == size)
        return;
    if (*count < size)
        (*count)++;
    memmove(&terms[at + 1], &terms[at], (*count - at - 1) * sizeof *terms);
    terms[at] = *new;
}

size_t words_terms(const struct words_query *q, struct words_term *terms, size_t size)
{
    const struct words *w = &q->words;
    size_t count = 0;

    for (size_t p = 0; p < q->phrase_count; p++)
        for (size_t i = q->phrases[p].first; i < q->phrases[p].first + q->phrases[p].count; i++) {
            bool is_pair = w->v[i].is_joined && i > q->phrases[p].first;
            size_t first = is_pair ? i - 1 : i;
            struct words_term term = {.len = 0};

            if (!is_pair && i + 1 < q->phrases[p].first + q->phrases[p].count && w->v[i + 1].is_joined)
                continue; /* the pair with the next one says more */
            for (size_t k = first; k <= i; k++) {
                memcpy(term.text + term.len, w->text.data + w->v[k].at, w->v[k].len);
                term.len += w->v[k].len;
            }
            add_term(terms, &count, size, &term);
        }
    return count;
}
