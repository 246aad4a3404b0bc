/*
 * Virtual time from the TSC, in nanoseconds since the guest started, and waiting for it.
 */
#ifndef SHIM_CLOCK_H
#define SHIM_CLOCK_H

#include "lib/types.h"

/* @tsc_khz counts only where no CPUID leaf tells the frequency; 0 if unknown. */
void clock_init(u32 tsc_khz);

/* Nanoseconds since clock_init(). Any context. */
u64 clock_ns(void);

/* Sleeps (HLT) until clock_ns() >= @ns. Application context. */
void clock_sleep_until(u64 ns);

#endif
