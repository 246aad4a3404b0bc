/*
 * Lazy population: a guest's RAM gets its frames when it is first touched, scrubbed, in the largest
 * naturally aligned page that its RAM and the free memory allow. Frames are taken and scrubbed
 * before LOCK_MEMORY; whoever comes second finds the entry taken, gives back and looks again.
 *
 * Scrubbing 1 GiB would keep a CPU for a tenth of a second, so it goes on 2 MiB a fault: the guest
 * simply faults again until the page is mapped. Several vCPUs scrub different parts at once.
 */
#include "kernel/vm/memory_populate.h"

#include <abi/errno.h>

#include "kernel/core/frame.h"
#include "kernel/vm/memory_nested.h"

/*
 * The common fault where memory is mapped in small pages: the table is there, a frame is free, no
 * reserve is touched. One walk, with the frame taken and scrubbed under the lock. False: the long
 * way.
 */
static inline bool populate_small(struct vm *vm, u64 frame)
{
	struct memory *memory = &vm->memory;
	mfn_t host = MFN_NONE;
	u64 *entry;

	if (frames_free() <= frames_reserve())
		return false;
	spin_lock(&memory->lock);
	entry = nested_small(memory, frame);
	if (likely(entry && !(*entry & memory->layout->present)))
		host = frame_alloc(FRAME_GUEST, 0, vm->id);
	if (likely(!mfn_is_none(host))) {
		arch_clear_page(mfn_to_ptr(host));
		nested_set_small(memory, entry, host);
		WRITE_ONCE(memory->gfns[frame], mfn_to_hpa(host).raw | GFN_RAM);
		memory->populated_pages++;
	}
	spin_unlock(&memory->lock);
	return !mfn_is_none(host);
}

/* The order of the largest page that may stand at @frame. A hint: the tables are read without lock.
 */
static unsigned largest_order(const struct memory *memory, u64 frame, bool restartable)
{
	u64 block = frame & ~(u64)(BLOCK_PAGES - 1);
	u64 huge = frame & ~(HUGE_PAGES - 1);
	unsigned level;

	/* The hole starts and ends on multiples of 1 GiB, so only the end of RAM cuts a page short.
	 */
	if (block + BLOCK_PAGES > memory->gfn_count)
		return 0;
	nested_lookup(memory, frame, &level);
	if (level >= 3 && restartable && memory->layout->huge &&
		huge + HUGE_PAGES <= memory->gfn_count)
		return HUGE_ORDER;
	return level >= 2 ? BLOCK_ORDER : 0;
}

static void scrub(mfn_t first, u64 pages)
{
	u8 *page = mfn_to_ptr(first);

	for (u64 i = 0; i < pages; i++)
		arch_clear_page(page + i * PAGE_SIZE);
}

/* Maps 2^order frames and enters them in the gfn table. LOCK_MEMORY is held. */
static int enter_frames(struct memory *memory, u64 base, mfn_t host, unsigned order)
{
	int error = nested_map(memory, base, host, 1 + order / 9);

	if (error)
		return error;
	for (u64 i = 0; i < 1UL << order; i++)
		WRITE_ONCE(memory->gfns[base + i], mfn_to_hpa(mfn(host.raw + i)).raw | GFN_RAM);
	memory->populated_pages += 1UL << order;
	return 0;
}

void memory_abandon_huge(struct memory *memory)
{
	struct huge_page *huge = &memory->huge;

	if (!huge->active || huge->next != huge->done)
		return;
	huge->active = false;
	for (u64 i = 0; i < HUGE_PAGES; i += BLOCK_PAGES)
		frame_free(mfn(huge->frame.raw + i), BLOCK_ORDER);
}

/* One page of 2^order frames around @frame; -EBUSY if another CPU was faster. */
static int populate_page(struct vm *vm, u64 frame, unsigned order)
{
	struct memory *memory = &vm->memory;
	u64 base = frame >> order << order;
	mfn_t host = guest_frame_alloc(vm, order);
	int error;

	if (mfn_is_none(host))
		return -SLUICE_ENOMEM;
	scrub(host, 1UL << order);
	spin_lock(&memory->lock);
	error = enter_frames(memory, base, host, order);
	if (unlikely(memory->huge.active) && frame - memory->huge.base < HUGE_PAGES)
		memory_abandon_huge(memory);
	spin_unlock(&memory->lock);
	if (error)
		frame_free(host, order);
	return error;
}

/* Whether nothing, not even a table, stands where the 1 GiB page at @base goes. */
static bool huge_fits(const struct memory *memory, u64 base)
{
	unsigned level;
	const u64 *entry = nested_lookup(memory, base, &level);

	return level >= 3 && !(*entry & memory->layout->present);
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
		enter_frames(memory, huge->base, huge->frame, HUGE_ORDER) == 0)
		huge->active = false;
	else if (huge->done == BLOCK_PAGES || !huge_fits(memory, huge->base))
		memory_abandon_huge(memory);
	spin_unlock(&memory->lock);
}

/* One step towards a 1 GiB page around @frame; false if it is not to be had. */
static bool populate_huge(struct vm *vm, u64 frame)
{
	u64 part;

	if (!huge_claim(vm, frame & ~(HUGE_PAGES - 1), &part))
		return false;
	if (part < HUGE_PAGES) {
		scrub(mfn(vm->memory.huge.frame.raw + part), BLOCK_PAGES);
		huge_finish(&vm->memory);
	}
	return true;
}

int memory_populate(struct vm *vm, u64 frame, bool restartable)
{
	struct memory *memory = &vm->memory;
	unsigned order;
	int error;

	do {
		u64 state = READ_ONCE(memory->gfns[frame]) & GFN_STATE;

		if (state != GFN_UNPOPULATED)
			return state == GFN_RAM ? 0 : -SLUICE_EFAULT;
		if (populate_small(vm, frame))
			return 0;
		order = largest_order(memory, frame, restartable);
		if (order == HUGE_ORDER) {
			if (populate_huge(vm, frame))
				return 0;
			order = BLOCK_ORDER;
		}
		error = populate_page(vm, frame, order);
		if (error == -SLUICE_ENOMEM && order > 0)
			error = populate_page(vm, frame, 0);
	} while (error == -SLUICE_EBUSY);
	return error;
}
