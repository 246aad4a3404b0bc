/*
 * Ways to die. Each must end in a BUG that names the exception and the function.
 */
#include <string.h>

#include "arch/x86/arch.h"
#include "arch/x86/cpu.h"
#include "arch/x86/paging.h"
#include "arch/x86/processor.h"
#include "kernel/core/bug.h"
#include "tests/machine/cases.h"

#define NOWHERE 0x1234000UL /* never mapped */

static u8 data[16];

static void write_byte(u64 address)
{
	*(volatile u8 *)address = 1;
}

__attribute__((noinline)) static void fault_null(void)
{
	write_byte(0);
}

__attribute__((noinline)) static void fault_write_text(void)
{
	write_byte((u64)__text_start);
}

/* The same bytes through the direct map. */
__attribute__((noinline)) static void fault_write_alias(void)
{
	write_byte(DIRECT_MAP + image_to_physical(__text_start));
}

__attribute__((noinline)) static void fault_execute_data(void)
{
	data[0] = 0xc3; /* RET */
	((void (*)(void))(u64)data)();
}

__attribute__((noinline)) static void fault_not_canonical(void)
{
	write_byte(0x0000900000000000UL);
}

__attribute__((noinline)) static void fault_stack_overflow(void)
{
	volatile u8 block[2048];

	block[0] = data[0];
	if (data[1] == 0) /* always: the guard page ends it */
		fault_stack_overflow();
	data[0] = block[0];
}

/* Delivering the page fault faults in turn. */
__attribute__((noinline)) static void fault_double(void)
{
	this_cpu_arch()->tss.ist[IST_COMMON - 1] = NOWHERE;
	write_byte(0);
}

__attribute__((noinline)) static void fault_gs_lost(void)
{
	wrmsr(MSR_GS_BASE, NOWHERE);
	write_byte(0);
}

/* An interrupt whose handler faults: on the common IST stack already. */
__attribute__((noinline)) static void fault_nested(void)
{
	arch_timer_arm(arch_tsc() + arch_tsc_hz() / 1000);
	wrmsr(MSR_GS_BASE, NOWHERE);
	__asm__ volatile("sti; hlt");
}

__attribute__((noinline)) static void fault_assertion(void)
{
	ASSERT(data[2] == 7);
}

/* Text of boot, which is not there any more. */
__attribute__((noinline)) static void fault_boot_is_over(void)
{
	u64 text_bytes;

	arch_release_init(&text_bytes);
	data[0] = (u8)paging_root();
}

static void broken_last_exits(void)
{
	write_byte(NOWHERE);
}

__attribute__((noinline)) static void fault_in_bug(void)
{
	bug_set_last_exits(broken_last_exits);
	BUG("the first one");
}

static const struct {
	const char *name;
	void (*run)(void);
} faults[] = {
	{"null", fault_null},
	{"write-text", fault_write_text},
	{"write-alias", fault_write_alias},
	{"execute-data", fault_execute_data},
	{"not-canonical", fault_not_canonical},
	{"stack-overflow", fault_stack_overflow},
	{"double", fault_double},
	{"gs-lost", fault_gs_lost},
	{"nested", fault_nested},
	{"assertion", fault_assertion},
	{"bug-in-bug", fault_in_bug},
	{"boot-is-over", fault_boot_is_over},
};

bool test_fault(const char *name)
{
	for (unsigned i = 0; i < ARRAY_SIZE(faults); i++) {
		if (strcmp(faults[i].name, name) != 0)
			continue;
		faults[i].run();
		test_fail("the fault \"%s\" went unnoticed", name);
	}
	return false;
}
