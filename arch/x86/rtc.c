/* The real-time clock: see rtc.h. Read at boot, while nobody else uses its ports. */
#include "arch/x86/rtc.h"

#include <string.h>

#include "arch/x86/arch.h"
#include "arch/x86/log.h"
#include "arch/x86/processor.h"

#define RTC_INDEX 0x70
#define RTC_DATA  0x71

/* Registers (MC146818A data sheet); the century is where IBM and its followers put it. */
enum {
	SECOND = 0,
	MINUTE = 2,
	HOUR = 4,
	DAY = 7,
	MONTH = 8,
	YEAR = 9,
	A = 10,
	B = 11,
	CENTURY = 0x32
};
#define A_UPDATING BIT(7)
#define B_24_HOURS BIT(1)
#define B_BINARY   BIT(2)
#define HOUR_PM    BIT(7)

/* An update takes 2 ms, and an access to a port a microsecond. */
#define PATIENCE 10000
#define TRIES    4

#define NS_PER_SECOND 1000000000ul

static u64 wall_seconds, wall_tsc;

__init static u8 cmos(u8 index)
{
	outb(RTC_INDEX, index);
	return inb(RTC_DATA);
}

__init static void look(struct rtc_time *time)
{
	for (unsigned i = 0; i < PATIENCE && (cmos(A) & A_UPDATING); i++)
		;
	*time = (struct rtc_time){cmos(SECOND), cmos(MINUTE), cmos(HOUR), cmos(DAY), cmos(MONTH),
		cmos(YEAR), cmos(CENTURY), cmos(B)};
}

__init static unsigned plain(u8 value, bool binary)
{
	return binary ? value : value / 16 * 10u + value % 16;
}

/* Days from 1970-01-01, in a calendar whose years begin in March, so that leap days come last. */
__init static u64 days(u64 year, unsigned month, unsigned day)
{
	unsigned march = (month + 9) % 12;

	year -= month <= 2;
	return year * 365 + year / 4 - year / 100 + year / 400 + (march * 153 + 2) / 5 + day - 1 -
	       719468;
}

__init u64 rtc_seconds(const struct rtc_time *time)
{
	bool binary = time->mode & B_BINARY, pm = time->hour & HOUR_PM;
	unsigned hour = plain(time->hour & (u8)~HOUR_PM, binary);
	unsigned minute = plain(time->minute, binary), second = plain(time->second, binary);
	unsigned day = plain(time->day, binary), month = plain(time->month, binary);
	unsigned century = plain(time->century, binary);
	u64 year = plain(time->year, binary);

	if (!(time->mode & B_24_HOURS))
		hour = hour % 12 + (pm ? 12 : 0);
	year += 100 * (century >= 20 && century < 100 ? century : 20);
	if (hour > 23 || minute > 59 || second > 59 || day < 1 || day > 31 || month < 1 ||
		month > 12)
		return 0;
	return ((days(year, month, day) * 24 + hour) * 60 + minute) * 60 + second;
}

__init void rtc_start(void)
{
	struct rtc_time time, again;

	look(&time);
	for (unsigned i = 0; i < TRIES; i++) {
		look(&again);
		if (memcmp(&time, &again, sizeof(time)) == 0)
			break;
		time = again;
	}
	wall_tsc = arch_tsc();
	wall_seconds = rtc_seconds(&time);
	if (wall_seconds == 0)
		log_warn("the real-time clock makes no sense: guests' time of day begins in 1970");
}

u64 arch_wall_clock(u64 tsc)
{
	u64 ticks = tsc - wall_tsc, hz = arch_tsc_hz();

	return (wall_seconds + ticks / hz) * NS_PER_SECOND + ticks % hz * NS_PER_SECOND / hz;
}
