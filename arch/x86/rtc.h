/*
 * The time of day, from the machine's real-time clock (MC146818), read once at boot.
 */
#ifndef ARCH_RTC_H
#define ARCH_RTC_H

#include "lib/types.h"

/* What the clock's registers say. */
struct rtc_time {
	u8 second, minute, hour, day, month, year, century;
	u8 mode; /* register B: 24 hours, binary */
};

/* Seconds since 1970, the clock taken to be UTC; 0 if @time is no time of day. Pure. */
u64 rtc_seconds(const struct rtc_time *time);

/* Reads the clock, for arch_wall_clock(); after clock_start(). A clock that makes no sense is
 * logged, and time begins in 1970. */
void rtc_start(void);

#endif
