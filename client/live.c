/* live.c: see live.h. News only wakes a timer: what happened in one moment is drawn together, when it is old
 * enough for a rung to be whole. */
#include "client/live.h"

#include "common/mem.h"

#include <langinfo.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define WAIT_US       20000
#define DEFAULT_WIDTH 100
#define WIDEST        400

struct live {
    struct live_options options;
    struct rungs *rungs;
    struct event *timer;
    bool ascii;
};

/* In a locale that was chosen and has no UTF-8. Where none was, as in many a container, the rest of chat
 * takes UTF-8 for granted, too. */
static bool wants_ascii(void)
{
    static const char *const names[] = {"LC_ALL", "LC_CTYPE", "LANG"};
    const char *value = NULL;
    locale_t locale;
    bool ascii;

    for (size_t i = 0; i < 3 && (value == NULL || value[0] == '\0'); i++)
        value = getenv(names[i]);
    if (value == NULL || value[0] == '\0')
        return false;
    locale = newlocale(LC_CTYPE_MASK, "", (locale_t)0);
    if (locale == (locale_t)0)
        return false;
    ascii = strcmp(nl_langinfo_l(CODESET, locale), "UTF-8") != 0;
    freelocale(locale);
    return ascii;
}

static int width_of_stderr(void)
{
    struct winsize size;

    return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 ? size.ws_col : 0;
}

static void print_to_stderr(void *arg, const char *text, size_t len)
{
    (void)arg;
    fwrite(text, 1, len, stderr);
    fflush(stderr);
}

/* False: the window is too narrow for it. */
static bool find_style(const struct live *l, struct rungs_style *s)
{
    int width = l->options.width();

    width = width <= 0 ? DEFAULT_WIDTH : width > WIDEST ? WIDEST : width;
    *s = (struct rungs_style){.width = (unsigned)width, .color = l->options.color, .ascii = l->ascii};
    return width >= RUNGS_WIDTH;
}

static bool draw_new(struct live *l, bool all)
{
    struct rungs_style style;
    struct buf b = {0};
    bool held;

    if (!find_style(l, &style))
        style.width = RUNGS_WIDTH;
    held = rungs_put_new(l->rungs, &b, &style, all);
    if (b.len > 0)
        l->options.print(l->options.arg, b.data, b.len);
    buf_deinit(&b);
    return held;
}

static void wait(struct live *l)
{
    const struct timeval soon = {.tv_usec = WAIT_US};

    if (!evtimer_pending(l->timer, NULL))
        evtimer_add(l->timer, &soon);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    struct live *l = arg;

    (void)fd, (void)what;
    if (rungs_is_followed(l->rungs) && draw_new(l, false))
        wait(l);
}

static void on_news(void *arg)
{
    wait(arg);
}

static void on_over(void *arg)
{
    draw_new(arg, true);
}

struct live *live_new(struct event_base *base, const struct live_options *o)
{
    struct live *l = mem_zalloc(sizeof *l);

    l->options = *o;
    if (l->options.print == NULL)
        l->options.print = print_to_stderr;
    if (l->options.width == NULL)
        l->options.width = width_of_stderr;
    l->ascii = wants_ascii();
    l->timer = evtimer_new(base, on_timer, l);
    l->rungs = rungs_new(on_news, on_over, l);
    if (o->follow)
        rungs_follow(l->rungs, true);
    return l;
}

void live_free(struct live *l)
{
    if (l == NULL)
        return;
    if (rungs_is_followed(l->rungs))
        draw_new(l, true);
    rungs_free(l->rungs);
    event_free(l->timer);
    free(l);
}

static const char too_narrow[] = "the ladder takes 60 columns: make the window wider";

const char *live_show(struct live *l, bool all)
{
    struct rungs_style style;
    struct buf b = {0};

    if (!find_style(l, &style))
        return too_narrow;
    if (rungs_put(l->rungs, &b, &style, all))
        l->options.print(l->options.arg, b.data, b.len);
    buf_deinit(&b);
    return NULL;
}

const char *live_follow(struct live *l, bool on)
{
    struct rungs_style style;

    if (on && !find_style(l, &style))
        return too_narrow;
    if (!on && rungs_is_followed(l->rungs))
        draw_new(l, true);
    rungs_follow(l->rungs, on);
    return NULL;
}

bool live_is_followed(const struct live *l)
{
    return rungs_is_followed(l->rungs);
}
