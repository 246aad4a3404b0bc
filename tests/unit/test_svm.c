/*
 * The parts of the AMD-V backend that need no processor: who gets which ASID, which accesses exit,
 * and how long instructions are without NRIPS. Events: test_svm_events.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "arch/x86/processor.h"
#include "fake/svm_backend.h"

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
	map = svm_msr_map;
	io = svm_io_map;
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_no_asid_shows_old_translations),
		cmocka_unit_test(test_an_entry_without_cause_keeps_the_asid),
		cmocka_unit_test(test_only_registers_of_the_vmcb_are_passed_through),
		cmocka_unit_test(test_prefixes_count),
		cmocka_unit_test(test_the_operand_of_mov_cr_is_found),
		cmocka_unit_test(test_a_single_step_trap_is_owed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
