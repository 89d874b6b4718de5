/* config_address.c: the addresses of --listen and the networks of --trusted, from text and back. Numbers
 * only: a name would have to be looked up, which can block and can change. */
#include "server/config_option.h"

#include "common/mem.h"

#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#define HOST_MAX (INET6_ADDRSTRLEN + IF_NAMESIZE + 1) /* with a scope: fe80::1%eth0 */

/* Digits alone, at most max. */
static bool parse_number(const char *text, size_t len, unsigned max, unsigned *out)
{
    unsigned value = 0;

    if (len == 0 || len > 5)
        return false;
    for (size_t i = 0; i < len; i++) {
        if (text[i] < '0' || text[i] > '9')
            return false;
        value = value * 10 + (unsigned)(text[i] - '0');
    }
    *out = value;
    return value <= max;
}

/* Splits ADDR:PORT into host, without brackets, and port; a host of "" stands for all addresses. */
static bool split_host(const char *text, char host[HOST_MAX], bool *brackets, unsigned *port)
{
    const char *colon = strrchr(text, ':');
    size_t len = colon != NULL ? (size_t)(colon - text) : 0;

    *brackets = false;
    if (colon == NULL && text[0] != '[') {
        host[0] = '\0';
        return parse_number(text, strlen(text), 65535, port);
    }
    if (colon == NULL || !parse_number(colon + 1, strlen(colon + 1), 65535, port))
        return false;
    if (len == 1 && text[0] == '*') {
        len = 0;
    } else if (len >= 2 && text[0] == '[') {
        if (text[len - 1] != ']')
            return false;
        *brackets = true;
        text++;
        len -= 2;
    }
    if (len >= HOST_MAX || (*brackets && len == 0))
        return false;
    memcpy(host, text, len);
    host[len] = '\0';
    return true;
}

/* An IPv6 address, with a scope perhaps, which inet_pton does not take. */
static bool parse_ipv6(struct config_address *a, const char *host)
{
    struct addrinfo hints = {.ai_family = AF_INET6, .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST};
    struct addrinfo *found = NULL;

    if (strchr(host, ':') == NULL || getaddrinfo(host, NULL, &hints, &found) != 0)
        return false;
    memcpy(&a->addr, found->ai_addr, found->ai_addrlen);
    a->len = (socklen_t)found->ai_addrlen;
    freeaddrinfo(found);
    return true;
}

static bool parse_address(struct config_address *a, const char *text)
{
    struct sockaddr_in *in = (void *)&a->addr;
    struct sockaddr_in6 *in6 = (void *)&a->addr;
    char host[HOST_MAX];
    bool brackets;
    unsigned port;

    memset(a, 0, sizeof *a);
    if (!split_host(text, host, &brackets, &port))
        return false;
    if (host[0] == '\0') {
        a->both = true;
        a->len = sizeof *in6;
        in6->sin6_family = AF_INET6;
    } else if (brackets) {
        if (!parse_ipv6(a, host))
            return false;
    } else {
        a->len = sizeof *in;
        in->sin_family = AF_INET;
        if (inet_pton(AF_INET, host, &in->sin_addr) != 1)
            return false;
    }
    if (in->sin_family == AF_INET)
        in->sin_port = htons((uint16_t)port);
    else
        in6->sin6_port = htons((uint16_t)port);
    return true;
}

static char *address_text(const struct config_address *a)
{
    char host[NI_MAXHOST], port[NI_MAXSERV], text[NI_MAXHOST + NI_MAXSERV + 4];
    const struct sockaddr *addr = (const void *)&a->addr;

    if (getnameinfo(addr, a->len, host, sizeof host, port, sizeof port, NI_NUMERICHOST | NI_NUMERICSERV) != 0)
        return mem_strdup("?");
    snprintf(text, sizeof text, a->addr.ss_family == AF_INET6 ? "[%s]:%s" : "%s:%s", host, port);
    if (a->both)
        snprintf(text, sizeof text, "*:%s", port);
    return mem_strdup(text);
}

int config_address_add(struct config_addresses *list, const char *text, char *why, size_t whylen)
{
    struct config_address a;

    if (!parse_address(&a, text))
        return -EINVAL; /* config_value_set says what was expected */
    a.text = address_text(&a);
    for (size_t i = 0; i < list->n; i++) {
        if (strcmp(list->v[i].text, a.text) == 0 && strcmp(strrchr(a.text, ':'), ":0") != 0) {
            snprintf(why, whylen, "names %s twice", a.text);
            free(a.text);
            return -EINVAL;
        }
    }
    list->v = mem_realloc(list->v, (list->n + 1) * sizeof *list->v);
    list->v[list->n++] = a;
    return 0;
}

void config_addresses_clear(struct config_addresses *list)
{
    for (size_t i = 0; i < list->n; i++)
        free(list->v[i].text);
    free(list->v);
    *list = (struct config_addresses){0};
}

/* Whether a and b are the same in their first bits. */
static bool same_bits(const uint8_t *a, const uint8_t *b, uint32_t bits)
{
    uint8_t mask = (uint8_t)(0xff00u >> (bits % 8));

    return memcmp(a, b, bits / 8) == 0 && (bits % 8 == 0 || ((a[bits / 8] ^ b[bits / 8]) & mask) == 0);
}

/* Clears what comes after the first bits. */
static void mask_bits(uint8_t ip[16], uint32_t bits)
{
    for (uint32_t i = bits; i < 128; i++)
        ip[i / 8] &= (uint8_t) ~(0x80u >> (i % 8));
}

/* ADDR/BITS, or ADDR for itself alone. */
static bool parse_network(struct config_network *n, const char *text)
{
    const char *slash = strchr(text, '/');
    size_t len = slash != NULL ? (size_t)(slash - text) : strlen(text);
    char host[INET6_ADDRSTRLEN];
    unsigned most, bits;

    memset(n, 0, sizeof *n);
    if (len >= sizeof host)
        return false;
    memcpy(host, text, len);
    host[len] = '\0';
    n->addr.family = strchr(host, ':') != NULL ? AF_INET6 : AF_INET;
    if (inet_pton(n->addr.family, host, n->addr.ip) != 1)
        return false;
    most = n->addr.family == AF_INET6 ? 128 : 32;
    bits = most;
    if (slash != NULL && !parse_number(slash + 1, strlen(slash + 1), most, &bits))
        return false;
    n->bits = bits;
    return true;
}

static char *network_text(const struct tcp_addr *addr, uint32_t bits)
{
    char host[INET6_ADDRSTRLEN], text[INET6_ADDRSTRLEN + 5];

    if (inet_ntop(addr->family, addr->ip, host, sizeof host) == NULL)
        return mem_strdup("?");
    snprintf(text, sizeof text, "%s/%u", host, bits);
    return mem_strdup(text);
}

int config_network_add(struct config_networks *list, const char *text, char *why, size_t whylen)
{
    struct config_network n;
    struct tcp_addr masked;

    if (!parse_network(&n, text))
        return -EINVAL; /* config_value_set says what was expected */
    masked = n.addr;
    mask_bits(masked.ip, n.bits);
    n.text = network_text(&masked, n.bits);
    if (memcmp(masked.ip, n.addr.ip, sizeof masked.ip) != 0) {
        snprintf(why, whylen, "takes a network, and \"%.50s\" has bits set beyond its prefix: is %s meant?",
                 text, n.text);
        free(n.text);
        return -EINVAL;
    }
    list->v = mem_realloc(list->v, (list->n + 1) * sizeof *list->v);
    list->v[list->n++] = n;
    return 0;
}

void config_networks_clear(struct config_networks *list)
{
    for (size_t i = 0; i < list->n; i++)
        free(list->v[i].text);
    free(list->v);
    *list = (struct config_networks){0};
}

bool config_is_trusted_tcp(const struct config *c, const struct tcp_addr *addr)
{
    for (size_t i = 0; i < c->trusted.n; i++) {
        const struct config_network *n = &c->trusted.v[i];

        if (addr->family == n->addr.family && same_bits(addr->ip, n->addr.ip, n->bits))
            return true;
    }
    return false;
}

bool config_is_trusted(const struct config *c, const struct sockaddr *addr)
{
    struct tcp_addr a;

    tcp_addr_from(&a, addr);
    return config_is_trusted_tcp(c, &a);
}
