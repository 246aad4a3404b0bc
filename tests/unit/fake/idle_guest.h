/*
 * One guest for tests of idle memory, of which the test plays the processor: use() sets accessed
 * bits, tick() lets the hypervisor look, look() reads what it made of it. To be included after
 * cmocka.h.
 */
#ifndef FAKE_IDLE_GUEST_H
#define FAKE_IDLE_GUEST_H

#include "fake/machine.h"
#include "fake/vm.h"
#include "kernel/core/percpu.h"
#include "kernel/vm/memory_idle.h"
#include "kernel/vm/memory_nested.h"

static struct vm *vm;
static struct vcpu vcpu;
static u64 idle[BALLOON_AGES], touched[BALLOON_AGES];

static inline void start(u64 ram, u64 guest, const struct nested_layout *layout)
{
	fake_core_start(ram, 1);
	epoch_quiescent(epoch_now());
	vm = fake_vm(0);
	assert_int_equal(memory_create(vm, guest, layout), 0);
	vcpu = (struct vcpu){.vm = vm};
}

static inline void populate(u64 first, u64 pages)
{
	for (u64 frame = first; frame < first + pages; frame++)
		assert_int_equal(memory_fault(&vcpu, gfn_to_gpa(gfn(frame)), ACCESS_WRITE), DONE);
}

/* Populates a block by small pages. */
static inline void populate_small(u64 base)
{
	assert_int_equal(memory_inflate(vm, gfn(base), 0), 0);
	populate(base + 1, BLOCK_PAGES - 1);
	assert_int_equal(memory_deflate(vm, gfn(base), 0), 0);
	populate(base, 1);
}

static inline u64 *leaf(u64 frame)
{
	unsigned level;
	u64 *entry = nested_lookup(&vm->memory, frame, &level);

	assert_true(*entry & vm->memory.layout->present);
	return entry;
}

static inline void use(u64 first, u64 pages)
{
	for (u64 frame = first; frame < first + pages; frame++)
		*leaf(frame) |= vm->memory.layout->accessed | vm->memory.layout->dirty;
}

static inline void tick(unsigned count)
{
	while (count-- > 0)
		memory_idle_tick(vm);
}

static inline u64 sum(const u64 *classes)
{
	u64 all = 0;

	for (unsigned age = 0; age < BALLOON_AGES; age++)
		all += classes[age];
	return all;
}

static inline void look(void)
{
	assert_true(memory_idle_sample(vm, idle, touched));
	assert_true(sum(idle) + sum(touched) <= vm->memory.populated_pages);
}

#endif
