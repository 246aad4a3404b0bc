/*
 * Stopping the world. A CPU in guest mode is kicked out of it; one in an exit arrives by itself,
 * since an exit is bounded work.
 */
#include "kernel/world.h"

#include "arch/x86/arch.h"

static u32 stopped; /* 1: CPUs at the head of the loop wait */
static u32 waiting; /* how many do */

void world_stop(void)
{
	unsigned others = arch_cpu_count() - 1;

	__atomic_store_n(&stopped, 1, __ATOMIC_SEQ_CST);
	for (unsigned i = 0; i < arch_cpu_count(); i++)
		if (i != this_cpu()->index)
			arch_kick(i);
	while (__atomic_load_n(&waiting, __ATOMIC_ACQUIRE) != others)
		arch_pause();
}

void world_resume(void)
{
	__atomic_store_n(&stopped, 0, __ATOMIC_SEQ_CST);
	while (__atomic_load_n(&waiting, __ATOMIC_ACQUIRE))
		arch_pause();
}

void world_stop_point(void)
{
	if (likely(!READ_ONCE(stopped)))
		return;
	__atomic_fetch_add(&waiting, 1, __ATOMIC_ACQ_REL);
	while (__atomic_load_n(&stopped, __ATOMIC_ACQUIRE))
		arch_pause();
	arch_flush_translations();
	__atomic_fetch_sub(&waiting, 1, __ATOMIC_ACQ_REL);
}
