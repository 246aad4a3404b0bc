/*
 * How long the instruction was that exited. With NRIPS the processor says so. Without, the
 * instruction is fetched from guest memory and its prefixes are counted; a guest that changes its
 * code meanwhile confuses nobody but itself.
 */
#include "arch/x86/processor.h"
#include "arch/x86/svm/svm.h"

void svm_skip_instruction(struct vcpu *vcpu, unsigned length)
{
	struct vmcb *vmcb = vmcb_of(vcpu);

	if (svm_features.next_rip)
		vmcb->rip = vmcb->next_rip;
	else
		vmcb->rip += length;
	vmcb->interrupt_shadow = 0;
}

enum reg svm_cr_operand(struct vcpu *vcpu)
{
	const struct vmcb *vmcb = vmcb_of(vcpu);

	if (vmcb->exit_info_1 & CR_INFO_VALID)
		return vmcb->exit_info_1 & CR_INFO_REG;
	return RAX;
}
