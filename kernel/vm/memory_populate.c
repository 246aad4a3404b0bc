/*
 * Lazy population: a guest's RAM gets its frames when it is first touched, scrubbed, in the largest
 * naturally aligned page that its RAM and the free memory allow. Frames are taken and scrubbed
 * before LOCK_MEMORY; whoever comes second finds the entry taken, gives back and looks again.
 */
#include "kernel/vm/memory_populate.h"

#include <abi/errno.h>

#include "kernel/core/frame.h"
#include "kernel/vm/memory_collapse.h"
#include "kernel/vm/memory_flip.h"
#include "kernel/vm/memory_nested.h"
#include "kernel/vm/memory_volatile.h"

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

	if (frames_free() <= frames_reserve() ||
		unlikely((memory->volatiles.active ||
				 memory->populated_pages >= memory->asked_pages) &&
			 !guest_has_room(vm, 1)))
		return false;
	spin_lock(&memory->lock);
	entry = nested_small(memory, frame);
	/* Reported pages take the long way, which counts them; ballooned ones are refused there. */
	if (likely(entry && memory->gfns[frame] == GFN_UNPOPULATED))
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
	if (block + BLOCK_PAGES > memory->gfn_count || memory_flips(memory, block, BLOCK_PAGES))
		return 0;
	nested_lookup(memory, frame, &level);
	if (level >= 3 && restartable && memory->layout->huge && !memory->ballooned_pages &&
		huge + HUGE_PAGES <= memory->gfn_count && !memory_flips(memory, huge, HUGE_PAGES))
		return HUGE_ORDER;
	return level >= 2 ? BLOCK_ORDER : 0;
}

void memory_scrub(mfn_t first, u64 pages)
{
	u8 *page = mfn_to_ptr(first);

	for (u64 i = 0; i < pages; i++)
		arch_clear_page(page + i * PAGE_SIZE);
}

/* Whether all of these are to be populated by a touch; *reported of them were reported free. */
static int check_open(const struct memory *memory, u64 base, unsigned order, u64 *reported)
{
	for (u64 frame = base; frame < base + (1UL << order); frame++) {
		u64 entry = memory->gfns[frame];

		if (!memory_is_open(memory, entry))
			return order && (entry & GFN_STATE) != GFN_RAM ? -SLUICE_ENOMEM
								       : -SLUICE_EBUSY;
		*reported += entry == GFN_REPORTED;
	}
	return 0;
}

int memory_enter_frames(struct memory *memory, u64 base, mfn_t host, unsigned order)
{
	u64 reported = 0;
	int error = 0;

	/* Else nested_map() finds out if another CPU was faster. */
	if (unlikely(memory->ballooned_pages || memory->reported_pages || memory->discarded_pages))
		error = check_open(memory, base, order, &reported);
	if (error)
		return error;
	error = nested_map(memory, base, host, 1 + order / 9);
	if (error)
		return error;
	memory->reported_pages -= reported;
	for (u64 i = 0; i < 1UL << order; i++)
		WRITE_ONCE(memory->gfns[base + i], mfn_to_hpa(mfn(host.raw + i)).raw | GFN_RAM);
	memory->populated_pages += 1UL << order;
	return 0;
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
	memory_scrub(host, 1UL << order);
	spin_lock(&memory->lock);
	error = memory_enter_frames(memory, base, host, order);
	if (unlikely(memory->huge.active) && frame - memory->huge.base < HUGE_PAGES)
		memory_abandon_huge(memory);
	spin_unlock(&memory->lock);
	if (error)
		frame_free(host, order);
	return error;
}

static int populate(struct vm *vm, u64 frame, bool restartable)
{
	struct memory *memory = &vm->memory;
	unsigned order;
	int error;

	do {
		u64 entry = READ_ONCE(memory->gfns[frame]);

		if (unlikely((entry & GFN_STATE) == GFN_MOVING)) {
			if (memory_collapse_touch(vm, frame, restartable))
				return 0;
			error = -SLUICE_EBUSY;
			continue;
		}
		if (unlikely((entry & GFN_STATE) == GFN_DISCARDING)) {
			memory_discard_touch(vm, frame, !restartable);
			error = -SLUICE_EBUSY;
			continue;
		}
		if (unlikely((entry & GFN_STATE) == GFN_DISCARDED)) {
			error = memory_volatile_open(vm, frame);
			if (error)
				return error;
			error = -SLUICE_EBUSY;
			continue;
		}
		if (!memory_is_open(memory, entry))
			return (entry & GFN_STATE) == GFN_RAM ? POPULATED_ALREADY : -SLUICE_EFAULT;
		order = largest_order(memory, frame, restartable);
		if (order == HUGE_ORDER) {
			if (memory_populate_huge(vm, frame))
				return 0;
			order = BLOCK_ORDER;
		}
		error = populate_page(vm, frame, order);
		if (error == -SLUICE_ENOMEM && order > 0)
			error = populate_page(vm, frame, 0);
	} while (error == -SLUICE_EBUSY);
	return error;
}

/* Every other way, and who looks for a frame in vain is noted. */
static __attribute__((noinline)) int populate_slowly(struct vm *vm, u64 frame, bool restartable)
{
	int error = populate(vm, frame, restartable);

	if (error == -SLUICE_ENOMEM)
		memory_wants(vm);
	else if (error >= 0)
		memory_got(vm);
	return error;
}

int memory_populate(struct vm *vm, u64 frame, bool restartable)
{
	if (likely(!READ_ONCE(vm->memory.is_short)) && populate_small(vm, frame))
		return 0;
	return populate_slowly(vm, frame, restartable);
}
