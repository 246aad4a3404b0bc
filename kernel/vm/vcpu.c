/*
 * vCPU objects: creation, blocking and the exceptions that services queue. Run queues are
 * sched.c's; the control block is the vendor's.
 */
#include "kernel/vm/vcpu.h"

#include <string.h>

#include "arch/x86/arch.h"
#include "kernel/core/frame.h"
#include "kernel/vm/vm.h"

#define VECTOR_DE 0
#define VECTOR_TS 10
#define VECTOR_NP 11
#define VECTOR_SS 12
#define VECTOR_VE 20
#define VECTOR_CP 21

static const char *const exit_names[EXITED_CLASSES] = {
	[EXITED_HYPERCALL] = "hypercall",
	[EXITED_NESTED_FAULT] = "nested_fault",
	[EXITED_MMIO] = "mmio",
	[EXITED_PORT] = "port",
	[EXITED_MSR] = "msr",
	[EXITED_CPUID] = "cpuid",
	[EXITED_HALT] = "halt",
	[EXITED_CR] = "cr",
	[EXITED_INTERRUPT] = "interrupt",
	[EXITED_WINDOW] = "window",
	[EXITED_EXCEPTION] = "exception",
	[EXITED_OTHER] = "other",
};

const char *exit_class_name(enum exit_class class)
{
	return class < EXITED_CLASSES ? exit_names[class] : "?";
}

__init struct vcpu *vcpu_create(struct vm *vm, u32 id)
{
	struct vcpu *vcpu = hypervisor_alloc(order_of(sizeof(*vcpu)));

	if (!vcpu)
		return NULL;
	vcpu->vm = vm;
	vcpu->id = id;
	vcpu_reset(vcpu);
	return vcpu;
}

/* Registers come with @start. The vector state is reset on the vCPU's own CPU, which may still save
 * there what it had loaded. */
void vcpu_reset(struct vcpu *vcpu)
{
	vcpu->requests = 0;
	vcpu->flushed_generation = 0;
	vcpu->start.kind = START_NONE;
	vcpu->event.valid = false;
	vcpu->steal_time_at = 0;
	vcpu->wake_pending = vcpu->blocking = vcpu->offline = vcpu->waits_for_memory = false;
	vcpu->is_fresh = true;
	memset(vcpu->debug_registers, 0, sizeof(vcpu->debug_registers));
	/* Intel SDM vol. 3, table 9-1: DR6 after reset. */
	vcpu->dr6 = 0xffff0ff0;
	vcpu->state = VCPU_WAIT_SIPI;
}

__init void vcpu_destroy(struct vcpu *vcpu)
{
	hypervisor_free(vcpu, order_of(sizeof(*vcpu)));
}

void vcpu_block(struct vcpu *vcpu)
{
	vcpu->blocking = true;
	vcpu_request(vcpu, VCPU_REQ_YIELD);
}

static bool vector_has_error(u8 vector)
{
	switch (vector) {
	case VECTOR_DF:
	case VECTOR_TS:
	case VECTOR_NP:
	case VECTOR_SS:
	case VECTOR_GP:
	case VECTOR_PF:
	case VECTOR_AC:
	case VECTOR_CP:
		return true;
	default:
		return false;
	}
}

static bool is_contributory(u8 vector)
{
	return vector == VECTOR_DE || (vector >= VECTOR_TS && vector <= VECTOR_GP);
}

/* Intel SDM vol. 3, table 6-5: which pairs become a double fault. */
static bool makes_double_fault(u8 first, u8 second)
{
	if (first == VECTOR_PF || first == VECTOR_VE)
		return second == VECTOR_PF || is_contributory(second);
	return is_contributory(first) && is_contributory(second);
}

void vcpu_inject_exception(struct vcpu *vcpu, u8 vector, u32 error)
{
	const struct vcpu_event *first = &vcpu->event;

	/* A fault while an interrupt was being delivered replaces it, as on a processor: the
	 * interrupt was acknowledged and is not delivered again. The same holds for serial pairs of
	 * exceptions, where the restarted instruction raises the first one again. */
	if (first->valid && first->type == EVENT_EXCEPTION) {
		if (first->vector == VECTOR_DF) {
			vm_stop(vcpu->vm, STOP_TRIPLE_FAULT, vector);
			return;
		}
		if (makes_double_fault(first->vector, vector)) {
			vector = VECTOR_DF;
			error = 0;
		}
	}
	vcpu->event = (struct vcpu_event){
		.valid = true,
		.type = EVENT_EXCEPTION,
		.vector = vector,
		.has_error = vector_has_error(vector),
		.error = error,
	};
	vcpu_request(vcpu, VCPU_REQ_EVENT);
}

void vcpu_inject_page_fault(struct vcpu *vcpu, u64 address, u32 error)
{
	vcpu_inject_exception(vcpu, VECTOR_PF, error);
	vcpu->event.has_address = true;
	vcpu->event.address = address;
}
