/* room_rights_keep.c: who may do what in a room, and the store: loaded, claimed, let go of. See
 * room_moderate.h.
 *
 * What is known of one nick is one fact, so that a change is one write: kind "room", the key the room's name,
 * a slash and the folded nick; without a nick it is the room's access. Of guests' roles and invitations
 * nothing is kept. With data in memory the room itself is all there is. */
#include "common/log.h"
#include "common/mem.h"
#include "server/chat/room.h"

#include <stdlib.h>

struct loading {
    struct store_facts facts; /* first */
    struct room *room;
};

/* A put that nobody waits for, or the one that makes a room somebody's. */
struct putting {
    struct store_fact fact; /* first */
    struct room *room;
};

void room_put_right_key(struct buf *b, const struct room *room, const char *folded, size_t len)
{
    buf_put(b, room->name, room->name_len);
    buf_put_literal(b, "/");
    buf_put(b, folded, len);
}

static void putting_free(struct putting *p)
{
    buf_deinit(&p->fact.key);
    buf_deinit(&p->fact.value);
    free(p);
}

static struct putting *new_put(struct room *room, const char *folded, size_t len, post_fn *done)
{
    struct putting *p = mem_zalloc(sizeof *p);

    p->room = room;
    p->fact.kind = RIGHTS_KIND;
    p->fact.job.home = room->chat->reactor;
    p->fact.job.done = done;
    room_put_right_key(&p->fact.key, room, folded, len);
    return p;
}

static void on_put(struct reactor *r, struct post *post)
{
    struct putting *p = (struct putting *)post;

    (void)r;
    p->room->moderation.puts--;
    putting_free(p);
}

/* Keeps what is known of that nick now, or the access. What can't be kept shows again when the room is
 * loaded, and is looked through then as it was now. */
static void put_again(struct room *room, const struct right *right)
{
    struct putting *p;

    if (!room_lasts(room))
        return;
    p = new_put(room, right != NULL ? right->text : "", right != NULL ? right->folded_len : 0, on_put);
    if (right != NULL)
        right_encode(&p->fact.value, right);
    else
        rights_encode_access(&p->fact.value, (enum rights_access)room->rights.access);
    room->moderation.puts++;
    store_put(room->chat->shared->store, &p->fact);
}

/* Changes what is known of a nick without being asked to. The right may be gone afterwards. */
static void change_right(struct room *room, struct right *right, struct right *change)
{
    struct buf before = {0}, after = {0};

    right_encode(&before, right);
    right_encode(&after, change);
    if (before.len != after.len || (after.len > 0 && memcmp(before.data, after.data, after.len) != 0))
        put_again(room, change);
    buf_deinit(&before);
    buf_deinit(&after);
    rights_put(&room->rights, change);
}

/* ---- what lapses ---- */

static void forget_all(struct room *room)
{
    uint32_t at;

    for (struct right *right = rights_first(&room->rights, &at), *next; right != NULL; right = next) {
        next = rights_next(&room->rights, &at, right);
        change_right(room, right, right_new(right->text, right->folded_len, "", 0));
    }
    if (room->rights.access != ACCESS_OPEN) {
        room->rights.access = ACCESS_OPEN;
        put_again(room, NULL);
    }
    room_guard(room);
}

static void drop_expired(struct room *room, uint64_t now_ms)
{
    uint32_t at;

    for (struct right *right = rights_first(&room->rights, &at), *next; right != NULL; right = next) {
        bool ban = right->ban.by != NULL && !sentence_holds(&right->ban, now_ms),
             mute = right->mute.by != NULL && !sentence_holds(&right->mute, now_ms);
        struct right *change = ban || mute ? right_copy(right) : NULL;

        next = rights_next(&room->rights, &at, right);
        if (ban)
            sentence_clear(&change->ban);
        if (mute)
            sentence_clear(&change->mute);
        if (change != NULL)
            change_right(room, right, change);
    }
    room_guard(room);
}

bool room_has_place_for_right(struct room *room)
{
    if (room->rights.nicks.count >= RIGHTS_MAX) {
        reactor_now(room->chat->reactor);
        drop_expired(room, room->chat->reactor->wall_ms);
    }
    return room->rights.nicks.count < RIGHTS_MAX;
}

/* Whether a guest who is not there may still come back. */
static bool may_return(struct right *right, uint64_t now_ms)
{
    if (right->away_ms == 0)
        right->away_ms = now_ms;
    return now_ms - right->away_ms < RIGHTS_AWAY_MS;
}

/* Its role and its invitation are over. */
static void drop_role(struct room *room, struct right *right)
{
    struct right *change = right_copy(right);

    change->role = ROLE_MEMBER;
    change->invited = false;
    change_right(room, right, change);
}

/* Its guest is there, or may still come back; else it is over. */
static void review_guest(struct room *room, struct right *right, uint64_t now_ms)
{
    struct nick_place place;
    bool there = directory_find(&room->chat->shared->directory, right->text, right->folded_len, &place);

    if (there && !place.is_account && place.identity == right->identity)
        right->away_ms = 0;
    else if (!may_return(right, now_ms) && room->moderation.now == NULL)
        drop_role(room, right);
}

static void review_account(struct room *room, struct right *right)
{
    if ((right->role != ROLE_MEMBER || right->invited) && room->moderation.now == NULL &&
        accounts_is_closed(&room->chat->shared->accounts, right->text, right->folded_len))
        drop_role(room, right);
}

void room_review_rights(struct room *room)
{
    struct rights *r = &room->rights;
    uint64_t now_ms = reactor_now(room->chat->reactor) / 1000;
    uint32_t at;

    for (struct right *right = rights_first(r, &at), *next; right != NULL; right = next) {
        next = rights_next(r, &at, right);
        if (right->identity != 0)
            review_guest(room, right, now_ms);
        else
            review_account(room, right);
    }
    if (r->holders == 0 && !r->is_damaged && room->moderation.now == NULL &&
        (r->nicks.count > 0 || r->access != ACCESS_OPEN))
        forget_all(room);
}

/* Who says good bye, or leaves, does not come back by itself; who lost the connection may. */
void room_guest_left(struct room *room, const struct ask *a)
{
    struct right *right;

    if (room->rights.guests == 0 || a->is_account)
        return;
    right = rights_find(&room->rights, a->folded, a->folded_len);
    if (right == NULL || right->identity != a->identity)
        return;
    right->away_ms = reactor_now(room->chat->reactor) / 1000;
    if (a->event != NULL && strcmp(a->event, "leave") == 0)
        right->away_ms -= right->away_ms > RIGHTS_AWAY_MS ? RIGHTS_AWAY_MS : 0;
}

/* ---- loading ---- */

static void take_row(struct room *room, const struct store_fact_row *row)
{
    size_t skip = room->name_len + 1U;
    char nick[LOG_QUOTED_SIZE];

    if (rights_decode(&room->rights, row->key.data + skip, row->key.len - skip, row->value.data,
                      row->value.len))
        return;
    log_event(LOG_ERROR, "damaged-right",
              "room=%s nick=%s why=\"what is kept of it can't be read: part of it is ignored; say it anew\"",
              room->name, log_quote(row->key.data + skip, row->key.len - skip, nick));
}

static void on_facts(struct reactor *r, struct post *p)
{
    struct loading *l = (struct loading *)p;
    struct room *room = l->room;
    const char *failed = l->facts.job.failed;

    for (size_t i = 0; failed == NULL && i < l->facts.count; i++)
        take_row(room, &l->facts.rows[i]);
    if (l->facts.count > 0)
        room->is_unclaimed = false;
    store_facts_deinit(&l->facts);
    free(l);
    if (failed == NULL) {
        reactor_now(r);
        drop_expired(room, r->wall_ms);
        room_review_rights(room);
    }
    room_loaded(room, failed);
}

void room_load_rights(struct room *room)
{
    struct loading *l;

    if (!room_lasts(room)) {
        room_loaded(room, NULL);
        return;
    }
    l = mem_zalloc(sizeof *l);
    l->room = room;
    l->facts.kind = RIGHTS_KIND;
    l->facts.limit = RIGHTS_MAX + 1; /* and the access */
    l->facts.job.home = room->chat->reactor;
    l->facts.job.done = on_facts;
    room_put_right_key(&l->facts.prefix, room, "", 0);
    store_scan(room->chat->shared->store, &l->facts);
}

static void on_claimed(struct reactor *r, struct post *post)
{
    struct putting *p = (struct putting *)post;
    struct room *room = p->room;
    const char *failed = p->fact.job.failed;

    (void)r;
    putting_free(p);
    room_loaded(room, failed);
}

bool room_claim(struct room *room, struct ask *a)
{
    struct right *right;
    struct putting *p;

    if (!room->is_unclaimed)
        return false;
    room->is_unclaimed = false;
    right = right_new(a->folded, a->folded_len, a->nick, a->nick_len);
    right->role = ROLE_OWNER;
    right->identity = a->is_account ? 0 : a->identity;
    rights_put(&room->rights, right);
    if (!a->is_account || !room_lasts(room))
        return false;
    room->is_loading = true; /* as it were, for all who ask */
    room_wait_first(room, a);
    p = new_put(room, a->folded, a->folded_len, on_claimed);
    right_encode(&p->fact.value, right);
    store_put(room->chat->shared->store, &p->fact);
    return true;
}
