/*
 * See report.h. The line is too long for one call of console_line(), so it is written piece by
 * piece.
 */
#include "guest-shim/report.h"

#include <stdio.h>
#include <string.h>

#include "guest-shim/clock.h"
#include "guest-shim/console.h"
#include "guest-shim/counters.h"
#include "guest-shim/frames.h"

static void value_print(const char *key, u64 value)
{
	char text[64];

	sniprintf(text, sizeof(text), " %s=%llu", key, (unsigned long long)value);
	console_write(text, strlen(text));
}

void report_print(int status)
{
	console_write("shim:", 5);
	value_print("status", (u64)(unsigned)status);
	value_print("ns", clock_ns());
	value_print("frames", frames_total());
#define COUNTER_PRINT(name) value_print(#name, counters.name);
	COUNTERS(COUNTER_PRINT)
	console_write("\n", 1);
}
