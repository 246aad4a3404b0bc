/*
 * XSAVE inside this folder: found once by xsave.c at boot, used at every switch by fpu.c.
 */
#ifndef ARCH_XSAVE_H
#define ARCH_XSAVE_H

#include "arch/x86/arch.h"

/* What arch_xsave() answers. */
extern struct xsave_layout xsave_layout;
/* FXRSTOR and XRSTOR leave the x87 pointers of the guest before (see fpu.c). */
extern bool x87_pointers_stay;

/* Each processor, as it starts, with CR4.OSXSAVE set where CPUID lists XSAVE: sets XCR0 to all that
 * guests may have. The boot processor, @index 0, decides what that is; false after a message if
 * another one cannot do that. */
bool xsave_start(unsigned index);

#define CPUID_1_ECX_XSAVE BIT(26)

/* Intel SDM vol. 2, XGETBV and XSETBV, of register 0. */
static inline u64 read_xcr0(void)
{
	u32 lo, hi;

	__asm__ volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(0));
	return (u64)hi << 32 | lo;
}

static inline void write_xcr0(u64 value)
{
	__asm__ volatile("xsetbv" : : "c"(0), "a"((u32)value), "d"((u32)(value >> 32)) : "memory");
}

#endif
