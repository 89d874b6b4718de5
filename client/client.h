/* client.h: a user's connection to a server over all its losses: hello, rooms, own lines, and coming back.
 *
 * It holds a link (the connection of the moment) and a model (what outlives it). On each connection it says
 * hello, with the resume token of the last one, joins the wanted rooms after what was seen there, and sends
 * the pending lines again under their keys. A view is told what happens and says what the user wants. One
 * thread, that of the event_base. */
#ifndef CLIENT_CLIENT_H
#define CLIENT_CLIENT_H

#include "client/backoff.h"
#include "client/link.h"
#include "client/model.h"
#include "client/scram_client.h"
#include "client/secret_file.h"

#include <event2/event.h>

/* The exit codes of chat; the man page has them too. */
enum exit_code {
    EXIT_CLEAN = 0,
    EXIT_FAILED = 1, /* the server answered with an error, or a line was not sent */
    EXIT_USAGE = 2,
    EXIT_NOT_CONNECTED = 3,
    EXIT_LOST = 4,       /* the connection was lost and not got back */
    EXIT_DISTRUSTED = 5, /* the certificate was refused */
    EXIT_PROTOCOL = 6,   /* that is no chat server, or one of another version */
};

enum client_state {
    CLIENT_OFF,        /* before client_start, and after the end */
    CLIENT_CONNECTING, /* to welcome */
    CLIENT_ON,
    CLIENT_ENDING,  /* our side is ended; the server still delivers */
    CLIENT_WAITING, /* to connect again */
    CLIENT_ASKING,  /* the user, for a password; there is no connection meanwhile */
};

enum client_news {
    CLIENT_CONNECTED,
    CLIENT_RECONNECTED,
    CLIENT_LOST,     /* and it connects again by itself */
    CLIENT_RETRYING, /* connecting again failed; it tries again later */
    CLIENT_NICK,     /* another nick than asked for had to do */
    CLIENT_CERTIFICATE,
    CLIENT_BEHIND, /* the server has more to come than what is on its way */
    CLIENT_CAUGHT_UP,
    CLIENT_STARTED_OVER,
    CLIENT_GAP,
    CLIENT_BYE,
    CLIENT_PROBLEM,
    CLIENT_OVER, /* the connection ended in good order; not by /quit */
};

enum line_news { LINE_PENDING, LINE_SENT, LINE_FAILED };

struct client;

/* What a view can be told. Texts are sentences without an end mark, already fit for a terminal. Any may be
 * NULL. */
struct client_view {
    void (*raw)(void *view, const char *line,
                size_t len);                              /* each line of the server, before it is taken in */
    void (*message)(void *view, const struct message *m); /* the same, decoded; no message is told twice */
    void (*news)(void *view, enum client_news what, const char *text);
    void (*own_line)(void *view, const struct model_line *line, enum line_news what, const char *why);
    void (*room)(void *view, struct model_room *r, bool joined); /* now in it, or not any more */
    void (*watch)(void *view, enum link_event e);
    void (*may_say)(void *view);                              /* connected, and client_is_full is false */
    void (*over)(void *view, int exit_code, const char *why); /* the end; why is NULL where all went well */

    /* To ask the user for the password of the nick's account, for client_give_password; NULL: nobody is there
     * to ask. why: what was wrong so far, or NULL. */
    void (*ask_password)(void *view, const char *why);
};

enum login_step { LOGIN_NOT, LOGIN_BY_KEY, LOGIN_BY_PASSWORD };

/* Logging in to an account. */
struct client_login {
    enum login_step step; /* what is under way on this connection */
    char mechanisms[160]; /* that the server takes, as it said it */
    char *password;       /* of the heap, or NULL: none is known */
    EVP_PKEY *key;        /* this machine's, once it was needed */
    bool key_refused;     /* it is not there, or the account does not know it */
    bool is_done;         /* on this connection */
    bool is_needed;       /* on each: the nick is an account's as far as the user knows, or was found to be */
    struct scram_client scram;
};

struct client_config {
    const char *host;
    const char *server; /* HOST:PORT, for people and known_hosts */
    const char *nick;
    const char *known_hosts; /* NULL: certificates have to be verified */
    const char *key_file;    /* of this machine's key; NULL: there is no place for one */
    const char *password;    /* of the nick's account; NULL: none was given */
    SSL_CTX *tls;            /* NULL: plain */
    uint16_t port;
    bool ca_given; /* then no fingerprint in known_hosts will do */
    bool stay;     /* on_eof: stay */
    bool reconnect;
    bool other_nick; /* nick_ will do where nick is taken */
    bool is_loopback;
    bool quiet;           /* no lifecycle log */
    bool passes_requests; /* the user's requests are his own: the model is left alone */
    bool tells_read;      /* the view says what the user has seen */
};

struct client {
    struct event_base *base;
    struct client_config config;
    const struct client_view *view;
    void *view_arg;
    struct link *link;
    struct event *timer;
    struct model model;
    struct backoff backoff;
    enum client_state state;
    struct client_login login;
    char nick[64]; /* the one in use, or to be asked for */
    char *resume;
    char session[64];
    char agent[64]; /* the server's */
    char bye_code[32];
    char *bye_text;
    uint64_t heard_us; /* monotonic: the last line */
    int64_t ahead_ms;  /* of our clock is the server's */
    uint64_t connected_us;
    unsigned returns; /* tries to come back since the last connection */
    uint32_t retry_after_ms, max_text, max_line, ping_s;
    unsigned nick_tries;
    int exit_code;   /* the worst of what happened */
    bool is_account; /* the nick of this connection is one */
    bool was_on, said_bye, got_bye, user_ended, half_closed, ping_sent, is_over;
};

void client_init(struct client *c, struct event_base *base, const struct client_config *config,
                 const struct client_view *view, void *view_arg);
void client_deinit(struct client *c);

void client_want_room(struct client *c, const char *name); /* before start or after: joins */
void client_leave_room(struct client *c, struct model_room *r);
void client_start(struct client *c);

/* Says a line in a room or to @nick, now or when there is a connection again. 0; -EMSGSIZE; -E2BIG where the
 * request, with what has to be escaped, is a longer line than the server takes; -EILSEQ where it is no UTF-8;
 * -EPIPE after the end of our side. */
int client_say(struct client *c, const char *room, const char *text, size_t len);

/* Any other request, as it is, with its LF. -ENOTCONN while there is no welcome. */
int client_request(struct client *c, const char *line, size_t len);
bool client_is_full(const struct client *c); /* wait for may_say */

/* The end of our side: what was said is still sent, on the next connection if need be; `over` comes when the
 * server has ended too. */
void client_end(struct client *c);

/* The same by hand: when the server has ended too there is news (CLIENT_OVER), and client_reconnect still
 * works. */
void client_half_close(struct client *c);

/* Leaves with `bye`, for at most ms; then `over`. */
void client_quit(struct client *c, unsigned ms);
void client_reconnect(struct client *c); /* now, whatever the state */

/* What the user was asked for; "" for none, which ends it. */
void client_give_password(struct client *c, const char *text);

/* Asks the server to make the nick an account, or the account to have that password (or NULL: as it is) and
 * this machine's key, which is made where there is none. The answer carries that id. false: err says why
 * nothing was sent. */
bool client_register(struct client *c, const char *id, const char *password, bool with_key,
                     char err[SECRET_ERROR_SIZE]);

/* This machine's public key in base64; false: it has none that can be read. */
#define CLIENT_KEY_SIZE 45
bool client_own_key(struct client *c, char text[CLIENT_KEY_SIZE]);

/* client_trust.c: whether to go on with a server of that certificate; where not, it is over. */
bool client_trusts(struct client *c, const struct link_certificate *cert);

/* client_login.c, for the others. */
void client_login_required(struct client *c, const struct message *m);
bool client_login_take(struct client *c, const struct message *m); /* whether it was about a login */
bool client_login_suffices(struct client *c, bool is_account);     /* for welcome; else it is over */
void client_login_deinit(struct client *c);

/* client_read.c: of an account. The user has seen all that has come in that room. What waits in a direct
 * conversation is fetched by client_read_on. */
#define CLIENT_READ_ID "chat.read" /* of the requests that tell what was seen */
void client_saw(struct client *c, struct model_room *r);
void client_read_on(struct client *c, struct model_room *r);

/* The same, for the others. */
void client_send_reads(struct client *c);
void client_take_read(struct model_room *r, const struct message *m); /* also of a `joined` */
void client_take_unread(struct model_room *r, const struct message *m);
bool client_keeps_back(struct client *c, struct model_room *r); /* a message that comes with what waits */
void client_count(struct client *c, struct model_room *r, uint64_t seq, bool is_own);

/* A line that is not sent, and never will be. */
void client_fail_line(struct client *c, struct model_line *line, const char *why);

/* client_line.c: what a line of the server means. */
#define CLIENT_HELLO_ID "chat.hello"
void client_take_line(struct client *c, char *line, size_t len);
void client_greet(struct client *c);
void client_send_pending(struct client *c);
void client_join(struct client *c, struct model_room *r);
void client_join_id(const struct model_room *r, char id[PROTOCOL_MAX_ID + 1]); /* of that request */

/* client_error.c: the same of an error. */
bool client_take_error(struct client *c, const struct message *m); /* true: the view need not hear of it */
bool client_put_off(struct client *c, const struct message *m);    /* true: it is waited for, and said so */
uint32_t client_retry_ms(const struct message *m);                 /* how long to wait, within reason; or 0 */
void client_rejoin(struct client *c);                              /* the rooms whose time has come */
void client_drop_uncertain(struct client *c); /* under another nick the keys of what was sent mean nothing */
void client_take_other_nick(struct client *c,
                            const struct message *m); /* the one asked for is not to be had */

/* For these files. */
void client_tell(struct client *c, enum client_news what, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void client_give_up(struct client *c, int exit_code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void client_came_on(struct client *c);
void client_wait(struct client *c, uint32_t ms); /* then connects again */

/* Waits and connects again, and says so; seldom where it has said so often. was_on: a connection was lost,
 * why says how; else none could be made, why says why in a few words. */
void client_come_back(struct client *c, bool was_on, const char *why);

#endif
