/*
 * Ends of interrupts without an exit (Linux, Documentation/virt/kvm/x86/msr.rst, PV EOI). With an
 * interrupt the hypervisor sets a bit in a word that the guest names by MSR; the guest clears it
 * by one instruction in place of its write to EOI. Where the bit is clear it writes EOI.
 *
 * The bit is not looked at with every exit but when the answer matters: before anything depends on
 * what is in service (pv_eoi_settle() in lapic_state.h). It is offered only for an edge-triggered
 * interrupt that is alone in service while none is pending, so that its end has nothing else to
 * do; and one that becomes pending later asks for the run loop, which settles first.
 *
 * The word is reached each time through the gfn table. No bit is offered in a page that is not
 * mapped at that moment, and an interrupt whose bit is in a page that the guest has given away
 * counts as ended: nobody will see the bit.
 */
#ifndef GUEST_PV_EOI_H
#define GUEST_PV_EOI_H

#include "kernel/vm/vcpu.h"

#define MSR_KVM_PV_EOI 0x4b564d04u
/* In CPUID leaf 0x40000001, EAX. */
#define KVM_FEATURE_PV_EOI BIT(6)

#define PV_EOI_ON       BIT(0)
#define PV_EOI_RESERVED BIT(1)

/* Bit 0 of the word: the interrupt in service may be ended by clearing it. */
#define PV_EOI_OFFERED 1u

/* A write to the MSR. DONE; BAD: the reserved bit, or no RAM; WAIT: there is no frame yet, the vCPU
 * was blocked. On the CPU of @vcpu, no lock is held. */
enum outcome pv_eoi_write(struct vcpu *vcpu, u64 value);

#endif
