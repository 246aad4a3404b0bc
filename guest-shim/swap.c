/*
 * See swap.h.
 */
#include "guest-shim/swap.h"

#include "guest-shim/counters.h"
#include "guest-shim/cpu.h"
#include "guest-shim/disk.h"
#include "guest-shim/frames.h"
#include "guest-shim/paging.h"
#include "guest-shim/panic.h"
#include "guest-shim/tmem_client.h"

#define SLOTS_MAX (1u << 24) /* 64 GiB, as much as the anonymous region */

/* A write under way: the frame stays as it is until the disk has read it. */
struct write {
	u32 frame; /* FRAME_NONE: this place is empty */
	u32 slot;
	unsigned tag;
};

static struct disk *swap_disk;
static struct slots slots;
static struct write writes[SWAP_WRITES_MAX];
static u32 writing;

u32 swap_slots_of(const struct disk *disk)
{
	return disk ? (u32)MIN(disk_sectors(disk) / SECTORS_PER_PAGE, (u64)SLOTS_MAX) : 0;
}

void swap_init(struct disk *disk, u64 *map)
{
	for (unsigned i = 0; i < SWAP_WRITES_MAX; i++)
		writes[i].frame = FRAME_NONE;
	if (disk && disk_is_read_only(disk))
		panic("the swap disk is read-only");
	swap_disk = disk;
	slots_init(&slots, map, swap_slots_of(disk));
}

u32 swap_size(void)
{
	return slots.count;
}

bool swap_is_usable(void)
{
	return slots.count > 0 || preswap_is_on();
}

/* ---- Pages leave -------------------------------------------------------------------------------
 */

static u64 stamp_bits(void)
{
	return (u64)replace_stamp(&replace) << ENTRY_STAMP_SHIFT;
}

static u64 slot_bits(u32 slot)
{
	return ENTRY_SLOT | (u64)slot << ENTRY_SLOT_SHIFT;
}

void swap_release_slot(u32 frame)
{
	if (frames[frame].slot == SLOT_NONE)
		return;
	if (!slots_give(&slots, frames[frame].slot))
		panic("swap slot %u of frame %x is free", (unsigned)frames[frame].slot,
			(unsigned)frame);
	frames[frame].slot = SLOT_NONE;
}

static void write_start(u32 frame)
{
	struct write *write = writes;
	u32 slot = frames[frame].slot;

	while (write->frame != FRAME_NONE)
		write++;
	frames[frame].kind = FRAME_WRITING;
	*write = (struct write){.frame = frame,
		.slot = slot,
		.tag = disk_submit(swap_disk, true, (u64)slot * SECTORS_PER_PAGE,
			frame_address(frame), SECTORS_PER_PAGE)};
	writing++;
	counters.swap_writes++;
}

/* Its content is nowhere else: a slot is written, the one it had if it had one. */
static enum swap_result write_out(u32 frame, u64 *entry, u64 old)
{
	if (frames[frame].slot == SLOT_NONE)
		frames[frame].slot = slots_take(&slots);
	if (frames[frame].slot == SLOT_NONE) {
		*entry = old;
		return SWAP_REFUSED;
	}
	*entry = slot_bits(frames[frame].slot) | stamp_bits();
	write_start(frame);
	return SWAP_WRITING;
}

enum swap_result swap_out(u32 frame)
{
	u32 page = frames[frame].key;
	u64 address = ANON_BASE + ((u64)page << PAGE_SHIFT);
	u64 *entry = paging_entry(address);
	u64 old = *entry;
	bool dirty = old & PTE_DIRTY;

	/* From here on nobody can write the page: there is one processor, and it is here. */
	*entry = 0;
	invlpg(address);
	if (!dirty && frames[frame].slot == SLOT_NONE)
		return SWAP_FREED; /* zeros, never written: the entry 0 says so */
	if (preswap_put(page, frame)) {
		counters.preswap_puts++;
		if (dirty)
			swap_release_slot(frame);
		*entry = ENTRY_PRESWAP | stamp_bits();
		if (frames[frame].slot != SLOT_NONE)
			*entry |= slot_bits(frames[frame].slot);
		return SWAP_FREED;
	}
	counters.preswap_refused += preswap_is_on();
	if (dirty)
		return write_out(frame, entry, old);
	counters.swap_clean++;
	*entry = slot_bits(frames[frame].slot) | stamp_bits();
	return SWAP_FREED;
}

/* ---- Writes end --------------------------------------------------------------------------------
 */

u32 swap_writing(void)
{
	return writing;
}

static void write_end(struct write *write)
{
	if (disk_finish(swap_disk, write->tag) != 0)
		panic("swap disk: writing slot %u failed", (unsigned)write->slot);
	write->frame = FRAME_NONE;
	writing--;
}

void swap_reap(void)
{
	for (unsigned i = 0; i < SWAP_WRITES_MAX && writing > 0; i++) {
		u32 frame = writes[i].frame;

		if (frame == FRAME_NONE || !disk_is_done(swap_disk, writes[i].tag))
			continue;
		write_end(&writes[i]);
		frames_give(frame);
	}
}

void swap_wait(void)
{
	disk_wait_any(swap_disk);
	swap_reap();
}

u32 swap_rescue(u32 slot)
{
	for (unsigned i = 0; i < SWAP_WRITES_MAX && writing > 0; i++) {
		u32 frame = writes[i].frame;

		if (frame == FRAME_NONE || writes[i].slot != slot)
			continue;
		write_end(&writes[i]);
		return frame;
	}
	return FRAME_NONE;
}

/* ---- Pages come back ---------------------------------------------------------------------------
 */

u64 swap_keep(u64 entry, u32 frame)
{
	frames[frame].slot = entry & ENTRY_SLOT ? entry_slot(entry) : SLOT_NONE;
	if (slots_are_scarce(&slots))
		swap_release_slot(frame);
	return frames[frame].slot == SLOT_NONE ? PTE_DIRTY : 0;
}

u64 swap_in(u32 page, u64 entry, u32 frame)
{
	if (entry & ENTRY_PRESWAP) {
		preswap_get(page, frame);
		counters.preswap_hits++;
	} else {
		u32 slot = entry_slot(entry);
		unsigned tag;

		preswap_ask(page, frame);
		tag = disk_submit(swap_disk, false, (u64)slot * SECTORS_PER_PAGE,
			frame_address(frame), SECTORS_PER_PAGE);
		if (disk_finish(swap_disk, tag) != 0)
			panic("swap disk: reading slot %u failed", (unsigned)slot);
		counters.swap_reads++;
	}
	return swap_keep(entry, frame);
}

void swap_forget(u32 page, u64 entry)
{
	if (entry & ENTRY_PRESWAP)
		preswap_flush_soon(page);
	if (entry & ENTRY_SLOT) {
		u32 frame = swap_rescue(entry_slot(entry));

		if (frame != FRAME_NONE)
			frames_give(frame);
		if (!slots_give(&slots, entry_slot(entry)))
			panic("swap slot %u of page %x is free", (unsigned)entry_slot(entry),
				(unsigned)page);
	}
}
