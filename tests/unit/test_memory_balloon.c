/*
 * Memory that a guest's balloon takes and gives back: every state of a gfn against every call,
 * whole 2 MiB units in large and in small pages, errors that change nothing, resets, and races
 * with pins.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include <abi/errno.h>

#include "fake/machine.h"
#include "fake/vm.h"
#include "kernel/core/frame.h"
#include "kernel/core/percpu.h"
#include "kernel/vm/audit.h"
#include "kernel/vm/limbo.h"
#include "kernel/vm/memory_nested.h"

static struct vm *vm;
static struct vcpu vcpu;

static void start(u64 ram, u64 guest)
{
	fake_core_start(ram, 1);
	epoch_quiescent(epoch_now());
	vm = fake_vm(0);
	assert_int_equal(memory_create(vm, guest, &fake_ept), 0);
	vcpu.vm = vm;
}

/* With room for 1 GiB pages, which nobody scrubs. */
static void start_huge(void)
{
	start(GIB(3), GIB(2));
	fake_clear_skip = true;
}

static enum outcome fault(u64 frame)
{
	return memory_fault(&vcpu, gpa(frame << PAGE_SHIFT), ACCESS_WRITE);
}

static u64 state_of(u64 frame)
{
	return vm->memory.gfns[frame] & GFN_STATE;
}

static void a_page_goes_and_comes_back_empty(void **state)
{
	u64 free_before, generation;
	u8 *page;

	(void)state;
	start(MIB(32), MIB(4));
	page = memory_page(vm, gfn(7));
	memset(page, 0xab, PAGE_SIZE);
	generation = vm->memory.generation;
	free_before = frames_free();
	assert_int_equal(fake_level_at(&vm->memory, 7), 2);
	assert_int_equal(memory_inflate(vm, gfn(7), 0), 0);
	assert_true(vm->memory.generation > generation);
	assert_int_equal(fake_level_at(&vm->memory, 7), 0);
	assert_int_equal(fake_level_at(&vm->memory, 8), 1); /* the rest of the large page stays */
	assert_int_equal(vm->memory.populated_pages, BLOCK_PAGES - 1);
	assert_int_equal(vm->memory.ballooned_pages, 1);
	assert_int_equal(limbo_frames(), 1); /* not free before everybody flushed */
	assert_int_equal(audit_run(), 0);
	fake_limbo_empty();
	assert_int_equal(frames_free(), free_before); /* one came, one became the table */

	/* Whoever touches it before it was taken back is in error, whatever the way. */
	assert_int_equal(fault(7), BAD);
	assert_non_null(strstr(fake_log_text, "gfn 0x7 is touched, but it is in the balloon"));
	assert_null(memory_page(vm, gfn(7)));
	assert_int_equal(memory_pin(vm, gfn(7), &(mfn_t){0}), -SLUICE_EFAULT);
	assert_int_equal(memory_write(vm, gpa(7 * PAGE_SIZE - 1), "ab", 2), -SLUICE_EFAULT);
	assert_int_equal(memory_remove(vm, gfn(7)), -SLUICE_EFAULT);
	assert_int_equal(state_of(7), GFN_BALLOONED);

	assert_int_equal(memory_deflate(vm, gfn(7), 0), 0);
	assert_int_equal(vm->memory.ballooned_pages, 0);
	assert_int_equal(state_of(7), GFN_UNPOPULATED);
	assert_int_equal(fault(7), DONE);
	page = memory_page(vm, gfn(7));
	for (unsigned i = 0; i < PAGE_SIZE; i++)
		assert_int_equal(page[i], 0);
	assert_int_equal(audit_run(), 0);
}

static void what_a_guest_may_not_name(void **state)
{
	mfn_t host;
	u64 free_before;

	(void)state;
	start(MIB(64), GIB(3) + MIB(4));
	assert_non_null(memory_page(vm, gfn(5)));
	free_before = frames_free();
	/* Beyond RAM, and in the device hole. */
	static const u64 outside[] = {0xc0000, 0xfffff, 0x100400, 1UL << 52, ~0UL};
	for (unsigned i = 0; i < ARRAY_SIZE(outside); i++) {
		gfn_t frame = gfn(outside[i]), block = gfn(outside[i] & ~511UL);

		assert_int_equal(memory_inflate(vm, frame, 0), -SLUICE_EFAULT);
		assert_int_equal(memory_deflate(vm, frame, 0), -SLUICE_EFAULT);
		assert_int_equal(memory_report(vm, frame, 0), -SLUICE_EFAULT);
		assert_int_equal(memory_inflate(vm, block, BLOCK_ORDER), -SLUICE_EFAULT);
		assert_int_equal(memory_deflate(vm, block, BLOCK_ORDER), -SLUICE_EFAULT);
		assert_int_equal(memory_report(vm, block, BLOCK_ORDER), -SLUICE_EFAULT);
	}
	/* Pinned: twice, so that one unpin is not enough. */
	assert_int_equal(memory_pin(vm, gfn(5), &host), 0);
	assert_int_equal(memory_inflate(vm, gfn(5), 0), -SLUICE_EBUSY);
	assert_int_equal(memory_inflate(vm, gfn(0), BLOCK_ORDER), -SLUICE_EBUSY);
	assert_int_equal(memory_report(vm, gfn(5), 0), -SLUICE_EBUSY);
	assert_int_equal(memory_report(vm, gfn(0), BLOCK_ORDER), -SLUICE_EBUSY);
	assert_int_equal(fake_level_at(&vm->memory, 5), 2); /* not even split */
	assert_int_equal(vm->memory.populated_pages, BLOCK_PAGES);
	memory_unpin(vm, gfn(5));
	/* Twice, alone and in a block; and taken back without having been given. */
	assert_int_equal(memory_deflate(vm, gfn(5), 0), -SLUICE_EINVAL);
	assert_int_equal(memory_inflate(vm, gfn(600), 0), 0); /* never touched: that is fine */
	assert_int_equal(memory_inflate(vm, gfn(600), 0), -SLUICE_EINVAL);
	assert_int_equal(memory_inflate(vm, gfn(512), BLOCK_ORDER), -SLUICE_EINVAL);
	assert_int_equal(memory_report(vm, gfn(600), 0), -SLUICE_EINVAL);
	assert_int_equal(memory_report(vm, gfn(512), BLOCK_ORDER), -SLUICE_EINVAL);
	assert_int_equal(memory_deflate(vm, gfn(512), BLOCK_ORDER), -SLUICE_EINVAL);
	assert_int_equal(vm->memory.ballooned_pages, 1);
	assert_int_equal(vm->memory.reported_pages, 0);
	assert_int_equal(frames_free(), free_before);
	assert_int_equal(limbo_frames(), 0);
	assert_int_equal(audit_run(), 0);
}

static void a_large_page_goes_in_one_piece(void **state)
{
	u64 tables, generation;

	(void)state;
	start(MIB(32), MIB(8));
	assert_int_equal(fault(512), DONE);
	tables = vm->memory.table_pages;
	generation = vm->memory.generation;
	assert_int_equal(memory_inflate(vm, gfn(512), BLOCK_ORDER), 0);
	assert_int_equal(vm->memory.generation, generation + 1);
	assert_int_equal(vm->memory.table_pages, tables);
	assert_int_equal(vm->memory.large_pages, 0);
	assert_int_equal(vm->memory.populated_pages, 0);
	assert_int_equal(vm->memory.ballooned_pages, BLOCK_PAGES);
	assert_int_equal(limbo_frames(), BLOCK_PAGES);
	assert_int_equal(audit_run(), 0);
	fake_limbo_empty();
	assert_int_equal(fault(700), BAD);
	assert_int_equal(memory_deflate(vm, gfn(512), BLOCK_ORDER), 0);
	assert_int_equal(fault(700), DONE);
	assert_int_equal(fake_level_at(&vm->memory, 700), 2); /* large again */
	assert_int_equal(audit_run(), 0);
}

static void a_split_block_goes_with_its_table(void **state)
{
	u64 tables;

	(void)state;
	start(MIB(32), MIB(8));
	assert_int_equal(fault(512), DONE);
	tables = vm->memory.table_pages;
	assert_int_equal(memory_report(vm, gfn(520), 0), 0);
	assert_int_equal(memory_remove(vm, gfn(521)), 0);
	assert_int_equal(vm->memory.table_pages, tables + 1);
	fake_limbo_empty();
	assert_int_equal(memory_inflate(vm, gfn(512), BLOCK_ORDER), 0);
	assert_int_equal(vm->memory.table_pages, tables);
	assert_int_equal(vm->memory.populated_pages, 0);
	assert_int_equal(vm->memory.reported_pages, 0);
	assert_int_equal(vm->memory.ballooned_pages, BLOCK_PAGES);
	assert_int_equal(limbo_frames(), BLOCK_PAGES - 2 + 1);
	assert_int_equal(audit_run(), 0);
	fake_limbo_empty();
	assert_int_equal(memory_deflate(vm, gfn(512), BLOCK_ORDER), 0);
	assert_int_equal(fault(512), DONE);
	assert_int_equal(fake_level_at(&vm->memory, 512), 2);
	assert_int_equal(audit_run(), 0);
}

static void one_page_of_a_block_keeps_it_small(void **state)
{
	(void)state;
	start(MIB(32), MIB(8));
	/* Nothing stands there yet: a touch beside the ballooned page must not bring it back. */
	assert_int_equal(memory_inflate(vm, gfn(600), 0), 0);
	assert_int_equal(fault(601), DONE);
	assert_int_equal(fake_level_at(&vm->memory, 601), 1);
	assert_int_equal(fake_level_at(&vm->memory, 600), 0);
	assert_int_equal(fault(600), BAD);
	assert_int_equal(audit_run(), 0);
	/* Reported pages do not keep a block small. */
	assert_int_equal(memory_report(vm, gfn(1100), 0), 0);
	assert_int_equal(vm->memory.reported_pages, 1);
	assert_int_equal(fault(1101), DONE);
	assert_int_equal(fake_level_at(&vm->memory, 1100), 2);
	assert_int_equal(vm->memory.reported_pages, 0);
	assert_int_equal(audit_run(), 0);
}

static void reported_pages_are_had_by_touching(void **state)
{
	u8 *page;

	(void)state;
	start(MIB(32), MIB(8));
	page = memory_page(vm, gfn(512));
	memset(page, 0x5a, PAGE_SIZE);
	assert_int_equal(memory_report(vm, gfn(512), BLOCK_ORDER), 0);
	assert_int_equal(memory_report(vm, gfn(512), BLOCK_ORDER), 0); /* again: nothing new */
	assert_int_equal(vm->memory.reported_pages, BLOCK_PAGES);
	assert_int_equal(vm->memory.populated_pages, 0);
	assert_int_equal(memory_deflate(vm, gfn(512), 0), -SLUICE_EINVAL);
	assert_int_equal(audit_run(), 0);
	fake_limbo_empty();
	page = memory_page(vm, gfn(513));
	assert_non_null(page);
	assert_int_equal(vm->memory.reported_pages, 0);
	assert_int_equal(page[0], 0);
	/* One by one, in a table that is there; and from reported to ballooned. */
	assert_int_equal(memory_report(vm, gfn(513), 0), 0);
	assert_int_equal(memory_report(vm, gfn(514), 0), 0);
	assert_int_equal(memory_inflate(vm, gfn(514), 0), 0);
	assert_int_equal(vm->memory.reported_pages, 1);
	assert_int_equal(fault(513), DONE);
	assert_int_equal(vm->memory.reported_pages, 0);
	assert_int_equal(fake_level_at(&vm->memory, 513), 1);
	assert_int_equal(audit_run(), 0);
}

static void a_reset_opens_the_balloon(void **state)
{
	(void)state;
	start(MIB(32), MIB(8));
	assert_non_null(memory_page(vm, gfn(3)));
	assert_int_equal(memory_inflate(vm, gfn(3), 0), 0);
	assert_int_equal(memory_inflate(vm, gfn(4), 0), 0);
	assert_int_equal(memory_inflate(vm, gfn(512), BLOCK_ORDER), 0);
	memory_balloon_forget(vm);
	assert_int_equal(vm->memory.ballooned_pages, 0);
	assert_int_equal(audit_run(), 0);
	/* The new driver gave nothing, so it can take nothing back; it may give everything. */
	assert_int_equal(memory_deflate(vm, gfn(3), 0), -SLUICE_EINVAL);
	assert_int_equal(memory_inflate(vm, gfn(3), 0), 0);
	assert_int_equal(fault(3), BAD);
	assert_int_equal(fault(4), DONE);
	assert_int_equal(fault(512), DONE);
	assert_int_equal(fake_level_at(&vm->memory, 512), 2);
	assert_int_equal(vm->memory.ballooned_pages, 1);
	assert_int_equal(audit_run(), 0);
	memory_destroy(vm);
	assert_int_equal(audit_run(), 0);
}

static void huge_pages_are_split_and_not_made(void **state)
{
	(void)state;
	start_huge();
	for (unsigned i = 0; i < BLOCK_PAGES; i++)
		assert_int_equal(fault(0), DONE);
	assert_int_equal(fake_level_at(&vm->memory, 0), 3);
	assert_int_equal(memory_inflate(vm, gfn(1024), BLOCK_ORDER), 0);
	assert_int_equal(fake_level_at(&vm->memory, 0), 2); /* into 2 MiB pages only */
	assert_int_equal(fake_level_at(&vm->memory, 1024), 0);
	assert_int_equal(vm->memory.large_pages, BLOCK_PAGES - 1);
	assert_int_equal(audit_run(), 0);
	/* While anything is in the balloon, no 1 GiB page is begun. */
	assert_int_equal(fault(HUGE_PAGES), DONE);
	assert_int_equal(fake_level_at(&vm->memory, HUGE_PAGES), 2);
	assert_int_equal(audit_run(), 0);
}

static void a_huge_page_under_way_is_given_up(void **state)
{
	(void)state;
	start_huge();
	for (unsigned i = 0; i < BLOCK_PAGES / 2; i++)
		assert_int_equal(fault(HUGE_PAGES), DONE);
	assert_int_equal(memory_inflate(vm, gfn(HUGE_PAGES + 77), 0), 0);
	assert_int_equal(fault(HUGE_PAGES + 600), DONE);
	assert_int_equal(fault(HUGE_PAGES + 76), DONE);
	assert_int_equal(fault(HUGE_PAGES + 77), BAD);
	assert_int_equal(fake_level_at(&vm->memory, HUGE_PAGES + 600), 2);
	assert_int_equal(fake_level_at(&vm->memory, HUGE_PAGES + 76), 1);
	assert_false(vm->memory.huge.active);
	assert_int_equal(audit_run(), 0);
}

/* One touch begins a 1 GiB page: its frames count as the guest's, and whatever it gives away ends
 * it, touched again or not. */
static void a_huge_page_under_way_is_counted_and_goes_with_its_range(void **state)
{
	(void)state;
	for (unsigned reports = 0; reports < 2; reports++) {
		u64 before;

		start_huge();
		before = frames_free();
		assert_int_equal(fault(HUGE_PAGES), DONE);
		assert_int_equal(before - frames_free(), HUGE_PAGES);
		assert_int_equal(vm->memory.populated_pages, HUGE_PAGES);
		assert_int_equal(audit_run(), 0);
		/* Free elsewhere: nothing to do with it. */
		assert_int_equal(memory_report(vm, gfn(0), BLOCK_ORDER), 0);
		assert_true(vm->memory.huge.active);
		if (reports)
			assert_int_equal(memory_report(vm, gfn(HUGE_PAGES + 1024), BLOCK_ORDER), 0);
		else
			assert_int_equal(memory_inflate(vm, gfn(0), 0), 0);
		assert_false(vm->memory.huge.active);
		assert_int_equal(vm->memory.populated_pages, 0);
		assert_in_range(before - frames_free(), 0, 8); /* tables */
		assert_int_equal(audit_run(), 0);
	}
}

static void no_frame_for_the_table_of_a_split(void **state)
{
	mfn_t frame;

	(void)state;
	start(MIB(8), MIB(4));
	assert_int_equal(fault(0), DONE);
	while (!mfn_is_none(frame = frame_alloc(FRAME_DEVICE, 0, 0)))
		;
	assert_int_equal(memory_inflate(vm, gfn(5), 0), -SLUICE_ENOMEM);
	assert_int_equal(state_of(5), GFN_RAM);
	assert_int_equal(vm->memory.ballooned_pages, 0);
	assert_int_equal(audit_run(), 0);
	/* A whole block needs none. */
	assert_int_equal(memory_inflate(vm, gfn(0), BLOCK_ORDER), 0);
	assert_int_equal(audit_run(), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_page_goes_and_comes_back_empty),
		cmocka_unit_test(what_a_guest_may_not_name),
		cmocka_unit_test(a_large_page_goes_in_one_piece),
		cmocka_unit_test(a_split_block_goes_with_its_table),
		cmocka_unit_test(one_page_of_a_block_keeps_it_small),
		cmocka_unit_test(reported_pages_are_had_by_touching),
		cmocka_unit_test(a_reset_opens_the_balloon),
		cmocka_unit_test(huge_pages_are_split_and_not_made),
		cmocka_unit_test(a_huge_page_under_way_is_given_up),
		cmocka_unit_test(a_huge_page_under_way_is_counted_and_goes_with_its_range),
		cmocka_unit_test(no_frame_for_the_table_of_a_split),
	};

	return cmocka_run_group_tests_name("memory_balloon", tests, NULL, NULL);
}
