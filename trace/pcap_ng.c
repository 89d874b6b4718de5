/* pcap_ng.c: the blocks of a pcapng file (draft-ietf-opsawg-pcapng). See pcap_file.h.
 *
 * A block is type, length, body, length again. Blocks that are about no packet are passed over. */
#include "common/mem.h"
#include "trace/pcap_private.h"

#include <inttypes.h>
#include <string.h>

enum { BLOCK_INTERFACE = 1, BLOCK_OLD_PACKET = 2, BLOCK_SIMPLE = 3, BLOCK_PACKET = 6 };

#define BLOCK_SECTION    0x0a0d0d0aU
#define BYTE_ORDER_MAGIC 0x1a2b3c4dU
#define INTERFACES_MAX   4096

enum { OPTION_END = 0, OPTION_TIME_UNITS = 9, OPTION_TIME_OFFSET = 14 };

static int check_end(struct pcapfile *f, uint32_t length, uint64_t at, char err[PCAPFILE_ERROR_SIZE])
{
    uint8_t again[4];
    int got = pcapfile_read(f, again, sizeof again);

    if (got != 1)
        return pcapfile_fail_read(f, got, err);
    if (pcapfile_u32(f, again) != length)
        return pcapfile_fail(
            f, err, "is garbled: the block at byte %" PRIu64 " has two lengths, %" PRIu32 " and %" PRIu32, at,
            length, pcapfile_u32(f, again));
    return 0;
}

static int fail_length(struct pcapfile *f, uint32_t length, uint64_t at, char err[PCAPFILE_ERROR_SIZE])
{
    return pcapfile_fail(f, err, "is garbled: the block at byte %" PRIu64 " cannot have %" PRIu32 " bytes",
                         at, length);
}

/* Reads the rest of a block of that length, of which 8 bytes are read; *body: how many bytes are in
 * f->data. */
static int take_body(struct pcapfile *f, uint32_t length, uint64_t at, size_t *body,
                     char err[PCAPFILE_ERROR_SIZE])
{
    int got;

    if (length < 12 || length % 4 != 0 || length > PCAPFILE_PACKET_MAX)
        return fail_length(f, length, at, err);
    *body = length - 12;
    got = pcapfile_fill(f, *body);
    if (got != 1)
        return pcapfile_fail_read(f, got, err);
    return check_end(f, length, at, err);
}

int pcapng_take_section(struct pcapfile *f, char err[PCAPFILE_ERROR_SIZE])
{
    uint8_t head[8];
    uint32_t length, order;
    uint64_t at = f->at - 4;
    int got = pcapfile_read(f, head, sizeof head);

    if (got != 1)
        return pcapfile_fail_read(f, got, err);
    memcpy(&order, head + 4, sizeof order);
    if (order != BYTE_ORDER_MAGIC && order != __builtin_bswap32(BYTE_ORDER_MAGIC))
        return pcapfile_fail(f, err, "is garbled: the section at byte %" PRIu64 " has no byte order", at);
    f->is_swapped = order != BYTE_ORDER_MAGIC;
    f->interface_count = 0;
    length = pcapfile_u32(f, head);
    if (length < 28 || length % 4 != 0 || length > PCAPFILE_PACKET_MAX)
        return fail_length(f, length, at, err);
    got = pcapfile_fill(f, length - 16); /* 12 bytes are read, 4 come in check_end */
    if (got != 1)
        return pcapfile_fail_read(f, got, err);
    if (pcapfile_u16(f, f->data) != 1)
        return pcapfile_fail(f, err, "is pcapng of version %u.%u; only version 1 is known",
                             pcapfile_u16(f, f->data), pcapfile_u16(f, f->data + 2));
    return check_end(f, length, at, err);
}

/* ---- interfaces ---- */

static uint64_t units_of(uint8_t resolution)
{
    uint64_t units = 1;

    if ((resolution & 0x80) != 0)
        return (resolution & 0x7f) < 64 ? 1ULL << (resolution & 0x7f) : 0;
    while (resolution-- > 0 && units < 1000000000000000000U)
        units *= 10;
    return units;
}

static void take_option(struct pcapfile *f, struct pcapfile_interface *i, uint16_t code, uint16_t len,
                        const uint8_t *value)
{
    if (code == OPTION_TIME_UNITS && len == 1)
        i->units = units_of(value[0]);
    if (code == OPTION_TIME_OFFSET && len == 8) {
        uint64_t low = pcapfile_u32(f, value + (f->is_swapped ? 4 : 0)),
                 high = pcapfile_u32(f, value + (f->is_swapped ? 0 : 4));

#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
        i->offset_s = (int64_t)(low << 32 | high);
#else
        i->offset_s = (int64_t)(high << 32 | low);
#endif
    }
}

static int take_interface(struct pcapfile *f, size_t body, uint64_t at, char err[PCAPFILE_ERROR_SIZE])
{
    struct pcapfile_interface i = {.units = 1000000};
    const uint8_t *o = f->data + 8, *end = f->data + body;

    if (body < 8 || f->interface_count == INTERFACES_MAX)
        return fail_length(f, (uint32_t)body + 12, at, err);
    i.link = pcapfile_u16(f, f->data);
    i.snaplen = pcapfile_u32(f, f->data + 4);
    while (end - o >= 4 && pcapfile_u16(f, o) != OPTION_END) {
        uint16_t code = pcapfile_u16(f, o), len = pcapfile_u16(f, o + 2);

        if (len > end - o - 4)
            return pcapfile_fail(
                f, err, "is garbled: the interface at byte %" PRIu64 " has an option of %u bytes", at, len);
        take_option(f, &i, code, len, o + 4);
        if (((len + 3) & ~3) > end - o - 4)
            break;
        o += 4 + ((len + 3) & ~3);
    }
    if (i.units == 0)
        return pcapfile_fail(
            f, err, "is garbled: the interface at byte %" PRIu64 " has a clock of no known unit", at);
    f->interfaces = mem_realloc(f->interfaces, (f->interface_count + 1) * sizeof *f->interfaces);
    f->interfaces[f->interface_count++] = i;
    return 0;
}

/* ---- packets ---- */

static int fail_packet(struct pcapfile *f, uint64_t at, char err[PCAPFILE_ERROR_SIZE])
{
    return pcapfile_fail(f, err,
                         "is garbled: packet %" PRIu64 ", at byte %" PRIu64
                         ", does not fit its block or its interface",
                         f->number + 1, at);
}

/* An enhanced packet, or one of the obsolete kind: they differ in how the interface is told. */
static int take_packet(struct pcapfile *f, uint32_t type, size_t body, uint64_t at, struct pcapfile_packet *p,
                       char err[PCAPFILE_ERROR_SIZE])
{
    const struct pcapfile_interface *i;
    uint32_t which;
    uint64_t time;

    if (body < 20)
        return fail_packet(f, at, err);
    which = type == BLOCK_PACKET ? pcapfile_u32(f, f->data) : pcapfile_u16(f, f->data);
    p->caught = pcapfile_u32(f, f->data + 12);
    p->len = pcapfile_u32(f, f->data + 16);
    if (which >= f->interface_count || p->caught > body - 20)
        return fail_packet(f, at, err);
    i = &f->interfaces[which];
    time = (uint64_t)pcapfile_u32(f, f->data + 4) << 32 | pcapfile_u32(f, f->data + 8);
    p->time_ns = pcapfile_to_ns(time, i->units) + (uint64_t)i->offset_s * 1000000000;
    p->link = i->link;
    p->interface = which;
    p->data = f->data + 20;
    return 1;
}

/* No time, no captured length: the first interface's snaplen tells. */
static int take_simple(struct pcapfile *f, size_t body, uint64_t at, struct pcapfile_packet *p,
                       char err[PCAPFILE_ERROR_SIZE])
{
    if (body < 4 || f->interface_count == 0)
        return fail_packet(f, at, err);
    p->len = p->caught = pcapfile_u32(f, f->data);
    if (f->interfaces[0].snaplen != 0 && p->caught > f->interfaces[0].snaplen)
        p->caught = f->interfaces[0].snaplen;
    if (p->caught > body - 4)
        return fail_packet(f, at, err);
    p->link = f->interfaces[0].link;
    p->data = f->data + 4;
    return 1;
}

int pcapng_next(struct pcapfile *f, struct pcapfile_packet *p, char err[PCAPFILE_ERROR_SIZE])
{
    for (;;) {
        uint8_t head[8];
        uint64_t at = f->at;
        uint32_t type;
        size_t body = 0;
        int got = pcapfile_read(f, head, 4);

        if (got == 0)
            return 0;
        if (got < 0)
            return pcapfile_fail_read(f, got, err);
        type = pcapfile_u32(f, head);
        if (type == BLOCK_SECTION) { /* the same in both byte orders */
            if (pcapng_take_section(f, err) != 0)
                return -1;
            continue;
        }
        got = pcapfile_read(f, head + 4, 4);
        if (got != 1)
            return pcapfile_fail_read(f, got, err);
        if (take_body(f, pcapfile_u32(f, head + 4), at, &body, err) != 0)
            return -1;
        if (type == BLOCK_INTERFACE && take_interface(f, body, at, err) != 0)
            return -1;
        if (type == BLOCK_PACKET || type == BLOCK_OLD_PACKET)
            return take_packet(f, type, body, at, p, err);
        if (type == BLOCK_SIMPLE)
            return take_simple(f, body, at, p, err);
    }
}
