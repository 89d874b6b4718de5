/* search.h: a search on its way: what is looked for, where, how far it has come in each room, and what it has
 * found.
 *
 * It belongs to the thread that works on it at the moment: the store's searcher, or, where all is in memory,
 * the homes of the rooms one after the other. Work is bounded: what a request does not come to is left for
 * the next one, which goes on from `next`. */
#ifndef CHAT_SEARCH_H
#define CHAT_SEARCH_H

#include "common/utf8.h"
#include "common/words.h"
#include "protocol/message.h"
#include "server/chat/store.h"

#define SEARCH_QUERY_MAX 512       /* bytes of a query */
#define SEARCH_NEXT_MAX  8192      /* bytes of `next` */
#define SEARCH_ROOMS_MAX 256       /* searched at once */
#define SEARCH_MOST      100       /* messages of one answer */
#define SEARCH_BYTES     (4 << 20) /* found and kept for one answer, about */
#define SEARCH_MS        40        /* of work for one answer, about */
#define SEARCH_WAITING   64        /* searches under way in all */

struct session;

struct search_hit {
    uint64_t seq, time_ms;
    size_t at, len; /* its line, in search.lines */
};

struct search_room {
    uint64_t at;             /* messages up to this seq are still to be looked at; 0: none is */
    uint64_t bound_ms;       /* none of them is later than that */
    struct search_hit *hits; /* the newest first */
    size_t count, cap, bytes, taken;
    uint64_t first; /* what is before it is not for the one who asks */
    uint32_t hash;  /* of its name, in `next` */
    uint8_t name_len, shown_len;
    char name[PROTOCOL_MAX_ROOM + 1];
    char shown[UTF8_NICK_MAX + 2]; /* the name in the answer, where shown_len is not 0 */
};

struct search {
    struct store_job job; /* first */
    struct session *session;
    struct reactor *from;
    unsigned visited; /* reactors, where all is in memory */
    struct words_query query;
    uint32_t limit;
    struct buf next; /* from the request */
    struct search_room *rooms;
    size_t room_count;
    struct buf lines;
    struct buf copy; /* for looking at a line */
    struct words words;
    bool has_all;       /* no room was named */
    bool took_too_long; /* it was given up */
    uint8_t id_len;
    char id[PROTOCOL_MAX_ID + 1];
};

/* What a line says of its message. */
struct search_seen {
    uint64_t seq, time_ms, edits, removes; /* edits, removes: of which message; else 0 */
};

struct search *search_new(void);
void search_free(struct search *s);
struct search_room *search_add_room(struct search *s, const char *name,
                                    size_t len); /* up to the next one that is added */

void search_drop_room(struct search *s, size_t i); /* with what was found there */

/* Goes on where an earlier answer has left off, as s->next says, if it does; false where that is no `next`.
 * For the rooms that have been added. */
bool search_go_on(struct search *s);

/* Whether a line (with or without its LF) has what is looked for; a removal never has. */
bool search_look(struct search *s, const char *line, size_t len, struct search_seen *seen);

/* That message has been found: newest first in each room. */
void search_add(struct search *s, struct search_room *r, const struct search_seen *seen, const char *line,
                size_t len);
bool search_is_full(const struct search *s, const struct search_room *r);

/* Has each room of which more is wanted looked through by advance, one after the other, until there is enough
 * or the time is up; each at least once. advance lowers `at`, and says whether it could. */
void search_run(struct search *s, uint64_t until_us, void *arg, bool (*advance)(void *arg, size_t room));

/* The answer: messages of all rooms, newest first, and `end`. How many lines. */
uint32_t search_answer(struct search *s, struct buf *out);

/* A reader's thread: store_search. */
void store_sqlite_search(void *reader, struct store_job *job);

#endif
