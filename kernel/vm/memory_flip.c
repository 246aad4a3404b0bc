/*
 * Exchanging the frame behind a guest's page (memory_flip.h). The frame must not change hands while
 * somebody can write it. The guest's only vCPU is here, and flushes before it runs again, so with
 * one vCPU nobody can: the leaf is simply replaced. With several, the page is unmapped first and is
 * GFN_MOVING; the vCPU comes again until every CPU has passed the epoch that began then, and the
 * new frame is mapped where nothing was. Who wants the page meanwhile calls that off. LOCK_MEMORY
 * guards all of it.
 */
#include "kernel/vm/memory_flip.h"

#include <abi/errno.h>
#include <abi/platform.h>

#include "kernel/core/frame.h"
#include "kernel/core/percpu.h"
#include "kernel/vm/limbo.h"
#include "kernel/vm/memory_collapse.h"
#include "kernel/vm/memory_nested.h"
#include "kernel/vm/memory_populate.h"

/* Blocks of 2 MiB split in one call. */
#define SPLIT_AT_ONCE 4

/* ---- Ranges ------------------------------------------------------------------------- */

static struct flip_range *find_range(struct flip *flip, u64 first, u64 end)
{
	for (u32 i = 0; i < flip->range_count; i++)
		if (flip->ranges[i].first == first && flip->ranges[i].end == end)
			return &flip->ranges[i];
	return NULL;
}

static COLD void remove_range(struct memory *memory, struct flip_range *range)
{
	struct flip *flip = &memory->flip;

	memory_flip_call_off(memory, range->first, range->end - range->first);
	*range = flip->ranges[flip->range_count - 1];
	WRITE_ONCE(flip->range_count, flip->range_count - 1);
}

/* What makes larger pages of smaller ones must not be at work there. -EAGAIN if it cannot be called
 * off now. */
static COLD int keep_small(struct memory *memory, u64 first, u64 pages)
{
	const struct collapse *collapse = &memory->collapse;
	const struct huge_page *huge = &memory->huge;

	if (collapse->active && collapse->base < first + pages &&
		first < collapse->base + BLOCK_PAGES)
		memory_collapse_cancel(memory);
	if (!huge->active || huge->base >= first + pages || first >= huge->base + HUGE_PAGES)
		return 0;
	memory_abandon_huge(memory);
	return huge->active ? -SLUICE_EAGAIN : 0;
}

static COLD int split_step(struct memory *memory, struct flip_range *range)
{
	for (u32 i = 0; i < SPLIT_AT_ONCE && range->split < range->end; i++) {
		int error = nested_split(memory, range->split, 1);

		if (error)
			return error;
		range->split = MIN(
			(range->split & ~(u64)(BLOCK_PAGES - 1)) + BLOCK_PAGES, range->end);
	}
	return range->split < range->end ? -SLUICE_EAGAIN : 0;
}

static int declare(struct memory *memory, u64 first, u64 end)
{
	struct flip *flip = &memory->flip;
	struct flip_range *range = find_range(flip, first, end);
	int error;

	/* Found, and not all split: this call comes again. */
	if (!range) {
		if (memory_flips(memory, first, end - first))
			return -SLUICE_EINVAL;
		if (flip->range_count == FLIP_RANGES)
			return -SLUICE_ENOSPC;
		error = keep_small(memory, first, end - first);
		if (error)
			return error;
		range = &flip->ranges[flip->range_count];
		*range = (struct flip_range){.first = first, .end = end, .split = first};
		__atomic_store_n(&flip->range_count, flip->range_count + 1, __ATOMIC_RELEASE);
	} else if (range->split == end) {
		return -SLUICE_EINVAL;
	}
	error = split_step(memory, range);
	if (error && error != -SLUICE_EAGAIN)
		remove_range(memory, range);
	return error;
}

/* The hole starts and ends on multiples of 1 GiB. */
static bool is_ram(const struct memory *memory, u64 first, u64 pages)
{
	if (first >= memory->gfn_count || pages > memory->gfn_count - first)
		return false;
	return first + pages <= PLATFORM_HOLE_START >> PAGE_SHIFT ||
	       first >= PLATFORM_HOLE_END >> PAGE_SHIFT;
}

COLD int memory_flip_declare(struct vm *vm, u64 first, u64 pages)
{
	struct memory *memory = &vm->memory;
	int error;

	if (!pages)
		return -SLUICE_EINVAL;
	if (!is_ram(memory, first, pages))
		return -SLUICE_EFAULT;
	spin_lock(&memory->lock);
	error = declare(memory, first, first + pages);
	spin_unlock(&memory->lock);
	return error;
}

COLD int memory_flip_undeclare(struct vm *vm, u64 first, u64 pages)
{
	struct memory *memory = &vm->memory;
	struct flip_range *range;

	spin_lock(&memory->lock);
	range = find_range(&memory->flip, first, first + pages);
	if (range)
		remove_range(memory, range);
	spin_unlock(&memory->lock);
	return range ? 0 : -SLUICE_EINVAL;
}

/* ---- The exchange ------------------------------------------------------------------- */

/* Clears the way for nobody: from now on no pin comes. */
static int claim(struct memory *memory, u64 frame, mfn_t *host)
{
	u64 *slot = &memory->gfns[frame];
	u64 entry;

	if (frame >= memory->gfn_count || !memory_flips(memory, frame, 1))
		return -SLUICE_EINVAL;
	entry = READ_ONCE(*slot);
	do {
		if ((entry & GFN_STATE) != GFN_RAM)
			return -SLUICE_EINVAL;
		if (entry >> GFN_PIN_SHIFT)
			return -SLUICE_EBUSY;
	} while (!__atomic_compare_exchange_n(slot, &entry, (entry & GFN_HPA) | GFN_MOVING, false,
		__ATOMIC_ACQ_REL, __ATOMIC_RELAXED));
	*host = hpa_to_mfn(hpa(entry & GFN_HPA));
	return 0;
}

/* A large page that was mapped just when its range was declared. */
static int make_small(struct memory *memory, u64 frame)
{
	return nested_small(memory, frame) ? 0 : nested_split(memory, frame, 1);
}

void memory_flip_exchange(struct memory *memory, u64 frame, mfn_t host)
{
	u64 *leaf = nested_small(memory, frame);
	bool stands = *leaf & memory->layout->present;
	bool changes = (memory->gfns[frame] & GFN_HPA) != mfn_to_hpa(host).raw;

	if (!stands || changes)
		nested_set_small(memory, leaf, host);
	if (stands && changes)
		__atomic_fetch_add(&memory->generation, 1, __ATOMIC_RELEASE);
	WRITE_ONCE(memory->gfns[frame], mfn_to_hpa(host).raw | GFN_RAM);
}

/* The page is as before. */
static void call_off(struct memory *memory, struct flip_pending *pending)
{
	u64 frame = pending->gfn;

	pending->active = false;
	memory->flip.pending_count--;
	memory_flip_exchange(memory, frame, hpa_to_mfn(hpa(memory->gfns[frame] & GFN_HPA)));
}

void memory_flip_call_off(struct memory *memory, u64 first, u64 pages)
{
	struct flip *flip = &memory->flip;

	for (u32 i = 0; flip->pending_count && i < VCPUS_MAX; i++) {
		struct flip_pending *pending = &flip->pending[i];

		if (!pending->active || pending->gfn - first >= pages)
			continue;
		call_off(memory, pending);
		pending->in_vain = true;
	}
}

/* Unmaps the page; who can still reach its frame will be gone when the epoch has passed. */
static u64 unmap(struct memory *memory, struct flip_pending *pending, u64 frame)
{
	nested_detach(memory, frame, 1);
	__atomic_fetch_add(&memory->generation, 1, __ATOMIC_RELEASE);
	*pending = (struct flip_pending){.active = true, .gfn = frame, .epoch = epoch_advance()};
	memory->flip.pending_count++;
	return pending->epoch;
}

/* The exchange that the vCPU began: 0 if it can be done now. */
static int go_on(struct memory *memory, struct flip_pending *pending, mfn_t *host)
{
	if (!epoch_passed(pending->epoch))
		return -SLUICE_EAGAIN;
	pending->active = false;
	memory->flip.pending_count--;
	*host = hpa_to_mfn(hpa(memory->gfns[pending->gfn] & GFN_HPA));
	return 0;
}

/* LOCK_MEMORY is held. *@epoch is set if CPUs are to be kicked. */
static int begin(struct vcpu *vcpu, u64 frame, mfn_t *host, u64 *epoch)
{
	struct memory *memory = &vcpu->vm->memory;
	struct flip_pending *pending = &memory->flip.pending[vcpu->id];
	int error;

	if (pending->active && pending->gfn == frame)
		return go_on(memory, pending, host);
	/* An interrupt came before the call was made again, and its handler makes another. */
	if (pending->active)
		call_off(memory, pending);
	if (pending->in_vain) {
		pending->in_vain = false;
		if (pending->gfn == frame)
			return -SLUICE_EINVAL;
	}
	error = claim(memory, frame, host);
	if (error)
		return error;
	if (make_small(memory, frame)) {
		WRITE_ONCE(memory->gfns[frame], mfn_to_hpa(*host).raw | GFN_RAM);
		return -SLUICE_EINVAL;
	}
	if (vcpu->vm->vcpu_count == 1)
		return 0;
	*epoch = unmap(memory, pending, frame);
	return -SLUICE_EAGAIN;
}

int memory_flip_begin(struct vcpu *vcpu, u64 frame, mfn_t *host)
{
	struct memory *memory = &vcpu->vm->memory;
	u64 epoch = 0;
	int error;

	spin_lock(&memory->lock);
	error = begin(vcpu, frame, host, &epoch);
	if (error)
		spin_unlock(&memory->lock);
	if (epoch)
		epoch_kick(epoch);
	return error;
}

bool memory_flip_is_begun(const struct vcpu *vcpu, u64 frame)
{
	const struct flip_pending *pending = &vcpu->vm->memory.flip.pending[vcpu->id];

	return READ_ONCE(pending->active) && READ_ONCE(pending->gfn) == frame;
}

/* ---- Frames kept -------------------------------------------------------------------- */

mfn_t memory_flip_take(struct memory *memory)
{
	struct flip *flip = &memory->flip;
	mfn_t host = MFN_NONE;

	flip->used = true;
	if (flip->spare_count)
		return mfn(flip->spares[--flip->spare_count]);
	if (pool_has_room())
		host = frame_alloc(FRAME_GUEST, 0, memory->owner);
	if (!mfn_is_none(host))
		memory_scrub(host, 1);
	return host;
}

void memory_flip_keep(struct memory *memory, mfn_t host)
{
	struct flip *flip = &memory->flip;

	/* The guest's own CPU may not have flushed yet. */
	if (flip->spare_count == FLIP_SPARES)
		limbo_add(host, 0, FRAME_GUEST, epoch_advance());
	else
		flip->spares[flip->spare_count++] = (u32)host.raw;
}

static void give_up_spares(struct memory *memory)
{
	struct flip *flip = &memory->flip;

	while (flip->spare_count)
		limbo_add(mfn(flip->spares[--flip->spare_count]), 0, FRAME_GUEST, epoch_advance());
}

COLD void memory_flip_tick(struct vm *vm)
{
	struct memory *memory = &vm->memory;

	if (likely(!READ_ONCE(memory->flip.spare_count)))
		return;
	spin_lock(&memory->lock);
	if (!memory->flip.used || frames_free() <= frames_reserve())
		give_up_spares(memory);
	memory->flip.used = false;
	spin_unlock(&memory->lock);
}

COLD void memory_flip_destroy(struct memory *memory)
{
	memory_flip_call_off(memory, 0, memory->gfn_count);
	give_up_spares(memory);
}
