/* term.h: the terminal: a line that is being typed at the bottom, and what is printed above it.
 *
 * GNU readline's callback interface on the event loop: nothing blocks but a paste that is still coming in.
 * What is printed during one turn of the loop is written at its end, at once, and the typed line is drawn
 * again below it. There is one terminal, so this is a module and no object. */
#ifndef CLIENT_TERM_H
#define CLIENT_TERM_H

#include <event2/event.h>
#include <stdbool.h>
#include <stddef.h>

struct term_handler {
    void (*line)(void *owner,
                 const char *text); /* Enter. What was pasted may have several lines, with LF between */
    void (*end)(void *owner);       /* ^D on an empty line, ^C twice, SIGTERM, a terminal that went away */

    /* The words that the one from start to the cursor can become, for TAB: an array that ends with NULL, of
     * strings; both are taken over and freed. NULL: none. */
    char **(*complete)(void *owner, const char *line, size_t start, const char *word);
};

void term_init(struct event_base *base, const struct term_handler *handler, void *owner);
void term_deinit(void); /* the terminal is as it was; once or more */

/* Whole lines, each with its LF, fit for a terminal. */
void term_print(const char *text, size_t len);

/* Asks for a line that is not shown while it is typed and kept nowhere; then given: once, NULL for ^C or the
 * end of input. What was being typed comes back afterwards. prompt: fits the line, and is copied. */
typedef void term_given_fn(void *owner, const char *text);
void term_ask_secret(const char *prompt, term_given_fn *given);

void term_set_prompt(const char *prompt); /* colours in \001 \002, as readline wants it */
int term_width(void);                     /* columns; 0 where that is not known */

#endif
