/* show_tcp.c: the connection as `/tcp` shows it; see show.h. What the kernel says comes from TCP_INFO at that
 * moment. */
#include "client/show.h"

#include "client/explain.h"
#include "common/clock.h"

#include <stdio.h>

static void put_duration(struct buf *b, uint64_t us)
{
    char text[32];

    clock_format_duration(us, text, sizeof text);
    buf_puts(b, text);
}

static void put_bytes(struct buf *b, uint64_t n)
{
    if (n < 10000)
        buf_putf(b, "%llu B", (unsigned long long)n);
    else if (n < 10000000)
        buf_putf(b, "%llu kB", (unsigned long long)(n / 1000));
    else
        buf_putf(b, "%llu MB", (unsigned long long)(n / 1000000));
}

/* ● ESTABLISHED …, ◐ HALF-CLOSED FIN_WAIT_2 …, ▲ STALLED … */
static void put_head(struct buf *b, const struct lifecycle *life, const struct tcp_facts *f)
{
    if (f->retransmits > 0)
        buf_putf(b, "▲ STALLED %s  unacknowledged %u  sent again %u times  next in %ums",
                 tcp_state_name(f->state), f->unacked, f->retransmits, f->rto_us / 1000);
    else if (life->self_ended || life->peer_ended)
        buf_putf(b, "◐ HALF-CLOSED %s", tcp_state_name(f->state));
    else
        buf_putf(b, "● %s", tcp_state_name(f->state));
}

static void put_flow(struct buf *b, const struct client *c, const struct lifecycle *life,
                     const struct tcp_facts *f)
{
    buf_putf(b, "  rtt %uµs  ↑", f->rtt_us);
    put_bytes(b, life->bytes_out);
    if (f->unacked > 0)
        buf_putf(b, " (%u segments unacknowledged)", f->unacked);
    buf_puts(b, " ↓");
    put_bytes(b, life->bytes_in);
    buf_puts(b, "  unsent ");
    put_bytes(b, f->unsent + link_unsent(c->link));
    buf_puts(b, life->self_ended   ? "  you ✕← server"
                : life->peer_ended ? "  you →✕ server"
                                   : "  you ⇄ server");
}

static void put_ends(struct buf *b, const struct client *c, const struct lifecycle *life)
{
    char here[TCP_ADDR_TEXT], there[TCP_ADDR_TEXT], id[LIFECYCLE_ID_SIZE];
    struct tcp_addr local;

    tcp_get_local(link_fd(c->link), &local);
    buf_putf(b, "here %s, there %s; in the logs %s here, %s there", tcp_addr_format(&local, here),
             tcp_addr_format(&life->peer, there), lifecycle_format_id(life, id), c->session);
}

static void put_end_of(struct buf *b, const char *whose, bool ended, bool notify, bool is_tls)
{
    if (!ended && !notify)
        buf_putf(b, "%s side: open", whose);
    else if (is_tls)
        buf_putf(b, "%s side: ended (%s, %s)", whose, notify ? "close_notify" : "no close_notify",
                 ended ? "FIN" : "FIN to come");
    else
        buf_putf(b, "%s side: ended (FIN)", whose);
}

static void put_sides(struct buf *b, const struct lifecycle *life)
{
    put_end_of(b, "your", life->self_ended, life->sent_notify, life->is_tls);
    buf_puts(b, "; ");
    put_end_of(b, "the server's", life->peer_ended, life->got_notify, life->is_tls);
    if (life->ended_first == LIFECYCLE_NONE)
        return;
    buf_putf(b, "; %s ended first, ", life->ended_first == LIFECYCLE_SELF ? "you" : "the server");
    put_duration(b, clock_mono_us() - life->first_end_us);
    buf_puts(b, " ago");
}

static void put_no_connection(struct buf *b, const struct show_style *s, const struct client *c)
{
    const struct lifecycle *life = link_life(c->link);
    struct buf text = {0};

    show_put_notice(b, s, "✖",
                    c->state == CLIENT_WAITING      ? "no connection; waiting to connect again"
                    : c->state == CLIENT_CONNECTING ? "no connection yet; connecting"
                                                    : "no connection; /reconnect makes one");
    if (!life->established)
        return;
    buf_puts(&text, "the last one: ");
    put_sides(&text, life);
    if (life->was_reset)
        buf_puts(&text, "; an RST ended it");
    buf_put(&text, "", 1);
    show_put_notice(b, s, " ", text.data);
    buf_deinit(&text);
}

static void put_line(struct buf *b, const struct show_style *s, const char *mark, struct buf *text)
{
    buf_put(text, "", 1);
    show_put_notice(b, s, mark, text->data);
    buf_clear(text);
}

void show_put_connection(struct buf *b, const struct show_style *s, const struct client *c)
{
    const struct lifecycle *life = link_life(c->link);
    SSL *ssl = link_ssl(c->link);
    struct buf text = {0};
    struct tcp_facts f;

    if (link_get_facts(c->link, &f) != 0 || c->state == CLIENT_WAITING || c->state == CLIENT_OFF) {
        put_no_connection(b, s, c);
        return;
    }
    put_head(&text, life, &f);
    if (ssl != NULL)
        buf_putf(&text, "  %s %s", SSL_get_version(ssl), SSL_get_cipher_name(ssl));
    else
        buf_puts(&text, "  plain");
    put_flow(&text, c, life, &f);
    buf_put(&text, "", 1);
    show_put_wrapped(b, s, text.data, text.len - 1, 0, 2);
    buf_puts(b, "\n");
    buf_clear(&text);
    buf_puts(&text, explain_state(f.state));
    buf_puts(&text, "; open for ");
    put_duration(&text, clock_mono_us() - life->began_us);
    buf_putf(&text, "; lines ↑%u ↓%u", life->msgs_out, life->msgs_in);
    put_line(b, s, " ", &text);
    put_sides(&text, life);
    put_line(b, s, " ", &text);
    put_ends(&text, c, life);
    put_line(b, s, " ", &text);
    buf_deinit(&text);
}
