/*
 * Random words for keys. RDRAND where CPUID lists it; else the TSC, read at moments that no guest
 * controls, mixed by SplitMix64 (Steele, Lea and Flood, OOPSLA 2014): that keeps guests apart, but
 * a guest that learns one word may guess others, so its absence is logged.
 */
#include "arch/x86/arch.h"
#include "arch/x86/port.h"
#include "arch/x86/processor.h"

#define CPUID_1_ECX_RDRAND BIT(30)

/* Intel SDM vol. 1, 7.3.17.1: ten tries in a row do not fail on a sound processor. */
#define RDRAND_TRIES 10

static bool rdrand(u64 *word)
{
	bool good = false;

	for (int i = 0; i < RDRAND_TRIES && !good; i++)
		__asm__ volatile("rdrand %0" : "=r"(*word), "=@ccc"(good));
	return good;
}

static u64 split_mix(void)
{
	static u64 state;
	u64 z = __atomic_add_fetch(&state, 0x9e3779b97f4a7c15 ^ arch_tsc() << 1, __ATOMIC_RELAXED);

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
	z = (z ^ z >> 27) * 0x94d049bb133111eb;
	return z ^ z >> 31;
}

u64 arch_random(void)
{
	static bool warned;
	u64 word;

	if ((cpuid(1, 0).ecx & CPUID_1_ECX_RDRAND) && rdrand(&word))
		return word;
	if (!__atomic_exchange_n(&warned, true, __ATOMIC_RELAXED))
		log_line(1, "cpu: no RDRAND: random keys are made from the time stamp counter");
	return split_mix();
}
