/* clock.h: the three clocks of the project, each in one unit.
 *
 * Wall time is for people and for the wire, monotonic time for durations and timeouts. */
#ifndef COMMON_CLOCK_H
#define COMMON_CLOCK_H

#include <stddef.h>
#include <stdint.h>

/* µs since an arbitrary start; never goes back. clock_gettime(3), CLOCK_MONOTONIC. */
uint64_t clock_mono_us(void);

/* µs since the Unix epoch, UTC; can be set back. */
uint64_t clock_wall_us(void);

#define CLOCK_STAMP_SIZE 28

/* Writes "2026-11-23T18:47:01.123456Z" (27 bytes and a NUL) for a wall time in µs. Any thread; keeps the
 * calendar part of the last second of the calling thread, so that a burst of lines costs one gmtime. */
void clock_format(uint64_t wall_us, char out[CLOCK_STAMP_SIZE]);

/* Writes "843us", "31.2ms", "3.2s" or "2h05m": for people. */
void clock_format_duration(uint64_t us, char *out, size_t size);

#endif
