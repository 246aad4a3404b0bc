/*
 * Where anonymous pages are when they are not in memory, and how they get there. The page-table
 * entry of an absent page says it all, so nothing else has to be searched:
 *
 *   0                              never written: zeros
 *   ENTRY_PRESWAP                  in the hypervisor's persistent pool
 *   ENTRY_SLOT, slot               on the swap disk (with ENTRY_PRESWAP: the same content in both)
 *
 * and in both cases when it left (STAMP_BITS bits), for the replacement policy. A page that came
 * back from its slot keeps it while it is clean and slots are plenty, so that it can leave again
 * without a write.
 */
#ifndef SHIM_SWAP_H
#define SHIM_SWAP_H

#include "lib/types.h"

#define ENTRY_PRESWAP     BIT(1)
#define ENTRY_SLOT        BIT(2)
#define ENTRY_STAMP_SHIFT 8
#define ENTRY_SLOT_SHIFT  32

#define SWAP_WRITES_MAX 12u /* writes under way at most; disk.h has room for them and a read */

struct disk;

/* What became of a page that should leave memory. */
enum swap_result {
	SWAP_FREED,   /* it is somewhere else, and its frame can be given back */
	SWAP_WRITING, /* on its way to the disk: swap_reap() gives the frame back */
	SWAP_REFUSED, /* there is no room for it */
};

/* Slots that @disk has room for; 0 if it is NULL. */
u32 swap_slots_of(const struct disk *disk);

/* @disk may be NULL: then only preswap takes pages. @map has a zero bit for each of its slots, in
 * whole words. */
void swap_init(struct disk *disk, u64 *map);

/* Pages that the swap disk holds. */
u32 swap_size(void);

/* Anonymous pages can leave memory at all. */
bool swap_is_usable(void);

/* Unmaps the anonymous page in @frame, which must be in no list, and sends it away. At most
 * SWAP_WRITES_MAX calls may have returned SWAP_WRITING and not been reaped. */
enum swap_result swap_out(u32 frame);

/* Writes under way. */
u32 swap_writing(void);

/* Gives back the frames of completed writes. */
void swap_reap(void);

/* Sleeps until at least one write is complete, and gives frames back. One must be under way. */
void swap_wait(void);

/* Waits until no write of @slot is under way; if one was, returns its frame, which holds the page
 * and now belongs to the caller, else FRAME_NONE. */
u32 swap_rescue(u32 slot);

/* Brings back into @frame what @entry (absent, not 0) says. Sets the frame's slot, and returns the
 * bits for the new entry: PTE_DIRTY unless the slot still holds the same. */
u64 swap_in(u32 page, u64 entry, u32 frame);

/* A page that was rescued keeps its slot: same result as swap_in(). */
u64 swap_keep(u64 entry, u32 frame);

/* Forgets the copies that @entry (absent, not 0) names. The last of several calls is followed by
 * preswap_flush_now(). */
void swap_forget(u32 page, u64 entry);

/* Gives the slot of a resident page back, if it has one. */
void swap_release_slot(u32 frame);

/* The slot of an entry whose page is on the swap disk. */
static inline u32 entry_slot(u64 entry)
{
	return (u32)(entry >> ENTRY_SLOT_SHIFT);
}

#endif
