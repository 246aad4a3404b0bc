/*
 * The time of day from the registers of a real-time clock, in all ways in which it can count,
 * against the C library.
 */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include <cmocka.h>

#include "arch/x86/arch.h"
#include "arch/x86/log.h"
#include "arch/x86/rtc.h"

#define HOURS_24 2
#define BINARY   4

u64 arch_tsc(void)
{
	return 0;
}

u64 arch_tsc_hz(void)
{
	return 1;
}

void log_line(int level, const char *format, ...)
{
	(void)level;
	(void)format;
}

static u8 coded(int value, u8 mode)
{
	return (u8)(mode & BINARY ? value : value / 10 * 16 + value % 10);
}

static struct rtc_time registers_of(time_t seconds, u8 mode)
{
	struct tm tm;
	int hour;

	assert_non_null(gmtime_r(&seconds, &tm));
	hour = mode & HOURS_24 ? tm.tm_hour : (tm.tm_hour + 11) % 12 + 1;
	return (struct rtc_time){
		.second = coded(tm.tm_sec, mode),
		.minute = coded(tm.tm_min, mode),
		.hour = (u8)(coded(hour, mode) |
			     (!(mode & HOURS_24) && tm.tm_hour >= 12 ? 0x80 : 0)),
		.day = coded(tm.tm_mday, mode),
		.month = coded(tm.tm_mon + 1, mode),
		.year = coded(tm.tm_year % 100, mode),
		.century = coded((tm.tm_year + 1900) / 100, mode),
		.mode = mode,
	};
}

static void every_way_of_counting(void **state)
{
	static const u8 modes[] = {0, HOURS_24, BINARY, HOURS_24 | BINARY};

	(void)state;
	for (unsigned m = 0; m < ARRAY_SIZE(modes); m++)
		/* From the year 2000 on, by a bit more than seven hours. */
		for (time_t t = 946684800; t < 7258118400; t += 25933) {
			struct rtc_time time = registers_of(t, modes[m]);

			assert_int_equal(rtc_seconds(&time), t);
		}
}

static void a_clock_without_century(void **state)
{
	struct rtc_time time = registers_of(1795700049, HOURS_24);

	(void)state;
	time.century = 0;
	assert_int_equal(rtc_seconds(&time), 1795700049);
	time.century = 0xff;
	assert_int_equal(rtc_seconds(&time), 1795700049);
}

static void nonsense_is_no_time(void **state)
{
	const struct rtc_time good = registers_of(1795700049, HOURS_24);
	struct rtc_time time = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

	(void)state;
	assert_int_equal(rtc_seconds(&time), 0);
	time = (struct rtc_time){0};
	assert_int_equal(rtc_seconds(&time), 0);
	time = good;
	time.month = 0x13;
	assert_int_equal(rtc_seconds(&time), 0);
	time = good;
	time.day = 0;
	assert_int_equal(rtc_seconds(&time), 0);
	time = good;
	time.minute = 0x60;
	assert_int_equal(rtc_seconds(&time), 0);
	time = good;
	time.hour = 0x24;
	assert_int_equal(rtc_seconds(&time), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_way_of_counting),
		cmocka_unit_test(a_clock_without_century),
		cmocka_unit_test(nonsense_is_no_time),
	};

	return cmocka_run_group_tests_name("rtc", tests, NULL, NULL);
}
