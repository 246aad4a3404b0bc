/*
 * The end of the machine. Runs on the boot CPU with the world stopped.
 */
#include "kernel/ending.h"

#include "arch/x86/arch.h"
#include "kernel/core/frame.h"
#include "kernel/core/log.h"
#include "kernel/summary.h"
#include "kernel/vm/audit.h"
#include "kernel/vm/memory.h"
#include "kernel/vm/virt.h"
#include "kernel/world.h"

static u8 when_done = WHEN_DONE_POWER_OFF;
static u64 first_entry; /* TSC */

void ending_configure(const struct machine_config *config)
{
	when_done = config->when_done;
}

void ending_must_power_off(void)
{
	when_done = WHEN_DONE_POWER_OFF;
}

void ending_note_first_entry(void)
{
	if (!first_entry)
		first_entry = arch_tsc();
}

void ending(void)
{
	u64 found;

	log_flush(); /* what guests wrote comes before the summary */
	world_stop();
	found = audit_run();
	summary_print(first_entry ? first_entry - boot_info()->entry_tsc : 0, found);
	virt->cpu_disable();
	switch (when_done) {
	case WHEN_DONE_HALT:
		log_info("all guests have stopped: halted");
		log_flush();
		arch_halt();
	case WHEN_DONE_REBOOT:
		log_info("all guests have stopped: rebooting");
		log_flush();
		arch_reboot();
	default:
		log_info("all guests have stopped: powering off");
		log_flush();
		arch_power_off();
	}
}
