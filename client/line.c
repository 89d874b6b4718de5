/* line.c: what is typed on a terminal goes to where it belongs, and notices go on the screen; see line.h. */
#include "client/line.h"

#include "client/explain.h"
#include "client/term.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

void line_flush(struct line_view *v)
{
    term_print(v->out.data, v->out.len);
    buf_clear(&v->out);
}

void line_notice(struct line_view *v, const char *mark, const char *format, ...)
{
    struct buf text = {0};
    va_list args, again;
    int len;

    va_start(args, format);
    va_copy(again, args);
    len = vsnprintf(NULL, 0, format, args);
    vsnprintf(buf_reserve(&text, (size_t)len + 1), (size_t)len + 1, format, again);
    va_end(again);
    va_end(args);
    v->style.width = term_width();
    show_put_notice(&v->out, &v->style, mark, text.data);
    buf_deinit(&text);
    line_flush(v);
}

void line_say(struct line_view *v, const char *room, const char *text, size_t len)
{
    struct client *c = &v->chat->client;
    struct model_room *r = model_find(&c->model, room, strlen(room));
    struct buf why = {0};
    int ret;

    if (room[0] != '@' && (r == NULL || !r->wanted)) {
        line_notice(v, "!", "you are not in %s: /join %s, or /room for where you are", room, room);
        return;
    }
    ret = client_say(c, room, text, len);
    if (ret == 0)
        return;
    explain_unsaid(&why, c, ret, len);
    line_notice(v, "✗", "not sent: %s", why.data);
    buf_deinit(&why);
}

/* Cuts off what one does not see at the line's end; how long it is then. */
static size_t trim(char *line)
{
    size_t len = strlen(line);

    while (len > 0 && (line[len - 1] == '\r' || line[len - 1] == ' '))
        line[--len] = '\0';
    return len;
}

static void take_line(struct line_view *v, char *line, size_t len, bool is_literal)
{
    if (line[0] != '/' || is_literal)
        line_say(v, v->room, line, len);
    else if (line[1] == '/')
        line_say(v, v->room, line + 1, len - 1);
    else
        command_run(v, line);
}

static bool has_several_lines(const char *text)
{
    size_t lines = 0, len;

    for (; *text != '\0'; text += len + (text[len] == '\n')) {
        len = strcspn(text, "\n");
        lines += strspn(text, "\r ") < len;
    }
    return lines > 1;
}

/* A slash in the middle of what was pasted is part of it: nobody has read it as a command, or wants it to be
 * one. */
void line_take_typed(void *view, const char *text)
{
    bool is_pasted = has_several_lines(text);
    struct line_view *v = view;
    struct buf copy = {0};
    char *save, *line;
    size_t len;

    buf_put(&copy, text, strlen(text) + 1);
    for (line = strtok_r(copy.data, "\n", &save); line != NULL && !v->chat->client.is_over;
         line = strtok_r(NULL, "\n", &save))
        if ((len = trim(line)) > 0)
            take_line(v, line, len, is_pasted);
    buf_deinit(&copy);
}
