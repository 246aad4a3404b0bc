/*
 * The TSC's frequency, measured once against the ACPI timer or the PIT; the LAPIC timer in
 * TSC-deadline mode where there is one, else one-shot.
 */
#include <abi/errno.h>

#include "arch/x86/acpi.h"
#include "arch/x86/apic.h"
#include "arch/x86/arch.h"
#include "arch/x86/clock.h"
#include "arch/x86/cpu.h"
#include "arch/x86/log.h"
#include "arch/x86/processor.h"

#define PM_TIMER_HZ 3579545UL
#define PIT_HZ      1193182UL
#define WINDOW_US   10000UL
/* Readings of a timer that stands still, about a microsecond each on real machines. */
#define PATIENCE 100000U

#define PIT_CHANNEL2      0x42
#define PIT_COMMAND       0x43
#define PIT_CHANNEL2_MODE 0xb0 /* channel 2, low then high byte, mode 0 */
#define SPEAKER           0x61
#define SPEAKER_GATE2     0x01
#define SPEAKER_DATA      0x02
#define SPEAKER_OUT2      0x20

#define CPUID_1_ECX_TSC_DEADLINE BIT(24)

/* One moment as all clocks saw it. */
struct moment {
	u64 tsc;
	u32 lapic; /* counts down */
	u32 reference;
};

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

__init static u32 read_pm_timer(void)
{
	return inl(acpi_info()->power.timer_port) & 0xffffff; /* 24 bits are always there */
}

/* The moment whose two TSC readings lay closest together, of a few: an interrupted host or an SMI
 * in between would spoil it. */
__init static struct moment look(u32 (*reference)(void))
{
	struct moment best = {0, 0, 0};
	u64 narrowest = ~0UL;

	for (int i = 0; i < 5; i++) {
		u64 before = arch_tsc();
		u32 now = reference(), lapic = apic_read(APIC_TIMER_CURRENT);
		u64 after = arch_tsc();

		if (after - before >= narrowest)
			continue;
		narrowest = after - before;
		best = (struct moment){before + narrowest / 2, lapic, now};
	}
	return best;
}

/* Microseconds between two moments of the ACPI timer, over a window; 0 if it stands still. */
__init static u64 measure_pm_timer(struct moment *first, struct moment *last)
{
	u32 wanted = (u32)(PM_TIMER_HZ * WINDOW_US / 1000000), elapsed = 0, unchanged = 0;

	if (acpi_info()->power.timer_port == 0)
		return 0;
	*first = look(read_pm_timer);
	while (elapsed < wanted) {
		u32 now = (read_pm_timer() - first->reference) & 0xffffff;

		unchanged = now == elapsed ? unchanged + 1 : 0;
		if (unchanged == PATIENCE)
			return 0;
		elapsed = now;
	}
	*last = look(read_pm_timer);
	return ((u64)((last->reference - first->reference) & 0xffffff) * 1000000000 / PM_TIMER_HZ);
}

__init static u32 read_nothing(void)
{
	return 0;
}

/* The same with the PIT's channel 2, which counts down once; nanoseconds, 0 if it never ends. */
__init static u64 measure_pit(struct moment *first, struct moment *last)
{
	u32 count = (u32)(PIT_HZ * WINDOW_US / 1000000), patience = 10 * PATIENCE;

	outb(SPEAKER, (u8)((inb(SPEAKER) & ~SPEAKER_DATA) | SPEAKER_GATE2));
	outb(PIT_COMMAND, PIT_CHANNEL2_MODE);
	outb(PIT_CHANNEL2, (u8)count);
	outb(PIT_CHANNEL2, (u8)(count >> 8));
	*first = look(read_nothing);
	while (!(inb(SPEAKER) & SPEAKER_OUT2))
		if (--patience == 0)
			return 0;
	*last = look(read_nothing);
	return (u64)count * 1000000000 / PIT_HZ;
}

/* What the processor says of itself (Intel SDM vol. 3, 19.7.3); 0 if nothing. */
__init static u64 tsc_hz_from_cpuid(void)
{
	struct cpuid_result ratio = cpuid_if_present(0x15, 0);

	if (ratio.eax == 0 || ratio.ebx == 0)
		return 0;
	return (u64)ratio.ecx * ratio.ebx / ratio.eax;
}

__init static int measure(void)
{
	struct moment first, last;
	const char *reference = "the ACPI timer";
	u64 stated = tsc_hz_from_cpuid(), ticks, ns;

	apic_write(APIC_TIMER_DIVIDE, DIVIDE_BY_1);
	apic_write(APIC_TIMER_INITIAL, ~0U);
	ns = measure_pm_timer(&first, &last);
	if (ns == 0) {
		reference = "the PIT";
		ns = measure_pit(&first, &last);
	}
	apic_write(APIC_TIMER_INITIAL, 0);
	if (ns == 0) {
		log_error("no clock: neither the ACPI timer nor the PIT counts");
		return -SLUICE_ENOENT;
	}
	ticks = last.tsc - first.tsc;
	tsc_hz = ticks * 1000000 / ns * 1000 + ticks * 1000000 % ns * 1000 / ns;
	lapic_per_tsc = ((u64)(first.lapic - last.lapic) << 32) / ticks;
	/* The stated frequency is exact where it is true: not in every emulator. */
	if (stated > tsc_hz - tsc_hz / 100 && stated < tsc_hz + tsc_hz / 100) {
		tsc_hz = stated;
		reference = "CPUID";
	}
	log_info("TSC %lu.%03lu MHz by %s; timer: %s", tsc_hz / 1000000, tsc_hz / 1000 % 1000,
		reference, deadline_mode ? "TSC deadline" : "one-shot");
	return 0;
}

__init int clock_start(void)
{
	int status;

	deadline_mode = cpuid(1, 0).ecx & CPUID_1_ECX_TSC_DEADLINE;
	status = measure();
	if (status != 0)
		return status;
	if (!deadline_mode && lapic_per_tsc == 0) {
		log_error("no timer: the LAPIC timer does not count");
		return -SLUICE_ENOENT;
	}
	clock_enable();
	return 0;
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
