/*
 * CPUID leaves that Sluice adds. The KVM signature stands at 0x40000000, with kvmclock; Sluice's
 * own leaves stand at 0x40000100.
 */
#ifndef ABI_CPUID_H
#define ABI_CPUID_H

#define KVM_CPUID_SIGNATURE 0x40000000u
/* EAX = guest TSC frequency in kHz, EBX = LAPIC timer frequency in kHz (the timing leaf that VMware
 * and KVM share). */
#define HV_CPUID_TIMING 0x40000010u

/* EAX = highest leaf, EBX ECX EDX = "SluiceSluice". */
#define SLUICE_CPUID_SIGNATURE 0x40000100u
#define SLUICE_SIGNATURE_EBX   0x69756c53u /* "Slui" */
#define SLUICE_SIGNATURE_ECX   0x6c536563u /* "ceSl" */
#define SLUICE_SIGNATURE_EDX   0x65636975u /* "uice" */

/* EAX = SLUICE_ABI_VERSION, EBX = feature bits, ECX = hypercall instruction. */
#define SLUICE_CPUID_FEATURES      0x40000101u
#define SLUICE_FEATURE_TMEM        (1u << 0) /* tmem hypercalls are served for this guest */
#define SLUICE_FEATURE_TMEM_BATCH  (1u << 1)
#define SLUICE_FEATURE_TMEM_FILTER (1u << 4) /* miss filters of private pools (abi/filter.h) */
#define SLUICE_FEATURE_TMEM_FLIP   (1u << 5) /* puts and gets that exchange frames */
#define SLUICE_FEATURE_VOLATILE    (1u << 6) /* volatile pages (abi/volatile.h) */
#define SLUICE_FEATURE_VE          (1u << 7) /* their touches may raise #VE (abi/volatile.h) */
#define SLUICE_INSTRUCTION_VMCALL  0u
#define SLUICE_INSTRUCTION_VMMCALL 1u

#endif
