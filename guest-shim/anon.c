/*
 * See anon.h. While a fault is being handled nothing else runs but interrupt handlers, and those
 * change no page: so the entry of an absent page, once read, stays what it is until the handler
 * replaces it.
 */
#include "guest-shim/anon.h"

#include "guest-shim/compact.h"
#include "guest-shim/counters.h"
#include "guest-shim/cpu.h"
#include "guest-shim/frames.h"
#include "guest-shim/paging.h"
#include "guest-shim/reclaim.h"
#include "guest-shim/swap.h"
#include "guest-shim/tmem_client.h"

#define FAULT_PRESENT BIT(0)
#define FAULT_WRITE   BIT(1)
#define FAULT_FETCH   BIT(4)

/* Kept back for page tables and for the pages that one fault needs at once. */
#define RESERVE_PAGES(total) (64u + (total) / 32)

static u64 heap_end = ANON_BASE;
static u64 top_start = ANON_BASE + ANON_BYTES;
static u64 committed, limit; /* pages */

void anon_init(void)
{
	u32 total = frames_total() - frames_fixed();
	u32 reserve = RESERVE_PAGES(frames_total());

	limit = (total > reserve ? total - reserve : 0) + swap_size();
}

static u64 pages_of(u64 bytes)
{
	return (bytes + PAGE_MASK) >> PAGE_SHIFT;
}

static bool commit(u64 pages)
{
	if (pages > limit - committed)
		return false;
	committed += pages;
	return true;
}

/* Gives back the page at @address, wherever it is. The last call is followed by
 * preswap_flush_now(). */
static void release(u64 address)
{
	u64 *entry = paging_entry(address);
	u64 old = entry ? *entry : 0;

	if (!old)
		return;
	*entry = 0;
	if (old & PTE_PRESENT) {
		u32 frame = (u32)((old & PTE_FRAME) >> PAGE_SHIFT);

		invlpg(address);
		swap_release_slot(frame);
		replace_remove(&replace, frame);
		frames_give(frame);
	} else {
		swap_forget((u32)((address - ANON_BASE) >> PAGE_SHIFT), old);
	}
}

void *anon_move_break(s64 bytes)
{
	u64 old = heap_end;
	u64 old_pages = pages_of(old - ANON_BASE);
	u64 new_pages;

	if (bytes > (s64)(top_start - old) || bytes < -(s64)(old - ANON_BASE))
		return NULL;
	new_pages = pages_of(old + (u64)bytes - ANON_BASE);
	if (new_pages > old_pages && !commit(new_pages - old_pages))
		return NULL;
	for (u64 page = new_pages; page < old_pages; page++) {
		release(ANON_BASE + (page << PAGE_SHIFT));
		committed--;
	}
	preswap_flush_now();
	heap_end = old + (u64)bytes;
	return (void *)old;
}

void *anon_allocate(u64 bytes)
{
	u64 pages = pages_of(bytes);

	if (bytes > ANON_BYTES || pages << PAGE_SHIFT > top_start - ROUND_UP(heap_end, PAGE_SIZE) ||
		!commit(pages))
		return NULL;
	top_start -= pages << PAGE_SHIFT;
	return (void *)top_start;
}

void anon_discard(void *start, u64 bytes)
{
	u64 end = ((u64)start + bytes) & ~PAGE_MASK;

	for (u64 page = ROUND_UP((u64)start, PAGE_SIZE); page < end; page += PAGE_SIZE)
		release(page);
	preswap_flush_now();
}

static bool is_allocated(u64 address)
{
	return (address >= ANON_BASE && address < ROUND_UP(heap_end, PAGE_SIZE)) ||
	       (address >= top_start && address < ANON_BASE + ANON_BYTES);
}

static u32 stamp_of(u64 entry)
{
	return entry ? (u32)(entry >> ENTRY_STAMP_SHIFT) & STAMP_MASK : STAMP_NEW;
}

/* Gets the absent page into a frame; returns the frame, and the entry's further bits in @bits. */
static u32 page_in(u32 page, u64 entry, u64 *bits)
{
	u32 frame = FRAME_NONE;

	*bits = 0;
	if (entry & ENTRY_SLOT)
		frame = swap_rescue(entry_slot(entry));
	if (frame != FRAME_NONE) {
		counters.swap_rescues++;
		*bits = swap_keep(entry, frame);
		return frame;
	}
	frame = memory_frame();
	if (!entry) {
		page_zero(frame_pointer(frame));
		counters.zero_fills++;
	} else {
		*bits = swap_in(page, entry, frame);
	}
	return frame;
}

bool anon_fault(u64 address, u64 error)
{
	u32 page = (u32)((address - ANON_BASE) >> PAGE_SHIFT);
	u64 *entry, old, bits;
	u32 frame;

	if (!is_allocated(address) || error & (FAULT_PRESENT | FAULT_FETCH))
		return false;
	counters.faults++;
	while (!(entry = paging_entry(address)))
		paging_add_table(address, compact_fixed(memory_frame()));
	old = *entry;
	frame = page_in(page, old, &bits);
	frames[frame].key = page;
	frames[frame].kind = FRAME_ANON;
	if (error & FAULT_WRITE)
		bits |= PTE_DIRTY;
	*entry = frame_address(frame) | PTE_PRESENT | PTE_WRITE | PTE_NX | bits;
	counters.refaults += replace_add(&replace, frame, REPLACE_ANON, stamp_of(old));
	return true;
}
