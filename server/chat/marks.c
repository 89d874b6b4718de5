/* marks.c: see marks.h. The thread of the mark's home. */
#include "server/chat/marks.h"

#include "common/mem.h"
#include "protocol/codec.h"
#include "server/chat/direct.h"
#include "server/chat/note.h"
#include "server/chat/room.h"
#include "server/chat/store.h"

#include <stdlib.h>
#include <string.h>

#define KEY_MAX (UTF8_FOLD_MAX + 1 + PROTOCOL_MAX_ROOM)

enum mark_state {
    MARK_IDLE,
    MARK_LOADING,  /* the store has been asked for it */
    MARK_COUNTING, /* it is a new one, and the store has been asked for the others */
    MARK_PUTTING,  /* the store has been given it */
};

struct asks {
    struct ask *first, *last;
};

struct mark {
    struct store_fact fact; /* first: while something is under way */
    struct table_link link;
    TAILQ_ENTRY(mark) idle;
    struct chat *chat;
    uint64_t seq, epoch; /* epoch 0: none */
    bool is_known, is_new;
    uint8_t state;
    struct asks looking;          /* until it is known */
    struct asks waiting, putting; /* for the next put, and for the one that is under way */
    uint8_t folded_len, len;
    char key[];
};

static void add_ask(struct asks *list, struct ask *a)
{
    a->next_waiting = NULL;
    if (list->first == NULL)
        list->first = a;
    else
        list->last->next_waiting = a;
    list->last = a;
}

static struct ask *take_ask(struct asks *list)
{
    struct ask *a = list->first;

    if (a != NULL)
        list->first = a->next_waiting;
    return a;
}

/* ---- the marks of this home ---- */

static int matches(const struct table_link *link, const void *key, size_t len)
{
    const struct mark *m = table_of(link, struct mark, link);

    return m->len == len && memcmp(m->key, key, len) == 0;
}

static struct mark *find_mark(struct chat *chat, const char *key, size_t len)
{
    struct table_link *link = table_find(&chat->marks, table_hash(key, len), key, len, matches);

    return link != NULL ? table_of(link, struct mark, link) : NULL;
}

/* Only while it is idle, or at the end. */
static void mark_free(struct mark *m)
{
    TAILQ_REMOVE(&m->chat->idle_marks, m, idle);
    table_remove(&m->chat->marks, &m->link);
    free(m);
}

void marks_free_all(struct chat *chat)
{
    while (!TAILQ_EMPTY(&chat->idle_marks))
        mark_free(TAILQ_FIRST(&chat->idle_marks));
    table_deinit(&chat->marks);
}

static void set_state(struct mark *m, enum mark_state to)
{
    struct chat *chat = m->chat;

    if (m->state == MARK_IDLE && to != MARK_IDLE)
        TAILQ_REMOVE(&chat->idle_marks, m, idle);
    if (m->state != MARK_IDLE && to == MARK_IDLE)
        TAILQ_INSERT_TAIL(&chat->idle_marks, m, idle);
    m->state = (uint8_t)to;
    if (to != MARK_IDLE)
        return;
    buf_deinit(&m->fact.key);
    buf_deinit(&m->fact.value);
    while (chat->marks.count > MARKS_CACHED && TAILQ_FIRST(&chat->idle_marks) != m)
        mark_free(TAILQ_FIRST(&chat->idle_marks));
}

static struct mark *get_mark(struct chat *chat, const struct ask *a)
{
    char key[KEY_MAX];
    size_t len = a->folded_len;
    struct mark *m;

    memcpy(key, a->folded, len);
    key[len++] = '\0';
    memcpy(key + len, a->room, a->room_len);
    len += a->room_len;
    m = find_mark(chat, key, len);
    if (m != NULL)
        return m;
    m = mem_zalloc(sizeof *m + len);
    m->chat = chat;
    m->folded_len = a->folded_len;
    m->len = (uint8_t)len;
    memcpy(m->key, key, len);
    table_insert(&chat->marks, &m->link, table_hash(key, len));
    TAILQ_INSERT_TAIL(&chat->idle_marks, m, idle);
    return m;
}

static struct store_fact *new_fact(struct mark *m, post_fn *done)
{
    struct store_fact *f = &m->fact;

    buf_deinit(&f->key);
    buf_deinit(&f->value);
    *f = (struct store_fact){.kind = MARKS_KIND, .job = {.home = m->chat->reactor, .done = done}};
    buf_put(&f->key, m->key, m->len);
    return f;
}

/* ---- loading ---- */

/* {"seq":…,"epoch":…,"time":…} with the type "read". */
static bool read_value(struct buf *value, uint64_t *seq, uint64_t *epoch, uint64_t *time)
{
    const struct value *v[3];
    static const enum message_field fields[] = {FIELD_SEQ, FIELD_EPOCH, FIELD_TIME};
    struct message m;
    const char *where;

    if (codec_decode(value->data, value->len, &m, &where) != CODEC_OK)
        return false;
    for (int i = 0; i < 3; i++)
        if ((v[i] = message_get_kind(&m, fields[i], VALUE_UINT)) == NULL)
            return false;
    *seq = v[0]->number;
    *epoch = v[1]->number;
    *time = v[2]->number;
    return true;
}

/* Whether it is known; else the ask waits, and its at_mark is run again when that has been tried. */
static bool is_known(struct mark *m, struct ask *a);

static void on_loaded(struct reactor *r, struct post *p)
{
    struct mark *m = (struct mark *)p;
    struct asks looking = m->looking;
    uint64_t time;
    struct ask *a;

    m->is_known = m->fact.job.failed == NULL;
    m->is_new = !m->fact.found;
    if (m->is_known && m->fact.found && !read_value(&m->fact.value, &m->seq, &m->epoch, &time))
        m->seq = m->epoch = 0;
    m->looking = (struct asks){0};
    set_state(m, MARK_IDLE);
    while ((a = take_ask(&looking)) != NULL) {
        a->is_ready = true;
        a->at_mark(r, &a->post);
    }
}

static bool is_known(struct mark *m, struct ask *a)
{
    if (m->is_known || a->is_ready)
        return true;
    add_ask(&m->looking, a);
    if (m->state != MARK_LOADING) {
        set_state(m, MARK_LOADING);
        store_get(m->chat->shared->store, new_fact(m, on_loaded));
    }
    return false;
}

/* ---- looking ---- */

static void on_look(struct reactor *r, struct post *p)
{
    struct ask *a = (struct ask *)p;
    struct mark *m = get_mark(chat_of(r), a);

    if (!is_known(m, a))
        return;
    a->is_ready = false;
    a->mark_seq = m->seq;
    a->mark_epoch = m->epoch;
    a->is_marked = m->is_known;
    reactor_post(r, a->then, &a->post, a->home);
}

static struct reactor *home_of(const struct chat *chat, const struct ask *a)
{
    return chat_home(chat, table_hash(a->folded, a->folded_len));
}

void marks_send_by(struct ask *a, struct reactor *home)
{
    a->then = home;
    a->at_mark = on_look;
    reactor_post(a->from, home_of(chat_of(a->from), a), &a->post, on_look);
}

/* ---- setting ---- */

static void put_line(struct buf *b, const struct ask *a, const struct mark *m, bool is_answer)
{
    bool direct = a->other_len > 0;

    codec_begin(b, MESSAGE_READ);
    if (is_answer)
        codec_add(b, FIELD_RE, a->id, a->id_len);
    codec_add(b, FIELD_ROOM, direct ? a->other : a->room, direct ? a->other_len : a->room_len);
    codec_add_uint(b, FIELD_SEQ, is_answer && a->seq < m->seq ? m->seq : a->seq);
    codec_end(b);
}

static void answer(struct mark *m, struct ask *a)
{
    if (a->id_len > 0) {
        put_line(&a->answer, a, m, true);
        a->answer_lines = 1;
    }
    ask_return(a, m->chat->reactor);
}

/* The account's other connections. */
static void tell_others(struct mark *m, const struct ask *a)
{
    struct note_to to = {
        .folded = a->folded, .folded_len = a->folded_len, .identity = a->identity, .but = a->conn};
    struct buf line = {0};
    struct chunk *chunk;

    if (a->session == NULL || a->seq == 0) /* 0: it did not move */
        return;
    put_line(&line, a, m, false);
    chunk = chunk_new_copy(line.data, line.len);
    note_send(m->chat, &to, chunk);
    chunk_unref(chunk);
    buf_deinit(&line);
}

static void put(struct mark *m);

static void on_put(struct reactor *r, struct post *p)
{
    struct mark *m = (struct mark *)p;
    bool failed = m->fact.job.failed != NULL;
    struct ask *a;

    while ((a = take_ask(&m->putting)) != NULL) {
        if (failed) {
            ask_fail(a, "storage", 0, "the server could not store how far you have read: try again later");
            ask_return(a, r);
        } else {
            tell_others(m, a);
            answer(m, a);
        }
    }
    m->is_new = m->is_new && failed;
    if (m->waiting.first != NULL) {
        put(m);
        return;
    }
    m->is_known = !failed; /* where it stands, the store will have to say */
    set_state(m, MARK_IDLE);
}

static void put_value(struct mark *m)
{
    struct store_fact *f = new_fact(m, on_put);

    reactor_now(m->chat->reactor);
    codec_begin(&f->value, MESSAGE_READ);
    codec_add_uint(&f->value, FIELD_SEQ, m->seq);
    codec_add_uint(&f->value, FIELD_EPOCH, m->epoch);
    codec_add_uint(&f->value, FIELD_TIME, m->chat->reactor->wall_ms);
    codec_end(&f->value);
    f->value.len--; /* its LF */
    m->putting = m->waiting;
    m->waiting = (struct asks){0};
    set_state(m, MARK_PUTTING);
    store_put(m->chat->shared->store, f);
}

/* ---- an account's marks are counted when there is a new one ---- */

struct counting {
    struct store_facts facts; /* first */
    struct mark *mark;
};

static void on_dropped(struct reactor *r, struct post *p)
{
    struct store_fact *f = (struct store_fact *)p;

    (void)r;
    buf_deinit(&f->key);
    free(f);
}

static void drop_row(struct chat *chat, const struct store_fact_row *row)
{
    struct store_fact *f = mem_zalloc(sizeof *f);
    struct mark *m = find_mark(chat, row->key.data, row->key.len);

    if (m != NULL && m->state == MARK_IDLE)
        mark_free(m);
    f->kind = MARKS_KIND;
    f->job.home = chat->reactor;
    f->job.done = on_dropped;
    buf_put(&f->key, row->key.data, row->key.len);
    store_put(chat->shared->store, f);
}

static void on_counted(struct reactor *r, struct post *p)
{
    struct counting *c = (struct counting *)p;
    uint64_t seq, epoch, time, oldest_time = UINT64_MAX;
    struct store_fact_row *oldest = NULL;
    struct mark *m = c->mark;

    for (size_t i = 0; i < c->facts.count && c->facts.count >= MARKS_MAX; i++) {
        struct store_fact_row *row = &c->facts.rows[i];

        if (!read_value(&row->value, &seq, &epoch, &time))
            time = 0;
        if (time < oldest_time) {
            oldest_time = time;
            oldest = row;
        }
    }
    if (oldest != NULL)
        drop_row(chat_of(r), oldest);
    store_facts_deinit(&c->facts);
    free(c);
    put_value(m);
}

static void count(struct mark *m)
{
    struct counting *c = mem_zalloc(sizeof *c);

    set_state(m, MARK_COUNTING);
    c->mark = m;
    c->facts.kind = MARKS_KIND;
    c->facts.limit = MARKS_MAX;
    c->facts.job.home = m->chat->reactor;
    c->facts.job.done = on_counted;
    buf_put(&c->facts.prefix, m->key, (size_t)m->folded_len + 1);
    store_scan(m->chat->shared->store, &c->facts);
}

static void put(struct mark *m)
{
    if (m->is_new)
        count(m);
    else
        put_value(m);
}

/* The mark stands there already, be it that it is still on its way to the store. */
static void answer_when_kept(struct mark *m, struct ask *a)
{
    a->seq = 0;
    if (m->state == MARK_IDLE)
        answer(m, a);
    else
        add_ask(m->state == MARK_PUTTING && m->waiting.first == NULL ? &m->putting : &m->waiting, a);
}

static void on_set(struct reactor *r, struct post *p)
{
    struct ask *a = (struct ask *)p;
    struct mark *m = get_mark(chat_of(r), a);

    if (!is_known(m, a))
        return;
    if (!m->is_known) {
        ask_fail(a, "storage", 0, "the server could not read how far you have read: try again later");
        ask_return(a, r);
    } else if (m->epoch == a->epoch && a->seq <= m->seq) {
        answer_when_kept(m, a);
    } else {
        m->seq = a->seq;
        m->epoch = a->epoch;
        add_ask(&m->waiting, a);
        if (m->state == MARK_IDLE)
            put(m);
    }
}

void marks_go_on(const struct room *room, struct ask *a)
{
    struct chat *chat = room->chat;

    if (a->seq > room->kept)
        a->seq = room->kept;
    a->epoch = room->epoch;
    a->is_ready = false;
    a->at_mark = on_set;
    reactor_post(chat->reactor, home_of(chat, a), &a->post, on_set);
}

static void on_begun(struct reactor *r, struct post *p)
{
    (void)r;
    ask_free((struct ask *)p);
}

static void begin_mark(const struct room *room, const struct ask *joined)
{
    struct ask *a = ask_new(room->chat->reactor, NULL, NULL, NULL, on_begun);

    ask_copy_nick(a, joined);
    ask_set_room(a, room->name, room->name_len);
    a->seq = room->kept;
    marks_go_on(room, a);
}

/* What an account has read and what not; what it has never read counts from its first coming. */
void marks_put(const struct room *room, struct ask *a)
{
    uint64_t read = a->mark_epoch == room->epoch && a->mark_seq < room->kept ? a->mark_seq : room->kept;

    if (!a->is_marked)
        return;
    if (room->direct != NULL) {
        read = a->mark_epoch == room->epoch ? read : 0;
        read = read + 1 < a->first ? a->first - 1 : read;
    } else if (a->mark_epoch != room->epoch) {
        begin_mark(room, a);
    }
    codec_add_uint(&a->answer, FIELD_READ, read);
    codec_add_uint(&a->answer, FIELD_UNREAD, room->kept - read);
}
