/* room_put_out.c: somebody is put out of a room: the reactors that have members are asked to find the
 * connections of that nick, and the home waits for all of them. See room_moderate.h.
 *
 * From the moment when it was asked for, nothing that the one concerned says is taken any more; what was
 * taken before is kept, acknowledged and delivered first. So `left` is the last that it gets of the room. */
#include "common/mem.h"
#include "server/chat/room.h"
#include "server/chat/session.h"

#include <stdlib.h>
#include <string.h>

struct put_out {
    struct post post;
    struct room *room; /* the home's; it waits */
    struct audience *audience;
    struct buf line;
    uint32_t count;
    unsigned reactor;
    uint8_t len, nick_len;
    char folded[UTF8_FOLD_MAX], nick[UTF8_NICK_MAX + 1];
};

void room_begin_put_out(struct room *room)
{
    room->moderation.is_putting_out = true;
    room->moderation.out = UINT64_MAX;
    room->moderation.out_count = 0;
    room_guard(room);
}

/* ---- at a reactor with members ---- */

static void put_out_one(struct member *m, struct put_out *o)
{
    struct session *s = m->session;

    memcpy(o->nick, nick_text(s->nick), s->nick->len);
    o->nick_len = s->nick->len;
    o->count++;
    if (conn_can_speak(&s->conn))
        session_send(s, &o->line);
    member_remove(m, NULL);
    session_consider_finish(s);
}

/* What that reactor's connections asked for before they were put out, and what is still being read for. */
static void forget_seeking(struct room *room, const struct put_out *o)
{
    for (struct ask *a = room->seeking; a != NULL; a = a->next_waiting)
        if (a->from->index == o->reactor && a->folded_len == o->len &&
            memcmp(a->folded, o->folded, o->len) == 0)
            a->is_out = true;
}

/* At home again. */
static void on_done(struct reactor *r, struct post *p)
{
    struct put_out *o = (struct put_out *)p;
    struct room *room = o->room;
    struct ask *a = room->moderation.now;

    (void)r;
    if (o->count > 0) {
        memcpy(a->other, o->nick, o->nick_len);
        a->other_len = o->nick_len;
    }
    forget_seeking(room, o);
    room->moderation.out_count += o->count;
    room->moderation.out &= ~(UINT64_C(1) << o->reactor);
    buf_deinit(&o->line);
    free(o);
    if (room->moderation.out == 0)
        room_was_put_out(room);
}

static void on_put_out(struct reactor *r, struct post *p)
{
    struct put_out *o = (struct put_out *)p;
    struct audience *audience = o->audience;
    struct reactor *home = audience->home;

    audience->pending++;                           /* it must not go with its last member */
    for (uint32_t i = audience->count; i-- > 0;) { /* the last one takes the place of one that goes */
        struct member *m = audience->members[i];
        const struct nick *n = m->session->nick;

        if (!m->leaving && n != NULL && n->folded_len == o->len && memcmp(n->text, o->folded, o->len) == 0)
            put_out_one(m, o);
    }
    audience->pending--;
    audience_release(audience);
    reactor_post(r, home, &o->post, on_done);
}

/* ---- at home ---- */

static void put_line(struct buf *b, const struct room *room, const struct ask *a)
{
    codec_begin(b, MESSAGE_LEFT);
    codec_add(b, FIELD_ROOM, room->name, room->name_len);
    codec_add_text(b, FIELD_CODE, a->what == MESSAGE_BAN ? "banned" : "kicked");
    codec_add(b, FIELD_BY, a->nick, a->nick_len);
    codec_add(b, FIELD_REASON, a->text.data != NULL ? a->text.data : "", a->text.len);
    if (a->until > 0)
        codec_add_uint(b, FIELD_UNTIL, a->until);
    codec_end(b);
}

static void ask_reactor(struct room *room, const struct ask *a, struct reactor *to)
{
    struct put_out *o = mem_zalloc(sizeof *o);

    o->room = room;
    o->reactor = to->index;
    o->audience = room->shares[to->index].audience;
    put_line(&o->line, room, a);
    o->len = a->other_folded_len;
    memcpy(o->folded, a->other_folded, o->len);
    reactor_post(room->chat->reactor, to, &o->post, on_put_out);
}

/* What was said before is kept and handed out by now. */
void room_on_put_out(struct reactor *r, struct post *p)
{
    struct ask *a = (struct ask *)p;
    struct room *room = room_find_asked(r, a);
    struct net *net = r->net;
    uint64_t asked = 0;

    a->home = room_on_put_out; /* where it goes on when it has waited */
    if (room_put_off(room, a, true))
        return;
    for (unsigned i = 0; i < net->count; i++)
        if (room->shares[i].members > 0)
            asked |= UINT64_C(1) << i;
    room->moderation.out = asked;
    for (unsigned i = 0; i < net->count; i++)
        if (asked >> i & 1)
            ask_reactor(room, a, net->reactors[i]);
    if (asked == 0)
        room_was_put_out(room);
}

void room_put_out_is_gone(struct room *room, const struct ask *leave)
{
    const struct ask *now = room->moderation.now;

    if (now != NULL && now->other_folded_len == leave->folded_len &&
        memcmp(now->other_folded, leave->folded, leave->folded_len) == 0)
        room->moderation.is_gone = true;
    else
        presence_tell(room, leave->nick, leave->nick_len, "leave");
}
