/* resolve.h: a host's name to addresses, without holding up the event loop.
 *
 * Literal addresses never wait. Names are looked up by getaddrinfo(3) on a thread that lives for that one
 * look-up, because only the C library knows how this machine resolves names (files, DNS, mDNS). The callback
 * runs on the thread of the event_base. */
#ifndef CLIENT_RESOLVE_H
#define CLIENT_RESOLVE_H

#include "common/tcp.h"

#include <event2/event.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct resolve;

#define RESOLVE_MAX 16 /* addresses of one name; more are left out */

/* found holds for the call only. Where count is 0, why says what failed (a static text). The struct resolve
 * is gone when this is called. */
typedef void resolve_fn(void *arg, const struct tcp_addr *found, size_t count, const char *why);

/* Whether host is an address and no name ("127.0.0.1", "::1"); then a is it. */
bool resolve_literal(const char *host, uint16_t port, struct tcp_addr *a);

/* NULL where no thread could be started. The caller may cancel until done is called. */
struct resolve *resolve_start(struct event_base *base, const char *host, uint16_t port, resolve_fn *done,
                              void *arg);
void resolve_cancel(struct resolve *r); /* NULL is fine */

#endif
