/*
 * The TSC's frequency on machines that lack one clock or another, or have them switched off. Time
 * passes with each access, so a wait without end is one that the test does not survive.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "arch/x86/acpi.h"
#include "arch/x86/apic.h"
#include "arch/x86/facts.h"
#include "arch/x86/paging.h"
#include "arch/x86/port.h"
#include "arch/x86/processor.h"

#define PM_PORT  0x1808
#define APIC_HZ  100000000.0
#define HPET_FS  69841279 /* 14.318180 MHz */
#define GIVEN_UP 60.0     /* seconds */

enum counts { ABSENT, STOPPED, COUNTS };

static struct machine {
	double tsc_hz;
	enum counts pm_timer, hpet, pit;
	bool hpet_was_on;
	double smi_every; /* microseconds between SMIs that take half a millisecond; 0: none */
	/* CPUID 1 EAX, 15H, 16H EAX. */
	u32 model, denominator, numerator, crystal, base_mhz;
} machine;

static double clock_now, last_smi; /* seconds */
static double pit_started;
static u32 hpet_page[256];
static char said[512];

static void pass(double seconds)
{
	clock_now += seconds;
	if (machine.smi_every > 0 && clock_now - last_smi > machine.smi_every / 1e6) {
		clock_now += 500e-6;
		last_smi = clock_now;
	}
	if (machine.hpet == COUNTS && (hpet_page[4] & 1))
		hpet_page[60] = (u32)(u64)(clock_now * 1e15 / HPET_FS);
	if (clock_now > GIVEN_UP)
		fail_msg("waits for ever");
}

u64 arch_tsc(void)
{
	pass(20e-9);
	return (u64)(clock_now * machine.tsc_hz);
}

static void fake_pause(void)
{
	pass(40e-9);
}

static u32 fake_inl(u16 port)
{
	assert_int_equal(port, PM_PORT);
	pass(1e-6);
	if (machine.pm_timer == COUNTS)
		return (u32)(u64)(clock_now * 3579545.0) & 0xffffff;
	return machine.pm_timer == STOPPED ? 0x1234 : 0xffffffff;
}

static u8 fake_inb(u16 port)
{
	assert_int_equal(port, 0x61);
	pass(1e-6);
	if (machine.pit == ABSENT)
		return 0xff;
	return machine.pit == COUNTS && clock_now - pit_started > 11931 / 1193182.0 ? 0x20 : 0;
}

static void fake_outb(u16 port, u8 value)
{
	(void)value;
	pass(1e-6);
	if (port == 0x42 || port == 0x43)
		pit_started = clock_now;
}

static struct cpuid_result fake_cpuid(u32 leaf, u32 subleaf)
{
	(void)subleaf;
	if (leaf == 1)
		return (struct cpuid_result){.eax = machine.model};
	if (leaf == 0x15)
		return (struct cpuid_result){
			machine.denominator, machine.numerator, machine.crystal, 0};
	assert_int_equal(leaf, 0x16);
	return (struct cpuid_result){.eax = machine.base_mhz};
}

static double apic_started;

u32 apic_read(unsigned reg)
{
	assert_int_equal(reg, APIC_TIMER_CURRENT);
	return ~(u32)(u64)((clock_now - apic_started) * APIC_HZ);
}

void apic_write(unsigned reg, u32 value)
{
	(void)value;
	if (reg == APIC_TIMER_INITIAL)
		apic_started = clock_now;
}

volatile void *paging_map_device(hpa_t device, u64 bytes)
{
	assert_int_equal(device.raw, 0xfed00000);
	assert_true(bytes <= sizeof(hpet_page));
	return hpet_page;
}

void log_line(int level, const char *format, ...)
{
	va_list arguments;

	(void)level;
	va_start(arguments, format);
	vsnprintf(said, sizeof(said), format, arguments);
	va_end(arguments);
}

#define inb              fake_inb
#define inl              fake_inl
#define outb             fake_outb
#define cpuid            fake_cpuid
#define cpuid_if_present fake_cpuid
#define cpu_pause        fake_pause
#include "arch/x86/clock_measure.c"

/* Measures @on, and expects to hear that it was by @reference and right to one in @precision. */
static void measures(struct machine on, const char *reference, double precision)
{
	struct clock_rates rates;

	machine = on;
	clock_now = 1.0;
	last_smi = 0.9969; /* the first one is over when the first round is */
	said[0] = 0;
	hpet = NULL;
	acpi_facts = (struct acpi_info){
		.power.timer_port = on.pm_timer == ABSENT ? 0 : PM_PORT, .hpet = {0xfed00000}};
	memset(hpet_page, on.hpet == ABSENT ? 0xff : 0, sizeof(hpet_page));
	if (on.hpet != ABSENT) {
		hpet_page[0] = 0x8086a201;
		hpet_page[1] = HPET_FS;
		hpet_page[4] = 2 | on.hpet_was_on;
	}
	if (reference == NULL) {
		assert_true(clock_measure(&rates) < 0);
		assert_non_null(strstr(said, "no clock"));
		return;
	}
	assert_int_equal(clock_measure(&rates), 0);
	assert_string_equal(rates.reference, reference);
	assert_true(rates.tsc_hz > on.tsc_hz * (1 - 1 / precision));
	assert_true(rates.tsc_hz < on.tsc_hz * (1 + 1 / precision));
	assert_true(rates.lapic_per_tsc > 0.998 * APIC_HZ / on.tsc_hz * 4294967296.0);
	assert_true(rates.lapic_per_tsc < 1.002 * APIC_HZ / on.tsc_hz * 4294967296.0);
	if (on.hpet != ABSENT)
		assert_int_equal(hpet_page[4], 2 | on.hpet_was_on);
}

#define GHZ 2893.3e6

static struct machine with(double tsc_hz, enum counts pm_timer, enum counts timers, enum counts pit)
{
	return (struct machine){.tsc_hz = tsc_hz, .pm_timer = pm_timer, .hpet = timers, .pit = pit};
}

static void the_first_that_counts_is_taken(void **state)
{
	const struct machine hpet_on = {.tsc_hz = GHZ, .hpet = COUNTS, .hpet_was_on = true};

	(void)state;
	measures(with(GHZ, COUNTS, COUNTS, COUNTS), "the ACPI timer", 5000);
	measures(with(GHZ, STOPPED, COUNTS, COUNTS), "the HPET", 5000);
	measures(hpet_on, "the HPET", 5000);
	measures(with(GHZ, ABSENT, STOPPED, COUNTS), "the PIT", 2000);
	measures(with(GHZ, ABSENT, ABSENT, COUNTS), "the PIT", 2000);
	/* As slow as Bochs is made to be. */
	measures(with(50e6, COUNTS, ABSENT, COUNTS), "the ACPI timer", 1000);
}

/* A port that nobody answers reads as all ones: the PIT's output is then "high" at once. */
static void nothing_that_counts_is_said_so(void **state)
{
	(void)state;
	measures(with(GHZ, ABSENT, ABSENT, ABSENT), NULL, 0);
	measures(with(GHZ, STOPPED, STOPPED, STOPPED), NULL, 0);
}

static void smis_do_not_count(void **state)
{
	const struct machine smi_pm = {.tsc_hz = GHZ, .pm_timer = COUNTS, .smi_every = 3000};
	const struct machine smi_hpet = {.tsc_hz = GHZ, .hpet = COUNTS, .smi_every = 3000};
	const struct machine smi_pit = {.tsc_hz = GHZ, .pit = COUNTS, .smi_every = 13000};

	(void)state;
	measures(smi_pm, "the ACPI timer", 5000);
	measures(smi_hpet, "the HPET", 5000);
	measures(smi_pit, "the PIT", 2000);
}

/* What leaves 15H and 16H of these say: EAX, EBX, ECX; EAX. */
static void what_the_processor_says_of_itself(void **state)
{
	/* Core i7-6700: no crystal, so by the base frequency; the real one is 24 MHz * 142. */
	struct machine skylake = {
		3408e6, .model = 0x506e3, .denominator = 2, .numerator = 284, .base_mhz = 3400};
	/* Atom C3000. */
	struct machine denverton = {
		.tsc_hz = 2200e6, .model = 0x506f1, .denominator = 3, .numerator = 264};
	/* Alder Lake, whose crystal has 38.4 MHz. */
	struct machine alder = {.tsc_hz = 2995.2e6,
		.model = 0x906a3,
		.denominator = 2,
		.numerator = 156,
		.crystal = 38400000,
		.base_mhz = 3000};

	(void)state;
	measures(skylake, "CPUID alone", 400);
	measures(denverton, "CPUID alone", 1e6);
	measures(alder, "CPUID alone", 1e6);
	skylake.pm_timer = denverton.pm_timer = alder.pm_timer = COUNTS;
	measures(skylake, "CPUID", 400);
	measures(alder, "CPUID", 1e6);
	/* A hypervisor that shows the leaf of its host, and another TSC. */
	alder.tsc_hz = 1000e6;
	measures(alder, "the ACPI timer", 5000);
	alder.numerator = 0;
	measures(alder, "the ACPI timer", 5000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_first_that_counts_is_taken),
		cmocka_unit_test(nothing_that_counts_is_said_so),
		cmocka_unit_test(smis_do_not_count),
		cmocka_unit_test(what_the_processor_says_of_itself),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
