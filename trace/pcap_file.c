/* pcap_file.c: see pcap_file.h. pcapng's blocks are in pcap_ng.c.
 *
 * What always holds: f->at is the place in the file where the next byte is read, for messages; a length that
 * the file claims is checked before memory is taken for it. */
#include "trace/pcap_file.h"

#include "common/mem.h"
#include "trace/pcap_private.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define MAGIC_US        0xa1b2c3d4U
#define MAGIC_NS        0xa1b23c4dU
#define MAGIC_KUZNETZOV 0xa1b2cd34U /* an old Linux dialect with longer records */
#define MAGIC_NG        0x0a0d0d0aU
#define GZIP_MAGIC      0x8b1fU

int pcapfile_fail(struct pcapfile *f, char err[PCAPFILE_ERROR_SIZE], const char *format, ...)
{
    char what[PCAPFILE_ERROR_SIZE - 80];
    va_list args;

    va_start(args, format);
    vsnprintf(what, sizeof what, format, args);
    va_end(args);
    snprintf(err, PCAPFILE_ERROR_SIZE, "%.*s: %s", 70, f->name, what);
    f->has_failed = true;
    return -1;
}

uint16_t pcapfile_u16(const struct pcapfile *f, const uint8_t *from)
{
    uint16_t v;

    memcpy(&v, from, sizeof v);
    return f->is_swapped ? __builtin_bswap16(v) : v;
}

uint32_t pcapfile_u32(const struct pcapfile *f, const uint8_t *from)
{
    uint32_t v;

    memcpy(&v, from, sizeof v);
    return f->is_swapped ? __builtin_bswap32(v) : v;
}

int pcapfile_read(struct pcapfile *f, void *to, size_t len)
{
    size_t n = fread(to, 1, len, f->in);

    f->at += n;
    if (n == len)
        return 1;
    if (ferror(f->in))
        return -errno;
    return n == 0 ? 0 : -EPIPE;
}

int pcapfile_fill(struct pcapfile *f, size_t len)
{
    if (len > f->cap) {
        f->data = mem_realloc(f->data, len);
        f->cap = len;
    }
    return len == 0 ? 1 : pcapfile_read(f, f->data, len);
}

int pcapfile_fail_read(struct pcapfile *f, int result, char err[PCAPFILE_ERROR_SIZE])
{
    if (result == 0 || result == -EPIPE)
        return pcapfile_fail(f, err, "the file is cut: it ends at byte %" PRIu64 ", inside packet %" PRIu64,
                             f->at, f->number + 1);
    return pcapfile_fail(f, err, "cannot be read: %s", strerror(-result));
}

/* ---- the head of the file ---- */

static int take_pcap_head(struct pcapfile *f, uint32_t magic, char err[PCAPFILE_ERROR_SIZE])
{
    uint8_t rest[20];
    uint32_t snaplen;

    if (pcapfile_read(f, rest, sizeof rest) != 1)
        return pcapfile_fail(f, err, "the file is cut: it ends at byte %" PRIu64 ", inside its head", f->at);
    f->units = magic == MAGIC_NS ? 1000000000 : 1000000;
    if (pcapfile_u16(f, rest) != 2)
        return pcapfile_fail(f, err, "is pcap of version %u.%u; only version 2 is known",
                             pcapfile_u16(f, rest), pcapfile_u16(f, rest + 2));
    snaplen = pcapfile_u32(f, rest + 12);
    f->limit = snaplen > PCAPFILE_PACKET_MAX || snaplen < 65535 ? PCAPFILE_PACKET_MAX : snaplen + 65535;
    f->link = pcapfile_u32(f, rest + 16) & 0xffff; /* the rest tells of the frame check sequence */
    return 0;
}

static int refuse(struct pcapfile *f, uint32_t magic, char err[PCAPFILE_ERROR_SIZE])
{
    if ((magic & 0xffff) == GZIP_MAGIC || (magic & 0xffff) == __builtin_bswap16(GZIP_MAGIC))
        return pcapfile_fail(f, err, "is compressed: gunzip it first");
    if (magic == MAGIC_KUZNETZOV || magic == __builtin_bswap32(MAGIC_KUZNETZOV))
        return pcapfile_fail(
            f, err, "is in a dialect of pcap that is not known here: editcap -F pcap makes one that is");
    return pcapfile_fail(f, err, "is no capture: neither pcap nor pcapng begins with %02x %02x %02x %02x",
                         f->first[0], f->first[1], f->first[2], f->first[3]);
}

static int take_head(struct pcapfile *f, char err[PCAPFILE_ERROR_SIZE])
{
    uint32_t magic;
    int got = pcapfile_read(f, f->first, sizeof f->first);

    if (got == 0)
        return pcapfile_fail(f, err, "is empty");
    if (got == -EPIPE)
        return pcapfile_fail(f, err, "is no capture: it has only %" PRIu64 " bytes", f->at);
    if (got < 0)
        return pcapfile_fail(f, err, "cannot be read: %s", strerror(-got));
    memcpy(&magic, f->first, sizeof magic);
    if (magic == MAGIC_NG) {
        f->is_ng = true;
        return pcapng_take_section(f, err);
    }
    f->is_swapped = magic == __builtin_bswap32(MAGIC_US) || magic == __builtin_bswap32(MAGIC_NS);
    magic = f->is_swapped ? __builtin_bswap32(magic) : magic;
    return magic == MAGIC_US || magic == MAGIC_NS ? take_pcap_head(f, magic, err) : refuse(f, magic, err);
}

struct pcapfile *pcapfile_open(const char *path, char err[PCAPFILE_ERROR_SIZE])
{
    bool is_stdin = strcmp(path, "-") == 0;
    struct pcapfile *f = mem_zalloc(sizeof *f);

    f->name = mem_strdup(is_stdin ? "standard input" : path);
    f->in = is_stdin ? stdin : fopen(path, "rbe");
    if (f->in == NULL) {
        pcapfile_fail(f, err, "cannot be opened: %s", strerror(errno));
    } else if (take_head(f, err) == 0) {
        return f;
    }
    pcapfile_close(f);
    return NULL;
}

void pcapfile_close(struct pcapfile *f)
{
    if (f == NULL)
        return;
    if (f->in != NULL && f->in != stdin)
        fclose(f->in);
    free(f->name);
    free(f->data);
    free(f->interfaces);
    free(f);
}

bool pcapfile_is_one(const char *path)
{
    char err[PCAPFILE_ERROR_SIZE];
    uint32_t magic = 0;
    FILE *in = fopen(path, "rbe");
    struct pcapfile *f;

    if (in == NULL || fread(&magic, sizeof magic, 1, in) != 1)
        magic = 0;
    if (in != NULL)
        fclose(in);
    if (magic == MAGIC_NG)
        return true; /* whatever is wrong behind that is worth a word of its own */
    f = magic != 0 ? pcapfile_open(path, err) : NULL;
    pcapfile_close(f);
    return f != NULL || magic == MAGIC_US || magic == MAGIC_NS;
}

/* ---- its packets ---- */

uint64_t pcapfile_to_ns(uint64_t time, uint64_t units)
{
    uint64_t seconds, rest;

    if (units > 1000000000 && units % 1000000000 == 0) { /* finer than can be kept */
        time /= units / 1000000000;
        units = 1000000000;
    }
    seconds = time / units;
    rest = time % units;
    for (; units > 1ULL << 33; units /= 2) /* so that the product fits */
        rest /= 2;
    return seconds * 1000000000 + rest * 1000000000 / units;
}

static int next_of_pcap(struct pcapfile *f, struct pcapfile_packet *p, char err[PCAPFILE_ERROR_SIZE])
{
    uint8_t head[16];
    uint32_t seconds, fraction;
    uint64_t at = f->at;
    int got = pcapfile_read(f, head, sizeof head);

    if (got == 0)
        return 0;
    if (got < 0)
        return pcapfile_fail_read(f, got, err);
    seconds = pcapfile_u32(f, head);
    fraction = pcapfile_u32(f, head + 4);
    p->caught = pcapfile_u32(f, head + 8);
    p->len = pcapfile_u32(f, head + 12);
    if (p->caught > f->limit || p->len > PCAPFILE_PACKET_MAX || fraction >= f->units)
        return pcapfile_fail(f, err,
                             "is garbled: packet %" PRIu64 ", at byte %" PRIu64 ", cannot have %" PRIu32
                             " bytes of %" PRIu32 " at %" PRIu32 ".%" PRIu32 " s",
                             f->number + 1, at, p->caught, p->len, seconds, fraction);
    got = pcapfile_fill(f, p->caught);
    if (got != 1)
        return pcapfile_fail_read(f, got, err);
    p->link = f->link;
    p->time_ns = (uint64_t)seconds * 1000000000 + pcapfile_to_ns(fraction, f->units);
    p->data = f->data;
    return 1;
}

int pcapfile_next(struct pcapfile *f, struct pcapfile_packet *p, char err[PCAPFILE_ERROR_SIZE])
{
    int got;

    *p = (struct pcapfile_packet){0};
    if (f->has_failed)
        return pcapfile_fail(f, err, "could not be read any further");
    got = f->is_ng ? pcapng_next(f, p, err) : next_of_pcap(f, p, err);
    if (got == 1) {
        p->number = ++f->number;
        if (p->caught > p->len)
            p->caught = p->len;
    }
    return got;
}

/* ---- writing ---- */

int pcapfile_put_head(FILE *out, uint32_t link, uint32_t snaplen)
{
    const uint16_t version[2] = {2, 4};
    const uint32_t magic = MAGIC_NS, rest[4] = {0, 0, snaplen, link};
    bool ok = fwrite(&magic, sizeof magic, 1, out) == 1 && fwrite(version, sizeof version, 1, out) == 1 &&
              fwrite(rest, sizeof rest, 1, out) == 1;

    return ok ? 0 : -errno;
}

int pcapfile_put(FILE *out, const struct pcapfile_packet *p)
{
    const uint32_t head[4] = {(uint32_t)(p->time_ns / 1000000000), (uint32_t)(p->time_ns % 1000000000),
                              p->caught, p->len};
    bool ok =
        fwrite(head, sizeof head, 1, out) == 1 && (p->caught == 0 || fwrite(p->data, p->caught, 1, out) == 1);

    return ok ? 0 : -errno;
}
