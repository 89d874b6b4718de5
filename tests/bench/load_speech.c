/* load_speech.c: the protocols. See load.h. */
#include "load.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static size_t print(char *to, const char *format, ...) __attribute__((format(printf, 2, 3)));

static size_t print(char *to, const char *format, ...)
{
    va_list args;
    int n;

    va_start(args, format);
    n = vsnprintf(to, SPEECH_MAX, format, args);
    va_end(args);
    return (size_t)n;
}

static size_t with_text(char *to, size_t at, const char *text, size_t len, const char *end)
{
    memcpy(to + at, text, len);
    memcpy(to + at + len, end, strlen(end));
    return at + len + strlen(end);
}

/* ---- chat: this project's own ---- */

/* Only the last join is answered. */
static size_t chat_enter(char *to, const struct client *c)
{
    size_t n =
        print(to, "{\"type\":\"hello\",\"version\":1,\"nick\":\"n%u\",\"agent\":\"load\"}\n", c->number);

    for (unsigned i = 0; i < c->rooms_each; i++)
        n += print(to + n, "{\"type\":\"join\",\"room\":\"r%07u\"%s}\n", c->room * c->rooms_each + i,
                   i + 1 == c->rooms_each ? ",\"id\":\"j\"" : "");
    return n;
}

static size_t chat_message(char *to, const struct client *c, const char *text, size_t len)
{
    unsigned room = c->room * c->rooms_each + c->turn % c->rooms_each;

    return with_text(to, print(to, "{\"type\":\"send\",\"room\":\"r%07u\",\"text\":\"", room), text, len,
                     "\"}\n");
}

/* ---- floor ---- */

static size_t floor_enter(char *to, const struct client *c)
{
    return print(to, "%u\n", c->room);
}

static size_t floor_message(char *to, const struct client *c, const char *text, size_t len)
{
    (void)c;
    return with_text(to, 0, text, len, "\n");
}

/* ---- redis: RESP ---- */

static size_t redis_subscribe(char *to, const struct client *c)
{
    return print(to, "SUBSCRIBE r%07u\r\n", c->room);
}

static size_t redis_greet(char *to, const struct client *c)
{
    (void)c;
    return print(to, "PING\r\n");
}

static size_t redis_message(char *to, const struct client *c, const char *text, size_t len)
{
    size_t at = print(to, "*3\r\n$7\r\nPUBLISH\r\n$8\r\nr%07u\r\n$%zu\r\n", c->room, len);

    return with_text(to, at, text, len, "\r\n");
}

/* ---- NATS ---- */

static size_t nats_subscribe(char *to, const struct client *c)
{
    return print(to, "CONNECT {\"verbose\":false,\"name\":\"n%u\"}\r\nSUB r%07u 1\r\nPING\r\n", c->number,
                 c->room);
}

static size_t nats_greet(char *to, const struct client *c)
{
    return print(to, "CONNECT {\"verbose\":false,\"name\":\"n%u\"}\r\nPING\r\n", c->number);
}

static size_t nats_message(char *to, const struct client *c, const char *text, size_t len)
{
    return with_text(to, print(to, "PUB r%07u %zu\r\n", c->room, len), text, len, "\r\n");
}

/* ---- IRC ---- */

static size_t irc_register(char *to, const struct client *c)
{
    return print(to, "NICK n%u\r\nUSER n%u 0 * :n\r\n", c->number, c->number);
}

static size_t irc_join(char *to, const struct client *c)
{
    return print(to, "JOIN #r%07u\r\n", c->room);
}

static size_t irc_message(char *to, const struct client *c, const char *text, size_t len)
{
    return with_text(to, print(to, "PRIVMSG #r%07u :", c->room), text, len, "\r\n");
}

/* ---- MQTT 3.1.1, QoS 0 ---- */

static size_t mqtt_connect(char *to, const struct client *c)
{
    char name[16];
    size_t n = (size_t)snprintf(name, sizeof name, "c%u", c->number);
    /* fixed header; protocol name and level 4; clean session; no keep-alive; the client's name */
    const char head[] = {0x10, (char)(12 + n), 0, 4, 'M', 'Q', 'T', 'T', 4, 2, 0, 0, 0, (char)n};

    memcpy(to, head, sizeof head);
    memcpy(to + sizeof head, name, n);
    return sizeof head + n;
}

static size_t mqtt_subscribe(char *to, const struct client *c)
{
    const char head[] = {(char)0x82, 13, 0, 1, 0, 8}; /* packet 1; a topic of 8 bytes, then the QoS */

    memcpy(to, head, sizeof head);
    print(to + sizeof head, "r%07u", c->room);
    to[sizeof head + 8] = 0;
    return sizeof head + 9;
}

static size_t mqtt_message(char *to, const struct client *c, const char *text, size_t len)
{
    size_t left = 2 + 8 + len, at = 0;

    to[at++] = 0x30;
    for (; left >= 128; left /= 128)
        to[at++] = (char)(left % 128 | 128);
    to[at++] = (char)left;
    to[at++] = 0;
    to[at++] = 8;
    at += print(to + at, "r%07u", c->room);
    return with_text(to, at, text, len, "");
}

#define UNTIL(text) text, sizeof text - 1

static const struct speech speeches[] = {
    {"chat", {{chat_enter, UNTIL("\"joined\"")}}, {{0}}, chat_message},
    {"floor", {{floor_enter, UNTIL("in\n")}}, {{0}}, floor_message},
    {"redis", {{redis_subscribe, UNTIL(":1\r\n")}}, {{redis_greet, UNTIL("+PONG")}}, redis_message},
    {"nats", {{nats_subscribe, UNTIL("PONG")}}, {{nats_greet, UNTIL("PONG")}}, nats_message},
    {"irc", {{irc_register, UNTIL(" 001 ")}, {irc_join, UNTIL(" 366 ")}}, {{0}}, irc_message},
    {"mqtt",
     {{mqtt_connect, UNTIL("\x20\x02\0\0")}, {mqtt_subscribe, UNTIL("\x90\x03")}},
     {{mqtt_connect, UNTIL("\x20\x02\0\0")}},
     mqtt_message},
};

const struct speech *speech_find(const char *name)
{
    for (size_t i = 0; i < sizeof speeches / sizeof speeches[0]; i++)
        if (strcmp(speeches[i].name, name) == 0)
            return &speeches[i];
    return NULL;
}
