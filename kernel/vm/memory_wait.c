/*
 * Waiting for a frame: a vCPU that touched memory which no frame is to be had for is blocked, and
 * runs the same instruction again when frames came. Devices and hypercalls come again by
 * themselves. What is kept is one bit a VM with blocked vCPUs, and for each VM since when it got
 * nothing, or of what it is entitled to less than a fair part. When that is too long, somebody is
 * stopped: who that is follows from what each has a claim to (claim.c).
 */
#include "kernel/core/frame.h"
#include "kernel/vm/limbo.h"
#include "kernel/vm/memory_volatile.h"
#include "kernel/vm/vm.h"

/* Who waits tries again at least this often; without a try for so long, nobody waits any more. */
#define GIVEN_UP_US 1000000

/* Who is entitled to what it lacks has new time when this part of its entitlement has come: else
 * one page now and then would keep it waiting for ever. */
#define PATIENCE_PART 8U

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
	u64 entry;

	if (frame.raw >= memory->gfn_count)
		return false;
	entry = READ_ONCE(memory->gfns[frame.raw]);
	switch (entry & GFN_STATE) {
	case GFN_MMIO:
	case GFN_DISCARDED:
		return false;
	case GFN_BALLOONED:
		return memory_is_open(memory, entry);
	default: /* another vCPU's touch may have found one since */
		return true;
	}
}

bool memory_is_short(const struct vm *vm)
{
	return READ_ONCE(vm->memory.is_short);
}

/* Signed: another CPU may have noted a time since @now was read. */
static bool has_lasted(u64 since, u64 now, u64 us)
{
	return (s64)(now - since) >= (s64)ticks_from_us(us);
}

static void begin_anew(struct memory *memory, u64 now)
{
	WRITE_ONCE(memory->short_pages, READ_ONCE(memory->populated_pages));
	WRITE_ONCE(memory->short_since, now);
}

void memory_wants(struct vm *vm)
{
	u64 now = arch_tsc();

	WRITE_ONCE(vm->memory.short_last, now);
	WRITE_ONCE(vm->memory.is_short, true);
	if (!READ_ONCE(vm->memory.short_since))
		begin_anew(&vm->memory, now);
}

void memory_got(struct vm *vm)
{
	struct memory *memory = &vm->memory;

	if (likely(!READ_ONCE(memory->is_short)))
		return;
	WRITE_ONCE(memory->is_short, false);
	if (!memory_is_entitled(vm))
		WRITE_ONCE(memory->short_since, 0);
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

/* Whether a fair part of what @vm is entitled to has come since the clock began, or all of it. */
static bool got_its_part(const struct vm *vm)
{
	u64 then = READ_ONCE(vm->memory.short_pages);

	return then < vm->entitled_pages &&
	       READ_ONCE(vm->memory.populated_pages) >=
		       MIN(then + vm->entitled_pages / PATIENCE_PART, vm->entitled_pages);
}

/* Since when @vm waits, 0 if it does not (any more). */
static u64 waits_since(struct vm *vm, u64 now)
{
	struct memory *memory = &vm->memory;

	if (vm_is_stopped(vm) || !READ_ONCE(memory->short_since))
		return 0;
	if (has_lasted(READ_ONCE(memory->short_last), now, GIVEN_UP_US)) {
		WRITE_ONCE(memory->is_short, false);
		WRITE_ONCE(memory->short_since, 0);
	} else if (got_its_part(vm)) {
		begin_anew(memory, now);
	}
	return READ_ONCE(memory->short_since);
}

static void log_figures(const struct vm *vm, const char *what)
{
	log_error("guest \"%s\": %s within %lu s: it has %lu KiB of %lu and is entitled to %lu; "
		  "%lu KiB are free, the reserve is %lu",
		vm->config->name, what, (unsigned long)(patience_us / 1000000),
		(unsigned long)vm->memory.populated_pages * 4,
		(unsigned long)vm->memory.ram_pages * 4, (unsigned long)vm->entitled_pages * 4,
		(unsigned long)frames_free() * 4, (unsigned long)frames_reserve() * 4);
}

/* What the guest had will be free soon: the others get new time. */
static void stop_and_begin_anew(struct vm *vm, u64 now)
{
	struct vm *other;

	vm_stop(vm, STOP_NO_MEMORY, vm->memory.populated_pages * PAGE_SIZE);
	for_each_vm (other)
		if (READ_ONCE(other->memory.short_since))
			begin_anew(&other->memory, now);
}

/* Who waits longest; of those, rather one that has more than it is entitled to. */
static bool comes_first(const struct vm *vm, u64 since, const struct vm *best, u64 best_since)
{
	if (!best || memory_is_entitled(vm) != memory_is_entitled(best))
		return !best || memory_is_entitled(best);
	return since < best_since;
}

/* Who keeps most of what others have a claim to, waiting itself or not. A driver that answers has
 * as long to give it as the others wait. */
static struct vm *find_keeper(u64 now)
{
	struct vm *vm, *keeper = NULL;

	for_each_vm (vm) {
		const struct memory *memory = &vm->memory;

		if (vm_is_stopped(vm) || !memory_keeps(vm) ||
			(memory->answers && !has_lasted(memory->keeps_since, now, patience_us)))
			continue;
		if (!keeper || memory_keeps(vm) > memory_keeps(keeper))
			keeper = vm;
	}
	return keeper;
}

/* Whether anybody has more than he is entitled to, and so will be asked for it. */
static bool somebody_can_give(void)
{
	struct vm *vm;

	for_each_vm (vm)
		if (!vm_is_stopped(vm) &&
			READ_ONCE(vm->memory.populated_pages) > vm->entitled_pages)
			return true;
	return false;
}

static void check_patience(u64 now)
{
	struct vm *vm, *first = NULL, *due = NULL, *keeper;
	u64 first_since = 0;

	for_each_vm (vm) {
		u64 since = waits_since(vm, now);

		if (!since || !has_lasted(since, now, patience_us))
			continue;
		if (memory_is_due(vm))
			due = vm;
		if (comes_first(vm, since, first, first_since)) {
			first = vm;
			first_since = since;
		}
	}
	keeper = due ? find_keeper(now) : NULL;
	if (keeper) {
		log_figures(due, "too little memory came");
		log_figures(keeper, "gave too little back of what others have a claim to");
		stop_and_begin_anew(keeper, now);
	} else if (first && !(memory_is_entitled(first) && somebody_can_give())) {
		log_figures(first, "no memory came");
		stop_and_begin_anew(first, now);
	}
}

void memory_wait_tick(void)
{
	struct vm *vm;

	check_patience(arch_tsc());
	for_each_vm (vm)
		if (READ_ONCE(waiting) & BIT(vm->id - 1))
			wake(vm);
}
