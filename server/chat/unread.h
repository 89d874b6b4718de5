/* unread.h: what waits for an account when it comes: a line for each of its direct conversations in which
 * there is something that it has not read, right behind its welcome.
 *
 * The thread of the session's reactor. */
#ifndef CHAT_UNREAD_H
#define CHAT_UNREAD_H

#define UNREAD_MAX 1000 /* lines */

struct session;

/* The session holds on until all is told. */
void unread_tell(struct session *s);

#endif
