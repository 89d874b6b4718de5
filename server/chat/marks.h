/* marks.h: how far each account has read in each room: a fact, kind "read", under its folded nick, NUL, the
 * room's name.
 *
 * A mark is at home where its account's nick hashes to; all connections of the account ask there. It never
 * goes down, unless the room has begun a new order. One that is put while an earlier put of it is under way
 * waits for that and goes along with what has come meanwhile, so that however many are asked for, the store
 * has one at a time. */
#ifndef CHAT_MARKS_H
#define CHAT_MARKS_H

#include "server/chat/ask.h"
#include "server/chat/chat.h"

#define MARKS_KIND   "read"
#define MARKS_MAX    1000  /* of one account; the one that was set longest ago makes room for a new one */
#define MARKS_CACHED 65536 /* in memory, of one reactor */

struct room;

/* Sends an ask of a session's (its room and nick are set) to the room's home; on its way it is told how far
 * the account has read (mark_seq, mark_epoch; 0: it never did). */
void marks_send_by(struct ask *a, struct reactor *home);

/* At the room's home: an ask `read` (seq) goes on to the mark, which answers it; the fields `read` and
 * `unread` of a `joined`, and a mark for an account that was never here. */
void marks_go_on(const struct room *room, struct ask *a);
void marks_put(const struct room *room, struct ask *a);

void marks_free_all(struct chat *chat);

#endif
