/*
 * Windows: guest-physical ranges above a guest's RAM where pages of the tmem engine are shown to it
 * read-only, one window a pool (abi/filter.h). They have no entries in the gfn table: what stands
 * where is the engine's to say, and no service reads or writes guest memory there. A write or a
 * fetch is that guest's error. Guarded by LOCK_MEMORY, which ranks above the engine's locks.
 */
#ifndef VM_WINDOW_H
#define VM_WINDOW_H

#include <abi/hypercall.h>

#include "kernel/vm/memory.h"
#include "tmem/window.h"

#define WINDOWS_PAGES (TMEM_POOLS_PER_GUEST * (u64)TMEM_WINDOW_PAGES)

/* Whether @frame lies in the guest's windows. */
static inline bool window_covers(const struct memory *memory, u64 frame)
{
	return memory->window && frame - memory->window < WINDOWS_PAGES;
}

/* A nested fault at @frame, which a window covers: as memory_fault(). */
enum outcome window_fault(struct vm *vm, u64 frame, u32 access);

/* The hypercall: opens the window of @pool and describes it at @info. 0, -EAGAIN while pages of an
 * earlier one have to go first (to be called again), -EBADF, -EFAULT, -ENOMEM. */
s64 window_open(struct vm *vm, u64 pool, gpa_t info);

/* Resizes filters that have no puts, and takes away what left a window, a bounded part. At a steady
 * pace, on the boot CPU. */
void window_tick(struct vm *vm);

/* A step of taking everything away from a quiet VM; true when nothing is shown any more. */
bool window_close(struct vm *vm);

/* For the audit: whether @host is what should be shown at @frame; its class. */
bool window_shows(const struct vm *vm, u64 frame, mfn_t host, u8 *class);

#endif
