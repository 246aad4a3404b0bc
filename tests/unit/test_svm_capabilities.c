/*
 * What follows from the processor's CPUID and VM_CR, and which other processors are fit beside the
 * boot processor.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "arch/x86/processor.h"
#include "arch/x86/svm/svm.h"
#include "arch/x86/svm/svm_msr.h"
#include "kernel/core/log.h"

static struct processor {
	u32 extended_ecx, extended_edx, asids, edx;
	bool has_vm_cr, vm_cr_sticks;
	u64 vm_cr;
} processor;

/* KVM (Linux 6.7 and later) on Zen: 8 ASIDs, with NRIPS, clean bits and flush by ASID. */
static const struct processor kvm = {
	.extended_ecx = 0x4003f7,
	.extended_edx = 0x2fd3fbff,
	.asids = 8,
	.edx = 0x119f9,
	.has_vm_cr = true,
};
/* Family 10h, the first with nested paging: no NRIPS, no clean bits. */
static const struct processor barcelona = {
	.extended_ecx = 0x7ff,
	.extended_edx = 0xefd3fbff,
	.asids = 64,
	.edx = 0x7,
	.has_vm_cr = true,
};

static char said[1024];
static struct cpu second_cpu = {.index = 1};
__thread struct cpu *fake_cpu;
u8 *fake_ram;

static struct cpuid_result fake_cpuid(u32 leaf, u32 subleaf)
{
	(void)subleaf;
	if (leaf == 0x80000001)
		return (struct cpuid_result){
			.ecx = processor.extended_ecx, .edx = processor.extended_edx};
	assert_int_equal(leaf, 0x8000000a);
	return (struct cpuid_result){1, processor.asids, 0, processor.edx};
}

static u64 fake_read_cr4(void)
{
	return CR4_MCE;
}

int rdmsr_safe(u32 msr, u64 *value)
{
	assert_int_equal(msr, MSR_VM_CR);
	if (!processor.has_vm_cr)
		return -14;
	*value = processor.vm_cr;
	return 0;
}

int wrmsr_safe(u32 msr, u64 value)
{
	assert_int_equal(msr, MSR_VM_CR);
	assert_false(processor.vm_cr & VM_CR_LOCK);
	if (!processor.vm_cr_sticks)
		processor.vm_cr = value;
	return 0;
}

int svm_permissions_create(void)
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

#define cpuid_if_present fake_cpuid
#define read_cr4         fake_read_cr4
#include "arch/x86/svm/svm_capabilities.c"

static int probe(struct processor p)
{
	processor = p;
	said[0] = 0;
	return svm_probe();
}

static void what_is_there_is_used(void **state)
{
	(void)state;
	assert_int_equal(probe(kvm), 0);
	assert_string_equal(said, "");
	assert_int_equal(svm_features.asid_count, 8);
	assert_int_equal(svm_features.clean_bits, CLEAN_ALL);
	assert_true(svm_features.next_rip);
	assert_true(svm_features.flush_by_asid);
	assert_true(svm_layout()->huge);
	assert_int_equal(probe(barcelona), 0);
	assert_int_equal(svm_features.clean_bits, 0);
	assert_false(svm_features.next_rip);
	assert_false(svm_features.flush_by_asid);
}

static void what_is_missing_is_named(void **state)
{
	struct processor p = kvm;

	(void)state;
	p.edx &= ~(u32)SVM_EDX_NESTED_PAGING;
	assert_true(probe(p) < 0);
	assert_non_null(strstr(said, "nested paging is missing"));
	p = kvm;
	p.asids = 1;
	assert_true(probe(p) < 0);
	assert_non_null(strstr(said, "1 ASIDs"));
	p = kvm;
	p.extended_ecx &= ~(u32)EXTENDED_ECX_SVM;
	assert_true(probe(p) < 0);
	assert_non_null(strstr(said, "SVM: missing"));
}

static void the_firmware_may_have_disabled_it(void **state)
{
	struct processor p = kvm;

	(void)state;
	p.vm_cr = VM_CR_SVMDIS | VM_CR_LOCK;
	assert_true(probe(p) < 0);
	assert_non_null(strstr(said, "locked"));
	assert_non_null(strstr(said, "enable SVM"));
	p.vm_cr = VM_CR_SVMDIS; /* ours to enable */
	assert_int_equal(probe(p), 0);
	assert_string_equal(said, "");
	assert_int_equal(processor.vm_cr, 0);
	p.vm_cr_sticks = true;
	assert_true(probe(p) < 0);
	assert_non_null(strstr(said, "SVMDIS set"));
	p = kvm;
	p.has_vm_cr = false; /* Bochs */
	assert_int_equal(probe(p), 0);
}

static void assert_unfit(struct processor p, const char *why)
{
	assert_int_equal(probe(kvm), 0);
	processor = p;
	assert_true(svm_cpu_check() < 0);
	assert_non_null(strstr(said, why));
}

static void another_processor_must_have_what_is_used(void **state)
{
	struct processor p = kvm;

	(void)state;
	p.edx &= ~(u32)SVM_EDX_FLUSH_BY_ASID;
	assert_unfit(p, "CPU 1 cannot do");
	p = kvm;
	p.asids = 7;
	assert_unfit(p, "7 ASIDs");
	p = kvm;
	p.vm_cr = VM_CR_SVMDIS | VM_CR_LOCK;
	assert_unfit(p, "disabled by the firmware");
	p = kvm;
	p.extended_ecx = 0;
	assert_unfit(p, "CPU 1 has none");

	p = kvm;
	p.edx ^= SVM_EDX_DECODE_ASSISTS | BIT(12);
	p.asids = 32768;
	assert_int_equal(probe(kvm), 0);
	processor = p;
	assert_int_equal(svm_cpu_check(), 0);
	assert_string_equal(said, "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_there_is_used),
		cmocka_unit_test(what_is_missing_is_named),
		cmocka_unit_test(the_firmware_may_have_disabled_it),
		cmocka_unit_test(another_processor_must_have_what_is_used),
	};

	fake_cpu = &second_cpu;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
