/*
 * Offsets for vmx_entry.S (arch/x86/asm_offsets.c says how).
 */
#include "arch/x86/vmx/vmx.h"

#define OFFSET(name, type, field)                                                                  \
	__asm__ volatile("@@" #name " %0@@" : : "i"(offsetof(type, field)))

_Static_assert(
	offsetof(struct vcpu, regs) == 0, "the entry code addresses registers from the vCPU");

void asm_offsets_vmx(void);
void asm_offsets_vmx(void)
{
	OFFSET(VMX_HOST_RSP, struct vmx_vcpu, host_rsp);
	OFFSET(VCPU_VENDOR, struct vcpu, vendor);
	OFFSET(VCPU_RAX, struct vcpu, regs[RAX]);
	OFFSET(VCPU_RCX, struct vcpu, regs[RCX]);
	OFFSET(VCPU_RDX, struct vcpu, regs[RDX]);
	OFFSET(VCPU_RBX, struct vcpu, regs[RBX]);
	OFFSET(VCPU_RBP, struct vcpu, regs[RBP]);
	OFFSET(VCPU_RSI, struct vcpu, regs[RSI]);
	OFFSET(VCPU_RDI, struct vcpu, regs[RDI]);
	OFFSET(VCPU_R8, struct vcpu, regs[R8]);
	OFFSET(VCPU_R9, struct vcpu, regs[R9]);
	OFFSET(VCPU_R10, struct vcpu, regs[R10]);
	OFFSET(VCPU_R11, struct vcpu, regs[R11]);
	OFFSET(VCPU_R12, struct vcpu, regs[R12]);
	OFFSET(VCPU_R13, struct vcpu, regs[R13]);
	OFFSET(VCPU_R14, struct vcpu, regs[R14]);
	OFFSET(VCPU_R15, struct vcpu, regs[R15]);
}
