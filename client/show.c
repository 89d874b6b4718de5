/* show.c: messages, notices and the prompt; see show.h. The connection is in show_tcp.c. */
#include "client/show.h"

#include "client/sanitize.h"

#include <stdio.h>
#include <time.h>
#include <utf8proc.h>

#define NARROW            24 /* below that many columns there is no room for an indent of more than one */
#define UNKNOWN           80 /* what a terminal that does not tell is taken to be wide */
#define ZERO_WIDTH_JOINER 0x200d

#define DIM    "\x1b[2m"
#define MARK   "\x1b[7m"
#define UNMARK "\x1b[27m"
#define PLAIN  "\x1b[0m"

/* Readable on dark and on light ground; the last is no color at all where there are none. */
static const char *const nick_colors[] = {"\x1b[31m", "\x1b[32m", "\x1b[33m", "\x1b[34m",
                                          "\x1b[35m", "\x1b[36m", "\x1b[91m", "\x1b[92m",
                                          "\x1b[94m", "\x1b[95m", "\x1b[96m"};

static void put_style(struct buf *b, const struct show_style *s, const char *code)
{
    if (s->color)
        buf_puts(b, code);
}

static const char *color_of(const char *nick, size_t len)
{
    uint32_t h = 2166136261U; /* FNV-1a: the same nick has the same colour everywhere and always */

    for (size_t i = 0; i < len; i++)
        h = (h ^ (unsigned char)nick[i]) * 16777619U;
    return nick_colors[h % (sizeof nick_colors / sizeof *nick_colors)];
}

/* What a joiner binds to the pictograph before it has no width of its own; what else stands behind a
 * joiner has the one that it always has, as a terminal sees it too. */
struct cluster {
    utf8proc_int32_t before, state;
};

static bool is_pictograph(utf8proc_int32_t c)
{
    return utf8proc_get_property(c)->boundclass == UTF8PROC_BOUNDCLASS_EXTENDED_PICTOGRAPHIC;
}

static int point_width(utf8proc_int32_t c, struct cluster *l)
{
    bool breaks = utf8proc_grapheme_break_stateful(l->before, c, &l->state),
         is_bound = l->before == ZERO_WIDTH_JOINER && !breaks && is_pictograph(c);

    l->before = c;
    return is_bound || c == 0xfe0f ? 0 : utf8proc_charwidth(c);
}

/* The code point at text and its bytes; what is no UTF-8 counts byte by byte, a style of ours not at all. */
static size_t next_point(const char *text, size_t len, utf8proc_int32_t *c)
{
    utf8proc_ssize_t n = utf8proc_iterate((const utf8proc_uint8_t *)text, (utf8proc_ssize_t)len, c);
    const char *end = text[0] == '\x1b' ? memchr(text, 'm', len) : NULL;

    if (end != NULL) {
        *c = 0;
        return (size_t)(end + 1 - text);
    }
    if (n > 0)
        return (size_t)n;
    *c = '?';
    return 1;
}

int show_text_width(const char *text, size_t len)
{
    struct cluster cluster = {0};
    utf8proc_int32_t c;
    int width = 0;

    while (len > 0) {
        size_t n = next_point(text, len, &c);

        width += point_width(c, &cluster);
        text += n;
        len -= n;
    }
    return width;
}

size_t show_cut(const char *text, size_t len, int columns)
{
    struct cluster cluster = {0};
    utf8proc_int32_t c;
    size_t at = 0;

    while (at < len) {
        size_t n = next_point(text + at, len - at, &c);

        columns -= point_width(c, &cluster);
        if (columns < 0)
            return at;
        at += n;
    }
    return len;
}

/* Chinese, Japanese and Korean are broken anywhere, but not before what closes or ends a sentence. */
static bool may_break(utf8proc_int32_t c, int width, int width_before)
{
    utf8proc_category_t kind = utf8proc_category(c);

    return (width == 2 || width_before == 2) && c != ' ' && kind != UTF8PROC_CATEGORY_PO &&
           kind != UTF8PROC_CATEGORY_PE && kind != UTF8PROC_CATEGORY_PF;
}

/* How many bytes of text fit into so many columns: up to the last place to break where there is one, but no
 * less than one character. */
static size_t fit(const char *text, size_t len, int columns)
{
    struct cluster cluster = {0};
    utf8proc_int32_t c;
    size_t at = 0, end = 0;
    int width = 0, before = 0;

    while (at < len) {
        size_t n = next_point(text + at, len - at, &c);
        int w = point_width(c, &cluster);

        if (w > 0 && may_break(c, w, before))
            end = at;
        if (width + w > columns && at > 0 && w > 0)
            return c == ' ' ? at : end > 0 ? end : at;
        if (c == ' ')
            end = at + n;
        width += w;
        before = w > 0 ? w : before;
        at += n;
    }
    return len;
}

static void put_indent(struct buf *b, int indent)
{
    buf_putf(b, "\n%*s", indent, "");
}

static void put_wrapped_line(struct buf *b, const struct show_style *s, const char *text, size_t len, int at,
                             int indent)
{
    int width = s->width > 0 ? s->width : UNKNOWN;

    while (len > 0) {
        size_t n = fit(text, len, width - at > 1 ? width - at : 1), end = n;

        while (n < len && end > 0 && text[end - 1] == ' ')
            end--;
        buf_put(b, text, end);
        text += n;
        len -= n;
        while (len > 0 && text[0] == ' ' && n > 0) {
            text++;
            len--;
        }
        if (len > 0)
            put_indent(b, indent);
        at = indent;
    }
}

void show_put_wrapped(struct buf *b, const struct show_style *s, const char *text, size_t len, int at,
                      int indent)
{
    const char *lf;

    if (s->width > 0 && s->width < NARROW && indent > 1)
        indent = 1;
    while ((lf = len > 0 ? memchr(text, '\n', len) : NULL) != NULL) {
        put_wrapped_line(b, s, text, (size_t)(lf - text), at, indent);
        put_indent(b, indent);
        at = indent;
        len -= (size_t)(lf + 1 - text);
        text = lf + 1;
    }
    put_wrapped_line(b, s, text, len, at, indent);
}

static int put_time(struct buf *b, const struct show_style *s, uint64_t time_ms, uint64_t now_ms)
{
    time_t then = (time_t)(time_ms / 1000), now = (time_t)(now_ms / 1000);
    struct tm at, today;
    char text[40];

    localtime_r(&then, &at);
    localtime_r(&now, &today);
    strftime(text, sizeof text,
             at.tm_yday == today.tm_yday && at.tm_year == today.tm_year ? "%H:%M " : "%b %d %H:%M ", &at);
    put_style(b, s, DIM);
    buf_puts(b, text);
    put_style(b, s, PLAIN);
    return show_text_width(text, strlen(text));
}

/* Where there are no styles, what is marked stands between asterisks. */
static void put_marked(struct buf *b, const struct show_style *s, const struct show_message *m)
{
    struct words w = {0};
    size_t at = 0, count, done = 0;

    words_split(&w, m->text, m->text_len);
    for (; words_next(m->marks, &w, &at, &count); at += count) {
        uint32_t from = w.v[at].from, to = w.v[at + count - 1].to;

        if (from < done)
            continue;
        sanitize_put_lines(b, m->text + done, from - done, "");
        buf_puts(b, s->color ? MARK : "*");
        sanitize_put_lines(b, m->text + from, to - from, "");
        buf_puts(b, s->color ? UNMARK : "*");
        done = to;
    }
    sanitize_put_lines(b, m->text + done, m->text_len - done, "");
    words_deinit(&w);
}

static void put_text(struct buf *b, const struct show_style *s, const struct show_message *m)
{
    if (m->is_removal)
        buf_puts(b, "(removed)");
    else if (m->marks != NULL)
        put_marked(b, s, m);
    else
        sanitize_put_lines(b, m->text, m->text_len, "");
}

/* "[general] ", or "[general #42] ". */
static void put_room(struct buf *b, const struct show_message *m)
{
    buf_puts(b, "[");
    sanitize_put(b, m->room, m->room_len);
    if (m->seq > 0)
        buf_putf(b, " #%llu", (unsigned long long)m->seq);
    buf_puts(b, "] ");
}

/* What stands before the text is wrapped with it: a long name of a room must not hide who speaks. */
void show_put_message(struct buf *b, const struct show_style *s, const struct show_message *m,
                      uint64_t now_ms)
{
    int at = put_time(b, s, m->time_ms, now_ms);
    struct buf line = {0};

    if (m->room != NULL)
        put_room(&line, m);
    put_style(&line, s, color_of(m->nick, m->nick_len));
    sanitize_put(&line, m->nick, m->nick_len);
    put_style(&line, s, PLAIN);
    if (m->about > 0) /* which earlier message it changes */
        buf_putf(&line, " ✎%llu", (unsigned long long)m->about);
    buf_puts(&line, ": ");
    if (m->is_old)
        put_style(&line, s, DIM);
    put_text(&line, s, m);
    show_put_wrapped(b, s, line.data, line.len, at, at + 2);
    if (m->is_old)
        put_style(b, s, PLAIN);
    buf_puts(b, "\n");
    buf_deinit(&line);
}

void show_put_notice(struct buf *b, const struct show_style *s, const char *mark, const char *text)
{
    struct buf fit = {0};

    sanitize_put_lines(&fit, text, strlen(text), "");
    put_style(b, s, strcmp(mark, "·") == 0 ? DIM : "\x1b[33m");
    buf_putf(b, "%s ", mark);
    show_put_wrapped(b, s, fit.data, fit.len, 2, 2);
    put_style(b, s, PLAIN);
    buf_puts(b, "\n");
    buf_deinit(&fit);
}

/* In all rooms but that one. */
static uint64_t count_unread(const struct client *c, const char *room)
{
    const struct model_room *r;
    uint64_t n = 0;

    TAILQ_FOREACH(r, &c->model.rooms, link)
    if (!model_is_same(r->name, strlen(r->name), room, strlen(room)))
        n += model_unread(r);
    return n;
}

static bool is_wanted(const struct client *c, const char *room)
{
    const struct model_room *r = model_find(&c->model, room, strlen(room));

    return r != NULL && r->wanted;
}

void show_put_prompt(struct buf *b, const struct show_style *s, const struct client *c, const char *room)
{
    uint64_t unread;

    if (s->color)
        buf_puts(b, "\001\x1b[1m\002");
    sanitize_put(b, room, strlen(room));
    if (c->state == CLIENT_ON && room[0] != '@' && !is_wanted(c, room))
        buf_puts(b, " (not in it)");
    if (c->state == CLIENT_OFF || c->state == CLIENT_ENDING)
        buf_puts(b, " (ended)");
    else if (c->state != CLIENT_ON)
        buf_puts(b, " (offline)");
    if (c->model.line_count > 0 && c->state != CLIENT_ON)
        buf_putf(b, " %zu waiting", c->model.line_count);
    if ((unread = count_unread(c, room)) > 0)
        buf_putf(b, " (%llu unread elsewhere)", (unsigned long long)unread);
    buf_puts(b, ">");
    if (s->color)
        buf_puts(b, "\001\x1b[0m\002");
    buf_puts(b, " ");
}
