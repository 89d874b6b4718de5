/* link.h: one TCP connection to a chat server, plain or TLS, as lines: from the name to the last FIN.
 *
 * A link connects, frames, writes, and ends each direction for itself; what the lines mean is its owner's
 * affair. It is driven by the caller's event_base and calls its owner back on that thread; nothing here
 * blocks. A link belongs to one thread, many links share an event_base. An idle plain link holds its struct
 * (376 bytes) and nothing else: buffers exist only while something is in them, there is no timer while
 * nothing is waited for.
 *
 * What always holds:
 * - each link_open that returned 0 ends in exactly one `closed` call, unless the owner closes the link
 *   himself (link_close, link_close_politely, link_reset, link_free): then there is none;
 * - `line`, `up`, `end`, `trust`, `drained` and `closed` are called from the event loop only, never from
 *   inside link_open, link_send or another function of this file; `watch` alone can be;
 * - inside every callback all functions may be called, link_free too; only link_open has to wait for
 *   `closed`;
 * - after the server's FIN the descriptor is not watched for reading any more (at EOF it is readable for
 *   ever). */
#ifndef CLIENT_LINK_H
#define CLIENT_LINK_H

#include "common/lifecycle.h"
#include "common/tcp.h"
#include "common/tls.h"

#include <event2/event.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct link;

/* How it ended. */
enum link_how {
    LINK_ENDED,       /* both sides ended theirs, in order */
    LINK_TRUNCATED,   /* the same, but the server's TLS without close_notify: something may be missing */
    LINK_RESET,       /* RST */
    LINK_TIMED_OUT,   /* connecting, TLS, or what the owner set a deadline for, took too long; ETIMEDOUT */
    LINK_REFUSED,     /* nobody listens there */
    LINK_UNREACHABLE, /* any other failure to connect; error says which */
    LINK_UNRESOLVED,  /* the name has no address */
    LINK_TLS_FAILED,  /* the handshake, or TLS later on */
    LINK_DISTRUSTED,  /* the owner did not trust the certificate */
    LINK_TOO_LONG,    /* a line above max_line */
};

struct link_verdict {
    enum link_how how;
    bool was_up;          /* it was connected (and the TLS handshake done) before that */
    int error;            /* an errno, or 0 */
    const char *why;      /* static text or NULL: what getaddrinfo or OpenSSL had to say */
    struct tcp_addr peer; /* the last address that was tried */
};

/* What happens in a link's life, as it happens; the same as in the lifecycle log. */
enum link_event {
    LINK_RESOLVING,
    LINK_CONNECTING, /* connect() was called; once an address */
    LINK_CONNECTED,
    LINK_SECURED, /* the TLS handshake is done */
    LINK_NOTIFY_SENT,
    LINK_FIN_SENT,
    LINK_NOTIFY_RECEIVED,
    LINK_FIN_RECEIVED,
    LINK_RST_RECEIVED,
    LINK_CLOSING, /* right before close(): the socket can still be asked */
};

struct link_certificate {
    bool verified;   /* by a known issuer, for this name */
    const char *why; /* static text: why it is not */
    char fingerprint[TLS_FINGERPRINT_SIZE];
};

/* Any may be NULL. One struct serves all links of a kind; owner is what link_new was given. */
struct link_handler {
    void (*up)(struct link *l, void *owner); /* lines can be sent; those sent before go out now */

    /* Whether to go on with that server; NULL: only where it is verified. Before `up`. */
    bool (*trust)(struct link *l, const struct link_certificate *c, void *owner);

    /* One line, without LF, CR LF or emptiness; line[len] is NUL. The owner may write into it (codec_decode
     * does); it is gone after the call. */
    void (*line)(struct link *l, char *line, size_t len, void *owner);

    /* The server has ended its side: no line comes any more, ours are still taken. truncated: TLS without
     * close_notify. The owner ends his side with link_shutdown when he is done; NULL: the link does so at
     * once. */
    void (*end)(struct link *l, bool truncated, void *owner);

    void (*drained)(struct link *l, void *owner); /* link_is_full has turned false */
    void (*closed)(struct link *l, const struct link_verdict *v, void *owner);
    void (*watch)(struct link *l, enum link_event e, void *owner); /* only to look */
};

/* For link_open; all pointers are copied from, none is kept but tls. Zero means the default. */
struct link_options {
    const char *host; /* an address or a name; also for SNI and the certificate's check */
    uint16_t port;
    const struct tcp_addr
        *addresses; /* where it was looked up already: then host is for TLS only, and may be NULL */
    size_t address_count;
    const struct tcp_addr *source; /* bind to that address before connecting (its port may be 0) */
    SSL_CTX *tls;                  /* NULL: plain. Must outlive the link */
    unsigned connect_ms;           /* for all of it, TLS too; default 10000 */
    unsigned keepalive_s;          /* TCP keepalive: idle seconds; default off */
    int receive_buffer;            /* SO_RCVBUF in bytes; default the kernel's */
    uint32_t max_line;             /* bytes; default 1 MiB */
    bool quiet;                    /* no lines in the lifecycle log */
};

struct link *link_new(struct event_base *base, const struct link_handler *handler, void *owner);
void link_free(struct link *l); /* closes; NULL is fine */
void *link_owner(const struct link *l);

/* Starts to connect. 0; -EBUSY where the link is open or inside a callback other than `closed`; -EINVAL. What
 * goes wrong later comes as `closed`. A closed link may be opened again. */
int link_open(struct link *l, const struct link_options *options);

/* Queues these bytes and writes what the kernel takes at once. All are taken, also before `up`. 0; -EPIPE
 * after link_shutdown or where the link is closed. Whoever produces more than a person types asks
 * link_is_full first. */
int link_send(struct link *l, const void *data, size_t len);

#define LINK_HIGH_WATER (256 * 1024) /* bytes queued from which a link is full; `drained` comes at 0 */
bool link_is_full(const struct link *l);

/* Bytes that are queued here and not yet given to the kernel; on TLS those of its records too. */
size_t link_unsent(const struct link *l);

/* Ends our side when all that is queued is written: close_notify on TLS, then FIN. Reading goes on; `closed`
 * comes when the server has ended its side too. Idempotent. */
void link_shutdown(struct link *l);

/* FIN without close_notify, without what is queued: to see what a server makes of it. */
void link_shutdown_rudely(struct link *l);

/* From now, `closed` with LINK_TIMED_OUT unless it has come by itself within ms. 0 takes that back. */
void link_set_deadline(struct link *l, unsigned ms);

void link_close(struct link *l); /* now, whatever is queued or unread */

/* Ends our side and waits here, a fifth of a second at most, until the server has ended its own: what it
 * still says would meet a closed socket, and that answers with RST. It is handed to nobody. */
void link_close_politely(struct link *l);
void link_reset(struct link *l); /* now, with RST */

/* A word for the close line of the lifecycle log; static. Default: what happened. */
void link_set_reason(struct link *l, const char *reason);

/* Reading: stop and go on, or at most so many bytes a second (0: no bound). */
void link_pause(struct link *l);
void link_resume(struct link *l);
void link_read_slowly(struct link *l, uint32_t bytes_per_second);

bool link_is_open(const struct link *l); /* from link_open until closed */
bool link_is_up(const struct link *l);   /* connected and, with TLS, trusted */
bool link_has_shut_down(const struct link *l);

/* For views. The life is that of the present connection, or of the last one. */
const struct lifecycle *link_life(const struct link *l);
int link_get_facts(const struct link *l, struct tcp_facts *facts); /* -EBADF where there is no socket */
int link_fd(const struct link *l);                                 /* or -1; only to look at */
SSL *link_ssl(const struct link *l);                               /* NULL on plain */

#endif
