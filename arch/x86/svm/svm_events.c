/*
 * Events into the guest (AMD APM vol. 2, 15.20 and 15.21). Exceptions and NMIs go in by EVENTINJ at
 * an entry. Interrupts go in as virtual interrupts: armed with their vector, they are delivered by
 * the processor as soon as the guest can take them, without an exit. The LAPIC has accepted them
 * from then on, so that another CPU can raise the same vector again while the guest serves it; what
 * still waits at the next exit is withdrawn.
 */
#include "arch/x86/guest/lapic.h"
#include "arch/x86/guest/platform.h"
#include "arch/x86/processor.h"
#include "arch/x86/svm/svm.h"

static void write_interrupt_control(struct svm_vcpu *svm, u64 control)
{
	if (svm->vmcb.interrupt_control == control)
		return;
	svm->vmcb.interrupt_control = control;
	svm->vmcb.clean &= ~(u32)CLEAN_INTERRUPTS;
}

/* What is highest in the LAPIC, if anything, waits in the VMCB from here on. */
static void arm_interrupt(struct vcpu *vcpu)
{
	struct svm_vcpu *svm = svm_of(vcpu);
	int vector = lapic_pending(vcpu);

	if (vector < 0) {
		write_interrupt_control(svm, V_INTERRUPT_MASKING);
		return;
	}
	lapic_accept(vcpu, (u8)vector);
	svm->interrupt_armed = true;
	write_interrupt_control(svm, V_INTERRUPT_MASKING | V_IRQ | V_IGNORE_TPR |
					     V_PRIORITY_HIGHEST | (u64)vector << V_VECTOR_SHIFT);
}

/* The guest has not got what is armed: the LAPIC has it again. */
static void withdraw_interrupt(struct vcpu *vcpu)
{
	struct svm_vcpu *svm = svm_of(vcpu);

	svm->interrupt_armed = false;
	lapic_withdraw(vcpu, (u8)(svm->vmcb.interrupt_control >> V_VECTOR_SHIFT));
}

void svm_settle_interrupt(struct vcpu *vcpu)
{
	struct svm_vcpu *svm = svm_of(vcpu);

	if (svm->vmcb.interrupt_control & V_IRQ) {
		withdraw_interrupt(vcpu);
		vcpu_request(vcpu, VCPU_REQ_EVENT);
	}
	svm->interrupt_armed = false;
}

/*
 * Software interrupts, INT3 and INTO are left out: RIP still points at the instruction, which
 * simply runs again. So this needs neither its length nor NRIPS, and gives the guest the right
 * return address. An interrupt is withdrawn; QEMU (7.2) calls it an exception, although no
 * exception has a vector of 32 or more.
 */
void svm_requeue_event(struct vcpu *vcpu)
{
	u64 event = vmcb_of(vcpu)->exit_event;
	u8 type = event >> EVENT_TYPE_SHIFT & EVENT_TYPE_MASK;
	u8 vector = (u8)event;

	if (type == EVENT_SOFT_INTERRUPT)
		return;
	if (type == EVENT_EXCEPTION && (vector == VECTOR_BP || vector == VECTOR_OF))
		return;
	if (type == EVENT_INTERRUPT || vector >= EXCEPTION_VECTORS) {
		if (svm_of(vcpu)->interrupt_armed)
			withdraw_interrupt(vcpu);
		vcpu_request(vcpu, VCPU_REQ_EVENT);
		return;
	}
	vcpu->event = (struct vcpu_event){
		.valid = true,
		.type = type,
		.vector = vector,
		.has_error = event & EVENT_HAS_ERROR,
		.error = (u32)(event >> EVENT_ERROR_SHIFT),
	};
	vcpu_request(vcpu, VCPU_REQ_EVENT);
}

static u64 encode(const struct vcpu_event *event)
{
	u64 field = EVENT_VALID | (u64)event->type << EVENT_TYPE_SHIFT | event->vector;

	if (event->has_error)
		field |= EVENT_HAS_ERROR | (u64)event->error << EVENT_ERROR_SHIFT;
	return field;
}

static void block_nmi(struct svm_vcpu *svm)
{
	svm->nmi_blocked = true;
	svm->iret_seen = false;
	svm->vmcb.intercept_1 |= INTERCEPT_IRET;
	svm->vmcb.clean &= ~(u32)CLEAN_INTERCEPTS;
}

/* The exit comes before the IRET has run: only once RIP has moved on may the next NMI come. */
void svm_nmi_returns(struct vcpu *vcpu)
{
	struct svm_vcpu *svm = svm_of(vcpu);

	svm->iret_seen = true;
	svm->iret_rip = svm->vmcb.rip;
	svm->vmcb.intercept_1 &= ~(u32)INTERCEPT_IRET;
	svm->vmcb.clean &= ~(u32)CLEAN_INTERCEPTS;
}

static bool can_take_nmi(struct svm_vcpu *svm)
{
	if (svm->iret_seen && svm->vmcb.rip != svm->iret_rip)
		svm->nmi_blocked = svm->iret_seen = false;
	return !svm->nmi_blocked && !(svm->vmcb.interrupt_shadow & INTERRUPT_SHADOW);
}

void svm_deliver_event(struct vcpu *vcpu)
{
	struct svm_vcpu *svm = svm_of(vcpu);
	struct vmcb *vmcb = &svm->vmcb;

	if (svm->interrupt_armed) /* and not entered since */
		withdraw_interrupt(vcpu);
	vmcb->inject_event = 0;
	if (vcpu->event.valid) {
		vcpu->event.valid = false;
		vmcb->inject_event = encode(&vcpu->event);
		if (vcpu->event.has_address) {
			vmcb->cr2 = vcpu->event.address;
			vmcb->clean &= ~(u32)CLEAN_CR2;
		}
		if (vcpu->event.type == EVENT_NMI)
			block_nmi(svm);
	} else if (unlikely(lapic_nmi_pending(vcpu)) && can_take_nmi(svm)) {
		lapic_nmi_accept(vcpu);
		vmcb->inject_event = EVENT_VALID | EVENT_NMI << EVENT_TYPE_SHIFT | VECTOR_NMI;
		block_nmi(svm);
	}
	if (unlikely(lapic_nmi_pending(vcpu))) /* nothing tells when it can go in: try again */
		vcpu_request(vcpu, VCPU_REQ_EVENT);
	arm_interrupt(vcpu);
}
