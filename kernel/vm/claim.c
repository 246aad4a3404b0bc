/*
 * What a guest has a claim to. Its memory_min always: it is entitled to that. Above it, what its
 * balloon leaves it, as long as its driver does what it is asked. A guest that holds more keeps
 * what others have a claim to: it gets frames that nobody else wants, and is the one to be stopped
 * if another waits in vain (memory_wait.c).
 *
 * memory_ask() is the boot CPU's; of what it writes others read single words.
 */
#include "kernel/core/frame.h"
#include "kernel/vm/vm.h"

/* Frames that a guest which is to shrink may have in advance, before it has given as many: for its
 * driver's way, and no more, since others have a claim to them. */
#define ADVANCE_PAGES 32U

bool memory_is_entitled(const struct vm *vm)
{
	return READ_ONCE(vm->memory.populated_pages) < vm->entitled_pages;
}

bool memory_is_over(const struct vm *vm)
{
	const struct memory *memory = &vm->memory;
	u64 has = READ_ONCE(memory->populated_pages);

	return !READ_ONCE(memory->answers) && has >= READ_ONCE(memory->asked_pages) &&
	       has >= vm->entitled_pages && !READ_ONCE(memory->volatiles.active);
}

static u64 claim_of(const struct vm *vm)
{
	const struct memory *memory = &vm->memory;

	return READ_ONCE(memory->answers) ? MAX(vm->entitled_pages, READ_ONCE(memory->asked_pages))
					  : vm->entitled_pages;
}

bool memory_is_due(const struct vm *vm)
{
	return READ_ONCE(vm->memory.populated_pages) < claim_of(vm);
}

u64 memory_keeps(const struct vm *vm)
{
	u64 has = READ_ONCE(vm->memory.populated_pages);

	return has - MIN(has, claim_of(vm));
}

static bool is_to_shrink(const struct memory *memory)
{
	return memory->ram_pages - READ_ONCE(memory->ballooned_pages) >
	       READ_ONCE(memory->asked_pages);
}

void memory_ask(struct vm *vm, u64 pages, bool answers)
{
	struct memory *memory = &vm->memory;

	WRITE_ONCE(memory->asked_pages, pages);
	WRITE_ONCE(memory->answers, answers);
	if (!memory_keeps(vm))
		memory->keeps_since = 0;
	else if (!memory->keeps_since)
		memory->keeps_since = arch_tsc();
	if (!memory->advance || (is_to_shrink(memory) && !guest_has_its_share(vm)))
		return;
	spin_lock(&memory->lock);
	WRITE_ONCE(memory->advance, 0);
	spin_unlock(&memory->lock);
}

bool memory_has_advance(const struct vm *vm)
{
	const struct memory *memory = &vm->memory;

	return READ_ONCE(memory->answers) && is_to_shrink(memory) &&
	       READ_ONCE(memory->advance) < ADVANCE_PAGES;
}

void memory_advance(struct vm *vm)
{
	__atomic_fetch_add(&vm->memory.advance, 1, __ATOMIC_RELAXED);
}

void memory_gave(struct memory *memory, u64 pages)
{
	u32 advance = READ_ONCE(memory->advance);

	/* Others only add to it, since LOCK_MEMORY is held. */
	if (unlikely(advance))
		__atomic_fetch_sub(
			&memory->advance, (u32)MIN(pages, (u64)advance), __ATOMIC_RELAXED);
}
