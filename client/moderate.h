/* moderate.h: rooms that are someone's, for people: the requests of /kick, /ban and the like out of what is
 * typed, and sentences out of what the server says about them. No state; one thread (localtime). */
#ifndef CLIENT_MODERATE_H
#define CLIENT_MODERATE_H

#include "common/buf.h"
#include "protocol/message.h"

#include <stdbool.h>
#include <stdint.h>

/* Puts the request into b, but for its id and its end. args is what was typed behind the command, and is cut
 * up. NULL, or why it is none: then b is as it was. */
const char *moderate_put_request(struct buf *b, enum message_type type, const char *room, char *args);

/* What a `moderation` line, a `left` with a code, or a `ban` or `mute` of a list says, as a sentence without
 * an end mark for the one of that nick; what is in it of others is not yet fit for a terminal. false: nothing
 * that is known. */
bool moderate_put_sentence(struct buf *b, const struct message *m, const char *own_nick, uint64_t now_ms);

/* The same for the role and the access in `joined`; a guest's role ends with the guest, which is told. false:
 * it has neither. */
bool moderate_put_joined(struct buf *b, const struct message *m, bool is_guest);

/* Whether it is a `moderation` line that puts somebody out. */
bool moderate_puts_out(const struct message *m);

/* Whom a line `room` says that it is for, to be put behind other words; "" where it is open. */
const char *moderate_access(const struct message *m);

#endif
