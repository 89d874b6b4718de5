/* note.h: lines on their way to all connections of one nick, wherever they live: what is said to it directly,
 * and what its other connections did.
 *
 * Any reactor's thread; lines of one sender arrive in their order. */
#ifndef CHAT_NOTE_H
#define CHAT_NOTE_H

#include "common/chunk.h"
#include "server/chat/chat.h"

#include <stddef.h>
#include <stdint.h>

/* To whom, and to whom of them not. */
struct note_to {
    const char *folded;
    size_t folded_len;
    /* Only while the nick is that one's: of that identity, or since then (it has registered). */
    uint64_t identity;
    uint64_t since_ms;
    /* Of a direct conversation that is kept, or NULL: who reads on there gets it in its place, and who is too
     * slow for it reads on there from now on. other: the other one's folded nick. */
    const char *room, *other;
    size_t room_len, other_len;
    uint64_t but; /* the id of a connection that is not told; 0: all are */
};

void note_send(struct chat *chat, const struct note_to *to, struct chunk *chunk);

#endif
