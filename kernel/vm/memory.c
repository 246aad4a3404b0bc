/*
 * Guest-physical memory as everything above sees it: laying out a guest's RAM, faults, host
 * pointers, copies and pins. The gfn table answers where a frame stands; memory_populate.c fills
 * it, memory_nested.c keeps the processor's tables in step, memory_remove.c takes frames away.
 */
#include "kernel/vm/memory.h"

#include <abi/errno.h>
#include <abi/platform.h>
#include <string.h>

#include "kernel/core/bug.h"
#include "kernel/core/frame.h"
#include "kernel/core/percpu.h"
#include "kernel/vm/commit.h"
#include "kernel/vm/memory_collapse.h"
#include "kernel/vm/memory_flip.h"
#include "kernel/vm/memory_idle.h"
#include "kernel/vm/memory_nested.h"
#include "kernel/vm/memory_populate.h"
#include "kernel/vm/memory_ve.h"
#include "kernel/vm/memory_volatile.h"
#include "kernel/vm/vm.h"
#include "kernel/vm/window.h"

#define HOLE_START_GFN (PLATFORM_HOLE_START >> PAGE_SHIFT)
#define HOLE_END_GFN   (PLATFORM_HOLE_END >> PAGE_SHIFT)

/* Above all RAM, on a multiple of 1 GiB; 0 where four levels do not reach. */
static u64 window_place(u64 gfn_count)
{
	u64 place = ROUND_UP(MAX(gfn_count, HOLE_END_GFN), HUGE_PAGES);

	return place + WINDOWS_PAGES <= BIT(NESTED_GFN_BITS) ? place : 0;
}

static u64 table_pages(u64 gfn_count)
{
	return ROUND_UP(gfn_count * sizeof(u64), PAGE_SIZE) / PAGE_SIZE;
}

COLD int memory_create(struct vm *vm, u64 bytes, const struct nested_layout *layout)
{
	struct memory *memory = &vm->memory;
	u64 pages = bytes >> PAGE_SHIFT;
	u64 count = pages;

	if (pages > HOLE_START_GFN)
		count += HOLE_END_GFN - HOLE_START_GFN;
	if (count > BIT(NESTED_GFN_BITS))
		return -SLUICE_ENOMEM;
	*memory = (struct memory){
		.layout = layout,
		.generation = 1,
		.gfn_count = count,
		.ram_pages = pages,
		.window = window_place(count),
		.asked_pages = ~0UL,
		.owner = vm->id,
	};
	spin_lock_init(&memory->lock, LOCK_MEMORY);
	memory->gfns = hypervisor_alloc_pages(table_pages(count), vm->id);
	if (!memory->gfns)
		return -SLUICE_ENOMEM;
	if (memory_idle_create(memory))
		goto no_idle;
	if (nested_create(memory))
		goto no_root;
	commit_count_tables((s64)table_pages(count));
	if (pages > HOLE_START_GFN)
		for (u64 frame = HOLE_START_GFN; frame < HOLE_END_GFN; frame++)
			memory->gfns[frame] = GFN_MMIO;
	return 0;

no_root:
	memory_idle_destroy(memory);
no_idle:
	hypervisor_free_pages(memory->gfns, table_pages(count));
	memory->gfns = NULL;
	return -SLUICE_ENOMEM;
}

COLD void memory_destroy(struct vm *vm)
{
	struct memory *memory = &vm->memory;

	if (!memory->gfns)
		return;
	memory_ve_close(vm);
	for (u64 frame = 0; frame < memory->gfn_count; frame++)
		if (unlikely(memory->gfns[frame] >> GFN_PIN_SHIFT))
			BUG("VM %u destroyed while gfn %#lx is pinned", vm->id,
				(unsigned long)frame);
	memory_volatile_close(vm);
	memory_abandon_huge(memory);
	memory_collapse_cancel(memory);
	memory_flip_destroy(memory);
	memory->generation++;
	commit_count_tables((s64)memory->window_tables);
	nested_destroy(memory, epoch_advance());
	memory_idle_destroy(memory);
	hypervisor_free_pages(memory->gfns, table_pages(memory->gfn_count));
	commit_count_tables(-(s64)table_pages(memory->gfn_count));
	*memory = (struct memory){.owner = vm->id, .layout = memory->layout};
}

/* What a touch of @frame is that has no RAM behind it. */
static COLD __attribute__((noinline)) enum outcome not_ram(struct vcpu *vcpu, u64 frame, u32 access)
{
	struct vm *vm = vcpu->vm;
	bool discarded = memory_is_discarded(vm, gfn(frame));

	if ((READ_ONCE(vm->memory.gfns[frame]) & GFN_STATE) == GFN_MMIO)
		return MMIO;
	if (discarded && memory_volatile_fault(vcpu, frame, access))
		return DONE;
	/* Another vCPU has taken it out of the balloon, or made it stable, meanwhile. */
	if (memory_lacks_frame(vm, gfn(frame)))
		return DONE;
	vm_complain(vm, "gfn %#lx is touched, but it %s", (unsigned long)frame,
		discarded ? "was discarded" : "is in the balloon");
	return BAD;
}

/* What was mapped by the time this CPU looked, and what was volatile and is so no longer. */
static __attribute__((noinline)) enum outcome was_there(struct vm *vm, u64 frame, u32 access)
{
	if (access & ACCESS_WRITE)
		memory_volatile_written(vm, frame);
	return DONE;
}

enum outcome memory_fault(struct vcpu *vcpu, gpa_t address, u32 access)
{
	struct vm *vm = vcpu->vm;
	u64 frame = address.raw >> PAGE_SHIFT;
	int error;

	if (unlikely(window_covers(&vm->memory, frame)))
		return window_fault(vm, frame, access);
	/* Elsewhere every leaf allows every access: only an absent one faults. */
	if (unlikely(frame >= vm->memory.gfn_count))
		return frame >= HOLE_START_GFN && frame < HOLE_END_GFN ? MMIO : BAD;
	error = memory_populate(vm, frame, true);
	if (likely(error == 0))
		return DONE;
	if (error == POPULATED_ALREADY)
		return was_there(vm, frame, access);
	if (error == -SLUICE_EFAULT)
		return not_ram(vcpu, frame, access);
	memory_wait(vcpu);
	return WAIT;
}

/* The host address behind an entry in state GFN_RAM. */
static inline void *entry_page(u64 entry)
{
	return hpa_to_ptr(hpa(entry & GFN_HPA));
}

/*
 * Out of line, so that memory_page() needs no stack frame. Another vCPU may take the page away
 * between its population and the look at its entry, which then names no frame: what it left is
 * populated again, or refused.
 */
static __attribute__((noinline)) void *page_slow(struct vm *vm, u64 frame)
{
	u64 entry;

	if (frame >= vm->memory.gfn_count)
		return NULL;
	do {
		if (memory_populate(vm, frame, false) < 0)
			return NULL;
		entry = READ_ONCE(vm->memory.gfns[frame]);
	} while ((entry & GFN_STATE) != GFN_RAM);
	return entry_page(entry);
}

void *memory_page(struct vm *vm, gfn_t frame)
{
	if (likely(frame.raw < vm->memory.gfn_count)) {
		u64 entry = READ_ONCE(vm->memory.gfns[frame.raw]);

		if (likely((entry & GFN_STATE) == GFN_RAM))
			return entry_page(entry);
	}
	return page_slow(vm, frame.raw);
}

void *memory_page_now(const struct vm *vm, gfn_t frame)
{
	u64 entry;

	if (frame.raw >= vm->memory.gfn_count)
		return NULL;
	entry = READ_ONCE(vm->memory.gfns[frame.raw]);
	return (entry & GFN_STATE) == GFN_RAM ? entry_page(entry) : NULL;
}

/* Why memory_page() had nothing. */
static int no_page(const struct vm *vm, gfn_t frame)
{
	return memory_lacks_frame(vm, frame) ? -SLUICE_ENOMEM : -SLUICE_EFAULT;
}

int memory_read(struct vm *vm, gpa_t from, void *to, u64 bytes)
{
	u8 *out = to;

	while (bytes) {
		u64 offset = from.raw & PAGE_MASK;
		u64 part = MIN(bytes, PAGE_SIZE - offset);
		const u8 *page = memory_page(vm, gpa_to_gfn(from));

		if (!page)
			return no_page(vm, gpa_to_gfn(from));
		memcpy(out, page + offset, part);
		from.raw += part;
		out += part;
		bytes -= part;
	}
	return 0;
}

int memory_write(struct vm *vm, gpa_t to, const void *from, u64 bytes)
{
	const u8 *in = from;

	while (bytes) {
		u64 offset = to.raw & PAGE_MASK;
		u64 part = MIN(bytes, PAGE_SIZE - offset);
		u8 *page = memory_page(vm, gpa_to_gfn(to));

		if (!page)
			return no_page(vm, gpa_to_gfn(to));
		memcpy(page + offset, in, part);
		to.raw += part;
		in += part;
		bytes -= part;
	}
	return 0;
}

/*
 * A pin counts in the gfn entry, where removal looks, and in the frame's references, where the
 * audit does. The entry comes first and goes last, so that an entry without pins means a frame
 * without them.
 */
int memory_pin(struct vm *vm, gfn_t frame, mfn_t *host)
{
	u64 *slot, entry;

	do {
		if (!memory_page(vm, frame))
			return no_page(vm, frame);
		slot = &vm->memory.gfns[frame.raw];
		entry = READ_ONCE(*slot);
		if ((entry & GFN_STATE) != GFN_RAM)
			continue; /* removed since: populate again */
		if (entry >> GFN_PIN_SHIFT == GFN_PINS_MAX)
			return -SLUICE_EBUSY;
		if (__atomic_compare_exchange_n(slot, &entry, entry + GFN_PIN_ONE, false,
			    __ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
			break;
	} while (true);
	*host = hpa_to_mfn(hpa(entry & GFN_HPA));
	frame_get(*host);
	return 0;
}

void memory_unpin(struct vm *vm, gfn_t frame)
{
	u64 entry;

	ASSERT(frame.raw < vm->memory.gfn_count);
	entry = READ_ONCE(vm->memory.gfns[frame.raw]);
	if ((entry & GFN_STATE) != GFN_RAM || entry >> GFN_PIN_SHIFT == 0)
		BUG("VM %u: gfn %#lx unpinned, but not pinned", vm->id, (unsigned long)frame.raw);
	frame_put(hpa_to_mfn(hpa(entry & GFN_HPA)));
	__atomic_fetch_sub(&vm->memory.gfns[frame.raw], GFN_PIN_ONE, __ATOMIC_ACQ_REL);
}
