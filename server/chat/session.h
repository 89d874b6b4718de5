/* session.h: who a connection is, and what it may do. The thread of its reactor. */
#ifndef CHAT_SESSION_H
#define CHAT_SESSION_H

#include "protocol/codec.h"
#include "server/chat/chat.h"
#include "server/net/conn.h"

struct login;
struct member;

/* What only a session needs that is about to end. */
struct session_end {
    struct session *next; /* of those that end with this turn */
    uint8_t id_len;
    char id[PROTOCOL_MAX_ID]; /* of the request `bye` */
};

struct session {
    struct conn conn;  /* first: net/ allocates the whole */
    struct nick *nick; /* NULL before hello, and when it has let go */
    union {
        struct member *members; /* while it has a nick */
        struct login
            *login; /* while it has none: one that is under way, or done and waiting for hello; or NULL */
    };
    uint16_t member_count, behind;
    bool stays : 1, at_eof : 1, wants_bye : 1, is_stopped : 1, is_finishing : 1, said_bye : 1;
    bool is_feeding : 1;     /* one of its members that are behind */
    struct session_end *end; /* NULL while it goes on */
};

static inline struct session *session_of(struct conn *c)
{
    return (struct session *)(void *)c;
}

static inline struct chat *session_chat(const struct session *s)
{
    return chat_of(s->conn.reactor);
}

/* A request is under way elsewhere, and has been answered. A session at its peer's EOF ends when none is
 * left. */
void session_hold(struct session *s);
void session_unhold(struct session *s);

/* No further request is carried out until this one, of which there is one at a time, is answered: because
 * they may depend on it, or because its answer may be large and only what has come back of answers is
 * counted. */
void session_wait(struct session *s);
void session_go_on(struct session *s);

/* Says `bye` and ends our side. code: static, one of PROTOCOL.md's, and the log's reason; text: for a person.
 * It is also the answer to the session's own request `bye`, where that is still to be answered. */
void session_bye(struct session *s, const char *code, const char *text);

/* Leaves all rooms and the directory; `event` is what the rooms are told: "leave" or "detach". Idempotent. */
void session_let_go(struct session *s, const char *event);

/* If it is at its peer's EOF, or has asked for its bye, and nothing is left to do, that is due at the end of
 * the turn. */
void session_consider_finish(struct session *s);
struct session_end *session_get_end(struct session *s); /* made where it is not there yet */
void session_finish_all(struct chat *chat);
bool session_is_ending(
    const struct session *s); /* its bye is due as soon as all that it has coming is delivered */

/* Answers. */
struct value;
void session_send(struct session *s, const struct buf *line);
void session_error(struct session *s, const struct value *id, const char *code, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
/* The same with one more field: "field" and a name where name is not NULL, "max" where max is not 0. */
void session_error_field(struct session *s, const struct value *id, const char *code, const char *name,
                         uint64_t max, const char *format, ...) __attribute__((format(printf, 6, 7)));

/* One line of a peer; command.c. */
void command_run(struct session *s, char *line, size_t len);

#endif
