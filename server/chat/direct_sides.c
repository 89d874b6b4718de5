/* direct_sides.c: who the two of a direct conversation are: read from the store with it, found out when one
 * is away, and entered there before the first message that an account takes part in. See direct.h. */
#include "server/chat/direct.h"

#include "common/mem.h"
#include "protocol/codec.h"
#include "server/chat/account.h"
#include "server/chat/room.h"

#include <stdlib.h>
#include <string.h>

/* Something asked of the store about one side. */
struct step {
    struct store_fact fact; /* first */
    struct room *room;
    struct side *side;
};

static void set_side(struct side *s, const char *folded, size_t len)
{
    memcpy(s->folded, folded, len);
    s->folded_len = (uint8_t)len;
}

struct direct *direct_new(const struct ask *a)
{
    struct direct *d = mem_zalloc(sizeof *d);
    int mine = direct_is_first(a) ? 0 : 1;

    set_side(&d->sides[mine], a->folded, a->folded_len);
    set_side(&d->sides[1 - mine], a->other_folded, a->other_folded_len);
    return d;
}

struct side *direct_side(struct direct *d, const char *folded, size_t len)
{
    struct side *s = &d->sides[0];

    return s->folded_len == len && memcmp(s->folded, folded, len) == 0 ? s : &d->sides[1];
}

static void set_nick(struct side *s, const char *nick, size_t len)
{
    if (len > sizeof s->nick)
        return;
    memcpy(s->nick, nick, len);
    s->len = (uint8_t)len;
}

void direct_give_up(struct room *room)
{
    if (room->seq == 0 && room->members == 0 && !room_is_busy(room))
        room_free(room);
}

/* ---- steps ---- */

static void hold(struct room *room)
{
    room->direct->steps++;
    room->is_loading = true;
}

static void release(struct room *room)
{
    struct direct *d = room->direct;

    if (--d->steps > 0)
        return;
    room->is_loading = false;
    if (d->is_loading && d->has_failed) {
        room_fail_waiting(room);
        room_free(room);
        return;
    }
    d->is_loading = false;
    if (d->is_preparing)
        return;
    room_run_waiting(room);
    direct_give_up(room);
}

static struct step *new_step(struct room *room, struct side *s, const char *kind, post_fn *done)
{
    struct step *step = mem_zalloc(sizeof *step);

    step->room = room;
    step->side = s;
    step->fact.kind = kind;
    step->fact.job.home = room->chat->reactor;
    step->fact.job.done = done;
    buf_put(&step->fact.key, s->folded, s->folded_len);
    hold(room);
    return step;
}

static void end_step(struct step *step)
{
    struct room *room = step->room;

    if (step->fact.job.failed != NULL)
        room->direct->has_failed = true;
    buf_deinit(&step->fact.key);
    buf_deinit(&step->fact.value);
    free(step);
    release(room);
}

static void put_name(struct step *step)
{
    buf_put(&step->fact.key, "", 1);
    buf_put(&step->fact.key, step->room->name, step->room->name_len);
}

/* ---- loading ---- */

/* {"nick":…,"session":…,"from":…}, put by enter(). */
bool direct_read_entry(struct buf *value, struct direct_entry *e)
{
    const struct value *nick, *identity, *from;
    struct message m;
    const char *where;

    if (codec_decode(value->data, value->len, &m, &where) != CODEC_OK)
        return false;
    nick = message_get_kind(&m, FIELD_NICK, VALUE_STRING);
    identity = message_get_kind(&m, FIELD_SESSION, VALUE_UINT);
    from = message_get_kind(&m, FIELD_FROM, VALUE_UINT);
    if (nick == NULL || nick->len > UTF8_NICK_MAX || identity == NULL || from == NULL)
        return false;
    *e = (struct direct_entry){nick->text, nick->len, identity->number, from->number};
    return true;
}

static void take_entry(struct step *step)
{
    struct side *s = step->side;
    struct direct_entry e;

    if (!direct_read_entry(&step->fact.value, &e))
        return;
    s->identity = e.identity;
    s->from = e.from;
    s->is_account = s->is_entered = true;
    set_nick(direct_peer(step->room->direct, s), e.nick, e.len);
}

static void on_entry(struct reactor *r, struct post *p)
{
    struct step *step = (struct step *)p;

    (void)r;
    if (step->fact.job.failed == NULL && step->fact.found)
        take_entry(step);
    end_step(step);
}

void direct_load_sides(struct room *room)
{
    room->direct->is_loading = true;
    hold(room);
    for (int i = 0; i < 2; i++) {
        struct step *step = new_step(room, &room->direct->sides[i], DIRECT_KIND, on_entry);

        put_name(step);
        store_get(room->chat->shared->store, &step->fact);
    }
    release(room);
}

/* ---- preparing ---- */

struct person {
    uint64_t identity, since_ms;
    bool is_account;
    const char *nick;
    size_t len;
};

/* Who has the nick now; where that is another one than before, what there is up to now is not for him. A
 * guest who has registered is the same one. */
static void meet(struct room *room, struct side *s, const struct person *p)
{
    if (s->identity != p->identity) {
        if (s->is_account || !p->is_account || s->since_ms != p->since_ms) {
            room_flush(room);
            s->from = room->seq + 1;
        }
        s->identity = p->identity;
        s->is_account = p->is_account;
        s->is_entered = false;
    }
    s->since_ms = p->since_ms;
    set_nick(s, p->nick, p->len);
}

/* The account whose nick was asked about. */
static void meet_account(struct step *step)
{
    struct account account;

    if (account_parse(step->fact.value.data, step->fact.value.len, &account) && !account_is_closed(&account))
        meet(step->room, step->side,
             &(struct person){account.identity, account.since_ms, true, account.nick, strlen(account.nick)});
}

static void on_sought(struct reactor *r, struct post *p)
{
    struct step *step = (struct step *)p;

    (void)r;
    if (step->fact.job.failed == NULL) {
        if (step->fact.found)
            meet_account(step);
        step->room->direct->was_sought = !step->side->is_account;
    }
    end_step(step);
}

static void seek(struct room *room, struct side *s)
{
    struct step *step = new_step(room, s, ACCOUNT_FACT, on_sought);

    store_get(room->chat->shared->store, &step->fact);
}

static void on_entered(struct reactor *r, struct post *p)
{
    struct step *step = (struct step *)p;

    (void)r;
    if (step->fact.job.failed == NULL && step->fact.is_full)
        step->room->direct->full = step->side;
    else if (step->fact.job.failed == NULL)
        step->side->is_entered = true;
    end_step(step);
}

uint32_t direct_most(struct direct *d, struct side *s)
{
    return direct_peer(d, s)->is_account ? DIRECT_MAX : DIRECT_MAX_GUESTS;
}

static bool wants_entry(const struct side *s)
{
    return s->is_account && !s->is_entered;
}

static void enter(struct room *room, struct side *s, post_fn *done)
{
    const struct side *other = direct_peer(room->direct, s);
    struct step *step = new_step(room, s, DIRECT_KIND, done);
    struct buf *b;

    put_name(step);
    step->fact.most = direct_most(room->direct, s);
    step->fact.group_len = s->folded_len + 1U;
    b = &step->fact.value;
    codec_begin(b, MESSAGE_ROOM);
    codec_add(b, FIELD_NICK, other->nick, other->len);
    codec_add_uint(b, FIELD_SESSION, s->identity);
    codec_add_uint(b, FIELD_FROM, s->from);
    codec_end(b);
    b->len--; /* its LF */
    store_put(room->chat->shared->store, &step->fact);
}

static bool is_closed(const struct room *room, const struct side *s)
{
    return accounts_is_closed(&room->chat->shared->accounts, s->folded, s->folded_len);
}

/* Begins what is still needed; DIRECT_WAITS: there was something. */
static enum direct_ready take_step(struct room *room, const struct ask *a, bool is_said)
{
    struct direct *d = room->direct;
    struct side *me = direct_side(d, a->folded, a->folded_len), *other = direct_peer(d, me);
    struct nick_place place;

    if (d->has_failed)
        return DIRECT_FAILED;
    if (d->full != NULL)
        return DIRECT_FULL;
    meet(room, me, &(struct person){a->identity, a->since_ms, a->is_account, a->nick, a->nick_len});
    if (directory_find(&room->chat->shared->directory, other->folded, other->folded_len, &place)) {
        meet(room, other,
             &(struct person){place.identity, place.since_ms, place.is_account, place.text, place.len});
    } else if (is_said && other->is_account && is_closed(room, other)) {
        return DIRECT_NOBODY;
    } else if (!other->is_account && (is_said || room->seq == 0)) {
        if (d->was_sought)
            return DIRECT_NOBODY;
        seek(room, other);
        return DIRECT_WAITS;
    }
    if (!is_said || (!wants_entry(me) && !wants_entry(other)))
        return DIRECT_READY;
    /* One behind the other: the asker's list does not grow where the other's is full. */
    enter(room, wants_entry(other) ? other : me, on_entered);
    return DIRECT_WAITS;
}

enum direct_ready direct_prepare(struct room *room, const struct ask *a, bool is_said)
{
    struct direct *d = room->direct;
    enum direct_ready ready;

    d->is_preparing = true;
    do
        ready = take_step(room, a, is_said);
    while (ready == DIRECT_WAITS && !room->is_loading); /* a store in memory is done at once */
    d->is_preparing = false;
    if (ready != DIRECT_WAITS)
        d->was_sought = d->has_failed = false;
    return ready;
}

/* ---- a guest who has registered ---- */

/* Where it could not be, that is tried again before the next message. */
static void on_entered_early(struct reactor *r, struct post *p)
{
    struct step *step = (struct step *)p;

    step->side->is_entered = step->fact.job.failed == NULL && !step->fact.is_full;
    step->fact.job.failed = NULL;
    (void)r;
    end_step(step);
}

static void promote(struct room *room, const struct ask *a)
{
    struct direct *d = room->direct;
    struct side *s = direct_side(d, a->folded, a->folded_len);

    if (room->seq == 0 || s->is_account || s->identity != a->was || s->folded_len != a->folded_len ||
        memcmp(s->folded, a->folded, s->folded_len) != 0)
        return;
    meet(room, s, &(struct person){a->identity, a->since_ms, a->is_account, a->nick, a->nick_len});
    if (!wants_entry(s))
        return;
    d->is_preparing = true; /* nothing that waits is run while all rooms are being gone through */
    enter(room, s, on_entered_early);
    d->is_preparing = false;
}

void direct_on_promote(struct reactor *r, struct post *p)
{
    struct ask *a = (struct ask *)p;
    struct chat *chat = chat_of(r);
    uint32_t at;

    for (struct table_link *link = table_first(&chat->rooms, &at); link != NULL;
         link = table_next(&chat->rooms, &at, link)) {
        struct room *room = table_of(link, struct room, link);

        if (room->direct != NULL)
            promote(room, a);
    }
    ask_return(a, r);
}
