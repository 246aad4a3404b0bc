/*
 * The TSC's frequency and the LAPIC timer's: measured together over 10 ms against the first of ACPI
 * timer, HPET and PIT that counts. Any of them may be missing, switched off or clock-gated, and
 * then reads as all ones or stands still. What CPUID states is used where it agrees, or where
 * nothing counts. Pure apart from registers (tests/unit/test_clock_measure.c).
 */
#include "arch/x86/clock_measure.h"

#include <abi/errno.h>

#include "arch/x86/acpi.h"
#include "arch/x86/apic.h"
#include "arch/x86/arch.h"
#include "arch/x86/log.h"
#include "arch/x86/paging.h"
#include "arch/x86/processor.h"

#define PM_TIMER_HZ   3579545UL
#define PM_TIMER_BITS 0xffffffU /* 24 are always there */
#define PIT_HZ        1193182UL
#define WINDOW_US     10000UL
/* Readings of a timer that stands still, about a microsecond each on real machines. */
#define PATIENCE 100000U
/* An SMI may make one measurement by the PIT longer, hardly all of them. */
#define PIT_ROUNDS 3

#define PIT_CHANNEL2      0x42
#define PIT_COMMAND       0x43
#define PIT_CHANNEL2_MODE 0xb0 /* channel 2, low then high byte, mode 0 */
#define SPEAKER           0x61
#define SPEAKER_GATE2     0x01
#define SPEAKER_DATA      0x02
#define SPEAKER_OUT2      0x20

/* IA-PC HPET specification 1.0a, 2.3: in 32-bit words. */
#define HPET_PERIOD     1 /* femtoseconds a tick */
#define HPET_CONFIG     4
#define HPET_COUNTER    60
#define HPET_BYTES      0x400
#define HPET_PERIOD_MAX 100000000U
#define HPET_ENABLE     BIT(0)
#define FEMTOSECONDS    1000000000000000UL

/* CPUID 1 EAX without the stepping: Denverton, whose crystal CPUID 15H leaves out. */
#define CPU_FAMILY_MODEL(eax) ((eax)&0x0fff0ff0)
#define CPU_DENVERTON         0x000506f0U
#define DENVERTON_CRYSTAL_HZ  25000000UL

/* One moment as all clocks saw it. */
struct moment {
	u64 tsc;
	u32 lapic; /* counts down */
	u32 reference;
};

/* What passed between two of them. */
struct span {
	u64 tsc, lapic, ns; /* ns 0: the reference does not count */
};

static volatile u32 *hpet;

static u32 read_pm_timer(void)
{
	return inl(acpi_info()->power.timer_port) & PM_TIMER_BITS;
}

static u32 read_hpet(void)
{
	return hpet[HPET_COUNTER];
}

static u32 read_nothing(void)
{
	return 0;
}

/* The moment whose two TSC readings lay closest together, of a few: an interrupted host or an SMI
 * in between would spoil it. */
static struct moment look(u32 (*reference)(void))
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

static struct span between(struct moment first, struct moment last, u64 ns)
{
	return (struct span){last.tsc - first.tsc, first.lapic - last.lapic, ns};
}

/* Over a window of a reference that counts up with @hz in the bits of @mask. */
static struct span measure_counter(u32 (*reference)(void), u64 hz, u32 mask)
{
	u32 wanted = (u32)(hz * WINDOW_US / 1000000), elapsed = 0, unchanged = 0;
	struct moment first = look(reference), last;

	while (elapsed < wanted) {
		u32 now = (reference() - first.reference) & mask;

		unchanged = now == elapsed ? unchanged + 1 : 0;
		if (unchanged == PATIENCE)
			return (struct span){0, 0, 0};
		elapsed = now;
		cpu_pause();
	}
	last = look(reference);
	elapsed = (last.reference - first.reference) & mask;
	return between(first, last, (u64)((unsigned __int128)elapsed * 1000000000 / hz));
}

static struct span measure_pm_timer(void)
{
	if (acpi_info()->power.timer_port == 0)
		return (struct span){0, 0, 0};
	return measure_counter(read_pm_timer, PM_TIMER_HZ, PM_TIMER_BITS);
}

static struct span measure_hpet(void)
{
	struct span span = {0, 0, 0};
	u32 period, config;

	if (acpi_info()->hpet.raw != 0)
		hpet = paging_map_device(acpi_info()->hpet, HPET_BYTES);
	if (hpet == NULL)
		return span;
	period = hpet[HPET_PERIOD];
	if (period == 0 || period > HPET_PERIOD_MAX)
		return span;
	/* Its comparators are as they were, so it is stopped again. */
	config = hpet[HPET_CONFIG];
	hpet[HPET_CONFIG] = config | HPET_ENABLE;
	span = measure_counter(read_hpet, FEMTOSECONDS / period, ~0U);
	hpet[HPET_CONFIG] = config;
	return span;
}

/* With the PIT's channel 2, which counts down once. Its output is low from the command on; one that
 * is high at once is no PIT. */
static struct span measure_pit_once(void)
{
	u32 count = (u32)(PIT_HZ * WINDOW_US / 1000000), patience = 10 * PATIENCE;
	struct moment first;

	outb(SPEAKER, (u8)((inb(SPEAKER) & ~SPEAKER_DATA) | SPEAKER_GATE2));
	outb(PIT_COMMAND, PIT_CHANNEL2_MODE);
	outb(PIT_CHANNEL2, (u8)count);
	outb(PIT_CHANNEL2, (u8)(count >> 8));
	first = look(read_nothing);
	if (inb(SPEAKER) & SPEAKER_OUT2)
		return (struct span){0, 0, 0};
	while (!(inb(SPEAKER) & SPEAKER_OUT2)) {
		if (--patience == 0)
			return (struct span){0, 0, 0};
		cpu_pause();
	}
	return between(first, look(read_nothing), (u64)count * 1000000000 / PIT_HZ);
}

static struct span measure_pit(void)
{
	struct span best = {0, 0, 0};

	for (int i = 0; i < PIT_ROUNDS; i++) {
		struct span span = measure_pit_once();

		if (span.ns == 0)
			break;
		if (best.ns == 0 || span.tsc < best.tsc)
			best = span;
	}
	return best;
}

/* Over a window of the TSC itself, whose frequency is known. */
static struct span measure_stated(u64 hz)
{
	struct moment first = look(read_nothing);

	while (arch_tsc() - first.tsc < hz / 1000000 * WINDOW_US)
		cpu_pause();
	return between(first, look(read_nothing), 0);
}

/* What the processor says of itself (Intel SDM vol. 3, 19.7.3); 0 if nothing. */
static u64 tsc_hz_from_cpuid(void)
{
	struct cpuid_result ratio = cpuid_if_present(0x15, 0);
	u64 crystal = ratio.ecx;

	if (ratio.eax == 0 || ratio.ebx == 0)
		return 0;
	if (crystal == 0 && CPU_FAMILY_MODEL(cpuid(1, 0).eax) == CPU_DENVERTON)
		crystal = DENVERTON_CRYSTAL_HZ;
	if (crystal != 0)
		return crystal * ratio.ebx / ratio.eax;
	/* The base frequency, which is the TSC's to some tenths of a percent. */
	return (cpuid_if_present(0x16, 0).eax & 0xffff) * 1000000UL;
}

int clock_measure(struct clock_rates *rates)
{
	u64 stated = tsc_hz_from_cpuid();
	struct span span;

	apic_write(APIC_TIMER_DIVIDE, DIVIDE_BY_1);
	apic_write(APIC_TIMER_INITIAL, ~0U);
	rates->reference = "the ACPI timer";
	span = measure_pm_timer();
	if (span.ns == 0) {
		rates->reference = "the HPET";
		span = measure_hpet();
	}
	if (span.ns == 0) {
		rates->reference = "the PIT";
		span = measure_pit();
	}
	if (span.ns != 0)
		rates->tsc_hz = (u64)((unsigned __int128)span.tsc * 1000000000 / span.ns);
	else if (stated != 0) {
		rates->reference = "CPUID alone";
		rates->tsc_hz = stated;
		span = measure_stated(stated);
	}
	apic_write(APIC_TIMER_INITIAL, 0);
	if (span.tsc == 0) {
		log_error("no clock: neither the ACPI timer nor the HPET nor the PIT counts, and "
			  "CPUID states no frequency (leaf 0x15)");
		return -SLUICE_ENOENT;
	}
	rates->lapic_per_tsc = (span.lapic << 32) / span.tsc;
	/* The stated frequency is exact where it is true: not in every emulator. */
	if (span.ns != 0 && stated > rates->tsc_hz - rates->tsc_hz / 100 &&
		stated < rates->tsc_hz + rates->tsc_hz / 100) {
		rates->tsc_hz = stated;
		rates->reference = "CPUID";
	}
	return 0;
}
