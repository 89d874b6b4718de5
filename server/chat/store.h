/* store.h: what is kept of rooms: their messages, keys, topics; and facts, small values of any kind. Append,
 * read, nothing else.
 *
 * Two kinds stand behind it: memory keeps nothing beyond what rooms hold themselves and is done at once;
 * sqlite keeps all of it in one file (store_sqlite.h). A job is handed in by the reactor that is a room's
 * home and belongs to the store until its done is called on that reactor's thread; jobs that write come back
 * in the order in which they were handed in. No reactor ever waits for a disk here. */
#ifndef CHAT_STORE_H
#define CHAT_STORE_H

#include "common/buf.h"
#include "common/chunk.h"
#include "protocol/message.h"
#include "server/chat/keys.h"
#include "server/net/mailbox.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define STORE_ERROR_SIZE   512
#define STORE_FACT_KEY_MAX 256
#define STORE_FACT_MAX     65536
#define STORE_ROOMS_MAX                                                                                      \
    ((UINT64_C(1) << 23) - 2) /* of which messages are kept: one's number, 40 bits of seq, a sign */

struct reactor;
struct store;

enum store_durability {
    STORE_POWER,   /* what is kept outlives a loss of power: fsync before anyone hears of it */
    STORE_PROCESS, /* it outlives the end of the process, not that of the machine */
};

/* What is let go again of each room; 0: nothing for that reason. The newest messages of a room always
 * stay. */
struct store_retention {
    uint64_t seconds, messages, bytes;
};

struct store_options {
    const char *dir; /* NULL: memory */
    enum store_durability durability;
    struct store_retention retention;
    uint64_t most_bytes; /* of the database, about: then nothing more is kept; 0: as much as the disk has */
    bool search;         /* an index of words is kept */
};

struct store_job {
    struct post post; /* first */
    struct reactor *home;
    post_fn *done;
    const char *failed; /* NULL: it went well. A static text */
    bool is_damaged; /* what was to be read failed, and would again: it is not what it should be any more */
    struct store_job *next;                           /* the store's, as is what follows */
    void (*run)(void *reader, struct store_job *job); /* what a reader is to do */
    bool is_fact;                                     /* to be written, not messages */
};

/* Where a room stands in the store. From store_load on, or zeroed for a room that is new, it is the store's
 * as long as writes are under way; id can be read when one has come back. */
struct store_place {
    uint64_t id;   /* 0: nothing is kept of it yet */
    uint64_t kept; /* the newest seq */
};

/* The message seq changes an earlier one: the text that it has instead, or that it is removed. */
struct store_change {
    uint64_t seq, of, removes; /* removes: 0 or 1 */
};

/* Keeps messages, or a topic, or both. The rest of what it points to stays the caller's and in place until it
 * is back. */
struct store_write {
    struct store_job job;
    struct store_place *place;
    const char *room;
    size_t room_len;
    uint64_t epoch, time_ms;
    struct chunk *chunk; /* or NULL; a write whose first_seq does not follow what is kept fails */
    struct buf keys;     /* of the chunk's messages: keys_pack */
    struct buf changes;  /* by the chunk's messages: struct store_change, one behind the other */
    const char *topic;   /* NULL: as it was; "": none */
    bool is_first;       /* the store's */
};

struct store_load {
    struct store_job job;
    char room[PROTOCOL_MAX_ROOM + 1];
    uint8_t room_len;
    uint32_t keys_of; /* of how many of the newest messages keys are wanted */
    bool found;       /* false: nothing is kept of such a room; then nothing below is set */
    struct store_place place;
    uint64_t epoch, oldest, time_ms; /* oldest seq kept; the newest message's time */
    char *topic;                     /* or NULL; the caller's */
    struct keys keys;                /* the caller's */
};

/* Messages after a seq, up to and with last, about most_bytes of them. pivot 0: the first ones. Else pivot is one of
 * them and is read in any case, with as many before it as fit; after is then where those begin. */
struct store_read {
    struct store_job job;
    uint64_t id, after, last, pivot, most_bytes;
    bool
        passes_over; /* where the first of them are damaged, those behind them are read: the next ones that can be */
    struct chunk *chunk; /* lines from the first that is kept in that range, the caller's; NULL: none is */
};

struct store_known {
    uint8_t name_len;
    char name[PROTOCOL_MAX_ROOM + 1];
    uint64_t seq;
    char *topic, *fact; /* or NULL */
};

/* The rooms of which something is kept, by name, up to limit of them that begin with prefix and come behind after;
 * not what is no room's, which begins with '@'. With each, the fact of that kind under its name and a slash. */
struct store_list {
    struct store_job job;
    const char *kind; /* static */
    char prefix[PROTOCOL_MAX_ROOM + 1];
    char after[PROTOCOL_MAX_ROOM + 1];
    uint8_t prefix_len, after_len;
    uint32_t limit;
    struct store_known *rooms; /* the caller's: store_list_deinit */
    size_t count, cap;
};

/* A small value that is kept under a kind and a key. Accounts are such, and rights of rooms. */
struct store_fact {
    struct store_job job;
    const char *kind; /* static */
    struct buf key;   /* 1 to STORE_FACT_KEY_MAX bytes of any value; the caller's, as is the value */
    struct buf
        value; /* put: up to STORE_FACT_MAX bytes; empty: nothing is kept any more. get: what was found */
    /* put, and most is not 0: a new row is kept only where there are fewer than most of that kind whose keys
     * begin with the first group_len bytes of key; else is_full is set, and nothing is done. */
    uint32_t most, group_len;
    bool is_full;
    bool found; /* get */
    void *arg;  /* the caller's */
};

struct store_fact_row {
    struct buf key, value;
};

/* The facts of a kind whose keys begin with prefix and sort behind after, in the order of their bytes. */
struct store_facts {
    struct store_job job;
    const char *kind;         /* static */
    struct buf prefix, after; /* the caller's; may be empty */
    uint32_t limit;
    struct store_fact_row *rows; /* the caller's: store_facts_deinit */
    size_t count;
    void *arg; /* the caller's */
};

struct store_ops {
    void (*write)(struct store *s, struct store_job *job);
    void (*ask)(struct store *s, struct store_job *job);
    bool (*settle)(struct store *s);
    void (*close)(struct store *s);
};

struct store {
    const struct store_ops *ops;
    bool lasts;                 /* a room can be read back from it */
    bool searches;              /* store_options.search */
    atomic_uint_fast64_t rooms; /* that are kept, direct conversations too, about */
    uint64_t newest_ms; /* of all messages that it had when it was opened, about: 0 where it does not know */
};

/* The main thread. NULL with a sentence in err, ended by no full stop. */
struct store *store_open(const struct store_options *options, char err[STORE_ERROR_SIZE]);

/* The main thread, when no reactor runs any more: waits until every job is back in its mailbox; whether there
 * was any. */
bool store_settle(struct store *s);
void store_close(struct store *s); /* NULL is fine */

/* A home's thread; job.home and job.done are set. */
void store_write(struct store *s, struct store_write *w);
void store_load(struct store *s, struct store_load *l);
void store_read(struct store *s, struct store_read *r);
void store_list(struct store *s, struct store_list *l);
void store_list_deinit(struct store_list *l);

/* What messages kept say: search.h. Only of a store that lasts. */
struct search;
void store_search(struct store *s, struct search *search);

/* Any reactor's thread; job.home is that reactor. A put is as durable as messages are when it is done; puts
 * that one reactor hands in are done in that order, and a get that is handed in after a put was done finds
 * it. With data in memory facts live as long as the process, and done is called before these return. */
void store_put(struct store *s, struct store_fact *f);
void store_get(struct store *s, struct store_fact *f);
void store_scan(struct store *s, struct store_facts *f);
void store_facts_deinit(struct store_facts *f); /* rows, prefix and after */

#endif
