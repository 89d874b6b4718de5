/* ladder_pcapng.c: the packets of a connection as pcapng, with the calls and states as packet comments, so
 * that Wireshark shows them ("pkt_comment"). See ladder.h and draft-ietf-opsawg-pcapng. */
#include "trace/ladder.h"

#include <stdint.h>
#include <string.h>

#define BLOCK_SECTION   0x0A0D0D0AU
#define BLOCK_INTERFACE 1U
#define BLOCK_PACKET    6U
#define OPTION_COMMENT  1U
#define OPTION_TSRESOL  9U

static void put32(struct buf *b, uint32_t n)
{
    buf_put(b, &n, 4);
}

static void put16(struct buf *b, uint16_t n)
{
    buf_put(b, &n, 2);
}

static void put_padded(struct buf *b, const void *data, size_t len)
{
    static const char zeros[4];

    buf_put(b, data, len);
    buf_put(b, zeros, (4 - len % 4) % 4);
}

static void put_option(struct buf *b, uint16_t code, const void *data, size_t len)
{
    put16(b, code);
    put16(b, (uint16_t)len);
    put_padded(b, data, len);
}

static void put_block(FILE *to, uint32_t type, const struct buf *body)
{
    uint32_t head[2] = {type, (uint32_t)body->len + 12};

    fwrite(head, sizeof head, 1, to);
    fwrite(body->data, body->len, 1, to);
    fwrite(&head[1], 4, 1, to);
}

static void put_section(FILE *to, const struct ladder *l)
{
    struct buf b = {0};
    static const char program[] = "chat-trace";

    put32(&b, 0x1A2B3C4D);
    put16(&b, 1);
    put16(&b, 0);
    put32(&b, UINT32_MAX); /* the length of the section: not given */
    put32(&b, UINT32_MAX);
    put_option(&b, OPTION_COMMENT, l->verdict->sentence, strlen(l->verdict->sentence));
    put_option(&b, 4, program, sizeof program - 1); /* shb_userappl */
    put_option(&b, 0, NULL, 0);
    put_block(to, BLOCK_SECTION, &b);
    buf_deinit(&b);
}

static void put_interface(FILE *to, uint16_t link_type)
{
    static const uint8_t nanoseconds = 9;
    struct buf b = {0};

    put16(&b, link_type);
    put16(&b, 0);
    put32(&b, 0); /* no limit to a packet's length */
    put_option(&b, OPTION_TSRESOL, &nanoseconds, 1);
    put_option(&b, 0, NULL, 0);
    put_block(to, BLOCK_INTERFACE, &b);
    buf_deinit(&b);
}

/* "client: send 27", "server: CLOSE_WAIT (tcp_info)": a comment each. */
static void put_comments(struct buf *b, const struct ladder_row *row)
{
    static const char *const sides[] = {"client", "server"};
    char text[LADDER_TEXT], line[2 * LADDER_TEXT];

    for (int side = 0; side < MODEL_SIDES; side++) {
        double ms = (double)row->time_ns / 1e6;

        if (row->call[side] != NULL) {
            snprintf(line, sizeof line, "%.3f ms %s: %s", ms, sides[side],
                     ladder_call_text(row->call[side], LADDER_FULL, text));
            put_option(b, OPTION_COMMENT, line, strlen(line));
        }
        if (row->state[side] != NULL) {
            const struct model_state *s = &row->state[side]->state;

            snprintf(line, sizeof line, "%.3f ms %s: %s (%s)", ms, sides[side], tcp_state_name(s->state),
                     model_source_name(s->source));
            put_option(b, OPTION_COMMENT, line, strlen(line));
        }
    }
}

static bool is_packet(const struct ladder_row *row)
{
    return row->segment != NULL && row->segment->segment.packet.data != NULL;
}

/* The comments of a packet are those of its row and of the rows after it that have no packet; those before
 * the first packet go to it. */
static void put_packet(FILE *to, const struct ladder *l, size_t at, bool is_first, uint32_t interface)
{
    const struct model_event *e = l->rows[at].segment;
    const struct model_packet *p = &e->segment.packet;
    struct buf b = {0};
    size_t from = is_first ? 0 : at;

    put32(&b, interface);
    put32(&b, (uint32_t)((uint64_t)e->time_ns >> 32));
    put32(&b, (uint32_t)(uint64_t)e->time_ns);
    put32(&b, p->len);
    put32(&b, p->wire_len);
    put_padded(&b, p->data, p->len);
    for (size_t i = from; i < l->count && (i <= at || !is_packet(&l->rows[i])); i++)
        put_comments(&b, &l->rows[i]);
    put_option(&b, 0, NULL, 0);
    put_block(to, BLOCK_PACKET, &b);
    buf_deinit(&b);
}

#define LINK_TYPES 4

int ladder_write_pcapng(FILE *to, const struct ladder *l)
{
    uint16_t links[LINK_TYPES];
    uint32_t count = 0;
    bool first = true;

    for (size_t i = 0; i < l->count; i++) {
        uint32_t at = 0;

        if (!is_packet(&l->rows[i]))
            continue;
        if (first)
            put_section(to, l);
        while (at < count && links[at] != l->rows[i].segment->segment.packet.link_type)
            at++;
        if (at == count && count < LINK_TYPES) {
            links[count++] = l->rows[i].segment->segment.packet.link_type;
            put_interface(to, links[at]);
        }
        if (at < count)
            put_packet(to, l, i, first, at);
        first = false;
    }
    return first ? -1 : 0;
}
