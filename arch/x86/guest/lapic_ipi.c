/*
 * Interrupt messages between the LAPICs of a VM and from its IOAPIC: who is meant, and what INIT,
 * SIPI and NMI do. Any CPU; INIT and SIPI change vcpu->start under the VM's lock.
 */
#include "arch/x86/guest/lapic.h"

#include "arch/x86/guest/lapic_state.h"
#include "arch/x86/guest/cpuid.h"
#include "arch/x86/guest/platform.h"
#include "kernel/vm/sched.h"
#include <string.h>

#define ICR_VECTOR          0xffu
#define ICR_DELIVERY_SHIFT  8
#define ICR_LOGICAL         BIT(11)
#define ICR_STATUS          BIT(12)
#define ICR_ASSERT          BIT(14)
#define ICR_LEVEL           BIT(15)
#define ICR_SHORTHAND_SHIFT 18
#define ICR_RESERVED        0xfff32000UL

enum shorthand { TO_DESTINATION, TO_SELF, TO_ALL, TO_OTHERS };

#define BROADCAST 0xffffffffu

/* Intel SDM vol. 3, 11.12.10.2: a cluster of 16 in the high half, a mask in the low. */
static bool matches(const struct vcpu *vcpu, const struct lapic_message *message)
{
	if (message->destination == BROADCAST)
		return true;
	if (!message->logical)
		return message->destination == vcpu->id;
	return message->destination >> 16 == vcpu->id >> 4 &&
	       (message->destination & 1u << (vcpu->id & 15));
}

static void deliver_nmi(struct vcpu *vcpu)
{
	struct lapic *lapic = vcpu->lapic;

	if (READ_ONCE(lapic->waits_for_sipi))
		return;
	WRITE_ONCE(lapic->nmi, true);
	spin_lock(&vcpu->vm->lock);
	lapic->deaf = false;
	spin_unlock(&vcpu->vm->lock);
	vcpu_request(vcpu, VCPU_REQ_EVENT);
	vcpu_wake(vcpu);
}

bool lapic_all_deaf(const struct vm *vm)
{
	for (unsigned i = 0; i < vm->vcpu_count; i++) {
		const struct lapic *lapic = vm->vcpus[i]->lapic;

		if (READ_ONCE(lapic->nmi) || !(lapic->deaf || lapic->waits_for_sipi))
			return false;
	}
	return true;
}

static void deliver_init(struct vcpu *vcpu)
{
	struct vm *vm = vcpu->vm;
	bool all;

	/* A SIPI from another vCPU comes wholly before or after. */
	spin_lock(&vm->lock);
	vcpu->lapic->waits_for_sipi = true;
	vcpu->lapic->deaf = false;
	vcpu->start = (struct vcpu_start){.kind = START_NONE};
	vcpu_wait_for_sipi(vcpu);
	all = lapic_all_deaf(vm);
	spin_unlock(&vm->lock);
	if (all) /* nobody is left to send one */
		vm_stop(vm, STOP_ALL_HALTED, 0);
}

static void deliver_sipi(struct vcpu *vcpu, u8 vector)
{
	spin_lock(&vcpu->vm->lock);
	if (vcpu->lapic->waits_for_sipi) {
		vcpu->lapic->waits_for_sipi = false;
		vcpu->start = (struct vcpu_start){.kind = START_SIPI, .sipi_vector = vector};
		sched_start(vcpu);
	}
	spin_unlock(&vcpu->vm->lock);
}

static void deliver(struct vcpu *vcpu, const struct lapic_message *message)
{
	switch (message->delivery) {
	case DELIVER_FIXED:
	case DELIVER_LOWEST:
		lapic_raise(vcpu, message->vector, message->level);
		break;
	case DELIVER_NMI:
		deliver_nmi(vcpu);
		break;
	case DELIVER_INIT:
		deliver_init(vcpu);
		break;
	case DELIVER_SIPI:
		deliver_sipi(vcpu, message->vector);
		break;
	case DELIVER_SMI:    /* there is no SMM */
	case DELIVER_EXTINT: /* there is no 8259 */
		break;
	}
}

void lapic_deliver(struct vm *vm, const struct lapic_message *message)
{
	for (unsigned i = 0; i < vm->vcpu_count; i++) {
		if (!matches(vm->vcpus[i], message))
			continue;
		deliver(vm->vcpus[i], message);
		/* Any one of them is right for the lowest priority; the first is. */
		if (message->delivery == DELIVER_LOWEST)
			return;
	}
}

bool lapic_send(struct vcpu *vcpu, u64 icr)
{
	struct vm *vm = vcpu->vm;
	struct lapic_message message = {
		.destination = (u32)(icr >> 32),
		.logical = icr & ICR_LOGICAL,
		.delivery = (enum lapic_delivery)(icr >> ICR_DELIVERY_SHIFT & 7),
		.vector = (u8)(icr & ICR_VECTOR),
	};
	enum shorthand to = (enum shorthand)(icr >> ICR_SHORTHAND_SHIFT & 3);

	if (icr & ICR_RESERVED & ~ICR_STATUS)
		return false;
	if ((message.delivery == DELIVER_FIXED || message.delivery == DELIVER_LOWEST) &&
		message.vector < 16) {
		lapic_error(vcpu->lapic, ESR_SEND_ILLEGAL);
		return true;
	}
	/* INIT level de-assert does nothing on processors since the Pentium 4. */
	if (message.delivery == DELIVER_INIT && (icr & ICR_LEVEL) && !(icr & ICR_ASSERT))
		return true;
	switch (to) {
	case TO_SELF:
		deliver(vcpu, &message);
		break;
	case TO_DESTINATION:
		lapic_deliver(vm, &message);
		break;
	case TO_ALL:
	case TO_OTHERS:
		for (unsigned i = 0; i < vm->vcpu_count; i++)
			if (to == TO_ALL || vm->vcpus[i] != vcpu)
				deliver(vm->vcpus[i], &message);
		break;
	}
	return true;
}

struct vcpu_start vcpu_take_start(struct vcpu *vcpu)
{
	struct vcpu_start start;

	spin_lock(&vcpu->vm->lock);
	start = vcpu->start;
	vcpu->start = (struct vcpu_start){.kind = START_NONE};
	spin_unlock(&vcpu->vm->lock);
	if (start.kind == START_NONE)
		return start;
	memset(vcpu->regs, 0, sizeof(vcpu->regs));
	vcpu->event = (struct vcpu_event){0};
	if (start.kind == START_PVH) {
		vcpu->regs[RBX] = start.start_info;
		return start;
	}
	lapic_reset(vcpu->lapic);
	vcpu->steal_time_at = 0;                    /* what starts now has not asked for it */
	vcpu->regs[RDX] = cpuid_of(vcpu, 1, 0).eax; /* Intel SDM vol. 3, table 10-1 */
	return start;
}
