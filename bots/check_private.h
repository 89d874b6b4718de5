/* check_private.h: what check.c (rooms and what comes of them) and check_send.c (sends) share. */
#ifndef BOTS_CHECK_PRIVATE_H
#define BOTS_CHECK_PRIVATE_H

#include "bots/check.h"

void check_wrong(struct check *c, enum check_fault f, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

const char *check_room_name(const struct check_room *r);
struct check_sent *check_sent_at(struct check *c, uint32_t serial); /* from `oldest` to before `next` */

/* A message of this bot's own has come back. */
void check_own(struct check *c, struct check_room *r, const struct check_message *m);
void check_forget_seqs(struct check *c, int room); /* that room has another order now */
void check_leave_sends(struct check *c, int room); /* the bot is not in that room any more */
void check_skip_sends(struct check *c, int room, uint64_t from, uint64_t to); /* they stand in a gap */
void check_end_sends(struct check *c, bool in_order, bool acks_only);

#endif
