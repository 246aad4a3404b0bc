/*
 * The parts of the AMD-V backend that need no processor: who gets which ASID, which accesses exit,
 * how long instructions are without NRIPS, and what is injected when.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "arch/x86/guest/fetch.h"
#include "arch/x86/guest/lapic.h"
#include "arch/x86/guest/msr.h"
#include "arch/x86/processor.h"
#include "arch/x86/svm/svm.h"
#include "kernel/core/frame.h"
#include "kernel/core/log.h"

/* ---- What the backend calls -------------------------------------------------------------------
 */

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

/* The guest's code: what can be fetched, in one page up to @first_page bytes and the rest in the
 * next. */
static const u8 *code;
static unsigned code_bytes, first_page;
static enum code_size size_of_code;

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

static int pending_vector, accepted_vector;
static bool nmi_pending;

int lapic_pending(const struct vcpu *vcpu)
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

/* One plain register that a VMCB holds, one that it does not, one that is emulated. */
#define MSR_NOT_IN_VMCB 0x1d9u
const struct msr_rule msr_rules[] = {
	{MSR_NOT_IN_VMCB, MSR_NOT_IN_VMCB, MSR_PASS},
	{MSR_PAT, MSR_PAT, MSR_PASS},
	{MSR_X2APIC, MSR_X2APIC + 0xff, MSR_EMULATE},
	{MSR_EFER, MSR_EFER, MSR_VENDOR},
	{MSR_STAR, MSR_SFMASK, MSR_PASS},
	{MSR_FS_BASE, MSR_KERNEL_GS_BASE, MSR_EMULATE},
};
const unsigned msr_rule_count = ARRAY_SIZE(msr_rules);

static struct svm_vcpu *new_svm(void)
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

/* ---- ASIDs ------------------------------------------------------------------------------------
 */

#define VCPUS  7
#define ASIDS  5
#define ROUNDS 20000

/* A model of a TLB: whose translations an ASID tags, and since which flush of that vCPU. */
struct tag {
	int vcpu; /* -1: nothing */
	unsigned flush;
};

static void enter(
	struct tag *tlb, struct svm_cpu *cpu, struct svm_vcpu *svm, int vcpu, unsigned flush)
{
	u32 asid;

	svm->vmcb.clean = CLEAN_ALL;
	svm_prepare_asid(cpu, svm);
	asid = svm->vmcb.asid;
	assert_in_range(asid, 1, ASIDS - 1);
	if (svm->vmcb.tlb_control == TLB_FLUSH_ALL)
		for (unsigned i = 0; i < ASIDS; i++)
			tlb[i].vcpu = -1;
	if (svm->vmcb.tlb_control == TLB_FLUSH_GUEST) {
		assert_true(svm_features.flush_by_asid);
		tlb[asid].vcpu = -1;
	}
	/* Nobody else's translations, and none from before the flush. */
	if (tlb[asid].vcpu != -1) {
		assert_int_equal(tlb[asid].vcpu, vcpu);
		assert_int_equal(tlb[asid].flush, flush);
	}
	tlb[asid] = (struct tag){vcpu, flush};
	svm->vmcb.tlb_control = TLB_KEEP; /* as the run loop does */
}

static void try_asids(bool flush_by_asid)
{
	struct svm_cpu cpu = {.asid_generation = 1, .asid_next = 1};
	struct svm_vcpu *svm[VCPUS];
	unsigned flushes[VCPUS] = {0};
	struct tag tlb[ASIDS];

	svm_features = (struct svm_features){.asid_count = ASIDS, .flush_by_asid = flush_by_asid};
	for (unsigned i = 0; i < ASIDS; i++)
		tlb[i].vcpu = -1;
	for (unsigned i = 0; i < VCPUS; i++)
		svm[i] = new_svm();
	srand(1);
	for (unsigned round = 0; round < ROUNDS; round++) {
		int i = rand() % VCPUS;

		if (rand() % 4 == 0) {
			svm[i]->flush = true;
			flushes[i]++;
		}
		enter(tlb, &cpu, svm[i], i, flushes[i]);
	}
	for (unsigned i = 0; i < VCPUS; i++)
		free(svm[i]);
}

static void test_no_asid_shows_old_translations(void **state)
{
	(void)state;
	try_asids(false);
	try_asids(true);
}

static void test_an_entry_without_cause_keeps_the_asid(void **state)
{
	struct svm_cpu cpu = {.asid_generation = 1, .asid_next = 1};
	struct svm_vcpu *svm = new_svm();
	u32 asid;

	(void)state;
	svm_features = (struct svm_features){.asid_count = ASIDS};
	svm_prepare_asid(&cpu, svm);
	asid = svm->vmcb.asid;
	for (unsigned i = 0; i < 100; i++) {
		svm->vmcb.clean = CLEAN_ALL;
		svm->vmcb.tlb_control = TLB_KEEP;
		svm_prepare_asid(&cpu, svm);
		assert_int_equal(svm->vmcb.asid, asid);
		assert_int_equal(svm->vmcb.clean, CLEAN_ALL);
		assert_int_equal(svm->vmcb.tlb_control, TLB_KEEP);
	}
	free(svm);
}

/* ---- Permission maps --------------------------------------------------------------------------
 */

static bool msr_exits(const u8 *map, u32 msr, bool is_write)
{
	u32 range = msr < 0x2000 ? 0 : msr < 0xc0002000 ? 1 : 2;
	u32 bit = range * 0x4000 + (msr & 0x1fff) * 2 + is_write;

	return map[bit / 8] >> bit % 8 & 1;
}

static void test_only_registers_of_the_vmcb_are_passed_through(void **state)
{
	static const u32 ranges[] = {0, 0xc0000000, 0xc0010000};
	const u8 *map, *io;

	(void)state;
	assert_int_equal(svm_permissions_create(), 0);
	map = (const u8 *)svm_msr_permissions();
	io = (const u8 *)svm_io_permissions();
	for (unsigned r = 0; r < ARRAY_SIZE(ranges); r++)
		for (u32 msr = ranges[r]; msr < ranges[r] + 0x2000; msr++) {
			bool passes = msr == MSR_PAT || (msr >= MSR_STAR && msr <= MSR_SFMASK);

			assert_int_equal(msr_exits(map, msr, false), !passes);
			assert_int_equal(msr_exits(map, msr, true), !passes);
		}
	/* 65536 ports, and the three bits behind them that a 4-byte access at 0xffff reads. */
	for (unsigned i = 0; i < 65536 / 8 + 1; i++)
		assert_int_equal(io[i], 0xff);
	free((void *)map);
	free((void *)io);
}

/* ---- Instructions -----------------------------------------------------------------------------
 */

struct example {
	const char *bytes;
	unsigned count, base, length;
	enum code_size size;
	unsigned first_page;
};

static void test_prefixes_count(void **state)
{
	static const struct example examples[] = {
		{"\x0f\xa2", 2, 2, 2, CODE_64, 15},
		{"\x48\x0f\xa2", 3, 2, 3, CODE_64, 15},
		{"\x2e\x0f\xa2", 3, 2, 3, CODE_64, 15},
		{"\x66\x67\xf2\xf3\x26\x36\x3e\x64\x65\x4f\x0f\x32", 12, 2, 12, CODE_64, 15},
		/* A REX in front of another prefix is void, but has its length all the same. */
		{"\x48\x2e\x0f\xa2", 4, 2, 4, CODE_64, 15},
		/* 48 is no prefix in 32-bit code: it cannot stand here, so it is the instruction.
		 */
		{"\x48\x0f\xa2", 3, 2, 2, CODE_32, 15},
		{"\xf4", 1, 1, 1, CODE_16, 15},
		/* Over the end of a page, between prefixes and in the opcode. */
		{"\x2e\x48\x0f\xa2", 4, 2, 4, CODE_64, 1},
		{"\x2e\x48\x0f\xa2", 4, 2, 4, CODE_64, 3},
		/* Unmapped by another vCPU: the plain length. */
		{"", 0, 2, 2, CODE_64, 15},
		{"\x2e", 1, 2, 2, CODE_64, 1},
		/* Prefixes for ever are no instruction. */
		{"\x2e\x2e\x2e\x2e\x2e\x2e\x2e\x2e\x2e\x2e\x2e\x2e\x2e\x2e\x2e\x2e", 16, 2, 2,
			CODE_64, 20},
	};
	struct vcpu vcpu = {.vendor = new_svm()};
	struct vmcb *vmcb = vmcb_of(&vcpu);

	(void)state;
	svm_features = (struct svm_features){0};
	for (unsigned i = 0; i < ARRAY_SIZE(examples); i++) {
		const struct example *e = &examples[i];

		code = (const u8 *)e->bytes;
		code_bytes = e->count;
		size_of_code = e->size;
		first_page = e->first_page;
		vmcb->efer = EFER_LMA;
		vmcb->cs.attributes = e->size == CODE_64 ? SEGMENT_LONG : SEGMENT_DEFAULT;
		vmcb->rip = 0x1000;
		vmcb->interrupt_shadow = INTERRUPT_SHADOW;
		svm_skip_instruction(&vcpu, e->base);
		assert_int_equal(vmcb->rip, 0x1000 + e->length);
		assert_int_equal(vmcb->interrupt_shadow, 0);
	}
	free(vcpu.vendor);
}

static void test_the_operand_of_mov_cr_is_found(void **state)
{
	struct vcpu vcpu = {.vendor = new_svm()};
	struct vmcb *vmcb = vmcb_of(&vcpu);

	(void)state;
	svm_features = (struct svm_features){0};
	size_of_code = CODE_64;
	first_page = 15;
	for (unsigned wanted = RAX; wanted <= R15; wanted++) {
		/* CS: REX.R(B) MOV CR8, reg */
		u8 bytes[] = {0x2e, (u8)(wanted < R8 ? 0x44 : 0x45), 0x0f, 0x22,
			(u8)(0xc0 | (wanted & 7))};
		enum reg reg;

		code = bytes;
		code_bytes = sizeof(bytes);
		vmcb->exit_info_1 = 0;
		assert_true(svm_cr_operand(&vcpu, &reg));
		assert_int_equal(reg, wanted);
		code_bytes = 4;
		assert_false(svm_cr_operand(&vcpu, &reg));
		/* Decode assists say it without a fetch. */
		vmcb->exit_info_1 = CR_INFO_VALID | wanted;
		assert_true(svm_cr_operand(&vcpu, &reg));
		assert_int_equal(reg, wanted);
	}
	free(vcpu.vendor);
}

static void test_a_single_step_trap_is_owed(void **state)
{
	struct vcpu vcpu = {.vendor = new_svm()};
	struct vmcb *vmcb = vmcb_of(&vcpu);

	(void)state;
	vmcb->clean = CLEAN_ALL;
	svm_retire_instruction(&vcpu);
	assert_false(vcpu.event.valid);
	vmcb->rflags = RFLAGS_TF;
	svm_retire_instruction(&vcpu);
	assert_true(vcpu.event.valid && vcpu.event.vector == VECTOR_DB);
	assert_true(vmcb->dr6 & BIT(14));
	assert_false(vmcb->clean & CLEAN_DR);
	free(vcpu.vendor);
}

/* ---- Events -----------------------------------------------------------------------------------
 */

static u64 exit_event(enum event_type type, u8 vector)
{
	return EVENT_VALID | (u64)type << EVENT_TYPE_SHIFT | vector;
}

static void test_what_was_cut_short_comes_again(void **state)
{
	struct vcpu vcpu = {.vendor = new_svm()};
	struct vmcb *vmcb = vmcb_of(&vcpu);
	/* Their instruction runs again. */
	const u64 dropped[] = {exit_event(EVENT_SOFT_INTERRUPT, 0x80),
		exit_event(EVENT_EXCEPTION, VECTOR_BP), exit_event(EVENT_EXCEPTION, VECTOR_OF)};
	const u64 kept[] = {exit_event(EVENT_NMI, VECTOR_NMI),
		exit_event(EVENT_EXCEPTION, VECTOR_UD),
		exit_event(EVENT_EXCEPTION, VECTOR_PF) | EVENT_HAS_ERROR |
			7UL << EVENT_ERROR_SHIFT};

	(void)state;
	pending_vector = -1;
	for (unsigned i = 0; i < ARRAY_SIZE(dropped); i++) {
		vmcb->exit_event = dropped[i];
		svm_requeue_event(&vcpu);
		assert_false(vcpu.event.valid);
	}
	for (unsigned i = 0; i < ARRAY_SIZE(kept); i++) {
		vmcb->exit_event = kept[i];
		svm_requeue_event(&vcpu);
		assert_true(vcpu.event.valid && (vcpu.requests & VCPU_REQ_EVENT));
		svm_deliver_event(&vcpu);
		assert_int_equal(vmcb->inject_event, kept[i]);
		assert_false(vcpu.event.valid);
	}
	free(vcpu.vendor);
}

static u64 armed(u8 vector)
{
	return V_INTERRUPT_MASKING | V_IRQ | V_IGNORE_TPR | V_PRIORITY_HIGHEST |
	       (u64)vector << V_VECTOR_SHIFT;
}

/* The processor delivers what is armed once the guest can take it, and clears V_IRQ then. */
static void test_the_processor_delivers_interrupts(void **state)
{
	struct vcpu vcpu = {.vendor = new_svm()};
	struct svm_vcpu *svm = svm_of(&vcpu);
	struct vmcb *vmcb = vmcb_of(&vcpu);

	(void)state;
	vmcb->interrupt_control = V_INTERRUPT_MASKING;
	pending_vector = 0x55;
	accepted_vector = -1;
	vmcb->clean = CLEAN_ALL;
	svm_deliver_event(&vcpu);
	assert_int_equal(vmcb->interrupt_control, armed(0x55));
	assert_int_equal(vmcb->inject_event, 0);
	assert_false(vmcb->clean & CLEAN_INTERRUPTS);

	assert_true(svm->interrupt_armed);
	assert_int_equal(accepted_vector, 0x55);

	/* Still waiting at the next exit: it is the LAPIC's again until the next entry. */
	vcpu.requests = 0;
	svm_settle_interrupt(&vcpu);
	assert_false(svm->interrupt_armed);
	assert_int_equal(accepted_vector, -1);
	assert_true(vcpu.requests & VCPU_REQ_EVENT);

	/* A higher one takes its place; the VMCB is rewritten only for a change. */
	pending_vector = 0x66;
	svm_deliver_event(&vcpu);
	assert_int_equal(vmcb->interrupt_control, armed(0x66));
	vmcb->clean = CLEAN_ALL;
	svm_deliver_event(&vcpu);
	assert_true(vmcb->clean & CLEAN_INTERRUPTS);

	/* Delivered, and raised again by another CPU while the guest served it. */
	vmcb->interrupt_control &= ~V_IRQ;
	pending_vector = 0x66;
	vcpu.requests = 0;
	svm_settle_interrupt(&vcpu);
	assert_int_equal(accepted_vector, 0x66);
	assert_int_equal(pending_vector, 0x66);
	assert_false(svm->interrupt_armed);
	assert_int_equal(vcpu.requests, 0);
	svm_deliver_event(&vcpu);
	assert_int_equal(vmcb->interrupt_control, armed(0x66));
	vmcb->interrupt_control &= ~V_IRQ;
	svm_settle_interrupt(&vcpu);

	/* An exception goes first; what is not deliverable any more is disarmed. */
	pending_vector = 0x66;
	vcpu_inject_exception(&vcpu, VECTOR_UD, 0);
	svm_deliver_event(&vcpu);
	assert_int_equal(vmcb->inject_event, exit_event(EVENT_EXCEPTION, VECTOR_UD));
	assert_int_equal(vmcb->interrupt_control, armed(0x66));
	svm_settle_interrupt(&vcpu);
	pending_vector = -1;
	svm_deliver_event(&vcpu);
	assert_int_equal(vmcb->interrupt_control, V_INTERRUPT_MASKING);
	assert_false(svm->interrupt_armed);
	free(vcpu.vendor);
}

/* A delivery that an exit cut short: V_IRQ is clear on hardware and still set in QEMU, which calls
 * the interrupt an exception. The LAPIC has it back, and it is armed anew. */
static void test_an_interrupt_cut_short_is_armed_again(void **state)
{
	struct vcpu vcpu = {.vendor = new_svm()};
	struct vmcb *vmcb = vmcb_of(&vcpu);
	const struct {
		enum event_type type;
		u64 control;
	} reports[] = {
		{EVENT_INTERRUPT, armed(0x41) & ~V_IRQ},
		{EVENT_EXCEPTION, armed(0x41)},
	};

	(void)state;
	pending_vector = 0x41;
	accepted_vector = -1;
	for (unsigned i = 0; i < ARRAY_SIZE(reports); i++) {
		svm_deliver_event(&vcpu);
		vcpu.requests = 0;
		vmcb->interrupt_control = reports[i].control;
		vmcb->exit_event = exit_event(reports[i].type, 0x41);
		svm_requeue_event(&vcpu);
		assert_false(vcpu.event.valid || svm_of(&vcpu)->interrupt_armed);
		assert_int_equal(pending_vector, 0x41);
		assert_true(vcpu.requests & VCPU_REQ_EVENT);
		svm_deliver_event(&vcpu);
		assert_int_equal(vmcb->interrupt_control, armed(0x41));
		assert_int_equal(vmcb->inject_event, 0);
	}
	free(vcpu.vendor);
}

static void test_an_nmi_waits_for_the_iret_of_the_last(void **state)
{
	struct vcpu vcpu = {.vendor = new_svm()};
	struct vmcb *vmcb = vmcb_of(&vcpu);
	const u64 nmi = exit_event(EVENT_NMI, VECTOR_NMI);

	(void)state;
	pending_vector = -1;
	nmi_pending = true;
	vmcb->rip = 0x1000;
	svm_deliver_event(&vcpu);
	assert_int_equal(vmcb->inject_event, nmi);
	assert_true(vmcb->intercept_1 & INTERCEPT_IRET);

	nmi_pending = true;
	vcpu.requests = 0;
	vmcb->rip = 0x2000; /* in the handler */
	svm_deliver_event(&vcpu);
	assert_int_equal(vmcb->inject_event, 0);
	assert_true(vcpu.requests & VCPU_REQ_EVENT); /* looked at again after the next exit */

	vmcb->rip = 0x2010; /* the IRET has not run yet */
	svm_nmi_returns(&vcpu);
	assert_false(vmcb->intercept_1 & INTERCEPT_IRET);
	svm_deliver_event(&vcpu);
	assert_int_equal(vmcb->inject_event, 0);

	vmcb->rip = 0x1000;
	svm_deliver_event(&vcpu);
	assert_int_equal(vmcb->inject_event, nmi);
	assert_false(nmi_pending);
	free(vcpu.vendor);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_no_asid_shows_old_translations),
		cmocka_unit_test(test_an_entry_without_cause_keeps_the_asid),
		cmocka_unit_test(test_only_registers_of_the_vmcb_are_passed_through),
		cmocka_unit_test(test_prefixes_count),
		cmocka_unit_test(test_the_operand_of_mov_cr_is_found),
		cmocka_unit_test(test_a_single_step_trap_is_owed),
		cmocka_unit_test(test_what_was_cut_short_comes_again),
		cmocka_unit_test(test_the_processor_delivers_interrupts),
		cmocka_unit_test(test_an_interrupt_cut_short_is_armed_again),
		cmocka_unit_test(test_an_nmi_waits_for_the_iret_of_the_last),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
