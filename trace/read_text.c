/* read_text.c: see read_text.h. */
#include "trace/read_text.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define SECONDS_MAX                                                                                          \
    9000000000 /* in 2255: such a time in nanoseconds, and some years more, fit into 64 bits */

bool readtext_addr(const char *text, struct tcp_addr *a)
{
    const char *colon = strrchr(text, ':');
    char ip[INET6_ADDRSTRLEN + 2];
    struct sockaddr_in in = {.sin_family = AF_INET};
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6};
    size_t len;

    if (colon == NULL || (size_t)(colon - text) >= sizeof ip)
        return false;
    len = (size_t)(colon - text);
    memcpy(ip, text, len);
    ip[len] = '\0';
    in.sin_port = in6.sin6_port = htons((uint16_t)strtoul(colon + 1, NULL, 10));
    if (ip[0] == '[' && len > 2) {
        ip[len - 1] = '\0';
        if (inet_pton(AF_INET6, ip + 1, &in6.sin6_addr) != 1)
            return false;
        tcp_addr_from(a, (struct sockaddr *)&in6);
        return true;
    }
    if (inet_pton(AF_INET, ip, &in.sin_addr) != 1)
        return false;
    tcp_addr_from(a, (struct sockaddr *)&in);
    return true;
}

bool readtext_time(const char *text, int64_t *epoch_ns)
{
    struct tm tm = {0};
    const char *rest = strptime(text, "%Y-%m-%dT%H:%M:%S", &tm);
    double fraction = 0;

    if (rest == NULL)
        return false;
    if (*rest == '.')
        fraction = strtod(rest, (char **)&rest);
    if (strcmp(rest, "Z") != 0 || !(fraction >= 0 && fraction < 1) || timegm(&tm) < 0 ||
        timegm(&tm) > SECONDS_MAX)
        return false;
    *epoch_ns = (int64_t)timegm(&tm) * 1000000000 + (int64_t)(fraction * 1e9 + 0.5);
    return true;
}

uint32_t readtext_u32(double n)
{
    return !(n > 0) ? 0 : n >= UINT32_MAX ? UINT32_MAX : (uint32_t)n;
}

uint64_t readtext_u64(double n)
{
    return !(n > 0) ? 0 : n >= 0x1p64 ? UINT64_MAX : (uint64_t)n;
}

int64_t readtext_ns(double ms)
{
    double ns = ms * 1e6;

    if (!(ns > -1e17 && ns < 1e17))
        return ns > 0 ? 100000000000000000 : ns < 0 ? -100000000000000000 : 0;
    return (int64_t)(ns < 0 ? ns - 0.5 : ns + 0.5);
}

enum tcp_state readtext_state(const char *name)
{
    for (int s = TCP_STATE_ESTABLISHED; s <= TCP_STATE_CLOSING; s++)
        if (strcmp(tcp_state_name((enum tcp_state)s), name) == 0)
            return (enum tcp_state)s;
    return TCP_STATE_UNKNOWN;
}

enum model_source readtext_source(const char *name)
{
    for (int s = MODEL_TCP_INFO; s < MODEL_INFERRED; s++)
        if (strcmp(model_source_name((enum model_source)s), name) == 0)
            return (enum model_source)s;
    return MODEL_INFERRED;
}

uint8_t readtext_flags(const char *names)
{
    static const struct {
        const char *name;
        uint8_t flag;
    } flags[] = {{"SYN", MODEL_SYN}, {"FIN", MODEL_FIN}, {"RST", MODEL_RST}, {"PSH", MODEL_PSH},
                 {"ACK", MODEL_ACK}, {"URG", MODEL_URG}, {"ECE", MODEL_ECE}, {"CWR", MODEL_CWR}};
    uint8_t all = 0;

    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++)
        if (strstr(names, flags[i].name) != NULL)
            all |= flags[i].flag;
    return all;
}

static const struct {
    const char *name;
    int err;
} errors[] = {
    {"ECONNRESET", ECONNRESET},
    {"EPIPE", EPIPE},
    {"ETIMEDOUT", ETIMEDOUT},
    {"ECONNREFUSED", ECONNREFUSED},
    {"EAGAIN", EAGAIN},
    {"EINPROGRESS", EINPROGRESS},
    {"ENOTCONN", ENOTCONN},
    {"EHOSTUNREACH", EHOSTUNREACH},
    {"ENETUNREACH", ENETUNREACH},
    {"EADDRINUSE", EADDRINUSE},
    {"EPROTO", EPROTO},
    {"ECONNABORTED", ECONNABORTED},
    {"EBADF", EBADF},
    {"EINVAL", EINVAL},
    {"EINTR", EINTR},
    {"EALREADY", EALREADY},
    {"EADDRNOTAVAIL", EADDRNOTAVAIL},
    {"EACCES", EACCES},
    {"EMFILE", EMFILE},
};

int readtext_errno(const char *name)
{
    for (size_t i = 0; i < sizeof errors / sizeof *errors; i++)
        if (strcmp(errors[i].name, name) == 0)
            return errors[i].err;
    return -1;
}

const char *readtext_errno_name(int err)
{
    for (size_t i = 0; i < sizeof errors / sizeof *errors; i++)
        if (errors[i].err == err)
            return errors[i].name;
    return "error";
}
