/*
 * Steal time (Linux, Documentation/virt/kvm/x86/msr.rst): a vCPU learns how long it was ready to
 * run while others had its processor, from 64 bytes of its memory that it names by MSR.
 *
 * They are written as a turn of the vCPU begins, each time through the gfn table: what is there now
 * is written, and nothing where the page has no frame or is on its way to another. Only the write
 * to the MSR gets a frame for it.
 */
#ifndef GUEST_STEAL_TIME_H
#define GUEST_STEAL_TIME_H

#include "kernel/vm/vcpu.h"

#define MSR_KVM_STEAL_TIME 0x4b564d03u
/* In CPUID leaf 0x40000001, EAX. */
#define KVM_FEATURE_STEAL_TIME BIT(5)

#define STEAL_TIME_ON       BIT(0)
#define STEAL_TIME_RESERVED 0x3eu

/* struct kvm_steal_time; an odd version: being written. */
struct steal_time {
	u64 steal; /* nanoseconds */
	u32 version;
	u32 flags;
	u8 preempted; /* always 0: it runs when it looks */
	u8 padding[47];
};
_Static_assert(sizeof(struct steal_time) == 64, "kvm_steal_time");

/* A write to the MSR. DONE; BAD: reserved bits, or no RAM; WAIT: there is no frame yet, the vCPU
 * was blocked. */
enum outcome steal_time_write(struct vcpu *vcpu, u64 value);

/* Writes down what @vcpu, whose turn begins, has waited so far. The dispatch loop; no lock is held.
 */
void steal_time_publish(struct vcpu *vcpu);
static inline void steal_time_turn(struct vcpu *vcpu)
{
	if (unlikely(vcpu->steal_time_at))
		steal_time_publish(vcpu);
}

#endif
