/*
 * Spinlocks with a rank. Interrupts are always off in the hypervisor, so a lock needs no interrupt
 * state. Debug builds (SLUICE_DEBUG) assert that a CPU takes locks in ascending rank only.
 */
#ifndef CORE_LOCK_H
#define CORE_LOCK_H

#include "lib/types.h"

/* The order: a CPU that holds a lock may take only those further down. */
enum lock_rank {
	LOCK_NONE,
	LOCK_VM,      /* one VM's devices and life */
	LOCK_DISCARD, /* who may be discarding pages of guests (kernel/vm/memory_discard.c) */
	LOCK_MEMORY,  /* one VM's gfn table and nested tables */
	LOCK_TMEM_SHARERS,
	LOCK_TMEM_CLIENT,
	LOCK_TMEM_GROUP,
	LOCK_TMEM_ARENA,
	LOCK_LIMBO,
	LOCK_FRAMES,
	LOCK_SCHED, /* one CPU's run queue */
	LOCK_TIMER, /* one CPU's timers */
	LOCK_RANDOM,
	LOCK_LOG,
};

struct spinlock {
	u16 next;    /* ticket for the next CPU that comes */
	u16 serving; /* ticket that holds the lock */
	u8 rank;     /* enum lock_rank */
};

#define SPINLOCK(r) ((struct spinlock){.rank = (r)})

/* Ticket locks, fair. In debug builds it is a BUG to take one whose rank is not above those that
 * this CPU holds. Taking one is an acquire, giving it back a release. */
void spin_lock_init(struct spinlock *lock, enum lock_rank rank);
void spin_lock(struct spinlock *lock);
void spin_unlock(struct spinlock *lock);
/* Whether this CPU holds no lock at all: where reclaim may run, and the head of the dispatch loop.
 * Known in debug builds; others answer true. */
bool lock_none_held(void);

#endif
