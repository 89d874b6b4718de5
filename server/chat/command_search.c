/* command_search.c: search. See command.h and search.h. */
#include "common/mem.h"
#include "server/chat/chat.h"
#include "server/chat/command.h"
#include "server/chat/direct.h"
#include "server/chat/fanout.h"
#include "server/chat/room.h"
#include "server/chat/search.h"
#include "server/chat/session.h"

#include <stdlib.h>
#include <string.h>

#define LIMIT_DEFAULT 20
#define RETRY_MS      1000

static void put_error(struct buf *b, const char *id, size_t id_len, const char *code, uint64_t retry_ms,
                      const char *text)
{
    codec_begin(b, MESSAGE_ERROR);
    if (id_len > 0)
        codec_add(b, FIELD_RE, id, id_len);
    codec_add_text(b, FIELD_CODE, code);
    codec_add_text(b, FIELD_TEXT, text);
    if (retry_ms > 0)
        codec_add_uint(b, FIELD_RETRY, retry_ms);
    codec_end(b);
}

/* Whoever was put out of a room meanwhile finds nothing more there; false: that is the one that was asked
 * for. */
static bool drop_left(struct session *s, struct search *search)
{
    bool is_left = false;

    for (size_t i = search->room_count; i-- > 0;) {
        const struct search_room *room = &search->rooms[i];

        if (room->name[0] != '@' && member_find(s, room->name, room->name_len) == NULL) {
            search_drop_room(search, i);
            is_left = true;
        }
    }
    return search->has_all || !is_left;
}

/* Back at the session's reactor. */
static void on_searched(struct reactor *r, struct post *p)
{
    struct search *search = (struct search *)p;
    struct session *s = search->session;
    struct buf out = {0};
    uint32_t lines = 1;

    atomic_fetch_sub(&chat_of(r)->shared->searches, 1);
    if (search->took_too_long)
        put_error(&out, search->id, search->id_len, "overloaded", RETRY_MS,
                  "the search took too long: try again later, or look for something rarer");
    else if (search->job.failed != NULL)
        put_error(&out, search->id, search->id_len, "storage", 0,
                  "the server could not read its disk: try again later");
    else if (!drop_left(s, search))
        put_error(&out, search->id, search->id_len, "not_member", 0, "you are not in that room any more");
    else
        lines = search_answer(search, &out);
    session_go_on(s);
    if (conn_can_speak(&s->conn)) {
        conn_answer(&s->conn, out.data, out.len);
        s->conn.life.msgs_out += lines;
    }
    buf_deinit(&out);
    search_free(search);
    session_unhold(s);
}

/* Where all is in memory: from reactor to reactor, and back. */
static void on_visit(struct reactor *r, struct post *p)
{
    struct search *search = (struct search *)p;
    struct net *net = r->net;

    room_search(chat_of(r), search);
    if (++search->visited < net->count)
        reactor_post(r, net->reactors[search->visited], p, on_visit);
    else
        reactor_post(r, search->from, p, on_searched);
}

static void go(struct search *search)
{
    struct reactor *r = search->from;
    struct store *store = chat_of(r)->shared->store;

    search_go_on(search);
    if (store->lasts)
        store_search(store, search);
    else
        reactor_post(r, r->net->reactors[0], &search->job.post, on_visit);
}

/* ---- an account's direct conversations: what the store knows of them comes first ---- */

struct directs {
    struct store_facts facts; /* first */
    struct search *search;
    size_t skip; /* bytes of a key before the conversation's name */
};

static void on_directs(struct reactor *r, struct post *p)
{
    struct directs *d = (struct directs *)p;
    struct search *search = d->search;
    struct direct_entry e;

    (void)r;
    for (size_t i = 0; i < d->facts.count; i++) {
        struct store_fact_row *row = &d->facts.rows[i];
        struct search_room *room;

        if (row->key.len != d->skip + DIRECT_NAME_LEN || !direct_read_entry(&row->value, &e))
            continue;
        room = search_add_room(search, row->key.data + d->skip, DIRECT_NAME_LEN);
        room->shown_len = (uint8_t)direct_show(room->shown, e.nick, e.len);
        room->first = e.from;
    }
    store_facts_deinit(&d->facts);
    free(d);
    go(search);
}

/* All of them, or the one of that name. */
static void add_directs(struct session *s, struct search *search, const char *name, size_t len)
{
    struct directs *d = mem_zalloc(sizeof *d);

    d->search = search;
    d->skip = (size_t)s->nick->folded_len + 1;
    d->facts.kind = DIRECT_KIND;
    d->facts.limit = (uint32_t)(SEARCH_ROOMS_MAX - search->room_count);
    d->facts.job.home = s->conn.reactor;
    d->facts.job.done = on_directs;
    buf_put(&d->facts.prefix, s->nick->text, s->nick->folded_len);
    buf_put(&d->facts.prefix, "", 1);
    buf_put(&d->facts.prefix, name, len);
    store_scan(session_chat(s)->shared->store, &d->facts);
}

static void start(struct session *s, struct search *search, const struct value *id, const struct ask *direct)
{
    bool is_all = search->has_all && s->nick->is_account && search->room_count < SEARCH_ROOMS_MAX;

    if (id != NULL) {
        memcpy(search->id, id->text, id->len);
        search->id_len = (uint8_t)id->len;
    }
    search->session = s;
    search->from = search->job.home = s->conn.reactor;
    search->job.done = on_searched;
    session_hold(s);
    session_wait(s); /* one at a time; its answer may be large */
    if (direct != NULL)
        add_directs(s, search, direct->room, direct->room_len);
    else if (is_all)
        add_directs(s, search, NULL, 0);
    else
        go(search);
}

/* The rooms that one is in; false where the answer, an error, is given. */
static bool add_all(struct session *s, const struct value *id, struct search *search)
{
    search->has_all = true;
    for (const struct member *m = s->members; m != NULL; m = m->next) {
        if (m->state == MEMBER_JOINING || m->leaving || m->audience->name[0] == '@')
            continue;
        if (search->room_count == SEARCH_ROOMS_MAX) {
            session_error_field(s, id, "bad_request", "room", SEARCH_ROOMS_MAX,
                                "you are in more than %d rooms: name the one to search", SEARCH_ROOMS_MAX);
            return false;
        }
        search_add_room(search, m->audience->name, m->audience->name_len);
    }
    return true;
}

/* The direct conversation that is asked for; false where the answer, an error, is given. */
static bool find_direct(struct session *s, const struct value *id, const struct value *room,
                        struct ask **direct)
{
    if (s->nick->is_account) {
        *direct = command_new_direct(s, id, room, NULL, NULL);
        return *direct != NULL;
    }
    session_error(s, id, "account_needed", "only accounts can search what was said directly: register first");
    return false;
}

/* What is to be searched; false where the answer, an error, is given. */
static bool take_room(struct session *s, const struct message *m, const struct value *id,
                      struct search *search, struct ask **direct)
{
    const struct value *room;

    if (message_get(m, FIELD_ROOM) == NULL)
        return add_all(s, id, search);
    if (!command_need_room(s, m, id, &room))
        return false;
    if (command_is_direct(room))
        return find_direct(s, id, room, direct);
    if (command_need_member(s, id, room) == NULL)
        return false;
    search_add_room(search, room->text, room->len);
    return true;
}

/* Fills in what is asked for; false where the answer, an error, is given. */
static bool prepare(struct session *s, const struct message *m, const struct value *id, struct search *search,
                    struct ask **direct)
{
    const struct value *query, *limit, *next;

    if (!command_need_string(s, m, id, FIELD_QUERY, 1, SEARCH_QUERY_MAX, &query))
        return false;
    if (!words_parse(&search->query, query->text, query->len)) {
        session_error_field(s, id, "bad_request", "query", 0, "there is no word in it to look for");
        return false;
    }
    if (!take_room(s, m, id, search, direct) ||
        !command_take_uint(s, m, id, FIELD_LIMIT, 1, SEARCH_MOST, &limit) ||
        !command_take_string(s, m, id, FIELD_NEXT, 1, SEARCH_NEXT_MAX, &next))
        return false;
    search->limit = limit != NULL ? (uint32_t)limit->number : LIMIT_DEFAULT;
    if (next != NULL)
        buf_put(&search->next, next->text, next->len);
    if (search_go_on(search))
        return true;
    session_error_field(s, id, "bad_request", "next", 0,
                        "next takes what an answer to the same search had there");
    return false;
}

static void refuse_busy(struct session *s, const struct value *id)
{
    struct buf *b = &s->conn.reactor->scratch;

    buf_clear(b);
    put_error(b, id != NULL ? id->text : NULL, id != NULL ? id->len : 0, "overloaded", RETRY_MS,
              "too many searches at the moment: try again in a second");
    session_send(s, b);
}

void command_search(struct session *s, const struct message *m, const struct value *id)
{
    struct chat_shared *shared = session_chat(s)->shared;
    struct search *search;
    struct ask *direct = NULL;

    if (!shared->store->searches) {
        session_error(s, id, "search_off", "this server has no search");
        return;
    }
    search = search_new();
    if (!prepare(s, m, id, search, &direct)) {
        search_free(search);
    } else if (atomic_fetch_add(&shared->searches, 1) < SEARCH_WAITING) {
        start(s, search, id, direct);
    } else {
        atomic_fetch_sub(&shared->searches, 1);
        search_free(search);
        refuse_busy(s, id);
    }
    if (direct != NULL)
        ask_free(direct);
}
