/*
 * Large pages come back: where all 512 small pages of a block are populated and none is pinned,
 * they are copied into a fresh block. First they are unmapped, by the one entry over their table,
 * and made GFN_MOVING, so that neither the guest nor a service gets at them; when every CPU has
 * passed the epoch that began then, nobody can write them, and the copy is theirs. Until it is done
 * it can be called off at any time: the table is still whole. One block a VM is under way;
 * LOCK_MEMORY guards it and is held during the copy.
 */
#include "kernel/vm/memory_collapse.h"

#include <abi/errno.h>

#include "kernel/core/frame.h"
#include "kernel/core/percpu.h"
#include "kernel/vm/memory_flip.h"
#include "kernel/vm/memory_nested.h"
#include "kernel/vm/memory_populate.h"

/* Blocks looked at in one call. */
#define LOOK_MAX 16

/* Frames that stay free beside the reserve, so that a copy takes nothing from anybody. */
#define SPARE_FRAMES BLOCK_PAGES

/* Whether the block at @base is in small pages, all there and none pinned. A first look is taken
 * without the lock. */
static bool is_candidate(const struct memory *memory, u64 base)
{
	unsigned level;

	nested_lookup(memory, base, &level);
	if (level != 1 || memory_flips(memory, base, BLOCK_PAGES))
		return false;
	for (u64 frame = base; frame < base + BLOCK_PAGES; frame++) {
		u64 entry = READ_ONCE(memory->gfns[frame]);

		if ((entry & GFN_STATE) != GFN_RAM || entry >> GFN_PIN_SHIFT)
			return false;
	}
	return true;
}

static void change_state(struct memory *memory, u64 from, u64 end, enum gfn_state state)
{
	for (u64 frame = from; frame < end; frame++)
		WRITE_ONCE(memory->gfns[frame], (memory->gfns[frame] & GFN_HPA) | state);
}

/* All entries become GFN_MOVING, unless somebody pins one meanwhile. */
static bool begin_moving(struct memory *memory, u64 base)
{
	for (u64 frame = base; frame < base + BLOCK_PAGES; frame++) {
		u64 *slot = &memory->gfns[frame], entry = READ_ONCE(*slot);

		if (entry >> GFN_PIN_SHIFT ||
			!__atomic_compare_exchange_n(slot, &entry, (entry & GFN_HPA) | GFN_MOVING,
				false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED)) {
			change_state(memory, base, frame, GFN_RAM);
			return false;
		}
	}
	return true;
}

static void start(struct vm *vm, u64 base)
{
	struct memory *memory = &vm->memory;
	struct collapse *collapse = &memory->collapse;
	mfn_t block = guest_frame_alloc(vm, BLOCK_ORDER);
	u64 epoch;

	if (mfn_is_none(block))
		return;
	spin_lock(&memory->lock);
	if (!is_candidate(memory, base) || !begin_moving(memory, base)) {
		spin_unlock(&memory->lock);
		frame_free(block, BLOCK_ORDER);
		return;
	}
	collapse->table = nested_detach(memory, base, 2);
	__atomic_fetch_add(&memory->generation, 1, __ATOMIC_RELEASE);
	collapse->base = base;
	collapse->block = block;
	collapse->epoch = epoch = epoch_advance();
	collapse->active = true;
	spin_unlock(&memory->lock);
	epoch_kick(epoch);
}

/* LOCK_MEMORY is held, and the epoch has passed. */
static void finish(struct memory *memory)
{
	struct collapse *collapse = &memory->collapse;
	u8 *to = mfn_to_ptr(collapse->block);

	for (u64 i = 0; i < BLOCK_PAGES; i++)
		arch_copy_page(to + i * PAGE_SIZE,
			hpa_to_ptr(hpa(memory->gfns[collapse->base + i] & GFN_HPA)));
	/* The entry over the block is empty and all tables above it are there: it cannot fail. */
	if (nested_map(memory, collapse->base, collapse->block, 2)) {
		memory_collapse_cancel(memory);
		return;
	}
	for (u64 i = 0; i < BLOCK_PAGES; i++)
		WRITE_ONCE(memory->gfns[collapse->base + i],
			mfn_to_hpa(mfn(collapse->block.raw + i)).raw | GFN_RAM);
	nested_release(memory, collapse->table, 2, epoch_advance());
	collapse->active = false;
	memory->collapsed++;
}

void memory_collapse_cancel(struct memory *memory)
{
	struct collapse *collapse = &memory->collapse;

	if (!collapse->active)
		return;
	change_state(memory, collapse->base, collapse->base + BLOCK_PAGES, GFN_RAM);
	nested_attach(memory, collapse->base, 2, collapse->table);
	frame_free(collapse->block, BLOCK_ORDER);
	collapse->active = false;
}

bool memory_collapse_touch(struct vm *vm, u64 frame, bool restartable)
{
	struct memory *memory = &vm->memory;
	bool again = false;

	spin_lock(&memory->lock);
	memory_flip_call_off(memory, frame, 1);
	if ((memory->gfns[frame] & GFN_STATE) == GFN_MOVING) {
		if (epoch_passed(memory->collapse.epoch))
			finish(memory);
		else if (restartable)
			again = true;
		else
			memory_collapse_cancel(memory);
	}
	spin_unlock(&memory->lock);
	return again;
}

/* Whether all that is populated is in large pages already. */
static bool is_all_large(const struct memory *memory)
{
	return memory->populated_pages ==
	       memory->large_pages * BLOCK_PAGES + memory->huge_pages * HUGE_PAGES;
}

void memory_collapse_tick(struct vm *vm)
{
	struct memory *memory = &vm->memory;
	struct collapse *collapse = &memory->collapse;

	if (!memory->gfns || vm_is_stopped(vm))
		return;
	if (READ_ONCE(collapse->active)) {
		memory_collapse_touch(vm, collapse->base, true);
		return;
	}
	if (is_all_large(memory) || frames_free() < frames_reserve() + BLOCK_PAGES + SPARE_FRAMES)
		return;
	for (unsigned i = 0; i < LOOK_MAX; i++) {
		u64 base = collapse->next;

		if (base + BLOCK_PAGES > memory->gfn_count)
			base = 0;
		collapse->next = base + BLOCK_PAGES;
		if (base + BLOCK_PAGES <= memory->gfn_count && is_candidate(memory, base)) {
			start(vm, base);
			return;
		}
	}
}
