/*
 * Entropy of the processor: RDSEED, where that fails RDRAND, and where there is neither how long
 * reads of memory take, counted by the TSC. That a real memory's refresh and clocks make a little
 * unpredictable; an emulator that counts instructions repeats it exactly. The time of day keeps two
 * starts apart even there. What comes of it is a seed: kernel/core/random.c makes numbers of it.
 */
#include "arch/x86/arch.h"
#include "arch/x86/processor.h"

#define CPUID_1_ECX_RDRAND BIT(30)
#define CPUID_7_EBX_RDSEED BIT(18)

/* Intel SDM vol. 1, 7.3.17.1: ten tries in a row of RDRAND do not fail on a sound processor. RDSEED
 * may, when others draw too. */
#define TRIES 10

/* Reads of memory that make one word. */
#define READS 64

static bool rdrand(u64 *word)
{
	bool good;

	__asm__ volatile("rdrand %0" : "=r"(*word), "=@ccc"(good));
	return good;
}

static bool rdseed(u64 *word)
{
	bool good;

	__asm__ volatile("rdseed %0" : "=r"(*word), "=@ccc"(good));
	return good;
}

/* Some AMD processors of families 15h to 17h answer all ones, with success, after a sleep or under
 * old firmware. */
static bool draw(bool (*instruction)(u64 *word), u64 *word)
{
	for (unsigned i = 0; i < TRIES; i++)
		if (instruction(word) && *word != 0 && *word != ~0UL)
			return true;
	return false;
}

/* Each read of memory goes past the caches. */
static u64 timing(void)
{
	static u8 line[64] __aligned_to(64);
	u64 before = arch_tsc(), word = arch_wall_clock(before);

	for (unsigned i = 0; i < READS; i++) {
		u64 now;

		__asm__ volatile("clflush %0; mfence; movb %0, %%al; lfence"
				 :
				 : "m"(line[0])
				 : "al", "memory");
		now = arch_tsc();
		word = (word << 5 | word >> 59) ^ (now - before) * 0x9e3779b97f4a7c15;
		before = now;
	}
	return word ^ before;
}

bool arch_entropy(u64 *word)
{
	if ((cpuid(0, 0).eax >= 7 && (cpuid(7, 0).ebx & CPUID_7_EBX_RDSEED) &&
		    draw(rdseed, word)) ||
		((cpuid(1, 0).ecx & CPUID_1_ECX_RDRAND) && draw(rdrand, word))) {
		*word ^= arch_tsc();
		return true;
	}
	*word = timing();
	return false;
}
