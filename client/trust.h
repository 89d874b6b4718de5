/* trust.h: the known-hosts file: which certificate each server had when it was first met.
 *
 * A line is `HOST:PORT SHA256:…`, or `HOST:PORT issuer` where a known issuer had signed its certificate;
 * lines that begin with # are remarks. The file is made with mode 0600, its directory with 0700; a server is
 * added by one append, so that two chats at once cannot tear it. */
#ifndef CLIENT_TRUST_H
#define CLIENT_TRUST_H

#include "common/tls.h"

#define TRUST_ISSUER "issuer" /* instead of a fingerprint */

enum trust_answer {
    TRUST_KNOWN,   /* it is the one that was kept */
    TRUST_NEW,     /* none was kept for that server */
    TRUST_CHANGED, /* another one was kept */
};

/* An enum trust_answer, or -errno where the file is there and can't be read. known gets the fingerprint that
 * was kept where it changed: TRUST_ISSUER if that was ever kept. */
int trust_look_up(const char *file, const char *server, const char *fingerprint,
                  char known[TLS_FINGERPRINT_SIZE]);

/* 0 or -errno. */
int trust_add(const char *file, const char *server, const char *fingerprint);

/* That file in $XDG_CONFIG_HOME/chat, else in ~/.config/chat; NULL where there is no home. The caller
 * frees. */
char *trust_default_file(const char *name);

/* Makes the directories that a file is in, those that are missing with mode 0700. 0 or -errno. */
int trust_make_directories(const char *file);

#endif
