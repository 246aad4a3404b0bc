/*
 * See report.h. The hypervisor cuts console lines at some 500 characters, so the report takes
 * several.
 */
#include "guest-shim/report.h"

#include <stdio.h>
#include <string.h>

#include "guest-shim/clock.h"
#include "guest-shim/console.h"
#include "guest-shim/counters.h"
#include "guest-shim/frames.h"

#define LINE_MAX 200u

static unsigned column;

static void value_print(const char *key, u64 value)
{
	char text[64];

	sniprintf(text, sizeof(text), " %s=%llu", key, (unsigned long long)value);
	if (column + strlen(text) > LINE_MAX) {
		console_write("\n", 1);
		column = 0;
	}
	if (!column) {
		console_write("shim:", 5);
		column = 5;
	}
	console_write(text, strlen(text));
	column += (unsigned)strlen(text);
}

void report_print(int status)
{
	value_print("status", (u64)(unsigned)status);
	value_print("ns", clock_ns());
	value_print("frames", frames_total());
#define COUNTER_PRINT(name) value_print(#name, counters.name);
	COUNTERS(COUNTER_PRINT)
	console_write("\n", 1);
}
