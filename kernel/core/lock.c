/*
 * Ticket spinlocks: first come, first served. Debug builds keep a bit for each held rank in struct
 * percpu and assert that ranks ascend; so two locks of one rank are never held together.
 */
#include "kernel/core/lock.h"

#include "arch/x86/arch.h"
#include "kernel/core/bug.h"
#include "kernel/core/percpu.h"

#ifdef SLUICE_DEBUG
static void note_taken(const struct spinlock *lock)
{
	struct percpu *cpu = this_percpu();

	if (!cpu)
		return; /* early boot: one CPU, no order to keep */
	if (cpu->locks_held >> lock->rank)
		BUG("lock of rank %u taken while ranks %#x are held", lock->rank, cpu->locks_held);
	cpu->locks_held |= 1U << lock->rank;
}

static void note_released(const struct spinlock *lock)
{
	struct percpu *cpu = this_percpu();

	if (cpu)
		cpu->locks_held &= ~(1U << lock->rank);
}

bool lock_none_held(void)
{
	return !this_percpu() || this_percpu()->locks_held == 0;
}
#else
static inline void note_taken(const struct spinlock *lock)
{
	(void)lock;
}

static inline void note_released(const struct spinlock *lock)
{
	(void)lock;
}

bool lock_none_held(void)
{
	return true;
}
#endif

void spin_lock_init(struct spinlock *lock, enum lock_rank rank)
{
	*lock = SPINLOCK((u8)rank);
}

void spin_lock(struct spinlock *lock)
{
	u16 mine = __atomic_fetch_add(&lock->next, 1, __ATOMIC_RELAXED);

	while (__atomic_load_n(&lock->serving, __ATOMIC_ACQUIRE) != mine)
		arch_pause();
	note_taken(lock);
}

void spin_unlock(struct spinlock *lock)
{
	note_released(lock);
	__atomic_store_n(&lock->serving, (u16)(lock->serving + 1), __ATOMIC_RELEASE);
}
