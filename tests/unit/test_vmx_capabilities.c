/*
 * Which controls follow from the capability MSRs, on processors that lack one thing or another, and
 * which other processors are fit to run what was chosen on the boot processor. The values are those
 * that KVM (Linux 6.1, 6.12) shows a hypervisor inside it, unless said otherwise.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "arch/x86/arch.h"
#include "arch/x86/processor.h"
#include "arch/x86/vmx/vmx.h"
#include "arch/x86/vmx/vmx_msr.h"
#include "kernel/core/log.h"

static struct processor {
	u32 signature; /* CPUID 1 EAX */
	u64 feature_control, basic, misc, cr0_fixed0, cr0_fixed1, cr4_fixed0, cr4_fixed1;
	u64 pin, primary, secondary, exit, entry, ept;
} processor;

static const struct processor kvm = {
	.signature = 0x50654,
	.feature_control = 5,
	.basic = 0x00d8100011e57ed0,
	.misc = 0x40000065,
	.cr0_fixed0 = 0x80000021,
	.cr0_fixed1 = 0xffffffff,
	.cr4_fixed0 = 0x2000,
	.cr4_fixed1 = 0x3767ff,
	.pin = 0x0000007f00000016,
	.primary = 0xfff9fffe04006172,
	.secondary = 0x001338ff00000000,
	.exit = 0x007fefff00036dfb,
	.entry = 0x0000d3ff000011fb,
	.ept = 0x00000f0106734141,
};

static char said[4096];
__thread struct cpu *fake_cpu;
u8 *fake_ram;
static struct cpu second_cpu = {.index = 1};

static u64 fake_rdmsr(u32 msr)
{
	switch (msr) {
	case MSR_FEATURE_CONTROL:
		return processor.feature_control;
	case MSR_VMX_BASIC:
		return processor.basic;
	case MSR_VMX_MISC:
		return processor.misc;
	case MSR_VMX_CR0_FIXED0:
		return processor.cr0_fixed0;
	case MSR_VMX_CR0_FIXED1:
		return processor.cr0_fixed1;
	case MSR_VMX_CR4_FIXED0:
		return processor.cr4_fixed0;
	case MSR_VMX_CR4_FIXED1:
		return processor.cr4_fixed1;
	/* The older MSRs: what defaults to 1 must be 1 there (A.2). */
	case MSR_VMX_PIN_CONTROLS:
		return processor.pin | 0x16;
	case MSR_VMX_PRIMARY_CONTROLS:
		return processor.primary | 0x0401e172;
	case MSR_VMX_EXIT_CONTROLS:
		return processor.exit | 0x36dff;
	case MSR_VMX_ENTRY_CONTROLS:
		return processor.entry | 0x11ff;
	case MSR_VMX_TRUE_PIN_CONTROLS:
	case MSR_VMX_TRUE_PRIMARY_CONTROLS:
	case MSR_VMX_TRUE_EXIT_CONTROLS:
	case MSR_VMX_TRUE_ENTRY_CONTROLS:
		assert_true(processor.basic & VMX_BASIC_TRUE_CONTROLS); /* else #GP */
		return msr == MSR_VMX_TRUE_PIN_CONTROLS       ? processor.pin
		       : msr == MSR_VMX_TRUE_PRIMARY_CONTROLS ? processor.primary
		       : msr == MSR_VMX_TRUE_EXIT_CONTROLS    ? processor.exit
							      : processor.entry;
	case MSR_VMX_SECONDARY_CONTROLS:
		assert_true(processor.primary >> 32 & PRIMARY_SECONDARY);
		return processor.secondary;
	case MSR_VMX_EPT_VPID_CAP:
		assert_true(processor.secondary >> 32 & (SECONDARY_EPT | SECONDARY_VPID));
		return processor.ept;
	default:
		fail_msg("MSR 0x%x is not there", msr);
		return 0;
	}
}

static struct cpuid_result fake_cpuid(u32 leaf, u32 subleaf)
{
	(void)subleaf;
	assert_int_equal(leaf, 1);
	return (struct cpuid_result){.eax = processor.signature, .ecx = BIT(5)};
}

int vmcs_create_bitmaps(void)
{
	return 0;
}

void log_line(int level, const char *format, ...)
{
	size_t length = strlen(said);
	va_list arguments;

	if (level == LOG_INFO)
		return;
	va_start(arguments, format);
	vsnprintf(said + length, sizeof(said) - length, format, arguments);
	va_end(arguments);
}

#define rdmsr fake_rdmsr
#define cpuid fake_cpuid
#include "arch/x86/vmx/vmx_capabilities.c"

static const struct vmx_capabilities *caps = &vmx_capabilities;

static int probe(struct processor p)
{
	processor = p;
	said[0] = 0;
	vmx_capabilities = (struct vmx_capabilities){0};
	return vmx_probe();
}

static void assert_legal(u32 chosen, u64 capability)
{
	assert_int_equal(chosen & ~(u32)(capability >> 32), 0);
	assert_int_equal(~chosen & (u32)capability, 0);
}

/* It can run, with nothing set that must not be. */
static void assert_runs(struct processor p)
{
	assert_int_equal(probe(p), 0);
	assert_string_equal(said, "");
	assert_legal(caps->pin, p.pin);
	assert_legal(caps->primary, p.primary);
	assert_legal(caps->secondary, p.secondary);
	assert_legal(caps->exit, p.exit);
	assert_legal(caps->entry, p.entry);
	assert_int_equal(vmx_cpu_check(), 0);
}

static void assert_refused(struct processor p, const char *why)
{
	assert_true(probe(p) < 0);
	assert_non_null(strstr(said, why));
}

#define MAY(bits) ((u64)(bits) << 32)

static void in_kvm_everything_is_there(void **state)
{
	(void)state;
	assert_runs(kvm);
	assert_true(caps->preemption_timer);
	assert_int_equal(caps->timer_shift, 5);
	assert_int_equal(caps->invept_type, INVALIDATE_SINGLE_CONTEXT);
	assert_int_equal(caps->invvpid_type, INVALIDATE_SINGLE_CONTEXT);
	assert_true(caps->secondary & SECONDARY_VPID);
	assert_false(caps->ve);
}

static void what_may_be_missing(void **state)
{
	struct processor p;

	(void)state;
	p = kvm;
	p.pin &= ~MAY(PIN_PREEMPTION_TIMER);
	assert_runs(p);
	assert_false(caps->preemption_timer);
	assert_false(caps->exit & EXIT_SAVE_TIMER_VALUE);
	p = kvm;
	p.exit &= ~MAY(EXIT_SAVE_TIMER_VALUE);
	assert_runs(p);
	assert_false(caps->pin & PIN_PREEMPTION_TIMER);

	p = kvm; /* kvm_intel.vpid=0 */
	p.secondary &= ~MAY(SECONDARY_VPID);
	p.ept &= 0xffffffff;
	assert_runs(p);
	assert_int_equal(caps->invvpid_type, 0);
	p = kvm;
	p.ept &= 0xffffffff; /* VPID without INVVPID: not used */
	assert_runs(p);
	assert_false(caps->secondary & SECONDARY_VPID);
	p = kvm;
	p.ept &= ~EPT_CAP_INVVPID_SINGLE;
	assert_runs(p);
	assert_int_equal(caps->invvpid_type, INVALIDATE_ALL_CONTEXTS);

	p = kvm;
	p.ept &= ~(EPT_CAP_1G | EPT_CAP_ACCESSED_DIRTY | EPT_CAP_INVEPT_SINGLE);
	assert_runs(p);
	assert_int_equal(caps->invept_type, INVALIDATE_ALL_CONTEXTS);

	p = kvm;
	p.secondary |= MAY(SECONDARY_EPT_VIOLATION_VE);
	assert_runs(p);
	assert_true(caps->ve);
	assert_false(caps->secondary & SECONDARY_EPT_VIOLATION_VE);
}

static void what_must_be_there_is_named(void **state)
{
	struct processor p;

	(void)state;
	p = kvm;
	p.secondary &= ~MAY(SECONDARY_UNRESTRICTED_GUEST);
	assert_refused(p, "unrestricted guest");
	p = kvm; /* kvm_intel.ept=0: nothing reads the MSR that is not there */
	p.secondary = 0;
	assert_refused(p, "enable EPT");
	p = kvm;
	p.primary &= ~MAY(PRIMARY_SECONDARY);
	assert_refused(p, "activate secondary controls");
	p = kvm;
	p.ept &= ~(EPT_CAP_INVEPT_SINGLE | EPT_CAP_INVEPT_ALL);
	assert_refused(p, "INVEPT has no type");
	p = kvm;
	p.ept &= ~EPT_CAP_WRITE_BACK;
	assert_refused(p, "write-back");
	p = kvm; /* no TRUE MSRs: CR3 accesses must exit (Core 2) */
	p.basic &= ~VMX_BASIC_TRUE_CONTROLS;
	assert_refused(p, "CR3-load exiting");
	p = kvm;
	p.feature_control = 1;
	assert_refused(p, "switch it on in the firmware's setup");
	p.feature_control = 3; /* inside SMX only */
	assert_refused(p, "switch it on in the firmware's setup");
	p.feature_control = 0; /* ours to set */
	assert_runs(p);
}

static void a_preemption_timer_with_an_erratum_is_not_used(void **state)
{
	struct processor p = kvm;

	(void)state;
	p.signature = 0x20652; /* Core i5-500 */
	assert_runs(p);
	assert_false(caps->preemption_timer);
	assert_false(caps->pin & PIN_PREEMPTION_TIMER);
	p.signature = 0x306a9; /* Core i7-3770 */
	assert_runs(p);
	assert_true(caps->preemption_timer);
}

static void assert_unfit(struct processor p, const char *why)
{
	assert_int_equal(probe(kvm), 0);
	processor = p;
	assert_true(vmx_cpu_check() < 0);
	assert_non_null(strstr(said, why));
}

static void another_processor_must_have_what_is_used(void **state)
{
	struct processor p;

	(void)state;
	p = kvm;
	p.basic ^= 1;
	assert_unfit(p, "MSR 0x480");
	p = kvm;
	p.pin &= ~MAY(PIN_PREEMPTION_TIMER);
	assert_unfit(p, "MSR 0x481");
	p = kvm;
	p.primary |= PRIMARY_CR3_LOAD;
	assert_unfit(p, "MSR 0x482");
	p = kvm;
	p.secondary &= ~MAY(SECONDARY_INVPCID);
	assert_unfit(p, "MSR 0x48b");
	p = kvm;
	p.exit &= ~MAY(EXIT_LOAD_PAT);
	assert_unfit(p, "MSR 0x483");
	p = kvm;
	p.entry |= ENTRY_IA32E; /* must be free to change */
	assert_unfit(p, "MSR 0x484");
	p = kvm;
	p.ept &= ~EPT_CAP_1G;
	assert_unfit(p, "MSR 0x48c");
	p = kvm;
	p.misc ^= 1;
	assert_unfit(p, "MSR 0x485");
	p = kvm;
	p.cr4_fixed0 |= CR4_OSFXSR;
	assert_unfit(p, "MSR 0x488");
	p = kvm;
	p.cr4_fixed1 &= ~CR4_SMAP;
	assert_unfit(p, "MSR 0x489");
	p = kvm;
	p.feature_control = 1;
	assert_unfit(p, "IA32_FEATURE_CONTROL = 0x1");
}

/* Cores of two kinds, or patched differently. */
static void other_differences_do_not_matter(void **state)
{
	struct processor p = kvm;

	(void)state;
	assert_int_equal(probe(kvm), 0);
	p.signature = 0x906a4;
	p.basic ^= BIT(56); /* VM entry may deliver any error code */
	p.misc ^= BIT(14);
	p.primary ^= MAY(BIT(27));      /* monitor trap flag */
	p.secondary ^= MAY(BIT(14));    /* VMCS shadowing */
	p.exit ^= MAY(BIT(24));         /* conceal from PT */
	p.ept ^= EPT_CAP_4_LEVELS << 1; /* 5 levels */
	processor = p;
	assert_int_equal(vmx_cpu_check(), 0);
	assert_string_equal(said, "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(in_kvm_everything_is_there),
		cmocka_unit_test(what_may_be_missing),
		cmocka_unit_test(what_must_be_there_is_named),
		cmocka_unit_test(a_preemption_timer_with_an_erratum_is_not_used),
		cmocka_unit_test(another_processor_must_have_what_is_used),
		cmocka_unit_test(other_differences_do_not_matter),
	};

	fake_cpu = &second_cpu;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
