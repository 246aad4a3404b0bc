/*
 * Who gives the next frame. Guests and the tmem pool have all that is free but the reserve, or what
 * the manifest lets them have together: of that the pool has what guests do not claim. Beyond it
 * the pool gives ephemeral pages, and guests give volatile ones: for a guest the pool gives first,
 * as long as it has more than it wants; a pool that asked in vain gets from volatile pages that
 * nobody uses, tick by tick, until it has as much as one of the guests who have such.
 *
 * The reserve is kept full as long as that is possible, since the hypervisor's own allocations
 * cannot reclaim; a guest above its entitlement never gets the last half of it, one that has all
 * that it should have and does not listen nothing, and none the last frames.
 */
#include "kernel/core/frame.h"
#include "kernel/vm/limbo.h"
#include "kernel/vm/memory.h"
#include "kernel/vm/memory_volatile.h"
#include "kernel/vm/tmem_port.h"
#include "kernel/vm/vm.h"

/* The most pages one call takes back: its work is bounded. */
#define RECLAIM_PAGES 32

/* Calls of tmem_reclaim() in a tick when the pool shrinks: 8 MiB. */
#define SHRINK_CALLS 64

/* Frames that no guest gets, so that there are tables for what guests give back. */
#define TABLES_KEPT 64

/* By how many a guest may exceed what all may have together, while frames are on their way. */
#define EXCESS_MAX (2 * DISCARD_PAGES)

/* So many pages the pool may always have, and so many more it gets in a tick: 1 MiB. */
#define POOL_STEP 256UL

static u64 together = ~0UL;         /* pages of guests and pool, as the manifest says */
static u64 pool_most = ~0UL;        /* frames that the pool may have, by the last tick */
static u64 pool_wanted = POOL_STEP; /* volatile pages go before the pool has less */
static bool pool_asked;             /* in vain, since the last tick */

void memory_set_together(u64 pages)
{
	together = pages;
	pool_most = pages;
	pool_wanted = POOL_STEP;
}

/* ---- How much there is ----------------------------------------------------------------------
 */

static u64 pages_taken(void)
{
	return frames_of_class(FRAME_GUEST) + frames_of_class(FRAME_TMEM);
}

/* What @vm has or may take at any time: it is kept to its balloon's target, or by discards to what
 * it has. */
static u64 kept_for(const struct vm *vm)
{
	const struct memory *memory = &vm->memory;
	u64 has = READ_ONCE(memory->populated_pages), asked = READ_ONCE(memory->asked_pages);

	if (READ_ONCE(memory->volatiles.active))
		return has;
	return asked == ~0UL ? memory->ram_pages - READ_ONCE(memory->ballooned_pages)
			     : MAX(has, asked);
}

/* By how many pages @vm, or the pool if NULL, exceeds what all may have together; negative where
 * there is room. */
static s64 excess(const struct vm *vm)
{
	if (together == ~0UL ||
		(vm && !READ_ONCE(vm->memory.volatiles.active) && !memory_is_over(vm)))
		return -(s64)frames_total();
	if (!vm)
		return (s64)(frames_of_class(FRAME_TMEM) - READ_ONCE(pool_most));
	return (s64)(pages_taken() - together);
}

/* Pages that those who have volatile ones leave to the pool. */
static u64 pool_lacks(const struct vm *vm)
{
	u64 has = frames_of_class(FRAME_TMEM);

	if (!tmem_store || has >= pool_wanted || (vm && !READ_ONCE(vm->memory.volatiles.active)))
		return 0;
	return pool_wanted - has;
}

static bool has_room(const struct vm *vm, u64 pages)
{
	return frames_free() >= frames_reserve() + pages && excess(vm) + (s64)pages <= 0;
}

bool pool_has_room(void)
{
	return has_room(NULL, 1);
}

bool guest_has_room(const struct vm *vm, u64 pages)
{
	return has_room(vm, pages + pool_lacks(vm));
}

bool memory_frames_suffice(const struct vm *vm, u64 coming)
{
	u64 lacks = pool_lacks(vm);

	return frames_free() + limbo_frames() + coming > frames_reserve() + lacks &&
	       excess(vm) + (s64)lacks < (s64)coming;
}

/* ---- The pool ------------------------------------------------------------------------------- */

mfn_t pool_frame_alloc(unsigned order)
{
	u64 pages = 1UL << order;
	mfn_t first = MFN_NONE;

	if (excess(NULL) + (s64)pages <= 0 || frames_of_class(FRAME_TMEM) + pages <= POOL_STEP)
		first = frame_alloc(FRAME_TMEM, order, 0);
	if (mfn_is_none(first) && order == 0)
		WRITE_ONCE(pool_asked, true);
	return first;
}

/* To what guests leave of what is there for all. The pool's metadata come on top of it, as do
 * guests' tables. */
static void limit_pool(void)
{
	u64 left = together;
	struct tmem_stats stats;
	struct vm *vm;

	for_each_vm (vm)
		if (!vm_is_stopped(vm))
			left -= MIN(left, kept_for(vm));
	tmem_stats(tmem_store, &stats);
	WRITE_ONCE(pool_most, left + stats.metadata_bytes / PAGE_SIZE);
}

/* The pool as one more of those who have volatile pages. */
static u64 fair_part(void)
{
	return pages_taken() / (memory_discard_guests() + 1);
}

static void shrink_pool(void)
{
	void *taken[RECLAIM_PAGES];

	for (unsigned call = 0; call < SHRINK_CALLS; call++) {
		unsigned count = 0;

		if (excess(NULL) > 0 && frames_of_class(FRAME_TMEM) > POOL_STEP)
			count = tmem_reclaim(tmem_store, taken, RECLAIM_PAGES);
		if (count == 0)
			return;
		for (unsigned i = 0; i < count; i++)
			frame_free(ptr_to_mfn(taken[i]), 0);
	}
}

COLD void pool_tick(void)
{
	bool asked;

	if (!tmem_store)
		return;
	if (together != ~0UL)
		limit_pool();
	asked = __atomic_exchange_n(&pool_asked, false, __ATOMIC_RELAXED) &&
		memory_discard_guests() > 0;
	pool_wanted = POOL_STEP + (asked ? MIN(frames_of_class(FRAME_TMEM), fair_part()) : 0);
	shrink_pool();
	if (asked)
		memory_discard(NULL);
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

/* ---- Guests --------------------------------------------------------------------------------- */

/* Frames that stay for tables whatever a guest gets in advance. */
static u64 last_frames(void)
{
	return MIN(frames_reserve() / 16, (u64)TABLES_KEPT / 2);
}

u64 guest_frame_floor(const struct vm *vm)
{
	if (memory_is_entitled(vm))
		return 2 * last_frames();
	return memory_is_over(vm) ? frames_reserve() : frames_reserve() / 2;
}

bool guest_has_its_share(const struct vm *vm)
{
	return frames_free() > guest_frame_floor(vm) &&
	       (excess(vm) < (s64)EXCESS_MAX || memory_is_entitled(vm));
}

bool guest_may_have_frame(const struct vm *vm)
{
	return guest_has_its_share(vm) || (memory_has_advance(vm) && frames_free() > last_frames());
}

/* What is nobody's, the reserve included. */
static mfn_t take_free(struct vm *vm)
{
	bool in_advance = !guest_has_its_share(vm);
	mfn_t frame = MFN_NONE;

	if (guest_may_have_frame(vm))
		frame = frame_alloc(FRAME_GUEST, 0, vm->id);
	if (in_advance && !mfn_is_none(frame))
		memory_advance(vm);
	return frame;
}

mfn_t guest_frame_alloc(struct vm *vm, unsigned order)
{
	mfn_t frame = MFN_NONE;
	bool pool_keeps;

	if (guest_has_room(vm, 1UL << order))
		frame = frame_alloc(FRAME_GUEST, order, vm->id);
	/* A block is not put together page by page: the caller takes single frames. */
	if (!mfn_is_none(frame) || order > 0)
		return frame;
	/* What is discarded comes when all CPUs have passed; until then the reserve serves. */
	pool_keeps = frames_of_class(FRAME_TMEM) <= pool_wanted;
	if (pool_keeps && !memory_is_over(vm))
		memory_discard(vm);
	if (!pool_keeps || !memory_discards_are_under_way())
		frame = reclaim_frame(vm);
	if (!mfn_is_none(frame))
		return frame;
	if (!pool_keeps && !memory_is_over(vm))
		memory_discard(vm);
	return take_free(vm);
}
