/* The comparison of TSCs: see tsc_check.h. */
#include "arch/x86/tsc_check.h"

#include "arch/x86/arch.h"
#include "arch/x86/clock.h"
#include "arch/x86/log.h"

#define ROUNDS     16u
#define PATIENCE_S 2

/* Of the hand-overs so far; the boot processor makes it odd, the other one even. */
static u32 turn;
static u64 stamp; /* TSC of whoever made the last one */
static u64 ahead; /* by how much a stamp was ahead of the TSC that saw it, at most */

/* Not read before what came before it is done. */
static u64 ordered_tsc(void)
{
	__asm__ volatile("lfence" : : : "memory");
	return arch_tsc();
}

static void hand_over(void)
{
	stamp = ordered_tsc();
	__atomic_store_n(&turn, turn + 1, __ATOMIC_RELEASE);
}

/* Waits for hand-over number @wanted, and looks at its stamp; whether it came. */
static bool take_over(u32 wanted)
{
	u64 start = arch_tsc(), now;

	while (__atomic_load_n(&turn, __ATOMIC_ACQUIRE) != wanted) {
		if (arch_tsc() - start > PATIENCE_S * arch_tsc_hz())
			return false;
		arch_pause();
	}
	now = ordered_tsc();
	if (stamp > now && stamp - now > ahead)
		ahead = stamp - now;
	return true;
}

void tsc_check_boot(unsigned index)
{
	u32 first = (index - 1) * 2 * ROUNDS;
	bool came = true;

	ahead = 0;
	WRITE_ONCE(turn, first);
	for (u32 i = 0; i < ROUNDS && came; i++) {
		hand_over();
		came = take_over(first + 2 * i + 2);
	}
	if (came && ahead == 0)
		return;
	clock_tsc_differs();
	if (came)
		log_warn("the TSCs of processors 0 and %u differ by %lu ticks or more: clocks of "
			 "guests on both may go back",
			index, ahead);
	else
		log_warn("the TSCs of processors 0 and %u could not be compared", index);
}

void tsc_check_other(unsigned index)
{
	u32 first = (index - 1) * 2 * ROUNDS;

	for (u32 i = 0; i < ROUNDS && take_over(first + 2 * i + 1); i++)
		hand_over();
}
