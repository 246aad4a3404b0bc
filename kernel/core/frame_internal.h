/*
 * The allocator's own state, shared by its three files: frame.c (hand out and take back),
 * frame_boot.c (what GRUB left) and frame_check.c (the audit's walk). Nobody else includes it.
 */
#ifndef CORE_FRAME_INTERNAL_H
#define CORE_FRAME_INTERNAL_H

#include "kernel/core/frame.h"
#include "kernel/core/lock.h"

struct frames {
	struct spinlock lock;
	struct frame *table;            /* by mfn */
	u64 end;                        /* entries of @table */
	u64 total;                      /* entries that are RAM */
	u64 reserve;                    /* frames */
	u64 reserve_wanted;             /* the same, as it was set; 0 = by rule */
	u32 heads[FRAME_MAX_ORDER + 1]; /* free lists; FRAME_NONE: empty */
	u32 nonempty;                   /* bit per order with a block */
	u64 count[FRAME_CLASSES];       /* frames of each class */
};

extern struct frames frames;

/* Puts 2^order frames, already FRAME_FREE, on the free lists, merged with free neighbours. */
void frames_insert(u32 first, unsigned order);

#endif
