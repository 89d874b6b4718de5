/* ladder_text.c: what the cells of a ladder say. See ladder.h. */
#include "trace/ladder.h"
#include "trace/read_text.h"

#include <errno.h>
#include <string.h>
#include <utf8proc.h>

size_t ladder_width(const char *text)
{
    const utf8proc_uint8_t *at = (const utf8proc_uint8_t *)text;
    utf8proc_int32_t c;
    size_t width = 0;

    while (*at != 0) {
        utf8proc_ssize_t n = utf8proc_iterate(at, -1, &c);

        width += n > 0 ? (size_t)utf8proc_charwidth(c) : 1;
        at += n > 0 ? n : 1;
    }
    return width;
}

size_t ladder_fit(const char *text, size_t columns)
{
    const utf8proc_uint8_t *at = (const utf8proc_uint8_t *)text;
    utf8proc_int32_t c;
    size_t width = 0;

    while (*at != 0) {
        utf8proc_ssize_t n = utf8proc_iterate(at, -1, &c);
        size_t wide = n > 0 ? (size_t)utf8proc_charwidth(c) : 1;

        if (width + wide > columns)
            break;
        width += wide;
        at += n > 0 ? n : 1;
    }
    return (size_t)((const char *)at - text);
}

static bool is_plain(utf8proc_int32_t c, bool ascii)
{
    if (c < 0x80)
        return c >= 0x20 && c != 0x7f;
    return !ascii && c > 0x9f && !(c >= 0x200b && c <= 0x200f) && !(c >= 0x2028 && c <= 0x202e) &&
           !(c >= 0x2066 && c <= 0x2069);
}

void ladder_make_plain(char *text, bool ascii)
{
    char *to = text;

    while (*text != '\0') {
        utf8proc_int32_t c;
        utf8proc_ssize_t n = utf8proc_iterate((const utf8proc_uint8_t *)text, -1, &c);
        bool fits = n > 0 && is_plain(c, ascii);

        n = n > 0 ? n : 1;
        if (fits)
            memmove(to, text, (size_t)n);
        for (utf8proc_ssize_t i = 0; !fits && i < (ascii ? n : 1); i++)
            to[i] = '?';
        to += fits || ascii ? n : 1;
        text += n;
    }
    *to = '\0';
}

const char *ladder_state_name(enum tcp_state state, enum ladder_length length)
{
    static const char *const medium[] = {"?",          "ESTAB",     "SYN_SENT",  "SYN_RCVD",
                                         "FIN_WAIT1",  "FIN_WAIT2", "TIME_WAIT", "CLOSED",
                                         "CLOSE_WAIT", "LAST_ACK",  "LISTEN",    "CLOSING"};
    static const char *const brief[] = {"?",  "EST", "SS", "SR", "FW1", "FW2",
                                        "TW", "CLD", "CW", "LA", "LIS", "CLG"};

    if ((unsigned)state >= sizeof brief / sizeof *brief)
        return "?";
    return length == LADDER_FULL     ? tcp_state_name(state)
           : length == LADDER_MEDIUM ? medium[state]
                                     : brief[state];
}

const char *ladder_state_text(const struct model_state *s, enum ladder_length length, char out[LADDER_TEXT])
{
    const char *before = s->source == MODEL_INFERRED ? "~" : "";
    const char *after = s->source == MODEL_SOCK_DIAG ? "*" : s->source == MODEL_DESTROY ? "+" : "";

    snprintf(out, LADDER_TEXT, "%s%s%s", before, ladder_state_name(s->state, length), after);
    return out;
}

/* In a medium column only what would be cut is shortened. */
static const char *short_name(const char *name, enum ladder_length length)
{
    static const struct {
        const char *full, *brief;
    } names[] = {{"getsockopt(SO_ERROR)", "SO_ERROR"},
                 {"setsockopt(TCP_CORK)", "TCP_CORK"},
                 {"accept4", "accept"},
                 {"shutdown(WR)", "shut(WR)"},
                 {"shutdown(RDWR)", "shut(RDWR)"},
                 {"sendmsg", "send"},
                 {"recvmsg", "recv"}};

    for (size_t i = 0; i < (length == LADDER_SHORT ? sizeof names / sizeof *names : 3); i++)
        if (strcmp(name, names[i].full) == 0)
            return names[i].brief;
    return name;
}

static bool moves_bytes(const char *name)
{
    return strncmp(name, "send", 4) == 0 || strncmp(name, "recv", 4) == 0 || strncmp(name, "read", 4) == 0 ||
           strncmp(name, "write", 5) == 0;
}

static void put_call_result(const struct model_call *c, const char *name, char out[LADDER_TEXT])
{
    const char *open = strchr(c->name, '(') != NULL ? "" : "()";

    if (!c->has_result || c->is_event)
        snprintf(out, LADDER_TEXT, "%s", name);
    else if (c->err == EINPROGRESS)
        snprintf(out, LADDER_TEXT, "%s%s", name, open);
    else if (c->err != 0)
        snprintf(out, LADDER_TEXT, "%s %s", name, readtext_errno_name(c->err));
    else if (moves_bytes(name))
        snprintf(out, LADDER_TEXT, c->result == 0 ? "%s = %lld" : "%s %lld", name, (long long)c->result);
    else
        snprintf(out, LADDER_TEXT, "%s%s", name, open);
}

/* "unread=27" and the like: what is worth a place beside the call. */
static void put_detail(const struct model_call *c, char out[LADDER_TEXT])
{
    size_t n = strlen(out);

    if (c->detail == NULL || c->detail[0] == '\0')
        return;
    if (strncmp(c->detail, "unread=", 7) == 0)
        snprintf(out + n, LADDER_TEXT - n, " [%s unread]", c->detail + 7);
    else
        snprintf(out + n, LADDER_TEXT - n, " [%s]", c->detail);
}

static void put_note_text(const struct model_note *n, enum ladder_length length, char out[LADDER_TEXT])
{
    if (strcmp(n->kind, "tls") == 0)
        snprintf(out, LADDER_TEXT, "TLS %s", n->text);
    else
        snprintf(out, LADDER_TEXT, "%s", n->text);
    if (length != LADDER_FULL && strncmp(out, "TLS handshake ", 14) == 0)
        out[13] = '\0';
    if (strncmp(out, "TLS close_notify_", 17) == 0 && length != LADDER_FULL)
        snprintf(out, LADDER_TEXT, "%s", out[17] == 's' ? "close_notify>" : "close_notify<");
}

const char *ladder_call_text(const struct model_event *e, enum ladder_length length, char out[LADDER_TEXT])
{
    if (e->kind == MODEL_NOTE) {
        put_note_text(&e->note, length, out);
        return out;
    }
    put_call_result(&e->call, length == LADDER_FULL ? e->call.name : short_name(e->call.name, length), out);
    if (length != LADDER_SHORT || (e->call.detail != NULL && strncmp(e->call.detail, "unread=", 7) == 0))
        put_detail(&e->call, out);
    return out;
}

static size_t put_numbers(const struct model_segment *s, enum ladder_length length, char *out, size_t size)
{
    if (s->len > 0)
        return (size_t)snprintf(out, size, " %u:%u", s->seq, s->seq + s->len);
    if ((s->flags & (MODEL_SYN | MODEL_FIN | MODEL_RST)) || length == LADDER_FULL)
        return (size_t)snprintf(out, size, " %u", s->seq);
    return 0;
}

static void put_letters(uint8_t flags, char *out)
{
    static const struct {
        uint8_t flag;
        char letter;
    } letters[] = {{MODEL_SYN, 'S'}, {MODEL_FIN, 'F'}, {MODEL_RST, 'R'},
                   {MODEL_PSH, 'P'}, {MODEL_ACK, 'A'}, {MODEL_URG, 'U'}};

    for (size_t i = 0; i < sizeof letters / sizeof *letters; i++)
        if (flags & letters[i].flag)
            *out++ = letters[i].letter;
    *out = '\0';
}

/* A window of 0 is worth its place always: it stops the peer. */
static bool shows_window(const struct model_segment *s, enum ladder_length length)
{
    if (s->window == 0)
        return length != LADDER_SHORT && s->source == MODEL_CAPTURE && !(s->flags & (MODEL_SYN | MODEL_RST));
    return length == LADDER_FULL;
}

const char *ladder_segment_text(const struct model_segment *s, enum ladder_length length,
                                char out[LADDER_TEXT])
{
    char flags[40];
    size_t n;

    if (length == LADDER_SHORT)
        put_letters(s->flags, flags);
    else
        model_format_flags(s->flags & 0x3f, flags);
    n = (size_t)snprintf(out, LADDER_TEXT, "%s", flags);
    n += put_numbers(s, length, out + n, LADDER_TEXT - n);
    if ((s->flags & MODEL_ACK) && (length != LADDER_SHORT || s->len == 0))
        n += (size_t)snprintf(out + n, LADDER_TEXT - n, length == LADDER_SHORT ? " a%u" : " ack=%u", s->ack);
    if (shows_window(s, length))
        snprintf(out + n, LADDER_TEXT - n, " win=%u", s->window);
    return out;
}

const char *ladder_fit_segment(const struct model_segment *s, enum ladder_length most, const char *before,
                               const char *after, size_t columns, char out[LADDER_TEXT])
{
    char text[LADDER_TEXT];

    for (int length = (int)most; length >= LADDER_SHORT; length--) {
        char *ack;

        ladder_segment_text(s, (enum ladder_length)length, text);
        snprintf(out, LADDER_TEXT, "%.20s%.200s%.20s", before, text, after);
        if (ladder_width(out) <= columns)
            return out;
        /* What it acknowledges is less than what it is. */
        ack = length == LADDER_SHORT ? strstr(text, " a") : s->len > 0 ? strstr(text, " ack=") : NULL;
        if (ack != NULL)
            *ack = '\0';
        snprintf(out, LADDER_TEXT, "%.20s%.200s%.20s", before, text, after);
        if (ladder_width(out) <= columns)
            return out;
    }
    snprintf(out, LADDER_TEXT, "%.20s%.200s", before, text);
    if (ladder_width(out) > columns)
        snprintf(out, LADDER_TEXT, "%.20s%.*s", before, (int)strcspn(text, " "), text);
    if (ladder_width(out) > columns)
        snprintf(out, LADDER_TEXT, "%.*s", (int)strcspn(text, " "), text);
    out[ladder_fit(out, columns)] = '\0';
    return out;
}

const char *ladder_mark_text(const struct ladder_row *row, char out[LADDER_MARK])
{
    if (row->mark > 0)
        snprintf(out, LADDER_MARK, "(%u) ", row->mark);
    else
        snprintf(out, LADDER_MARK, "%s", row->segment->segment.retransmission ? "↻ " : "");
    return out;
}

const char *ladder_time_text(int64_t ns, char out[LADDER_TEXT])
{
    int64_t ms = ns / 1000000, s = ms / 1000;

    if (ms < 1000000)
        snprintf(out, LADDER_TEXT, "%.3f", (double)ns / 1e6);
    else
        snprintf(out, LADDER_TEXT, s < 360000 ? "%lld:%02d:%02d.%03d" : "%lld:%02d:%02d",
                 (long long)(s / 3600), (int)(s / 60 % 60), (int)(s % 60), (int)(ms % 1000));
    return out;
}

const char *ladder_facts_text(const struct tcp_facts *f, char out[LADDER_TEXT])
{
    out[0] = '\0';
    if (f->source == NULL)
        return out;
    snprintf(out, LADDER_TEXT,
             "rtt %u us, rto %u ms, unacked %u, unsent %u B, cwnd %u, peer's window %u B, acked %llu B, "
             "received %llu B, retransmitted %u, backoff %u",
             f->rtt_us, f->rto_us / 1000, f->unacked, f->unsent, f->cwnd, f->snd_wnd,
             (unsigned long long)f->bytes_acked, (unsigned long long)f->bytes_received, f->total_retrans,
             f->retransmits);
    return out;
}

bool ladder_is_bad(const struct model_call *c)
{
    return c->err != 0 && c->err != EINPROGRESS && c->err != EAGAIN;
}

const char *ladder_end_name(const struct model_conn *c, enum model_side side, char out[LADDER_TEXT])
{
    const struct model_end *end = &c->end[side];
    char addr[TCP_ADDR_TEXT];

    snprintf(out, LADDER_TEXT, "%s %s",
             end->program != NULL   ? end->program
             : side == MODEL_CLIENT ? "client"
                                    : "server",
             tcp_addr_format(&end->addr, addr));
    return out;
}

const char *ladder_title(const struct model_conn *c, char out[LADDER_TEXT])
{
    char client[LADDER_TEXT], server[LADDER_TEXT];

    snprintf(out, LADDER_TEXT, "%.120s to %.120s", ladder_end_name(c, MODEL_CLIENT, client),
             ladder_end_name(c, MODEL_SERVER, server));
    return out;
}
