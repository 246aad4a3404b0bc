/*
 * The extended state that a guest may use: its XCR0 and what CPUID tells of it. Which states there
 * are is the processor floor's to say (arch_xsave()). On the CPU of the vCPU, whose state is
 * loaded; no lock.
 */
#ifndef GUEST_XSAVE_H
#define GUEST_XSAVE_H

#include "arch/x86/processor.h"
#include "kernel/vm/vcpu.h"

#define LEAF1_ECX_OSXSAVE BIT(27)

/* The guest's CR4 is @cr4 now. The vendor says so at every change, and at a start. */
static inline void xsave_follow_cr4(struct vcpu *vcpu, u64 cr4)
{
	vcpu->osxsave = cr4 & CR4_OSXSAVE ? (u32)LEAF1_ECX_OSXSAVE : 0;
}

/*
 * XSETBV at @cpl (Intel SDM vol. 2). DONE: the value is in force, the caller skips the instruction.
 * RESTART: an exception is queued, and nothing has changed.
 */
enum outcome xsetbv_emulate(struct vcpu *vcpu, unsigned cpl);

/* CPUID leaf 0xd: sizes for the guest's XCR0, and for all that it may set. */
struct cpuid_result xsave_leaf(u32 subleaf);

/* @bits if guests have all of @states, else 0: of CPUID, for what works on them. */
static inline u32 with_states(u64 states, u64 bits)
{
	return (arch_xsave()->states & states) == states ? (u32)bits : 0;
}

#endif
