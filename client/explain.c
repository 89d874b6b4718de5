/* explain.c: see explain.h. */
#include "client/explain.h"

#include "client/sanitize.h"
#include "common/clock.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static void put_refused(struct buf *b, const struct client *c)
{
    buf_putf(b, "%s refused the connection: is chatd running there?", c->config.server);
    if (c->config.is_loopback)
        buf_putf(b, " (chatd --listen %s)", c->config.server);
    else
        buf_puts(b, " does it listen on that address? (chatd --listen)");
}

static void put_timed_out(struct buf *b, const struct client *c, const struct link_verdict *v)
{
    if (v->was_up && c->state == CLIENT_CONNECTING)
        buf_putf(b, "%s takes connections but does not answer: is that chatd?", c->config.server);
    else if (v->was_up)
        buf_putf(b, "%s was not heard of any more", c->config.server);
    else
        buf_putf(b, "%s did not answer in time: is the address right, and does a firewall let it through?",
                 c->config.server);
}

static void put_tls(struct buf *b, const struct client *c, const struct link_verdict *v)
{
    buf_putf(b, "TLS with %s failed: %s", c->config.server, v->why != NULL ? v->why : "no reason was given");
    if (!v->was_up)
        buf_puts(b, "; is that chatd? (--plain does without TLS)");
}

static void put_reset(struct buf *b, const struct client *c)
{
    buf_putf(b, "%s reset the connection", c->config.server);
    if (c->state == CLIENT_CONNECTING)
        buf_puts(b, " before it said welcome: is that chatd?");
}

/* In good order, but by whom, and why? */
static void put_ended(struct buf *b, const struct client *c)
{
    if (c->got_bye) {
        buf_putf(b, "%s ended the connection: %s (", c->config.server, c->bye_text);
        sanitize_put(b, c->bye_code, strlen(c->bye_code));
        buf_puts(b, ")");
    } else if (c->state == CLIENT_CONNECTING) {
        buf_putf(b, "%s ended the connection before it said welcome: is that chatd?", c->config.server);
    } else {
        buf_putf(b, "%s ended the connection without a word", c->config.server);
    }
}

void explain_verdict(struct buf *b, const struct client *c, const struct link_verdict *v)
{
    switch (v->how) {
    case LINK_ENDED:
        put_ended(b, c);
        break;
    case LINK_TRUNCATED:
        put_ended(b, c);
        buf_puts(b, "; its end came without close_notify, so something may be missing");
        break;
    case LINK_RESET:
        put_reset(b, c);
        break;
    case LINK_TIMED_OUT:
        put_timed_out(b, c, v);
        break;
    case LINK_REFUSED:
        put_refused(b, c);
        break;
    case LINK_UNREACHABLE:
        buf_putf(b, "there is no way to %s: %s", c->config.server, strerror(v->error));
        break;
    case LINK_UNRESOLVED:
        buf_putf(b, "the name %s was not found (%s): is it spelt right?", c->config.host, v->why);
        break;
    case LINK_TLS_FAILED:
        put_tls(b, c, v);
        break;
    case LINK_DISTRUSTED:
        buf_putf(b, "the certificate of %s was refused: %s", c->config.server, v->why != NULL ? v->why : "");
        break;
    case LINK_TOO_LONG:
        buf_putf(b, "%s sent a line that does not end: is that chatd?", c->config.server);
        break;
    }
    buf_put(b, "", 1);
}

const char *explain_briefly(const struct link_verdict *v)
{
    switch (v->how) {
    case LINK_REFUSED:
        return "it refuses";
    case LINK_TIMED_OUT:
        return "it does not answer";
    case LINK_UNRESOLVED:
        return "its name is not found";
    case LINK_UNREACHABLE:
        return strerror(v->error);
    case LINK_TLS_FAILED:
        return v->why;
    default:
        return "it ended the connection";
    }
}

int explain_exit_code(const struct client *c, const struct link_verdict *v)
{
    if (v->how == LINK_DISTRUSTED)
        return EXIT_DISTRUSTED;
    if (c->got_bye && strcmp(c->bye_code, "protocol") != 0)
        return EXIT_NOT_CONNECTED;
    return v->was_up || v->how == LINK_TLS_FAILED ? EXIT_PROTOCOL : EXIT_NOT_CONNECTED;
}

void explain_unsaid(struct buf *b, const struct client *c, int error, size_t len)
{
    if (error == -EMSGSIZE)
        buf_putf(b, "it has %zu bytes, and the server takes %u", len, c->max_text);
    else if (error == -E2BIG)
        buf_putf(
            b,
            "it has so many control characters, quotation marks and backslashes that it is a longer line "
            "of the protocol than the %u bytes that the server takes",
            c->max_line);
    else if (error == -EILSEQ)
        buf_puts(b, "it is not text in UTF-8");
    else if (error == -EPIPE)
        buf_puts(b, "you have ended your side of the connection; /reconnect makes a new one");
    else
        buf_puts(b, strerror(-error));
    buf_put(b, "", 1);
}

void explain_connection(const struct client *c, char *out, size_t size)
{
    SSL *ssl = link_ssl(c->link);

    snprintf(out, size, "connected to %s (%s) as %s%s, %s", c->config.server, c->agent, c->nick,
             c->is_account ? " (your account)" : "", ssl != NULL ? SSL_get_version(ssl) : "plain");
}

const char *explain_state(enum tcp_state s)
{
    switch (s) {
    case TCP_STATE_ESTABLISHED:
        return "both sides can send";
    case TCP_STATE_SYN_SENT:
        return "the server has not answered yet";
    case TCP_STATE_FIN_WAIT_1:
        return "you can no longer send; the server has not confirmed it yet";
    case TCP_STATE_FIN_WAIT_2:
        return "you can no longer send, the server still can";
    case TCP_STATE_CLOSING:
        return "both have ended at the same time";
    case TCP_STATE_TIME_WAIT:
        return "both have ended; the kernel keeps the address for a minute";
    case TCP_STATE_CLOSE_WAIT:
        return "the server can no longer send, you still can";
    case TCP_STATE_LAST_ACK:
        return "both have ended; the server has not confirmed it yet";
    case TCP_STATE_CLOSED:
        return "the connection is no more";
    default:
        return "";
    }
}

static void put_ends(struct buf *b, const struct link *l)
{
    char from[TCP_ADDR_TEXT], to[TCP_ADDR_TEXT];
    struct tcp_addr local;

    tcp_get_local(link_fd(l), &local);
    buf_putf(b, "%s to %s", tcp_addr_format(&local, from), tcp_addr_format(&link_life(l)->peer, to));
}

static const char *event_words(enum link_event e)
{
    static const char *const words[] = {
        [LINK_RESOLVING] = "looking up the server's name",
        [LINK_CONNECTING] = "connect() is called",
        [LINK_CONNECTED] = "connected",
        [LINK_SECURED] = "the TLS handshake is done",
        [LINK_NOTIFY_SENT] = "your close_notify is sent",
        [LINK_FIN_SENT] = "your FIN is sent",
        [LINK_NOTIFY_RECEIVED] = "the server's close_notify came",
        [LINK_FIN_RECEIVED] = "the server's FIN came",
        [LINK_RST_RECEIVED] = "an RST came",
        [LINK_CLOSING] = "close() is called",
    };

    return words[e];
}

/* The kernel forgets a socket that it keeps in TIME_WAIT, and says CLOSED; whoever ended first is there. */
static bool is_time_wait(const struct lifecycle *life, const struct tcp_facts *f)
{
    return f->state == TCP_STATE_CLOSED && life->self_ended && life->ended_first == LIFECYCLE_SELF &&
           !life->was_reset && !life->timed_out;
}

void explain_event(struct buf *b, const struct link *l, enum link_event e)
{
    const char *meaning, *inferred = "";
    struct tcp_facts f;

    buf_puts(b, event_words(e));
    if (e == LINK_SECURED && link_ssl(l) != NULL)
        buf_putf(b, ": %s, %s", SSL_get_version(link_ssl(l)), SSL_get_cipher_name(link_ssl(l)));
    if (link_get_facts(l, &f) != 0)
        return;
    if (is_time_wait(link_life(l), &f)) {
        f.state = TCP_STATE_TIME_WAIT;
        inferred = ", inferred";
    }
    buf_putf(b, " (%s%s)", tcp_state_name(f.state), inferred);
    meaning = explain_state(f.state);
    if (e == LINK_CONNECTED || e == LINK_CONNECTING) {
        buf_puts(b, ": ");
        put_ends(b, l);
    } else if ((e == LINK_FIN_SENT || e == LINK_FIN_RECEIVED || e == LINK_RST_RECEIVED) &&
               meaning[0] != '\0') {
        buf_putf(b, ": %s", meaning);
    }
}
