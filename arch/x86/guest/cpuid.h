/*
 * CPUID as a guest sees it: an explicit table of leaves, each host value cut down to what Sluice
 * can stand behind (docs/platform.md). Built once per machine; only the APIC ids differ between
 * vCPUs.
 */
#ifndef GUEST_CPUID_H
#define GUEST_CPUID_H

#include "arch/x86/processor.h"
#include "kernel/vm/vcpu.h"

/* Reads the host's leaves; after arch_start_machine() and the choice of the vendor. Boot CPU only.
 */
void cpuid_init(u32 hypercall_instruction);
/* Whether another CPU, on which this runs, has all that guests were told of the boot CPU's: 0, or
 * -EINVAL after a message for each register that differs. */
int __must_check cpuid_check_processor(void);
/* Answers leaf EAX, subleaf ECX in vcpu->regs (EAX EBX ECX EDX, upper halves cleared). */
void cpuid_emulate(struct vcpu *vcpu);

/* What MSR and control-register emulation ask of the same table. */
struct cpuid_result cpuid_of(const struct vcpu *vcpu, u32 leaf, u32 subleaf);

#endif
