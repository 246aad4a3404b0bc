/*
 * One processor's way into VMX operation and out of it (Intel SDM vol. 3, 24.7 and 24.8).
 */
#include "arch/x86/arch.h"
#include "arch/x86/processor.h"
#include "arch/x86/vmx/vmx.h"
#include "arch/x86/vmx/vmx_msr.h"
#include "kernel/core/frame.h"
#include "kernel/core/log.h"

#include <abi/errno.h>

/* Unlocked means that the firmware left the choice to us: VT-x on, and locked as firmware would. */
__init static int unlock(unsigned cpu)
{
	u64 control = rdmsr(MSR_FEATURE_CONTROL);

	if (!(control & FEATURE_CONTROL_LOCKED)) {
		wrmsr(MSR_FEATURE_CONTROL, control | FEATURE_CONTROL_LOCKED | FEATURE_CONTROL_VMX);
		control = rdmsr(MSR_FEATURE_CONTROL);
	}
	if (control & FEATURE_CONTROL_VMX)
		return 0;
	log_error("VMX: VT-x is off on CPU %u (IA32_FEATURE_CONTROL = 0x%lx)", cpu, control);
	return -SLUICE_ENOSYS;
}

__init int vmx_cpu_enable(void)
{
	struct cpu *cpu = this_cpu();
	u32 *region;
	int error = unlock(cpu->index);

	if (error)
		return error;
	region = hypervisor_alloc(0);
	if (!region) {
		log_error("VMX: no memory for CPU %u's VMXON region", cpu->index);
		return -SLUICE_ENOMEM;
	}
	*region = vmx_capabilities.revision;

	write_cr0((read_cr0() | vmx_capabilities.cr0_fixed0) & vmx_capabilities.cr0_fixed1);
	write_cr4(read_cr4() | vmx_capabilities.cr4_fixed0 | CR4_VMXE);
	if (!vmxon(ptr_to_hpa(region))) {
		log_error("VMX: VMXON was refused on CPU %u (CR0 = 0x%lx, CR4 = 0x%lx)", cpu->index,
			read_cr0(), read_cr4());
		write_cr4(read_cr4() & ~CR4_VMXE);
		hypervisor_free(region, 0);
		return -SLUICE_EINVAL;
	}
	cpu->vendor = region;
	return 0;
}

void vmx_cpu_disable(void)
{
	struct cpu *cpu = this_cpu();

	if (!cpu->vendor)
		return;
	vmxoff();
	write_cr4(read_cr4() & ~CR4_VMXE);
	hypervisor_free(cpu->vendor, 0);
	cpu->vendor = NULL;
}
