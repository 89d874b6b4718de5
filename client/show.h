/* show.h: what the terminal shows, as text: messages with time, nick and colour, wrapped to its width, and
 * the state of the connection. Everything of others goes through sanitize.h here. No state; one thread
 * (localtime). */
#ifndef CLIENT_SHOW_H
#define CLIENT_SHOW_H

#include "client/client.h"
#include "common/words.h"

#include <stdbool.h>

struct show_style {
    bool color;
    int width; /* columns; 0: not known */
};

struct show_message {
    const char *room; /* NULL: the one that is looked at, not shown */
    size_t room_len;
    const char *nick, *text;
    size_t nick_len, text_len;
    uint64_t time_ms;
    bool is_old;                     /* of the history */
    uint64_t about;                  /* not 0: it changes that earlier message */
    bool is_removal;                 /* and takes it back */
    uint64_t seq;                    /* not 0: it is shown, with the room */
    const struct words_query *marks; /* what is marked in the text; or NULL */
};

/* "19:02 ann: text", with the day where it is not today. */
void show_put_message(struct buf *b, const struct show_style *s, const struct show_message *m,
                      uint64_t now_ms);

/* A line of chat's own: a mark ("·", "!", "✗"), then the text. */
void show_put_notice(struct buf *b, const struct show_style *s, const char *mark, const char *text);

/* Appends text (fit for a terminal, LF kept) so that no line is wider than the style's, the first one
 * beginning at column `at`, and every further one with indent spaces, or with one where that is too many:
 * nothing that wraps can pass for a line of its own. */
void show_put_wrapped(struct buf *b, const struct show_style *s, const char *text, size_t len, int at,
                      int indent);
int show_text_width(const char *text, size_t len);
size_t show_cut(const char *text, size_t len, int columns); /* how many bytes of it take no more columns */

/* The connection of the moment, or the last one: `/tcp`. */
void show_put_connection(struct buf *b, const struct show_style *s, const struct client *c);

/* "general> ", with what is to be known besides. */
void show_put_prompt(struct buf *b, const struct show_style *s, const struct client *c, const char *room);

#endif
