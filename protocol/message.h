/* message.h: a line of the protocol, decoded: its type and its fields. protocol/PROTOCOL.md says what each
 * means.
 *
 * Both directions have one set of types and one set of fields. Values point into the line that was decoded
 * and live as long as it does. */
#ifndef PROTOCOL_MESSAGE_H
#define PROTOCOL_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PROTOCOL_VERSION    1
#define PROTOCOL_MAX_LINE   16384 /* default of max_line, LF included */
#define PROTOCOL_MAX_TEXT   8192
#define PROTOCOL_MAX_TOPIC  512
#define PROTOCOL_MAX_ID     64
#define PROTOCOL_MAX_ROOM   64
#define PROTOCOL_MAX_DEPTH  16
#define PROTOCOL_MAX_NUMBER ((UINT64_C(1) << 53) - 1)

/* Most frequent first: they are looked up in this order. */
#define MESSAGE_TYPES(X)                                                                                     \
    X(SEND, "send")                                                                                          \
    X(MSG, "msg")                                                                                            \
    X(ACK, "ack")                                                                                            \
    X(PING, "ping")                                                                                          \
    X(PONG, "pong")                                                                                          \
    X(JOIN, "join")                                                                                          \
    X(HELLO, "hello")                                                                                        \
    X(WELCOME, "welcome")                                                                                    \
    X(JOINED, "joined")                                                                                      \
    X(PRESENCE, "presence")                                                                                  \
    X(LEAVE, "leave")                                                                                        \
    X(LEFT, "left")                                                                                          \
    X(HISTORY, "history")                                                                                    \
    X(WHO, "who")                                                                                            \
    X(MEMBER, "member")                                                                                      \
    X(ROOMS, "rooms")                                                                                        \
    X(ROOM, "room")                                                                                          \
    X(END, "end")                                                                                            \
    X(TOPIC, "topic")                                                                                        \
    X(GAP, "gap")                                                                                            \
    X(ERROR, "error")                                                                                        \
    X(BYE, "bye")                                                                                            \
    X(REGISTER, "register")                                                                                  \
    X(REGISTERED, "registered")                                                                              \
    X(AUTH, "auth")                                                                                          \
    X(CHALLENGE, "challenge")                                                                                \
    X(AUTHENTICATED, "authenticated")                                                                        \
    X(READ, "read")                                                                                          \
    X(UNREAD, "unread")                                                                                      \
    X(EDIT, "edit")                                                                                          \
    X(REMOVE, "remove")                                                                                      \
    X(SEARCH, "search")                                                                                      \
    X(ROLE, "role")                                                                                          \
    X(ACCESS, "access")                                                                                      \
    X(INVITE, "invite")                                                                                      \
    X(KICK, "kick")                                                                                          \
    X(BAN, "ban")                                                                                            \
    X(UNBAN, "unban")                                                                                        \
    X(MUTE, "mute")                                                                                          \
    X(UNMUTE, "unmute")                                                                                      \
    X(BANS, "bans")                                                                                          \
    X(MODERATION, "moderation")                                                                              \
    X(KEYS, "keys")                                                                                          \
    X(UNREGISTER, "unregister")                                                                              \
    X(UNREGISTERED, "unregistered")

enum message_type {
    MESSAGE_UNKNOWN,
#define X(name, text) MESSAGE_##name,
    MESSAGE_TYPES(X)
#undef X
        MESSAGE_TYPE_COUNT
};

#define MESSAGE_FIELDS(X)                                                                                    \
    X(TYPE, "type")                                                                                          \
    X(ROOM, "room")                                                                                          \
    X(TEXT, "text")                                                                                          \
    X(ID, "id")                                                                                              \
    X(KEY, "key")                                                                                            \
    X(SEQ, "seq")                                                                                            \
    X(NICK, "nick")                                                                                          \
    X(TIME, "time")                                                                                          \
    X(RE, "re")                                                                                              \
    X(DATA, "data")                                                                                          \
    X(VERSION, "version")                                                                                    \
    X(AGENT, "agent")                                                                                        \
    X(ON_EOF, "on_eof")                                                                                      \
    X(RESUME, "resume")                                                                                      \
    X(AFTER, "after")                                                                                        \
    X(BEFORE, "before")                                                                                      \
    X(AROUND, "around")                                                                                      \
    X(LIMIT, "limit")                                                                                        \
    X(PREFIX, "prefix")                                                                                      \
    X(EVENT, "event")                                                                                        \
    X(MEMBERS, "members")                                                                                    \
    X(EPOCH, "epoch")                                                                                        \
    X(TOPIC, "topic")                                                                                        \
    X(REPEAT, "repeat")                                                                                      \
    X(COUNT, "count")                                                                                        \
    X(MORE, "more")                                                                                          \
    X(FROM, "from")                                                                                          \
    X(TO, "to")                                                                                              \
    X(CODE, "code")                                                                                          \
    X(FIELD, "field")                                                                                        \
    X(MAX, "max")                                                                                            \
    X(MIN, "min")                                                                                            \
    X(RETRY, "retry_after_ms")                                                                               \
    X(SERVER, "server")                                                                                      \
    X(SESSION, "session")                                                                                    \
    X(LIMITS, "limits")                                                                                      \
    X(MECHANISM, "mechanism")                                                                                \
    X(MECHANISMS, "mechanisms")                                                                              \
    X(ACCOUNT, "account")                                                                                    \
    X(PASSWORD, "password")                                                                                  \
    X(SALT, "salt")                                                                                          \
    X(ITERATIONS, "iterations")                                                                              \
    X(STORED_KEY, "stored_key")                                                                              \
    X(SERVER_KEY, "server_key")                                                                              \
    X(PUBLIC_KEY, "public_key")                                                                              \
    X(PUBLIC_KEYS, "public_keys")                                                                            \
    X(READ, "read")                                                                                          \
    X(UNREAD, "unread")                                                                                      \
    X(EDITS, "edits")                                                                                        \
    X(REMOVES, "removes")                                                                                    \
    X(QUERY, "query")                                                                                        \
    X(NEXT, "next")                                                                                          \
    X(ROLE, "role")                                                                                          \
    X(ACCESS, "access")                                                                                      \
    X(BY, "by")                                                                                              \
    X(REASON, "reason")                                                                                      \
    X(SECONDS, "seconds")                                                                                    \
    X(UNTIL, "until")

enum message_field {
#define X(name, text) FIELD_##name,
    MESSAGE_FIELDS(X)
#undef X
        MESSAGE_FIELD_COUNT
};

enum value_kind {
    VALUE_STRING, /* text, len: decoded UTF-8, any byte but an invalid one; may hold NUL */
    VALUE_UINT,   /* number: an integer from 0 to 2^53-1; text, len: as it was written */
    VALUE_NUMBER, /* any other number */
    VALUE_TRUE,
    VALUE_FALSE,
    VALUE_NULL,
    VALUE_NESTED, /* an object or an array */
};

struct value {
    const char *text; /* for all but strings: the bytes as they were written */
    uint32_t len;
    uint8_t kind;
    uint64_t number;
};

struct message {
    enum message_type type;
    uint64_t present; /* a bit a field */
    uint64_t twice;   /* a bit a field that stands more than once: its value is the last one */
    struct value fields[MESSAGE_FIELD_COUNT];
    struct value
        type_value; /* where the type is unknown: what "type" said; VALUE_NULL where it is not there */
};

static inline const struct value *message_get(const struct message *m, enum message_field f)
{
    return m->present >> f & 1 ? &m->fields[f] : NULL;
}

/* The value where the field is there and is of that kind, else NULL. */
static inline const struct value *message_get_kind(const struct message *m, enum message_field f,
                                                   enum value_kind kind)
{
    return (m->present >> f & 1) && m->fields[f].kind == kind ? &m->fields[f] : NULL;
}

const char *message_type_name(enum message_type type);
const char *message_field_name(enum message_field field);

#endif
