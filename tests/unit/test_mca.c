/*
 * Machine-check banks that hold errors when a processor starts, and processors that have none.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "arch/x86/arch.h"
#include "arch/x86/mca.h"
#include "arch/x86/port.h"
#include "arch/x86/processor.h"

#define BANKS 3

static struct cpu seventh = {.index = 7};
__thread struct cpu *fake_cpu;
static bool has_mca, has_msrs;
static u64 bank_status[BANKS], addresses[BANKS], global;
static char said[512];

int rdmsr_safe(u32 msr, u64 *value)
{
	assert_true(has_mca);
	if (!has_msrs)
		return -14;
	if (msr == 0x179)
		*value = 0x1000c00 | BANKS;
	else if (msr == 0x17a)
		*value = global;
	else {
		assert_in_range(msr, 0x401, 0x403 + 4 * (BANKS - 1));
		assert_in_range(msr & 3, 1, 2);
		*value = (msr & 3) == 1 ? bank_status[(msr - 0x401) / 4]
					: addresses[(msr - 0x402) / 4];
	}
	return 0;
}

/* Only 0 may be written to a status (Intel SDM vol. 3, 16.3.2.2). */
int wrmsr_safe(u32 msr, u64 value)
{
	assert_int_equal(value, 0);
	if (msr == 0x17a)
		global = 0;
	else
		bank_status[(msr - 0x401) / 4] = 0;
	return 0;
}

static struct cpuid_result fake_cpuid(u32 leaf, u32 subleaf)
{
	assert_int_equal(leaf, 1);
	assert_int_equal(subleaf, 0);
	return (struct cpuid_result){.edx = has_mca ? BIT(14) : 0};
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

#define cpuid fake_cpuid
#include "arch/x86/mca.c"

static void errors_are_named_and_cleared(void **state)
{
	(void)state;
	fake_cpu = &seventh;
	has_mca = has_msrs = true;
	bank_status[0] = 0x0000000000070f0f; /* not valid */
	bank_status[1] = 0xbe00000000800400;
	addresses[1] = 0x12345678;
	bank_status[2] = 0x9000000000000011; /* without address */
	addresses[2] = 0x666;
	global = 4;
	mca_clear();
	assert_non_null(strstr(said, "CPU 7"));
	assert_non_null(strstr(said, "bank 1, status 0xbe00000000800400, address 0x12345678"));
	assert_non_null(strstr(said, "bank 2, status 0x9000000000000011, address 0x0"));
	assert_null(strstr(said, "bank 0"));
	assert_int_equal(bank_status[1] | bank_status[2] | global, 0);
	said[0] = 0;
	mca_clear();
	assert_string_equal(said, "");
}

static void without_banks_nothing_is_done(void **state)
{
	(void)state;
	said[0] = 0;
	has_mca = has_msrs = false;
	mca_clear();
	has_mca = true; /* as Bochs has it */
	mca_clear();
	assert_string_equal(said, "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(errors_are_named_and_cleared),
		cmocka_unit_test(without_banks_nothing_is_done),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
