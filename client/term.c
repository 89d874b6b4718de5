/* term.c: see term.h. */
#include "client/term.h"

#include "client/show.h"
#include "common/buf.h"
#include "common/clock.h"
#include "common/mem.h"

#include <langinfo.h>
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <readline/history.h>
#include <readline/readline.h>

#define AGAIN_US 2000000 /* within that time a second ^C leaves */
#define WRAP_OFF "\x1b[?7l"
#define WRAP_ON  "\x1b[?7h"
#define HINT     "· ^C once more, or /quit, leaves\n"

enum { SIGNALS = 7 };

static const struct term_handler *handler;
static void *owner;
static struct event *input, *flush, *signals[SIGNALS];
static struct buf out;
static uint64_t interrupted_us;
static bool ready;

/* While a secret is asked for: who gets it, what was being typed, and how many bytes wide the question is. */
static struct secret {
    term_given_fn *given; /* NULL: none is asked for */
    char prompt[160];
    char *typed;
    Keymap keys, usual; /* only what enters a secret; those of before */
} secret;

/* readline's own drawing would show what is typed. A question that filled the line would begin a new one with
 * each key. */
static void draw_secret(void)
{
    int width = term_width();

    fputs("\r\x1b[K", stdout);
    fwrite(secret.prompt, 1, show_cut(secret.prompt, strlen(secret.prompt), width > 0 ? width - 1 : 79),
           stdout);
    fflush(stdout);
}

static void draw_again(void)
{
    if (secret.given != NULL) {
        draw_secret();
        return;
    }
    rl_on_new_line();
    rl_redisplay();
}

/* The window may have another size. readline goes up by as many lines as it has drawn, and clears from there;
 * where the terminal has set the typed line anew over fewer of them, those that are gone would be taken from
 * what stands above. */
static void take_size(void)
{
    size_t len = (size_t)rl_point;
    int rows, was, is = term_width(), cells;

    rl_get_screen_size(&rows, &was);
    cells =
        show_text_width(rl_display_prompt, strlen(rl_display_prompt)) + show_text_width(rl_line_buffer, len);
    if (was > 0 && is > was)
        for (int gone = cells / was - cells / is; gone > 0; gone--)
            putchar('\n');
    rl_resize_terminal();
}

static void clear_line(void)
{
    int rows, columns;

    if (secret.given != NULL) {
        fputs("\r\x1b[K", stdout);
        return;
    }
    rl_get_screen_size(&rows, &columns);
    if (columns != term_width())
        take_size(); /* the signal is still on its way */
    rl_clear_visible_line();
}

/* The lines are wrapped already. Where the terminal finds one wider than we do, its end is lost rather
 * than set below, where it could pass for a line of its own. */
static void put_lines(const char *text, size_t len)
{
    const char *kind = getenv("TERM");
    bool obeys = kind != NULL && strcmp(kind, "dumb") != 0;

    if (len == 0)
        return;
    fputs(obeys ? WRAP_OFF : "", stdout);
    fwrite(text, 1, len, stdout);
    fputs(obeys ? WRAP_ON : "", stdout);
}

static void write_out(void)
{
    clear_line();
    put_lines(out.data, out.len);
    buf_clear(&out);
    draw_again();
    fflush(stdout);
}

static void on_flush(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what, (void)arg;
    if (ready && out.len > 0)
        write_out();
}

void term_print(const char *text, size_t len)
{
    if (!ready) {
        put_lines(text, len);
        fflush(stdout);
        return;
    }
    buf_put(&out, text, len);
    event_active(flush, EV_TIMEOUT, 1);
}

/* An empty line. readline keeps the one that is being typed while it shows an older one, and the older one's
 * undo list: of neither may anything come back. */
static void start_anew(void)
{
    HIST_ENTRY **entries = history_list();

    for (; entries != NULL && *entries != NULL; entries++)
        if ((*entries)->data == rl_undo_list)
            (*entries)->data = NULL;
    rl_replace_line("", 1);
    rl_maybe_unsave_line();
    rl_replace_line("", 1);
    using_history();
}

static void drop_typed(void)
{
    clear_line();
    start_anew();
    draw_again();
}

/* What was typed is wiped, and the line is readline's again. The answer may ask for the next secret. */
static void give_secret(bool is_given)
{
    term_given_fn *given = secret.given;
    char *text = is_given ? mem_strdup(rl_line_buffer) : NULL;

    clear_line();
    mem_wipe(rl_line_buffer, (size_t)rl_end);
    secret.given = NULL;
    rl_redisplay_function = rl_redisplay;
    rl_set_keymap(secret.usual);
    start_anew();
    rl_replace_line(secret.typed != NULL ? secret.typed : "", 1);
    rl_point = rl_end;
    free(secret.typed);
    secret.typed = NULL;
    draw_again();
    given(owner, text);
    if (text != NULL)
        mem_wipe(text, strlen(text));
    free(text);
}

void term_ask_secret(const char *prompt, term_given_fn *given)
{
    if (secret.given != NULL)
        give_secret(false);
    rl_clear_visible_line();
    secret.typed = mem_strdup(rl_line_buffer);
    start_anew();
    secret.usual = rl_get_keymap();
    rl_set_keymap(secret.keys);
    snprintf(secret.prompt, sizeof secret.prompt, "%s", prompt);
    secret.given = given;
    rl_redisplay_function = draw_secret;
    draw_secret();
}

/* Enter. The typed line is taken off the screen: it comes back as a message, or as a notice of why it did
 * not. */
static int accept_line(int count, int key)
{
    char *text;

    (void)count, (void)key;
    if (secret.given != NULL) {
        give_secret(true);
        return 0;
    }
    text = mem_strdup(rl_line_buffer);
    drop_typed();
    if (text[0] != '\0') {
        add_history(text);
        using_history();
        handler->line(owner, text);
    }
    free(text);
    return 0;
}

/* ^U, ^W: readline's own would keep it for ^Y. */
static int wipe_secret(int count, int key)
{
    (void)count, (void)key;
    mem_wipe(rl_line_buffer, (size_t)rl_end);
    rl_replace_line("", 1);
    return 0;
}

/* readline's own end of a line: only of the input, as Enter goes to accept_line. */
static void on_readline(char *text)
{
    free(text);
    if (text == NULL && secret.given != NULL)
        give_secret(false);
    else if (text == NULL)
        handler->end(owner);
}

static void on_input(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what, (void)arg;
    if (ready)
        rl_callback_read_char();
}

static void interrupt(void)
{
    uint64_t now = clock_mono_us();
    bool was_empty = rl_end == 0;

    rl_free_line_state();
    rl_callback_sigcleanup();
    if (secret.given != NULL) {
        give_secret(false);
        return;
    }
    drop_typed();
    if (was_empty && interrupted_us != 0 && now - interrupted_us < AGAIN_US) {
        handler->end(owner);
        return;
    }
    interrupted_us = now;
    if (was_empty)
        term_print(HINT, sizeof HINT - 1);
}

/* ^Z: the shell gets its terminal back as it was, and we ours when it lets us go on. */
static void suspend(void)
{
    rl_clear_visible_line();
    fflush(stdout);
    rl_deprep_terminal();
    kill(getpid(), SIGSTOP);
    rl_prep_terminal(1);
    rl_resize_terminal();
    rl_forced_update_display();
}

/* ^\: at once, but the terminal is left as it was. */
static void die(void)
{
    clear_line();
    fflush(stdout);
    rl_deprep_terminal();
    signal(SIGQUIT, SIG_DFL);
    raise(SIGQUIT);
}

static void on_signal(evutil_socket_t number, short what, void *arg)
{
    (void)what, (void)arg;
    if (!ready)
        return;
    if (number == SIGINT)
        interrupt();
    else if (number == SIGTSTP)
        suspend();
    else if (number == SIGQUIT)
        die();
    else if (number == SIGWINCH && secret.given == NULL)
        take_size();
    else if (number == SIGWINCH)
        rl_resize_terminal();
    else if (number != SIGCONT)
        handler->end(owner);
}

/* For rl_completion_matches, which asks until it gets NULL and frees what it gets. */
static char **candidates;

static char *next_candidate(const char *word, int state)
{
    static size_t at;

    (void)word;
    if (state == 0)
        at = 0;
    return candidates != NULL ? candidates[at] != NULL ? candidates[at++] : NULL : NULL;
}

static char **complete(const char *word, int start, int end)
{
    char **matches;

    (void)end;
    rl_attempted_completion_over = 1; /* no file names */
    rl_completion_suppress_append = 1;
    if (secret.given != NULL)
        return NULL;
    candidates = handler->complete(owner, rl_line_buffer, (size_t)start, word);
    matches = candidates != NULL ? rl_completion_matches(word, next_candidate) : NULL;
    free(candidates);
    candidates = NULL;
    return matches;
}

/* Wide characters need a locale that knows UTF-8; a container often has none set. */
static void set_locale(void)
{
    setlocale(LC_ALL, "");
    if (strcmp(nl_langinfo(CODESET), "UTF-8") != 0)
        setlocale(LC_CTYPE, "C.UTF-8");
}

/* While a secret is typed nothing is kept, shown or fetched from elsewhere. */
static Keymap new_secret_keys(void)
{
    static const char wiping[] = {'U' & 0x1f, 'W' & 0x1f, 'X' & 0x1f};
    rl_command_func_t *accept = accept_line;
    Keymap keys = rl_make_keymap();

    for (size_t i = 0; i < sizeof wiping; i++)
        rl_bind_key_in_map(wiping[i], wipe_secret, keys);
    rl_bind_key_in_map('\r', accept, keys);
    rl_bind_key_in_map('\n', accept, keys);
    rl_bind_keyseq_in_map("\033[200~", rl_bracketed_paste_begin, keys);
    return keys;
}

static void set_up_readline(void)
{
    rl_command_func_t *accept = accept_line;
    Keymap maps[] = {emacs_standard_keymap, vi_insertion_keymap, vi_movement_keymap};

    rl_readline_name = "chat";
    rl_catch_signals = rl_catch_sigwinch = 0;
    rl_completion_query_items = -1; /* that question would hold up everything */
    rl_completer_word_break_characters = (char *)(uintptr_t) " \t\n";
    rl_attempted_completion_function = complete;
    rl_initialize();
    rl_variable_bind("page-completions", "off");
    rl_variable_bind("enable-bracketed-paste", "on");
    rl_variable_bind("completion-ignore-case", "on");
    for (size_t i = 0; i < sizeof maps / sizeof *maps; i++) {
        rl_bind_key_in_map('\r', accept, maps[i]);
        rl_bind_key_in_map('\n', accept, maps[i]);
    }
    secret.keys = new_secret_keys();
    using_history();
    stifle_history(1000);
    rl_callback_handler_install("", on_readline);
}

void term_init(struct event_base *base, const struct term_handler *h, void *arg)
{
    static const int numbers[SIGNALS] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP, SIGWINCH, SIGCONT};

    handler = h;
    owner = arg;
    set_locale();
    input = event_new(base, STDIN_FILENO, EV_READ | EV_PERSIST, on_input, NULL);
    flush = event_new(base, -1, 0, on_flush, NULL);
    for (int i = 0; i < SIGNALS; i++) {
        signals[i] = evsignal_new(base, numbers[i], on_signal, NULL);
        event_add(signals[i], NULL);
    }
    event_add(input, NULL);
    set_up_readline();
    ready = true;
}

void term_deinit(void)
{
    if (!ready)
        return;
    clear_line();
    if (secret.given != NULL)
        rl_set_keymap(secret.usual);
    secret.given = NULL;
    free(secret.typed);
    secret.typed = NULL;
    rl_redisplay_function = rl_redisplay;
    put_lines(out.data, out.len);
    rl_set_prompt("");
    rl_replace_line("", 1);
    rl_callback_handler_remove();
    rl_discard_keymap(secret.keys);
    free(secret.keys);
    fflush(stdout);
    ready = false;
    buf_deinit(&out);
    clear_history();
    event_free(input);
    event_free(flush);
    for (int i = 0; i < SIGNALS; i++)
        event_free(signals[i]);
}

void term_set_prompt(const char *prompt)
{
    if (!ready)
        return;
    if (secret.given != NULL) {
        rl_set_prompt(prompt);
        return;
    }
    clear_line();
    rl_set_prompt(prompt);
    draw_again();
}

int term_width(void)
{
    struct winsize size; /* readline learns of a new one a moment later */

    return ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 ? size.ws_col : 0;
}
