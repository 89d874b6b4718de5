/* histogram.h: how often each latency was seen, in a fixed 210 KiB whatever comes.
 *
 * Log-linear: values up to 2047 have a slot each, above that each doubling is cut into 1024 slots, so that a value is
 * known to within 1/1024 of itself: three significant digits. Values are µs here, up to 9.5 hours; larger ones count
 * as the largest. One thread. */
#ifndef BOTS_HISTOGRAM_H
#define BOTS_HISTOGRAM_H

#include <stddef.h>
#include <stdint.h>

#define HISTOGRAM_LINEAR    2048
#define HISTOGRAM_STEPS     1024 /* slots of a doubling */
#define HISTOGRAM_DOUBLINGS 24
#define HISTOGRAM_SLOTS     (HISTOGRAM_LINEAR + HISTOGRAM_DOUBLINGS * HISTOGRAM_STEPS)
#define HISTOGRAM_TOP       ((UINT64_C(1) << 35) - 1)

struct histogram {
    uint64_t count, sum, min, max; /* exact; min and max mean nothing while count is 0 */
    uint32_t used;                 /* slots from here on are 0 */
    uint64_t slots[HISTOGRAM_SLOTS];
};

struct histogram *histogram_new(void); /* free() ends it */
void histogram_clear(struct histogram *h);
void histogram_record(struct histogram *h, uint64_t value);

/* The least value that `percent` of all values do not exceed, rounded up to its slot's upper end, but never above max.
 * 0 where there is none. percent is from 0 to 100. */
uint64_t histogram_percentile(const struct histogram *h, double percent);
double histogram_mean(const struct histogram *h);

/* Which slot, and the greatest value in it: for tests and for drawing. */
uint32_t histogram_slot(uint64_t value);
uint64_t histogram_upper(uint32_t slot);

#endif
