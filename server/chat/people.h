/* people.h: the accounts that are in a room, each by one connection or by several: together they are one
 * member.
 *
 * The thread of the room's home. Guests have one connection and are not listed here. */
#ifndef CHAT_PEOPLE_H
#define CHAT_PEOPLE_H

#include "common/table.h"

#include <stdbool.h>
#include <stdint.h>

struct people {
    struct table accounts;
};

/* Whether it is the first connection of that account here, or the last one. */
bool people_come(struct people *p, uint64_t identity);
bool people_go(struct people *p, uint64_t identity);
void people_deinit(struct people *p);

#endif
