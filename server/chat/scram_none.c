/* scram_none.c: chatd without GNU SASL: accounts log in by keys alone. See scram_server.h. */
#include "server/chat/scram_server.h"

bool scram_server_is_built(void)
{
    return false;
}

const char *scram_server_version(void)
{
    return "no GNU SASL: accounts by key only";
}

void scram_server_end(void)
{
}

struct scram_server *scram_server_new(const struct account *a, bool plus, const unsigned char *binding)
{
    (void)a, (void)plus, (void)binding;
    return NULL;
}

void scram_server_free(struct scram_server *s)
{
    (void)s;
}

enum scram_result scram_server_step(struct scram_server *s, const char *in, size_t len, struct buf *out)
{
    (void)s, (void)in, (void)len, (void)out;
    return SCRAM_REFUSED;
}

const char *scram_server_user(const struct scram_server *s)
{
    (void)s;
    return "";
}
