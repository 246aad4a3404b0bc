/*
 * Page flip as guest-physical memory sees it (memory_flip.c): ranges that the guest declares, and
 * the exchange of the frame behind one of their pages. kernel/vm/flip.c has the hypercalls.
 */
#ifndef VM_MEMORY_FLIP_H
#define VM_MEMORY_FLIP_H

#include "kernel/vm/vm.h"

/*
 * Declares @pages guest frames from @first on, which are in small pages from then on until they are
 * undeclared: what is in larger ones is split, a bounded step a call. 0; -EAGAIN: call again;
 * -EINVAL: none, or a part is declared already; -EFAULT: not all are RAM; -ENOSPC: the guest has
 * FLIP_RANGES; -ENOMEM: no frame for a table, and nothing is declared. Takes LOCK_MEMORY.
 */
int __must_check memory_flip_declare(struct vm *vm, u64 first, u64 pages);
/* Takes back just what was declared; -EINVAL if that is no declared range. */
int __must_check memory_flip_undeclare(struct vm *vm, u64 first, u64 pages);

/*
 * Begins the exchange of the frame behind gfn @frame, by the current vCPU. 0: LOCK_MEMORY is held,
 * *@host is the frame, and nobody can reach it, or get to its content, before
 * memory_flip_exchange(); the caller then releases the lock. Otherwise the lock is not held:
 * -EAGAIN: some CPU may still write the frame, make the hypercall again; -EBUSY: it is pinned;
 * -EINVAL: no populated page of a declared range, or another vCPU wanted it meanwhile: copy.
 */
int __must_check memory_flip_begin(struct vcpu *vcpu, u64 frame, mfn_t *host);
/* @host, the same frame or another of class guest, stands at @frame from now on. */
void memory_flip_exchange(struct memory *memory, u64 frame, mfn_t host);
/* Whether memory_flip_begin() said -EAGAIN to the vCPU for @frame, and nobody wanted it since. */
bool memory_flip_is_begun(const struct vcpu *vcpu, u64 frame);

/* A frame for the guest: one that was its own, or one that is scrubbed; MFN_NONE when only the
 * reserve is left. LOCK_MEMORY is held. */
mfn_t memory_flip_take(struct memory *memory);
/* Keeps a frame that is mapped nowhere, and holds what only this guest wrote or nothing, for the
 * next memory_flip_take(). LOCK_MEMORY is held. */
void memory_flip_keep(struct memory *memory, mfn_t host);

/* Calls off the exchanges that were begun for gfns in [@first, @first + @pages). LOCK_MEMORY is
 * held, or nothing of the VM runs any more. */
void memory_flip_call_off(struct memory *memory, u64 first, u64 pages);

/* Ten times a second: frames kept are given back when they are not used, or wanted elsewhere. */
void memory_flip_tick(struct vm *vm);
/* The VM ends: what is begun or kept goes. */
void memory_flip_destroy(struct memory *memory);

/* Whether gfns in [@first, @first + @pages) are in a declared range. Without LOCK_MEMORY a hint. */
static inline bool memory_flips(const struct memory *memory, u64 first, u64 pages)
{
	for (u32 i = 0; i < READ_ONCE(memory->flip.range_count); i++) {
		const struct flip_range *range = &memory->flip.ranges[i];

		if (first < range->end && range->first < first + pages)
			return true;
	}
	return false;
}

#endif
