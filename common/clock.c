/* clock.c: see clock.h. Any thread. */
#include "common/clock.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

static uint64_t read_us(clockid_t which)
{
    struct timespec t;

    clock_gettime(which, &t);
    return (uint64_t)t.tv_sec * 1000000U + (uint64_t)t.tv_nsec / 1000U;
}

uint64_t clock_mono_us(void)
{
    return read_us(CLOCK_MONOTONIC);
}

uint64_t clock_wall_us(void)
{
    return read_us(CLOCK_REALTIME);
}

void clock_format(uint64_t wall_us, char out[CLOCK_STAMP_SIZE])
{
    static _Thread_local uint64_t second = UINT64_MAX;
    static _Thread_local char calendar[24];
    uint64_t at = wall_us / 1000000U;
    uint32_t us = (uint32_t)(wall_us % 1000000U);

    if (at != second) {
        time_t t = (time_t)at;
        struct tm tm;

        gmtime_r(&t, &tm);
        strftime(calendar, sizeof calendar, "%Y-%m-%dT%H:%M:%S.", &tm);
        second = at;
    }
    memcpy(out, calendar, 20);
    for (int i = 25; i >= 20; i--) {
        out[i] = (char)('0' + us % 10);
        us /= 10;
    }
    out[26] = 'Z';
    out[27] = '\0';
}

void clock_format_duration(uint64_t us, char *out, size_t size)
{
    if (us < 1000)
        snprintf(out, size, "%uus", (unsigned)us);
    else if (us < 1000000)
        snprintf(out, size, "%u.%ums", (unsigned)(us / 1000), (unsigned)(us / 100 % 10));
    else if (us < 60000000)
        snprintf(out, size, "%u.%us", (unsigned)(us / 1000000), (unsigned)(us / 100000 % 10));
    else if (us < 3600000000U)
        snprintf(out, size, "%um%02us", (unsigned)(us / 60000000U), (unsigned)(us / 1000000U % 60));
    else
        snprintf(out, size, "%uh%02um", (unsigned)(us / 3600000000U), (unsigned)(us / 60000000U % 60));
}
