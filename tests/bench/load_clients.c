/* load_clients.c: the load's connections: opening, greeting, speaking, hearing. See load.h. */
#include "load.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define EVENTS      1024
#define TAKEN       (1 << 18) /* bytes read at a time */
#define FROM_ONE    20000     /* connections from one of loopback's addresses, which has some 28,000 ports */
#define PATIENCE_MS 5000      /* that a server may take nothing from a speaker */

/* ---- opening ---- */

static void watch(const struct load *l, struct client *c, int how, uint32_t events)
{
    struct epoll_event e = {.events = events, .data.ptr = c};

    if (epoll_ctl(l->poller, how, c->fd, &e) < 0)
        fail("epoll_ctl");
}

static void open_one(const struct load *l, struct client *c)
{
    struct sockaddr_in from = {.sin_family = AF_INET},
                       to = {.sin_family = AF_INET, .sin_port = htons(l->port)};
    int on = 1;

    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (c->fd < 0)
        fail("socket");
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    setsockopt(c->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
    from.sin_addr.s_addr = htonl(INADDR_LOOPBACK + 1 + c->number / FROM_ONE);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (bind(c->fd, (struct sockaddr *)&from, sizeof from) < 0)
        fail("bind");
    if (connect(c->fd, (struct sockaddr *)&to, sizeof to) < 0 && errno != EINPROGRESS)
        fail("connect");
    watch(l, c, EPOLL_CTL_ADD, EPOLLIN | EPOLLOUT);
}

void clients_start(struct load *l)
{
    while (l->started < l->count && l->started - l->in < l->opening)
        open_one(l, &l->clients[l->started++]);
}

void clients_leave(struct load *l)
{
    struct linger now = {.l_onoff = 1, .l_linger = 0};

    for (size_t i = 0; i < l->started; i++) {
        setsockopt(l->clients[i].fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
        close(l->clients[i].fd);
    }
}

/* ---- bytes ---- */

/* Bytes; 0: none now. Ends the program when the server has ended the connection. */
static size_t take(struct client *c, char *to, size_t size)
{
    ssize_t n = c->ssl != NULL ? SSL_read(c->ssl, to, (int)size) : read(c->fd, to, size);

    if (n > 0)
        return (size_t)n;
    if (c->ssl != NULL ? SSL_get_error(c->ssl, (int)n) == SSL_ERROR_WANT_READ : n < 0 && errno == EAGAIN)
        return 0;
    fprintf(stderr, "load: the server has ended connection %u, which was %s\n", c->number,
            c->state == IN ? "in" : "not in yet");
    exit(1);
}

static void give(struct client *c, const char *data, size_t len)
{
    struct pollfd takes = {.fd = c->fd, .events = POLLOUT};

    while (len > 0) {
        ssize_t n = c->ssl != NULL ? SSL_write(c->ssl, data, (int)len) : write(c->fd, data, len);

        if (n > 0) {
            data += n;
            len -= (size_t)n;
        } else if (c->ssl != NULL ? SSL_get_error(c->ssl, (int)n) != SSL_ERROR_WANT_WRITE : errno != EAGAIN) {
            fail("saying something");
        } else if (poll(&takes, 1, PATIENCE_MS) <= 0) {
            fprintf(stderr, "load: the server takes nothing any more\n");
            exit(1);
        }
    }
}

/* ---- coming in ---- */

static const struct step *step_of(const struct load *l, const struct client *c)
{
    const struct speech *s = l->speech;
    bool own = c->kind == SPEAKER && s->speaker_steps[0].say != NULL;

    return own ? &s->speaker_steps[c->step] : &s->steps[c->step];
}

static void say_step(const struct load *l, struct client *c)
{
    char words[SPEECH_MAX];

    c->kept_len = 0;
    give(c, words, step_of(l, c)->say(words, c));
}

static void step_done(struct load *l, struct client *c)
{
    c->step++;
    if (c->step < 2 && step_of(l, c)->say != NULL) {
        say_step(l, c);
        return;
    }
    c->state = IN;
    c->kept_len = 0;
    l->in++;
    if (c->ssl != NULL)
        SSL_free_buffers(c->ssl);
}

/* Looks for the step's text in what was kept and what has come, and keeps the end of it. */
static void greeted(struct load *l, struct client *c, const char *data, size_t len)
{
    static char all[KEPT + TAKEN];
    const struct step *step = step_of(l, c);
    size_t n = c->kept_len + len;

    memcpy(all, c->kept, c->kept_len);
    memcpy(all + c->kept_len, data, len);
    if (memmem(all, n, step->until, step->until_len) != NULL) {
        step_done(l, c);
        return;
    }
    c->kept_len = (uint8_t)(n < step->until_len ? n : step->until_len - 1);
    memcpy(c->kept, all + n - c->kept_len, c->kept_len);
}

static void shake_hands(struct load *l, struct client *c)
{
    int done = SSL_do_handshake(c->ssl);

    if (done == 1) {
        c->state = GREETING;
        say_step(l, c);
    } else if (SSL_get_error(c->ssl, done) != SSL_ERROR_WANT_READ) {
        fprintf(stderr, "load: the TLS handshake failed\n");
        exit(1);
    }
}

static void connected(struct load *l, struct client *c)
{
    int err = 0;
    socklen_t size = sizeof err;

    getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &err, &size);
    errno = err;
    if (err != 0)
        fail("connect");
    watch(l, c, EPOLL_CTL_MOD, EPOLLIN);
    if (l->tls == NULL) {
        c->state = GREETING;
        say_step(l, c);
        return;
    }
    c->ssl = SSL_new(l->tls);
    SSL_set_fd(c->ssl, c->fd);
    SSL_set_connect_state(c->ssl);
    c->state = SHAKING_HANDS;
    shake_hands(l, c);
}

/* ---- hearing ---- */

static void timed(struct load *l, const char *stamp, uint64_t now)
{
    char digits[STAMP] = {0};

    memcpy(digits, stamp + 1, STAMP - 1);
    if (l->timings != NULL)
        timings_add(l->timings, now - strtoull(digits, NULL, 16));
}

/* A stamp that the last read has cut. Returns how many bytes of it have come now. */
static size_t complete_stamp(struct load *l, struct client *c, const char *data, size_t len, uint64_t now)
{
    size_t rest = STAMP - c->kept_len;

    if (c->kept_len == 0)
        return 0;
    rest = rest < len ? rest : len;
    memcpy(c->kept + c->kept_len, data, rest);
    c->kept_len = (uint8_t)(c->kept_len + rest);
    if (c->kept_len == STAMP) {
        timed(l, c->kept, now);
        c->kept_len = 0;
    }
    return rest;
}

static void hear(struct load *l, struct client *c, const char *data, size_t len)
{
    uint64_t now = c->is_timed ? now_ns() : 0, heard = 0;
    const char *end = data + len, *p = data + complete_stamp(l, c, data, len, now);

    for (; p < end && (p = memchr(p, MARK, (size_t)(end - p))) != NULL; p++) {
        heard++;
        if (!c->is_timed)
            continue;
        if (end - p >= STAMP) {
            timed(l, p, now);
        } else {
            c->kept_len = (uint8_t)(end - p);
            memcpy(c->kept, p, c->kept_len);
        }
    }
    c->heard += heard;
    l->heard += heard;
    if (c->is_first && heard > 0 && !l->is_to_refill[c->room]) {
        l->is_to_refill[c->room] = true;
        l->to_refill[l->refill_count++] = c->room;
    }
}

static void readable(struct load *l, struct client *c)
{
    static char data[TAKEN];
    size_t n;

    do {
        n = take(c, data, sizeof data);
        if (n > 0 && c->state == GREETING)
            greeted(l, c, data, n);
        else if (n > 0 && c->kind == LISTENER)
            hear(l, c, data, n);
    } while (n > 0 && (c->ssl != NULL || n == sizeof data));
}

void clients_turn(struct load *l, int wait_ms)
{
    struct epoll_event ready[EVENTS];
    int n = epoll_wait(l->poller, ready, EVENTS, wait_ms);

    for (int i = 0; i < n; i++) {
        struct client *c = ready[i].data.ptr;

        if (c->state == CONNECTING)
            connected(l, c);
        else if (c->state == SHAKING_HANDS)
            shake_hands(l, c);
        else
            readable(l, c);
    }
}

/* ---- speaking ---- */

/* Each message is sent by itself, as one who speaks does, not the window at once. */
static void say_message(struct load *l, unsigned room, char *text)
{
    static char words[SPEECH_MAX];
    char stamp[STAMP + 1];
    struct client *speaker = &l->clients[(size_t)room * (l->members + 1) + l->members];

    snprintf(stamp, sizeof stamp, "%c%016llx", MARK, (unsigned long long)now_ns());
    memcpy(text, stamp, STAMP);
    give(speaker, words, l->speech->message(words, speaker, text, l->size));
    speaker->turn++;
    l->sent[room]++;
    l->sent_in_all++;
}

void clients_speak(struct load *l)
{
    static char text[SPEECH_MAX / 2];

    if (text[0] == '\0')
        memset(text, 'x', sizeof text);
    for (size_t i = 0; i < l->refill_count; i++) {
        unsigned room = l->to_refill[i];
        const struct client *first = &l->clients[(size_t)room * (l->members + 1)];

        l->is_to_refill[room] = false;
        while (!l->is_silent && l->sent[room] < first->heard + l->window)
            say_message(l, room, text);
    }
    l->refill_count = 0;
}
