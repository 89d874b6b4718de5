/* ask.c: see ask.h. */
#include "server/chat/ask.h"

#include "common/mem.h"
#include "protocol/codec.h"
#include "server/chat/session.h"

#include <stdlib.h>
#include <string.h>

struct ask *ask_new(struct reactor *from, struct session *s, const struct value *id, post_fn *home,
                    post_fn *done)
{
    struct ask *a = mem_zalloc(sizeof *a);

    a->from = from;
    a->home = home;
    a->done = done;
    if (id != NULL) {
        memcpy(a->id, id->text, id->len);
        a->id_len = (uint8_t)id->len;
    }
    if (s != NULL) {
        a->session = s;
        a->conn = s->conn.life.id;
        session_hold(s);
    }
    return a;
}

void ask_set_room(struct ask *a, const char *room, size_t len)
{
    memcpy(a->room, room, len);
    a->room_len = (uint8_t)len;
}

void ask_set_nick(struct ask *a, const struct session *s)
{
    const struct nick *n = s->nick;

    memcpy(a->nick, nick_text(n), n->len);
    a->nick_len = n->len;
    memcpy(a->folded, n->text, n->folded_len);
    a->folded_len = n->folded_len;
    a->identity = n->identity;
    a->since_ms = n->since_ms;
    a->is_account = n->is_account;
}

void ask_copy_nick(struct ask *a, const struct ask *from)
{
    memcpy(a->nick, from->nick, sizeof a->nick);
    memcpy(a->folded, from->folded, sizeof a->folded);
    a->nick_len = from->nick_len;
    a->folded_len = from->folded_len;
    a->identity = from->identity;
    a->since_ms = from->since_ms;
    a->is_account = from->is_account;
}

void ask_send(struct ask *a, struct reactor *home)
{
    reactor_post(a->from, home, &a->post, a->home);
}

void ask_return(struct ask *a, struct reactor *home)
{
    reactor_post(home, a->from, &a->post, a->done);
}

void ask_free(struct ask *a)
{
    struct session *s = a->session;

    for (size_t i = 0; i < a->slice_count; i++)
        slice_unref(&a->slices[i]);
    free(a->slices);
    buf_deinit(&a->text);
    buf_deinit(&a->answer);
    free(a);
    if (s != NULL)
        session_unhold(s);
}

void ask_fail(struct ask *a, const char *code, uint64_t max, const char *text)
{
    a->result = ASK_FAILED;
    buf_clear(&a->answer);
    codec_begin(&a->answer, MESSAGE_ERROR);
    if (a->id_len > 0)
        codec_add(&a->answer, FIELD_RE, a->id, a->id_len);
    codec_add_text(&a->answer, FIELD_CODE, code);
    codec_add_text(&a->answer, FIELD_TEXT, text);
    if (max > 0)
        codec_add_uint(&a->answer, FIELD_MAX, max);
    codec_end(&a->answer);
    a->answer_lines = 1;
}

void ask_deliver(struct ask *a)
{
    struct session *s = a->session;

    if (s == NULL || !conn_can_speak(&s->conn))
        return;
    if (a->answer.len > 0) {
        conn_answer(&s->conn, a->answer.data, a->answer.len);
        s->conn.life.msgs_out += a->answer_lines;
    }
    for (size_t i = 0; i < a->slice_count; i++) {
        conn_push(&s->conn, a->slices[i].chunk, a->slices[i].at, a->slices[i].len);
        s->conn.life.msgs_out += a->slices[i].count;
    }
}
