/* explain.h: what happened to a connection, in sentences for people: what failed, why, and what to do. */
#ifndef CLIENT_EXPLAIN_H
#define CLIENT_EXPLAIN_H

#include "client/client.h"

/* Why a connection ended or never was. The buffer gets a NUL at its end. Fit for a terminal. */
void explain_verdict(struct buf *b, const struct client *c, const struct link_verdict *v);

/* The same in a few words, for those who know already that something is wrong. */
const char *explain_briefly(const struct link_verdict *v);

/* The exit code of a chat whose first connection ended so. */
int explain_exit_code(const struct client *c, const struct link_verdict *v);

/* Why client_say has not taken a text of that many bytes. */
void explain_unsaid(struct buf *b, const struct client *c, int error, size_t len);

/* "connected to 127.0.0.1:7000 (chatd 0.1.0) as ann, plain". */
void explain_connection(const struct client *c, char *out, size_t size);

/* One event of the link's life in plain words, with the TCP state that the kernel gives: for -v. */
void explain_event(struct buf *b, const struct link *l, enum link_event e);
const char *explain_state(enum tcp_state s); /* what it means for whoever sits there; static */

#endif
