/*
 * Giving frames to a guest where it touches its RAM (memory_populate.c).
 */
#ifndef VM_MEMORY_POPULATE_H
#define VM_MEMORY_POPULATE_H

#include "kernel/vm/vm.h"

/*
 * Makes sure that @frame, below gfn_count, is populated. 0; POPULATED_ALREADY if it was, by what is
 * mapped or was on its way to be discarded; -EFAULT if it is no RAM or is discarded, -ENOMEM if no
 * frame is to be had. @restartable: the caller comes again, so that 0 may also mean that a part of
 * a 1 GiB page was prepared, or that the page is on its way to another frame. Takes LOCK_MEMORY;
 * may reclaim: no lock but LOCK_VM may be held.
 */
#define POPULATED_ALREADY 1
int __must_check memory_populate(struct vm *vm, u64 frame, bool restartable);

/* Zeroes @pages frames, which nobody else can reach. */
void memory_scrub(mfn_t first, u64 pages);

/* Maps 2^order frames and enters them in the gfn table. 0, or what nested_map() says; also -EBUSY
 * if the page is not to be populated, and -ENOMEM if that holds for a part of a larger one.
 * LOCK_MEMORY is held. */
int __must_check memory_enter_frames(struct memory *memory, u64 base, mfn_t host, unsigned order);

/* ---- 1 GiB pages (memory_huge.c) ---- */

/* One step towards a 1 GiB page around @frame; false if it is not to be had. */
bool memory_populate_huge(struct vm *vm, u64 frame);

/* Gives back what a 1 GiB page under way holds, if no CPU scrubs a part of it. LOCK_MEMORY is held,
 * or nothing of the VM runs any more. */
void memory_abandon_huge(struct memory *memory);

#endif
