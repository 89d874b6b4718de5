/* client_trust.c: whether a server's certificate will do, and what to say where it will not; see client.h.
 *
 * One that a known issuer has signed for that name does. Any other is trusted on first use, and has to be the
 * same ever after; but where an issuer has vouched once, there is no way back to one that nobody vouches for:
 * else whoever sits in between could do without. */
#include "client/client.h"

#include "client/trust.h"

#include <string.h>

static bool refuse(struct client *c, const struct link_certificate *cert, const char *known)
{
    static const char danger[] = "Somebody may be between you and the server. If its certificate was changed "
                                 "on purpose (ask who\nruns it), ";

    if (strcmp(known, TRUST_ISSUER) == 0)
        client_give_up(c, EXIT_DISTRUSTED,
                       "%s shows a certificate that no known issuer has signed; before, it had one\n"
                       "why:  %s\nnow:  %s\n"
                       "%sgive the new issuer with --ca, or take the line of %s out of %s and connect again.",
                       c->config.server, cert->why, cert->fingerprint, danger, c->config.server,
                       c->config.known_hosts);
    else
        client_give_up(c, EXIT_DISTRUSTED,
                       "%s shows another certificate than before\n"
                       "kept: %s\nnow:  %s\n"
                       "%stake the line of %s out of %s and connect again.",
                       c->config.server, known, cert->fingerprint, danger, c->config.server,
                       c->config.known_hosts);
    return false;
}

/* Trust on first use: the fingerprint is kept. */
static bool trust_by_file(struct client *c, const struct link_certificate *cert)
{
    const char *file = c->config.known_hosts, *server = c->config.server;
    char known[TLS_FINGERPRINT_SIZE];
    int ret = trust_look_up(file, server, cert->fingerprint, known);

    if (ret == TRUST_KNOWN)
        return true;
    if (ret == TRUST_CHANGED)
        return refuse(c, cert, known);
    if (ret == TRUST_NEW)
        ret = trust_add(file, server, cert->fingerprint);
    if (ret < 0) {
        client_give_up(c, EXIT_DISTRUSTED, "the certificate of %s can't be checked: %s: %s", server, file,
                       strerror(-ret));
        return false;
    }
    client_tell(c, CLIENT_CERTIFICATE, "first time at %s: its certificate is kept in %s\n%s", server, file,
                cert->fingerprint);
    return true;
}

/* That an issuer has vouched is kept too. Where it can't be, the connection is none the worse. */
static void note_issuer(struct client *c)
{
    const char *file = c->config.known_hosts;
    char known[TLS_FINGERPRINT_SIZE];
    int ret;

    if (file == NULL)
        return;
    ret = trust_look_up(file, c->config.server, TRUST_ISSUER, known);
    if (ret == TRUST_NEW || ret == TRUST_CHANGED)
        ret = trust_add(file, c->config.server, TRUST_ISSUER);
    if (ret < 0 && !c->was_on)
        client_tell(c, CLIENT_PROBLEM,
                    "it can't be kept that a known issuer has signed the certificate of %s: %s: %s",
                    c->config.server, file, strerror(-ret));
}

bool client_trusts(struct client *c, const struct link_certificate *cert)
{
    if (cert->verified) {
        note_issuer(c);
        return true;
    }
    if (!c->config.ca_given && c->config.known_hosts != NULL)
        return trust_by_file(c, cert);
    client_give_up(c, EXIT_DISTRUSTED, "the certificate of %s could not be verified: %s\nit is %s",
                   c->config.server, cert->why, cert->fingerprint);
    return false;
}
