/*
 * What a guest's balloon does to its memory: pages go in (their frames leave, memory_remove.c) and
 * come out unpopulated; free pages are reported. The driver is hostile: what it may not name is
 * refused, and nothing has happened then. LOCK_MEMORY guards the gfn table.
 */
#include <abi/errno.h>

#include "kernel/core/bug.h"
#include "kernel/core/frame.h"
#include "kernel/vm/memory_remove.h"

/* Lives are kept where an entry has its host frame. */
#define LIFE_MASK (GFN_HPA >> PAGE_SHIFT)

int memory_inflate(struct vm *vm, gfn_t first, unsigned order)
{
	return memory_take_away(vm, first, order, memory_ballooned_entry(&vm->memory), false);
}

int memory_report(struct vm *vm, gfn_t first, unsigned order)
{
	return memory_take_away(vm, first, order, GFN_REPORTED, false);
}

static int check_ballooned(const struct memory *memory, u64 first, u64 pages)
{
	for (u64 frame = first; frame < first + pages; frame++) {
		u64 entry = memory->gfns[frame];

		if ((entry & GFN_STATE) == GFN_MMIO)
			return -SLUICE_EFAULT;
		if (entry != memory_ballooned_entry(memory))
			return -SLUICE_EINVAL;
	}
	return 0;
}

int memory_deflate(struct vm *vm, gfn_t first, unsigned order)
{
	struct memory *memory = &vm->memory;
	u64 pages = 1UL << order;
	int error;

	ASSERT(first.raw % pages == 0);
	if (first.raw >= memory->gfn_count || pages > memory->gfn_count - first.raw)
		return -SLUICE_EFAULT;
	spin_lock(&memory->lock);
	error = check_ballooned(memory, first.raw, pages);
	if (!error) {
		for (u64 i = 0; i < pages; i++)
			WRITE_ONCE(memory->gfns[first.raw + i], GFN_UNPOPULATED);
		memory->ballooned_pages -= pages;
	}
	spin_unlock(&memory->lock);
	return error;
}

void memory_balloon_forget(struct vm *vm)
{
	struct memory *memory = &vm->memory;

	spin_lock(&memory->lock);
	if (memory->ballooned_pages) {
		memory->balloon_life = (memory->balloon_life + 1) & LIFE_MASK;
		memory->ballooned_pages = 0;
	}
	spin_unlock(&memory->lock);
}
