/*
 * Waiting for a frame: a vCPU that touched memory which no frame is to be had for is blocked, and
 * runs the same instruction again when frames came. Devices and hypercalls come again by
 * themselves. What is kept is one bit a VM with blocked vCPUs, and for each VM since when it got
 * nothing.
 */
#include "kernel/core/frame.h"
#include "kernel/vm/limbo.h"
#include "kernel/vm/memory_volatile.h"
#include "kernel/vm/vm.h"

/* Who waits tries again at least this often; without a try for so long, nobody waits any more. */
#define GIVEN_UP_US 1000000

static u64 waiting; /* a bit for each VM slot */
static u64 patience_us = 30000000;
_Static_assert(VMS_MAX == 64, "a bit for each");

void memory_set_wait(u64 us)
{
	patience_us = us;
}

bool memory_lacks_frame(const struct vm *vm, gfn_t frame)
{
	const struct memory *memory = &vm->memory;

	return frame.raw < memory->gfn_count &&
	       memory_is_open(memory, READ_ONCE(memory->gfns[frame.raw]));
}

bool memory_is_entitled(const struct vm *vm)
{
	return READ_ONCE(vm->memory.populated_pages) < vm->entitled_pages;
}

bool memory_is_short(const struct vm *vm)
{
	return READ_ONCE(vm->memory.short_since) != 0;
}

void memory_wait(struct vcpu *vcpu)
{
	WRITE_ONCE(vcpu->waits_for_memory, true);
	vcpu->vm->memory.waits++;
	vcpu_block(vcpu);
	/* A wake from here on makes the block void. */
	__atomic_fetch_or(&waiting, BIT(vcpu->vm->id - 1), __ATOMIC_SEQ_CST);
}

static void wake(struct vm *vm)
{
	__atomic_fetch_and(&waiting, ~BIT(vm->id - 1), __ATOMIC_SEQ_CST);
	for (unsigned i = 0; i < vm->vcpu_count; i++) {
		struct vcpu *vcpu = vm->vcpus[i];

		if (__atomic_exchange_n(&vcpu->waits_for_memory, false, __ATOMIC_SEQ_CST))
			vcpu_wake(vcpu);
	}
}

void memory_wake_waiters(void)
{
	u64 left = READ_ONCE(waiting);

	memory_discards_finish();
	for (; unlikely(left); left &= left - 1) {
		struct vm *vm = vm_at((unsigned)__builtin_ctzl(left));

		if (vm && guest_may_have_frame(vm))
			wake(vm);
	}
}

bool memory_wait_is_over_soon(void)
{
	return unlikely(READ_ONCE(waiting)) &&
	       (limbo_frames() > 0 || memory_discards_are_under_way());
}

/* Since when @vm waits, 0 if it does not (any more). */
static u64 waits_since(struct vm *vm, u64 now)
{
	struct memory *memory = &vm->memory;

	if (vm_is_stopped(vm) || !READ_ONCE(memory->short_since))
		return 0;
	if (now - READ_ONCE(memory->short_last) > ticks_from_us(GIVEN_UP_US))
		WRITE_ONCE(memory->short_since, 0);
	return READ_ONCE(memory->short_since);
}

/* What the guest had will be free soon: the others get new time. */
static void stop_and_begin_anew(struct vm *vm, u64 now)
{
	const struct memory *memory = &vm->memory;
	struct vm *other;

	log_error(
		"guest \"%s\": no memory came within %lu s: it has %lu KiB of %lu and is entitled "
		"to %lu; %lu KiB are free, the reserve is %lu",
		vm->config->name, (unsigned long)(patience_us / 1000000),
		(unsigned long)memory->populated_pages * 4, (unsigned long)memory->ram_pages * 4,
		(unsigned long)vm->entitled_pages * 4, (unsigned long)frames_free() * 4,
		(unsigned long)frames_reserve() * 4);
	vm_stop(vm, STOP_NO_MEMORY, memory->populated_pages * PAGE_SIZE);
	for_each_vm (other)
		if (READ_ONCE(other->memory.short_since))
			WRITE_ONCE(other->memory.short_since, now);
}

/* Who waits longest; of those, rather one that has more than it is entitled to. */
static bool comes_first(const struct vm *vm, u64 since, const struct vm *best, u64 best_since)
{
	if (!best || memory_is_entitled(vm) != memory_is_entitled(best))
		return !best || memory_is_entitled(best);
	return since < best_since;
}

static void check_patience(u64 now)
{
	struct vm *vm, *first = NULL;
	u64 first_since = 0;

	for_each_vm (vm) {
		u64 since = waits_since(vm, now);

		if (!since || now - since < ticks_from_us(patience_us))
			continue;
		if (comes_first(vm, since, first, first_since)) {
			first = vm;
			first_since = since;
		}
	}
	if (first)
		stop_and_begin_anew(first, now);
}

void memory_wait_tick(void)
{
	struct vm *vm;

	check_patience(arch_tsc());
	for_each_vm (vm)
		if (READ_ONCE(waiting) & BIT(vm->id - 1))
			wake(vm);
}
