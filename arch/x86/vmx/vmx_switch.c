/*
 * Registers that a guest owns while it runs, and that neither the VMCS nor the entry code switches:
 * debug registers, CR2, and the MSRs it writes without an exit. The hypervisor uses none of them,
 * so they change hands once a turn of the dispatch loop.
 */
#include "arch/x86/processor.h"
#include "arch/x86/vmx/vmx.h"

static const u32 switched_msrs[] = {MSR_STAR, MSR_LSTAR, MSR_CSTAR, MSR_SFMASK, MSR_KERNEL_GS_BASE};
_Static_assert(ARRAY_SIZE(switched_msrs) == ARRAY_SIZE(((struct vmx_vcpu *)0)->msrs),
	"one slot for each MSR");

void vmx_guest_registers_load(struct vcpu *vcpu)
{
	const struct vmx_vcpu *vmx = vcpu->vendor;

	for (unsigned i = 0; i < ARRAY_SIZE(switched_msrs); i++)
		wrmsr(switched_msrs[i], vmx->msrs[i]);
	write_dr0(vcpu->debug_registers[0]);
	write_dr1(vcpu->debug_registers[1]);
	write_dr2(vcpu->debug_registers[2]);
	write_dr3(vcpu->debug_registers[3]);
	write_dr6(vcpu->dr6);
	write_cr2(vcpu->cr2);
}

void vmx_guest_registers_save(struct vcpu *vcpu)
{
	struct vmx_vcpu *vmx = vcpu->vendor;

	for (unsigned i = 0; i < ARRAY_SIZE(switched_msrs); i++)
		vmx->msrs[i] = rdmsr(switched_msrs[i]);
	vcpu->debug_registers[0] = read_dr0();
	vcpu->debug_registers[1] = read_dr1();
	vcpu->debug_registers[2] = read_dr2();
	vcpu->debug_registers[3] = read_dr3();
	vcpu->dr6 = read_dr6();
	vcpu->cr2 = read_cr2();
}
