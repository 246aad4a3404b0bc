/*
 * Delivering events to a guest: exceptions and events that must be delivered again first, then
 * NMIs, then what the LAPIC holds; and the windows that tell when the guest can take what had to
 * wait (Intel SDM vol. 3, 27.6 and 26.2).
 */
#include "arch/x86/guest/platform.h"
#include "arch/x86/processor.h"
#include "arch/x86/vmx/vmx.h"

static void set_window(struct vmx_vcpu *vmx, u32 window, bool open)
{
	u32 primary = open ? vmx->primary | window : vmx->primary & ~window;

	if (primary != vmx->primary) {
		vmx->primary = primary;
		vmwrite(VMCS_PRIMARY_CONTROLS, primary);
	}
}

void vmx_close_window(struct vmx_vcpu *vmx, u32 window)
{
	set_window(vmx, window, false);
}

static bool event_is_exception(const struct vcpu_event *event)
{
	return event->type == EVENT_EXCEPTION || event->type == EVENT_PRIVILEGED_SOFT_EXCEPTION ||
	       event->type == EVENT_SOFT_EXCEPTION;
}

static void inject(const struct vcpu_event *event)
{
	u64 info = event->vector | (u64)event->type << EVENT_TYPE_SHIFT | EVENT_IS_VALID;

	/* 27.2.1.3: no error code in real mode. */
	if (event->has_error && (vmread(GUEST_CR0) & CR0_PE)) {
		info |= EVENT_HAS_ERROR;
		vmwrite(VMCS_ENTRY_ERROR_CODE, event->error);
	}
	if (event->type >= EVENT_SOFT_INTERRUPT)
		vmwrite(VMCS_ENTRY_INSTRUCTION_LENGTH, event->length);
	if (event->has_address) /* CR2 is the guest's own during its turn (vmx_switch.c) */
		write_cr2(event->address);
	vmwrite(VMCS_ENTRY_EVENT, info);
}

/* @vcpu->event, whatever the guest's flags say: it happened already. */
static void inject_pending(struct vcpu *vcpu)
{
	u64 blocking = vmread(GUEST_INTERRUPTIBILITY), ended = 0;

	/* 26.2: delivery ends what STI and MOV SS began; entry checks insist for interrupts and,
	 * with TF set, for exceptions (27.3.1.5). */
	if (event_is_exception(&vcpu->event) || vcpu->event.type == EVENT_INTERRUPT)
		ended = BLOCKING_BY_STI | BLOCKING_BY_MOV_SS;
	/* 28.2.4: an NMI whose delivery faulted blocks NMIs already, and is to come again. */
	if (vcpu->event.type == EVENT_NMI)
		ended = BLOCKING_BY_STI | BLOCKING_BY_MOV_SS | BLOCKING_BY_NMI;
	if (blocking & ended)
		vmwrite(GUEST_INTERRUPTIBILITY, blocking & ~ended);
	inject(&vcpu->event);
	vcpu->event.valid = false;
}

static bool try_nmi(struct vcpu *vcpu, struct vmx_vcpu *vmx)
{
	const struct vcpu_event nmi = {.type = EVENT_NMI, .vector = 2};

	if (vmread(GUEST_INTERRUPTIBILITY) &
		(BLOCKING_BY_NMI | BLOCKING_BY_STI | BLOCKING_BY_MOV_SS)) {
		set_window(vmx, PRIMARY_NMI_WINDOW, true);
		return false;
	}
	lapic_nmi_accept(vcpu);
	inject(&nmi);
	return true;
}

static bool try_interrupt(struct vcpu *vcpu, struct vmx_vcpu *vmx, u8 vector)
{
	const struct vcpu_event interrupt = {.type = EVENT_INTERRUPT, .vector = vector};

	if (!(vmread(GUEST_RFLAGS) & RFLAGS_IF) ||
		(vmread(GUEST_INTERRUPTIBILITY) & (BLOCKING_BY_STI | BLOCKING_BY_MOV_SS))) {
		set_window(vmx, PRIMARY_INTERRUPT_WINDOW, true);
		return false;
	}
	lapic_accept(vcpu, vector);
	inject(&interrupt);
	return true;
}

void vmx_deliver(struct vcpu *vcpu)
{
	struct vmx_vcpu *vmx = vcpu->vendor;
	bool taken = false;
	int vector;

	if (vcpu->event.valid) {
		inject_pending(vcpu);
		taken = true;
	}
	if (lapic_nmi_pending(vcpu)) {
		if (taken)
			set_window(vmx, PRIMARY_NMI_WINDOW, true);
		else
			taken = try_nmi(vcpu, vmx);
	}
	vector = lapic_pending(vcpu);
	if (vector >= 0) {
		if (!taken)
			taken = try_interrupt(vcpu, vmx, (u8)vector);
		/* One event an entry: more, or what could not be taken, asks again by the window.
		 */
		if (lapic_pending(vcpu) >= 0)
			set_window(vmx, PRIMARY_INTERRUPT_WINDOW, true);
	}
}

bool vmx_requeue_vectored_event(struct vcpu *vcpu)
{
	u64 info = vmread(VMCS_VECTORING_EVENT);

	if (likely(!(info & EVENT_IS_VALID)))
		return false;
	vcpu->event = (struct vcpu_event){
		.valid = true,
		.type = EVENT_TYPE(info),
		.vector = EVENT_VECTOR(info),
		.has_error = info & EVENT_HAS_ERROR,
	};
	if (vcpu->event.has_error)
		vcpu->event.error = (u32)vmread(VMCS_VECTORING_ERROR_CODE);
	/* 28.2.4: the length is that of the instruction for software events. */
	if (vcpu->event.type >= EVENT_SOFT_INTERRUPT)
		vcpu->event.length = (u8)vmread(VMCS_EXIT_INSTRUCTION_LENGTH);
	vcpu_request(vcpu, VCPU_REQ_EVENT);
	return true;
}
