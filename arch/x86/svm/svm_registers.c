/*
 * Control, debug and model-specific registers that exit, and what of them no VMCB holds. A value
 * that the guest's CPUID does not allow is #GP, as on a processor without that feature; that keeps
 * every VMCB legal for VMRUN.
 */
#include "arch/x86/guest/platform.h"
#include "arch/x86/processor.h"
#include "arch/x86/svm/svm.h"

#define MOV_CR_LENGTH 3
#define RDMSR_LENGTH  2

#define MSR_INFO_WRITE 1

#define EFER_FFXSR BIT(14)

/* CR4 bits and the CPUID bits of leaf 1 EDX, leaf 7 EBX and ECX that bring them. */
struct cr4_rule {
	u64 cr4;
	u32 one_edx, one_ecx, seven_ebx, seven_ecx;
};

static const struct cr4_rule cr4_rules[] = {
	{.cr4 = CR4_VME | CR4_PVI, .one_edx = BIT(1)},
	{.cr4 = CR4_DE, .one_edx = BIT(2)},
	{.cr4 = CR4_PSE, .one_edx = BIT(3)},
	{.cr4 = CR4_TSD, .one_edx = BIT(4)},
	{.cr4 = CR4_PAE, .one_edx = BIT(6)},
	{.cr4 = CR4_PGE, .one_edx = BIT(13)},
	{.cr4 = CR4_OSFXSR, .one_edx = BIT(24)},
	{.cr4 = CR4_OSXMMEXCPT, .one_edx = BIT(25)},
	{.cr4 = CR4_PCIDE, .one_ecx = BIT(17)},
	{.cr4 = CR4_OSXSAVE, .one_ecx = BIT(26)},
	{.cr4 = CR4_FSGSBASE, .seven_ebx = BIT(0)},
	{.cr4 = CR4_SMEP, .seven_ebx = BIT(7)},
	{.cr4 = CR4_SMAP, .seven_ebx = BIT(20)},
	{.cr4 = CR4_UMIP, .seven_ecx = BIT(2)},
};

/* Not PKE and the like, whatever CPUID says: their state is not switched. */
static u64 cr4_allowed(const struct vcpu *vcpu)
{
	struct cpuid_result one = cpuid_of(vcpu, 1, 0), seven = cpuid_of(vcpu, 7, 0);
	u64 allowed = CR4_PCE; /* RDPMC exits anyway */

	for (unsigned i = 0; i < ARRAY_SIZE(cr4_rules); i++) {
		const struct cr4_rule *rule = &cr4_rules[i];

		if ((one.edx & rule->one_edx) || (one.ecx & rule->one_ecx) ||
			(seven.ebx & rule->seven_ebx) || (seven.ecx & rule->seven_ecx))
			allowed |= rule->cr4;
	}
	return allowed;
}

/* MOV CR4 as the processor checks it (APM vol. 2, 3.1.3 and 5.5.1). */
static bool cr4_is_legal(const struct vcpu *vcpu, u64 value)
{
	const struct vmcb *vmcb = vmcb_of(vcpu);
	bool long_mode = vmcb->efer & EFER_LMA;

	if (value & ~cr4_allowed(vcpu))
		return false;
	if (long_mode && !(value & CR4_PAE))
		return false;
	if ((value & CR4_PCIDE) && !(vmcb->cr4 & CR4_PCIDE))
		return long_mode && (vmcb->cr3 & PAGE_MASK) == 0;
	return true;
}

static u64 read_register(const struct vcpu *vcpu, enum reg reg)
{
	return reg == RSP ? vmcb_of(vcpu)->rsp : vcpu->regs[reg];
}

static void write_register(struct vcpu *vcpu, enum reg reg, u64 value)
{
	if (reg == RSP)
		vmcb_of(vcpu)->rsp = value;
	else
		vcpu->regs[reg] = value;
}

void svm_read_cr(struct vcpu *vcpu, unsigned number)
{
	enum reg reg;

	if (!svm_cr_operand(vcpu, &reg))
		return;
	if (number == 8)
		write_register(vcpu, reg, lapic_get_tpr(vcpu));
	else
		write_register(vcpu, reg, vmcb_of(vcpu)->cr4 & ~svm_features.cr4_kept);
	svm_skip_instruction(vcpu, MOV_CR_LENGTH);
}

static bool guest_cr4_write(struct vcpu *vcpu, u64 value)
{
	struct svm_vcpu *svm = svm_of(vcpu);

	if (!cr4_is_legal(vcpu, value))
		return false;
	svm->vmcb.cr4 = value | svm_features.cr4_kept;
	xsave_follow_cr4(vcpu, value);
	svm->vmcb.clean &= ~(u32)CLEAN_CR;
	svm->flush = true; /* as MOV CR4 itself does when paging bits change */
	return true;
}

static bool guest_cr8_write(struct vcpu *vcpu, u64 value)
{
	if (value & ~0xfUL)
		return false;
	lapic_set_tpr(vcpu, (u8)value);
	return true;
}

void svm_write_cr(struct vcpu *vcpu, unsigned number)
{
	enum reg reg;
	u64 value;

	if (!svm_cr_operand(vcpu, &reg))
		return;
	value = read_register(vcpu, reg);
	if (!svm_in_long_mode(vmcb_of(vcpu)))
		value = (u32)value;
	if (number == 8 ? guest_cr8_write(vcpu, value) : guest_cr4_write(vcpu, value))
		svm_skip_instruction(vcpu, MOV_CR_LENGTH);
	else
		vcpu_inject_exception(vcpu, VECTOR_GP, 0);
}

/*
 * DR0 to DR3 are in no VMCB. Few guests use them, so they are switched only for a vCPU that has
 * touched one; the instruction then runs again, without an exit.
 */
void svm_own_debug_registers(struct vcpu *vcpu)
{
	struct svm_vcpu *svm = svm_of(vcpu);

	svm->owns_debug = true;
	svm->vmcb.intercept_dr = 0;
	svm->vmcb.clean &= ~(u32)CLEAN_INTERCEPTS;
	svm_load_debug_registers(vcpu);
}

void svm_load_debug_registers(struct vcpu *vcpu)
{
	const u64 *dr = vcpu->debug_registers;

	if (!svm_of(vcpu)->owns_debug)
		return;
	__asm__ volatile("mov %0, %%dr0; mov %1, %%dr1; mov %2, %%dr2; mov %3, %%dr3"
			 :
			 : "r"(dr[0]), "r"(dr[1]), "r"(dr[2]), "r"(dr[3]));
}

void svm_save_debug_registers(struct vcpu *vcpu)
{
	u64 *dr = vcpu->debug_registers;

	if (!svm_of(vcpu)->owns_debug)
		return;
	__asm__ volatile("mov %%dr0, %0; mov %%dr1, %1; mov %%dr2, %2; mov %%dr3, %3"
			 : "=r"(dr[0]), "=r"(dr[1]), "=r"(dr[2]), "=r"(dr[3]));
}

/* SVME must be set while a guest runs (APM vol. 2, 15.5.1) and is hidden; LMA is the processor's.
 */
static bool write_efer(struct vcpu *vcpu, u64 value)
{
	struct svm_vcpu *svm = svm_of(vcpu);
	struct vmcb *vmcb = &svm->vmcb;
	u32 features = cpuid_of(vcpu, 0x80000001, 0).edx;
	u64 allowed = EFER_SCE | EFER_LMA;

	if (features & BIT(20))
		allowed |= EFER_NXE;
	if (features & BIT(25))
		allowed |= EFER_FFXSR;
	if (features & BIT(29))
		allowed |= EFER_LME;
	if (value & ~allowed)
		return false;
	if ((vmcb->cr0 & CR0_PG) && ((value ^ vmcb->efer) & EFER_LME))
		return false;
	vmcb->efer = (value & ~EFER_LMA) | (vmcb->efer & EFER_LMA) | EFER_SVME;
	vmcb->clean &= ~(u32)CLEAN_CR;
	svm->flush = true; /* NXE changes what translations mean */
	return true;
}

static enum outcome read_msr(struct vcpu *vcpu, u32 msr, u64 *value)
{
	if (msr == MSR_EFER) {
		*value = vmcb_of(vcpu)->efer & ~EFER_SVME;
		return DONE;
	}
	return msr_read(vcpu, msr, value);
}

static enum outcome write_msr(struct vcpu *vcpu, u32 msr, u64 value)
{
	if (msr == MSR_EFER)
		return write_efer(vcpu, value) ? DONE : BAD;
	return msr_write(vcpu, msr, value);
}

void svm_access_msr(struct vcpu *vcpu)
{
	u64 *regs = vcpu->regs;
	u32 msr = (u32)regs[RCX];
	u64 value = regs[RDX] << 32 | (u32)regs[RAX];
	bool is_write = vmcb_of(vcpu)->exit_info_1 & MSR_INFO_WRITE;
	enum outcome outcome;

	outcome = is_write ? write_msr(vcpu, msr, value) : read_msr(vcpu, msr, &value);
	if (outcome == BAD)
		vcpu_inject_exception(vcpu, VECTOR_GP, 0);
	if (outcome != DONE)
		return;
	if (!is_write) {
		regs[RAX] = (u32)value;
		regs[RDX] = value >> 32;
	}
	svm_skip_instruction(vcpu, RDMSR_LENGTH);
}
