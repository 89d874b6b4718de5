/* fanout.c: see fanout.h. The thread of the audience's reactor. */
#include "server/chat/fanout.h"

#include "common/log.h"
#include "common/mem.h"
#include "server/chat/room.h"
#include "server/chat/session.h"

#include <event2/event.h>
#include <stdlib.h>
#include <string.h>

#define FEED_AGAIN_SECONDS 1
#define TRIES_MOST         63
#define FEED_QUEUED        65536 /* bytes that may wait to be written when the next piece is asked for */
#define FETCH_MEMBERS      8     /* so many ahead of the one that is served; their connections half as many */

static int matches(const struct table_link *link, const void *key, size_t len)
{
    const struct audience *a = table_of(link, struct audience, link);

    return a->name_len == len && memcmp(a->name, key, len) == 0;
}

static struct audience *find(struct chat *chat, const char *room, size_t len, uint32_t hash)
{
    struct table_link *link = table_find(&chat->audiences, hash, room, len, matches);

    return link != NULL ? table_of(link, struct audience, link) : NULL;
}

struct audience *audience_find(struct chat *chat, const char *room, size_t len)
{
    return find(chat, room, len, table_hash(room, len));
}

struct audience *audience_get(struct chat *chat, const char *room, size_t len)
{
    uint32_t hash = table_hash(room, len);
    struct audience *a = find(chat, room, len, hash);

    if (a != NULL)
        return a;
    a = mem_zalloc(sizeof *a + len + 1);
    a->reactor = chat->reactor;
    a->home = chat_home(chat, hash);
    a->name_len = (uint8_t)len;
    memcpy(a->name, room, len);
    table_insert(&chat->audiences, &a->link, hash);
    return a;
}

void audience_release(struct audience *a)
{
    if (a->count > 0 || a->pending > 0)
        return;
    table_remove(&chat_of(a->reactor)->audiences, &a->link);
    free(a->members);
    free(a);
}

static void fetch_ahead(const struct audience *a, uint32_t i)
{
    if (i + FETCH_MEMBERS < a->count)
        __builtin_prefetch(a->members[i + FETCH_MEMBERS]);
    if (i + FETCH_MEMBERS / 2 < a->count)
        conn_prefetch(&a->members[i + FETCH_MEMBERS / 2]->session->conn);
}

void audience_deliver(struct audience *a, struct chunk *chunk)
{
    uint32_t most = a->reactor->limits.max_out;

    for (uint32_t i = 0; i < a->count; i++) {
        struct member *m = a->members[i];
        struct session *s = m->session;

        fetch_ahead(a, i);
        if (m->state != MEMBER_LIVE || (m->until > 0 && chunk->first_seq > m->until))
            continue;
        if (s->conn.out.bytes > most) {
            if (chunk->count > 0)
                member_fall_behind(m, chunk->first_seq - 1);
            continue;
        }
        conn_push(&s->conn, chunk, 0, chunk->len);
        s->conn.life.msgs_out += chunk->count > 0 ? chunk->count : 1;
    }
}

/* Who comes and goes is not told to one who is behind. */
void audience_tell(struct audience *a, struct chunk *chunk)
{
    uint32_t most = a->reactor->limits.max_out;

    for (uint32_t i = 0; i < a->count; i++) {
        struct member *m = a->members[i];
        uint32_t skip = presence_skip(chunk, m->heard);

        if (m->state != MEMBER_LIVE || m->leaving || skip == chunk->len || m->session->conn.out.bytes > most)
            continue;
        conn_push(&m->session->conn, chunk, skip, chunk->len - skip);
        m->session->conn.life.msgs_out++;
    }
}

struct member *member_find(struct session *s, const char *room, size_t len)
{
    for (struct member *m = s->members; m != NULL; m = m->next)
        if (!m->leaving && m->audience->name_len == len && memcmp(m->audience->name, room, len) == 0)
            return m;
    return NULL;
}

struct member *member_add(struct session *s, struct audience *a)
{
    struct member *m = mem_zalloc(sizeof *m);

    m->session = s;
    m->audience = a;
    m->state = MEMBER_JOINING;
    m->next = s->members;
    s->members = m;
    s->member_count++;
    return m;
}

void member_enter(struct member *m, enum member_state state, uint64_t cursor)
{
    struct audience *a = m->audience;

    if (a->count == a->cap) {
        a->cap = a->cap > 0 ? a->cap + a->cap / 2 + 1 : 2;
        a->members = mem_realloc(a->members, a->cap * sizeof(struct member *));
    }
    m->place = a->count;
    a->members[a->count++] = m;
    m->state = (uint8_t)state;
    m->cursor = cursor;
    if (state == MEMBER_BEHIND) {
        m->session->behind++;
        member_feed_next(m->session);
    }
}

static bool is_behind(const struct member *m)
{
    return m->state == MEMBER_BEHIND || m->state == MEMBER_FEEDING;
}

static void leave_session(struct member *m)
{
    struct session *s = m->session;
    struct member **at = &s->members;

    while (*at != m)
        at = &(*at)->next;
    *at = m->next;
    s->member_count -= !m->leaving;
    if (is_behind(m))
        s->behind--;
    m->session = NULL;
}

static void leave_audience(struct member *m)
{
    struct audience *a = m->audience;

    a->members[m->place] = a->members[--a->count];
    a->members[m->place]->place = m->place;
}

static void free_unless_asked(struct member *m)
{
    if (m->session == NULL && m->asks == 0)
        free(m);
}

void member_part(struct member *m)
{
    if (m->state != MEMBER_JOINING)
        leave_audience(m);
    leave_session(m);
    free_unless_asked(m);
}

void member_ask_back(struct member *m)
{
    m->asks--;
    free_unless_asked(m);
}

void member_remove(struct member *m, const char *event)
{
    struct audience *a = m->audience;
    struct ask *leave = NULL;

    /* Where it is joining, the answer finds it gone and leaves; where it is leaving, that is under way. */
    if (m->state != MEMBER_JOINING && !m->leaving)
        leave = room_new_leave(m->session, a, NULL, event);
    member_part(m);
    if (leave != NULL)
        ask_send(leave, a->home);
}

void member_fall_behind(struct member *m, uint64_t cursor)
{
    m->cursor = cursor;
    m->state = MEMBER_BEHIND;
    m->session->behind++;
}

static void tell(const struct member *m, enum log_level level, const char *event)
{
    char id[LIFECYCLE_ID_SIZE];

    if (!log_wants(level))
        return;
    log_event(level, event, "conn=%s room=%.*s after=%llu queued=%u",
              lifecycle_format_id(&m->session->conn.life, id), m->audience->name_len, m->audience->name,
              (unsigned long long)m->cursor, m->session->conn.out.bytes);
}

/* Told when one reading has not brought it to the head: many fall behind for a moment only. */
static void tell_standing(struct member *m, bool at_head)
{
    if (m->is_told == !at_head)
        return;
    m->is_told = !at_head;
    tell(m, LOG_INFO, at_head ? "caught-up" : "behind");
}

static void feed_conn(struct conn *c, void *arg)
{
    struct session *s = (struct session *)c;

    (void)arg;
    if (s->behind == 0)
        return;
    for (struct member *m = s->members; m != NULL; m = m->next)
        m->is_put_off = false;
    member_feed_next(s);
}

static void on_feed_again(evutil_socket_t fd, short what, void *arg)
{
    struct chat *chat = arg;

    (void)fd, (void)what;
    reactor_each(chat->reactor, feed_conn, NULL);
}

/* The store could not be read: those who are behind are fed on once it may be different. */
static void feed_later(struct chat *chat)
{
    struct timeval later = {.tv_sec = FEED_AGAIN_SECONDS};

    if (chat->feed_timer == NULL)
        chat->feed_timer = evtimer_new(chat->reactor->base, on_feed_again, chat);
    if (!evtimer_pending(chat->feed_timer, NULL))
        evtimer_add(chat->feed_timer, &later);
}

void fanout_free_timer(struct chat *chat)
{
    if (chat->feed_timer != NULL)
        event_free(chat->feed_timer);
}

static void count_tries(struct member *m, bool failed)
{
    if (!failed)
        m->tries = 0;
    else if (m->tries < TRIES_MOST)
        m->tries++;
}

static void take_piece(struct member *m, struct ask *a)
{
    bool failed = a->result == ASK_FAILED;

    ask_deliver(a);
    m->cursor = a->seq;
    m->until = a->until;
    m->state = a->at_head ? MEMBER_LIVE : MEMBER_BEHIND;
    tell_standing(m, a->at_head);
    count_tries(m, failed);
    if (a->at_head)
        m->session->behind--;
    m->is_put_off = failed;
    if (failed)
        feed_later(chat_of(m->audience->reactor));
}

/* The home has read on from the cursor. */
static void on_fed(struct reactor *r, struct post *p)
{
    struct ask *a = (struct ask *)p;
    struct member *m = a->member;
    struct session *s = a->session;
    struct audience *audience = a->audience;

    (void)r;
    s->is_feeding = false;
    if (m->session != NULL && m->is_anew)
        m->state = MEMBER_BEHIND;
    else if (m->session != NULL && m->state == MEMBER_FEEDING)
        take_piece(m, a);
    m->is_anew = false;
    member_feed_next(s);
    member_ask_back(m);
    ask_free(a);
    audience->pending--;
    audience_release(audience);
}

/* The next time others come first. */
static void move_to_end(struct member *m)
{
    struct member **at = &m->session->members;

    while (*at != m)
        at = &(*at)->next;
    *at = m->next;
    while (*at != NULL)
        at = &(*at)->next;
    *at = m;
    m->next = NULL;
}

static void feed(struct member *m)
{
    struct ask *a;

    m->state = MEMBER_FEEDING;
    m->session->is_feeding = true;
    move_to_end(m);
    tell(m, LOG_DEBUG, "feeding");
    a = ask_new(m->audience->reactor, m->session, NULL, room_on_read_on, on_fed);
    a->member = m;
    m->asks++;
    a->audience = m->audience;
    a->seq = m->cursor;
    a->tries = m->tries;
    a->until = m->until;
    a->is_last = session_is_ending(m->session);
    ask_set_room(a, m->audience->name, m->audience->name_len);
    if (m->audience->name[0] == '@')
        ask_set_nick(a, m->session); /* each side sees a direct conversation in its own way */
    m->audience->pending++;
    ask_send(a, m->audience->home);
}

void member_feed_next(struct session *s)
{
    if (s->behind == 0 || s->is_feeding || s->conn.out.bytes > FEED_QUEUED)
        return;
    for (struct member *m = s->members; m != NULL; m = m->next) {
        if (m->state != MEMBER_BEHIND || m->is_put_off)
            continue;
        feed(m);
        return;
    }
}

void member_replay(struct member *m, uint64_t after)
{
    if (m->state == MEMBER_LIVE) {
        member_fall_behind(m, after);
    } else {
        m->cursor = after;
        m->is_anew = m->state == MEMBER_FEEDING; /* what is on its way is not what is wanted any more */
    }
    member_feed_next(m->session);
}

static void on_awaited(struct reactor *r, struct post *p)
{
    (void)r;
    ask_free((struct ask *)p);
}

/* At home nothing need be done: posts arrive in order, and so this one behind all that was handed out
 * before. */
static void room_on_await(struct reactor *r, struct post *p)
{
    ask_return((struct ask *)p, r);
}

void member_await_all(struct session *s)
{
    if (s->nick == NULL)
        return;
    for (struct member *m = s->members; m != NULL; m = m->next)
        if (m->audience->home != s->conn.reactor)
            ask_send(ask_new(s->conn.reactor, s, NULL, room_on_await, on_awaited), m->audience->home);
}

static void on_promoted(struct reactor *r, struct post *p)
{
    struct ask *a = (struct ask *)p;
    struct audience *audience = a->audience;

    (void)r;
    ask_free(a);
    audience->pending--;
    audience_release(audience);
}

void member_promote_all(struct session *s, uint64_t was)
{
    for (struct member *m = s->members; m != NULL; m = m->next) {
        struct ask *a;

        if (m->leaving || m->state == MEMBER_JOINING)
            continue;
        a = ask_new(s->conn.reactor, NULL, NULL, room_on_promote, on_promoted);
        ask_set_room(a, m->audience->name, m->audience->name_len);
        ask_set_nick(a, s);
        a->was = was;
        a->audience = m->audience;
        a->audience->pending++;
        ask_send(a, m->audience->home);
    }
}
