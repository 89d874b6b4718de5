/* listen.c: see listen.h. */
#include "server/listen.h"

#include "common/log.h"
#include "common/tcp.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define BACKLOG 4096

static int open_one(const struct config_address *a)
{
    struct sockaddr_in any = {.sin_family = AF_INET};
    int fd = tcp_listen((const struct sockaddr *)&a->addr, a->len, a->both, BACKLOG);

    if (!a->both || fd != -EAFNOSUPPORT)
        return fd;
    any.sin_port = ((const struct sockaddr_in6 *)&a->addr)->sin6_port; /* a host without IPv6 */
    return tcp_listen((struct sockaddr *)&any, sizeof any, false, BACKLOG);
}

static const char *todo(int err)
{
    switch (err) {
    case EADDRINUSE:
        return "another program listens there already: stop it, or choose another port with --listen";
    case EACCES:
        return "ports below 1024 need root or CAP_NET_BIND_SERVICE: choose a higher one with --listen";
    case EADDRNOTAVAIL:
        return "this machine has no such address: choose one of its own with --listen";
    default:
        return "choose another address with --listen";
    }
}

int listen_open(const struct config *c, int fds[LISTEN_MAX], char *err, size_t errlen)
{
    int n = listen_fds_take(fds, err, errlen);

    if (n < 0 || (n > 0 && !config_is_given(c, "listen")))
        return n;
    for (size_t i = 0; i < c->listen.n && n < LISTEN_MAX; i++) {
        int fd = open_one(&c->listen.v[i]);

        if (fd < 0) {
            snprintf(err, errlen, "chatd: can't listen on %s: %s: %s", c->listen.v[i].text, strerror(-fd),
                     todo(-fd));
            while (n > 0)
                close(fds[--n]);
            return fd;
        }
        fds[n++] = fd;
    }
    return n;
}

int listen_write_ports(const struct config *c, const int *fds, int count, char *err, size_t errlen)
{
    char part[4200], text[TCP_ADDR_TEXT];
    FILE *f = NULL;
    bool ok = true;

    if (c->port_file != NULL) {
        snprintf(part, sizeof part, "%s.part", c->port_file);
        f = fopen(part, "we");
        ok = f != NULL;
    }
    for (int i = 0; i < count; i++) {
        struct tcp_addr at;

        tcp_get_local(fds[i], &at);
        log_event(LOG_INFO, "listen", "address=%s plain=%s", tcp_addr_format(&at, text),
                  config_plain_name(c->plain));
        if (f != NULL)
            ok = fprintf(f, "%u\n", at.port) > 0 && ok;
    }
    if (f != NULL)
        ok = fclose(f) == 0 && ok && rename(part, c->port_file) == 0;
    if (ok)
        return 0;
    snprintf(err, errlen, "chatd: the ports can't be written to %s: %s", c->port_file, strerror(errno));
    return -EIO;
}
