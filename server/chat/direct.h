/* direct.h: direct conversations: two nicks with an order of their own. Each side sees it under the other's
 * nick.
 *
 * Where one of the two is an account it is a room (room.h) under a name that no room can have: numbered,
 * kept, read and resumed as rooms are, so that it waits for who is away. What is its own is here: who the two
 * are, from which message on each may read, under which name each sees it, and that it reaches all
 * connections of both without a join. Between two guests it is a pair (pair.h).
 *
 * What always holds: a message that an account takes part in is not kept before the conversation is entered
 * in what the store knows of that account, kind "direct", so that a login finds it; nobody reads what an
 * earlier owner of his nick was told or has said. The thread of the conversation's home. */
#ifndef CHAT_DIRECT_H
#define CHAT_DIRECT_H

#include "server/chat/ask.h"
#include "server/chat/chat.h"

#define DIRECT_NAME_LEN   33                  /* "@" and 32 hexadecimal digits */
#define DIRECT_SHOWN_SIZE (UTF8_NICK_MAX + 1) /* "@nick" */
#define DIRECT_KIND       "direct"            /* of facts: an account's folded nick, NUL, the name */
#define DIRECT_MAX        1000 /* conversations of one account; none is ever pushed out by a new one */
#define DIRECT_MAX_GUESTS 500  /* up to which guests may begin one with it: the rest is for accounts */

struct room;

/* One of the two. */
struct side {
    uint64_t identity, since_ms; /* who had the nick when it was last met; 0: nobody was */
    uint64_t from;               /* the first message that is for that one */
    bool is_account;
    bool is_entered; /* the account's fact says all this */
    uint8_t folded_len, len;
    char folded[UTF8_FOLD_MAX], nick[UTF8_NICK_MAX];
};

struct direct {
    struct side sides[2]; /* in the order of their folded nicks */
    uint8_t steps;   /* of what has to be known first, under way; the room is loading as long as there are */
    bool is_loading; /* the sides, with the room */
    bool is_preparing; /* who prepares looks for himself whether the steps are done */
    bool was_sought;   /* just now: the other one is no account */
    bool has_failed;   /* just now: the store */
    struct side *full; /* just now: who has as many conversations as may be; or NULL */
};

/* Sets the ask's room to the conversation's name; its folded and other_folded are set. */
void direct_set_name(struct ask *a);
bool direct_is_first(const struct ask *a); /* whether the asker's nick sorts first */

/* "@nick" into out; how long it is. */
size_t direct_show(char out[DIRECT_SHOWN_SIZE], const char *nick, size_t len);

/* What a session asks; its nick and other are set. */
void direct_on_send(struct reactor *r, struct post *ask);
void direct_on_history(struct reactor *r, struct post *ask);
void direct_on_edit(struct reactor *r, struct post *ask); /* and remove; as room_on_edit */
void direct_on_join(struct reactor *r, struct post *ask);
void direct_on_mark(struct reactor *r, struct post *ask); /* see marks.h */

/* The asker, a guest until now (was), is an account: it is entered in its conversations at home here, so that a
 * login finds them though nothing more is said there. */
void direct_on_promote(struct reactor *r, struct post *ask);

/* For room*.c, about a room that is a direct conversation: how the asker sees it (other) and from where on
 * (first); what it said, to all connections of both; the lines of some slices as the asker sees them, as one
 * slice. */
void direct_view(const struct room *room, struct ask *a);
void direct_tell(struct room *room, struct chunk *chunk);
void direct_rewrite(struct ask *a);

/* What was not kept counts for nobody. */
void direct_take_back(struct room *room);

/* What the store knows of a conversation under an account's nick. Any thread; nick points into value, which
 * is written into. */
struct direct_entry {
    const char *nick; /* the other one's */
    size_t len;
    uint64_t identity, from; /* the account's; the first message that is for it */
};

bool direct_read_entry(struct buf *value, struct direct_entry *e);

/* direct_sides.c: once the room is loaded, who its two are; and before something is said or read, what has to
 * be known. When it is done the room's waiting asks are run. */
struct direct *direct_new(const struct ask *a);
void direct_load_sides(struct room *room);

enum direct_ready {
    DIRECT_READY,
    DIRECT_WAITS, /* for the store: put the ask in front of those that wait */
    DIRECT_NOBODY,
    DIRECT_FAILED, /* the store did not take it */
    DIRECT_FULL,   /* one of the two has as many conversations as it may */
};

enum direct_ready direct_prepare(struct room *room, const struct ask *a, bool is_said);
struct side *direct_side(struct direct *d, const char *folded, size_t len);
uint32_t direct_most(struct direct *d,
                     struct side *s); /* conversations that s may have for one with the other */
static inline struct side *direct_peer(struct direct *d, const struct side *s)
{
    return &d->sides[s == &d->sides[0]];
}

/* Nobody has said anything here, nobody is in it and nothing is under way: then it is freed. */
void direct_give_up(struct room *room);

#endif
