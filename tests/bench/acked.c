/* acked.c: how many sends a second are acknowledged: CONNECTIONS, each in a room of its own, each with
 * PIPELINE sends under way, for SECONDS. Prints the number. With a fourth figure each send carries a key, as
 * chat's do.
 *
 *     acked PORT CONNECTIONS PIPELINE SECONDS [KEYS]
 */
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define TEXT "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" /* 64 bytes */
#define MOST 1000

struct client {
    int fd, number;
    uint64_t sends;
    char tail[12]; /* the start of a line whose end has not come yet */
    size_t tail_len;
    bool at_start;
};

static struct client clients[MOST];
static bool with_keys;

static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void die(const char *what)
{
    perror(what);
    exit(1);
}

static void put(const struct client *c, const char *data, size_t len)
{
    while (len > 0) {
        ssize_t n = write(c->fd, data, len);

        if (n < 0)
            die("write");
        data += n;
        len -= (size_t)n;
    }
}

static void say(struct client *c, int times)
{
    static char out[1 << 16];
    size_t len = 0;

    while (times-- > 0) {
        len +=
            (size_t)snprintf(out + len, sizeof out - len,
                             "{\"type\":\"send\",\"id\":\"%llu\",\"room\":\"bench%d\",\"text\":\"" TEXT "\"",
                             (unsigned long long)c->sends++, c->number);
        if (with_keys)
            len += (size_t)snprintf(out + len, sizeof out - len, ",\"key\":\"%016llx\"",
                                    (unsigned long long)c->sends * 0x9e3779b97f4a7c15ULL);
        len += (size_t)snprintf(out + len, sizeof out - len, "}\n");
    }
    put(c, out, len);
}

static void join(struct client *c, int port)
{
    struct sockaddr_in to = {
        .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    char text[256], got[4096];
    size_t len = 0;
    int one = 1;

    c->fd = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(c->fd, (struct sockaddr *)&to, sizeof to) != 0)
        die("connect");
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    put(c, text,
        (size_t)snprintf(
            text, sizeof text,
            "{\"type\":\"hello\",\"version\":1,\"nick\":\"bench%d\"}\n{\"type\":\"join\",\"id\":\"j\",\"room\":\"bench%d\"}\n",
            c->number, c->number));
    do {
        ssize_t n = read(c->fd, got + len, sizeof got - 1 - len);

        if (n <= 0)
            die("join");
        len += (size_t)n;
        got[len] = '\0';
    } while (strstr(got, "\"joined\"") == NULL || got[len - 1] != '\n');
    c->at_start = true;
}

/* How many lines of these bytes are acknowledgements: their 10th byte is the a of "ack". */
static int count_acks(struct client *c, const char *data, size_t len)
{
    static const char ack[] = "{\"type\":\"ack";
    int n = 0;

    for (const char *end = data + len; data < end;) {
        const char *lf = memchr(data, '\n', (size_t)(end - data));

        while (c->at_start && data < end && c->tail_len < 12)
            c->tail[c->tail_len++] = *data++;
        if (c->at_start && c->tail_len == 12) {
            n += memcmp(c->tail, ack, 12) == 0;
            if (memcmp(c->tail, "{\"type\":\"err", 12) == 0)
                die("an error came");
            c->at_start = false;
        }
        if (lf == NULL)
            break;
        data = lf + 1;
        c->at_start = true;
        c->tail_len = 0;
    }
    return n;
}

static uint64_t run(int ep, double seconds)
{
    static char in[1 << 18];
    struct epoll_event events[MOST];
    double end = now() + seconds;
    uint64_t acks = 0;

    while (now() < end) {
        int ready = epoll_wait(ep, events, MOST, 100);

        for (int i = 0; i < ready; i++) {
            struct client *c = events[i].data.ptr;
            ssize_t n = read(c->fd, in, sizeof in);
            int got;

            if (n <= 0)
                die("read");
            got = count_acks(c, in, (size_t)n);
            acks += (uint64_t)got;
            if (got > 0)
                say(c, got);
        }
    }
    return acks;
}

int main(int argc, char **argv)
{
    int count, pipeline, ep = epoll_create1(0);
    double seconds, began;
    uint64_t acks;

    if (argc < 5)
        return fprintf(stderr, "acked PORT CONNECTIONS PIPELINE SECONDS [KEYS]\n"), 2;
    count = atoi(argv[2]), pipeline = atoi(argv[3]), seconds = atof(argv[4]), with_keys = argc > 5;
    for (int i = 0; i < count; i++) {
        struct epoll_event e = {.events = EPOLLIN, .data.ptr = &clients[i]};

        clients[i].number = i;
        join(&clients[i], atoi(argv[1]));
        epoll_ctl(ep, EPOLL_CTL_ADD, clients[i].fd, &e);
    }
    for (int i = 0; i < count; i++)
        say(&clients[i], pipeline);
    run(ep, 0.5);
    began = now();
    acks = run(ep, seconds);
    printf("%.0f\n", (double)acks / (now() - began));
    return 0;
}
