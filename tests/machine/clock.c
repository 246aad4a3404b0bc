/*
 * Timers and kicks on all processors. The boot processor tells the others what to do through @step,
 * and they count what reached them.
 */
#include "arch/x86/arch.h"
#include "arch/x86/processor.h"
#include "arch/x86/xsave.h"
#include "kernel/core/bug.h"
#include "tests/machine/cases.h"

#define TICKS      20
#define TICK_HZ    1000
#define PATIENCE_S 10 /* emulators share the host's processors */

static u32 timers_wanted; /* processors run their timers once this is set */
static u32 timers_done;   /* how many have */
static u32 kicks[MAX_CPUS];

static u32 take_events(void)
{
	return __atomic_exchange_n(&this_cpu()->events, 0, __ATOMIC_ACQ_REL);
}

/* Sleeps from deadline to deadline; a timer that never fires is a machine that never ends. */
static void run_timers(void)
{
	u64 period = arch_tsc_hz() / TICK_HZ, deadline = arch_tsc();

	for (unsigned tick = 0; tick < TICKS; tick++) {
		u32 events = 0;

		deadline += period;
		arch_timer_arm(deadline);
		while (!(events & CPU_EVENT_TIMER) || arch_tsc() < deadline) {
			/* One-shot timers may fire a moment early; the dispatch loop arms again. */
			if (events & CPU_EVENT_TIMER)
				arch_timer_arm(deadline);
			arch_idle();
			events = take_events();
		}
		EXPECT(arch_tsc() - deadline < PATIENCE_S * arch_tsc_hz(),
			"CPU %u: tick %u is late", this_cpu()->index, tick);
	}
	arch_timer_arm(~0UL);
	take_events();
	__atomic_fetch_add(&timers_done, 1, __ATOMIC_RELEASE);
}

void test_tsc_ahead(void)
{
	wrmsr(MSR_TSC, arch_tsc() + arch_tsc_hz());
}

void test_tsc_differs(void)
{
	EXPECT(!arch_tsc_is_synchronous(), "a TSC that is a second ahead passes");
}

void test_xsave_is_odd(void)
{
	xsave_layout.parts[2].offset += 64;
}

void test_xsave_differs(void)
{
	EXPECT(arch_cpu_count() == 1, "a processor with other areas counts");
}

/* XCR0 of each processor, as it was started. */
static u64 xcr0_of(void)
{
	return read_cr4() & CR4_OSXSAVE ? read_xcr0() : 0;
}
static u64 xcr0s[MAX_CPUS];

static void test_xcr0(void)
{
	const u64 states = arch_xsave()->states;

	EXPECT((states & (XCR0_X87 | XCR0_SSE | XCR0_AVX)) == (XCR0_X87 | XCR0_SSE | XCR0_AVX),
		"guests would get states %#lx", states);
	xcr0s[0] = xcr0_of();
	for (unsigned i = 0; i < arch_cpu_count(); i++)
		EXPECT(xcr0s[i] == states, "CPU %u: XCR0 is %#lx, not %#lx", i, xcr0s[i], states);
}

static bool bug_wanted;

void test_bug_elsewhere(void)
{
	WRITE_ONCE(bug_wanted, true);
	arch_kick(1);
	/* Nothing but that bug's NMI reaches this processor any more. */
	for (;;)
		__asm__ volatile("pause");
}

__attribute__((noinline)) static void bug_if_wanted(void)
{
	if (READ_ONCE(bug_wanted))
		BUG("on another processor");
}

void test_other_cpu(void)
{
	bool done = false;

	xcr0s[this_cpu()->index] = xcr0_of();
	for (;;) {
		u32 events;

		arch_idle();
		events = take_events();
		if (events & CPU_EVENT_KICK)
			__atomic_fetch_add(&kicks[this_cpu()->index], 1, __ATOMIC_RELEASE);
		bug_if_wanted();
		if (!done && __atomic_load_n(&timers_wanted, __ATOMIC_ACQUIRE) != 0) {
			run_timers();
			done = true;
		}
	}
}

static bool waited_too_long(u64 start)
{
	return arch_tsc() - start > PATIENCE_S * arch_tsc_hz();
}

static void test_timers(void)
{
	u64 start = arch_tsc();

	__atomic_store_n(&timers_wanted, 1, __ATOMIC_RELEASE);
	for (unsigned i = 1; i < arch_cpu_count(); i++)
		arch_kick(i);
	run_timers();
	while (__atomic_load_n(&timers_done, __ATOMIC_ACQUIRE) < arch_cpu_count())
		EXPECT(!waited_too_long(start), "only %u of %u processors have ticked", timers_done,
			arch_cpu_count());
	/* A deadline that has passed fires at once, and ~0 never. */
	arch_timer_arm(1);
	start = arch_tsc();
	while (!(take_events() & CPU_EVENT_TIMER)) {
		EXPECT(!waited_too_long(start), "a past deadline does not fire");
		arch_idle();
	}
}

static void test_kicks(void)
{
	for (unsigned i = 1; i < arch_cpu_count(); i++) {
		for (u32 n = 1; n <= 100; n++) {
			u64 start = arch_tsc();

			u32 before = __atomic_load_n(&kicks[i], __ATOMIC_ACQUIRE);

			arch_kick(i);
			while (__atomic_load_n(&kicks[i], __ATOMIC_ACQUIRE) == before)
				EXPECT(!waited_too_long(start), "CPU %u sleeps through kick %u", i,
					n);
		}
	}
}

void test_processors(void)
{
	EXPECT(arch_tsc_is_synchronous(), "the processors' TSCs are found to differ");
	test_timers();
	test_kicks();
	test_xcr0();
}
