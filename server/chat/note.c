/* note.c: see note.h. */
#include "server/chat/note.h"

#include "common/mem.h"
#include "server/chat/command.h"
#include "server/chat/fanout.h"
#include "server/chat/session.h"

#include <stdlib.h>
#include <string.h>

struct note {
    struct post post;
    struct chunk *chunk;
    uint64_t identity, since_ms, but;
    uint8_t len, room_len, other_len;
    char folded[UTF8_FOLD_MAX], room[PROTOCOL_MAX_ROOM], other[UTF8_FOLD_MAX];
};

static void push(struct session *s, struct chunk *chunk)
{
    conn_push(&s->conn, chunk, 0, chunk->len);
    s->conn.life.msgs_out += chunk->count > 0 ? chunk->count : 1;
}

static void give(struct session *s, const struct note *n)
{
    struct chunk *chunk = n->chunk;

    if (s->conn.out.bytes - s->conn.out.own <= 2 * s->conn.reactor->limits.max_out) {
        push(s, chunk); /* its answers are bounded as such */
        return;
    }
    if (chunk->count == 0)
        return; /* it is of the moment */
    if (n->room_len > 0 &&
        command_read_on(s, n->room, n->room_len, n->other, n->other_len, chunk->first_seq - 1))
        return;
    session_let_go(s, "detach");
    session_bye(s, "slow", "too much waits for you: come back and read on");
}

/* The member that reads on there, also one that is leaving: what it is still being fed comes first. */
static struct member *find_member(const struct session *s, const struct note *n)
{
    struct member *m = s->members;

    while (m != NULL &&
           (m->audience->name_len != n->room_len || memcmp(m->audience->name, n->room, n->room_len) != 0))
        m = m->next;
    return m;
}

/* One that is behind gets it by its cursor; one that is joining, if it is behind what it has asked to read on
 * after. */
static void give_member(struct session *s, struct member *m, const struct note *n)
{
    struct chunk *chunk = n->chunk;

    if (m->state == MEMBER_JOINING) {
        if (m->cursor >= chunk->first_seq + chunk->count - 1)
            give(s, n);
        return;
    }
    if (m->state != MEMBER_LIVE || (m->until > 0 && chunk->first_seq > m->until))
        return;
    if (s->conn.out.bytes > s->conn.reactor->limits.max_out)
        member_fall_behind(m, chunk->first_seq - 1);
    else
        push(s, chunk);
}

static bool is_for(const struct note *n, const struct nick *nick)
{
    return nick->identity == n->identity || (n->since_ms > 0 && nick->since_ms == n->since_ms);
}

static void on_note(struct reactor *r, struct post *p)
{
    struct note *n = (struct note *)p;
    struct session *there[DIRECTORY_SESSIONS_MAX];
    size_t count = directory_sessions(&chat_of(r)->shared->directory, n->folded, n->len, r, there);

    for (size_t i = 0; i < count; i++) {
        struct session *s = there[i];
        struct member *m;

        if (s->nick == NULL || !is_for(n, s->nick) || s->conn.life.id == n->but)
            continue; /* it may have been let go of by what was said when the one before it was */
        m = n->room_len > 0 ? find_member(s, n) : NULL;
        if (m != NULL)
            give_member(s, m, n);
        else
            give(s, n);
    }
    chunk_unref(n->chunk);
    free(n);
}

void note_send(struct chat *chat, const struct note_to *to, struct chunk *chunk)
{
    struct reactor *there[DIRECTORY_SESSIONS_MAX];
    size_t count = directory_reactors(&chat->shared->directory, to->folded, to->folded_len, there);

    for (size_t i = 0; i < count; i++) {
        struct note *n = mem_zalloc(sizeof *n);

        n->chunk = chunk_ref(chunk);
        n->identity = to->identity;
        n->since_ms = to->since_ms;
        n->but = to->but;
        n->len = (uint8_t)to->folded_len;
        memcpy(n->folded, to->folded, to->folded_len);
        if (to->room != NULL) {
            n->room_len = (uint8_t)to->room_len;
            memcpy(n->room, to->room, to->room_len);
            n->other_len = (uint8_t)to->other_len;
            memcpy(n->other, to->other, to->other_len);
        }
        reactor_post(chat->reactor, there[i], &n->post, on_note);
    }
}
