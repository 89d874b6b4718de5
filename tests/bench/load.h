/* load.h: the neutral load: rooms of listeners, a speaker in each who keeps some messages on their way, on
 * any server.
 *
 * One thread. load.c: the phases and the report; load_clients.c: the connections; load_speech.c: the
 * protocols; load_cost.c: what the server's process has used. */
#ifndef BENCH_LOAD_H
#define BENCH_LOAD_H

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MARK           '`'  /* opens a message's text, and is nowhere else in what a server sends */
#define STAMP          17   /* bytes: the mark and 16 hex digits, the time of sending in ns */
#define SPEECH_MAX     8192 /* bytes of one step or one message */
#define ROOMS_EACH_MAX 64   /* their joins are one step */
#define KEPT           48   /* bytes that must be remembered to find a text that is cut by two reads */

enum client_kind {
    LISTENER,
    SPEAKER,
    BYSTANDER
}; /* the last: connected and silent, in a room that is silent too */

enum client_state { CONNECTING, SHAKING_HANDS, GREETING, IN };

struct client {
    int fd;
    unsigned number, room;
    unsigned rooms_each,
        turn;       /* a chat's group of members is in so many rooms; in which of them it speaks next */
    SSL *ssl;       /* NULL: plain */
    uint64_t heard; /* messages, since it was in */
    uint8_t kind, state, step;
    bool is_first; /* of its room: by what it hears the speaker goes on */
    bool is_timed;
    uint8_t kept_len;
    char kept[KEPT];
};

/* A protocol: what a client says step by step until it is in, each time waiting for a text; and how it
 * says a message. */
struct step {
    size_t (*say)(char *to, const struct client *c); /* at most SPEECH_MAX bytes; returns how many */
    const char *until;
    size_t until_len;
};

struct speech {
    const char *name;
    struct step steps[2]; /* for listeners; say NULL: there is no such step */
    struct step
        speaker_steps[2]; /* where a speaker need not hear the room; else it does as a listener does */
    size_t (*message)(char *to, const struct client *c, const char *text, size_t len);
};

const struct speech *speech_find(const char *name);

struct load {
    const struct speech *speech;
    uint16_t port;
    unsigned rooms, members, window, bystanders, opening; /* opening: how many at a time */
    unsigned
        rooms_each; /* chat only: rooms that each such group of members is in; they speak in them in turn */
    size_t size;    /* bytes of a message's text */
    SSL_CTX *tls;   /* NULL: plain */

    struct client *clients;
    size_t count, started, in;
    int poller;
    bool is_silent;      /* the speakers say no more */
    uint64_t *sent;      /* messages, by room */
    unsigned *to_refill; /* rooms whose first listener has heard something */
    bool *is_to_refill;
    size_t refill_count;
    uint64_t heard, sent_in_all; /* by all listeners; by all speakers */
    struct timings *timings;     /* NULL: not taken now */
};

/* Opens as many connections as may be opening at once. */
void clients_start(struct load *l);
void clients_turn(struct load *l, int wait_ms); /* waits for input once and takes it */
void clients_speak(struct load *l);             /* fills the windows of the rooms that have heard something */
void clients_leave(struct load *l);             /* with RST, so that no address stays taken */

/* How long messages took: counts in steps of 1/64 of their size. */
#define TIMINGS_STEPS (64 * 40)
struct timings {
    uint64_t counts[TIMINGS_STEPS], total, max_ns;
};
void timings_add(struct timings *t, uint64_t ns);
uint64_t timings_at(const struct timings *t, double share); /* ns; share 0 to 1 */

uint64_t now_ns(void); /* monotonic */

/* What a process has used since it began, all its threads together. */
struct cost {
    uint64_t cpu_ns;
    uint64_t user_ticks, system_ticks; /* for the shares only: a tick is 10 ms */
};
struct cost cost_of(int pid);
uint64_t memory_of(int pid); /* Pss in bytes */

void fail(const char *what) __attribute__((noreturn)); /* says errno's meaning too */

#endif
