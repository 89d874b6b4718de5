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

#define gather_of(p) ((struct gather *)(void *)((char *)(p)-offsetof(struct gather, post)))

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
};

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

static void finish(struct gather *g)
{
    uint32_t count = g->count;

    if (g->is_who && member_find(g->session, g->name, g->name_len) == NULL) {
        refuse_who(g);
        return;
    }
    begin_line(g, MESSAGE_END);
    codec_add_uint(&g->lines, FIELD_COUNT, count);
    codec_add_bool(&g->lines, FIELD_MORE, false);
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

static void put_room(struct gather *g, const char *name, size_t len, uint32_t members, uint64_t seq,
                     const char *topic, enum rights_access access)
{
    begin_line(g, MESSAGE_ROOM);
    codec_add(&g->lines, FIELD_ROOM, name, len);
    codec_add_uint(&g->lines, FIELD_MEMBERS, members);
    codec_add_uint(&g->lines, FIELD_SEQ, seq);
    codec_add_text(&g->lines, FIELD_TOPIC, topic != NULL ? topic : "");
    if (access != ACCESS_OPEN)
        codec_add_text(&g->lines, FIELD_ACCESS, rights_access_name(access));
    codec_end(&g->lines);
}

/* Of a room that is not in memory: as it was kept. */
static enum rights_access access_of(const struct store_known *known)
{
    struct rights rights = {.access = ACCESS_OPEN};

    if (known->fact != NULL)
        rights_decode(&rights, "", 0, known->fact, strlen(known->fact));
    return (enum rights_access)rights.access;
}

/* Rooms of which this reactor is the home: those in memory, and those that only the store knows. */
static void list_rooms(struct chat *chat, struct gather *g)
{
    uint32_t at;

    for (struct table_link *link = table_first(&chat->rooms, &at); link != NULL;
         link = table_next(&chat->rooms, &at, link)) {
        const struct room *room = table_of(link, struct room, link);

        if (!room->is_loading && room->direct == NULL && room->name_len >= g->name_len &&
            memcmp(room->name, g->name, g->name_len) == 0)
            put_room(g, room->name, room->name_len, room->members, room->kept, room->topic,
                     (enum rights_access)room->rights.access);
    }
    for (size_t i = 0; i < g->known.count; i++) {
        const struct store_known *known = &g->known.rooms[i];
        uint32_t hash = table_hash(known->name, known->name_len);
        const struct room *room = room_find(chat, known->name, known->name_len, hash);

        if (known->name[0] != '@' && chat_home(chat, hash) == chat->reactor &&
            (room == NULL || room->is_loading))
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

void command_rooms(struct session *s, const struct message *m, const struct value *id)
{
    const struct value *prefix;
    struct gather *g;

    if (!command_take_string(s, m, id, FIELD_PREFIX, 0, PROTOCOL_MAX_ROOM, &prefix))
        return;
    if (prefix != NULL && prefix->len > 0 && !command_is_room_name(prefix)) {
        session_error_field(s, id, "bad_request", "prefix", 0,
                            "prefix takes the first characters of a room's name");
        return;
    }
    g = gather_new(s, id, prefix, list_rooms);
    memcpy(g->known.prefix, g->name, g->name_len);
    g->known.prefix_len = g->name_len;
    g->known.kind = RIGHTS_KIND;
    g->known.job.home = g->from;
    g->known.job.done = on_known;
    store_list(session_chat(s)->shared->store, &g->known);
}
