/*
 * Offsets of the guest's registers for svm_entry.S, from struct vcpu itself.
 */
#include "kernel/vm/vcpu.h"

#define OFFSET_REG(name)                                                                           \
	__asm__ volatile("@@VCPU_" #name " %0@@" : : "i"(offsetof(struct vcpu, regs[name])))

void asm_offsets_svm(void);
void asm_offsets_svm(void)
{
	OFFSET_REG(RCX);
	OFFSET_REG(RDX);
	OFFSET_REG(RBX);
	OFFSET_REG(RBP);
	OFFSET_REG(RSI);
	OFFSET_REG(RDI);
	OFFSET_REG(R8);
	OFFSET_REG(R9);
	OFFSET_REG(R10);
	OFFSET_REG(R11);
	OFFSET_REG(R12);
	OFFSET_REG(R13);
	OFFSET_REG(R14);
	OFFSET_REG(R15);
}
