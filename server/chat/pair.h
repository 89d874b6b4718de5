/* pair.h: direct conversations of two guests: in memory, while both are there.
 *
 * A pair remembers who they were (nick.identity), and begins anew when one of the nicks is somebody else's.
 * It is at home where its name hashes to (direct.h), and all here is done on that thread. */
#ifndef CHAT_PAIR_H
#define CHAT_PAIR_H

#include "server/chat/direct.h"

/* What a guest asks about his conversation with another guest, who is there: answered, and left to be
 * returned. */
void pair_send(struct chat *chat, struct ask *a, const struct nick_place *other);
void pair_history(struct chat *chat, struct ask *a, const struct nick_place *other);
void pair_free_all(struct chat *chat);

#endif
