/* peers.h: whom the server trusts, and how many connections each other address has. Any thread; one lock,
 * taken when a connection is accepted and when it is gone. */
#ifndef SERVER_PEERS_H
#define SERVER_PEERS_H

#include "server/config.h"

void peers_configure(const struct config *c); /* copies what it needs */
void peers_deinit(void);

bool peers_is_trusted(const struct tcp_addr *peer);

/* Counts a connection of an address that is not trusted, unless it has as many as it may. IPv6 is counted by
 * /64: that is what one customer has. */
bool peers_enter(const struct tcp_addr *peer);
void peers_leave(const struct tcp_addr *peer);

#endif
