/* command_list.c: who and rooms: questions that every reactor answers for itself, gathered where they were
 * asked. */
#include "common/mem.h"
#include "server/chat/command.h"
#include "server/chat/fanout.h"
#include "server/chat/people.h"
#include "server/chat/room.h"
#include "server/chat/session.h"

#include <stdlib.h>
#include <string.h>

#define ROOMS_MOST  1000      /* of one answer */
#define ROOMS_BYTES (1 << 20) /* about: behind it there is more */

#define gather_of(p) ((struct gather *)(void *)((char *)(p)-offsetof(struct gather, post)))

/* The line of a room, in an answer to be. */
struct listed {
    struct buf line;
    uint8_t name_len;
    char name[PROTOCOL_MAX_ROOM + 1];
};

/* A question; it travels from reactor to reactor and comes back with its lines. */
struct gather {
    struct store_list known; /* first: what the store knows of rooms, where they are asked for */
    struct post post;
    struct reactor *from;
    struct session *session;
    unsigned at; /* the reactor that is next */
    void (*ask)(struct chat *chat, struct gather *g);
    uint32_t count;
    uint8_t name_len, id_len;
    char name[PROTOCOL_MAX_ROOM + 1], id[PROTOCOL_MAX_ID + 1];
    struct buf lines;
    struct people told;  /* accounts, which may be in a room on several reactors */
    struct rights roles; /* of the room asked about, as its home has them */
    bool is_who;
    struct listed *rooms[ROOMS_MOST + 1]; /* the first ones, by name; one more than are told */
    size_t room_count;
};

static void listed_free(struct listed *l)
{
    buf_deinit(&l->line);
    free(l);
}

static void begin_line(struct gather *g, enum message_type type)
{
    codec_begin(&g->lines, type);
    if (g->id_len > 0)
        codec_add(&g->lines, FIELD_RE, g->id, g->id_len);
    g->count++;
}

/* Gives the answer, which is all in lines. */
static void answer(struct gather *g, uint32_t lines)
{
    struct session *s = g->session;

    session_go_on(s);
    if (conn_can_speak(&s->conn)) {
        conn_answer(&s->conn, g->lines.data, g->lines.len);
        s->conn.life.msgs_out += lines;
    }
    buf_deinit(&g->lines);
    people_deinit(&g->told);
    rights_deinit(&g->roles);
    for (size_t i = 0; i < g->room_count; i++)
        listed_free(g->rooms[i]);
    store_list_deinit(&g->known);
    free(g);
    session_unhold(s);
}

/* Whoever was put out of the room meanwhile hears nothing more of it. */
static void refuse_who(struct gather *g)
{
    buf_clear(&g->lines);
    begin_line(g, MESSAGE_ERROR);
    codec_add_text(&g->lines, FIELD_CODE, "not_member");
    codec_add_text(&g->lines, FIELD_TEXT, "you are not in that room any more");
    codec_end(&g->lines);
    answer(g, 1);
}

/* As many of the rooms that were found as one answer has; whether there are more. */
static bool put_rooms(struct gather *g)
{
    size_t n = 0;

    for (; n < g->room_count && n < ROOMS_MOST && g->lines.len < ROOMS_BYTES; n++)
        buf_put(&g->lines, g->rooms[n]->line.data, g->rooms[n]->line.len);
    g->count = (uint32_t)n;
    return n < g->room_count;
}

static void finish(struct gather *g)
{
    bool more = !g->is_who && put_rooms(g);
    uint32_t count = g->count;

    if (g->is_who && member_find(g->session, g->name, g->name_len) == NULL) {
        refuse_who(g);
        return;
    }
    begin_line(g, MESSAGE_END);
    codec_add_uint(&g->lines, FIELD_COUNT, count);
    codec_add_bool(&g->lines, FIELD_MORE, more);
    if (more)
        codec_add(&g->lines, FIELD_NEXT, g->rooms[count - 1]->name, g->rooms[count - 1]->name_len);
    codec_end(&g->lines);
    answer(g, count + 1);
}

static void on_gather(struct reactor *r, struct post *p)
{
    struct gather *g = gather_of(p);
    struct net *net = r->net;

    if (g->at == net->count) {
        finish(g);
        return;
    }
    g->ask(chat_of(r), g);
    g->at++;
    reactor_post(r, g->at < net->count ? net->reactors[g->at] : g->from, &g->post, on_gather);
}

static struct gather *gather_new(struct session *s, const struct value *id, const struct value *name,
                                 void (*ask)(struct chat *chat, struct gather *g))
{
    struct gather *g = mem_zalloc(sizeof *g);

    g->from = s->conn.reactor;
    g->session = s;
    g->ask = ask;
    session_wait(s);
    if (name != NULL) {
        memcpy(g->name, name->text, name->len);
        g->name_len = (uint8_t)name->len;
    }
    if (id != NULL) {
        memcpy(g->id, id->text, id->len);
        g->id_len = (uint8_t)id->len;
    }
    session_hold(s);
    return g;
}

static void start(struct gather *g)
{
    reactor_post(g->from, g->from->net->reactors[0], &g->post, on_gather);
}

static void put_role(struct gather *g, const struct nick *n)
{
    struct who who = {n->text, n->folded_len, n->identity, n->is_account};
    enum rights_role role = rights_role_of(&g->roles, &who);

    if (role != ROLE_MEMBER)
        codec_add_text(&g->lines, FIELD_ROLE, rights_role_name(role));
}

static void list_members(struct chat *chat, struct gather *g)
{
    const struct audience *a = audience_find(chat, g->name, g->name_len);

    for (uint32_t i = 0; a != NULL && i < a->count; i++) {
        const struct nick *n = a->members[i]->session->nick;

        if (n == NULL || a->members[i]->leaving)
            continue;
        if (n->is_account && !people_come(&g->told, n->identity))
            continue;
        begin_line(g, MESSAGE_MEMBER);
        codec_add(&g->lines, FIELD_ROOM, g->name, g->name_len);
        codec_add(&g->lines, FIELD_NICK, nick_text(n), n->len);
        put_role(g, n);
        codec_end(&g->lines);
    }
}

static int compare(const char *a, size_t a_len, const char *b, size_t b_len)
{
    int order = memcmp(a, b, a_len < b_len ? a_len : b_len);

    return order != 0 ? order : (a_len > b_len) - (a_len < b_len);
}

/* Where it belongs among those that were found; behind all that an answer can have: nowhere. */
static size_t find_place(const struct gather *g, const char *name, size_t len)
{
    size_t low = 0, high = g->room_count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (compare(g->rooms[middle]->name, g->rooms[middle]->name_len, name, len) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static void put_room(struct gather *g, const char *name, size_t len, uint32_t members, uint64_t seq,
                     const char *topic, enum rights_access access)
{
    size_t at = find_place(g, name, len);
    struct listed *l;

    if (at > ROOMS_MOST)
        return;
    if (g->room_count > ROOMS_MOST)
        listed_free(g->rooms[--g->room_count]);
    l = mem_zalloc(sizeof *l);
    memcpy(l->name, name, len);
    l->name_len = (uint8_t)len;
    memmove(&g->rooms[at + 1], &g->rooms[at], (g->room_count++ - at) * sizeof *g->rooms);
    g->rooms[at] = l;
    codec_begin(&l->line, MESSAGE_ROOM);
    if (g->id_len > 0)
        codec_add(&l->line, FIELD_RE, g->id, g->id_len);
    codec_add(&l->line, FIELD_ROOM, name, len);
    codec_add_uint(&l->line, FIELD_MEMBERS, members);
    codec_add_uint(&l->line, FIELD_SEQ, seq);
    codec_add_text(&l->line, FIELD_TOPIC, topic != NULL ? topic : "");
    if (access != ACCESS_OPEN)
        codec_add_text(&l->line, FIELD_ACCESS, rights_access_name(access));
    codec_end(&l->line);
}

/* Of a room that is not in memory: as it was kept. */
static enum rights_access access_of(const struct store_known *known)
{
    struct rights rights = {.access = ACCESS_OPEN};

    if (known->fact != NULL)
        rights_decode(&rights, "", 0, known->fact, strlen(known->fact));
    return (enum rights_access)rights.access;
}

static bool is_wanted(const struct gather *g, const char *name, size_t len)
{
    return len >= g->name_len && memcmp(name, g->name, g->name_len) == 0 &&
           compare(name, len, g->known.after, g->known.after_len) > 0;
}

/* Rooms of which this reactor is the home: those in memory, and those that only the store knows. */
static void list_rooms(struct chat *chat, struct gather *g)
{
    uint32_t at;

    for (struct table_link *link = table_first(&chat->rooms, &at); link != NULL;
         link = table_next(&chat->rooms, &at, link)) {
        const struct room *room = table_of(link, struct room, link);

        if (!room->is_loading && room->direct == NULL && is_wanted(g, room->name, room->name_len))
            put_room(g, room->name, room->name_len, room->members, room->kept, room->topic,
                     (enum rights_access)room->rights.access);
    }
    for (size_t i = 0; i < g->known.count; i++) {
        const struct store_known *known = &g->known.rooms[i];
        uint32_t hash = table_hash(known->name, known->name_len);
        const struct room *room = room_find(chat, known->name, known->name_len, hash);

        if (chat_home(chat, hash) == chat->reactor && (room == NULL || room->is_loading))
            put_room(g, known->name, known->name_len, 0, known->seq, known->topic, access_of(known));
    }
}

/* At the room's home: who has a role is taken along. */
static void on_roles(struct reactor *r, struct post *p)
{
    struct gather *g = gather_of(p);
    const struct room *room = room_find(chat_of(r), g->name, g->name_len, table_hash(g->name, g->name_len));
    uint32_t at;

    if (room != NULL && room->rights.holders > 0)
        for (const struct right *right = rights_first(&room->rights, &at); right != NULL;
             right = rights_next(&room->rights, &at, right))
            if (right->role != ROLE_MEMBER)
                rights_put(&g->roles, right_copy(right));
    reactor_post(r, r->net->reactors[0], &g->post, on_gather);
}

static void on_known(struct reactor *r, struct post *p)
{
    (void)r;
    start((struct gather *)p);
}

void command_who(struct session *s, const struct message *m, const struct value *id)
{
    const struct value *room;
    struct member *member;
    struct gather *g;

    if (!command_need_real_room(s, m, id, &room, "a direct conversation has two: you and the other"))
        return;
    member = command_need_member(s, id, room);
    if (member == NULL)
        return;
    g = gather_new(s, id, room, list_members);
    g->is_who = true;
    reactor_post(g->from, member->audience->home, &g->post, on_roles);
}

static bool check_room_start(struct session *s, const struct value *id, const char *field,
                             const struct value *v)
{
    if (v == NULL || v->len == 0 || command_is_room_name(v))
        return true;
    session_error_field(s, id, "bad_request", field, 0, "%s takes the first characters of a room's name",
                        field);
    return false;
}

void command_rooms(struct session *s, const struct message *m, const struct value *id)
{
    const struct value *prefix, *next;
    struct gather *g;

    if (!command_take_string(s, m, id, FIELD_PREFIX, 0, PROTOCOL_MAX_ROOM, &prefix) ||
        !command_take_string(s, m, id, FIELD_NEXT, 0, PROTOCOL_MAX_ROOM, &next) ||
        !check_room_start(s, id, "prefix", prefix) || !check_room_start(s, id, "next", next))
        return;
    g = gather_new(s, id, prefix, list_rooms);
    memcpy(g->known.prefix, g->name, g->name_len);
    g->known.prefix_len = g->name_len;
    if (next != NULL) {
        memcpy(g->known.after, next->text, next->len);
        g->known.after_len = (uint8_t)next->len;
    }
    g->known.limit = ROOMS_MOST + 1;
    g->known.kind = RIGHTS_KIND;
    g->known.job.home = g->from;
    g->known.job.done = on_known;
    store_list(session_chat(s)->shared->store, &g->known);
}
