/*
 * Switching a guest's x87 and vector state: by XSAVE all that guests may have (Intel SDM vol. 1,
 * chapter 13), by FXSAVE where there is no XSAVE. Which it is was decided at boot (xsave.c).
 *
 * While a guest's state is loaded XCR0 is the guest's, and the register alone says what it is. What
 * the hypervisor does with vector registers in exits needs no bit of it (pages.S).
 */
#include <string.h>

#include "arch/x86/arch.h"
#include "arch/x86/xsave.h"

/* Intel SDM vol. 1, 10.5.1: in the FXSAVE image, with which an XSAVE area begins. */
#define FXSAVE_FCW     0
#define FXSAVE_MXCSR   24
#define FCW_AFTER_INIT 0x037f /* what FNINIT sets: all masked, extended precision */
#define MXCSR_DEFAULT  0x1f80

struct xsave_layout xsave_layout;
bool x87_pointers_stay;

const struct xsave_layout *arch_xsave(void)
{
	return &xsave_layout;
}

/* Without the bits that are not offered: where XSETBV does not exit (QEMU) a guest may have them.
 */
u64 arch_xcr0(void)
{
	return read_xcr0() & xsave_layout.states;
}

/*
 * What a guest has switched off is still there when it switches it on again, so it is saved and
 * loaded too. Returns what XCR0 was. Writing it is slow, and under another hypervisor an exit; most
 * guests use all that there is.
 */
static u64 set_all_states(u64 states)
{
	u64 before = read_xcr0();

	if (before != states)
		write_xcr0(states);
	return before;
}

/*
 * AMD's processors load the last instruction's address, operand and opcode only where the image has
 * an exception pending (AMD APM vol. 5, FXRSTOR; CPUID Fn8000_0008 EBX bit 2 says that one does
 * not): the next guest would read those of the one before. They become those of this FILD.
 */
static void replace_x87_pointers(void)
{
	static const u32 zero;

	__asm__ volatile("fnclex; emms; fildl %0" : : "m"(zero));
}

u64 arch_fpu_save(void *state)
{
	const u64 states = xsave_layout.states;
	u64 xcr0;

	if (unlikely(!states)) {
		__asm__ volatile("fxsave64 (%0)" : : "r"(state) : "memory");
		return XCR0_RESET;
	}
	xcr0 = set_all_states(states);
	__asm__ volatile("xsave64 (%0)"
			 :
			 : "r"(state), "a"((u32)states), "d"((u32)(states >> 32))
			 : "memory");
	return xcr0 & states;
}

void arch_fpu_load(const void *state, u64 xcr0)
{
	const u64 states = xsave_layout.states;

	if (x87_pointers_stay)
		replace_x87_pointers();
	if (unlikely(!states)) {
		__asm__ volatile("fxrstor64 (%0)" : : "r"(state) : "memory");
		return;
	}
	(void)set_all_states(states);
	__asm__ volatile("xrstor64 (%0)"
			 :
			 : "r"(state), "a"((u32)states), "d"((u32)(states >> 32))
			 : "memory");
	if (xcr0 != states)
		write_xcr0(xcr0);
}

void arch_xcr0_set(u64 value)
{
	write_xcr0(value);
}

/* No state is marked as present, so XRSTOR initializes all but MXCSR (Intel SDM vol. 1, 13.8.1). */
COLD void arch_fpu_reset(void *state)
{
	static const u16 fcw = FCW_AFTER_INIT;
	static const u32 mxcsr = MXCSR_DEFAULT;

	memset(state, 0, FPU_STATE_SIZE);
	memcpy((char *)state + FXSAVE_FCW, &fcw, sizeof(fcw));
	memcpy((char *)state + FXSAVE_MXCSR, &mxcsr, sizeof(mxcsr));
}
