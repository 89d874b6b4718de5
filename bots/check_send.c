/* check_send.c: each send's one ack and its one delivery; see check.h.
 *
 * A send whose fate is settled stays in the ring until its place is needed, so that a second copy of it, or
 * another number for it, is found. */
#include "bots/check_private.h"

#include "common/mem.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define FIRST_SENT 16
#define KEEP_SENT  64 /* a larger ring is given back when nothing is under way */

struct check_sent *check_sent_at(struct check *c, uint32_t serial)
{
    return &c->sent[serial & (c->sent_size - 1)];
}

static struct check_sent *under_way(struct check *c, uint32_t serial)
{
    return serial - c->base < c->next - c->base ? check_sent_at(c, serial) : NULL;
}

static struct check_sent *remembered(struct check *c, uint32_t serial)
{
    return serial - c->oldest < c->next - c->oldest ? check_sent_at(c, serial) : NULL;
}

uint32_t check_under_way(const struct check *c)
{
    return c->next - c->base;
}

bool check_all_acked(struct check *c)
{
    for (uint32_t n = c->base; n != c->next; n++)
        if (!check_sent_at(c, n)->acked)
            return false;
    return true;
}

static void grow_sent(struct check *c)
{
    uint32_t size = c->sent_size > 0 ? c->sent_size * 2 : FIRST_SENT;
    struct check_sent *to = mem_alloc(size * sizeof *to);

    for (uint32_t s = c->oldest; s != c->next; s++)
        to[s & (size - 1)] = *check_sent_at(c, s);
    free(c->sent);
    c->sent = to;
    c->sent_size = size;
}

uint32_t check_will_send(struct check *c, int room, uint64_t hash, uint64_t key, uint64_t due_us)
{
    if (check_under_way(c) == c->sent_size)
        grow_sent(c);
    else if (c->next - c->oldest == c->sent_size)
        c->oldest++;
    *check_sent_at(c, c->next) =
        (struct check_sent){.hash = hash, .key = key, .due_us = due_us, .room = (uint32_t)room};
    return c->next++;
}

static void shrink(struct check *c)
{
    if (check_under_way(c) > 0 || c->sent_size <= KEEP_SENT)
        return;
    free(c->sent);
    c->sent = NULL;
    c->sent_size = 0;
    c->oldest = c->next;
}

static void settle(struct check *c, struct check_sent *s)
{
    s->done = s->acked && s->seen;
    while (c->base != c->next && check_sent_at(c, c->base)->done)
        c->base++;
    shrink(c);
}

void check_leave_sends(struct check *c, int room)
{
    for (uint32_t n = c->base; n != c->next; n++) {
        struct check_sent *s = check_sent_at(c, n);

        if (s->room == (uint32_t)room) {
            s->seen = true;
            s->done = s->acked;
        }
    }
}

void check_skip_sends(struct check *c, int room, uint64_t from, uint64_t to)
{
    for (uint32_t n = c->base; n != c->next; n++) {
        struct check_sent *s = check_sent_at(c, n);

        if (s->room == (uint32_t)room && s->acked && s->seq >= from && s->seq <= to)
            s->seen = s->done = true;
    }
}

void check_forget_seqs(struct check *c, int room)
{
    for (uint32_t n = c->oldest; n != c->next; n++)
        if (check_sent_at(c, n)->room == (uint32_t)room)
            check_sent_at(c, n)->seq = 0;
}

/* ---- answers */

/* The message of an ack that comes late has gone by already, or stands in a gap. */
static void check_passed(struct check *c, struct check_sent *s, const struct check_room *r)
{
    if (s->seen || !(r->in && r->last >= s->seq))
        return;
    s->seen = true;
    if (s->seq >= r->gap_from && s->seq <= r->gap_to)
        return;
    if (s->seq >= r->missing_from && s->seq <= r->missing_to)
        return; /* told already */
    check_wrong(c, CHECK_ACK, "room %s: an ack names seq %" PRIu64 ", which was another message",
                check_room_name(r), s->seq);
}

/* A nick in a script can be written otherwise than its owner does: then only the kind of room is compared. */
static bool is_room_of(const struct check_room *r, const char *room, size_t len)
{
    const char *mine = check_room_name(r);

    if (room == NULL)
        return false;
    if (strlen(mine) == len && memcmp(mine, room, len) == 0)
        return true;
    if (r->direct == NULL || len == 0 || room[0] != '@')
        return false;
    for (const char *c = mine; *c != '\0'; c++)
        if ((unsigned char)*c >= 0x80)
            return true;
    return strlen(mine) == len && strncasecmp(mine, room, len) == 0;
}

/* The same key again: the number is that of the first time, as far as it is known. */
static void check_repeat(struct check *c, uint32_t serial, struct check_sent *s, uint64_t seq)
{
    for (uint32_t n = c->oldest; n != c->next; n++) {
        const struct check_sent *first = check_sent_at(c, n);

        if (n == serial || first->key != s->key || first->room != s->room || first->seq == 0 ||
            first->seq == seq)
            continue;
        check_wrong(c, CHECK_ACK,
                    "room %s: send %" PRIu32 " was seq %" PRIu64 "; its key again, the ack says %" PRIu64,
                    check_room_name(&c->rooms[s->room]), n, first->seq, seq);
        break;
    }
    s->seen = true;
    s->seq = seq;
}

static void check_first(struct check *c, uint32_t serial, struct check_sent *s, uint64_t seq)
{
    struct check_room *r = &c->rooms[s->room];

    if (s->seen && s->seq != 0 && s->seq != seq) {
        check_wrong(c, CHECK_ACK, "room %s: send %" PRIu32 " is seq %" PRIu64 ", its ack says %" PRIu64,
                    check_room_name(r), serial, s->seq, seq);
        return;
    }
    s->seq = seq;
    if (r->room != NULL && ledger_note(c->ledger, r->room, seq, s->hash) == LEDGER_DIFFERENT)
        check_wrong(c, CHECK_ACK,
                    "room %s: the ack of send %" PRIu32 " names seq %" PRIu64 ", which is another text",
                    check_room_name(r), serial, seq);
    else
        check_passed(c, s, r);
}

uint64_t check_ack(struct check *c, uint32_t serial, const struct check_acked *a)
{
    struct check_sent *s = under_way(c, serial);
    struct check_room *r;
    uint64_t due;

    if (s == NULL || s->acked) {
        if (serial >= c->floor)
            check_wrong(c, CHECK_ACK, "send %" PRIu32 " was answered twice, or never made", serial);
        return 0;
    }
    r = &c->rooms[s->room];
    s->acked = true;
    if (!is_room_of(r, a->room, a->room_len))
        check_wrong(c, CHECK_ACK, "room %s: the ack of send %" PRIu32 " names room %.*s", check_room_name(r),
                    serial, a->room != NULL ? (int)a->room_len : 4, a->room != NULL ? a->room : "none");
    if (a->repeat)
        check_repeat(c, serial, s, a->seq);
    else
        check_first(c, serial, s, a->seq);
    due = s->due_us;
    if (r->room != NULL)
        ledger_set_due(r->room, a->seq, due);
    settle(c, s);
    return due;
}

uint64_t check_refused(struct check *c, uint32_t serial)
{
    struct check_sent *s = under_way(c, serial);
    uint64_t due;

    if (s == NULL || s->acked) {
        if (serial >= c->floor)
            check_wrong(c, CHECK_ACK, "send %" PRIu32 " was answered twice, or never made", serial);
        return 0;
    }
    due = s->due_us;
    s->refused = !s->seen;
    s->acked = s->seen = true;
    settle(c, s);
    return due;
}

/* ---- what comes back */

static struct check_sent *find_by_text(struct check *c, int room, uint64_t hash)
{
    for (uint32_t n = c->base; n != c->next; n++) {
        struct check_sent *s = check_sent_at(c, n);

        if (!s->seen && s->room == (uint32_t)room && s->hash == hash)
            return s;
    }
    return NULL;
}

/* Of those with this text: the one of that number, or one whose number is not known, or any. */
static struct check_sent *find_settled(struct check *c, int room, const struct check_message *m)
{
    struct check_sent *found = NULL;

    for (uint32_t n = c->oldest; n != c->next; n++) {
        struct check_sent *s = check_sent_at(c, n);

        if (s->room != (uint32_t)room || s->hash != m->hash || s->refused)
            continue;
        if (s->seq == m->seq)
            return s;
        if (found == NULL || s->seq == 0)
            found = s;
    }
    return found;
}

uint64_t check_due(struct check *c, const struct check_message *m)
{
    int i = m->room_len > 0 && m->room[0] != '@' ? check_find(c, m->room, m->room_len) : -1;
    const struct check_sent *s;
    uint64_t due;

    if (i < 0)
        return 0;
    due = ledger_due(c->rooms[i].room, m->seq);
    if (due != 0)
        return due;
    s = find_by_text(c, i, m->hash);
    return s != NULL ? s->due_us : 0;
}

static void came_again(struct check *c, const struct check_room *r, const struct check_message *m,
                       const struct check_sent *s)
{
    if (s != NULL && s->seq != 0)
        check_wrong(c, CHECK_REPEATED,
                    "room %s: what was seq %" PRIu64 " was delivered a second time, as seq %" PRIu64,
                    check_room_name(r), s->seq, m->seq);
    else
        check_wrong(c, CHECK_REPEATED,
                    "room %s: send %" PRId64 " was delivered a second time, as seq %" PRIu64,
                    check_room_name(r), m->serial, m->seq);
}

/* A message of this bot's own that none of its sends waits for: a connection's before this one, one that it
 * asked to be told again, or one too many. */
static void check_second(struct check *c, const struct check_room *r, const struct check_message *m)
{
    int room = (int)(r - c->rooms);
    bool is_marked = m->serial >= 0;
    struct check_sent *s = is_marked ? remembered(c, (uint32_t)m->serial) : find_settled(c, room, m);

    if (!is_marked && (!m->is_alone || c->in_doubt))
        return; /* another of that nick may have said it, or an earlier connection */
    if (s != NULL && s->seq == m->seq)
        return; /* told again; where it was not asked for, the order has shown that */
    if (s != NULL && s->refused)
        check_wrong(c, CHECK_ACK, "room %s: send %" PRId64 " was refused, and came as seq %" PRIu64,
                    check_room_name(r), m->serial, m->seq);
    else if (s != NULL && s->seq == 0)
        s->seq = m->seq;
    else if (s != NULL)
        came_again(c, r, m, s);
    else if (is_marked && (uint32_t)m->serial >= c->floor && m->seq > r->replayed)
        came_again(c, r, m, NULL);
}

void check_own(struct check *c, struct check_room *r, const struct check_message *m)
{
    struct check_sent *s =
        m->serial >= 0 ? under_way(c, (uint32_t)m->serial) : find_by_text(c, (int)(r - c->rooms), m->hash);

    if (s == NULL || s->seen) {
        check_second(c, r, m);
        return;
    }
    if (s->hash != m->hash)
        check_wrong(c, CHECK_ALTERED,
                    "room %s: the text of send %" PRId64 " (seq %" PRIu64 ") is not what was sent",
                    check_room_name(r), m->serial, m->seq);
    if (s->acked && s->seq != 0 && s->seq != m->seq)
        check_wrong(c, CHECK_ACK,
                    "room %s: send %" PRId64 " was acknowledged as seq %" PRIu64 " and came as %" PRIu64,
                    check_room_name(r), m->serial, s->seq, m->seq);
    s->seen = true;
    s->seq = m->seq;
    if (r->room != NULL)
        ledger_set_due(r->room, m->seq, s->due_us);
    settle(c, s);
}

/* ---- the end */

void check_end_sends(struct check *c, bool in_order, bool acks_only)
{
    for (uint32_t n = c->base; in_order && n != c->next; n++) {
        const struct check_sent *s = check_sent_at(c, n);

        if (!s->acked)
            check_wrong(c, CHECK_UNACKED, "room %s: send %" PRIu32 " was never acknowledged",
                        check_room_name(&c->rooms[s->room]), n);
        else if (!s->seen && !acks_only)
            check_wrong(c, CHECK_UNSEEN, "room %s: send %" PRIu32 " (seq %" PRIu64 ") never came back",
                        check_room_name(&c->rooms[s->room]), n, s->seq);
    }
    if (c->base != c->next)
        c->in_doubt = true;
    c->floor = c->base = c->next;
    shrink(c);
}
