/*
 * 1 GiB pages. Scrubbing one would keep a CPU for a tenth of a second, so it goes on 2 MiB a fault:
 * the guest simply faults again until the page is mapped. Several vCPUs scrub different parts at
 * once. One page a VM is under way at a time (struct huge_page, under LOCK_MEMORY). Its frames
 * count as populated from the first part on: the guest has them, and nobody else can.
 */
#include "kernel/core/frame.h"
#include "kernel/vm/memory_flip.h"
#include "kernel/vm/memory_nested.h"
#include "kernel/vm/memory_populate.h"

void memory_abandon_huge(struct memory *memory)
{
	struct huge_page *huge = &memory->huge;

	if (!huge->active || huge->next != huge->done)
		return;
	huge->active = false;
	memory->populated_pages -= HUGE_PAGES;
	for (u64 i = 0; i < HUGE_PAGES; i += BLOCK_PAGES)
		frame_free(mfn(huge->frame.raw + i), BLOCK_ORDER);
}

/* Whether nothing, not even a table, stands where the 1 GiB page at @base goes. A guest that
 * balloons gets none: a part of the page would have to stay out. */
static bool huge_fits(const struct memory *memory, u64 base)
{
	unsigned level;
	const u64 *entry = nested_lookup(memory, base, &level);

	return level >= 3 && !(*entry & memory->layout->present) && !memory->ballooned_pages &&
	       !memory_flips(memory, base, HUGE_PAGES);
}

/* Claims the next part of the 1 GiB page at @base for scrubbing; starts the page if there is none.
 * False if another is under way or there is no frame. *part is HUGE_PAGES if all parts are taken.
 */
static bool huge_claim(struct vm *vm, u64 base, u64 *part)
{
	struct memory *memory = &vm->memory;
	struct huge_page *huge = &memory->huge;
	mfn_t host = MFN_NONE;
	bool mine;

	if (!READ_ONCE(huge->active)) {
		host = guest_frame_alloc(vm, HUGE_ORDER);
		if (mfn_is_none(host))
			return false;
	}
	spin_lock(&memory->lock);
	if (!huge->active && !mfn_is_none(host) && huge_fits(memory, base)) {
		*huge = (struct huge_page){.active = true, .base = base, .frame = host};
		memory->populated_pages += HUGE_PAGES;
		host = MFN_NONE;
	}
	mine = huge->active && huge->base == base;
	if (mine)
		*part = huge->next < BLOCK_PAGES ? huge->next++ * (u64)BLOCK_PAGES : HUGE_PAGES;
	spin_unlock(&memory->lock);
	if (!mfn_is_none(host))
		frame_free(host, HUGE_ORDER);
	return mine;
}

/* A part was scrubbed: the last one maps the page, unless something smaller stands there by now. */
static void huge_finish(struct memory *memory)
{
	struct huge_page *huge = &memory->huge;

	spin_lock(&memory->lock);
	huge->done++;
	if (huge->done == BLOCK_PAGES &&
		memory_enter_frames(memory, huge->base, huge->frame, HUGE_ORDER) == 0) {
		huge->active = false;
		memory->populated_pages -= HUGE_PAGES; /* counted twice now */
	} else if (huge->done == BLOCK_PAGES || !huge_fits(memory, huge->base)) {
		memory_abandon_huge(memory);
	}
	spin_unlock(&memory->lock);
}

bool memory_populate_huge(struct vm *vm, u64 frame)
{
	u64 part;

	if (!huge_claim(vm, frame & ~(HUGE_PAGES - 1), &part))
		return false;
	if (part < HUGE_PAGES) {
		memory_scrub(mfn(vm->memory.huge.frame.raw + part), BLOCK_PAGES);
		huge_finish(&vm->memory);
	}
	return true;
}
