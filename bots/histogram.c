/* histogram.c: see histogram.h. */
#include "bots/histogram.h"

#include "common/mem.h"

#include <math.h>
#include <string.h>

struct histogram *histogram_new(void)
{
    return mem_zalloc(sizeof(struct histogram));
}

void histogram_clear(struct histogram *h)
{
    memset(h->slots, 0, h->used * sizeof h->slots[0]);
    h->count = h->sum = h->min = h->max = 0;
    h->used = 0;
}

uint32_t histogram_slot(uint64_t value)
{
    unsigned shift;

    if (value > HISTOGRAM_TOP)
        value = HISTOGRAM_TOP;
    if (value < HISTOGRAM_LINEAR)
        return (uint32_t)value;
    shift = 53u - (unsigned)__builtin_clzll(value); /* leaves 11 bits, the first of them set */
    return (uint32_t)(HISTOGRAM_LINEAR + (shift - 1) * HISTOGRAM_STEPS +
                      ((value >> shift) - HISTOGRAM_STEPS));
}

uint64_t histogram_upper(uint32_t slot)
{
    unsigned shift;

    if (slot < HISTOGRAM_LINEAR)
        return slot;
    slot -= HISTOGRAM_LINEAR;
    shift = slot / HISTOGRAM_STEPS + 1;
    return ((uint64_t)(slot % HISTOGRAM_STEPS + HISTOGRAM_STEPS + 1) << shift) - 1;
}

void histogram_record(struct histogram *h, uint64_t value)
{
    uint32_t slot = histogram_slot(value);

    h->slots[slot]++;
    if (slot >= h->used)
        h->used = slot + 1;
    if (h->count == 0 || value < h->min)
        h->min = value;
    if (value > h->max)
        h->max = value;
    h->count++;
    h->sum += value;
}

uint64_t histogram_percentile(const struct histogram *h, double percent)
{
    double wanted = ceil(percent / 100 * (double)h->count * (1 - 1e-12)); /* 99.9 / 100 is a little more than that */
    uint64_t rank = wanted < 1 ? 1 : (uint64_t)wanted, seen = 0, upper;

    for (uint32_t i = 0; i < h->used; i++) {
        seen += h->slots[i];
        if (seen >= rank) {
            upper = histogram_upper(i);
            return upper < h->max ? upper : h->max;
        }
    }
    return h->count > 0 ? h->max : 0;
}

double histogram_mean(const struct histogram *h)
{
    return h->count > 0 ? (double)h->sum / (double)h->count : 0;
}
