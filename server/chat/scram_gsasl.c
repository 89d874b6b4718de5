/* scram_gsasl.c: SCRAM by GNU SASL. See scram_server.h.
 *
 * All threads share one Gsasl: it is made before any login and only read from then on; each login has a
 * session. The header of the client's first message (RFC 5802, section 7: the flag of channel binding) is
 * checked here too, so that what protects against a downgrade is there whatever the library's version
 * does. */
#include "server/chat/scram_server.h"

#include "common/base64.h"
#include "common/mem.h"
#include "common/tls.h"

#include <gsasl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct scram_server {
    Gsasl_session *session;
    bool plus, is_bound, has_begun;
};

static Gsasl *library;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void start_library(void)
{
    if (gsasl_init(&library) != GSASL_OK)
        abort(); /* memory alone can be missing */
}

bool scram_server_is_built(void)
{
    return true;
}

const char *scram_server_version(void)
{
    static char text[32];

    snprintf(text, sizeof text, "GNU SASL %s", gsasl_check_version(NULL));
    return text;
}

void scram_server_end(void)
{
    if (library != NULL)
        gsasl_done(library);
    library = NULL;
}

static void set_bytes(Gsasl_session *session, Gsasl_property which, const unsigned char *data, size_t len)
{
    char text[BASE64_SIZE(64)];

    base64_encode(data, len, text);
    gsasl_property_set(session, which, text);
}

struct scram_server *scram_server_new(const struct account *a, bool plus, const unsigned char *binding)
{
    Gsasl_session *session;
    struct scram_server *s;
    char iterations[16];

    pthread_once(&once, start_library);
    if (gsasl_server_start(library, plus ? "SCRAM-SHA-256-PLUS" : "SCRAM-SHA-256", &session) != GSASL_OK)
        return NULL;
    s = mem_zalloc(sizeof *s);
    s->session = session;
    s->plus = plus;
    s->is_bound = binding != NULL;
    snprintf(iterations, sizeof iterations, "%u", a->iterations);
    gsasl_property_set(session, GSASL_SCRAM_ITER, iterations);
    set_bytes(session, GSASL_SCRAM_SALT, a->salt, sizeof a->salt);
    set_bytes(session, GSASL_SCRAM_STOREDKEY, a->stored_key, sizeof a->stored_key);
    set_bytes(session, GSASL_SCRAM_SERVERKEY, a->server_key, sizeof a->server_key);
    if (binding != NULL)
        set_bytes(session, GSASL_CB_TLS_EXPORTER, binding, TLS_BINDING_SIZE);
    return s;
}

void scram_server_free(struct scram_server *s)
{
    if (s == NULL)
        return;
    gsasl_finish(s->session);
    free(s);
}

static bool begins_with(const char *in, size_t len, const char *with)
{
    return len >= strlen(with) && memcmp(in, with, strlen(with)) == 0;
}

/* "y" is of a client that could bind and believes that we can't: over TLS somebody has taken our -PLUS out of
 * the list. No client asks to be somebody else than it logs in as. */
static bool is_good_header(const struct scram_server *s, const char *in, size_t len)
{
    if (s->plus)
        return begins_with(in, len, "p=tls-exporter,,");
    return begins_with(in, len, "n,,") || (!s->is_bound && begins_with(in, len, "y,,"));
}

enum scram_result scram_server_step(struct scram_server *s, const char *in, size_t len, struct buf *out)
{
    char *answer = NULL;
    size_t answer_len = 0;
    int ret;

    if (memchr(in, '\0', len) != NULL || (!s->has_begun && !is_good_header(s, in, len)))
        return SCRAM_REFUSED;
    s->has_begun = true;
    ret = gsasl_step(s->session, in, len, &answer, &answer_len);
    if (ret == GSASL_OK || ret == GSASL_NEEDS_MORE)
        buf_put(out, answer, answer_len);
    gsasl_free(answer);
    return ret == GSASL_OK ? SCRAM_DONE : ret == GSASL_NEEDS_MORE ? SCRAM_MORE : SCRAM_REFUSED;
}

const char *scram_server_user(const struct scram_server *s)
{
    const char *user = gsasl_property_fast(s->session, GSASL_AUTHID);

    return user != NULL ? user : "";
}
