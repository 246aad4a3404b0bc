/*
 * Guest-physical memory: population in the largest pages that fit, host pointers, copies, pins,
 * removal, reclaim, and giving everything back.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include <abi/errno.h>
#include <abi/platform.h>

#include "fake/ending.h"
#include "fake/machine.h"
#include "fake/store.h"
#include "fake/vm.h"
#include "kernel/core/frame.h"
#include "kernel/core/percpu.h"
#include "kernel/vm/audit.h"
#include "kernel/vm/memory_nested.h"

static struct vcpu vcpu;

static struct vm *start(u64 ram, u64 guest, const struct nested_layout *layout)
{
	struct vm *vm;

	fake_core_start(ram, 1);
	epoch_quiescent(epoch_now());
	vm = fake_vm(0);
	assert_int_equal(memory_create(vm, guest, layout), 0);
	vcpu.vm = vm;
	return vm;
}

static enum outcome fault(u64 address)
{
	return memory_fault(&vcpu, gpa(address), ACCESS_WRITE);
}

static unsigned level_at(struct vm *vm, u64 address)
{
	unsigned level;

	return fake_translate(&vm->memory, address, &level) == ~0UL ? 0 : level;
}

static bool is_zero(struct vm *vm, u64 address)
{
	unsigned level;
	u64 host = fake_translate(&vm->memory, address & ~PAGE_MASK, &level);

	for (u64 i = 0; i < PAGE_SIZE; i++)
		if (fake_ram[host + i])
			return false;
	return true;
}

/* Fills all free frames with old contents. */
static void dirty_free_memory(void)
{
	for (u64 at = 0; at < frames_end(); at++)
		if (frame_of(mfn(at)) && frame_of(mfn(at))->class == FRAME_FREE)
			memset(mfn_to_ptr(mfn(at)), 0xd5, PAGE_SIZE);
}

static void faults_are_told_apart(void **state)
{
	struct vm *vm;

	(void)state;
	vm = start(MIB(64), GIB(3) + MIB(64), &fake_ept);
	assert_int_equal(vm->memory.gfn_count, (GIB(4) + MIB(64)) / PAGE_SIZE);
	assert_int_equal(fault(PLATFORM_HOLE_START), MMIO);
	assert_int_equal(fault(PLATFORM_HOLE_END - 1), MMIO);
	assert_int_equal(fault(GIB(4) + MIB(64)), BAD);
	assert_int_equal(fault(~0UL), BAD);
	assert_int_equal(fault(GIB(4) + MIB(64) - 1), DONE);
	assert_int_equal(level_at(vm, GIB(4) + MIB(62)), 2);
	assert_int_equal(fault(PLATFORM_HOLE_START - 1), DONE);
	assert_int_equal(audit_run(), 0);

	vm = start(MIB(64), MIB(16), &fake_npt);
	assert_int_equal(fault(MIB(16)), BAD);
	assert_int_equal(fault(PLATFORM_HOLE_START), MMIO);
	assert_int_equal(fault(PLATFORM_HOLE_END), BAD);
	assert_int_equal(vm->memory.populated_pages, 0);
}

static void largest_page_is_used_and_scrubbed(void **state)
{
	struct vm *vm;

	(void)state;
	vm = start(MIB(64), MIB(4) + KIB(12), &fake_ept);
	dirty_free_memory();
	assert_int_equal(fault(MIB(2) + 12345), DONE);
	assert_int_equal(level_at(vm, MIB(2)), 2);
	assert_int_equal(level_at(vm, 0), 0);
	assert_int_equal(vm->memory.populated_pages, BLOCK_PAGES);
	assert_int_equal(vm->memory.large_pages, 1);
	for (u64 at = MIB(2); at < MIB(4); at += PAGE_SIZE)
		assert_true(is_zero(vm, at));
	/* The rest of RAM beyond the last whole block comes in small pages. */
	assert_int_equal(fault(MIB(4) + KIB(4)), DONE);
	assert_int_equal(level_at(vm, MIB(4) + KIB(4)), 1);
	assert_int_equal(level_at(vm, MIB(4)), 0);
	assert_true(is_zero(vm, MIB(4) + KIB(4)));
	/* Again: another vCPU was faster. */
	assert_int_equal(fault(MIB(2)), DONE);
	assert_int_equal(vm->memory.populated_pages, BLOCK_PAGES + 1);
	assert_int_equal(audit_run(), 0);
}

static void small_pages_when_no_block_is_free(void **state)
{
	mfn_t held[64];
	unsigned count = 0;
	struct vm *vm;

	(void)state;
	vm = start(MIB(32), MIB(8), &fake_npt);
	/* One page of every free block is taken. */
	while (count < ARRAY_SIZE(held) &&
		!mfn_is_none(held[count] = frame_alloc(FRAME_DEVICE, BLOCK_ORDER, 0)))
		count++;
	for (unsigned i = 0; i < count; i++)
		for (unsigned page = 1; page < BLOCK_PAGES; page++)
			frame_free(mfn(held[i].raw + page), 0);
	dirty_free_memory();
	assert_int_equal(fault(MIB(2) + PAGE_SIZE), DONE);
	assert_int_equal(level_at(vm, MIB(2) + PAGE_SIZE), 1);
	assert_true(is_zero(vm, MIB(2) + PAGE_SIZE));
	assert_int_equal(vm->memory.populated_pages, 1);
	/* Blocks are free again; the block that has a table stays in small pages, another is large.
	 */
	for (unsigned i = 0; i < count; i++)
		frame_free(held[i], 0);
	assert_int_equal(fault(MIB(2)), DONE);
	assert_int_equal(level_at(vm, MIB(2)), 1);
	assert_int_equal(fault(MIB(4)), DONE);
	assert_int_equal(level_at(vm, MIB(4)), 2);
	assert_int_equal(audit_run(), 0);
}

static void huge_page_is_scrubbed_in_steps(void **state)
{
	struct vm *vm;
	u64 cleared;

	(void)state;
	vm = start(GIB(3), GIB(2), &fake_ept);
	fake_clear_skip = true;
	cleared = fake_pages_cleared;
	for (unsigned step = 1; step <= BLOCK_PAGES; step++) {
		assert_int_equal(level_at(vm, GIB(1)), 0);
		assert_int_equal(fault(GIB(1) + step * 4096), DONE);
		assert_int_equal(fake_pages_cleared - cleared, step * (u64)BLOCK_PAGES);
	}
	assert_int_equal(level_at(vm, GIB(1)), 3);
	assert_int_equal(vm->memory.huge_pages, 1);
	assert_int_equal(vm->memory.populated_pages, HUGE_PAGES);
	assert_ptr_equal(memory_page(vm, gfn(HUGE_PAGES + 5)),
		(u8 *)memory_page(vm, gfn(HUGE_PAGES)) + 5 * PAGE_SIZE);
	assert_int_equal(audit_run(), 0);
	/* Under way: counted, and given back with the guest. */
	assert_int_equal(fault(0), DONE);
	assert_true(vm->memory.huge.active);
	fake_end_guest(vm);
}

static void huge_page_gives_way_to_the_hypervisor(void **state)
{
	struct vm *vm;

	(void)state;
	vm = start(GIB(3), GIB(2), &fake_npt);
	fake_clear_skip = true;
	for (unsigned step = 0; step < 3; step++)
		assert_int_equal(fault(GIB(1)), DONE);
	assert_int_equal(frames_of_class(FRAME_GUEST), HUGE_PAGES);
	/* A device needs a page in the middle of it now. */
	assert_non_null(memory_page(vm, gfn(HUGE_PAGES + 1000)));
	assert_false(vm->memory.huge.active);
	assert_int_equal(frames_of_class(FRAME_GUEST), BLOCK_PAGES);
	assert_int_equal(level_at(vm, GIB(1) + 1000 * PAGE_SIZE), 2);
	assert_int_equal(fault(GIB(1)), DONE);
	assert_int_equal(level_at(vm, GIB(1)), 2);
	assert_int_equal(audit_run(), 0);
}

static void no_huge_pages_where_the_processor_has_none(void **state)
{
	static struct nested_layout layout;
	struct vm *vm;

	(void)state;
	layout = fake_ept;
	layout.huge = false;
	vm = start(GIB(3), GIB(2), &layout);
	assert_int_equal(fault(GIB(1)), DONE);
	assert_int_equal(level_at(vm, GIB(1)), 2);
}

static void hostile_frame_numbers_have_no_page(void **state)
{
	static const u64 numbers[] = {MIB(16) / PAGE_SIZE, ~0UL, 1UL << 52, 1UL << 36,
		PLATFORM_HOLE_START >> PAGE_SHIFT, (1UL << 61) + 1};
	struct vm *vm;
	mfn_t host;
	u8 byte = 0;

	(void)state;
	vm = start(MIB(64), MIB(16), &fake_ept);
	for (unsigned i = 0; i < ARRAY_SIZE(numbers); i++) {
		assert_null(memory_page(vm, gfn(numbers[i])));
		assert_int_equal(memory_pin(vm, gfn(numbers[i]), &host), -SLUICE_EFAULT);
		assert_int_equal(memory_remove(vm, gfn(numbers[i])), -SLUICE_EFAULT);
	}
	assert_int_equal(memory_read(vm, gpa(~0UL), &byte, 1), -SLUICE_EFAULT);
	assert_int_equal(memory_write(vm, gpa(MIB(16)), &byte, 1), -SLUICE_EFAULT);
	assert_int_equal(memory_read(vm, gpa(0), &byte, 0), 0);
	vm = start(MIB(64), GIB(3) + MIB(2), &fake_ept);
	assert_null(memory_page(vm, gfn(PLATFORM_HOLE_START >> PAGE_SHIFT)));
	assert_non_null(memory_page(vm, gfn(PLATFORM_HOLE_END >> PAGE_SHIFT)));
}

static void copies_cross_frames(void **state)
{
	static u8 out[3 * PAGE_SIZE], in[3 * PAGE_SIZE];
	struct vm *vm;

	(void)state;
	/* Small pages at the end of RAM, so that neighbours are not neighbours in the host. */
	vm = start(MIB(64), MIB(2) + 5 * PAGE_SIZE, &fake_ept);
	assert_non_null(memory_page(vm, gfn(BLOCK_PAGES + 1)));
	assert_non_null(memory_page(vm, gfn(BLOCK_PAGES + 4)));
	for (unsigned i = 0; i < sizeof(out); i++)
		out[i] = (u8)(i * 7 + i / 256);
	assert_int_equal(memory_write(vm, gpa(MIB(2) - 100), out, sizeof(out)), 0);
	assert_int_equal(memory_read(vm, gpa(MIB(2) - 100), in, sizeof(in)), 0);
	assert_memory_equal(in, out, sizeof(out));
	/* Over the end: the prefix, and an error. */
	memset(in, 0, sizeof(in));
	assert_int_equal(
		memory_write(vm, gpa(MIB(2) + 5 * PAGE_SIZE - 10), out, 20), -SLUICE_EFAULT);
	assert_int_equal(memory_read(vm, gpa(MIB(2) + 5 * PAGE_SIZE - 10), in, 10), 0);
	assert_memory_equal(in, out, 10);
	assert_int_equal(audit_run(), 0);
}

static void pinned_frames_stay(void **state)
{
	struct vm *vm;
	mfn_t host, again;

	(void)state;
	vm = start(MIB(64), MIB(16), &fake_ept);
	assert_int_equal(memory_pin(vm, gfn(7), &host), 0);
	assert_ptr_equal(mfn_to_ptr(host), memory_page(vm, gfn(7)));
	assert_int_equal(frame_of(host)->refs, 2);
	assert_int_equal(memory_remove(vm, gfn(7)), -SLUICE_EBUSY);
	assert_int_equal(level_at(vm, 0), 2); /* not even split */
	assert_int_equal(audit_run(), 0);
	for (unsigned i = 1; i < GFN_PINS_MAX; i++)
		assert_int_equal(memory_pin(vm, gfn(7), &again), 0);
	assert_int_equal(memory_pin(vm, gfn(7), &again), -SLUICE_EBUSY);
	assert_int_equal(audit_run(), 0);
	assert_true(EXPECT_BUG(memory_destroy(vm)));
	for (unsigned i = 0; i < GFN_PINS_MAX; i++)
		memory_unpin(vm, gfn(7));
	assert_true(EXPECT_BUG(memory_unpin(vm, gfn(7))));
	assert_true(EXPECT_BUG(memory_unpin(vm, gfn(4000))));
	assert_int_equal(frame_of(host)->refs, 1);
	assert_int_equal(memory_remove(vm, gfn(7)), 0);
	assert_int_equal(audit_run(), 0);
}

static void removal_splits_and_waits(void **state)
{
	struct vm *vm;
	u64 generation;
	mfn_t host;
	u8 *page;

	(void)state;
	vm = start(MIB(64), MIB(16), &fake_ept);
	for (u64 frame = 0; frame < BLOCK_PAGES; frame++)
		memset(memory_page(vm, gfn(frame)), (int)frame & 0xff, PAGE_SIZE);
	host = ptr_to_mfn(memory_page(vm, gfn(100)));
	generation = vm->memory.generation;
	assert_int_equal(memory_remove(vm, gfn(100)), 0);
	assert_true(vm->memory.generation > generation);
	assert_int_equal(level_at(vm, 100 * PAGE_SIZE), 0);
	assert_int_equal(frame_of(host)->class, FRAME_LIMBO);
	assert_int_equal(memory_remove(vm, gfn(100)), -SLUICE_EFAULT);
	assert_int_equal(vm->memory.populated_pages, BLOCK_PAGES - 1);
	assert_int_equal(vm->memory.large_pages, 0);
	for (u64 frame = 0; frame < BLOCK_PAGES; frame++) {
		if (frame == 100)
			continue;
		page = memory_page(vm, gfn(frame));
		assert_int_equal(page[17], frame & 0xff);
		assert_int_equal(level_at(vm, frame * PAGE_SIZE), 1);
	}
	assert_int_equal(audit_run(), 0);
	limbo_drain();
	assert_int_equal(frame_of(host)->class, FRAME_LIMBO);
	epoch_quiescent(epoch_now());
	limbo_drain();
	assert_int_equal(frame_of(host)->class, FRAME_FREE);
	/* Touched again: a scrubbed frame. */
	assert_int_equal(fault(100 * PAGE_SIZE), DONE);
	assert_true(is_zero(vm, 100 * PAGE_SIZE));
	assert_int_equal(audit_run(), 0);
}

static void destroy_gives_everything_back(void **state)
{
	u64 free_before;
	struct vm *vm;

	(void)state;
	fake_core_start(GIB(3), 1);
	fake_clear_skip = true;
	epoch_quiescent(epoch_now());
	free_before = frames_free();
	vm = fake_vm(3);
	assert_int_equal(memory_create(vm, GIB(2) + KIB(8), &fake_npt), 0);
	vcpu.vm = vm;
	for (unsigned i = 0; i < BLOCK_PAGES; i++)
		assert_int_equal(fault(GIB(1)), DONE);
	assert_non_null(memory_page(vm, gfn(3)));
	assert_non_null(memory_page(vm, gfn(2 * HUGE_PAGES + 1)));
	assert_int_equal(memory_remove(vm, gfn(4)), 0);
	assert_int_equal(memory_remove(vm, gfn(HUGE_PAGES + 4)), 0);
	assert_int_equal(audit_run(), 0);
	memory_destroy(vm);
	assert_int_equal(audit_run(), 0);
	fake_limbo_empty();
	assert_int_equal(frames_free(), free_before);
	assert_int_equal(audit_run(), 0);
}

static void create_refuses_what_has_no_tables(void **state)
{
	struct vm *vm;
	u64 free_before;

	(void)state;
	fake_core_start(MIB(16), 1);
	vm = fake_vm(0);
	free_before = frames_free();
	assert_int_equal(memory_create(vm, GIB(64), &fake_ept), -SLUICE_ENOMEM);
	assert_int_equal(memory_create(vm, 1UL << 62, &fake_ept), -SLUICE_ENOMEM);
	assert_int_equal(frames_free(), free_before);
	memory_destroy(vm); /* of nothing */
	assert_int_equal(audit_run(), 0);
}

/* The pool takes all that the reserve leaves. */
static unsigned fill_store(void)
{
	unsigned count = 0;
	mfn_t frame;

	fake_store_reset(true);
	while (!mfn_is_none(frame = frame_alloc(FRAME_TMEM, 0, 0))) {
		memset(mfn_to_ptr(frame), 0x77, PAGE_SIZE);
		fake_store_add(mfn_to_ptr(frame));
		count++;
	}
	return count;
}

static void guests_take_ephemeral_pages_back(void **state)
{
	struct vm *vm;
	unsigned held;

	(void)state;
	vm = start(MIB(64), MIB(32), &fake_ept);
	held = fill_store();
	assert_int_equal(frames_free(), frames_reserve());
	assert_int_equal(audit_run(), 0);
	/* No block is put together page by page: one small page, 31 more back to the allocator. */
	assert_int_equal(fault(0), DONE);
	assert_int_equal(level_at(vm, 0), 1);
	assert_true(is_zero(vm, 0));
	assert_int_equal(frames_of_class(FRAME_TMEM), held - 32);
	assert_true(frames_free() >= frames_reserve());
	for (u64 at = PAGE_SIZE; at < MIB(32); at += PAGE_SIZE)
		assert_int_equal(fault(at), DONE);
	assert_int_equal(vm->memory.populated_pages, MIB(32) / PAGE_SIZE);
	assert_int_equal(audit_run(), 0);
}

static void the_reserve_is_the_last_resort(void **state)
{
	struct vm *vm;
	u64 at = 0;

	(void)state;
	vm = start(MIB(16), MIB(32), &fake_ept);
	vm->entitled_pages = MIB(32) / PAGE_SIZE;
	fake_store_reset(true);
	/* More than there is: the reserve too goes to the guest, and then the guest waits. */
	while (at < MIB(32) && fault(at) == DONE)
		at += PAGE_SIZE;
	assert_true(at < MIB(32) && at > MIB(8));
	assert_true(frames_free() <= guest_frame_floor(vm));
	assert_int_equal(fault(at), WAIT);
	assert_int_equal(vm->stop_reason, STOP_NONE);
	assert_true(vcpu.waits_for_memory && vcpu.blocking);
	assert_null(memory_page(vm, gfn(at >> PAGE_SHIFT)));
	assert_int_equal(audit_run(), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(faults_are_told_apart),
		cmocka_unit_test(largest_page_is_used_and_scrubbed),
		cmocka_unit_test(small_pages_when_no_block_is_free),
		cmocka_unit_test(huge_page_is_scrubbed_in_steps),
		cmocka_unit_test(huge_page_gives_way_to_the_hypervisor),
		cmocka_unit_test(no_huge_pages_where_the_processor_has_none),
		cmocka_unit_test(hostile_frame_numbers_have_no_page),
		cmocka_unit_test(copies_cross_frames),
		cmocka_unit_test(pinned_frames_stay),
		cmocka_unit_test(removal_splits_and_waits),
		cmocka_unit_test(destroy_gives_everything_back),
		cmocka_unit_test(create_refuses_what_has_no_tables),
		cmocka_unit_test(guests_take_ephemeral_pages_back),
		cmocka_unit_test(the_reserve_is_the_last_resort),
	};

	return cmocka_run_group_tests_name("memory", tests, NULL, NULL);
}
