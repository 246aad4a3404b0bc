/*
 * arch_start_machine(): the order in which the processor floor learns the machine. Everything that
 * needs memory happens here, before arch_early_seal().
 */
#include <abi/errno.h>

#include "arch/x86/acpi.h"
#include "arch/x86/apic.h"
#include "arch/x86/clock.h"
#include "arch/x86/log.h"
#include "arch/x86/mca.h"
#include "arch/x86/rtc.h"
#include "arch/x86/start.h"

int arch_start_machine(void)
{
	int status;

	mca_clear();
	status = acpi_start();
	if (status != 0)
		return status;
	pic_mask();
	status = apic_start();
	if (status != 0)
		return status;
	ioapic_start();
	status = clock_start();
	if (status != 0)
		return status;
	rtc_start();
	status = smp_prepare();
	if (status != 0)
		log_error("not enough memory for the stacks of %u processors",
			acpi_info()->cpu_count);
	return status;
}
