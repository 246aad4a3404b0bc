/*
 * XSAVE as a guest switches it on, and what CPUID has to say of it.
 */
#include "wide.h"

#include "../common/guest.h"

#define CR4_OSXSAVE (1ul << 18)
#define LEGACY      576u /* bytes of an area with x87 and SSE alone */

#define ONE_XSAVE   (1u << 26)
#define ONE_OSXSAVE (1u << 27)
#define ONE_AVX     (1u << 28)

#define SEVEN_AVX2     (1u << 5)
#define SEVEN_AVX512F  (1u << 16)
#define SEVEN_AVX512BW (1u << 30)

#define STATES_AVX    7u
#define STATES_AVX512 0xe7u

uint64_t wide_xcr0(void)
{
	uint32_t low, high;

	__asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
	return (uint64_t)high << 32 | low;
}

void wide_set_xcr0(uint64_t value)
{
	__asm__ volatile("xsetbv"
			 :
			 : "c"(0), "a"((uint32_t)value), "d"((uint32_t)(value >> 32))
			 : "memory");
}

uint64_t wide_states(void)
{
	struct cpuid_result states = cpuid(0xd, 0);

	return (uint64_t)states.edx << 32 | states.eax;
}

static void set_osxsave(void)
{
	uint64_t cr4;

	__asm__ volatile("mov %%cr4, %0" : "=r"(cr4));
	__asm__ volatile("mov %0, %%cr4" : : "r"(cr4 | CR4_OSXSAVE) : "memory");
}

/* What AVX and AVX-512 have is there with their states, and only then. */
static enum wide_level level_of(uint64_t states)
{
	struct cpuid_result one = cpuid(1, 0), seven = cpuid(7, 0);

	if ((states & STATES_AVX512) == STATES_AVX512)
		return (one.ecx & ONE_AVX) && (seven.ebx & SEVEN_AVX512F) &&
				       (seven.ebx & SEVEN_AVX512BW)
			       ? WIDE_AVX512
			       : WIDE_BAD;
	if (seven.ebx & SEVEN_AVX512F)
		return WIDE_BAD;
	if ((states & STATES_AVX) == STATES_AVX)
		return one.ecx & ONE_AVX ? WIDE_AVX : WIDE_BAD;
	return (one.ecx & ONE_AVX) || (seven.ebx & SEVEN_AVX2) ? WIDE_BAD : WIDE_SSE;
}

enum wide_level wide_enable(uint64_t xcr0)
{
	struct cpuid_result one = cpuid(1, 0), sizes;

	if (one.ecx & ONE_OSXSAVE)
		return WIDE_BAD;
	if (!(one.ecx & ONE_XSAVE))
		return level_of(wide_states());
	set_osxsave();
	if (!(cpuid(1, 0).ecx & ONE_OSXSAVE) || wide_xcr0() != xcr0)
		return WIDE_BAD;
	wide_set_xcr0(1);
	if (cpuid(0xd, 0).ebx != LEGACY)
		return WIDE_BAD;
	wide_set_xcr0(wide_states());
	sizes = cpuid(0xd, 0);
	if (wide_xcr0() != wide_states() || sizes.ebx != sizes.ecx || sizes.ecx < LEGACY)
		return WIDE_BAD;
	return level_of(wide_states());
}

void wide_fill(struct wide *values, uint64_t seed, enum wide_level level)
{
	static const unsigned words[] = {0, 2, 4, 8}; /* of a register, by level */

	memset(values, 0, sizeof(*values));
	for (unsigned n = 0; n < (level == WIDE_AVX512 ? WIDE_REGISTERS : 16); n++)
		for (unsigned i = 0; i < words[level]; i++)
			values->registers[n][i] = (seed * 512 + n * 8 + i + 1) *
						  0x9e3779b97f4a7c15u;
	for (unsigned n = 0; level == WIDE_AVX512 && n < WIDE_MASKS; n++)
		values->masks[n] = (seed * 512 + 256 + n) * 0x9e3779b97f4a7c15u;
}

bool wide_equal(const struct wide *a, const struct wide *b)
{
	const uint64_t *x = &a->registers[0][0], *y = &b->registers[0][0];

	for (unsigned i = 0; i < sizeof(*a) / 8; i++)
		if (x[i] != y[i])
			return false;
	return true;
}
