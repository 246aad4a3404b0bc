/*
 * Another CPU that comes between any two instructions of this one, outside of locks: those the two
 * would share, and it would wait for ever. For programs that are linked with
 *
 *   -Wl,--wrap=spin_lock,--wrap=spin_unlock
 *
 * To be included once, with _GNU_SOURCE defined. Both CPUs are the same thread.
 */
#ifndef FAKE_OTHER_CPU_H
#define FAKE_OTHER_CPU_H

#include <signal.h>
#include <ucontext.h>

#include "kernel/core/lock.h"

static unsigned depth; /* 0: the other CPU may come; 1: this is its part */
static u64 random_state;

static inline u32 choose(u32 bound)
{
	random_state = random_state * 6364136223846793005 + 1442695040888963407;
	return (u32)((random_state >> 32) * bound >> 32);
}

static volatile unsigned locks;
static volatile unsigned comes_in; /* instructions; 0: it does not come */

void __real_spin_lock(struct spinlock *lock);
void __real_spin_unlock(struct spinlock *lock);
void __wrap_spin_lock(struct spinlock *lock);
void __wrap_spin_unlock(struct spinlock *lock);

void __wrap_spin_lock(struct spinlock *lock)
{
	locks++;
	__real_spin_lock(lock);
}

void __wrap_spin_unlock(struct spinlock *lock)
{
	__real_spin_unlock(lock);
	locks--;
}

/* The test's: what the other CPU does. */
static void other_cpu(void);

static inline void trap(int number, siginfo_t *info, void *context)
{
	greg_t *flags = &((ucontext_t *)context)->uc_mcontext.gregs[REG_EFL];

	(void)number;
	(void)info;
	if (comes_in > 1) {
		comes_in--;
		return;
	}
	if (comes_in == 1 && (locks || depth))
		return;
	*flags &= ~(greg_t)BIT(8);
	if (comes_in == 0)
		return;
	comes_in = 0;
	other_cpu();
}

/* The other CPU comes in so many instructions. */
static inline void step_for(unsigned instructions)
{
	comes_in = instructions;
	__asm__ volatile("lea -128(%%rsp), %%rsp\n\t" /* the red zone */
			 "pushfq\n\t"
			 "orq $0x100, (%%rsp)\n\t" /* TF */
			 "popfq\n\t"
			 "lea 128(%%rsp), %%rsp" ::
				 : "memory", "cc");
}

/* Begins here, at random. */
static inline void step_on(void)
{
	if (!depth && choose(16) == 0)
		step_for(1 + choose(choose(4) ? 400 : 6000));
}

/* Ends what step_on() or step_for() began. */
static inline void step_off(void)
{
	if (!depth)
		comes_in = 0;
}

static inline void steps_begin(u64 seed)
{
	const struct sigaction act = {.sa_sigaction = trap, .sa_flags = SA_SIGINFO};

	random_state = seed;
	depth = comes_in = 0;
	assert_int_equal(sigaction(SIGTRAP, &act, NULL), 0);
}

#endif
