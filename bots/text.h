/* text.h: what bots say: random text of given sizes, and the mark in it by which a receiver knows when it was due.
 *
 * A marked text begins with "=RUN.BOT.SERIAL.DUE= ", numbers in base 36; DUE is monotonic µs of the machine, so that
 * only bots of the same process (RUN tells) take it for a latency. */
#ifndef BOTS_TEXT_H
#define BOTS_TEXT_H

#include "common/buf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* xorshift64*: the same seed gives the same run. */
struct dice {
    uint64_t state;
};

void dice_seed(struct dice *d, uint64_t seed);
uint64_t dice_roll(struct dice *d);
uint64_t dice_below(struct dice *d, uint64_t n); /* 0 to n-1; 0 where n is 0 */
double dice_unit(struct dice *d);                /* in [0, 1) */

enum text_kind { TEXT_ASCII, TEXT_CJK, TEXT_EMOJI, TEXT_MIXED };

bool text_parse_kind(const char *name, enum text_kind *kind);
const char *text_kind_name(enum text_kind kind);

/* Small sizes are more frequent than large ones, as people write: the logarithm is evenly spread. Bytes. */
size_t text_pick_size(struct dice *d, size_t min, size_t max);

/* Appends `size` bytes of valid UTF-8 without control characters. */
void text_put(struct buf *b, struct dice *d, enum text_kind kind, size_t size);

struct text_mark {
    uint64_t run, due_us;
    uint32_t bot, serial;
};

#define TEXT_MARK_MAX 56

void text_put_mark(struct buf *b, const struct text_mark *m);
bool text_read_mark(const char *text, size_t len, struct text_mark *m); /* false where there is none */
void text_put_base36(struct buf *b, uint64_t n);
uint64_t text_hash(const char *text, size_t len); /* FNV-1a, 64 bits; never 0 */

#endif
