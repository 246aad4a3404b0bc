/*
 * The exits that take more than two lines: each reads what it needs of the VMCS, asks the service,
 * and loads what changed. What a guest does wrong ends as an exception for it, or stops it alone.
 */
#include "arch/x86/guest/platform.h"
#include "arch/x86/processor.h"
#include "arch/x86/vmx/vmx.h"
#include "kernel/core/bug.h"
#include "kernel/core/log.h"

#define VECTOR_NMI 2
#define VECTOR_MC  18

#define DR6_TRAPS 0xe00fUL /* B0-B3, BD, BS, BT: what the exit qualification of a #DB tells */
#define DR7_GD    BIT(13)

/* ---- Exceptions
 * ---------------------------------------------------------------------------------- */

/* 28.2.2: the exit struck in an IRET that had ended the blocking by NMI: block again. */
static void restore_nmi_blocking(void)
{
	vmwrite(GUEST_INTERRUPTIBILITY, vmread(GUEST_INTERRUPTIBILITY) | BLOCKING_BY_NMI);
}

/* The trap's own effects on DR6 and DR7 have not happened yet (28.1). */
static void debug_exception(void)
{
	u64 traps = vmread(VMCS_EXIT_QUALIFICATION) & DR6_TRAPS;

	write_dr6((read_dr6() & ~0xfUL) | traps);
	vmwrite(GUEST_DR7, vmread(GUEST_DR7) & ~DR7_GD);
}

static void reflect_exception(struct vcpu *vcpu, u64 event)
{
	u8 vector = EVENT_VECTOR(event);

	if (!vmx_requeue_vectored_event(vcpu) && (event & EVENT_NMI_UNBLOCKED) &&
		vector != VECTOR_DF)
		restore_nmi_blocking();
	if (vector == VECTOR_DB)
		debug_exception();
	if (EVENT_TYPE(event) == EVENT_PRIVILEGED_SOFT_EXCEPTION && !vcpu->event.valid) {
		/* INT1: a trap of an instruction, which RIP still stands at. */
		vcpu->event = (struct vcpu_event){
			.valid = true,
			.type = EVENT_PRIVILEGED_SOFT_EXCEPTION,
			.vector = vector,
			.length = (u8)vmread(VMCS_EXIT_INSTRUCTION_LENGTH),
		};
		vcpu_request(vcpu, VCPU_REQ_EVENT);
		return;
	}
	vcpu_inject_exception(
		vcpu, vector, event & EVENT_HAS_ERROR ? (u32)vmread(VMCS_EXIT_ERROR_CODE) : 0);
}

void vmx_exception_or_nmi(struct vcpu *vcpu)
{
	u64 event = vmread(VMCS_EXIT_EVENT);

	if (EVENT_TYPE(event) == EVENT_NMI) {
		/* NMIs are blocked since the exit (28.5.5), until an IRET: the gate's handler has
		 * one. */
		vcpu->exits[EXITED_INTERRUPT]++;
		vmx_requeue_vectored_event(vcpu);
		__asm__ volatile("int %0" : : "i"(VECTOR_NMI) : "memory");
		return;
	}
	vcpu->exits[EXITED_EXCEPTION]++;
	if (EVENT_VECTOR(event) == VECTOR_MC)
		BUG("machine check while guest \"%s\" ran", vcpu->vm->config->name);
	reflect_exception(vcpu, event);
}

/* ---- Control registers
 * ----------------------------------------------------------------------------- */

static u64 read_register(const struct vcpu *vcpu, unsigned reg)
{
	return reg == RSP ? vmread(GUEST_RSP) : vcpu->regs[reg];
}

static void write_register(struct vcpu *vcpu, unsigned reg, u64 value)
{
	if (reg == RSP)
		vmwrite(GUEST_RSP, value);
	else
		vcpu->regs[reg] = value;
}

static enum outcome set_cr8(struct vcpu *vcpu, u64 value)
{
	if (value > 15)
		return BAD;
	lapic_set_tpr(vcpu, (u8)value);
	return DONE;
}

static enum outcome mov_to_cr(struct vcpu *vcpu, u64 qualification)
{
	const struct vmx_vcpu *vmx = vcpu->vendor;
	u64 value = read_register(vcpu, CR_REGISTER(qualification));

	if (!((vmx->efer & EFER_LMA) && (vmread(GUEST_CS_RIGHTS) & RIGHTS_LONG)))
		value = (u32)value;
	switch (CR_NUMBER(qualification)) {
	case 0:
		return vmx_set_cr0(vcpu, value);
	case 4:
		return vmx_set_cr4(vcpu, value);
	case 8:
		return set_cr8(vcpu, value);
	default:
		return BAD;
	}
}

static enum outcome cr_access(struct vcpu *vcpu, u64 qualification)
{
	/* LMSW writes PE (to 1 only), MP, EM and TS. */
	const u64 lmsw = CR0_MP | CR0_EM | CR0_TS;

	switch (CR_ACCESS(qualification)) {
	case CR_MOV_TO:
		return mov_to_cr(vcpu, qualification);
	case CR_MOV_FROM:
		/* Only reads of CR8 exit. */
		if (CR_NUMBER(qualification) != 8)
			return BAD;
		write_register(vcpu, CR_REGISTER(qualification), lapic_get_tpr(vcpu));
		return DONE;
	case CR_CLTS:
		return vmx_set_cr0(vcpu, vmx_cr0() & ~CR0_TS);
	default:
		return vmx_set_cr0(
			vcpu, (vmx_cr0() & ~lmsw) | (CR_LMSW(qualification) & (lmsw | CR0_PE)));
	}
}

void vmx_cr_access(struct vcpu *vcpu)
{
	vcpu->exits[EXITED_CR]++;
	if (cr_access(vcpu, vmread(VMCS_EXIT_QUALIFICATION)) == DONE)
		vmx_skip_instruction();
	else
		vcpu_inject_exception(vcpu, VECTOR_GP, 0);
}

/* ---- Ports and MSRs
 * ---------------------------------------------------------------------------------- */

void vmx_port_io(struct vcpu *vcpu)
{
	u64 q = vmread(VMCS_EXIT_QUALIFICATION), *rax = &vcpu->regs[RAX];
	u32 value = (u32)*rax;

	vcpu->exits[EXITED_PORT]++;
	if (unlikely(q & IO_STRING)) {
		vcpu_inject_exception(vcpu, VECTOR_GP, 0);
		return;
	}
	port_io(vcpu, IO_PORT(q), IO_SIZE(q), !(q & IO_IN), &value);
	if (q & IO_IN) {
		if (IO_SIZE(q) == 1)
			*rax = (*rax & ~0xffUL) | (u8)value;
		else if (IO_SIZE(q) == 2)
			*rax = (*rax & ~0xffffUL) | (u16)value;
		else
			*rax = value;
	}
	vmx_skip_instruction();
}

void vmx_rdmsr(struct vcpu *vcpu)
{
	const struct vmx_vcpu *vmx = vcpu->vendor;
	u32 msr = (u32)vcpu->regs[RCX];
	u64 value = vmx->efer;

	vcpu->exits[EXITED_MSR]++;
	if (msr != MSR_EFER && msr_read(vcpu, msr, &value) != DONE) {
		vcpu_inject_exception(vcpu, VECTOR_GP, 0);
		return;
	}
	vcpu->regs[RAX] = (u32)value;
	vcpu->regs[RDX] = value >> 32;
	vmx_skip_instruction();
}

void vmx_wrmsr(struct vcpu *vcpu)
{
	u32 msr = (u32)vcpu->regs[RCX];
	u64 value = (u32)vcpu->regs[RAX] | vcpu->regs[RDX] << 32;
	enum outcome outcome;

	vcpu->exits[EXITED_MSR]++;
	outcome = msr == MSR_EFER ? vmx_set_efer(vcpu, value) : msr_write(vcpu, msr, value);
	if (outcome == DONE)
		vmx_skip_instruction();
	else if (outcome == BAD)
		vcpu_inject_exception(vcpu, VECTOR_GP, 0);
}

/* ---- Nested faults
 * ------------------------------------------------------------------------------------- */

static void mmio(struct vcpu *vcpu, gpa_t address)
{
	vcpu->exits[EXITED_MMIO]++;
	vmx_fill_context(vcpu);
	vcpu->regs[RSP] = vcpu->context.rsp;
	switch (mmio_emulate(vcpu, address)) {
	case DONE:
		vmx_skip_to(vcpu->context.rip);
		if (vcpu->regs[RSP] != vcpu->context.rsp)
			vmwrite(GUEST_RSP, vcpu->regs[RSP]);
		break;
	case RESTART:
	case WAIT:
		break;
	default:
		vmx_stop(vcpu, STOP_BAD_ACCESS, address.raw, "bad access to a device's memory");
	}
}

void vmx_ept_violation(struct vcpu *vcpu)
{
	u64 q = vmread(VMCS_EXIT_QUALIFICATION);
	gpa_t address = gpa(vmread(VMCS_GUEST_PHYSICAL_ADDRESS));
	bool in_delivery = vmx_requeue_vectored_event(vcpu);

	if (unlikely(q & EPT_Q_NMI_UNBLOCKED) && !in_delivery)
		restore_nmi_blocking();
	switch (memory_fault(vcpu, address, (u32)(q & EPT_Q_ACCESS))) {
	case DONE:
	case RESTART:
	case WAIT:
		vcpu->exits[EXITED_NESTED_FAULT]++;
		break;
	case MMIO:
		/* A device cannot hold a stack, a descriptor table or a page table. */
		if (in_delivery || (~q & (EPT_Q_LINEAR_VALID | EPT_Q_TRANSLATED)))
			vmx_stop(vcpu, STOP_BAD_ACCESS, address.raw,
				"event delivery or page walk through a device's memory");
		else
			mmio(vcpu, address);
		break;
	default:
		vcpu->exits[EXITED_NESTED_FAULT]++;
		vmx_stop(vcpu, STOP_BAD_ACCESS, address.raw, "access outside of its memory");
	}
}

COLD void vmx_ept_misconfiguration(struct vcpu *vcpu)
{
	gpa_t address = gpa(vmread(VMCS_GUEST_PHYSICAL_ADDRESS));

	ept_dump(vcpu, address);
	BUG("EPT misconfiguration at gpa 0x%lx of guest \"%s\"", address.raw,
		vcpu->vm->config->name);
}
