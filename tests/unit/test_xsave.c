/*
 * A guest's XCR0 and what CPUID says of it, on machines with and without XSAVE, AVX and AVX-512.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "fake/pc_guest.h"

#define XSAVE     BIT(26)
#define OSXSAVE   BIT(27)
#define AVX_SET   (BIT(12) | BIT(28) | BIT(29))
#define AVX2      BIT(5)
#define AVX512_7B (BIT(16) | BIT(17) | BIT(21) | BIT(28) | BIT(30) | BIT(31))
#define AVX_7C    (BIT(8) | BIT(9) | BIT(10))
#define AVX512_7C (BIT(1) | BIT(6) | BIT(11) | BIT(12) | BIT(14))
#define AVX512_7D (BIT(8) | BIT(23))

#define SSE    (XCR0_X87 | XCR0_SSE)
#define AVX    (SSE | XCR0_AVX)
#define AVX512 (AVX | XCR0_AVX512)

/* Intel's places, with the gap that MPX leaves, and AMD's. */
static const struct xsave_layout intel = {
	.states = AVX512,
	.instructions = 0x1f,
	.parts = {[2] = {256, 576}, [5] = {64, 1088}, [6] = {512, 1152}, [7] = {1024, 1664}},
};
static const struct xsave_layout amd = {
	.states = AVX512,
	.instructions = 0xf,
	.parts = {[2] = {256, 576}, [5] = {64, 832}, [6] = {512, 896}, [7] = {1024, 1408}},
};

/* A guest on a machine with @layout, of which guests may have @states. */
static void begin(const struct xsave_layout *layout, u64 states)
{
	fake_xsave = *layout;
	fake_xsave.states = states;
	fake_xcr0 = XCR0_RESET;
	cpuid_init(SLUICE_INSTRUCTION_VMCALL);
	xsave_follow_cr4(&vcpus[0], ~0UL);
}

static int finish(void **state)
{
	memset(&fake_xsave, 0, sizeof(fake_xsave));
	return teardown(state);
}

static struct cpuid_result leaf(u32 number, u32 subleaf)
{
	return cpuid_of(&vcpus[0], number, subleaf);
}

static void expect_leaf(u32 subleaf, u32 eax, u32 ebx, u32 ecx)
{
	struct cpuid_result r = leaf(0xd, subleaf);

	assert_int_equal(r.eax, eax);
	assert_int_equal(r.ebx, ebx);
	assert_int_equal(r.ecx, ecx);
	assert_int_equal(r.edx, 0);
}

/* ---- CPUID
 * ------------------------------------------------------------------------------------------ */

/* What the test's host has of each group is there, and nothing else. */
static void expect_features(u64 states)
{
	const struct cpuid_result one = cpuid(1, 0), seven = cpuid_if_present(7, 0);
	const struct cpuid_result shown = leaf(7, 0);
	const bool avx = states & XCR0_AVX, avx512 = states & XCR0_AVX512;

	assert_int_equal(leaf(1, 0).ecx & AVX_SET, avx ? one.ecx & AVX_SET : 0);
	assert_int_equal(leaf(1, 0).ecx & XSAVE, states ? XSAVE : 0);
	assert_int_equal(shown.ebx & AVX2, avx ? seven.ebx & AVX2 : 0);
	assert_int_equal(shown.ebx & AVX512_7B, avx512 ? seven.ebx & AVX512_7B : 0);
	assert_int_equal(
		shown.ecx, (avx ? seven.ecx & AVX_7C : 0) | (avx512 ? seven.ecx & AVX512_7C : 0));
	assert_int_equal(shown.edx & ~BIT(4), avx512 ? seven.edx & AVX512_7D : 0);
	/* MPX, and the second subleaf only where it says something. */
	assert_int_equal(shown.ebx & BIT(14), 0);
	assert_int_equal(shown.eax, leaf(7, 1).eax != 0);
	assert_int_equal(leaf(7, 1).eax & ~(BIT(4) | BIT(5) | BIT(23)), 0);
	assert_int_equal(leaf(7, 1).ebx | leaf(7, 1).ecx | leaf(7, 1).edx | leaf(7, 2).eax, 0);
}

static void features_follow_the_states(void **state)
{
	static const u64 offers[] = {0, SSE, AVX, AVX512};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(offers); i++) {
		begin(&intel, offers[i]);
		expect_features(offers[i]);
	}
}

static void osxsave_is_the_vcpus_own(void **state)
{
	(void)state;
	begin(&intel, AVX);
	assert_int_equal(leaf(1, 0).ecx & OSXSAVE, OSXSAVE);
	assert_int_equal(cpuid_of(&vcpus[1], 1, 0).ecx & OSXSAVE, 0);
	xsave_follow_cr4(&vcpus[0], ~CR4_OSXSAVE);
	assert_int_equal(leaf(1, 0).ecx & OSXSAVE, 0);
}

static void sizes_follow_xcr0(void **state)
{
	(void)state;
	begin(&intel, AVX512);
	/* XSAVEOPT and XGETBV of what is in use, but no XSAVEC, no XSAVES and no XFD. */
	expect_leaf(1, 5, 0, 0);
	expect_leaf(0, AVX512, 576, 2688);
	fake_xcr0 = SSE;
	expect_leaf(0, AVX512, 576, 2688);
	fake_xcr0 = AVX;
	expect_leaf(0, AVX512, 832, 2688);
	fake_xcr0 = AVX512;
	expect_leaf(0, AVX512, 2688, 2688);
	expect_leaf(1, 5, 0, 0);
	expect_leaf(2, 256, 576, 0);
	expect_leaf(3, 0, 0, 0);
	expect_leaf(5, 64, 1088, 0);
	expect_leaf(7, 1024, 1664, 0);
	for (u32 subleaf = 8; subleaf < 70; subleaf++)
		expect_leaf(subleaf, 0, 0, 0);
	expect_leaf(~0u, 0, 0, 0);

	begin(&amd, AVX512);
	fake_xcr0 = AVX512;
	expect_leaf(0, AVX512, 2432, 2432);

	/* What is not offered is in no size and no subleaf. */
	begin(&intel, AVX);
	expect_leaf(0, AVX, 576, 832);
	expect_leaf(5, 0, 0, 0);
	begin(&intel, 0);
	expect_leaf(0, 0, 0, 0);
	expect_leaf(1, 0, 0, 0);
	expect_leaf(2, 0, 0, 0);
}

/* ---- XSETBV
 * ----------------------------------------------------------------------------------------- */

/* What it answers is told by the queued exception, -1 for none. */
static int xsetbv(u32 index, u64 value, unsigned cpl)
{
	const u64 before = fake_xcr0;
	struct vcpu *vcpu = &vcpus[0];
	enum outcome outcome;

	vcpu->event = (struct vcpu_event){0};
	/* The upper halves are ignored. */
	vcpu->regs[RAX] = 0xdead000000000000 | (u32)value;
	vcpu->regs[RDX] = 0xbeef000000000000 | value >> 32;
	vcpu->regs[RCX] = 0xffffffff00000000 | index;
	outcome = xsetbv_emulate(vcpu, cpl);
	if (!vcpu->event.valid) {
		assert_int_equal(outcome, DONE);
		assert_int_equal(fake_xcr0, value);
		return -1;
	}
	assert_int_equal(outcome, RESTART);
	assert_int_equal(fake_xcr0, before);
	assert_int_equal(vcpu->event.type, EVENT_EXCEPTION);
	assert_int_equal(vcpu->event.error, 0);
	return vcpu->event.vector;
}

/* The rules of the manual, said once more and otherwise. */
static bool is_allowed(u64 value, u64 states)
{
	switch (value) {
	case XCR0_X87:
	case SSE:
	case AVX:
	case AVX512:
		return (value & states) == value;
	default:
		return false;
	}
}

static void only_valid_values_are_taken(void **state)
{
	static const u64 offers[] = {SSE, AVX, AVX512};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(offers); i++) {
		begin(&intel, offers[i]);
		for (u64 value = 0; value < 1024; value++)
			assert_int_equal(
				xsetbv(0, value, 0), is_allowed(value, offers[i]) ? -1 : VECTOR_GP);
		for (unsigned bit = 10; bit < 64; bit++) {
			assert_int_equal(xsetbv(0, BIT(bit) | SSE, 0), VECTOR_GP);
			assert_int_equal(xsetbv(0, BIT(bit), 0), VECTOR_GP);
		}
	}
}

static void only_ring_0_and_register_0(void **state)
{
	(void)state;
	begin(&intel, AVX512);
	for (unsigned cpl = 1; cpl < 4; cpl++)
		assert_int_equal(xsetbv(0, SSE, cpl), VECTOR_GP);
	assert_int_equal(xsetbv(1, SSE, 0), VECTOR_GP);
	assert_int_equal(xsetbv(~0u, SSE, 0), VECTOR_GP);
	assert_int_equal(xsetbv(0, SSE, 0), -1);
	/* Whatever else is wrong. */
	xsave_follow_cr4(&vcpus[0], ~CR4_OSXSAVE);
	assert_int_equal(xsetbv(0, SSE, 0), VECTOR_UD);
	assert_int_equal(xsetbv(1, 0, 3), VECTOR_UD);
}

static void states_of_supervisors_are_hidden(void **state)
{
	u64 value;

	(void)state;
	begin(&intel, AVX512);
	assert_int_equal(msr_read(&vcpus[0], 0xda0, &value), BAD); /* IA32_XSS */
	refuses(0, 0xda0, 0);
	assert_int_equal(msr_read(&vcpus[0], 0x1c4, &value), BAD); /* IA32_XFD */
	refuses(0, 0x1c4, 0);
}

int main(void)
{
#define XSAVE_TEST(name) cmocka_unit_test_setup_teardown(name, setup, finish)
	const struct CMUnitTest tests[] = {
		XSAVE_TEST(features_follow_the_states),
		XSAVE_TEST(osxsave_is_the_vcpus_own),
		XSAVE_TEST(sizes_follow_xcr0),
		XSAVE_TEST(only_valid_values_are_taken),
		XSAVE_TEST(only_ring_0_and_register_0),
		XSAVE_TEST(states_of_supervisors_are_hidden),
	};

	return cmocka_run_group_tests_name("xsave", tests, NULL, NULL);
}
