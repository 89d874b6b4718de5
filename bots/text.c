/* text.c: see text.h. */
#include "bots/text.h"

#include "common/utf8.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

void dice_seed(struct dice *d, uint64_t seed)
{
    d->state = (seed + 1) * UINT64_C(0x9e3779b97f4a7c15);
    if (d->state == 0)
        d->state = 1;
    for (int i = 0; i < 8; i++)
        dice_roll(d);
}

uint64_t dice_roll(struct dice *d)
{
    d->state ^= d->state >> 12;
    d->state ^= d->state << 25;
    d->state ^= d->state >> 27;
    return d->state * UINT64_C(2685821657736338717);
}

uint64_t dice_below(struct dice *d, uint64_t n)
{
    return n > 0 ? (dice_roll(d) >> 11) % n : 0;
}

double dice_unit(struct dice *d)
{
    return (double)(dice_roll(d) >> 11) / (double)(UINT64_C(1) << 53);
}

static const char *const kinds[] = {"ascii", "cjk", "emoji", "mixed"};

bool text_parse_kind(const char *name, enum text_kind *kind)
{
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        if (strcmp(name, kinds[i]) == 0) {
            *kind = (enum text_kind)i;
            return true;
        }
    return false;
}

const char *text_kind_name(enum text_kind kind)
{
    return kinds[kind];
}

size_t text_pick_size(struct dice *d, size_t min, size_t max)
{
    double low = log((double)(min > 0 ? min : 1)), high = log((double)max + 1);
    size_t size;

    if (max <= min)
        return min;
    size = (size_t)exp(low + dice_unit(d) * (high - low));
    return size < min ? min : size > max ? max : size;
}

/* One character; the quotes and the backslash are among them, so that escapes are seen too. */
static size_t make_character(struct dice *d, enum text_kind kind, char out[4])
{
    uint64_t roll = dice_below(d, 100);

    if (kind == TEXT_MIXED)
        kind = roll < 70 ? TEXT_ASCII : roll < 92 ? TEXT_CJK : TEXT_EMOJI;
    if (kind == TEXT_ASCII)
        return utf8_encode((uint32_t)(roll % 6 == 0 ? ' ' : '!' + dice_below(d, 94)), out);
    if (kind == TEXT_CJK)
        return utf8_encode((uint32_t)(0x4e00 + dice_below(d, 20000)), out);
    return utf8_encode((uint32_t)(0x1f600 + dice_below(d, 80)), out);
}

void text_put(struct buf *b, struct dice *d, enum text_kind kind, size_t size)
{
    char *to = buf_reserve(b, size);
    size_t done = 0, n;
    char c[4];

    while (done < size) {
        n = make_character(d, size - done < 4 ? TEXT_ASCII : kind, c);
        memcpy(to + done, c, n);
        done += n;
    }
    b->len += size;
}

void text_put_base36(struct buf *b, uint64_t n)
{
    char out[16];
    size_t at = sizeof out;

    do {
        out[--at] = "0123456789abcdefghijklmnopqrstuvwxyz"[n % 36];
        n /= 36;
    } while (n > 0);
    buf_put(b, out + at, sizeof out - at);
}

void text_put_mark(struct buf *b, const struct text_mark *m)
{
    const uint64_t parts[] = {m->run, m->bot, m->serial, m->due_us};

    for (size_t i = 0; i < 4; i++) {
        buf_put(b, i == 0 ? "=" : ".", 1);
        text_put_base36(b, parts[i]);
    }
    buf_put_literal(b, "= ");
}

static const char *read_base36(const char *p, const char *end, char stop, uint64_t *n)
{
    const char *from = p;

    *n = 0;
    for (; p < end && *p != stop; p++) {
        if (*p >= '0' && *p <= '9')
            *n = *n * 36 + (uint64_t)(*p - '0');
        else if (*p >= 'a' && *p <= 'z')
            *n = *n * 36 + (uint64_t)(*p - 'a' + 10);
        else
            return NULL;
    }
    return p < end && p > from && p - from <= 12 ? p + 1 : NULL;
}

bool text_read_mark(const char *text, size_t len, struct text_mark *m)
{
    const char *p = text + 1, *end = text + len;
    uint64_t parts[4];

    if (len < 2 || text[0] != '=')
        return false;
    for (size_t i = 0; i < 4; i++) {
        p = read_base36(p, end, i == 3 ? '=' : '.', &parts[i]);
        if (p == NULL)
            return false;
    }
    *m = (struct text_mark){
        .run = parts[0], .bot = (uint32_t)parts[1], .serial = (uint32_t)parts[2], .due_us = parts[3]};
    return true;
}

uint64_t text_hash(const char *text, size_t len)
{
    uint64_t h = UINT64_C(14695981039346656037);

    for (size_t i = 0; i < len; i++)
        h = (h ^ (unsigned char)text[i]) * UINT64_C(1099511628211);
    return h != 0 ? h : 1;
}
