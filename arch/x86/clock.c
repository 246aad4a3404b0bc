/*
 * The TSC's frequency, as clock_measure.c found it, and the LAPIC timer in TSC-deadline mode where
 * there is one, else one-shot.
 */
#include <abi/errno.h>

#include "arch/x86/apic.h"
#include "arch/x86/arch.h"
#include "arch/x86/clock.h"
#include "arch/x86/clock_measure.h"
#include "arch/x86/cpu.h"
#include "arch/x86/log.h"
#include "arch/x86/processor.h"

#define CPUID_1_ECX_TSC_DEADLINE     BIT(24)
#define CPUID_80000007_EDX_INVARIANT BIT(8)

/* The timer's trial at boot: after a ten-thousandth of a second. */
#define TRIAL_HZ         10000
#define TRIAL_PATIENCE_S 5

static u64 tsc_hz;
static bool tsc_differs;
static u64 lapic_per_tsc; /* LAPIC timer ticks a TSC tick, 32.32 */
static bool deadline_mode;

bool arch_tsc_is_synchronous(void)
{
	return !tsc_differs;
}

__init void clock_tsc_differs(void)
{
	tsc_differs = true;
}

u64 arch_tsc_hz(void)
{
	return tsc_hz;
}

/* Whether the timer raises its interrupt, which then stays pending: interrupts are off. The
 * patience is for emulators, whose timers depend on a thread of a busy host. */
__init static bool timer_fires(void)
{
	const u32 mine = BIT(HOST_VECTOR_TIMER % 32);
	u64 start = arch_tsc();

	arch_timer_arm(start + tsc_hz / TRIAL_HZ);
	while (!(apic_read(APIC_IRR + HOST_VECTOR_TIMER / 32) & mine)) {
		if (arch_tsc() - start > TRIAL_PATIENCE_S * tsc_hz)
			return false;
		cpu_pause();
	}
	return true;
}

__init int clock_start(void)
{
	struct clock_rates rates;
	bool invariant = cpuid_if_present(0x80000007, 0).edx & CPUID_80000007_EDX_INVARIANT;
	int status;

	deadline_mode = cpuid(1, 0).ecx & CPUID_1_ECX_TSC_DEADLINE;
	status = clock_measure(&rates);
	if (status != 0)
		return status;
	tsc_hz = rates.tsc_hz;
	lapic_per_tsc = rates.lapic_per_tsc;
	log_info("TSC %lu.%03lu MHz by %s%s; timer: %s", tsc_hz / 1000000, tsc_hz / 1000 % 1000,
		rates.reference, invariant ? "" : ", not said to be invariant",
		deadline_mode ? "TSC deadline" : "one-shot");
	clock_enable();
	if (deadline_mode && timer_fires())
		return 0;
	if (deadline_mode) {
		/* Errata of Haswell to Kaby Lake that new microcode mends. */
		log_warn("the LAPIC timer does not fire at TSC deadlines (old microcode?): it is "
			 "used as one-shot");
		deadline_mode = false;
		clock_enable();
	}
	if (lapic_per_tsc != 0 && timer_fires())
		return 0;
	log_error("no timer: the LAPIC timer does not %s", lapic_per_tsc != 0 ? "fire" : "count");
	return -SLUICE_ENOENT;
}

__init void clock_enable(void)
{
	apic_write(APIC_TIMER_DIVIDE, DIVIDE_BY_1);
	apic_write(APIC_LVT_TIMER, HOST_VECTOR_TIMER | (deadline_mode ? LVT_TSC_DEADLINE : 0));
	/* With xAPIC the mode is set by a store, which a deadline may overtake (Intel SDM vol. 3,
	 * 11.5.4.1). */
	__asm__ volatile("mfence" : : : "memory");
}

void arch_timer_arm(u64 deadline)
{
	u64 now, ticks;

	if (deadline_mode) {
		/* 0 would disarm. */
		wrmsr(MSR_TSC_DEADLINE, deadline == ~0UL ? 0 : MAX(deadline, 1UL));
		return;
	}
	if (deadline == ~0UL) {
		apic_write(APIC_TIMER_INITIAL, 0);
		return;
	}
	now = arch_tsc();
	ticks = deadline > now ? deadline - now : 0;
	/* A count that does not fit fires early; the dispatch loop arms again. One more, since a
	 * timer that fires just before its deadline costs a turn. */
	ticks = (u64)((unsigned __int128)ticks * lapic_per_tsc >> 32) + 1;
	apic_write(APIC_TIMER_INITIAL, (u32)MIN(ticks, 0xffffffffUL));
}

bool arch_timer_is_armed(void)
{
	/* Both are 0 once it has fired (Intel SDM vol. 3, 11.5.4). */
	return deadline_mode ? rdmsr(MSR_TSC_DEADLINE) != 0 : apic_read(APIC_TIMER_CURRENT) != 0;
}

__init void clock_wait_us(u64 us)
{
	u64 start = arch_tsc(), ticks = tsc_hz / 1000000 * us;

	while (arch_tsc() - start < ticks)
		cpu_pause();
}
