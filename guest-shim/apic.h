/*
 * The processor's LAPIC and the IOAPIC in front of the devices. x2APIC and TSC-deadline where the
 * CPUID shows them, as Sluice does; xAPIC and the one-shot counter elsewhere.
 */
#ifndef SHIM_APIC_H
#define SHIM_APIC_H

#include "lib/types.h"

/* Enables the LAPIC of this vCPU, in x2APIC mode where there is one. Interrupts are off. */
void apic_init(void);

/* End of interrupt: the handler of every vector but the spurious one ends with it. */
void apic_eoi(void);

/* An interrupt with VECTOR_TIMER when the TSC reaches @deadline, at once if it has. @tsc_khz serves
 * the one-shot counter. */
void apic_timer_arm(u64 deadline, u32 tsc_khz);

/* Whether vCPUs can be started and sent interrupts: with x2APIC. */
bool apic_can_start_vcpus(void);
/* INIT and SIPI: vCPU @vcpu begins in real mode in frame @frame. */
void apic_start_vcpu(u32 vcpu, u8 frame);
/* Sends vCPU @vcpu an interrupt; only where vCPUs can be started. */
void apic_send(u32 vcpu, u8 vector);

/* Interrupt line @gsi, edge-triggered, raises @vector here. */
void ioapic_route(u32 gsi, u8 vector);

#endif
