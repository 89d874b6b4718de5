/* unread.c: see unread.h. The account's conversations are taken from the store a page at a time, and asked
 * one behind the other: the mark at its home, then how far the conversation is at its own. */
#include "server/chat/unread.h"

#include "common/mem.h"
#include "protocol/codec.h"
#include "server/chat/direct.h"
#include "server/chat/marks.h"
#include "server/chat/room.h"
#include "server/chat/session.h"

#include <stdlib.h>
#include <string.h>

#define PAGE 64

struct walk {
    struct store_facts page; /* first */
    struct ask *ask;         /* of the session; the same for all */
    size_t at;
    unsigned told;
    bool is_going, has_more; /* what is done at once comes back while it is still going */
};

static void go_on(struct walk *w);

static void end(struct walk *w)
{
    store_facts_deinit(&w->page);
    ask_free(w->ask);
    free(w);
}

/* ---- one conversation ---- */

static void tell(struct walk *w)
{
    const struct ask *a = w->ask;
    struct session *s = a->session;
    struct buf *b = &s->conn.reactor->scratch;
    uint64_t read = a->mark_epoch == a->epoch ? a->mark_seq : 0;

    if (read + 1 < a->first)
        read = a->first - 1;
    if (a->seq <= read)
        return;
    buf_clear(b);
    codec_begin(b, MESSAGE_UNREAD);
    codec_add(b, FIELD_ROOM, a->other, a->other_len);
    codec_add_uint(b, FIELD_SEQ, a->seq);
    codec_add_uint(b, FIELD_READ, read);
    codec_add_uint(b, FIELD_UNREAD, a->seq - read);
    codec_end(b);
    session_send(s, b);
    w->told++;
}

static void on_counted(struct reactor *r, struct post *p)
{
    struct walk *w = ((struct ask *)p)->arg;

    (void)r;
    tell(w);
    go_on(w);
}

struct look {
    struct store_load load; /* first */
    struct ask *ask;
};

static void on_looked(struct reactor *r, struct post *p)
{
    struct look *l = (struct look *)p;
    struct ask *a = l->ask;

    if (l->load.job.failed == NULL && l->load.found) {
        a->seq = l->load.place.kept;
        a->epoch = l->load.epoch;
    }
    free(l->load.topic);
    keys_deinit(&l->load.keys);
    free(l);
    ask_return(a, r);
}

/* At the conversation's home: it need not be in memory for that. */
static void on_count(struct reactor *r, struct post *p)
{
    struct ask *a = (struct ask *)p;
    struct room *room = room_find(chat_of(r), a->room, a->room_len, table_hash(a->room, a->room_len));
    struct look *l;

    a->seq = a->epoch = 0;
    if (room != NULL && !room->is_loading) {
        a->seq = room->kept;
        a->epoch = room->epoch;
        ask_return(a, r);
        return;
    }
    l = mem_zalloc(sizeof *l);
    l->ask = a;
    l->load.job.home = r;
    l->load.job.done = on_looked;
    memcpy(l->load.room, a->room, a->room_len);
    l->load.room_len = a->room_len;
    store_load(chat_of(r)->shared->store, &l->load);
}

static bool take_row(struct walk *w, struct store_fact_row *row)
{
    struct ask *a = w->ask;
    size_t skip = (size_t)a->folded_len + 1;
    struct direct_entry e;

    if (row->key.len != skip + DIRECT_NAME_LEN || !direct_read_entry(&row->value, &e))
        return false;
    ask_set_room(a, row->key.data + skip, DIRECT_NAME_LEN);
    a->other_len = (uint8_t)direct_show(a->other, e.nick, e.len);
    a->first = e.from;
    return true;
}

/* ---- all of them ---- */

static void on_page(struct reactor *r, struct post *p)
{
    (void)r;
    go_on((struct walk *)p);
}

static void take_page(struct walk *w)
{
    struct store_facts *f = &w->page;
    struct ask *a = w->ask;
    struct buf after = {0};

    if (f->count > 0)
        buf_put(&after, f->rows[f->count - 1].key.data, f->rows[f->count - 1].key.len);
    store_facts_deinit(f);
    *f = (struct store_facts){.kind = DIRECT_KIND, .after = after, .limit = PAGE};
    f->job.home = a->from;
    f->job.done = on_page;
    buf_put(&f->prefix, a->folded, a->folded_len);
    buf_put(&f->prefix, "", 1);
    w->at = 0;
    store_scan(chat_of(a->from)->shared->store, f);
}

/* Asks about the next one; false: that was all. */
static bool take_next(struct walk *w)
{
    const struct session *s = w->ask->session;

    if (!conn_can_speak(&s->conn) || s->nick == NULL || w->page.job.failed != NULL || w->told >= UNREAD_MAX)
        return false;
    while (w->at < w->page.count)
        if (take_row(w, &w->page.rows[w->at++])) {
            uint32_t hash = table_hash(w->ask->room, w->ask->room_len);

            marks_send_by(w->ask, chat_home(chat_of(w->ask->from), hash));
            return true;
        }
    if (w->page.count < w->page.limit)
        return false;
    take_page(w);
    return true;
}

static void go_on(struct walk *w)
{
    bool is_over = false;

    w->has_more = true;
    if (w->is_going)
        return;
    w->is_going = true;
    while (w->has_more && !is_over) {
        w->has_more = false;
        is_over = !take_next(w);
    }
    w->is_going = false;
    if (is_over)
        end(w);
}

void unread_tell(struct session *s)
{
    struct walk *w = mem_zalloc(sizeof *w);

    w->ask = ask_new(s->conn.reactor, s, NULL, on_count, on_counted);
    w->ask->arg = w;
    ask_set_nick(w->ask, s);
    w->is_going = true;
    take_page(w);
    w->is_going = false;
    if (w->has_more)
        go_on(w);
}
