/*
 * Taking frames away from a guest: one, or a whole 2 MiB block. The order matters (docs/memory.md,
 * "Quiescence"): the entries go, the generation is bumped, then the epoch begins that every CPU
 * must pass before a frame is free.
 */
#include "kernel/vm/memory_remove.h"

#include <abi/errno.h>

#include "kernel/core/bug.h"
#include "kernel/core/percpu.h"
#include "kernel/vm/memory_collapse.h"
#include "kernel/vm/memory_flip.h"
#include "kernel/vm/memory_nested.h"
#include "kernel/vm/memory_populate.h"
#include "kernel/vm/memory_volatile.h"

/* Whether the frame behind @entry, if any, can be taken. */
static int check_removable(const struct memory *memory, u64 entry, bool populated)
{
	if ((entry & GFN_STATE) == GFN_RAM)
		return entry >> GFN_PIN_SHIFT ? -SLUICE_EBUSY : 0;
	if (populated || (entry & GFN_STATE) == GFN_MMIO)
		return -SLUICE_EFAULT;
	return memory_is_open(memory, entry) || entry == GFN_DISCARDED ? 0 : -SLUICE_EINVAL;
}

static int check_range(const struct memory *memory, u64 base, u64 pages, bool populated)
{
	for (u64 frame = base; frame < base + pages; frame++) {
		int error = check_removable(memory, READ_ONCE(memory->gfns[frame]), populated);

		if (error)
			return error;
	}
	return 0;
}

/* What the entries were that became something else. */
struct cleared {
	u64 populated, reported, discarded;
};

/* Takes back what clear_entries() did to pages with frames in [base, end): the nested tables still
 * know the frames. */
static void restore_entries(struct memory *memory, u64 base, u64 end)
{
	for (u64 frame = base; frame < end; frame++) {
		unsigned level;
		u64 leaf = *nested_lookup(memory, frame, &level);

		if (leaf & memory->layout->present)
			WRITE_ONCE(memory->gfns[frame],
				((leaf & NESTED_HPA) +
					((frame & (nested_span(level) - 1)) << PAGE_SHIFT)) |
					GFN_RAM);
	}
}

/* All entries become @to, unless somebody pins one at this moment: then none does. */
static int clear_entries(
	struct memory *memory, u64 base, u64 pages, u64 to, struct cleared *cleared)
{
	for (u64 frame = base; frame < base + pages; frame++) {
		u64 *slot = &memory->gfns[frame];
		u64 entry = READ_ONCE(*slot);

		cleared->reported += entry == GFN_REPORTED;
		cleared->discarded += entry == GFN_DISCARDED;
		if ((entry & GFN_STATE) != GFN_RAM)
			continue;
		while (!(entry >> GFN_PIN_SHIFT) &&
			!__atomic_compare_exchange_n(
				slot, &entry, to, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
			;
		if (entry >> GFN_PIN_SHIFT) {
			restore_entries(memory, base, frame);
			return -SLUICE_EBUSY;
		}
		cleared->populated++;
	}
	/* Without a frame nobody can pin them. */
	for (u64 frame = base; frame < base + pages; frame++)
		WRITE_ONCE(memory->gfns[frame], to);
	return 0;
}

static int remove_locked(struct memory *memory, u64 base, unsigned order, u64 to, bool populated)
{
	struct cleared cleared = {0};
	unsigned level = 1 + order / 9;
	u64 pages = 1UL << order, old;
	int error;

	error = check_range(memory, base, pages, populated);
	if (!error)
		error = nested_split(memory, base, level);
	if (!error)
		error = clear_entries(memory, base, pages, to, &cleared);
	if (error)
		return error;
	memory->populated_pages -= cleared.populated;
	memory->reported_pages -= cleared.reported;
	memory->discarded_pages -= cleared.discarded;
	old = nested_detach(memory, base, level);
	/* An empty table goes as well: processors may remember it. */
	if (old & memory->layout->present) {
		__atomic_fetch_add(&memory->generation, 1, __ATOMIC_RELEASE);
		nested_release(memory, old, level, epoch_advance());
	}
	return 0;
}

int memory_take_away(struct vm *vm, gfn_t first, unsigned order, u64 to, bool populated)
{
	struct memory *memory = &vm->memory;
	u64 pages = 1UL << order, had;
	int error;

	ASSERT((order == 0 || order == BLOCK_ORDER) && first.raw % pages == 0);
	if (first.raw >= memory->gfn_count || pages > memory->gfn_count - first.raw)
		return -SLUICE_EFAULT;
	spin_lock(&memory->lock);
	had = memory->populated_pages;
	if (unlikely(memory->collapse.active) && first.raw < memory->collapse.base + BLOCK_PAGES &&
		memory->collapse.base < first.raw + pages)
		memory_collapse_cancel(memory);
	/* None is mapped beside a balloon. If a CPU scrubs at it now, that one gives it up. */
	if (unlikely(memory->huge.active) &&
		((to & GFN_STATE) == GFN_BALLOONED || first.raw - memory->huge.base < HUGE_PAGES))
		memory_abandon_huge(memory);
	memory_flip_call_off(memory, first.raw, pages);
	if (unlikely(memory->discards.count))
		memory_discard_cancel(memory, first.raw, pages);
	error = remove_locked(memory, first.raw, order, to, populated);
	if (!error && (to & GFN_STATE) == GFN_BALLOONED)
		memory->ballooned_pages += pages;
	if (!error && to == GFN_REPORTED)
		memory->reported_pages += pages;
	memory_gave(memory, had - memory->populated_pages);
	spin_unlock(&memory->lock);
	return error;
}

int memory_remove(struct vm *vm, gfn_t frame)
{
	return memory_take_away(vm, frame, 0, GFN_UNPOPULATED, true);
}
