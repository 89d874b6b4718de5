/* floor.c: what fan-out costs when a server does nothing else: `floor PORT`.
 *
 * One thread, one epoll set, no protocol. A connection's first line is the number of its room, answered by
 * "in"; what it says after that goes as it is to everyone in the room. What a room has said in one turn is
 * one write a member. A chat server cannot do with less than these system calls, so its cost is told as a
 * multiple of this one's. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define ROOMS  20000
#define EVENTS 512
#define TAKEN  65536 /* bytes read from one connection in a turn */

struct room {
    int *members;
    size_t count, cap;
    char *said; /* in this turn */
    size_t said_len, said_cap;
};

static struct room rooms[ROOMS];
static struct room *talking[ROOMS]; /* those that have something to hand out in this turn */
static size_t talking_count;
static int room_of[1 << 20]; /* by descriptor: the room's number and 1; 0 before its first line */
static int poller;

static void fail(const char *what)
{
    perror(what);
    exit(1);
}

static void *grow(void *old, size_t *cap, size_t needed, size_t each)
{
    if (needed <= *cap)
        return old;
    *cap = needed * 2;
    old = realloc(old, *cap * each);
    if (old == NULL)
        fail("realloc");
    return old;
}

static void watch(int fd)
{
    struct epoll_event e = {.events = EPOLLIN, .data.fd = fd};

    if (epoll_ctl(poller, EPOLL_CTL_ADD, fd, &e) < 0)
        fail("epoll_ctl");
}

static void take_in(int listener)
{
    int fd, on = 1;

    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        room_of[fd] = 0;
        watch(fd);
    }
}

static void leave(int fd)
{
    if (room_of[fd] > 0) {
        struct room *room = &rooms[room_of[fd] - 1];

        for (size_t i = 0; i < room->count; i++)
            if (room->members[i] == fd)
                room->members[i] = room->members[--room->count];
    }
    close(fd);
}

static void enter(int fd, char *line, size_t len)
{
    struct room *room;

    line[len - 1] = '\0';
    room_of[fd] = (int)(strtoul(line, NULL, 10) % ROOMS) + 1;
    room = &rooms[room_of[fd] - 1];
    room->members = grow(room->members, &room->cap, room->count + 1, sizeof(int));
    room->members[room->count++] = fd;
    if (write(fd, "in\n", 3) != 3)
        fail("write");
}

static void hear(int fd)
{
    static char data[TAKEN];
    ssize_t n = read(fd, data, sizeof data);
    struct room *room;

    if (n < 0 && errno == EAGAIN)
        return;
    if (n <= 0) {
        leave(fd);
        return;
    }
    if (room_of[fd] == 0) {
        enter(fd, data, (size_t)n);
        return;
    }
    room = &rooms[room_of[fd] - 1];
    if (room->said_len == 0)
        talking[talking_count++] = room;
    room->said = grow(room->said, &room->said_cap, room->said_len + (size_t)n, 1);
    memcpy(room->said + room->said_len, data, (size_t)n);
    room->said_len += (size_t)n;
}

/* Waits for one who does not read: the floor has no queues. */
static void give(int fd, const char *data, size_t len)
{
    struct pollfd takes = {.fd = fd, .events = POLLOUT};

    while (len > 0) {
        ssize_t n = write(fd, data, len);

        if (n < 0 && errno == EAGAIN)
            poll(&takes, 1, -1);
        else if (n < 0)
            return;
        else
            data += n, len -= (size_t)n;
    }
}

static void hand_out(void)
{
    for (size_t i = 0; i < talking_count; i++) {
        struct room *room = talking[i];

        for (size_t m = 0; m < room->count; m++)
            give(room->members[m], room->said, room->said_len);
        room->said_len = 0;
    }
    talking_count = 0;
}

static int listen_on(const char *port)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), on = 1;

    at.sin_port = htons((uint16_t)strtoul(port, NULL, 10));
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(fd, (struct sockaddr *)&at, sizeof at) < 0 || listen(fd, 4096) < 0)
        fail("listen");
    return fd;
}

int main(int argc, char **argv)
{
    struct epoll_event ready[EVENTS];
    int listener;

    if (argc != 2) {
        fprintf(stderr, "usage: floor PORT\n");
        return 2;
    }
    listener = listen_on(argv[1]);
    poller = epoll_create1(EPOLL_CLOEXEC);
    watch(listener);
    for (;;) {
        int n = epoll_wait(poller, ready, EVENTS, -1);

        for (int i = 0; i < n; i++) {
            if (ready[i].data.fd == listener)
                take_in(listener);
            else
                hear(ready[i].data.fd);
        }
        hand_out();
    }
}
