/* bot.h: one bot: a connection, what it holds the server to, and what its script waits for.
 *
 * bot.c connects and sends, bot_line.c takes in what comes, bot_end.c the end; script.c runs the script. A bot
 * that is idle holds its struct, its link and its coroutine. All on the run's thread. */
#ifndef BOTS_BOT_H
#define BOTS_BOT_H

#include "bots/check.h"
#include "bots/run.h"
#include "bots/timers.h"
#include "client/link.h"
#include "protocol/message.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What the coroutine waits for. */
enum bot_wait {
    WAIT_NOTHING, /* it runs, or is over */
    WAIT_START,
    WAIT_OPEN, /* to connect: at once, but not inside a callback of the link */
    WAIT_UP,
    WAIT_ANSWER, /* to the request `asked` */
    WAIT_SENT,   /* for the ack of the send `asked` */
    WAIT_LINE,   /* that `wanted` describes */
    WAIT_SLEEP,
    WAIT_TURN,
    WAIT_ROOM, /* until the link takes more */
    WAIT_TRICKLE,
    WAIT_ACKS,  /* until no send is under way */
    WAIT_TAIL,  /* until all that anyone has got of its rooms has come */
    WAIT_END,   /* of the connection */
    WAIT_SLICE, /* for nothing: it has run for long enough, and the others want to run too */
};

#define BOT_NICK_SIZE 33
#define BOT_WANTED    6

struct bot_wanted {
    enum message_type type; /* MESSAGE_UNKNOWN: any */
    size_t count;
    struct {
        enum message_field field;
        enum value_kind kind; /* a string, a whole number, true or false */
        char *text;
        size_t len;
        uint64_t number;
    } fields[BOT_WANTED];
};

struct bot_trickle {
    double rate; /* bytes a second */
    size_t at, len;
    char data[];
};

struct bot {
    struct run *run;
    struct link *link;
    struct check check;
    struct timer timer; /* of what it waits for */
    struct lua_State *co;
    int co_ref, self_ref;
    uint32_t index, order;             /* order: among those who send */
    uint8_t role, wait, waited, state; /* waited: the wait before */
    bool ready : 1, tls : 1, stays : 1, is_over : 1, blind : 1, interrupted : 1, in_turn : 1, ever_up : 1;
    bool welcomed : 1, gone : 1, slow : 1, mute : 1; /* slow: has not read at full speed */
    bool greeted : 1;                                /* hello was said on this connection */
    bool spoke_after_bye : 1;                        /* so that the server may well reset it */
    bool may_get_error : 1;                          /* the end of turns has taken it from waiting for one */
    bool lingers : 1; /* turns are over: that what it waits for does not come is no fault */
    bool awaits : 1;  /* the turn that it waits for is one of its own making */
    bool may_be_put_out : 1, is_account : 1;
    bool renamed : 1;           /* the script has given it its nick: others may have that too */
    uint32_t expected, allowed; /* ends that are all right, a bit each: for this connection, and always */
    int8_t bye;                 /* what the server's bye said, an enum stats_end; -1: none yet */
    uint8_t end;                /* of the last connection */
    uint32_t asked, next_ask;
    uint64_t answered;  /* of the latest 64 requests, a bit each, the latest is bit 0 */
    const char *asking; /* the request's type; static */
    uint64_t turn;      /* how many there were */
    uint64_t offset_us; /* of the next turn, from where the traffic began */
    uint64_t due_us;    /* of the turn that it is in */
    uint64_t step_us;   /* when connecting, then the handshake, then the login began */
    uint64_t entry_us;  /* when the connection was due */
    uint64_t welcome_us;
    uint64_t bytes_in, bytes_out; /* of this connection, that are in the run's already */
    struct bot_wanted *wanted;
    struct bot_trickle *trickle;
    char *resume;        /* the latest token */
    int lines_ref;       /* the lines of an answer so far, in Lua's registry */
    int64_t join_after;  /* of the join under way, */
    uint32_t join_asked; /* which is that request */
    uint32_t talks_in;   /* index of the room that it talks in, once it has joined one */
    uint8_t late_turns;  /* that it took without a pause */
    char nick[BOT_NICK_SIZE];
};

void bot_init(struct bot *b, struct run *r, uint32_t index);
void bot_deinit(struct bot *b);
void bot_set_state(struct bot *b, enum stats_state to);

void bot_connect(struct bot *b); /* the link must be closed; then comes script_up or script_ended */
void bot_hello(struct bot *b);   /* asks; the answer comes as any */

/* All that goes out goes through here. 0, or -EPIPE. */
int bot_write(struct bot *b, const void *data, size_t len);
void bot_count_bytes(struct bot *b); /* adds what is new to the run's */

/* Begins a request in the run's scratch; bot_end_request sends it and notes its id for the answer. */
struct buf *bot_begin_request(struct bot *b, enum message_type type);
int bot_end_request(struct bot *b);

/* text as it is, or a random one with a mark where it is NULL. Gives the serial. -EPIPE where there is no
 * connection. */
int64_t bot_send(struct bot *b, const char *room, size_t room_len, const char *text, size_t len,
                 const char *key, uint64_t due_us);
void bot_shutdown(struct bot *b, bool rudely);
void bot_close(struct bot *b, bool with_reset);
void bot_close_told(struct bot *b);      /* so that the server learns of it, whose FIN is not to come */
bool bot_is_ending(const struct bot *b); /* either side has begun to end the connection, or it is gone */

/* What the script begins to wait for, until then at most (0: for ever). */
void bot_wait(struct bot *b, enum bot_wait what, uint64_t until_us);
void bot_stop_waiting(struct bot *b);
/* bot_end.c, for the link: the server has ended its side; the connection is gone. */
void bot_on_end(struct link *l, bool truncated, void *owner);
void bot_on_closed(struct link *l, const struct link_verdict *v, void *owner);

/* bot_line.c: a line of the server's. */
void bot_take_line(struct link *l, char *line, size_t len, void *owner);

bool bot_step_trickle(
    struct bot *b); /* sends the next bytes; false when that was all, or there is no connection */
bool bot_matches(const struct bot_wanted *w, const struct message *m);
void bot_free_wanted(struct bot_wanted *w); /* NULL is fine */

const char *bot_role(const struct bot *b);
void bot_wrong(struct bot *b, enum check_fault f, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
