/*
 * The nested page tables of one VM, for the files of kernel/vm/memory*.c and the audit. Four levels
 * of 512 entries in either vendor's layout; leaves stand at level 1 (4 KiB), 2 (2 MiB) or 3 (1
 * GiB). LOCK_MEMORY guards every change; processors walk the tables all the while.
 */
#ifndef VM_MEMORY_NESTED_H
#define VM_MEMORY_NESTED_H

#include "arch/x86/arch.h"
#include "kernel/vm/memory.h"

#define NESTED_LEVELS   4
#define NESTED_ENTRIES  512U
#define NESTED_HPA      0x000ffffffffff000UL
#define NESTED_GFN_BITS 36 /* what four levels translate */

#define HUGE_ORDER 18U
#define HUGE_PAGES (1UL << HUGE_ORDER)

/* Pages under one entry at @level. */
static inline u64 nested_span(unsigned level)
{
	return 1UL << 9 * (level - 1);
}

static inline unsigned nested_index(u64 frame, unsigned level)
{
	return frame >> 9 * (level - 1) & (NESTED_ENTRIES - 1);
}

static inline u64 *nested_table(u64 entry)
{
	return hpa_to_ptr(hpa(entry & NESTED_HPA));
}

static inline bool nested_is_leaf(const struct nested_layout *layout, u64 entry, unsigned level)
{
	return level == 1 || (level < NESTED_LEVELS && (entry & layout->large));
}

/* The root table. 0 or -ENOMEM. */
int __must_check nested_create(struct memory *memory);

/* The entry where the walk for @frame ends, a leaf or an absent one, and its level. */
u64 *nested_lookup(const struct memory *memory, u64 frame, unsigned *level);

/* Maps @host at @frame by a leaf at @level (both aligned to it). 0, -ENOMEM (no frame for a table),
 * or -EBUSY if something is mapped there, or below it, already. */
int __must_check nested_map(struct memory *memory, u64 frame, mfn_t host, unsigned level);

/* Breaks the leaf over @frame down to 4 KiB without changing a translation. 0 or -ENOMEM. */
int __must_check nested_split(struct memory *memory, u64 frame);

/* Clears the 4 KiB leaf of @frame, which must be there. The caller bumps the generation. */
void nested_clear(struct memory *memory, u64 frame);

/* Takes the tables apart: every frame mapped and every table goes into limbo until @epoch. */
void nested_destroy(struct memory *memory, u64 epoch);

#endif
