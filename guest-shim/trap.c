/*
 * What each vector means, on either vCPU. Interrupts run on a stack of their own with interrupts
 * off, so they never nest. The page-fault handler runs on the stack that faulted, since it may
 * sleep, and then lets interrupts in.
 */
#include "guest-shim/trap.h"

#include <abi/platform.h>

#include "guest-shim/anon.h"
#include "guest-shim/apic.h"
#include "guest-shim/balloon.h"
#include "guest-shim/cpu.h"
#include "guest-shim/disk.h"
#include "guest-shim/operator.h"
#include "guest-shim/panic.h"
#include "guest-shim/rng.h"
#include "guest-shim/volatile.h"

/* A fault with interrupts off comes from the shim itself, which must not touch what may be paged
 * out then. */
static bool fault_is_handled(const struct registers *registers)
{
	return registers->rflags & RFLAGS_IF && !descriptors_are_seconds() &&
	       anon_fault(read_cr2(), registers->error);
}

void trap(struct registers *registers)
{
	u64 vector = registers->vector;
	u32 frame;

	if (vector == VECTOR_PAGE_FAULT) {
		if (volatile_is_fault(read_cr2(), registers->error, &frame))
			panic("frame %x is touched while it may be discarded", (unsigned)frame);
		balloon_hold();
		if (!fault_is_handled(registers))
			panic_registers(registers);
		balloon_release();
	} else if (vector == VECTOR_VIRTUALIZATION) {
		volatile_exception();
	} else if (vector == VECTOR_TIMER || vector == VECTOR_WAKE) {
		apic_eoi();
	} else if (vector == VECTOR_POWER) {
		operator_asks();
		apic_eoi();
	} else if (vector >= VECTOR_DEVICE && vector < VECTOR_DEVICE + PLATFORM_VIRTIO_SLOTS) {
		unsigned slot = (unsigned)(vector - VECTOR_DEVICE);

		if (!balloon_interrupt(slot) && !rng_interrupt(slot))
			disk_interrupt(slot);
		apic_eoi();
		balloon_poll();
	} else if (vector != VECTOR_SPURIOUS) {
		panic_registers(registers);
	}
}
