/* room_moderate.h: who may do what in a room, where it is decided: at the room's home, whose thread this is.
 *
 * Changes of one room are carried out one after the other: checked, kept, then made, told and acknowledged. A
 * room that nobody owns or moderates is everyone's: what else it knew of anyone lapses, since nobody could
 * ever take it back. */
#ifndef CHAT_ROOM_MODERATE_H
#define CHAT_ROOM_MODERATE_H

#include "protocol/message.h"
#include "server/chat/room_rights.h"
#include "server/net/mailbox.h"

struct ask;
struct reactor;
struct room;

struct moderation {
    struct ask *now;          /* being carried out */
    struct ask *first, *last; /* behind it */
    struct right *change;     /* takes the place of what was known of its nick, once it is kept */
    bool is_putting_out;      /* nothing of the nick in question is taken any more from the reactors in out */
    uint64_t out;             /* a bit for each reactor that has not put it out yet */
    uint32_t out_count;       /* connections that were put out */
    bool is_gone;             /* the room has lost a member by it, and is to be told behind the reason */
    bool has_changed, is_running;
    uint32_t puts; /* at the store, that nobody waits for */
};

/* Why something is refused, as an error line says it. */
struct refusal {
    const char *code;
    const char *field;          /* or NULL */
    const struct sentence *why; /* or NULL: its reason is told */
    uint64_t max, until_ms, retry_ms;
    char text[640];
};

void refusal_say(struct refusal *f, const char *code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void refusal_put(struct buf *b, const char *re, size_t re_len, const struct refusal *f);
void ask_refuse(struct ask *a, const struct refusal *f);
struct who ask_who(const struct ask *a);

/* role, access, invite, kick, ban, unban, mute, unmute, bans. */
void room_on_moderate(struct reactor *r, struct post *ask);

/* The asker was the guest `was` and is an account now: so are its role and its invitation. Whether the ask
 * was taken. */
bool room_promotes_right(struct room *room, struct ask *a);

/* Whether it is refused; then f says why. */
bool room_refuses_join(struct room *room, const struct ask *a, struct refusal *f);
bool room_refuses_topic(struct room *room, const struct ask *a, struct refusal *f);
bool room_refuses_change(struct room *room, const struct ask *a, struct refusal *f); /* of room_on_moderate */

/* The same for what is said, by one of that reactor; asked only while room->is_guarded. */
bool room_refuses_send(const struct room *room, const struct reactor *from, const char *folded, size_t len,
                       struct refusal *f);
void room_guard(struct room *room); /* sets is_guarded as it has to be now */

/* That nick is being put out, and that reactor has not done so yet. */
bool room_is_going_out(const struct room *room, const struct reactor *from, const char *folded, size_t len);

/* room_put_out.c: puts out all connections of the nick that room->moderation.now is about, and says so to
 * each; then room_was_put_out. Until then nothing of it is taken: room_begin_put_out. */
void room_begin_put_out(struct room *room);
void room_on_put_out(struct reactor *r, struct post *ask);
void room_was_put_out(struct room *room);

/* A leave by one who is put out has taken the room's member away: that is told behind the reason. */
void room_put_out_is_gone(struct room *room, const struct ask *leave);

/* What `joined` says of rights: the asker's role, the access. */
void room_add_rights(struct buf *b, const struct room *room, const struct ask *a);

/* ---- room_rights_keep.c: as it is kept ---- */

/* From the store; then room_loaded is called. */
void room_load_rights(struct room *room);

/* The first to join a new room owns it. True: that has to be kept first, and the ask waits for it. */
bool room_claim(struct room *room, struct ask *a);

/* Looks which guests are still there, and lets go of what lapses with them. */
void room_review_rights(struct room *room);
void room_guest_left(struct room *room, const struct ask *a);
bool room_has_place_for_right(struct room *room);

/* The key of what is kept of that nick, and of the access for an empty one. */
void room_put_right_key(struct buf *b, const struct room *room, const char *folded, size_t len);

#endif
