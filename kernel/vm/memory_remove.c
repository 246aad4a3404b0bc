/*
 * Taking one frame away from a guest. The order matters (docs/memory.md, "Quiescence"): the entry
 * goes, the generation is bumped, then the epoch begins that every CPU must pass before the frame
 * is free.
 */
#include <abi/errno.h>

#include "kernel/core/percpu.h"
#include "kernel/vm/limbo.h"
#include "kernel/vm/memory_nested.h"
#include "kernel/vm/vm.h"

static int check_removable(u64 entry)
{
	if ((entry & GFN_STATE) != GFN_RAM)
		return -SLUICE_EFAULT;
	return entry >> GFN_PIN_SHIFT ? -SLUICE_EBUSY : 0;
}

/* Clears the gfn entry if nobody pinned it; the old value in @entry. */
static int clear_gfn(u64 *slot, u64 *entry)
{
	int error;

	do {
		*entry = READ_ONCE(*slot);
		error = check_removable(*entry);
		if (error)
			return error;
	} while (!__atomic_compare_exchange_n(
		slot, entry, GFN_UNPOPULATED, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED));
	return 0;
}

int memory_remove(struct vm *vm, gfn_t frame)
{
	struct memory *memory = &vm->memory;
	u64 entry = 0;
	int error;

	if (frame.raw >= memory->gfn_count)
		return -SLUICE_EFAULT;
	spin_lock(&memory->lock);
	error = check_removable(READ_ONCE(memory->gfns[frame.raw]));
	if (!error)
		error = nested_split(memory, frame.raw);
	if (!error)
		error = clear_gfn(&memory->gfns[frame.raw], &entry);
	if (!error) {
		nested_clear(memory, frame.raw);
		memory->populated_pages--;
		__atomic_fetch_add(&memory->generation, 1, __ATOMIC_RELEASE);
	}
	spin_unlock(&memory->lock);
	if (!error)
		limbo_add(hpa_to_mfn(hpa(entry & GFN_HPA)), 0, FRAME_GUEST, epoch_advance());
	return error;
}
