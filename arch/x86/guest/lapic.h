/*
 * The local APIC of each vCPU, always in x2APIC mode (Intel SDM vol. 3, 11.12), and its timer. IRR
 * is set by any CPU with atomic operations; everything else belongs to the CPU of the vCPU.
 */
#ifndef GUEST_LAPIC_H
#define GUEST_LAPIC_H

#include "kernel/vm/vcpu.h"
#include "kernel/vm/vm.h"

/* vcpu->lapic in reset state; 0 or -ENOMEM. */
int __must_check lapic_create(struct vcpu *vcpu);
void lapic_destroy(struct vcpu *vcpu);
/* As lapic_create() leaves it. The VM does not run. */
void lapic_power_cycle(struct vcpu *vcpu);

/* ---- For the run loop, on the CPU of the vCPU -------------------------------------------------
 */

/* The vector to deliver now: highest in IRR above the processor priority, or -1. Does not look at
 * IF. */
int lapic_pending(struct vcpu *vcpu);
/* @vector, just answered by lapic_pending(), is being delivered: IRR to ISR. */
void lapic_accept(struct vcpu *vcpu, u8 vector);
/* @vector, accepted last, did not reach the guest after all: ISR back to IRR. */
void lapic_withdraw(struct vcpu *vcpu, u8 vector);
/* An NMI waits for delivery; the run loop delivers it when the guest can take one, before
 * interrupts. */
bool lapic_nmi_pending(const struct vcpu *vcpu);
void lapic_nmi_accept(struct vcpu *vcpu);
/* CR8: the high four bits of TPR. Sets VCPU_REQ_EVENT if a lower priority lets something through.
 */
void lapic_set_tpr(struct vcpu *vcpu, u8 cr8);
u8 lapic_get_tpr(const struct vcpu *vcpu);

/* ---- For everybody
 * ------------------------------------------------------------------------------- */

/* Makes @vector pending in @vcpu and wakes it. Any CPU. @level: EOI is passed on to the IOAPIC. */
void lapic_raise(struct vcpu *vcpu, u8 vector, bool level);

/* For TIMER_LAPIC: @timer expired on this CPU. */
void lapic_timer_expired(struct timer *timer);

/* The x2APIC registers, MSR 0x800 + @index, and the two MSRs beside them. DONE or BAD (#GP). */
enum outcome lapic_read(struct vcpu *vcpu, u32 index, u64 *value);
enum outcome lapic_write(struct vcpu *vcpu, u32 index, u64 value);
u64 lapic_deadline(const struct vcpu *vcpu);
void lapic_set_deadline(struct vcpu *vcpu, u64 tsc);
u64 lapic_base(const struct vcpu *vcpu);

/* How an interrupt message finds its vCPUs, alike for ICR and IOAPIC (Intel SDM vol. 3, 11.6). */
enum lapic_delivery {
	DELIVER_FIXED = 0,
	DELIVER_LOWEST = 1,
	DELIVER_SMI = 2,
	DELIVER_NMI = 4,
	DELIVER_INIT = 5,
	DELIVER_SIPI = 6,
	DELIVER_EXTINT = 7,
};
struct lapic_message {
	u32 destination; /* x2APIC id, or logical id */
	bool logical;
	bool level;
	enum lapic_delivery delivery;
	u8 vector;
};
void lapic_deliver(struct vm *vm, const struct lapic_message *message);

#endif
