/*
 * See svm_backend.h.
 */
#include "fake/svm_backend.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "arch/x86/guest/lapic.h"
#include "arch/x86/guest/msr.h"
#include "arch/x86/processor.h"
#include "kernel/core/frame.h"
#include "kernel/core/log.h"

u8 *fake_ram;
__thread struct cpu *fake_cpu;
struct svm_features svm_features;

void *hypervisor_alloc(unsigned order)
{
	void *pages = aligned_alloc(PAGE_SIZE << order, PAGE_SIZE << order);

	memset(pages, 0, PAGE_SIZE << order);
	return pages;
}
void hypervisor_free(void *pages, unsigned order)
{
	(void)order;
	free(pages);
}
void log_line(int level, const char *format, ...)
{
	(void)level;
	(void)format;
}
int svm_check_enabled(void)
{
	return 0;
}
int wrmsr_safe(u32 msr, u64 value)
{
	(void)msr;
	(void)value;
	return 0;
}

const u8 *code;
unsigned code_bytes, first_page;
enum code_size size_of_code;

void vmcb_fill_context(struct vcpu *vcpu)
{
	(void)vcpu;
}
enum code_size guest_code_size(const struct vcpu_context *context)
{
	(void)context;
	return size_of_code;
}
unsigned guest_fetch(struct vcpu *vcpu, unsigned offset, u8 *to, unsigned count)
{
	unsigned end = offset < first_page ? MIN(first_page, code_bytes) : code_bytes;

	(void)vcpu;
	if (offset >= end)
		return 0;
	count = MIN(count, end - offset);
	memcpy(to, code + offset, count);
	return count;
}

int pending_vector, accepted_vector;
bool nmi_pending;

int lapic_pending(struct vcpu *vcpu)
{
	(void)vcpu;
	return pending_vector;
}
void lapic_accept(struct vcpu *vcpu, u8 vector)
{
	(void)vcpu;
	assert_int_equal(vector, pending_vector);
	accepted_vector = vector;
	pending_vector = -1;
}
void lapic_withdraw(struct vcpu *vcpu, u8 vector)
{
	(void)vcpu;
	assert_int_equal(vector, accepted_vector);
	accepted_vector = -1;
	if (pending_vector < vector)
		pending_vector = vector;
}
bool lapic_nmi_pending(const struct vcpu *vcpu)
{
	(void)vcpu;
	return nmi_pending;
}
void lapic_nmi_accept(struct vcpu *vcpu)
{
	(void)vcpu;
	nmi_pending = false;
}
void vcpu_inject_exception(struct vcpu *vcpu, u8 vector, u32 error)
{
	vcpu->event = (struct vcpu_event){
		.valid = true, .type = EVENT_EXCEPTION, .vector = vector, .error = error};
}

const struct msr_rule msr_rules[] = {
	{MSR_NOT_IN_VMCB, MSR_NOT_IN_VMCB, MSR_PASS},
	{MSR_PAT, MSR_PAT, MSR_PASS},
	{MSR_X2APIC, MSR_X2APIC + 0xff, MSR_EMULATE},
	{MSR_EFER, MSR_EFER, MSR_VENDOR},
	{MSR_STAR, MSR_SFMASK, MSR_PASS},
	{MSR_FS_BASE, MSR_KERNEL_GS_BASE, MSR_EMULATE},
};
const unsigned msr_rule_count = ARRAY_SIZE(msr_rules);

struct svm_vcpu *new_svm(void)
{
	return hypervisor_alloc(order_of(sizeof(struct svm_vcpu)));
}
unsigned order_of(u64 bytes)
{
	unsigned order = 0;

	while (PAGE_SIZE << order < bytes)
		order++;
	return order;
}
