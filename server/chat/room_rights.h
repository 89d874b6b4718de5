/* room_rights.h: who may do what in a room: its owners and moderators, who is let in, who is invited, banned,
 * muted.
 *
 * What a room knows of one nick is one right, found by the folded nick; their number is bounded. A role and
 * an invitation are for an account, or for one guest: then for its identity, and not kept on disk. A ban and
 * a mute are for the nick, whoever has it. Nothing here looks at a clock or asks who is there:
 * room_moderate.h does, at the room's home, whose thread this is. */
#ifndef CHAT_ROOM_RIGHTS_H
#define CHAT_ROOM_RIGHTS_H

#include "common/buf.h"
#include "common/table.h"
#include "common/utf8.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RIGHTS_MAX         1000 /* nicks of which one room knows anything */
#define RIGHTS_MAX_REASON  256  /* bytes */
#define RIGHTS_MAX_SECONDS (10U * 365 * 86400)
#define RIGHTS_AWAY_MS     60000 /* a guest whose connection broke keeps its role that long */

enum rights_role { ROLE_MEMBER, ROLE_MODERATOR, ROLE_OWNER };
enum rights_access { ACCESS_OPEN, ACCESS_INVITED, ACCESS_ACCOUNTS };

struct who {
    const char *folded;
    size_t len;
    uint64_t identity;
    bool is_account;
};

/* A ban or a mute. */
struct sentence {
    char *by; /* NULL: there is none; else the nick of who has said so */
    char *reason;
    uint64_t since_ms, until_ms; /* until: 0: for good */
};

struct right {
    struct table_link link;
    struct sentence ban, mute;
    uint64_t identity; /* of the guest whom role and invitation are for; 0: they are the account's */
    uint64_t away_ms;  /* that guest's connection broke then; 0: it did not */
    uint8_t role;
    bool invited;
    uint8_t folded_len, nick_len;
    char text[]; /* folded, then as it is shown, each with a NUL */
};

struct rights {
    struct table nicks;
    uint8_t access;
    bool is_damaged; /* something kept could not be read: what is there may be too little */
    uint32_t owners, holders, guests, mutes; /* holders: owners and moderators; guests: those with identity */
};

void rights_deinit(struct rights *r);
struct right *right_new(const char *folded, size_t folded_len, const char *nick, size_t nick_len);
struct right *right_copy(const struct right *right);
void right_free(struct right *right); /* NULL is fine */
static inline const char *right_nick(const struct right *right)
{
    return right->text + right->folded_len + 1;
}
bool right_is_empty(const struct right *right);

struct right *rights_find(const struct rights *r, const char *folded, size_t len); /* or NULL */

/* Puts it in the place of what was known of that nick, or takes that out where the new one is empty. Takes it
 * over. */
void rights_put(struct rights *r, struct right *right);

enum rights_role rights_role_of(const struct rights *r, const struct who *who);
bool rights_is_invited(const struct rights *r, const struct who *who);
bool right_is_for(const struct right *right, const struct who *who); /* its role and invitation are */

/* NULL, or the ban or mute that holds at now. */
const struct sentence *rights_ban(const struct rights *r, const char *folded, size_t len, uint64_t now_ms);
const struct sentence *rights_mute(const struct rights *r, const char *folded, size_t len, uint64_t now_ms);
bool sentence_holds(const struct sentence *s, uint64_t now_ms);
void sentence_set(struct sentence *s, const char *by, size_t by_len, const char *reason, size_t reason_len,
                  uint64_t since_ms, uint64_t until_ms);
void sentence_clear(struct sentence *s);

/* The first, or next, one of all; each way through them uses its own at. */
struct right *rights_first(const struct rights *r, uint32_t *at);
struct right *rights_next(const struct rights *r, uint32_t *at, const struct right *right);
void rights_count(struct rights *r); /* after a role, an invitation or a mute was changed in place */

#define RIGHTS_KIND                                                                                          \
    "room" /* of facts: the room's name, a slash, and the folded nick or, of the access, nothing */

/* room_rights_code.c: as it is kept, one JSON object; nothing where nothing is to be kept of it. */
void right_encode(struct buf *b, const struct right *right);
void rights_encode_access(struct buf *b, enum rights_access access);

/* Takes in what was kept under that nick, "" for the access; false: it is damaged, and what could be read of
 * it is in. */
bool rights_decode(struct rights *r, const char *folded, size_t folded_len, const char *json, size_t len);

const char *rights_role_name(enum rights_role role);
const char *rights_access_name(enum rights_access access);
bool rights_find_role(const char *text, size_t len, enum rights_role *role);
bool rights_find_access(const char *text, size_t len, enum rights_access *access);

#endif
