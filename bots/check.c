/* check.c: see check.h. */
#include "bots/check.h"

#include "common/mem.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_SENT 8
#define KEEP_SENT  64 /* a larger ring is given back when nothing is under way */

static const char *const names[] = {"missing",        "order",  "repeated", "altered", "ack",
                                    "unacknowledged", "unseen", "tail",     "gap",     "stray",
                                    "close",          "answer", "line",     "script"};

const char *check_fault_name(enum check_fault f)
{
    return names[f];
}

static void wrong(struct check *c, enum check_fault f, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static void wrong(struct check *c, enum check_fault f, const char *format, ...)
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
    for (uint16_t i = 0; i < c->room_count; i++)
        free(c->rooms[i].direct);
    free(c->rooms);
    free(c->sent);
    c->rooms = NULL;
    c->sent = NULL;
    c->room_count = c->room_cap = 0;
}

/* ---- rooms */

static const char *name_of(const struct check_room *r)
{
    return r->direct != NULL ? r->direct : r->room->name;
}

static bool is_named(const struct check_room *r, const char *name, size_t len)
{
    const char *mine = name_of(r);

    return strncmp(mine, name, len) == 0 && mine[len] == '\0';
}

static struct check_room *add_room(struct check *c)
{
    if (c->room_count == c->room_cap) {
        c->room_cap = (uint16_t)(c->room_cap > 0 ? c->room_cap * 2 : 1);
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
        return c->latest;
    for (uint16_t i = 0; i < c->room_count; i++)
        if (is_named(&c->rooms[i], name, len)) {
            c->latest = i;
            return i;
        }
    if (len == 0 || name[0] != '@')
        return -1;
    r = add_room(c);
    r->direct = mem_strndup(name, len);
    r->in = true;
    return c->room_count - 1;
}

void check_joined(struct check *c, const char *name, size_t len, uint64_t epoch, uint64_t seq, int64_t after)
{
    int i = check_find(c, name, len);
    struct check_room *r = i >= 0 ? &c->rooms[i] : add_room(c);
    bool same;

    if (i < 0)
        r->room = ledger_get(c->ledger, name, len);
    same = r->room->epoch == epoch;
    ledger_enter(c->ledger, r->room, epoch);
    if (seq > r->room->newest)
        r->room->newest = seq;
    if (!(r->in && after < 0)) { /* a second join without `after` changes nothing */
        r->last = after >= 0 && same && (uint64_t)after < seq ? (uint64_t)after : seq;
        r->replayed = after >= 0 ? seq : 0;
        r->owed = r->missing_from = r->missing_to = r->gap_from = r->gap_to = 0;
    }
    r->in = true;
}

/* ---- sends */

static struct check_sent *sent_at(struct check *c, uint32_t serial)
{
    return &c->sent[serial & (c->sent_size - 1)];
}

static struct check_sent *under_way(struct check *c, uint32_t serial)
{
    return serial - c->base < c->next - c->base ? sent_at(c, serial) : NULL;
}

uint32_t check_under_way(const struct check *c)
{
    return c->next - c->base;
}

bool check_all_acked(struct check *c)
{
    for (uint32_t n = c->base; n != c->next; n++)
        if (!sent_at(c, n)->acked)
            return false;
    return true;
}

static void grow_sent(struct check *c)
{
    uint32_t size = c->sent_size > 0 ? c->sent_size * 2 : FIRST_SENT;
    struct check_sent *to = mem_alloc(size * sizeof *to);

    for (uint32_t s = c->base; s != c->next; s++)
        to[s & (size - 1)] = *sent_at(c, s);
    free(c->sent);
    c->sent = to;
    c->sent_size = size;
}

uint32_t check_will_send(struct check *c, int room, uint64_t hash, uint64_t due_us)
{
    if (check_under_way(c) == c->sent_size)
        grow_sent(c);
    *sent_at(c, c->next) = (struct check_sent){.hash = hash, .due_us = due_us, .room = (uint16_t)room};
    return c->next++;
}

static void shrink(struct check *c)
{
    if (check_under_way(c) > 0 || c->sent_size <= KEEP_SENT)
        return;
    free(c->sent);
    c->sent = NULL;
    c->sent_size = 0;
}

static void settle(struct check *c, struct check_sent *s)
{
    s->done = s->acked && s->seen;
    while (c->base != c->next && sent_at(c, c->base)->done)
        c->base++;
    shrink(c);
}

void check_left(struct check *c, const char *name, size_t len)
{
    int i = check_find(c, name, len);

    if (i < 0)
        return;
    c->rooms[i].in = false;
    for (uint32_t n = c->base; n != c->next; n++)
        if (sent_at(c, n)->room == i) {
            sent_at(c, n)->seen = true;
            sent_at(c, n)->done = sent_at(c, n)->acked;
        }
}

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
    wrong(c, CHECK_ACK, "room %s: an ack names seq %" PRIu64 ", which was another message", name_of(r),
          s->seq);
}

uint64_t check_ack(struct check *c, uint32_t serial, uint64_t seq, bool repeat)
{
    struct check_sent *s = under_way(c, serial);
    struct check_room *r;
    uint64_t due;

    if (s == NULL || s->acked) {
        if (serial >= c->floor)
            wrong(c, CHECK_ACK, "send %" PRIu32 " was acknowledged twice, or never made", serial);
        return 0;
    }
    r = &c->rooms[s->room];
    s->acked = true;
    if (repeat) {
        s->seen = true;
    } else if (s->seen && s->seq != seq) {
        wrong(c, CHECK_ACK, "room %s: send %" PRIu32 " is seq %" PRIu64 ", its ack says %" PRIu64, name_of(r),
              serial, s->seq, seq);
    } else {
        s->seq = seq;
        if (r->room != NULL && ledger_note(c->ledger, r->room, seq, s->hash) == LEDGER_DIFFERENT)
            wrong(c, CHECK_ACK,
                  "room %s: the ack of send %" PRIu32 " names seq %" PRIu64 ", which is another text",
                  name_of(r), serial, seq);
        else
            check_passed(c, s, r);
    }
    due = s->due_us;
    settle(c, s);
    return due;
}

uint64_t check_refused(struct check *c, uint32_t serial)
{
    struct check_sent *s = under_way(c, serial);
    uint64_t due;

    if (s == NULL)
        return 0;
    due = s->due_us;
    s->acked = s->seen = true;
    settle(c, s);
    return due;
}

/* ---- what comes */

static void check_order(struct check *c, struct check_room *r, uint64_t seq)
{
    bool direct_anew = r->direct != NULL && (r->last == 0 || seq == 1);

    if (seq == r->last + 1 || direct_anew) {
        r->last = seq;
    } else if (seq > r->last) {
        r->missing_from = r->last + 1;
        r->missing_to = seq - 1;
        wrong(c, CHECK_MISSING, "room %s: seq %" PRIu64 " came after %" PRIu64 ": %" PRIu64 " missing",
              name_of(r), seq, r->last, seq - 1 - r->last);
        r->last = seq;
    } else if (seq >= r->missing_from && seq <= r->missing_to) {
        wrong(c, CHECK_ORDER, "room %s: seq %" PRIu64 " came after %" PRIu64, name_of(r), seq, r->last);
    } else {
        wrong(c, CHECK_REPEATED, "room %s: seq %" PRIu64 " came again after %" PRIu64, name_of(r), seq,
              r->last);
    }
}

static struct check_sent *find_by_text(struct check *c, int room, uint64_t hash)
{
    for (uint32_t n = c->base; n != c->next; n++) {
        struct check_sent *s = sent_at(c, n);

        if (!s->seen && s->room == room && s->hash == hash)
            return s;
    }
    return NULL;
}

/* A message of this bot's own has come back. */
static void check_own(struct check *c, struct check_room *r, const struct check_message *m)
{
    struct check_sent *s;

    if (m->serial < 0) {
        s = find_by_text(c, (int)(r - c->rooms), m->hash);
        if (s == NULL)
            return; /* perhaps from a connection before this one: nothing in it would tell */
    } else {
        s = under_way(c, (uint32_t)m->serial);
        if (s == NULL && (uint32_t)m->serial < c->floor)
            return;
    }
    if (s == NULL || s->seen) {
        wrong(c, CHECK_REPEATED, "room %s: send %" PRId64 " was delivered a second time, as seq %" PRIu64,
              name_of(r), m->serial, m->seq);
        return;
    }
    if (s->hash != m->hash)
        wrong(c, CHECK_ALTERED,
              "room %s: the text of send %" PRId64 " (seq %" PRIu64 ") is not what was sent", name_of(r),
              m->serial, m->seq);
    if (s->acked && s->seq != m->seq)
        wrong(c, CHECK_ACK,
              "room %s: send %" PRId64 " was acknowledged as seq %" PRIu64 " and came as %" PRIu64,
              name_of(r), m->serial, s->seq, m->seq);
    s->seen = true;
    s->seq = m->seq;
    settle(c, s);
}

void check_message(struct check *c, const struct check_message *m)
{
    int i = check_find(c, m->room, m->room_len);
    struct check_room *r = i >= 0 ? &c->rooms[i] : NULL;

    if (r == NULL || !r->in) {
        wrong(c, CHECK_STRAY, "seq %" PRIu64 " of room %.*s, which the bot is not in", m->seq,
              (int)m->room_len, m->room);
        return;
    }
    check_order(c, r, m->seq);
    if (r->room != NULL && ledger_note(c->ledger, r->room, m->seq, m->hash) == LEDGER_DIFFERENT)
        wrong(c, CHECK_ALTERED, "room %s: seq %" PRIu64 " is another text than others got", name_of(r),
              m->seq);
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
        wrong(c, CHECK_STRAY, "a gap of room %.*s, which the bot is not in", (int)len, room);
        return;
    }
    if (from != r->last + 1 || to < from)
        wrong(c, CHECK_GAP, "room %s: a gap from %" PRIu64 " to %" PRIu64 " came after seq %" PRIu64,
              name_of(r), from, to, r->last);
    r->gap_from = from;
    r->gap_to = to;
    if (to > r->last)
        r->last = to;
    for (uint32_t n = c->base; n != c->next; n++) {
        struct check_sent *s = sent_at(c, n);

        if (s->room == i && s->acked && s->seq >= from && s->seq <= to)
            s->seen = s->done = true;
    }
}

void check_old_message(struct check *c, const char *room, size_t len, uint64_t seq, uint64_t hash)
{
    int i = check_find(c, room, len);

    if (i >= 0 && c->rooms[i].room != NULL &&
        ledger_note(c->ledger, c->rooms[i].room, seq, hash) == LEDGER_DIFFERENT)
        wrong(c, CHECK_ALTERED, "room %s: in history, seq %" PRIu64 " is another text than live",
              name_of(&c->rooms[i]), seq);
}

/* ---- the end */

void check_owe(struct check *c)
{
    for (uint16_t i = 0; i < c->room_count; i++)
        if (c->rooms[i].in && c->rooms[i].room != NULL)
            c->rooms[i].owed = c->rooms[i].room->newest;
}

bool check_has_all(const struct check *c)
{
    for (uint16_t i = 0; i < c->room_count; i++)
        if (c->rooms[i].in && c->rooms[i].last < c->rooms[i].owed)
            return false;
    return true;
}

static void check_tails(struct check *c)
{
    for (uint16_t i = 0; i < c->room_count; i++) {
        const struct check_room *r = &c->rooms[i];

        if (r->in && r->last < r->owed)
            wrong(c, CHECK_TAIL, "room %s: the last to come was seq %" PRIu64 ", and it was at %" PRIu64,
                  name_of(r), r->last, r->owed);
    }
}

void check_end(struct check *c, bool in_order, bool acks_only)
{
    for (uint32_t n = c->base; in_order && n != c->next; n++) {
        const struct check_sent *s = sent_at(c, n);

        if (!s->acked)
            wrong(c, CHECK_UNACKED, "room %s: send %" PRIu32 " was never acknowledged",
                  name_of(&c->rooms[s->room]), n);
        else if (!s->seen && !acks_only)
            wrong(c, CHECK_UNSEEN, "room %s: send %" PRIu32 " (seq %" PRIu64 ") never came back",
                  name_of(&c->rooms[s->room]), n, s->seq);
    }
    if (in_order && !acks_only)
        check_tails(c);
    c->floor = c->base = c->next;
    shrink(c);
    for (uint16_t i = 0; i < c->room_count; i++)
        c->rooms[i].in = c->rooms[i].direct != NULL;
}
