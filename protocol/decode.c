/* decode.c: one strict pass over a line; see codec.h. Any thread.
 *
 * Why not a library: what it accepts is the protocol's promise (no raw control characters, no lone
 * surrogates, no "01", nothing behind the object), it runs once for each message that is sent, and it must
 * not allocate. */
#include "protocol/codec.h"

#include "common/utf8.h"
#include "protocol/plain.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

struct name {
    const char *text;
    size_t len;
};

static const struct name fields[] = {
#define X(name, text) {text, sizeof(text) - 1},
    MESSAGE_FIELDS(X)
#undef X
};

static const struct name types[] = {
#define X(name, text) {text, sizeof(text) - 1},
    MESSAGE_TYPES(X)
#undef X
};

_Static_assert(COUNT(fields) == MESSAGE_FIELD_COUNT && MESSAGE_FIELD_COUNT <= 64, "fields have a bit each");

struct scan {
    char *at, *end;
    const char *where;
    enum codec_result result;
};

static bool fail(struct scan *s, enum codec_result result, const char *where)
{
    if (s->result == CODEC_OK || s->result == CODEC_TWICE) {
        s->result = result;
        s->where = where;
    }
    return false;
}

static void skip_space(struct scan *s)
{
    while (s->at < s->end && *s->at == ' ')
        s->at++;
}

static bool take(struct scan *s, char c)
{
    if (s->at >= s->end || *s->at != c)
        return false;
    s->at++;
    return true;
}

static int hex4(const char *p, const char *end)
{
    int value = 0;

    if (end - p < 4)
        return -1;
    for (int i = 0; i < 4; i++) {
        int c = (unsigned char)p[i], lower = c | 0x20;

        if (c >= '0' && c <= '9')
            value = value << 4 | (c - '0');
        else if (lower >= 'a' && lower <= 'f')
            value = value << 4 | (lower - 'a' + 10);
        else
            return -1;
    }
    return value;
}

/* s->at is behind "\u"; writes the code point to *out. */
static bool take_unicode(struct scan *s, char **out)
{
    int high = hex4(s->at, s->end), low;

    if (high < 0)
        return fail(s, CODEC_BAD_JSON, "\\u wants four hexadecimal digits");
    s->at += 4;
    if (high < 0xd800 || high > 0xdfff) {
        *out += utf8_encode((uint32_t)high, *out);
        return true;
    }
    low = s->end - s->at >= 6 && s->at[0] == '\\' && s->at[1] == 'u' ? hex4(s->at + 2, s->end) : -1;
    if (high > 0xdbff || low < 0xdc00 || low > 0xdfff)
        return fail(s, CODEC_BAD_UTF8, "half of a surrogate pair stands alone");
    s->at += 6;
    *out += utf8_encode(0x10000U + ((uint32_t)(high - 0xd800) << 10) + (uint32_t)(low - 0xdc00), *out);
    return true;
}

static bool take_escape(struct scan *s, char **out)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    const char *found;

    if (++s->at >= s->end)
        return fail(s, CODEC_BAD_JSON, "a string is not ended");
    if (*s->at == 'u') {
        s->at++;
        return take_unicode(s, out);
    }
    found = *s->at != '\0' ? strchr(from, *s->at) : NULL;
    if (found == NULL)
        return fail(s, CODEC_BAD_JSON, "an unknown escape in a string");
    s->at++;
    *(*out)++ = to[found - from];
    return true;
}

/* To the next byte that ends a run of plain ones: a quote, a backslash, a control character. */
static char *run_end(char *p, const char *end)
{
    return p + plain_len(p, (size_t)(end - p));
}

/* s->at is behind the opening quote. An escape is never shorter than what it stands for, so that the decoded
 * text fits where it was. */
static bool take_string(struct scan *s, struct value *v)
{
    char *start = s->at, *out = run_end(start, s->end);

    s->at = out;
    for (;;) {
        char *run = s->at;

        if (run >= s->end)
            return fail(s, CODEC_BAD_JSON, "a string is not ended");
        if (*run == '"')
            break;
        if (*run == '\\') {
            if (!take_escape(s, &out))
                return false;
            continue;
        }
        if ((unsigned char)*run < 0x20)
            return fail(s, CODEC_BAD_JSON, "a raw control character in a string");
        s->at = run_end(run, s->end);
        memmove(out, run, (size_t)(s->at - run));
        out += s->at - run;
    }
    s->at++;
    v->kind = VALUE_STRING;
    v->text = start;
    v->len = (uint32_t)(out - start);
    return true;
}

static size_t take_digits(struct scan *s)
{
    char *start = s->at;

    while (s->at < s->end && *s->at >= '0' && *s->at <= '9')
        s->at++;
    return (size_t)(s->at - start);
}

static bool take_number(struct scan *s, struct value *v)
{
    char *start = s->at, *digits;
    bool whole = !take(s, '-');
    size_t n;

    digits = s->at;
    n = take_digits(s);
    if (n == 0 || (n > 1 && *digits == '0'))
        return fail(s, CODEC_BAD_JSON, "a number is not written as JSON wants it");
    if (take(s, '.')) {
        whole = false;
        if (take_digits(s) == 0)
            return fail(s, CODEC_BAD_JSON, "a number is not written as JSON wants it");
    }
    if (take(s, 'e') || take(s, 'E')) {
        whole = false;
        if (!take(s, '+'))
            take(s, '-');
        if (take_digits(s) == 0)
            return fail(s, CODEC_BAD_JSON, "a number is not written as JSON wants it");
    }
    v->text = start;
    v->len = (uint32_t)(s->at - start);
    v->number = 0;
    for (size_t i = 0; whole && n <= 16 && i < n; i++)
        v->number = v->number * 10 + (uint64_t)(digits[i] - '0');
    v->kind = whole && n <= 16 && v->number <= PROTOCOL_MAX_NUMBER ? VALUE_UINT : VALUE_NUMBER;
    return true;
}

static bool take_word(struct scan *s, const char *word, size_t len, enum value_kind kind, struct value *v)
{
    if ((size_t)(s->end - s->at) < len || memcmp(s->at, word, len) != 0)
        return fail(s, CODEC_BAD_JSON, "a value was expected");
    v->kind = (uint8_t)kind;
    v->text = s->at;
    v->len = (uint32_t)len;
    s->at += len;
    return true;
}

static bool skip_nested(struct scan *s, struct value *v);

static bool take_value(struct scan *s, struct value *v)
{
    if (s->at >= s->end)
        return fail(s, CODEC_BAD_JSON, "a value was expected");
    switch (*s->at) {
    case '"':
        s->at++;
        return take_string(s, v);
    case '{':
    case '[':
        return skip_nested(s, v);
    case 't':
        return take_word(s, "true", 4, VALUE_TRUE, v);
    case 'f':
        return take_word(s, "false", 5, VALUE_FALSE, v);
    case 'n':
        return take_word(s, "null", 4, VALUE_NULL, v);
    default:
        return take_number(s, v);
    }
}

/* Passes over a string without decoding it: what is nested is handed on as it was written. */
static bool skip_string(struct scan *s)
{
    char scratch[8], *out;

    for (;;) {
        s->at = run_end(s->at, s->end);
        if (s->at >= s->end)
            return fail(s, CODEC_BAD_JSON, "a string is not ended");
        if (*s->at == '"') {
            s->at++;
            return true;
        }
        if (*s->at != '\\')
            return fail(s, CODEC_BAD_JSON, "a raw control character in a string");
        out = scratch;
        if (!take_escape(s, &out))
            return false;
    }
}

static bool skip_plain(struct scan *s)
{
    struct value ignored;

    return *s->at == '"' ? (s->at++, skip_string(s)) : take_value(s, &ignored);
}

static bool take_colon(struct scan *s)
{
    if (!take(s, '"'))
        return fail(s, CODEC_BAD_JSON, "a field's name was expected");
    if (!skip_string(s))
        return false;
    skip_space(s);
    if (!take(s, ':'))
        return fail(s, CODEC_BAD_JSON, "a colon was expected");
    skip_space(s);
    return true;
}

/* An object or an array inside the line's object, checked without recursion. `open` is one bit a level: 1 is
 * an object. */
static bool skip_nested(struct scan *s, struct value *v)
{
    uint32_t open = 0;
    int depth = 1; /* the line's own object */

    v->kind = VALUE_NESTED;
    v->text = s->at;
    for (;;) {
        if (s->at < s->end && (*s->at == '{' || *s->at == '[')) {
            bool object = *s->at == '{';

            if (++depth > PROTOCOL_MAX_DEPTH)
                return fail(s, CODEC_TOO_DEEP, "nested too deep");
            open = open << 1 | object;
            s->at++;
            skip_space(s);
            if (!take(s, object ? '}' : ']')) {
                if (object && !take_colon(s))
                    return false;
                continue;
            }
            depth--;
            open >>= 1;
        } else if (s->at >= s->end) {
            return fail(s, CODEC_BAD_JSON, "the line ends inside a value");
        } else if (!skip_plain(s)) {
            return false;
        }
        for (;;) { /* behind a value: up as many levels as end here */
            if (depth == 1) {
                v->len = (uint32_t)(s->at - v->text);
                return true;
            }
            skip_space(s);
            if (take(s, ','))
                break;
            if (!take(s, open & 1 ? '}' : ']'))
                return fail(s, CODEC_BAD_JSON, "a comma or the end of an object or array was expected");
            depth--;
            open >>= 1;
        }
        skip_space(s);
        if ((open & 1) && !take_colon(s))
            return false;
    }
}

static int find_name(const struct name *names, size_t count, const char *text, size_t len)
{
    char last = len > 0 ? text[len - 1] : '\0';

    for (size_t i = 0; i < count; i++) /* names of one length mostly differ in their last byte */
        if (names[i].len == len && names[i].text[len - 1] == last && memcmp(names[i].text, text, len) == 0)
            return (int)i;
    return -1;
}

static bool take_member(struct scan *s, struct message *m)
{
    struct value name, ignored;
    int field;

    if (!take(s, '"'))
        return fail(s, CODEC_BAD_JSON, "a field's name was expected");
    if (!take_string(s, &name))
        return false;
    skip_space(s);
    if (!take(s, ':'))
        return fail(s, CODEC_BAD_JSON, "a colon was expected behind a field's name");
    skip_space(s);
    field = find_name(fields, COUNT(fields), name.text, name.len);
    if (field < 0)
        return take_value(s, &ignored);
    if (!take_value(s, &m->fields[field]))
        return false;
    if (m->present >> field & 1) {
        m->twice |= UINT64_C(1) << field;
        s->result = CODEC_TWICE;
        s->where = "a field stands twice";
    }
    m->present |= UINT64_C(1) << field;
    return true;
}

static bool take_object(struct scan *s, struct message *m)
{
    skip_space(s);
    if (!take(s, '{'))
        return fail(s, CODEC_BAD_JSON, "the line is no JSON object");
    skip_space(s);
    if (!take(s, '}')) {
        do {
            skip_space(s);
            if (!take_member(s, m))
                return false;
            skip_space(s);
        } while (take(s, ','));
        if (!take(s, '}'))
            return fail(s, CODEC_BAD_JSON, "a comma or the end of the object was expected");
    }
    skip_space(s);
    return s->at == s->end || fail(s, CODEC_BAD_JSON, "there is something behind the object");
}

enum codec_result codec_decode(char *line, size_t len, struct message *m, const char **where)
{
    struct scan s = {.at = line, .end = line + len};
    const struct value *type;
    int found = -1;

    m->present = m->twice = 0;
    m->type = MESSAGE_UNKNOWN;
    if (!utf8_is_valid(line, len)) {
        *where = "the line is not UTF-8";
        return CODEC_BAD_UTF8;
    }
    take_object(&s, m);
    *where = s.where;
    if (s.result != CODEC_OK && s.result != CODEC_TWICE)
        return s.result;
    type = message_get(m, FIELD_TYPE);
    if (type != NULL && type->kind == VALUE_STRING)
        found = find_name(types, COUNT(types), type->text, type->len);
    if (found >= 0)
        m->type = (enum message_type)(found + 1);
    else
        m->type_value = type != NULL ? *type : (struct value){.text = "", .kind = VALUE_NULL};
    return s.result;
}
