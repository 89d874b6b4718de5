/* login.c: see login.h. */
#include "server/chat/login.h"

#include "common/log.h"
#include "common/mem.h"
#include "common/tls.h"
#include "common/transport.h"
#include "server/chat/scram_server.h"
#include "server/chat/session.h"

#include <stdlib.h>
#include <string.h>

static const char *const names[] = {
    [LOGIN_SCRAM] = "SCRAM-SHA-256", [LOGIN_SCRAM_PLUS] = "SCRAM-SHA-256-PLUS", [LOGIN_KEY] = "ED25519"};

void login_free(struct login *l)
{
    if (l == NULL)
        return;
    scram_server_free(l->scram);
    mem_wipe(l, sizeof *l);
    free(l);
}

const char *login_mechanism_name(enum login_mechanism m)
{
    return names[m];
}

bool login_mechanism_find(const char *name, size_t len, enum login_mechanism *m)
{
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strlen(names[i]) == len && memcmp(names[i], name, len) == 0) {
            *m = (enum login_mechanism)i;
            return true;
        }
    return false;
}

void login_put_mechanisms(struct buf *b, const struct session *s)
{
    buf_put_literal(b, "[");
    if (scram_server_is_built() && s->conn.transport != NULL)
        buf_put_literal(b, "\"SCRAM-SHA-256-PLUS\",");
    if (scram_server_is_built())
        buf_put_literal(b, "\"SCRAM-SHA-256\",");
    buf_put_literal(b, "\"ED25519\"]");
}

bool login_is_of(const struct login *l, const char *folded, size_t len)
{
    return l != NULL && l->state == LOGIN_DONE && l->who.folded_len == len &&
           memcmp(l->who.folded, folded, len) == 0;
}

void login_require(struct session *s, const struct value *id, const char *nick, size_t len)
{
    struct buf *b = &s->conn.reactor->scratch, names_of = {0}, text = {0};

    login_put_mechanisms(&names_of, s);
    buf_putf(&text, "%.*s is an account's nick: log in to it (auth) before hello, or take another nick",
             (int)len, nick);
    buf_clear(b);
    codec_begin(b, MESSAGE_ERROR);
    if (id != NULL)
        codec_add(b, FIELD_RE, id->text, id->len);
    codec_add_text(b, FIELD_CODE, "login_required");
    codec_add(b, FIELD_TEXT, text.data, text.len);
    codec_add_raw(b, FIELD_MECHANISMS, names_of.data, names_of.len);
    codec_end(b);
    session_send(s, b);
    buf_deinit(&names_of);
    buf_deinit(&text);
}

void login_identify(struct throttle_who *who, const struct session *s, const char *folded, size_t len)
{
    *who = (struct throttle_who){.peer = s->conn.life.peer, .is_trusted = s->conn.trusted};
    memcpy(who->folded, folded, len);
    who->folded_len = (uint8_t)len;
}

void login_put_off(struct session *s, const struct value *id, const char *code, uint64_t wait_ms,
                   const char *text)
{
    struct buf *b = &s->conn.reactor->scratch;

    buf_clear(b);
    codec_begin(b, MESSAGE_ERROR);
    if (id != NULL)
        codec_add(b, FIELD_RE, id->text, id->len);
    codec_add_text(b, FIELD_CODE, code);
    codec_add_text(b, FIELD_TEXT, text);
    codec_add_uint(b, FIELD_RETRY, wait_ms);
    codec_end(b);
    session_send(s, b);
}
