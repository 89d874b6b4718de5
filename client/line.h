/* line.h: chat on a terminal, as its parts share it: view_line.c shows what comes, line.c takes what is
 * typed, command.c does what it says. */
#ifndef CLIENT_LINE_H
#define CLIENT_LINE_H

#include "client/chat.h"
#include "client/show.h"
#include "common/utf8.h"

struct line_view {
    struct chat *chat;
    struct show_style style;
    struct event *tick;
    char room[PROTOCOL_MAX_ROOM + 1]; /* the one that is talked to, or @nick */
    struct buf out;                   /* what is being put together for the terminal */
    struct buf names;                 /* of the `who` whose answer is coming */
    unsigned asked;                   /* requests of commands so far: their ids are "line." and this */
    unsigned asked_bans;              /* that of the last /bans */
    unsigned asked_numbers;           /* that of the last /history that shows numbers */
    char put_out[UTF8_NICK_MAX + 1];  /* the last one who was put out, of whom it is told that it left, too */
    char *first_secret;               /* typed once, to be typed again; or NULL */
    bool was_account;                 /* when it was typed */
    bool unregisters;                 /* the last of /unkey and /unregister: the account, not only a key */
    bool has_set_password;            /* by the last of /register, /password and /key, not only a key */
    struct line_search {
        unsigned asked;           /* the request whose answer is coming, or came last; 0: none */
        unsigned empty;           /* answers in a row that had nothing */
        bool any;                 /* something has been found */
        struct buf query, next;   /* next: empty where there is no more */
        struct words_query words; /* of the query */
    } search;
    bool term_ready, ending_by_hand;
};

/* secret.c: passwords, and the account that they are of. */
void secret_ask_login(struct line_view *v, const char *why); /* to log in */
void secret_run_register(struct line_view *v, char *args);   /* the commands of that name */
void secret_run_password(struct line_view *v, char *args);
void secret_run_key(struct line_view *v, char *args);
void secret_run_keys(struct line_view *v, char *args);
void secret_run_unkey(struct line_view *v, char *args);
void secret_run_unregister(struct line_view *v, char *args);
void secret_show_registered(struct line_view *v);
void secret_show_keys(struct line_view *v, const struct message *m);
void secret_show_unregistered(struct line_view *v);

/* line.c. A notice need not be fit for a terminal. */
void line_notice(struct line_view *v, const char *mark, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void line_flush(struct line_view *v); /* what is in out goes to the terminal */
void line_say(struct line_view *v, const char *room, const char *text, size_t len);
void line_take_typed(void *view, const char *text); /* for a term_handler */

/* view_line.c */
void line_look_at(struct line_view *v, const char *room);

/* command.c: one line that begins with a slash. */
void command_run(struct line_view *v, char *line);

/* search.c: `/search` and `/more`, and what comes of them. */
void search_begin(struct line_view *v, const char *query);
void search_more(struct line_view *v);
bool search_is_answer(const struct line_view *v, const struct message *m);
void search_take(struct line_view *v, const struct message *m); /* a line of the answer */
void search_deinit(struct line_search *s);

/* Gives the request an id of its own, so that what answers it is known, and sends it. */
void command_ask(struct line_view *v, struct buf *b);

/* Messages of a room: FIELD_BEFORE a seq or FIELD_AROUND it, where it is not 0; else the newest. */
void command_ask_history(struct line_view *v, const char *room, enum message_field where, uint64_t seq,
                         unsigned limit);

/* complete.c: see term.h. */
char **complete_word(const struct model *m, const char *room, const char *line, size_t start,
                     const char *word);

/* Command number i with its slash, or NULL behind the last one. */
const char *command_name(size_t i);

#endif
