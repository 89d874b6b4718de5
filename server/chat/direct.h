/* direct.h: direct conversations: a pair of nicks with an order of its own, at home where the pair hashes to.
 *
 * Between guests it lives while both are there: it remembers who they were (nick.identity), and begins anew when one of
 * the nicks is somebody else's. Each side sees it under the other's nick. */
#ifndef CHAT_DIRECT_H
#define CHAT_DIRECT_H

#include "server/chat/ask.h"
#include "server/chat/chat.h"

/* Where the conversation of an ask (its nick and other are set) is at home. */
struct reactor *direct_home(const struct chat *chat, const struct ask *a);

void direct_on_send(struct reactor *r, struct post *ask);
void direct_on_history(struct reactor *r, struct post *ask);
void direct_free_all(struct chat *chat);

#endif
