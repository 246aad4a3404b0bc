/*
 * Lists of disjoint, ascending address ranges, as boot_info keeps them. Pure.
 */
#ifndef ARCH_RANGES_H
#define ARCH_RANGES_H

#include "arch/x86/arch.h"

struct ranges {
	struct boot_range *at;
	unsigned *count;
	unsigned max;
};

/* Adds [start, end), merging with what it touches or overlaps. -ENOSPC if the list is full. */
int __must_check ranges_add(struct ranges list, u64 start, u64 end);
/* Removes [start, end) wherever it lies. -ENOSPC if a split does not fit. */
int __must_check ranges_remove(struct ranges list, u64 start, u64 end);
/* The lowest aligned address at or above @from where @bytes fit into @list and touch nothing of
 * @avoid; ~0 if there is none. @align is a power of two. */
u64 ranges_find(struct ranges list, struct ranges avoid, u64 from, u64 bytes, u64 align);

#endif
