/*
 * Anonymous memory: zeros until written, paged in by faults and out under pressure. One region
 * serves newlib's heap (from the bottom up) and large allocations (from the top down).
 */
#ifndef SHIM_ANON_H
#define SHIM_ANON_H

#include "lib/types.h"

/* Fixes how much may be allocated: what memory and swap disk surely hold. preswap does not count,
 * since the hypervisor may refuse. Called when everything that is allocated for good has been. */
void anon_init(void);

/* As sbrk(2): moves the heap's end by @bytes and returns the old end; NULL if there is no more
 * memory. */
void *anon_move_break(s64 bytes);

/* @bytes, rounded up to pages, at a page border, for good; NULL if there is no more memory. */
void *anon_allocate(u64 bytes);

/* The whole pages in @bytes from @start read as zeros from now on; memory, swap slots and preswap
 * copies they had are given back. The range must have been allocated. */
void anon_discard(void *start, u64 bytes);

/*
 * The page fault at @address with error code @error: true if the page is there now. Runs on the
 * faulting stack and may sleep. Interrupts must have been on where the fault happened.
 */
bool anon_fault(u64 address, u64 error);

#endif
