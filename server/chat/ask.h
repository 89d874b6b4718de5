/* ask.h: a request on its way from a session to the home of a room or of a direct conversation, and back with
 * its answer.
 *
 * It belongs to the thread that handles it at the moment. Its session is held until it is back; where the
 * session has gone meanwhile, the answer is dropped and only the bookkeeping is done. */
#ifndef CHAT_ASK_H
#define CHAT_ASK_H

#include "common/buf.h"
#include "common/utf8.h"
#include "protocol/message.h"
#include "server/chat/history.h"
#include "server/chat/keys.h"
#include "server/net/mailbox.h"
#include "server/net/reactor.h"

#define ASK_SLICES 256

struct audience;
struct member;
struct session;

enum ask_result { ASK_OK, ASK_FAILED };
enum ask_keys { ASK_NEEDS_NO_KEYS, ASK_WAITS_FOR_KEYS, ASK_HAS_WAITED }; /* room_put_off_for_keys */
enum ask_read { READ_NEWEST, READ_BEFORE, READ_AFTER, READ_AROUND };

struct ask {
    struct post post; /* first */
    struct reactor *from;
    struct session *session; /* NULL: nobody waits for an answer */
    struct audience *audience;
    struct member *member;
    post_fn *home, *done;        /* what the home does; what is done back at from */
    uint64_t identity, since_ms; /* the asker's: struct nick */
    uint64_t was;                /* of one who has just become an account: the identity it had as a guest */
    uint64_t seq, after, heard, until;
    uint32_t limit;
    uint8_t tries; /* of the same piece, that have failed */
    enum ask_read read;
    enum ask_keys keys;
    enum message_type what; /* of room_on_moderate, with: */
    uint8_t choice;         /* a role or an access: room_rights.h */
    uint64_t seconds;
    enum ask_result result;
    bool is_account, has_after, at_head, is_new, is_last;
    bool waits;        /* its session carries out nothing else until it is back */
    bool removes;      /* of an edit: there is to be nothing instead */
    bool is_out;       /* its asker was put out of the room while it was read for */
    bool is_ready;     /* it has waited at the room; see room_put_off */
    uint64_t wait_for; /* turns of the room that must be done */
    struct ask *next_waiting;
    /* Of an account, at its marks: what is run there, where it goes on, what it was told (marks.h). */
    post_fn *at_mark;
    struct reactor *then;
    uint64_t mark_seq, mark_epoch;
    bool is_marked;
    uint64_t conn;  /* the id of the asker's connection */
    uint64_t first; /* of a direct conversation: the first message that is for the asker */
    void *arg;      /* whoever made it */
    uint8_t room_len, id_len, key_len;
    const char *event; /* static */
    uint64_t epoch;
    char room[PROTOCOL_MAX_ROOM + 1], id[PROTOCOL_MAX_ID + 1], key[PROTOCOL_MAX_ID + 1];
    char nick[UTF8_NICK_MAX + 1], folded[UTF8_FOLD_MAX];
    char other[UTF8_NICK_MAX + 1], other_folded[UTF8_FOLD_MAX]; /* other: "@nick", as the asker sees it */
    uint8_t nick_len, folded_len, other_len, other_folded_len;
    struct buf text;   /* of a message or topic, or a reason */
    struct buf answer; /* finished lines */
    uint32_t answer_lines;
    struct slice *slices; /* messages behind the answer, or NULL */
    size_t slice_count;
};

/* An ask from that session, which is held; NULL: none. id may be NULL. */
struct ask *ask_new(struct reactor *from, struct session *s, const struct value *id, post_fn *home,
                    post_fn *done);
void ask_set_room(struct ask *a, const char *room, size_t len);
void ask_set_nick(struct ask *a, const struct session *s);
void ask_copy_nick(struct ask *a, const struct ask *from);
static inline struct keys_sender ask_sender(const struct ask *a)
{
    return (struct keys_sender){a->folded, a->folded_len, a->identity, a->since_ms};
}
void ask_send(struct ask *a, struct reactor *home);
void ask_return(struct ask *a, struct reactor *home); /* the home is done with it */
void ask_free(struct ask *a);                         /* also lets go of the session */

/* At home: the answer is an error. */
void ask_fail(struct ask *a, const char *code, uint64_t max, const char *text);

/* Back at from: queues the answer and the slices for the session, unless it is gone. */
void ask_deliver(struct ask *a);

#endif
