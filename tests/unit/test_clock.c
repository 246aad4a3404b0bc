/*
 * The LAPIC timer is tried at boot: where deadlines do not fire it counts down instead, and where
 * it does nothing that is said.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "arch/x86/apic.h"
#include "arch/x86/arch.h"
#include "arch/x86/clock_measure.h"
#include "arch/x86/cpu.h"
#include "arch/x86/port.h"
#include "arch/x86/processor.h"

#define TSC_HZ 2000000000UL

static bool has_deadline, deadline_fires, count_fires;
static u64 lapic_rate;

static u64 time_now, fires_at;
static u32 lvt;
static char said[512];

static bool in_deadline_mode(void)
{
	return lvt & LVT_TSC_DEADLINE;
}

u64 arch_tsc(void)
{
	return time_now += 100;
}

static void fake_pause(void)
{
	time_now += 10000;
}

int clock_measure(struct clock_rates *rates)
{
	*rates = (struct clock_rates){TSC_HZ, lapic_rate, "a test"};
	return 0;
}

u32 apic_read(unsigned reg)
{
	assert_int_equal(reg, APIC_IRR + 7);
	return fires_at != 0 && time_now >= fires_at ? BIT(HOST_VECTOR_TIMER % 32) : 0;
}

void apic_write(unsigned reg, u32 value)
{
	if (reg == APIC_LVT_TIMER) {
		lvt = value;
		fires_at = 0;
	} else if (reg == APIC_TIMER_INITIAL) {
		assert_false(in_deadline_mode());
		fires_at = count_fires ? time_now + value * 20UL : 0;
	}
}

static void fake_wrmsr(u32 msr, u64 value)
{
	assert_int_equal(msr, MSR_TSC_DEADLINE);
	assert_true(in_deadline_mode());
	fires_at = deadline_fires ? value : 0;
}

static struct cpuid_result fake_cpuid(u32 leaf, u32 subleaf)
{
	(void)subleaf;
	return (struct cpuid_result){.ecx = leaf == 1 && has_deadline ? BIT(24) : 0};
}

void log_line(int level, const char *format, ...)
{
	size_t length = strlen(said);
	va_list arguments;

	(void)level;
	va_start(arguments, format);
	vsnprintf(said + length, sizeof(said) - length, format, arguments);
	va_end(arguments);
}

#define wrmsr            fake_wrmsr
#define cpuid            fake_cpuid
#define cpuid_if_present fake_cpuid
#define cpu_pause        fake_pause
#include "arch/x86/clock.c"

static int start(bool deadline, bool deadline_works, bool count_works)
{
	has_deadline = deadline;
	deadline_fires = deadline_works;
	count_fires = count_works;
	lapic_rate = BIT(32) / 20;
	time_now = 1;
	fires_at = 0;
	said[0] = 0;
	return clock_start();
}

static void a_timer_that_fires_is_used(void **state)
{
	(void)state;
	assert_int_equal(start(true, true, true), 0);
	assert_true(in_deadline_mode());
	assert_true(time_now < TSC_HZ / 1000);
	assert_int_equal(start(false, false, true), 0);
	assert_false(in_deadline_mode());
	assert_true(time_now < TSC_HZ / 1000);
}

static void deadlines_that_do_not_fire_are_not_used(void **state)
{
	(void)state;
	assert_int_equal(start(true, false, true), 0);
	assert_false(in_deadline_mode());
	assert_non_null(strstr(said, "does not fire at TSC deadlines"));
	arch_timer_arm(time_now + 1000000);
	assert_true(fires_at > time_now);
}

static void no_timer_is_said_so(void **state)
{
	(void)state;
	assert_true(start(true, false, false) < 0);
	assert_non_null(strstr(said, "does not fire"));
	assert_true(start(false, false, false) < 0);
	assert_non_null(strstr(said, "no timer"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_timer_that_fires_is_used),
		cmocka_unit_test(deadlines_that_do_not_fire_are_not_used),
		cmocka_unit_test(no_timer_is_said_so),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
