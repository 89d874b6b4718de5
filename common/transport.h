/* transport.h: TLS as a filter between the bytes of a socket and the bytes of the application.
 *
 * The owner of a connection makes every socket call himself, so that each can be seen, counted and logged: he
 * reads raw bytes and feeds them in, he takes ciphertext out and writes it. A plain connection has no struct
 * transport at all. A transport lives on the thread that made it. RFC 8446; SSL_get_error(3). */
#ifndef COMMON_TRANSPORT_H
#define COMMON_TRANSPORT_H

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct transport;

struct transport *transport_new(SSL_CTX *ctx,
                                bool is_server); /* host is set by transport_set_host for a client */
void transport_free(struct transport *t);        /* NULL is fine */
SSL *transport_ssl(struct transport *t);

/* Raw bytes from the socket, which must stay in place until the calls below have said -EAGAIN. */
void transport_feed(struct transport *t, const void *raw, size_t len);

/* 1: done; 0: more bytes are needed or have to go out; -EPROTO: failed, transport_error says why. */
int transport_handshake(struct transport *t);
bool transport_is_ready(const struct transport *t); /* the handshake is done */

/* Bytes of the application: > 0; 0: close_notify came; -EAGAIN: feed more; -EPROTO. */
ssize_t transport_read(struct transport *t, void *to, size_t size);

/* Takes all of it, as records of up to 16 KiB each; 0 or -EPROTO. Call it only with no output left over. */
int transport_write(struct transport *t, const void *from, size_t len);

int transport_close_notify(struct transport *t); /* 0: the alert is in the output; -EPROTO */

/* Ciphertext that waits to be written; the pointer holds until the next call. */
size_t transport_output(const struct transport *t, const char **data);
void transport_output_done(struct transport *t, size_t len); /* that many bytes of it were written */

/* To be called when the owner turns to other work: output left over is moved to memory of its own. */
void transport_park(struct transport *t);

void transport_end_thread(
    void); /* frees what the calling thread shares among its transports; there may be more later */

const char *transport_error(const struct transport *t); /* one sentence for people; never NULL */

#endif
