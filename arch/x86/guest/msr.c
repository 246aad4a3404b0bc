/*
 * The MSR table and the registers that need no more than a line. Reads and writes happen on the CPU
 * of the vCPU; no lock. The guest's TSC is the host's: reads pass it on, writes are ignored, and so
 * a TSC deadline of the guest is one of the host.
 */
#include "arch/x86/guest/msr.h"

#include "arch/x86/arch.h"
#include "arch/x86/guest/kvmclock.h"
#include "arch/x86/guest/lapic.h"
#include "arch/x86/guest/pv_eoi.h"
#include "arch/x86/guest/steal_time.h"

/* IA32_MISC_ENABLE: fast strings on (CPUID shows ERMS), no BTS, no PEBS. A guest that found the bit
 * missing would use other copies than CPUID promises. */
#define MISC_ENABLE_VALUE (BIT(0) | BIT(11) | BIT(12))

const struct msr_rule msr_rules[] = {
	{MSR_TSC, MSR_TSC, MSR_EMULATE}, {0x17, 0x17, MSR_ZERO},             /* IA32_PLATFORM_ID */
	{MSR_APIC_BASE, MSR_APIC_BASE, MSR_EMULATE}, {0x34, 0x34, MSR_ZERO}, /* SMI_COUNT */
	{0x3a, 0x3a, MSR_ZERO}, /* IA32_FEATURE_CONTROL: VMX is not there */
	{MSR_BIOS_SIGN_ID, MSR_BIOS_SIGN_ID, MSR_ZERO}, {0xce, 0xce, MSR_ZERO}, /* PLATFORM_INFO */
	{0x140, 0x140, MSR_ZERO}, /* MISC_FEATURES_ENABLES */
	{MSR_SYSENTER_CS, MSR_SYSENTER_EIP, MSR_PASS},
	{MSR_MISC_ENABLE, MSR_MISC_ENABLE, MSR_EMULATE},
	{0x1d9, 0x1d9, MSR_ZERO}, /* IA32_DEBUGCTL */
	{MSR_PAT, MSR_PAT, MSR_PASS},
	{0x606, 0x606, MSR_ZERO}, /* RAPL_POWER_UNIT and its energy counters */
	{0x611, 0x611, MSR_ZERO}, {0x619, 0x619, MSR_ZERO}, {0x639, 0x639, MSR_ZERO},
	{0x641, 0x641, MSR_ZERO}, {0x64d, 0x64e, MSR_ZERO},
	{MSR_TSC_DEADLINE, MSR_TSC_DEADLINE, MSR_EMULATE},
	{MSR_X2APIC_FIRST, MSR_X2APIC_LAST, MSR_EMULATE},
	{MSR_KVM_WALL_CLOCK, MSR_KVM_SYSTEM_TIME, MSR_EMULATE},
	{MSR_KVM_STEAL_TIME, MSR_KVM_PV_EOI, MSR_EMULATE}, {MSR_EFER, MSR_EFER, MSR_VENDOR},
	{MSR_STAR, MSR_SFMASK, MSR_PASS}, {MSR_FS_BASE, MSR_KERNEL_GS_BASE, MSR_PASS},
	{MSR_TSC_AUX, MSR_TSC_AUX, MSR_ZERO}, /* RDTSCP and RDPID are hidden */
	{0xc0010000, 0xc0010003, MSR_ZERO},   /* AMD: PERF_CTL */
	{0xc0010004, 0xc0010007, MSR_ZERO},   /* AMD: PERF_CTR */
	{0xc0010010, 0xc0010010, MSR_ZERO},   /* AMD: SYSCFG */
	{0xc0010015, 0xc0010015, MSR_ZERO},   /* AMD: HWCR */
	{0xc001001f, 0xc001001f, MSR_ZERO},   /* AMD: NB_CFG */
	{0xc0010055, 0xc0010055, MSR_ZERO},   /* AMD: interrupt pending message */
	{0xc0011029, 0xc0011029, MSR_ZERO},   /* AMD: DE_CFG */
};
const unsigned msr_rule_count = ARRAY_SIZE(msr_rules);

enum msr_class msr_class_of(u32 msr)
{
	unsigned low = 0, high = ARRAY_SIZE(msr_rules);

	while (low < high) {
		unsigned middle = (low + high) / 2;

		if (msr < msr_rules[middle].first)
			high = middle;
		else if (msr > msr_rules[middle].last)
			low = middle + 1;
		else
			return msr_rules[middle].class;
	}
	return MSR_FAULT;
}

enum outcome msr_read(struct vcpu *vcpu, u32 msr, u64 *value)
{
	if (msr >= MSR_X2APIC_FIRST && msr <= MSR_X2APIC_LAST)
		return lapic_read(vcpu, msr - MSR_X2APIC_FIRST, value);
	switch (msr) {
	case MSR_TSC:
		*value = arch_tsc();
		return DONE;
	case MSR_TSC_DEADLINE:
		*value = lapic_deadline(vcpu);
		return DONE;
	case MSR_APIC_BASE:
		*value = lapic_base(vcpu);
		return DONE;
	case MSR_MISC_ENABLE:
		*value = MISC_ENABLE_VALUE;
		return DONE;
	default:
		*value = 0;
		return msr_class_of(msr) == MSR_ZERO ? DONE : BAD;
	}
}

enum outcome msr_write(struct vcpu *vcpu, u32 msr, u64 value)
{
	if (msr >= MSR_X2APIC_FIRST && msr <= MSR_X2APIC_LAST)
		return lapic_write(vcpu, msr - MSR_X2APIC_FIRST, value);
	switch (msr) {
	case MSR_TSC:
	case MSR_MISC_ENABLE:
		return DONE;
	case MSR_TSC_DEADLINE:
		lapic_set_deadline(vcpu, value);
		return DONE;
	case MSR_APIC_BASE:
		/* The mode is fixed; only the value already there may be written. */
		return value == lapic_base(vcpu) ? DONE : BAD;
	case MSR_KVM_WALL_CLOCK:
	case MSR_KVM_SYSTEM_TIME:
		return kvmclock_write(vcpu, msr, value);
	case MSR_KVM_STEAL_TIME:
		return steal_time_write(vcpu, value);
	case MSR_KVM_PV_EOI:
		return pv_eoi_write(vcpu, value);
	default:
		return msr_class_of(msr) == MSR_ZERO ? DONE : BAD;
	}
}
