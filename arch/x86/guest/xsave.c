/*
 * A guest's XCR0: what it may be set to, and the sizes in CPUID that follow from it.
 */
#include "arch/x86/guest/xsave.h"

/* Leaf 0xd, subleaf 1, EAX: XSAVEOPT, and XGETBV of what is in use. Not XSAVES and what belongs to
 * it: the states of supervisors are not switched. Not XSAVEC: docs/platform.md. */
#define INSTRUCTIONS (BIT(0) | BIT(2))

/* Intel SDM vol. 1, 13.3: x87 is always on, AVX needs SSE, AVX-512 is whole and needs AVX. */
static bool is_valid(u64 xcr0)
{
	const u64 avx512 = xcr0 & XCR0_AVX512;

	if (!(xcr0 & XCR0_X87) || (xcr0 & ~arch_xsave()->states))
		return false;
	if ((xcr0 & XCR0_AVX) && !(xcr0 & XCR0_SSE))
		return false;
	return !avx512 || (avx512 == XCR0_AVX512 && (xcr0 & XCR0_AVX));
}

enum outcome xsetbv_emulate(struct vcpu *vcpu, unsigned cpl)
{
	const u64 value = (u32)vcpu->regs[RAX] | vcpu->regs[RDX] << 32;

	/* Processors look themselves, but emulators let it exit first. */
	if (!vcpu->osxsave) {
		vcpu_inject_exception(vcpu, VECTOR_UD, 0);
		return RESTART;
	}
	if (cpl != 0 || (u32)vcpu->regs[RCX] != 0 || !is_valid(value)) {
		vcpu_inject_exception(vcpu, VECTOR_GP, 0);
		return RESTART;
	}
	arch_xcr0_set(value);
	return DONE;
}

/* 13.4.2: where the last of @states ends. */
static u32 area_size(u64 states)
{
	u32 size = XSAVE_LEGACY_BYTES;

	for (unsigned n = 2; n < XSAVE_STATES; n++) {
		const struct xsave_part *part = &arch_xsave()->parts[n];

		if (states & BIT(n))
			size = MAX(size, part->offset + part->bytes);
	}
	return size;
}

struct cpuid_result xsave_leaf(u32 subleaf)
{
	const struct xsave_layout *layout = arch_xsave();

	if (!layout->states)
		return (struct cpuid_result){0};
	if (subleaf == 0)
		return (struct cpuid_result){(u32)layout->states, area_size(arch_xcr0()),
			area_size(layout->states), (u32)(layout->states >> 32)};
	if (subleaf == 1)
		return (struct cpuid_result){layout->instructions & (u32)INSTRUCTIONS, 0, 0, 0};
	if (subleaf < XSAVE_STATES && (layout->states & BIT(subleaf)))
		return (struct cpuid_result){
			layout->parts[subleaf].bytes, layout->parts[subleaf].offset, 0, 0};
	return (struct cpuid_result){0};
}
