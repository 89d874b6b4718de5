/* backoff.h: how long to wait before connecting again: twice as long each time up to a bound, and anywhere
 * between nothing and that (full jitter), so that a thousand clients of a server that was restarted do not
 * come back at once. */
#ifndef CLIENT_BACKOFF_H
#define CLIENT_BACKOFF_H

#include <stdint.h>

#define BACKOFF_FIRST_MS 500
#define BACKOFF_MOST_MS  30000

struct backoff {
    unsigned tries;
};

/* The wait in ms before the next try, at least at_least_ms (what the server asked for) and jitter on top of
 * it. random: any 32 bits. */
uint32_t backoff_next(struct backoff *b, uint32_t at_least_ms, uint32_t random);
void backoff_reset(struct backoff *b); /* it worked */

#endif
