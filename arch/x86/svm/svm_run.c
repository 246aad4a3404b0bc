/*
 * The run loop of AMD-V: enters a vCPU, serves its exits, and enters again until this CPU or
 * somebody else needs the turn to end. Everything here works on the vCPU of this CPU; no lock.
 */
#include "arch/x86/guest/platform.h"
#include "arch/x86/svm/svm.h"
#include "kernel/core/percpu.h"

#define CPUID_LENGTH  2
#define WBINVD_LENGTH 2
#define XSETBV_LENGTH 3

static void take_requests(struct vcpu *vcpu, u32 requests)
{
	__atomic_fetch_and(
		&vcpu->requests, ~(requests & (VCPU_REQ_START | VCPU_REQ_EVENT)), __ATOMIC_ACQUIRE);
	if (requests & VCPU_REQ_START) {
		struct vcpu_start start = vcpu_take_start(vcpu);

		if (start.kind != START_NONE)
			vmcb_load_start(vcpu, &start);
	}
	svm_deliver_event(vcpu);
}

/* The epoch comes first: this CPU promises to hold nothing that was removed before it began. */
static void follow_memory(struct vcpu *vcpu)
{
	u64 epoch = epoch_now();

	vcpu->flushed_generation = __atomic_load_n(&vcpu->vm->memory.generation, __ATOMIC_ACQUIRE);
	svm_of(vcpu)->flush = true;
	vcpu->flushes++;
	epoch_quiescent(epoch);
}

static enum svm_exit enter(struct svm_cpu *cpu, struct vcpu *vcpu)
{
	struct svm_vcpu *svm = svm_of(vcpu);
	struct vmcb *vmcb = &svm->vmcb;

	if (unlikely(vcpu->flushed_generation != READ_ONCE(vcpu->vm->memory.generation)))
		follow_memory(vcpu);
	svm_prepare_asid(cpu, svm);
	vmcb->rax = vcpu->regs[RAX];

	svm_enter(vcpu, svm->vmcb_address, cpu->host_address);

	vcpu->regs[RAX] = vmcb->rax;
	vmcb->tlb_control = TLB_KEEP;
	vmcb->clean = svm_features.clean_bits;
	vmcb->inject_event = 0;
	if (unlikely(vmcb->exit_event & EVENT_VALID))
		svm_requeue_event(vcpu);
	if (unlikely(svm->interrupt_armed))
		svm_settle_interrupt(vcpu);
	return (enum svm_exit)(s32)vmcb->exit_code;
}

static void serve(struct vcpu *vcpu, enum svm_exit exit)
{
	switch (exit) {
	case EXIT_VMMCALL:
		svm_hypercall(vcpu);
		break;
	case EXIT_NPF:
		svm_nested_fault(vcpu);
		break;
	case EXIT_INTR:
		vcpu->exits[EXITED_INTERRUPT]++;
		svm_host_interrupt();
		svm_finish_halt(vcpu);
		break;
	case EXIT_MSR:
		vcpu->exits[EXITED_MSR]++;
		svm_access_msr(vcpu);
		break;
	case EXIT_IOIO:
		svm_port(vcpu);
		break;
	case EXIT_HLT:
		svm_halt(vcpu);
		break;
	case EXIT_CPUID:
		vcpu->exits[EXITED_CPUID]++;
		cpuid_emulate(vcpu);
		svm_skip_instruction(vcpu, CPUID_LENGTH);
		break;
	case EXIT_CR4_READ:
	case EXIT_CR8_READ:
		vcpu->exits[EXITED_CR]++;
		svm_read_cr(vcpu, exit - EXIT_CR4_READ + 4);
		break;
	case EXIT_CR4_WRITE:
	case EXIT_CR8_WRITE:
		vcpu->exits[EXITED_CR]++;
		svm_write_cr(vcpu, exit - EXIT_CR4_WRITE + 4);
		break;
	case EXIT_XSETBV:
		vcpu->exits[EXITED_CR]++;
		if (xsetbv_emulate(vcpu, vmcb_of(vcpu)->cpl) == DONE)
			svm_skip_instruction(vcpu, XSETBV_LENGTH);
		break;
	case EXIT_DR0_READ ... EXIT_DR3_READ:
	case EXIT_DR0_WRITE ... EXIT_DR3_WRITE:
		vcpu->exits[EXITED_CR]++;
		svm_own_debug_registers(vcpu);
		break;
	case EXIT_DB:
		svm_reinject(vcpu, VECTOR_DB);
		break;
	case EXIT_AC:
		svm_reinject(vcpu, VECTOR_AC);
		break;
	case EXIT_MC:
		svm_host_machine_check();
		break;
	case EXIT_NMI:
	case EXIT_SMI:
	case EXIT_INIT: /* pending until svm_enter() set GIF again: served by now */
		vcpu->exits[EXITED_INTERRUPT]++;
		break;
	case EXIT_IRET:
		vcpu->exits[EXITED_WINDOW]++;
		svm_nmi_returns(vcpu);
		break;
	case EXIT_WBINVD: /* memory is coherent without them */
	case EXIT_INVD:
		vcpu->exits[EXITED_OTHER]++;
		svm_skip_instruction(vcpu, WBINVD_LENGTH);
		break;
	case EXIT_RDPMC: /* there are no counters */
		vcpu->exits[EXITED_OTHER]++;
		vcpu_inject_exception(vcpu, VECTOR_GP, 0);
		break;
	case EXIT_VMRUN: /* what CPUID hides */
	case EXIT_VMLOAD ... EXIT_RDTSCP:
	case EXIT_MONITOR ... EXIT_MWAIT_ARMED:
	case EXIT_RDPRU:
	case EXIT_INVLPGA:
		vcpu->exits[EXITED_OTHER]++;
		vcpu_inject_exception(vcpu, VECTOR_UD, 0);
		break;
	case EXIT_SHUTDOWN: /* APM vol. 2, 15.14.3: the VMCB is undefined */
		vcpu->exits[EXITED_OTHER]++;
		vm_stop(vcpu->vm, STOP_TRIPLE_FAULT, 0);
		break;
	case EXIT_INVALID:
		svm_entry_failed(vcpu);
		break;
	default:
		svm_unhandled_exit(vcpu);
	}
}

/* The turn ends by the host's LAPIC timer, which dispatch armed: an interrupt like any other. It is
 * looked for before each entry, too: an exit may have lost it (timer.h). */
void svm_run(struct vcpu *vcpu, u64 until)
{
	const struct timer_queue *timers = &this_percpu()->timers;
	struct cpu *cpu = this_cpu();

	(void)until;
	svm_load_debug_registers(vcpu);
	while (!READ_ONCE(cpu->events)) {
		u32 requests = READ_ONCE(vcpu->requests);

		if (unlikely(requests & VCPU_REQ_YIELD) || unlikely(timer_is_overdue(timers)))
			break;
		if (unlikely(requests))
			take_requests(vcpu, requests);
		serve(vcpu, enter(cpu->vendor, vcpu));
	}
	svm_save_debug_registers(vcpu);
}
