/*
 * The run loop: enters a guest, serves its exits, and leaves when something other than its own
 * exits needs this CPU. Interrupts are off throughout; external ones end the guest's turn as an
 * exit.
 */
#include "arch/x86/guest/platform.h"
#include "arch/x86/processor.h"
#include "arch/x86/vmx/vmx.h"
#include "kernel/core/log.h"
#include "kernel/core/percpu.h"
#include "kernel/vm/hypercall.h"

#include <abi/cpuid.h>

/* ---- The slice
 * --------------------------------------------------------------------------------------- */

/*
 * A turn ends by the preemption timer, which counts in the guest only; where the processor has
 * none, by a timer of this CPU. A guest that spends its turn in exits is caught by looking at the
 * clock once in so many of them.
 */
#define EXITS_BETWEEN_LOOKS 64

static void arm_preemption_timer(u64 until)
{
	u64 now = arch_tsc();
	u64 left = until > now ? (until - now) >> vmx_capabilities.timer_shift : 0;

	vmwrite(GUEST_PREEMPTION_TIMER, MIN(left, 0xffffffffUL));
}

static void turn_begin(struct vmx_vcpu *vmx, u64 until)
{
	if (vmx_capabilities.preemption_timer)
		arm_preemption_timer(until);
	else
		timer_arm(&vmx->turn, until);
}

static void turn_end(struct vmx_vcpu *vmx)
{
	if (!vmx_capabilities.preemption_timer)
		timer_cancel(&vmx->turn);
}

static inline bool turn_goes_on(u32 *exits_left, u64 until)
{
	if (likely(--*exits_left))
		return true;
	*exits_left = EXITS_BETWEEN_LOOKS;
	return arch_tsc() < until;
}

/* ---- Before an entry
 * ----------------------------------------------------------------------------------- */

static void flush(struct vcpu *vcpu)
{
	u64 epoch = epoch_now();
	u64 generation = __atomic_load_n(&vcpu->vm->memory.generation, __ATOMIC_ACQUIRE);

	ept_flush(vcpu->vendor);
	vcpu->flushes++;
	vcpu->flushed_generation = generation;
	epoch_quiescent(epoch);
}

static bool cpu_is_wanted(const struct vcpu *vcpu)
{
	return READ_ONCE(this_cpu()->events) || (READ_ONCE(vcpu->requests) & VCPU_REQ_YIELD);
}

/* Takes what was requested; returns whether to enter. Bits are cleared before what they stand for
 * is looked at, so that a request made meanwhile is seen at the next turn. */
static bool take_requests(struct vcpu *vcpu)
{
	if (READ_ONCE(vcpu->requests) & VCPU_REQ_START) {
		__atomic_fetch_and(&vcpu->requests, ~(u32)VCPU_REQ_START, __ATOMIC_ACQUIRE);
		vmx_start(vcpu);
	}
	if (READ_ONCE(vcpu->requests) & VCPU_REQ_VE) {
		__atomic_fetch_and(&vcpu->requests, ~(u32)VCPU_REQ_VE, __ATOMIC_ACQUIRE);
		vmcs_set_ve(vcpu);
	}
	if (cpu_is_wanted(vcpu))
		return false;
	/* Last, since the event is then in the VMCS, where only an entry takes it out. */
	if (READ_ONCE(vcpu->requests) & VCPU_REQ_EVENT) {
		__atomic_fetch_and(&vcpu->requests, ~(u32)VCPU_REQ_EVENT, __ATOMIC_ACQUIRE);
		vmx_deliver(vcpu);
	}
	return true;
}

/* Once this said yes the entry must follow. */
static inline bool prepare_entry(struct vcpu *vcpu)
{
	if (unlikely(READ_ONCE(vcpu->requests) | READ_ONCE(this_cpu()->events)) &&
		!take_requests(vcpu))
		return false;
	if (unlikely(vcpu->flushed_generation != READ_ONCE(vcpu->vm->memory.generation)))
		flush(vcpu);
	return true;
}

/* ---- Exits
 * ------------------------------------------------------------------------------------------------
 */

static unsigned guest_cpl(void)
{
	return vmread(GUEST_SS_RIGHTS) >> RIGHTS_DPL_SHIFT & 3;
}

/* Who may make hypercalls: CPL 0 in 64-bit mode. */
static inline bool guest_may_call(const struct vcpu *vcpu)
{
	const struct vmx_vcpu *vmx = vcpu->vendor;

	return (vmread(GUEST_CS_RIGHTS) & RIGHTS_LONG) && (vmx->efer & EFER_LMA) &&
	       !(vmread(GUEST_SS_RIGHTS) & (3 << RIGHTS_DPL_SHIFT));
}

static void unhandled(struct vcpu *vcpu, u64 reason)
{
	vcpu->exits[EXITED_OTHER]++;
	if (reason & EXIT_ENTRY_FAILED)
		vmx_entry_failed(vcpu, (u32)reason);
	else
		vmx_stop(vcpu, STOP_UNHANDLED_EXIT, reason, "exit that has no handler");
}

void vmx_run(struct vcpu *vcpu, u64 until)
{
	struct vmx_vcpu *vmx = vcpu->vendor;
	u32 exits_left = EXITS_BETWEEN_LOOKS;
	u64 reason;

	vmcs_load(vcpu);
	vmx_guest_registers_load(vcpu);
	turn_begin(vmx, until);
	while (turn_goes_on(&exits_left, until) && prepare_entry(vcpu)) {
		__asm__ volatile goto("call vmx_enter_guest\n\tjbe %l[refused]"
				      :
				      : "D"(vcpu)
				      : "rax", "rbx", "rcx", "rdx", "rsi", "r8", "r9", "r10", "r11",
				      "r12", "r13", "r14", "r15", "cc", "memory"
				      : refused);
		reason = vmread(VMCS_EXIT_REASON);
		switch (reason) {
		case EXIT_VMCALL:
			vcpu->exits[EXITED_HYPERCALL]++;
			if (hypercall(vcpu, guest_may_call(vcpu)) == DONE)
				vmx_skip_instruction();
			break;
		case EXIT_EPT_VIOLATION:
			vmx_ept_violation(vcpu);
			break;
		case EXIT_EXTERNAL_INTERRUPT:
			vcpu->exits[EXITED_INTERRUPT]++;
			arch_interrupt(EVENT_VECTOR(vmread(VMCS_EXIT_EVENT)));
			break;
		case EXIT_PREEMPTION_TIMER:
			vcpu->exits[EXITED_INTERRUPT]++;
			if (arch_tsc() >= until)
				goto out;
			arm_preemption_timer(until);
			break;
		case EXIT_INTERRUPT_WINDOW:
			vcpu->exits[EXITED_WINDOW]++;
			vmx_close_window(vmx, PRIMARY_INTERRUPT_WINDOW);
			vcpu_request(vcpu, VCPU_REQ_EVENT);
			break;
		case EXIT_NMI_WINDOW:
			vcpu->exits[EXITED_WINDOW]++;
			vmx_close_window(vmx, PRIMARY_NMI_WINDOW);
			vcpu_request(vcpu, VCPU_REQ_EVENT);
			break;
		case EXIT_HLT:
			vcpu->exits[EXITED_HALT]++;
			vmx_skip_instruction();
			vcpu_halt(vcpu, vmread(GUEST_RFLAGS) & RFLAGS_IF);
			break;
		case EXIT_IO:
			vmx_port_io(vcpu);
			break;
		case EXIT_RDMSR:
			vmx_rdmsr(vcpu);
			break;
		case EXIT_WRMSR:
			vmx_wrmsr(vcpu);
			break;
		case EXIT_CPUID:
			vcpu->exits[EXITED_CPUID]++;
			cpuid_emulate(vcpu);
			vmx_skip_instruction();
			break;
		case EXIT_CR_ACCESS:
			vmx_cr_access(vcpu);
			break;
		case EXIT_XSETBV:
			vcpu->exits[EXITED_CR]++;
			if (xsetbv_emulate(vcpu, guest_cpl()) == DONE)
				vmx_skip_instruction();
			break;
		case EXIT_EXCEPTION_OR_NMI:
			vmx_exception_or_nmi(vcpu);
			break;
		case EXIT_RDPMC:
			vcpu->exits[EXITED_OTHER]++;
			vcpu_inject_exception(vcpu, VECTOR_GP, 0);
			break;
		case EXIT_WBINVD:
		case EXIT_INVD:
			/* All memory is coherent: nothing for a guest to write back. */
			vcpu->exits[EXITED_OTHER]++;
			vmx_skip_instruction();
			break;
		case EXIT_MONITOR:
		case EXIT_MWAIT:
		case EXIT_GETSEC:
		case EXIT_INVEPT:
		case EXIT_INVVPID:
		case EXIT_VMCLEAR:
		case EXIT_VMLAUNCH:
		case EXIT_VMPTRLD:
		case EXIT_VMPTRST:
		case EXIT_VMREAD:
		case EXIT_VMRESUME:
		case EXIT_VMWRITE:
		case EXIT_VMXOFF:
		case EXIT_VMXON:
		case EXIT_VMFUNC:
		case EXIT_SEAMCALL:
		case EXIT_TDCALL:
			/* Not announced by the guest's CPUID. */
			vcpu->exits[EXITED_OTHER]++;
			vcpu_inject_exception(vcpu, VECTOR_UD, 0);
			break;
		case EXIT_INIT:
			/* For this processor, not for the guest; nobody in Sluice sends one. */
			vcpu->exits[EXITED_OTHER]++;
			log_warn("VMX: INIT signal on CPU %u ignored", this_cpu()->index);
			break;
		case EXIT_TRIPLE_FAULT:
			vcpu->exits[EXITED_OTHER]++;
			vmx_stop(vcpu, STOP_TRIPLE_FAULT, vmread(GUEST_RIP), "triple fault");
			break;
		case EXIT_TASK_SWITCH:
			vcpu->exits[EXITED_OTHER]++;
			vmx_stop(vcpu, STOP_UNHANDLED_EXIT, reason, "hardware task switch");
			break;
		case EXIT_EPT_MISCONFIGURATION:
			vmx_ept_misconfiguration(vcpu);
		default:
			unhandled(vcpu, reason);
		}
	}
out:
	turn_end(vmx);
	vmx_guest_registers_save(vcpu);
	vmcs_unload(vmx);
	return;
refused:
	vmx_entry_refused(vcpu);
	goto out;
}

const struct virt vmx_virt = {
	.name = "VMX",
	.hypercall_instruction = SLUICE_INSTRUCTION_VMCALL,
	.present = vmx_present,
	.probe = vmx_probe,
	.layout = ept_layout,
	.cpu_check = vmx_cpu_check,
	.cpu_enable = vmx_cpu_enable,
	.cpu_disable = vmx_cpu_disable,
	.vcpu_create = vmx_vcpu_create,
	.vcpu_destroy = vmx_vcpu_destroy,
	.ends_turn = true,
	.run = vmx_run,
};
