/*
 * kernel_main() of the processor floor's test image: boots as the hypervisor does up to the
 * processors' start, runs the case that the command line names, says "test: passed" and powers off.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "arch/x86/arch.h"
#include "arch/x86/port.h"
#include "kernel/core/bug.h"
#include "kernel/core/log.h"
#include "tests/machine/cases.h"

static const struct {
	const char *name;
	void (*run)(void);
} cases[] = {
	{"processors", test_processors},
	{"tsc-ahead", test_tsc_differs},
	{"xsave-differs", test_xsave_differs},
	{"page-rights", test_page_rights},
	{"boot-memory", test_boot_memory},
	{"page-copies", test_page_copies},
	{"compression", test_compression},
	{"msr-access", test_msr_access},
	{"bug-elsewhere", test_bug_elsewhere},
	{"reboot", arch_reboot},
};

void test_fail(const char *format, ...)
{
	char text[160];
	va_list arguments;

	va_start(arguments, format);
	vsniprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	log_error("test: FAILED: %s", text);
	log_flush();
	arch_power_off();
}

bool cpu_is_fit(void)
{
	return true;
}

void cpu_main(void)
{
	test_other_cpu();
}

void kernel_main(void)
{
	const char *wanted = boot_info()->command_line;
	bool ran = false;

	arch_start_boot_cpu();
	EXPECT(arch_start_machine() == 0, "the machine does not start");
	if (strcmp(wanted, "boot-memory") == 0)
		test_boot_memory(); /* uses the early allocator */
	if (strcmp(wanted, "tsc-ahead") == 0)
		test_tsc_ahead();
	if (strcmp(wanted, "xsave-differs") == 0)
		test_xsave_is_odd();
	arch_early_seal();
	bug_set_action(BUG_POWER_OFF);
	log_info("test: %u processors", arch_start_other_cpus());
	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		if (strcmp(wanted, cases[i].name) != 0)
			continue;
		cases[i].run();
		ran = true;
	}
	log_info("test: case \"%s\"", wanted);
	EXPECT(ran || test_fault(wanted), "there is no case \"%s\"", wanted);
	log_info("test: passed");
	log_flush();
	arch_power_off();
}
