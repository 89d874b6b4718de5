/* backoff.c: see backoff.h. */
#include "client/backoff.h"

#define DOUBLINGS 6 /* 500 ms to the bound */

uint32_t backoff_next(struct backoff *b, uint32_t at_least_ms, uint32_t random)
{
    uint32_t bound = (uint32_t)BACKOFF_FIRST_MS << (b->tries < DOUBLINGS ? b->tries : DOUBLINGS);

    if (bound > BACKOFF_MOST_MS)
        bound = BACKOFF_MOST_MS;
    b->tries++;
    return at_least_ms + (uint32_t)((uint64_t)random * bound >> 32);
}

void backoff_reset(struct backoff *b)
{
    b->tries = 0;
}
