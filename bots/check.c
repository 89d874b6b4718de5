/* check.c: rooms and what comes of them; check_send.c has the sends. See check.h. */
#include "bots/check_private.h"

#include "common/mem.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const names[] = {"missing",        "order",  "repeated", "altered", "ack",
                                    "unacknowledged", "unseen", "tail",     "gap",     "epoch",
                                    "stray",          "close",  "answer",   "line",    "script"};

const char *check_fault_name(enum check_fault f)
{
    return names[f];
}

void check_wrong(struct check *c, enum check_fault f, const char *format, ...)
{
    char text[256];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    c->wrong(c->arg, f, text);
}

void check_init(struct check *c, struct ledger *ledger, check_wrong_fn *fn, void *arg)
{
    *c = (struct check){.ledger = ledger, .wrong = fn, .arg = arg};
}

void check_deinit(struct check *c)
{
    for (uint32_t i = 0; i < c->room_count; i++)
        free(c->rooms[i].direct);
    free(c->rooms);
    free(c->sent);
    c->rooms = NULL;
    c->sent = NULL;
    c->room_count = c->room_cap = 0;
}

/* ---- rooms */

const char *check_room_name(const struct check_room *r)
{
    return r->direct != NULL ? r->direct : r->room->name;
}

static bool is_named(const struct check_room *r, const char *name, size_t len)
{
    size_t mine = r->direct != NULL ? strlen(r->direct) : r->room->name_len;

    return mine == len && memcmp(check_room_name(r), name, len) == 0;
}

static struct check_room *add_room(struct check *c)
{
    if (c->room_count == c->room_cap) {
        c->room_cap = c->room_cap > 0 ? c->room_cap * 2 : 1;
        c->rooms = mem_realloc(c->rooms, c->room_cap * sizeof *c->rooms);
    }
    c->rooms[c->room_count] = (struct check_room){0};
    return &c->rooms[c->room_count++];
}

/* The room of the message before is asked for again most of the time. */
int check_find(struct check *c, const char *name, size_t len)
{
    struct check_room *r;

    if (c->latest < c->room_count && is_named(&c->rooms[c->latest], name, len))
        return (int)c->latest;
    for (uint32_t i = 0; i < c->room_count; i++)
        if (is_named(&c->rooms[i], name, len)) {
            c->latest = i;
            return (int)i;
        }
    if (len == 0 || name[0] != '@' || memchr(name, '\0', len) != NULL)
        return -1;
    r = add_room(c);
    r->direct = mem_strndup(name, len);
    r->in = true;
    r->unsure = c->was_away;
    return (int)c->room_count - 1;
}

void check_will_join(struct check *c, const char *name, size_t len)
{
    c->joining = ledger_find(c->ledger, name, len);
    c->joining_epoch = c->joining != NULL ? c->joining->epoch : 0;
    c->joining_newest = c->joining != NULL ? c->joining->newest : 0;
}

/* Where it is another than the one before, all that the bot knows of the room is of another order. */
static void enter_epoch(struct check *c, struct check_room *r, uint64_t epoch)
{
    uint64_t before = r->room != NULL ? r->room->epoch : 0;

    if (r->room != NULL && ledger_enter(c->ledger, r->room, epoch))
        check_wrong(c, CHECK_EPOCH,
                    "room %s has a new order, epoch %" PRIu64 " after %" PRIu64 ": what it had is lost",
                    check_room_name(r), epoch, before);
    if (r->epoch != 0 && r->epoch != epoch) {
        r->last = r->told = 0;
        check_forget_seqs(c, (int)(r - c->rooms));
    }
    r->epoch = epoch;
}

/* Nobody can have seen a later one before the join was asked. */
static void check_newest(struct check *c, const struct check_room *r, uint64_t seq)
{
    uint64_t known = r->last;

    if (r->room != NULL && r->room == c->joining && r->epoch == c->joining_epoch && c->joining_newest > known)
        known = c->joining_newest;
    if (seq < known)
        check_wrong(c, CHECK_MISSING,
                    "room %s: joined says that seq %" PRIu64 " is the newest, and %" PRIu64
                    " was there before",
                    check_room_name(r), seq, known);
    c->joining = NULL;
}

void check_joined(struct check *c, const char *name, size_t len, uint64_t epoch, uint64_t seq, int64_t after)
{
    int i = check_find(c, name, len);
    struct check_room *r = i >= 0 ? &c->rooms[i] : add_room(c);
    bool replays = after >= 0 && (uint64_t)after < seq;

    if (i < 0)
        r->room = ledger_get(c->ledger, name, len);
    enter_epoch(c, r, epoch);
    check_newest(c, r, seq);
    if (r->room != NULL && seq > r->room->newest)
        r->room->newest = seq;
    if (replays || !r->in || (r->direct != NULL && r->last == 0)) {
        r->last = replays ? (uint64_t)after : seq;
        r->replayed = replays ? seq : 0;
        r->owed = r->missing_from = r->missing_to = r->gap_from = r->gap_to = 0;
        r->unsure = false;
    }
    r->in = true;
}

/* Of a direct conversation, what is new still comes. */
void check_left(struct check *c, const char *name, size_t len)
{
    int i = check_find(c, name, len);

    if (i < 0 || !c->rooms[i].in) {
        check_wrong(c, CHECK_STRAY, "left room %.*s, which the bot is not in", (int)len, name);
        return;
    }
    c->rooms[i].in = c->rooms[i].direct != NULL;
    if (c->rooms[i].direct == NULL)
        check_leave_sends(c, i);
}

/* ---- what comes */

/* A direct conversation of two guests begins anew when one of them is somebody else; one with an account may
 * have begun before this bot came. */
static bool begins_anew(const struct check_room *r, const struct check_message *m)
{
    return r->direct != NULL && (m->seq == 1 || r->unsure || (r->last == 0 && !m->of_guests));
}

static void check_order(struct check *c, struct check_room *r, const struct check_message *m)
{
    uint64_t seq = m->seq;

    if (seq == r->last + 1) {
        r->last = seq;
    } else if (begins_anew(r, m)) {
        r->told = r->owed = 0; /* that was the other one */
        r->last = seq;
    } else if (seq > r->last) {
        r->missing_from = r->last + 1;
        r->missing_to = seq - 1;
        check_wrong(c, CHECK_MISSING, "room %s: seq %" PRIu64 " came after %" PRIu64 ": %" PRIu64 " missing",
                    check_room_name(r), seq, r->last, seq - 1 - r->last);
        r->last = seq;
    } else if (seq >= r->missing_from && seq <= r->missing_to) {
        check_wrong(c, CHECK_ORDER, "room %s: seq %" PRIu64 " came after %" PRIu64, check_room_name(r), seq,
                    r->last);
    } else {
        check_wrong(c, CHECK_REPEATED, "room %s: seq %" PRIu64 " came again after %" PRIu64,
                    check_room_name(r), seq, r->last);
    }
    r->unsure = false;
}

void check_message(struct check *c, const struct check_message *m)
{
    int i = check_find(c, m->room, m->room_len);
    struct check_room *r = i >= 0 ? &c->rooms[i] : NULL;

    if (r == NULL || !r->in) {
        check_wrong(c, CHECK_STRAY, "seq %" PRIu64 " of room %.*s, which the bot is not in", m->seq,
                    (int)m->room_len, m->room);
        return;
    }
    check_order(c, r, m);
    if (r->room != NULL && ledger_note(c->ledger, r->room, m->seq, m->hash) == LEDGER_DIFFERENT)
        check_wrong(c, CHECK_ALTERED, "room %s: seq %" PRIu64 " is another text than others got",
                    check_room_name(r), m->seq);
    if (m->mine)
        check_own(c, r, m);
}

bool check_is_replay(struct check *c, const char *room, size_t len, uint64_t seq)
{
    int i = check_find(c, room, len);

    return i >= 0 && seq <= c->rooms[i].replayed;
}

void check_gap(struct check *c, const char *room, size_t len, uint64_t from, uint64_t to)
{
    int i = check_find(c, room, len);
    struct check_room *r = i >= 0 ? &c->rooms[i] : NULL;

    if (r == NULL || !r->in) {
        check_wrong(c, CHECK_STRAY, "a gap of room %.*s, which the bot is not in", (int)len, room);
        return;
    }
    if (from != r->last + 1 || to < from)
        check_wrong(c, CHECK_GAP, "room %s: a gap from %" PRIu64 " to %" PRIu64 " came after seq %" PRIu64,
                    check_room_name(r), from, to, r->last);
    r->gap_from = from;
    r->gap_to = to;
    if (to > r->last)
        r->last = to;
    check_skip_sends(c, i, from, to);
}

void check_old_message(struct check *c, const char *room, size_t len, uint64_t seq, uint64_t hash)
{
    int i = check_find(c, room, len);

    if (i >= 0 && c->rooms[i].room != NULL &&
        ledger_note(c->ledger, c->rooms[i].room, seq, hash) == LEDGER_DIFFERENT)
        check_wrong(c, CHECK_ALTERED, "room %s: in history, seq %" PRIu64 " is another text than live",
                    check_room_name(&c->rooms[i]), seq);
}

/* ---- the end */

void check_tell(struct check *c, const char *room, size_t len, uint64_t seq)
{
    int i = check_find(c, room, len);

    if (i >= 0 && seq > c->rooms[i].told)
        c->rooms[i].told = seq;
}

void check_owe(struct check *c)
{
    for (uint32_t i = 0; i < c->room_count; i++)
        if (c->rooms[i].in)
            c->rooms[i].owed = c->rooms[i].room != NULL ? c->rooms[i].room->newest : c->rooms[i].told;
}

bool check_has_all(const struct check *c)
{
    for (uint32_t i = 0; i < c->room_count; i++)
        if (c->rooms[i].in && c->rooms[i].last < c->rooms[i].owed)
            return false;
    return true;
}

static void check_tails(struct check *c)
{
    for (uint32_t i = 0; i < c->room_count; i++) {
        const struct check_room *r = &c->rooms[i];

        if (r->in && r->last < r->owed)
            check_wrong(c, CHECK_TAIL,
                        "room %s: the last to come was seq %" PRIu64 ", and it was at %" PRIu64,
                        check_room_name(r), r->last, r->owed);
    }
}

void check_end(struct check *c, bool in_order, bool acks_only)
{
    check_end_sends(c, in_order, acks_only);
    if (in_order && !acks_only)
        check_tails(c);
    c->was_away = true;
    for (uint32_t i = 0; i < c->room_count; i++) {
        c->rooms[i].in = c->rooms[i].unsure = c->rooms[i].direct != NULL;
        c->rooms[i].told = c->rooms[i].owed = 0;
    }
}
