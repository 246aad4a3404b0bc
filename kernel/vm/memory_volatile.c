/*
 * A guest's side of volatile pages: what it registers, what its state bytes say, and what happens
 * when it touches a page that is gone. The bytes are guest memory that all of its vCPUs may change
 * at any time: each is read or swapped once, and nothing but the fate of that guest's own pages
 * hangs on it. Host pointers to them last as long as the lock is held.
 */
#include "kernel/vm/memory_volatile.h"

#include <abi/errno.h>
#include <abi/hypercall.h>
#include <abi/volatile.h>

#include "arch/x86/arch.h"
#include "kernel/vm/memory_collapse.h"
#include "kernel/vm/memory_nested.h"

#define ADDRESS_BITS 48 /* canonical: bit 47 and those above are alike */

#define FAULT_WRITE BIT(1)
#define FAULT_FETCH BIT(4)

/* ---- State bytes ---------------------------------------------------------------------------- */

static bool has_state(const struct volatile_area *area, u64 frame)
{
	return area->active && frame - area->first < area->pages;
}

bool memory_volatile_holds_states(const struct memory *memory, u64 frame)
{
	const struct volatile_area *area = &memory->volatiles;
	u64 first = area->states.raw >> PAGE_SHIFT;

	return frame - first < ROUND_UP(area->pages, PAGE_SIZE) >> PAGE_SHIFT;
}

u8 *memory_volatile_state(const struct memory *memory, u64 frame)
{
	const struct volatile_area *area = &memory->volatiles;
	u64 address, entry;

	if (!has_state(area, frame))
		return NULL;
	address = area->states.raw + frame - area->first;
	entry = READ_ONCE(memory->gfns[address >> PAGE_SHIFT]);
	if ((entry & GFN_STATE) != GFN_RAM)
		return NULL;
	return (u8 *)hpa_to_ptr(hpa(entry & GFN_HPA)) + (address & PAGE_MASK);
}

bool memory_volatile_swap(u8 *state, u8 from, u8 to)
{
	u8 old = __atomic_load_n(state, __ATOMIC_ACQUIRE);

	if ((old & VOLATILE_STATE) != from)
		return false;
	/* Once: if the guest changes the byte at this moment, its word counts. */
	return __atomic_compare_exchange_n(state, &old, (u8)((old & ~VOLATILE_STATE) | to), false,
		__ATOMIC_SEQ_CST, __ATOMIC_RELAXED);
}

/* ---- Touches -------------------------------------------------------------------------------- */

bool memory_is_discarded(const struct vm *vm, gfn_t frame)
{
	const struct memory *memory = &vm->memory;

	return frame.raw < memory->gfn_count &&
	       (READ_ONCE(memory->gfns[frame.raw]) & GFN_STATE) == GFN_DISCARDED;
}

/* The state byte of @frame, with LOCK_MEMORY taken; NULL if all are stable: it has none, or the
 * guest gave the page that it is in away, or never wrote there. That page may be on its way. */
static u8 *lock_state(struct vm *vm, u64 frame)
{
	struct memory *memory = &vm->memory;
	const struct volatile_area *area = &memory->volatiles;

	for (;;) {
		u64 holder;

		spin_lock(&memory->lock);
		holder = (area->states.raw + frame - area->first) >> PAGE_SHIFT;
		/* What holds the states is never discarded, but may be since an earlier
		 * registration. */
		if (!has_state(area, frame) || memory_volatile_holds_states(memory, frame))
			return NULL;
		if ((memory->gfns[holder] & GFN_STATE) != GFN_MOVING)
			return memory_volatile_state(memory, frame);
		spin_unlock(&memory->lock);
		memory_collapse_touch(vm, holder, false);
	}
}

int memory_volatile_open(struct vm *vm, u64 frame)
{
	struct memory *memory = &vm->memory;
	const u8 *state = lock_state(vm, frame);
	int error = 0;

	if (state && (READ_ONCE(*state) & VOLATILE_STATE) != VOLATILE_STABLE) {
		error = -SLUICE_EFAULT;
	} else if ((memory->gfns[frame] & GFN_STATE) == GFN_DISCARDED) {
		WRITE_ONCE(memory->gfns[frame], GFN_UNPOPULATED);
		nested_set_gone(memory, frame, false);
		memory->discarded_pages--;
	}
	spin_unlock(&memory->lock);
	return error;
}

void memory_volatile_written(struct vm *vm, u64 frame)
{
	struct memory *memory = &vm->memory;
	u8 *state;

	if (!READ_ONCE(memory->volatiles.active))
		return;
	spin_lock(&memory->lock);
	state = memory_volatile_state(memory, frame);
	if (state)
		(void)memory_volatile_swap(state, VOLATILE_VOLATILE, VOLATILE_STABLE);
	spin_unlock(&memory->lock);
}

bool memory_volatile_fault(struct vcpu *vcpu, u64 frame, u32 access)
{
	struct memory *memory = &vcpu->vm->memory;
	u32 error = VOLATILE_FAULT;
	u64 address = 0;

	spin_lock(&memory->lock);
	if (has_state(&memory->volatiles, frame) && memory->volatiles.magic) {
		address = memory->volatiles.magic + (frame - memory->volatiles.first) * PAGE_SIZE;
		memory->discard_faults++;
	}
	spin_unlock(&memory->lock);
	if (!address)
		return false;
	if (access & ACCESS_WRITE)
		error |= (u32)FAULT_WRITE;
	if (access & ACCESS_EXEC)
		error |= (u32)FAULT_FETCH;
	vcpu_inject_page_fault(vcpu, address, error);
	return true;
}

/* ---- Registration --------------------------------------------------------------------------- */

static bool is_canonical(u64 address)
{
	s64 top = (s64)address >> (ADDRESS_BITS - 1);

	return top == 0 || top == -1;
}

/* One half of the address space holds all of them. */
static bool magic_is_valid(u64 magic, u64 pages)
{
	u64 last = magic + pages * PAGE_SIZE - 1;

	return magic == 0 || (magic % PAGE_SIZE == 0 && last > magic && is_canonical(magic) &&
				     is_canonical(last) && (s64)(magic ^ last) >= 0);
}

/* -EFAULT if [first, first + pages) is not all RAM, in whatever state. */
static int check_ram(const struct memory *memory, u64 first, u64 pages)
{
	if (first >= memory->gfn_count || pages > memory->gfn_count - first)
		return -SLUICE_EFAULT;
	for (u64 frame = first; frame < first + pages; frame++)
		if ((READ_ONCE(memory->gfns[frame]) & GFN_STATE) == GFN_MMIO)
			return -SLUICE_EFAULT;
	return 0;
}

static s64 volatile_register(struct vm *vm, const struct volatile_area *area)
{
	struct memory *memory = &vm->memory;
	s64 result = 0;

	/* The range of pages may have the hole in it, since who numbers all frames has it, too. */
	if (area->first >= memory->gfn_count || area->pages > memory->gfn_count - area->first ||
		check_ram(memory, area->states.raw >> PAGE_SHIFT,
			ROUND_UP(area->pages, PAGE_SIZE) >> PAGE_SHIFT))
		return -SLUICE_EFAULT;
	if (!area->pages || area->states.raw & PAGE_MASK ||
		!magic_is_valid(area->magic, area->pages))
		return -SLUICE_EINVAL;
	spin_lock(&memory->lock);
	if (memory->volatiles.active)
		result = -SLUICE_EBUSY;
	else
		memory->volatiles = *area;
	memory_discard_expect(memory, true);
	spin_unlock(&memory->lock);
	return result;
}

/* What is discarded stays so until it is touched, and then needs no word of the guest. */
static s64 volatile_unregister(struct vm *vm)
{
	struct memory *memory = &vm->memory;
	bool was_active;

	spin_lock(&memory->lock);
	was_active = memory->volatiles.active;
	memory_discard_cancel(memory, 0, memory->gfn_count);
	memory->volatiles = (struct volatile_area){0};
	memory_discard_expect(memory, false);
	spin_unlock(&memory->lock);
	return was_active ? 0 : -SLUICE_EINVAL;
}

s64 memory_volatile_call(struct vcpu *vcpu, u64 number)
{
	const u64 *regs = vcpu->regs;
	struct volatile_area area = {
		.active = true,
		.first = regs[RDI],
		.pages = regs[RSI],
		.states = gpa(regs[RDX]),
		.magic = regs[R10],
	};

	if (number == HYPERCALL_VOLATILE_UNREGISTER)
		return volatile_unregister(vcpu->vm);
	if (number != HYPERCALL_VOLATILE_REGISTER)
		return -SLUICE_ENOSYS;
	return regs[R8] ? -SLUICE_EINVAL : volatile_register(vcpu->vm, &area);
}
