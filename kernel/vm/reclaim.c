/*
 * Frames for guests, and the one point where tmem's ephemeral pages are taken back for them, and
 * guests' volatile pages discarded. The
 * reserve is kept full as long as that is possible, since the hypervisor's own allocations cannot
 * reclaim; a guest above its entitlement never gets the last half of it, and none the last frames.
 */
#include "kernel/core/frame.h"
#include "kernel/vm/memory.h"
#include "kernel/vm/memory_volatile.h"
#include "kernel/vm/tmem_port.h"
#include "kernel/vm/vm.h"

/* The most pages one call takes back: its work is bounded. */
#define RECLAIM_PAGES 32

/* Frames that no guest gets, so that there are tables for what guests give back. */
#define TABLES_KEPT 64

/* By how many a guest may exceed what all may have together, while frames are on their way. */
#define EXCESS_MAX (2 * DISCARD_PAGES)

static u64 together = ~0UL;

void memory_set_together(u64 pages)
{
	together = pages;
}

s64 guest_frames_excess(const struct vm *vm)
{
	u64 taken = frames_of_class(FRAME_GUEST) + frames_of_class(FRAME_TMEM);

	if (!READ_ONCE(vm->memory.volatiles.active) || together == ~0UL)
		return -(s64)frames_total();
	return (s64)(taken - together);
}

/* One frame out of tmem; what came with it goes to the allocator. */
static mfn_t reclaim_frame(const struct vm *vm)
{
	void *pages[RECLAIM_PAGES];
	unsigned count;
	mfn_t frame;

	if (!tmem_store)
		return MFN_NONE;
	count = tmem_reclaim(tmem_store, pages, RECLAIM_PAGES);
	if (count == 0)
		return MFN_NONE;
	frame = ptr_to_mfn(pages[0]);
	frame_change_class(frame, FRAME_TMEM, FRAME_GUEST, vm->id);
	for (unsigned i = 1; i < count; i++)
		frame_free(ptr_to_mfn(pages[i]), 0);
	return frame;
}

/* Calls of tmem_reclaim() when the pool shrinks: 8 MiB at a time. */
#define SHRINK_CALLS 64

void pool_limit(u64 pages)
{
	void *taken[RECLAIM_PAGES];
	struct tmem_stats stats;

	if (!tmem_store)
		return;
	tmem_set_max(tmem_store, pages);
	tmem_stats(tmem_store, &stats);
	for (unsigned call = 0; call < SHRINK_CALLS && stats.frames > pages; call++) {
		unsigned count = tmem_reclaim(tmem_store, taken, RECLAIM_PAGES);

		if (count == 0)
			break;
		for (unsigned i = 0; i < count; i++)
			frame_free(ptr_to_mfn(taken[i]), 0);
		tmem_stats(tmem_store, &stats);
	}
}

u64 guest_frame_floor(const struct vm *vm)
{
	u64 reserve = frames_reserve();

	if (memory_is_entitled(vm))
		return MIN(reserve / 8, (u64)TABLES_KEPT);
	/* A guest that is to give memory back must not wait in its driver's way. */
	if (vm->memory.ram_pages - vm->memory.ballooned_pages > READ_ONCE(vm->memory.asked_pages))
		return MIN(reserve / 16, (u64)TABLES_KEPT / 2);
	return reserve / 2;
}

bool guest_may_have_frame(const struct vm *vm)
{
	return frames_free() > guest_frame_floor(vm) &&
	       (guest_frames_excess(vm) < (s64)EXCESS_MAX || memory_is_entitled(vm));
}

mfn_t guest_frame_alloc(struct vm *vm, unsigned order)
{
	mfn_t frame;

	if (frames_free() >= frames_reserve() + (1UL << order) &&
		guest_frames_excess(vm) + (s64)(1UL << order) <= 0) {
		frame = frame_alloc(FRAME_GUEST, order, vm->id);
		if (!mfn_is_none(frame))
			return frame;
	}
	/* A block is not put together page by page: the caller takes single frames. */
	if (order > 0)
		return MFN_NONE;
	frame = reclaim_frame(vm);
	if (!mfn_is_none(frame))
		return frame;
	/* These come when all CPUs have passed; until then the reserve serves. */
	memory_discard(vm);
	if (!guest_may_have_frame(vm))
		return MFN_NONE;
	return frame_alloc(FRAME_GUEST, 0, vm->id);
}
