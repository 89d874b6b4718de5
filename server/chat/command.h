/* command.h: the requests, one function each, and what they share in checking their fields.
 *
 * A function gets the message and its id, or NULL; it answers, or sends an ask that will. The message is gone
 * when it returns. The thread of the session's reactor. */
#ifndef CHAT_COMMAND_H
#define CHAT_COMMAND_H

#include "protocol/message.h"
#include "server/net/mailbox.h"

struct ask;
struct member;
struct session;

typedef void command_fn(struct session *s, const struct message *m, const struct value *id);

command_fn command_hello, command_ping, command_bye;   /* command_session.c */
command_fn command_auth;                               /* command_auth.c */
command_fn command_register, command_unregister;       /* command_register.c */
command_fn command_keys;                               /* the same */
command_fn command_join, command_leave, command_topic; /* command_room.c */
command_fn command_send, command_history;              /* command_message.c */
command_fn command_edit, command_remove;               /* the same */
command_fn command_who, command_rooms;                 /* command_list.c */
command_fn command_moderate;                           /* command_moderate.c: role to bans */
command_fn command_read;                               /* command_direct.c */
command_fn command_search;                             /* command_search.c */

/* The id of a request, kept by whoever answers it later, as a value again; NULL where there was none. */
const struct value *command_id(const char *kept, size_t len, struct value *id);

/* Checks of fields: false when the answer, an error, is given. need: it must be there; take: *out is NULL
 * where not. */
bool command_need_string(struct session *s, const struct message *m, const struct value *id,
                         enum message_field f, size_t min, size_t max, const struct value **out);
bool command_take_string(struct session *s, const struct message *m, const struct value *id,
                         enum message_field f, size_t min, size_t max, const struct value **out);
bool command_need_uint(struct session *s, const struct message *m, const struct value *id,
                       enum message_field f, uint64_t min, uint64_t max, const struct value **out);
bool command_take_uint(struct session *s, const struct message *m, const struct value *id,
                       enum message_field f, uint64_t min, uint64_t max, const struct value **out);

/* The field `room` as a room's name, or as @nick; checked. */
bool command_need_room(struct session *s, const struct message *m, const struct value *id,
                       const struct value **room);
bool command_is_direct(const struct value *room);

/* A room, not a direct conversation; why: what to say of those. */
bool command_need_real_room(struct session *s, const struct message *m, const struct value *id,
                            const struct value **room, const char *why);

bool command_is_room_name(const struct value *v);

/* An ask is back: it is delivered and freed. */
void command_on_answered(struct reactor *r, struct post *p);

/* The session's member of that room; NULL when the answer, an error, is given. */
struct member *command_need_member(struct session *s, const struct value *id, const struct value *room);

/* An ask about the direct conversation with @nick, its names set; NULL where the answer, an error, is
 * given. */
struct ask *command_new_direct(struct session *s, const struct value *id, const struct value *room,
                               post_fn *home, post_fn *done);

/* The session, which is too slow for what it is told directly, reads on in that conversation (its name; the
 * other one's folded nick) as if it had joined after that seq. false: it is in as many rooms as it may. */
bool command_read_on(struct session *s, const char *room, size_t room_len, const char *other,
                     size_t other_len, uint64_t after);

#endif
