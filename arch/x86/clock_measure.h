/*
 * What the clocks of the machine tell about the TSC and the LAPIC timer, once at boot.
 */
#ifndef ARCH_CLOCK_MEASURE_H
#define ARCH_CLOCK_MEASURE_H

#include "lib/types.h"

struct clock_rates {
	u64 tsc_hz;
	u64 lapic_per_tsc;     /* LAPIC timer ticks a TSC tick, 32.32 */
	const char *reference; /* what it was measured by, in words */
};

/* Measures with this processor's LAPIC timer, which must be unused and masked. 0 or a negative
 * errno after a message: no clock counts, and CPUID does not state the frequency. Never waits for
 * longer than a second or two for what stands still. */
int __must_check clock_measure(struct clock_rates *rates);

#endif
