/* room_moderate.c: see room_moderate.h. */
#include "server/chat/room_moderate.h"

#include "common/mem.h"
#include "server/chat/room.h"
#include "server/chat/session.h"

#include <stdlib.h>
#include <string.h>

static void run_next(struct room *room);
static void make_change(struct room *room, struct ask *a, const struct who *target);

struct who ask_who(const struct ask *a)
{
    return (struct who){a->folded, a->folded_len, a->identity, a->is_account};
}

static uint64_t wall_ms(const struct room *room)
{
    reactor_now(room->chat->reactor);
    return room->chat->reactor->wall_ms;
}

/* ---- the end of each, well or not ---- */

static void end(struct room *room, struct ask *a)
{
    if (room->moderation.is_gone)
        presence_tell(room, a->other, a->other_len, "leave");
    right_free(room->moderation.change);
    room->moderation.change = NULL;
    room->moderation.is_putting_out = room->moderation.is_gone = room->moderation.has_changed = false;
    room->moderation.out_count = 0;
    room->moderation.now = NULL;
    room_guard(room);
    ask_return(a, room->chat->reactor);
    run_next(room);
}

static void refuse(struct room *room, struct ask *a, const struct refusal *f)
{
    ask_refuse(a, f);
    end(room, a);
}

static void add_moderation(struct buf *b, const struct room *room, const struct ask *a, uint64_t now)
{
    codec_begin(b, MESSAGE_MODERATION);
    codec_add(b, FIELD_ROOM, room->name, room->name_len);
    codec_add_text(b, FIELD_EVENT, message_type_name(a->what));
    if (a->other_len > 0)
        codec_add(b, FIELD_NICK, a->other, a->other_len);
    codec_add(b, FIELD_BY, a->nick, a->nick_len);
    if (a->what == MESSAGE_KICK || a->what == MESSAGE_BAN || a->what == MESSAGE_MUTE)
        codec_add(b, FIELD_REASON, a->text.data != NULL ? a->text.data : "", a->text.len);
    if (a->what == MESSAGE_ROLE)
        codec_add_text(b, FIELD_ROLE, rights_role_name((enum rights_role)a->choice));
    if (a->what == MESSAGE_ACCESS)
        codec_add_text(b, FIELD_ACCESS, rights_access_name((enum rights_access)a->choice));
    if (a->until > 0)
        codec_add_uint(b, FIELD_UNTIL, a->until);
    codec_add_uint(b, FIELD_TIME, now);
    codec_end(b);
}

/* An invitation goes to where the invited one is. */
struct invitation {
    struct post post;
    struct buf line;
    uint8_t room_len, len;
    char room[PROTOCOL_MAX_ROOM + 1], folded[UTF8_FOLD_MAX];
};

static void on_invitation(struct reactor *r, struct post *p)
{
    struct invitation *i = (struct invitation *)p;
    struct session *there[DIRECTORY_SESSIONS_MAX];
    size_t count = directory_sessions(&chat_of(r)->shared->directory, i->folded, i->len, r, there);

    /* Not to one that does not read: it comes in uncalled for, and must not pile up. */
    for (size_t n = 0; n < count; n++)
        if (conn_can_speak(&there[n]->conn) && there[n]->conn.out.bytes < r->limits.max_out &&
            member_find(there[n], i->room, i->room_len) == NULL)
            session_send(there[n], &i->line);
    buf_deinit(&i->line);
    free(i);
}

static void tell_invited(struct room *room, const struct ask *a, const struct buf *line)
{
    struct reactor *there[DIRECTORY_SESSIONS_MAX];
    size_t count =
        directory_reactors(&room->chat->shared->directory, a->other_folded, a->other_folded_len, there);

    for (size_t n = 0; n < count; n++) {
        struct invitation *i = mem_zalloc(sizeof *i);

        buf_put(&i->line, line->data, line->len);
        memcpy(i->room, room->name, room->name_len);
        i->room_len = room->name_len;
        memcpy(i->folded, a->other_folded, a->other_folded_len);
        i->len = a->other_folded_len;
        reactor_post(room->chat->reactor, there[n], &i->post, on_invitation);
    }
}

/* It is done: whoever is in the room is told, and then, in the room's order, who asked for it. */
static void announce(struct room *room, struct ask *a, bool is_news)
{
    struct buf line = {0};
    struct turn *turn;
    uint64_t now;

    room_flush(room);
    now = room_time(room);
    room_acknowledge(room, a, now);
    if (is_news) {
        add_moderation(&line, room, a, now);
        turn = room_new_turn(room);
        turn->chunk = chunk_new_copy(line.data, line.len);
        room_keep(room, turn);
        if (a->what == MESSAGE_INVITE)
            tell_invited(room, a, &line);
    }
    buf_deinit(&line);
    end(room, a);
}

/* Requests of one who has just been put out are not carried out any more. */
static void refuse_behind(struct room *room, const struct ask *a)
{
    struct moderation *m = &room->moderation;
    struct ask *all = m->first, *next;

    m->first = m->last = NULL;
    for (; all != NULL; all = next) {
        next = all->next_waiting;
        all->next_waiting = NULL;
        if (all->folded_len == a->other_folded_len &&
            memcmp(all->folded, a->other_folded, all->folded_len) == 0) {
            ask_fail(all, "not_member", 0, "you are not in that room any more");
            ask_return(all, room->chat->reactor);
            continue;
        }
        if (m->last == NULL)
            m->first = all;
        else
            m->last->next_waiting = all;
        m->last = all;
    }
}

void room_was_put_out(struct room *room)
{
    struct ask *a = room->moderation.now;
    struct refusal f;

    room->moderation.is_putting_out = false;
    room_guard(room);
    refuse_behind(room, a);
    if (a->what == MESSAGE_KICK && room->moderation.out_count == 0 && !room->moderation.has_changed) {
        refusal_say(&f, "no_such_nick", "%.*s is not in %s", a->other_len, a->other, room->name);
        refuse(room, a, &f);
    } else {
        announce(room, a, true);
    }
}

/* ---- keeping a change ---- */

struct keeping {
    struct store_fact fact; /* first */
    struct room *room;
};

static void apply(struct room *room)
{
    struct ask *a = room->moderation.now;

    if (a->what == MESSAGE_ACCESS) {
        room->rights.access = a->choice;
    } else {
        rights_put(&room->rights, room->moderation.change);
        room->moderation.change = NULL;
    }
    room->moderation.has_changed = true;
    room_guard(room);
    if (a->what == MESSAGE_REGISTER)
        end(room, a);
    else if (a->what == MESSAGE_BAN || a->what == MESSAGE_KICK)
        room_on_put_out(room->chat->reactor, &a->post);
    else
        announce(room, a, true);
}

static void on_kept(struct reactor *r, struct post *p)
{
    struct keeping *k = (struct keeping *)p;
    struct room *room = k->room;
    bool failed = k->fact.job.failed != NULL;
    struct refusal f;

    (void)r;
    buf_deinit(&k->fact.key);
    buf_deinit(&k->fact.value);
    free(k);
    if (failed) {
        refusal_say(&f, "storage", "the server could not store it, and nothing has changed: try again later");
        refuse(room, room->moderation.now, &f);
    } else {
        apply(room);
    }
}

static void keep(struct room *room)
{
    const struct moderation *m = &room->moderation;
    struct keeping *k;

    if (!room_lasts(room)) {
        apply(room);
        return;
    }
    k = mem_zalloc(sizeof *k);
    k->room = room;
    k->fact.kind = RIGHTS_KIND;
    k->fact.job.home = room->chat->reactor;
    k->fact.job.done = on_kept;
    if (m->now->what == MESSAGE_ACCESS) {
        room_put_right_key(&k->fact.key, room, "", 0);
        rights_encode_access(&k->fact.value, (enum rights_access)m->now->choice);
    } else {
        room_put_right_key(&k->fact.key, room, m->change->text, m->change->folded_len);
        right_encode(&k->fact.value, m->change);
    }
    store_put(room->chat->shared->store, &k->fact);
}

/* ---- who a role or an invitation is for ---- */

struct look_up {
    struct store_fact fact; /* first */
    struct room *room;
};

static void refuse_nobody(struct room *room, struct ask *a)
{
    struct refusal f;

    refusal_say(&f, "no_such_nick", "nobody here is called %.*s, and there is no such account", a->other_len,
                a->other);
    refuse(room, a, &f);
}

static void on_looked_up(struct reactor *r, struct post *p)
{
    struct look_up *l = (struct look_up *)p;
    struct room *room = l->room;
    struct ask *a = room->moderation.now;
    struct who target = {a->other_folded, a->other_folded_len, 0, true};
    bool found = l->fact.found &&
                 !accounts_is_closed(&room->chat->shared->accounts, a->other_folded, a->other_folded_len);
    struct refusal f;

    (void)r;
    refusal_say(&f, "storage", "the server could not read its disk: try again later");
    if (l->fact.job.failed != NULL)
        refuse(room, a, &f);
    else if (found)
        make_change(room, a, &target);
    else
        refuse_nobody(room, a);
    buf_deinit(&l->fact.key);
    buf_deinit(&l->fact.value);
    free(l);
}

/* A nick that is not there may be an account's. */
static void find_target(struct room *room, struct ask *a)
{
    struct who target = {a->other_folded, a->other_folded_len, 0, false};
    struct nick_place place;
    struct look_up *l;

    if (directory_find(&room->chat->shared->directory, a->other_folded, a->other_folded_len, &place)) {
        target.identity = place.identity;
        target.is_account = place.is_account;
        make_change(room, a, &target);
        return;
    }
    l = mem_zalloc(sizeof *l);
    l->room = room;
    l->fact.kind = "account";
    l->fact.job.home = room->chat->reactor;
    l->fact.job.done = on_looked_up;
    buf_put(&l->fact.key, a->other_folded, a->other_folded_len);
    store_get(room->chat->shared->store, &l->fact);
}

/* ---- what changes ---- */

/* The one who is to be banned or muted, or the one a role is for: a copy of what is known, to be changed;
 * NULL: refused. */
static struct right *copy_right(struct room *room, struct ask *a)
{
    const struct right *old = rights_find(&room->rights, a->other_folded, a->other_folded_len);
    struct refusal f;

    if (old != NULL)
        return right_copy(old);
    if (room_has_place_for_right(room))
        return right_new(a->other_folded, a->other_folded_len, a->other, a->other_len);
    refusal_say(
        &f, "list_full",
        "%s has %d nicks on its lists, as many as a room may: take one off first (unban, unmute, role member)",
        room->name, RIGHTS_MAX);
    f.max = RIGHTS_MAX;
    refuse(room, a, &f);
    return NULL;
}

static void change_role(struct right *right, const struct ask *a, const struct who *target)
{
    if (target != NULL && !right_is_for(right, target)) {
        right->role = ROLE_MEMBER;
        right->invited = false;
        right->identity = target->is_account ? 0 : target->identity;
        right->away_ms = 0;
    }
    if (a->what == MESSAGE_INVITE)
        right->invited = true;
    else
        right->role = a->choice;
}

static void change_sentence(const struct room *room, struct right *right, struct ask *a)
{
    struct sentence *s = a->what == MESSAGE_BAN || a->what == MESSAGE_UNBAN ? &right->ban : &right->mute;
    uint64_t now = wall_ms(room);

    if (a->what == MESSAGE_UNBAN || a->what == MESSAGE_UNMUTE) {
        sentence_clear(s);
        return;
    }
    a->until = a->seconds > 0 ? now + a->seconds * 1000ULL : 0;
    sentence_set(s, a->nick, a->nick_len, a->text.data, a->text.len, now, a->until);
    if (a->what == MESSAGE_BAN) {
        right->role = ROLE_MEMBER;
        right->invited = false;
    }
}

/* Whoever has the nick now is not the guest who had it, and who may come back to its role. */
static bool is_of_another(const struct room *room, const struct ask *a, const struct who *target)
{
    const struct right *right = rights_find(&room->rights, a->other_folded, a->other_folded_len);

    return right != NULL && right->role != ROLE_MEMBER && right->away_ms > 0 && !right_is_for(right, target);
}

static void make_change(struct room *room, struct ask *a, const struct who *target)
{
    struct right *right;
    struct refusal f;

    if (a->what == MESSAGE_INVITE && is_of_another(room, a, target)) {
        refusal_say(
            &f, "not_allowed",
            "%.*s is a nick with a role in %s, of a guest who is away: if it does not come back, try again in a minute",
            a->other_len, a->other, room->name);
        refuse(room, a, &f);
        return;
    }
    right = copy_right(room, a);
    if (right == NULL)
        return;
    if (a->what == MESSAGE_ROLE || a->what == MESSAGE_INVITE)
        change_role(right, a, target);
    else if (a->what == MESSAGE_KICK)
        right->invited = false;
    else if (a->what == MESSAGE_REGISTER)
        right->identity = 0;
    else
        change_sentence(room, right, a);
    room->moderation.change = right;
    keep(room);
}

/* ---- bans: who is banned and who is muted ---- */

static void put_sentence(struct ask *a, const struct room *room, enum message_type type,
                         const struct right *right, const struct sentence *s)
{
    codec_begin(&a->answer, type);
    if (a->id_len > 0)
        codec_add(&a->answer, FIELD_RE, a->id, a->id_len);
    codec_add(&a->answer, FIELD_ROOM, room->name, room->name_len);
    codec_add(&a->answer, FIELD_NICK, right_nick(right), right->nick_len);
    codec_add_text(&a->answer, FIELD_BY, s->by);
    codec_add_text(&a->answer, FIELD_REASON, s->reason);
    codec_add_uint(&a->answer, FIELD_TIME, s->since_ms);
    if (s->until_ms > 0)
        codec_add_uint(&a->answer, FIELD_UNTIL, s->until_ms);
    codec_end(&a->answer);
    a->answer_lines++;
}

static void list_sentences(struct room *room, struct ask *a)
{
    uint64_t now = wall_ms(room);
    uint32_t at;

    for (const struct right *right = rights_first(&room->rights, &at); right != NULL;
         right = rights_next(&room->rights, &at, right)) {
        if (sentence_holds(&right->ban, now))
            put_sentence(a, room, MESSAGE_BAN, right, &right->ban);
        if (sentence_holds(&right->mute, now))
            put_sentence(a, room, MESSAGE_MUTE, right, &right->mute);
    }
    codec_begin(&a->answer, MESSAGE_END);
    if (a->id_len > 0)
        codec_add(&a->answer, FIELD_RE, a->id, a->id_len);
    codec_add_uint(&a->answer, FIELD_COUNT, a->answer_lines);
    codec_add_bool(&a->answer, FIELD_MORE, false);
    codec_end(&a->answer);
    a->answer_lines++;
    end(room, a);
}

/* ---- one after the other ---- */

static void carry_out(struct room *room, struct ask *a)
{
    const struct right *right = rights_find(&room->rights, a->other_folded, a->other_folded_len);
    bool had_role = right != NULL && right->role != ROLE_MEMBER;

    switch (a->what) {
    case MESSAGE_BANS:
        list_sentences(room, a);
        return;
    case MESSAGE_KICK: /* an invitation is over with it: else it would be back at once */
        room_begin_put_out(room);
        if (right != NULL && right->invited)
            break;
        room_on_put_out(room->chat->reactor, &a->post);
        return;
    case MESSAGE_ACCESS:
        keep(room);
        return;
    case MESSAGE_BAN:
        room_begin_put_out(room);
        break;
    case MESSAGE_INVITE:
        find_target(room, a);
        return;
    case MESSAGE_ROLE:
        if (a->choice != ROLE_MEMBER) {
            find_target(room, a);
            return;
        }
        if (!had_role) {
            announce(room, a, false);
            return;
        }
        break;
    default:
        break;
    }
    make_change(room, a, NULL);
}

static void check(struct room *room, struct ask *a)
{
    struct nick_place place;
    struct refusal f;

    if (a->what != MESSAGE_REGISTER) /* that has not been asked for by anyone, and its guest is no more */
        room_review_rights(room);
    room->moderation.now = a;
    if (a->other_len > 0 &&
        directory_find(&room->chat->shared->directory, a->other_folded, a->other_folded_len, &place)) {
        memcpy(a->other, place.text, place.len); /* as its owner writes it */
        a->other_len = place.len;
    }
    if (a->what != MESSAGE_REGISTER && room_refuses_change(room, a, &f))
        refuse(room, a, &f);
    else
        carry_out(room, a);
}

static void run_next(struct room *room)
{
    struct moderation *m = &room->moderation;
    struct ask *a;

    if (m->is_running)
        return;
    m->is_running = true;
    while (m->now == NULL && (a = m->first) != NULL) {
        m->first = a->next_waiting;
        if (m->first == NULL)
            m->last = NULL;
        check(room, a);
    }
    m->is_running = false;
}

static void queue(struct room *room, struct ask *a)
{
    struct moderation *m = &room->moderation;

    a->next_waiting = NULL;
    if (m->last == NULL)
        m->first = a;
    else
        m->last->next_waiting = a;
    m->last = a;
    run_next(room);
}

void room_on_moderate(struct reactor *r, struct post *p)
{
    struct ask *a = (struct ask *)p;
    struct room *room = room_find_or_refuse(r, a);

    if (room != NULL)
        queue(room, a);
}

bool room_promotes_right(struct room *room, struct ask *a)
{
    struct right *right = rights_find(&room->rights, a->folded, a->folded_len);

    if (right == NULL || right->identity == 0 || right->identity != a->was)
        return false;
    right->identity = right->away_ms = 0; /* at once: what it asks next may need it */
    rights_count(&room->rights);
    a->what = MESSAGE_REGISTER;
    memcpy(a->other, a->nick, sizeof a->other);
    memcpy(a->other_folded, a->folded, a->folded_len);
    a->other_len = a->nick_len;
    a->other_folded_len = a->folded_len;
    queue(room, a);
    return true;
}
