/*
 * Machine-check banks at the start (Intel SDM vol. 3, 16.3; AMD APM vol. 2, 9.3): errors survive a
 * reset, and one that counts as being handled (MCIP) would make the next a shutdown. What is
 * reported in which bank, and whether it raises an exception, stays as the firmware chose.
 */
#include "arch/x86/mca.h"

#include "arch/x86/arch.h"
#include "arch/x86/log.h"
#include "arch/x86/processor.h"

#define CPUID_1_EDX_MCA BIT(14)

#define MSR_MCG_CAP          0x179
#define MCG_CAP_COUNT        0xff
#define MSR_MCG_STATUS       0x17a
#define MSR_MC_STATUS(bank)  (0x401 + 4 * (bank))
#define MSR_MC_ADDRESS(bank) (0x402 + 4 * (bank))
#define STATUS_VALID         BIT(63)
#define STATUS_ADDRESS_VALID BIT(58)

void mca_clear(void)
{
	u64 capability, status, address;

	if (!(cpuid(1, 0).edx & CPUID_1_EDX_MCA) || rdmsr_safe(MSR_MCG_CAP, &capability) != 0)
		return;
	for (u32 bank = 0; bank < (capability & MCG_CAP_COUNT); bank++) {
		if (rdmsr_safe(MSR_MC_STATUS(bank), &status) != 0 || !(status & STATUS_VALID))
			continue;
		if (!(status & STATUS_ADDRESS_VALID) ||
			rdmsr_safe(MSR_MC_ADDRESS(bank), &address) != 0)
			address = 0;
		log_warn("CPU %u: machine check before the start: bank %u, status 0x%lx, address "
			 "0x%lx",
			this_cpu()->index, bank, status, address);
		if (wrmsr_safe(MSR_MC_STATUS(bank), 0) != 0)
			log_warn("CPU %u: bank %u cannot be cleared", this_cpu()->index, bank);
	}
	if (rdmsr_safe(MSR_MCG_STATUS, &status) == 0 && status != 0 &&
		wrmsr_safe(MSR_MCG_STATUS, 0) != 0)
		log_warn("CPU %u: IA32_MCG_STATUS (0x%lx) cannot be cleared", this_cpu()->index,
			status);
}
