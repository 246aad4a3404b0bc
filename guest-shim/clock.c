/*
 * See clock.h.
 */
#include "guest-shim/clock.h"

#include "guest-shim/apic.h"
#include "guest-shim/cpu.h"
#include "guest-shim/hypercall.h"

#define KHZ_UNKNOWN 1000000u /* a guess for machines that say nothing */
#define NS_PER_MS   1000000u

static u64 start;
static u32 khz;
static u64 ns_per_tick; /* in units of 2^-32 */

void clock_init(u32 tsc_khz)
{
	start = rdtsc();
	khz = hypercall_tsc_khz();
	if (!khz)
		khz = tsc_khz ? tsc_khz : KHZ_UNKNOWN;
	ns_per_tick = ((u64)NS_PER_MS << 32) / khz;
}

u64 clock_ns(void)
{
	return (u64)((unsigned __int128)(rdtsc() - start) * ns_per_tick >> 32);
}

/* Rounded up, so that the time has come when the TSC gets there. */
static u64 tsc_at(u64 ns)
{
	return start + ns / NS_PER_MS * khz + (ns % NS_PER_MS * khz + NS_PER_MS - 1) / NS_PER_MS +
	       1;
}

void clock_sleep_until(u64 ns)
{
	u64 flags = interrupts_save();

	while (clock_ns() < ns) {
		apic_timer_arm(tsc_at(ns), khz);
		wait_for_interrupt();
	}
	interrupts_restore(flags);
}
