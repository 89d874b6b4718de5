/* lab_run.h: what a lab is written with: connections whose both ends it holds, or chatd and chat; and
 * expectations.
 *
 * A lab makes something happen, calls lab_look, which ends the capture and puts all that was seen in order,
 * and then says what it expected (lab_expect). A lab runs in a process of its own, in a network of its own
 * where it can have one. One thread; no function here fails but by lab_give_up, which ends the process. */
#ifndef TRACE_LAB_RUN_H
#define TRACE_LAB_RUN_H

#include "trace/capture.h"
#include "trace/diag.h"
#include "trace/model.h"
#include "trace/watch.h"

#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define LAB_CONNS 16

struct lab;

struct lab_kind {
    const char *name, *title;
    const char *expect; /* what to expect, in some lines */
    bool needs_network; /* can't be made to happen outside a network of one's own */
    bool needs_wire;    /* only segments show it */
    void (*run)(struct lab *l);
};

struct lab_end {
    struct lab *lab;
    struct lab_conn *conn;
    enum model_side side;
    int fd; /* -1: not open */
};

struct lab_conn {
    const char *label; /* what this connection is to show */
    struct lab_end client, server;
    struct tcp_addr client_addr, server_addr;
    struct model_conn *model;
};

struct lab {
    const struct lab_kind *kind;
    char dir[192]; /* the capture, the programs' logs and traces */
    struct model *model;
    struct diag *diag;
    struct watch *watch;
    struct capture *capture;
    bool has_network, has_wire, has_looked; /* a network of its own; a capture */
    char why_no_network[160], why_no_wire[320];
    int listener;
    struct tcp_addr at; /* of the listener; where lab_socket's connection will go */
    struct lab_conn conns[LAB_CONNS];
    unsigned conn_count, expected, failed;
    char *findings; /* what was expected and came or did not, a line each */
    size_t findings_len;
};

/* ---- from the harness (lab.c) ---- */

struct lab_options {
    const char *keep; /* a directory for the capture, traces and logs; NULL: they go */
    bool brief;       /* no ladder where all went well */
    bool alone;       /* stay in the network that there is */
};

int lab_run(const struct lab_kind *kind, const struct lab_options *o); /* the exit code, LAB_OK, … */

/* ---- what happens ---- */

void lab_give_up(struct lab *l, const char *format, ...) __attribute__((format(printf, 2, 3), noreturn));
void lab_sleep(unsigned ms);
void lab_set(struct lab *l, const char *sysctl, const char *value); /* in the lab's own network only */

void lab_listen(struct lab *l, int backlog); /* on 127.0.0.1, a port that is free */

/* A socket, and connect() to the listener; it does not wait. The connection is labelled. */
struct lab_conn *lab_connect(struct lab *l, const char *label);
struct lab_conn *lab_socket(struct lab *l, const char *label); /* bound, and connect() still to come */
void lab_start_connect(struct lab_conn *c);
void lab_accept(struct lab_conn *c); /* waits for it */
struct lab_conn *lab_accept_any(struct lab *l,
                                const char *label); /* of whoever connects next; we hold the server's end */
struct lab_conn *lab_open(struct lab *l, const char *label); /* connect and accept */
struct lab_conn *lab_adopt(struct lab *l, const char *label, const struct tcp_addr *client,
                           const struct tcp_addr *server); /* a connection of others, to look at */

/* Calls, each recorded with what it returned: bytes, 0, or -errno. */
long end_write(struct lab_end *e, size_t n);
long end_read(struct lab_end *e); /* once, what is there */
long end_shutdown(struct lab_end *e);
long end_close(struct lab_end *e);
long end_close_reset(struct lab_end *e); /* SO_LINGER{1,0} */
void end_did(struct lab_end *e, const char *call, long result, const char *detail);

/* Waits for what poll() can tell, and records it; false after ms. */
bool end_await(struct lab_end *e, short events, unsigned ms);

/* Wait until so many bytes are there to read, and how many there are then; until all that was written is
 * acknowledged. */
int end_await_unread(struct lab_end *e, int bytes, unsigned ms);
bool end_await_acked(const struct lab_end *e, unsigned ms);
void end_quick_ack(struct lab_end *e);
void end_set(struct lab_end *e, int level, int option, int value);
void end_note(struct lab_end *e, const char *text);

/* Dropping segments that come to a socket, by SO_ATTACH_FILTER. Some hosts allow that only in a network of
 * one's own: where it is not, the lab ends as skipped. */
enum lab_drop { LAB_DROP_ALL, LAB_DROP_FIN, LAB_DROP_ALL_BUT_FIN, LAB_DROP_BARE_ACK };
void lab_drop(int fd, enum lab_drop what);
void lab_drop_none(int fd);
void end_drop(struct lab_end *e, enum lab_drop what); /* the same, with a note in the ladder */
void end_drop_none(struct lab_end *e);

/* ---- chatd and chat (lab_app.c) ---- */

struct lab_app {
    pid_t pid;
    int in, out; /* its standard input and output; -1: not ours */
    int exit_code;
    uint16_t port; /* chatd's */
    char log[256]; /* the file of its lifecycle log */
};

void lab_start_chatd(struct lab *l, struct lab_app *app, uint16_t port,
                     const char *const *more); /* port 0: any */
void lab_start_chat(struct lab *l, struct lab_app *app, const char *nick, uint16_t port,
                    const char *const *more);
void app_feed(struct lab *l, struct lab_app *app, const char *text);
void app_end_input(struct lab_app *app);

/* Reads its output until text has come in it, or its end; what came is appended to `got` where that is not
 * NULL. */
struct buf;
bool app_await(struct lab_app *app, const char *text, struct buf *got, unsigned ms);
void app_signal(struct lab_app *app, int which);
void app_stop(struct lab *l, struct lab_app *app);             /* SIGSTOP, and waits until it has stopped */
int app_wait(struct lab *l, struct lab_app *app, unsigned ms); /* its exit code */
bool app_logged(const struct lab_app *app, const char *text);  /* whether a line of its log has that in it */
bool app_await_log(const struct lab_app *app, const char *text, unsigned ms);

/* The connection that has its server's end at that port: of those that this network has, the nth, from 0.
 * Waits. */
bool lab_find_conn(struct lab *l, uint16_t port, unsigned n, struct diag_socket *client, unsigned ms);

/* ---- what was seen ---- */

void lab_look(struct lab *l);
void lab_expect(struct lab *l, bool came, const char *format, ...) __attribute__((format(printf, 3, 4)));
void lab_say(struct lab *l, const char *format, ...)
    __attribute__((format(printf, 2, 3))); /* no expectation */

/* Of the wire. A segment is meant where (flags & mask) == value. */
unsigned wire_count(const struct lab_conn *c, enum model_side from, uint8_t mask, uint8_t value);
const struct model_segment *wire_find(const struct lab_conn *c, enum model_side from, uint8_t mask,
                                      uint8_t value, unsigned nth);
unsigned wire_resets(const struct lab_conn *c);                                   /* RSTs of either side */
double wire_ms(const struct model_segment *from, const struct model_segment *to); /* NULLs give 0 */

/* Whether the kernel itself has said that this end was in that state; for how long: until it said another;
 * -1: never. */
bool state_was(const struct lab_conn *c, enum model_side side, enum tcp_state state);
double state_ms(const struct lab_conn *c, enum model_side side, enum tcp_state state);

/* Now, by inet_diag. TCP_STATE_CLOSED where there is none. s: or NULL. */
enum tcp_state state_now(struct lab_conn *c, enum model_side side, struct diag_socket *s);

/* Waits for it; what the kernel says meanwhile counts as seen (state_was), however busy the machine is. */
bool state_await(struct lab_conn *c, enum model_side side, enum tcp_state state, unsigned ms);

#endif
