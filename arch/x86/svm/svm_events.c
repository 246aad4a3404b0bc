/*
 * Events into the guest: what to inject at an entry, and when to ask for an exit because the guest
 * cannot take it yet (AMD APM vol. 2, 15.20 and 15.21). Interrupts go in by EVENTINJ; V_IRQ serves
 * only as the window: it never reaches the guest, since VINTR exits before the delivery.
 */
#include "arch/x86/guest/lapic.h"
#include "arch/x86/guest/platform.h"
#include "arch/x86/processor.h"
#include "arch/x86/svm/svm.h"

static void open_window(struct vmcb *vmcb)
{
	if (vmcb->interrupt_control & V_IRQ)
		return;
	vmcb->interrupt_control |= V_IRQ | V_IGNORE_TPR | V_PRIORITY_HIGHEST;
	vmcb->clean &= ~(u32)CLEAN_INTERRUPTS;
}

static void close_window(struct vmcb *vmcb)
{
	if (!(vmcb->interrupt_control & V_IRQ))
		return;
	vmcb->interrupt_control = V_INTERRUPT_MASKING;
	vmcb->clean &= ~(u32)CLEAN_INTERRUPTS;
}

/*
 * Software interrupts, INT3 and INTO are left out: RIP still points at the instruction, which
 * simply runs again. So this needs neither its length nor NRIPS, and gives the guest the right
 * return address.
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

static bool can_take_interrupt(const struct vmcb *vmcb)
{
	return (vmcb->rflags & RFLAGS_IF) && !(vmcb->interrupt_shadow & INTERRUPT_SHADOW);
}

void svm_deliver_event(struct vcpu *vcpu)
{
	struct svm_vcpu *svm = svm_of(vcpu);
	struct vmcb *vmcb = &svm->vmcb;
	int vector;

	vmcb->inject_event = 0;
	if (vcpu->event.valid) {
		vcpu->event.valid = false;
		vmcb->inject_event = encode(&vcpu->event);
		if (vcpu->event.type == EVENT_NMI)
			block_nmi(svm);
	} else if (unlikely(lapic_nmi_pending(vcpu)) && can_take_nmi(svm)) {
		lapic_nmi_accept(vcpu);
		vmcb->inject_event = EVENT_VALID | EVENT_NMI << EVENT_TYPE_SHIFT | VECTOR_NMI;
		block_nmi(svm);
	}
	if (unlikely(lapic_nmi_pending(vcpu))) /* nothing tells when it can go in: try again */
		vcpu_request(vcpu, VCPU_REQ_EVENT);

	vector = lapic_pending(vcpu);
	if (vector < 0) {
		close_window(vmcb);
	} else if (vmcb->inject_event || !can_take_interrupt(vmcb)) {
		/* QEMU (7.2) has been seen to keep V_IRQ pending and never to exit for it, while
		 * the guest ran on with interrupts enabled; so every exit looks again. */
		open_window(vmcb);
		vcpu_request(vcpu, VCPU_REQ_EVENT);
	} else {
		close_window(vmcb);
		lapic_accept(vcpu, (u8)vector);
		vmcb->inject_event = EVENT_VALID | (u8)vector;
	}
}

void svm_window_opened(struct vcpu *vcpu)
{
	close_window(vmcb_of(vcpu));
	vcpu_request(vcpu, VCPU_REQ_EVENT);
}
