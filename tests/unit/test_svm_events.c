/*
 * Events of the AMD-V backend, without a processor: what was cut short comes again, and what is
 * injected when.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "arch/x86/processor.h"
#include "fake/svm_backend.h"

static u64 exit_event(enum event_type type, u8 vector)
{
	return EVENT_VALID | (u64)type << EVENT_TYPE_SHIFT | vector;
}

static void test_what_was_cut_short_comes_again(void **state)
{
	struct vcpu vcpu = {.vendor = new_svm()};
	struct vmcb *vmcb = vmcb_of(&vcpu);
	/* Their instruction runs again. */
	const u64 dropped[] = {exit_event(EVENT_SOFT_INTERRUPT, 0x80),
		exit_event(EVENT_EXCEPTION, VECTOR_BP), exit_event(EVENT_EXCEPTION, VECTOR_OF)};
	const u64 kept[] = {exit_event(EVENT_NMI, VECTOR_NMI),
		exit_event(EVENT_EXCEPTION, VECTOR_UD),
		exit_event(EVENT_EXCEPTION, VECTOR_PF) | EVENT_HAS_ERROR |
			7UL << EVENT_ERROR_SHIFT};

	(void)state;
	pending_vector = -1;
	for (unsigned i = 0; i < ARRAY_SIZE(dropped); i++) {
		vmcb->exit_event = dropped[i];
		svm_requeue_event(&vcpu);
		assert_false(vcpu.event.valid);
	}
	for (unsigned i = 0; i < ARRAY_SIZE(kept); i++) {
		vmcb->exit_event = kept[i];
		svm_requeue_event(&vcpu);
		assert_true(vcpu.event.valid && (vcpu.requests & VCPU_REQ_EVENT));
		svm_deliver_event(&vcpu);
		assert_int_equal(vmcb->inject_event, kept[i]);
		assert_false(vcpu.event.valid);
	}
	free(vcpu.vendor);
}

static u64 armed(u8 vector)
{
	return V_INTERRUPT_MASKING | V_IRQ | V_IGNORE_TPR | V_PRIORITY_HIGHEST |
	       (u64)vector << V_VECTOR_SHIFT;
}

/* The processor delivers what is armed once the guest can take it, and clears V_IRQ then. */
static void test_the_processor_delivers_interrupts(void **state)
{
	struct vcpu vcpu = {.vendor = new_svm()};
	struct svm_vcpu *svm = svm_of(&vcpu);
	struct vmcb *vmcb = vmcb_of(&vcpu);

	(void)state;
	vmcb->interrupt_control = V_INTERRUPT_MASKING;
	pending_vector = 0x55;
	accepted_vector = -1;
	vmcb->clean = CLEAN_ALL;
	svm_deliver_event(&vcpu);
	assert_int_equal(vmcb->interrupt_control, armed(0x55));
	assert_int_equal(vmcb->inject_event, 0);
	assert_false(vmcb->clean & CLEAN_INTERRUPTS);

	assert_true(svm->interrupt_armed);
	assert_int_equal(accepted_vector, 0x55);

	/* Still waiting at the next exit: it is the LAPIC's again until the next entry. */
	vcpu.requests = 0;
	svm_settle_interrupt(&vcpu);
	assert_false(svm->interrupt_armed);
	assert_int_equal(accepted_vector, -1);
	assert_true(vcpu.requests & VCPU_REQ_EVENT);

	/* A higher one takes its place; the VMCB is rewritten only for a change. */
	pending_vector = 0x66;
	svm_deliver_event(&vcpu);
	assert_int_equal(vmcb->interrupt_control, armed(0x66));
	vmcb->clean = CLEAN_ALL;
	svm_deliver_event(&vcpu);
	assert_true(vmcb->clean & CLEAN_INTERRUPTS);

	/* Delivered, and raised again by another CPU while the guest served it. */
	vmcb->interrupt_control &= ~V_IRQ;
	pending_vector = 0x66;
	vcpu.requests = 0;
	svm_settle_interrupt(&vcpu);
	assert_int_equal(accepted_vector, 0x66);
	assert_int_equal(pending_vector, 0x66);
	assert_false(svm->interrupt_armed);
	assert_int_equal(vcpu.requests, 0);
	svm_deliver_event(&vcpu);
	assert_int_equal(vmcb->interrupt_control, armed(0x66));
	vmcb->interrupt_control &= ~V_IRQ;
	svm_settle_interrupt(&vcpu);

	/* An exception goes first; what is not deliverable any more is disarmed. */
	pending_vector = 0x66;
	vcpu_inject_exception(&vcpu, VECTOR_UD, 0);
	svm_deliver_event(&vcpu);
	assert_int_equal(vmcb->inject_event, exit_event(EVENT_EXCEPTION, VECTOR_UD));
	assert_int_equal(vmcb->interrupt_control, armed(0x66));
	svm_settle_interrupt(&vcpu);
	pending_vector = -1;
	svm_deliver_event(&vcpu);
	assert_int_equal(vmcb->interrupt_control, V_INTERRUPT_MASKING);
	assert_false(svm->interrupt_armed);
	free(vcpu.vendor);
}

/* A delivery that an exit cut short: V_IRQ is clear on hardware and still set in QEMU, which calls
 * the interrupt an exception. The LAPIC has it back, and it is armed anew. */
static void test_an_interrupt_cut_short_is_armed_again(void **state)
{
	struct vcpu vcpu = {.vendor = new_svm()};
	struct vmcb *vmcb = vmcb_of(&vcpu);
	const struct {
		enum event_type type;
		u64 control;
	} reports[] = {
		{EVENT_INTERRUPT, armed(0x41) & ~V_IRQ},
		{EVENT_EXCEPTION, armed(0x41)},
	};

	(void)state;
	pending_vector = 0x41;
	accepted_vector = -1;
	for (unsigned i = 0; i < ARRAY_SIZE(reports); i++) {
		svm_deliver_event(&vcpu);
		vcpu.requests = 0;
		vmcb->interrupt_control = reports[i].control;
		vmcb->exit_event = exit_event(reports[i].type, 0x41);
		svm_requeue_event(&vcpu);
		assert_false(vcpu.event.valid || svm_of(&vcpu)->interrupt_armed);
		assert_int_equal(pending_vector, 0x41);
		assert_true(vcpu.requests & VCPU_REQ_EVENT);
		svm_deliver_event(&vcpu);
		assert_int_equal(vmcb->interrupt_control, armed(0x41));
		assert_int_equal(vmcb->inject_event, 0);
	}
	free(vcpu.vendor);
}

static void test_an_nmi_waits_for_the_iret_of_the_last(void **state)
{
	struct vcpu vcpu = {.vendor = new_svm()};
	struct vmcb *vmcb = vmcb_of(&vcpu);
	const u64 nmi = exit_event(EVENT_NMI, VECTOR_NMI);

	(void)state;
	pending_vector = -1;
	nmi_pending = true;
	vmcb->rip = 0x1000;
	svm_deliver_event(&vcpu);
	assert_int_equal(vmcb->inject_event, nmi);
	assert_true(vmcb->intercept_1 & INTERCEPT_IRET);

	nmi_pending = true;
	vcpu.requests = 0;
	vmcb->rip = 0x2000; /* in the handler */
	svm_deliver_event(&vcpu);
	assert_int_equal(vmcb->inject_event, 0);
	assert_true(vcpu.requests & VCPU_REQ_EVENT); /* looked at again after the next exit */

	vmcb->rip = 0x2010; /* the IRET has not run yet */
	svm_nmi_returns(&vcpu);
	assert_false(vmcb->intercept_1 & INTERCEPT_IRET);
	svm_deliver_event(&vcpu);
	assert_int_equal(vmcb->inject_event, 0);

	vmcb->rip = 0x1000;
	svm_deliver_event(&vcpu);
	assert_int_equal(vmcb->inject_event, nmi);
	assert_false(nmi_pending);
	free(vcpu.vendor);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_was_cut_short_comes_again),
		cmocka_unit_test(test_the_processor_delivers_interrupts),
		cmocka_unit_test(test_an_interrupt_cut_short_is_armed_again),
		cmocka_unit_test(test_an_nmi_waits_for_the_iret_of_the_last),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
