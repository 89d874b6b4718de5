/* fuzz_transport.c: any bytes on the wire of a TLS connection, at first or after the handshake. The first
 * byte says where they come in; they are fed in two parts. Nothing but an error may come of them: no data, no
 * end. */
#include "common/buf.h"
#include "common/tls.h"
#include "common/transport.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static SSL_CTX *server_ctx, *client_ctx;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

/* Carries what one side has to say to the other one; whether there was anything. */
static bool carry(struct transport *from, struct transport *to)
{
    const char *output;
    struct buf b = {0};
    char sink[100];
    size_t n = transport_output(from, &output);

    buf_put(&b, output, n);
    if (n > 0)
        transport_output_done(from, n);
    transport_feed(to, b.data, b.len);
    if (!transport_is_ready(to) && transport_handshake(to) < 0)
        abort();
    if (transport_is_ready(to) && transport_read(to, sink, sizeof sink) != -EAGAIN)
        abort();
    buf_deinit(&b);
    return n > 0;
}

static void attack(struct transport *t, const uint8_t *data, size_t len)
{
    char sink[100];
    int ret = 0;

    transport_feed(t, data, len);
    if (!transport_is_ready(t))
        ret = transport_handshake(t);
    if (ret == 0 && transport_is_ready(t)) {
        ssize_t n = transport_read(t, sink, sizeof sink);

        if (n >= 0) /* nobody has the key */
            abort();
        ret = n == -EAGAIN ? 0 : (int)n;
    }
    if ((ret != 0 && ret != -EPROTO) || transport_error(t) == NULL)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct transport *server, *client;
    char err[TLS_ERROR_SIZE];
    int how;

    if (len == 0)
        return 0;
    if (server_ctx == NULL) {
        server_ctx = tls_new_server(NULL, NULL, &(struct tls_own){0}, 0, err);
        client_ctx = tls_new_client(NULL, err);
        if (server_ctx == NULL || client_ctx == NULL)
            abort();
    }
    how = data[0];
    data++, len--;
    server = transport_new(server_ctx, true);
    client = transport_new(client_ctx, false);
    if (transport_handshake(client) != 0)
        abort();
    for (int i = 0; i < (how >> 1 & 3) && (carry(client, server) || carry(server, client)); i++)
        ;
    transport_park(client);
    transport_park(server);
    attack(how & 1 ? client : server, data, len / 2);
    transport_park(how & 1 ? client : server);
    attack(how & 1 ? client : server, data + len / 2, len - len / 2);
    transport_free(server);
    transport_free(client);
    return 0;
}
