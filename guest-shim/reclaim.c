/*
 * See reclaim.h. Keeps a few frames free so that swap writes run beside the application instead of
 * being waited for; each call does bounded work unless memory is nearly exhausted.
 */
#include "guest-shim/reclaim.h"

#include <abi/hypercall.h>

#include "guest-shim/counters.h"
#include "guest-shim/cpu.h"
#include "guest-shim/file_index.h"
#include "guest-shim/frames.h"
#include "guest-shim/paging.h"
#include "guest-shim/panic.h"
#include "guest-shim/swap.h"
#include "guest-shim/tmem_client.h"

#define LOW_MIN   8u
#define LOW_MAX   64u
#define BATCH_MAX 32u
_Static_assert(BATCH_MAX <= TMEM_BATCH_MAX, "pages that leave together are put together");

/* How many pages in a row may refuse to leave before that is given up. */
#define REFUSALS_MAX 32u

static bool active;

void reclaim_init(void)
{
	replace.anon_evictable = swap_is_usable();
}

/* Port of the replacement policy. */
bool replace_test_young(u32 frame)
{
	u64 address = ANON_BASE + ((u64)frames[frame].key << PAGE_SHIFT);
	u64 *entry = paging_entry(address);

	if (!(*entry & PTE_ACCESSED))
		return false;
	/* The processor sets bits in entries, so this is one locked instruction. */
	__atomic_and_fetch(entry, ~PTE_ACCESSED, __ATOMIC_RELAXED);
	invlpg(address);
	return true;
}

static void file_left(u32 frame, bool stored)
{
	if (stored)
		counters.precache_puts++;
	else
		counters.precache_refused++;
	frames_give(frame);
}

/* With precache the frame is given back by precache_put_now(). */
static void file_out(u32 frame)
{
	u32 page = frames[frame].key;

	counters.cache_evictions++;
	file_index_set_stamp(page, replace_stamp(&replace));
	if (precache_is_on())
		precache_put_soon(page, frame);
	else
		frames_give(frame);
}

/* False if nothing could leave, or not the page that was chosen. */
static bool evict_one(void)
{
	u32 frame = replace_victim(&replace);

	if (frame == REPLACE_NONE)
		return false;
	if (frames[frame].kind == FRAME_FILE) {
		file_out(frame);
		return true;
	}
	switch (swap_out(frame)) {
	case SWAP_FREED:
		frames_give(frame);
		break;
	case SWAP_WRITING:
		break;
	case SWAP_REFUSED:
		replace_keep(&replace, frame, REPLACE_ANON);
		return false;
	}
	counters.anon_evictions++;
	return true;
}

u32 memory_low(void)
{
	return MIN(MAX(frames_total() / 128, LOW_MIN), LOW_MAX);
}

bool memory_make_free(u32 count)
{
	unsigned refused = 0;

	swap_reap();
	while (frames_free() + precache_puts_pending() + swap_writing() < count &&
		swap_writing() < SWAP_WRITES_MAX) {
		if (!evict_one() && ++refused == REFUSALS_MAX)
			break;
		if (precache_puts_pending() == BATCH_MAX)
			precache_put_now(file_left);
	}
	precache_put_now(file_left);
	return frames_free() >= count;
}

static bool evict_now(void)
{
	bool left = evict_one();

	precache_put_now(file_left);
	return left;
}

/* File pages go to precache together. */
static void refill(void)
{
	for (unsigned n = 0; n < BATCH_MAX; n++) {
		if (frames_free() + precache_puts_pending() + swap_writing() >= 2 * memory_low() ||
			swap_writing() == SWAP_WRITES_MAX)
			break;
		evict_one();
	}
	precache_put_now(file_left);
}

u32 memory_frame(void)
{
	u32 refused = 0;
	u32 frame;

	if (active)
		panic("memory management touched memory that is not there");
	active = true;
	swap_reap();
	if (frames_free() < memory_low())
		refill();
	while ((frame = frames_take()) == FRAME_NONE) {
		if (swap_writing())
			swap_wait();
		else if (!evict_now() && ++refused > frames_total() && !memory_last_resort())
			panic("out of memory: of %u pages %u are fixed, and swap is full",
				(unsigned)frames_total(), (unsigned)frames_fixed());
	}
	active = false;
	return frame;
}
