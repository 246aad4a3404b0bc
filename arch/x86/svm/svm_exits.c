/*
 * What exits ask for: each function serves one reason, by handing it to the service that owns it. A
 * guest's mistake ends in an exception or in that guest's stop.
 */
#include "arch/x86/guest/fetch.h"
#include "arch/x86/guest/platform.h"
#include "arch/x86/processor.h"
#include "arch/x86/svm/svm.h"
#include "kernel/core/log.h"
#include "kernel/vm/hypercall.h"

#define VMMCALL_LENGTH 3
#define HLT_LENGTH     1
#define OPCODE_HLT     0xf4

#define DR6_BD BIT(13)
#define DR7_GD BIT(13)

void svm_hypercall(struct vcpu *vcpu)
{
	const struct vmcb *vmcb = vmcb_of(vcpu);

	vcpu->exits[EXITED_HYPERCALL]++;
	if (hypercall(vcpu, vmcb->cpl == 0 && svm_in_long_mode(vmcb)) == DONE)
		svm_skip_unprefixed(vcpu, VMMCALL_LENGTH);
}

static void emulate_mmio(struct vcpu *vcpu, gpa_t address)
{
	struct vmcb *vmcb = vmcb_of(vcpu);

	vcpu->exits[EXITED_MMIO]++;
	/* A frame pushed or a descriptor read by an event's delivery, or a page table: no MOV
	 * stands at RIP for these. */
	if ((vmcb->exit_event & EVENT_VALID) || (vmcb->exit_info_1 & NPF_TABLE_WALK)) {
		vmcb_dump(vcpu);
		vm_stop(vcpu->vm, STOP_BAD_ACCESS, address.raw);
		return;
	}
	vmcb_fill_context(vcpu);
	switch (mmio_emulate(vcpu, address)) {
	case DONE:
		vmcb->rip = vcpu->context.rip;
		vmcb->rflags = vcpu->context.rflags; /* of arithmetic on a register */
		vmcb->rsp = vcpu->regs[RSP];
		vmcb->interrupt_shadow = 0;
		break;
	case BAD:
	case MMIO:
		vmcb_dump(vcpu);
		vm_stop(vcpu->vm, STOP_BAD_ACCESS, address.raw);
		break;
	case RESTART:
	case WAIT:
		break;
	}
}

void svm_nested_fault(struct vcpu *vcpu)
{
	const struct vmcb *vmcb = vmcb_of(vcpu);
	gpa_t address = gpa(vmcb->exit_info_2);
	u32 access = ACCESS_READ;

	if (vmcb->exit_info_1 & NPF_WRITE)
		access = ACCESS_WRITE;
	else if (vmcb->exit_info_1 & NPF_FETCH)
		access = ACCESS_EXEC;

	switch (memory_fault(vcpu, address, access)) {
	case DONE:
	case RESTART:
	case WAIT:
		vcpu->exits[EXITED_NESTED_FAULT]++;
		break;
	case MMIO:
		emulate_mmio(vcpu, address);
		break;
	case BAD:
		vcpu->exits[EXITED_OTHER]++;
		vmcb_dump(vcpu);
		vm_stop(vcpu->vm, STOP_BAD_ACCESS, address.raw);
		break;
	}
}

/* IN leaves the upper part of RAX alone for 1 and 2 bytes and clears it for 4. */
static u64 merge(u64 rax, u32 value, unsigned size)
{
	switch (size) {
	case 1:
		return (rax & ~0xffUL) | (u8)value;
	case 2:
		return (rax & ~0xffffUL) | (u16)value;
	default:
		return value;
	}
}

void svm_port(struct vcpu *vcpu)
{
	struct vmcb *vmcb = vmcb_of(vcpu);
	u64 info = vmcb->exit_info_1;
	u16 port = (u16)(info >> IO_PORT_SHIFT);
	unsigned size = info >> IO_SIZE_SHIFT & IO_SIZE_MASK;
	u32 value = (u32)vcpu->regs[RAX];

	vcpu->exits[EXITED_PORT]++;
	if (info & IO_STRING) {
		vcpu_inject_exception(vcpu, VECTOR_GP, 0);
		return;
	}
	if (size < 4)
		value &= (1u << size * 8) - 1;
	port_io(vcpu, port, size, !(info & IO_IN), &value);
	if (info & IO_IN)
		vcpu->regs[RAX] = merge(vcpu->regs[RAX], value, size);
	vmcb->rip = vmcb->exit_info_2;
	svm_retire_instruction(vcpu);
}

void svm_halt(struct vcpu *vcpu)
{
	vcpu->exits[EXITED_HALT]++;
	svm_skip_instruction(vcpu, HLT_LENGTH);
	vcpu_halt(vcpu, vmcb_of(vcpu)->rflags & RFLAGS_IF);
}

/* #DB and #AC go on to the guest. DR6 is up to date already; delivery clears DR7.GD. */
void svm_reinject(struct vcpu *vcpu, u8 vector)
{
	struct vmcb *vmcb = vmcb_of(vcpu);

	vcpu->exits[EXITED_EXCEPTION]++;
	if (vector == VECTOR_DB && (vmcb->dr6 & DR6_BD)) {
		vmcb->dr7 &= ~DR7_GD;
		vmcb->clean &= ~(u32)CLEAN_DR;
	}
	vcpu_inject_exception(vcpu, vector, (u32)vmcb->exit_info_1);
}

/*
 * An exit between STI and HLT: the guest must sleep before it takes an interrupt, or one that it
 * has just checked for is lost. VMRUN has to restore STI's shadow, but QEMU's (7.2) forgets it; so
 * the HLT is run here.
 */
void svm_finish_halt(struct vcpu *vcpu)
{
	struct vmcb *vmcb = vmcb_of(vcpu);
	u8 opcode;

	if (!(vmcb->interrupt_shadow & INTERRUPT_SHADOW) || vmcb->cpl != 0)
		return;
	vmcb_fill_context(vcpu);
	if (guest_fetch(vcpu, 0, &opcode, 1) != 1 || opcode != OPCODE_HLT)
		return;
	vmcb->next_rip = vmcb->rip + HLT_LENGTH;
	svm_halt(vcpu);
}

/* The interrupt is still pending: it arrives through the IDT in the window after STI's shadow. */
void svm_host_interrupt(void)
{
	__asm__ volatile("sti; nop; cli" : : : "memory");
}

/* An intercepted machine check is not pending any more: the host's handler must be told. */
void svm_host_machine_check(void)
{
	__asm__ volatile("int $18" : : : "memory");
}

COLD void svm_entry_failed(struct vcpu *vcpu)
{
	log_error("SVM: VMRUN refused the state of guest \"%s\"", vcpu->vm->config->name);
	vmcb_dump(vcpu);
	vm_stop(vcpu->vm, STOP_ENTRY_FAILED, 0);
}

COLD void svm_unhandled_exit(struct vcpu *vcpu)
{
	u64 code = vmcb_of(vcpu)->exit_code;

	vcpu->exits[EXITED_OTHER]++;
	vmcb_dump(vcpu);
	vm_stop(vcpu->vm, STOP_UNHANDLED_EXIT, code);
}
