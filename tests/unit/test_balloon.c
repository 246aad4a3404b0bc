/*
 * A whole virtio-balloon device over real guest memory: a driver written for this test inflates,
 * deflates, reports free pages and gives statistics through the registers and queues, and then
 * breaks every rule. After each test the audit is silent and nothing stays pinned.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "fake/balloon_guest.h"

/* ---- What it is for ----------------------------------------------------------------------------
 */

static void what_the_registers_say(void **state)
{
	(void)state;
	assert_int_equal(reg(SLOT, 0x008), VIRTIO_ID_BALLOON);
	for (u32 queue = 0; queue < 6; queue++) {
		set_reg(SLOT, 0x030, queue);
		assert_int_equal(reg(SLOT, 0x034), queue < 4 ? VIRTQUEUE_SIZE_MAX : 0);
	}
	set_reg(SLOT, 0x014, 0);
	assert_int_equal(reg(SLOT, 0x010), FEATURES);
	/* A driver that would take pages back without saying so is refused. */
	assert_int_equal(negotiate(SLOT, FEATURES & ~1u), 3);
	assert_int_equal(negotiate(SLOT, FEATURES | 8), 3);
	assert_int_equal(negotiate(SLOT, 1), 11);
}

static void pages_go_and_come_back(void **state)
{
	static const u32 numbers[] = {1000, 1002, 1003, 3999, 2000, 1001};
	(void)state;

	memset(memory_page(vm, gfn(1000)), 0x77, PAGE_SIZE);
	send_numbers(BALLOON_INFLATE, numbers, 6);
	assert_int_equal(used_index(BALLOON_INFLATE), 1);
	assert_int_equal(raised, 1);
	assert_int_equal(vm->memory.ballooned_pages, 6);
	assert_int_equal(limbo_frames(), 4); /* the other two were never touched */
	for (unsigned i = 0; i < 6; i++)
		assert_null(memory_page(vm, gfn(numbers[i])));
	assert_non_null(memory_page(vm, gfn(1004)));
	send_numbers(BALLOON_DEFLATE, numbers, 6);
	assert_int_equal(used_index(BALLOON_DEFLATE), 1);
	assert_int_equal(vm->memory.ballooned_pages, 0);
	assert_int_equal(*(u8 *)memory_page(vm, gfn(1000)), 0);
}

static void arrays_may_lie_in_any_buffers(void **state)
{
	u32 numbers[10];
	(void)state;

	for (unsigned i = 0; i < 10; i++)
		numbers[i] = 3000 + i * i;
	/* 40 bytes in three buffers that cut a number in two, and an empty one between. */
	guest_write(ARRAY + PAGE_SIZE - 7, numbers, 18);
	guest_write(STATS, (u8 *)numbers + 18, 22);
	set_desc(BALLOON_INFLATE, 3, ARRAY + PAGE_SIZE - 7, 18, VIRTQ_DESC_NEXT, 5);
	set_desc(BALLOON_INFLATE, 5, 0, 0, VIRTQ_DESC_NEXT, 7);
	set_desc(BALLOON_INFLATE, 7, STATS, 1, VIRTQ_DESC_NEXT, 1);
	set_desc(BALLOON_INFLATE, 1, STATS + 1, 21, 0, 0);
	offer(BALLOON_INFLATE, 3);
	notify(BALLOON_INFLATE);
	assert_int_equal(used_index(BALLOON_INFLATE), 1);
	assert_int_equal(vm->memory.ballooned_pages, 10);
	for (unsigned i = 0; i < 10; i++)
		assert_null(memory_page(vm, gfn(numbers[i])));
	/* No numbers at all are no error. */
	set_desc(BALLOON_INFLATE, 0, 0, 0, 0, 0);
	offer(BALLOON_INFLATE, 0);
	notify(BALLOON_INFLATE);
	assert_int_equal(used_index(BALLOON_INFLATE), 2);
}

static void blocks_go_as_one(void **state)
{
	u64 generation, tables;
	(void)state;

	assert_non_null(memory_page(vm, gfn(1024)));
	assert_non_null(memory_page(vm, gfn(1536)));
	tables = vm->memory.table_pages;
	generation = vm->memory.generation;
	/* A block, with pages around it. */
	send_range(BALLOON_INFLATE, 1024, 512);
	assert_int_equal(vm->memory.generation, generation + 1);
	assert_int_equal(vm->memory.table_pages, tables);
	assert_int_equal(used_index(BALLOON_INFLATE), 1);
	assert_int_equal(vm->memory.ballooned_pages, 512);
	send_range(BALLOON_INFLATE, 1536, 511); /* not a whole one: page by page, in turns */
	serve();
	assert_int_equal(used_index(BALLOON_INFLATE), 2);
	assert_int_equal(vm->memory.ballooned_pages, 1023);
	assert_int_equal(vm->memory.table_pages, tables + 1);
	send_range(BALLOON_DEFLATE, 1020 + 4, 1000);
	serve();
	assert_int_equal(vm->memory.ballooned_pages, 23);
	assert_int_equal(used_index(BALLOON_DEFLATE), 1);
}

static void runs_are_cut_at_blocks(void **state)
{
	(void)state;
	/* 3 pages, a block, 2 pages in one array, and nothing is touched beside them. */
	send_range(BALLOON_INFLATE, 1021, 517);
	serve();
	assert_int_equal(used_index(BALLOON_INFLATE), 1);
	assert_int_equal(vm->memory.ballooned_pages, 517);
	assert_non_null(memory_page(vm, gfn(1020)));
	assert_null(memory_page(vm, gfn(1021)));
	assert_null(memory_page(vm, gfn(1537)));
	assert_non_null(memory_page(vm, gfn(1538)));
}

static void work_is_bounded(void **state)
{
	u32 number;
	unsigned turns;
	(void)state;

	/* 2000 pages that are no run: every second one. */
	for (u32 i = 0; i < 1500; i++) {
		number = 1000 + 2 * i;
		guest_write(ARRAY + i * 4u, &number, 4);
	}
	set_desc(BALLOON_INFLATE, 0, ARRAY, 6000, 0, 0);
	offer(BALLOON_INFLATE, 0);
	notify(BALLOON_INFLATE);
	assert_int_equal(vm->memory.ballooned_pages, 512);
	assert_int_equal(used_index(BALLOON_INFLATE), 0);
	turns = serve();
	assert_int_equal(turns, 2);
	assert_int_equal(used_index(BALLOON_INFLATE), 1);
	assert_int_equal(vm->memory.ballooned_pages, 1500);
	send_range(BALLOON_DEFLATE, 1000, 1);
	assert_int_equal(vm->memory.ballooned_pages, 1499);
}

static void free_pages_are_reported(void **state)
{
	u8 *page;
	(void)state;

	page = memory_page(vm, gfn(1024));
	memset(page, 0x33, PAGE_SIZE);
	assert_non_null(memory_page(vm, gfn(2048)));
	set_desc(BALLOON_REPORTING, 0, MIB(4), MIB(2), VIRTQ_DESC_WRITE | VIRTQ_DESC_NEXT, 1);
	set_desc(BALLOON_REPORTING, 1, MIB(8) + PAGE_SIZE, 3 * PAGE_SIZE, VIRTQ_DESC_WRITE, 0);
	offer(BALLOON_REPORTING, 0);
	notify(BALLOON_REPORTING);
	assert_int_equal(used_index(BALLOON_REPORTING), 1);
	assert_int_equal(vm->memory.reported_pages, 515);
	assert_int_equal(limbo_frames(), 515);
	assert_int_equal(raised, 1);
	/* Used again without a word. */
	assert_int_equal(*(u8 *)memory_page(vm, gfn(1024)), 0);
	assert_non_null(memory_page(vm, gfn(2049)));
	assert_int_equal(vm->memory.reported_pages, 2);
}

/* ---- What it must not do -----------------------------------------------------------------------
 */

static void pages_that_are_not_its_own(void **state)
{
	static const struct {
		u32 number;
		const char *message;
	} cases[] = {
		{(u32)PAGES, "inflates gfn 0x1000, which is not RAM; RAM ends at gfn 0x1000"},
		{0xc0000, "inflates gfn 0xc0000, which is not RAM"},
		{~0U, "inflates gfn 0xffffffff, which is not RAM"},
		{RINGS(1) >> PAGE_SHIFT, "which is pinned by I/O"},
	};
	(void)state;

	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		u32 numbers[2] = {2222, cases[i].number};

		send_numbers(BALLOON_INFLATE, numbers, 2);
		assert_int_equal(vm->memory.ballooned_pages, 1);
		is_broken(cases[i].message);
		bring_up();
	}
	/* A whole block outside: it is named page by page. */
	send_range(BALLOON_INFLATE, (u32)PAGES, 512);
	is_broken("inflates gfn 0x1000, which is not RAM");
}

static void the_same_page_twice(void **state)
{
	static const u32 twice[] = {2222, 2223, 2222};
	(void)state;

	send_numbers(BALLOON_INFLATE, twice, 3);
	is_broken("inflates gfn 0x8ae, which is in the balloon");
	bring_up();
	send_range(BALLOON_INFLATE, 1024, 512);
	send_range(BALLOON_INFLATE, 1024, 512);
	is_broken("inflates gfn 0x400, which is in the balloon");
	bring_up();
	send_range(BALLOON_DEFLATE, 700, 1);
	is_broken("deflates gfn 0x2bc, which is not in the balloon");
	bring_up();
	send_range(BALLOON_DEFLATE, (u32)PAGES - 1, 2);
	is_broken("deflates gfn 0xfff, which is not in the balloon");
}

static void ranges_that_cannot_be(void **state)
{
	static const struct {
		u64 address;
		u32 bytes;
		const char *message;
	} cases[] = {
		{MIB(8) + 8, PAGE_SIZE, "range reported free that is not of whole pages"},
		{MIB(8), PAGE_SIZE + 1, "range reported free that is not of whole pages"},
		{GUEST_RAM - PAGE_SIZE, 2 * PAGE_SIZE,
			"reports as free gfn 0x1000, which is not RAM"},
		{~0UL & ~PAGE_MASK, 2 * PAGE_SIZE, "reports as free gfn 0xfffffffffffff"},
		{RINGS(2), PAGE_SIZE, "which is pinned by I/O"},
	};
	(void)state;

	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		set_desc(BALLOON_REPORTING, 0, cases[i].address, cases[i].bytes, VIRTQ_DESC_WRITE,
			0);
		offer(BALLOON_REPORTING, 0);
		notify(BALLOON_REPORTING);
		is_broken(cases[i].message);
		bring_up();
	}
	send_range(BALLOON_INFLATE, 2048, 1);
	set_desc(BALLOON_REPORTING, 0, MIB(8), PAGE_SIZE, VIRTQ_DESC_WRITE, 0);
	offer(BALLOON_REPORTING, 0);
	notify(BALLOON_REPORTING);
	is_broken("reports as free gfn 0x800, which is in the balloon");
}

static void arrays_that_cannot_be(void **state)
{
	(void)state;
	set_desc(BALLOON_INFLATE, 0, ARRAY, 7, 0, 0);
	offer(BALLOON_INFLATE, 0);
	notify(BALLOON_INFLATE);
	is_broken("not of 32-bit frame numbers");
	bring_up();
	set_desc(BALLOON_DEFLATE, 0, GUEST_RAM - 4, 8, 0, 0);
	offer(BALLOON_DEFLATE, 0);
	notify(BALLOON_DEFLATE);
	is_broken("an array of frame numbers outside RAM");
	bring_up();
	set_desc(BALLOON_INFLATE, 0, ~0UL - 3, 8, 0, 0);
	offer(BALLOON_INFLATE, 0);
	notify(BALLOON_INFLATE);
	is_broken("an array of frame numbers outside RAM");
	bring_up();
	/* The array itself goes into the balloon. */
	send_range(BALLOON_INFLATE, ARRAY >> PAGE_SHIFT, 1);
	assert_int_equal(used_index(BALLOON_INFLATE), 1);
	set_desc(BALLOON_INFLATE, 0, ARRAY, 4, 0, 0);
	offer(BALLOON_INFLATE, 0);
	notify(BALLOON_INFLATE);
	is_broken("an array of frame numbers outside RAM");
}

static void broken_queues(void **state)
{
	(void)state;
	for (unsigned queue = 0; queue < 4; queue++) {
		set_desc(queue, 0, ARRAY, 0, VIRTQ_DESC_NEXT, 0);
		offer(queue, 0);
		notify(queue);
		is_broken("length of a chain (a loop)");
		bring_up();
	}
	set_desc(BALLOON_STATISTICS, 0, GUEST_RAM, 10, 0, 0);
	offer(BALLOON_STATISTICS, 0);
	notify(BALLOON_STATISTICS);
	is_broken("statistics at 0x1000000, which is not RAM");
}

/* A chain that changes while it is worked off is checked as it is used. */
static void chains_that_change(void **state)
{
	u32 number;
	(void)state;

	for (u32 i = 0; i < 1000; i++) {
		number = 1000 + 2 * i;
		guest_write(ARRAY + i * 4u, &number, 4);
	}
	set_desc(BALLOON_INFLATE, 0, ARRAY, 4000, 0, 0);
	offer(BALLOON_INFLATE, 0);
	notify(BALLOON_INFLATE);
	assert_int_equal(vm->memory.ballooned_pages, 512);
	set_desc(BALLOON_INFLATE, 0, ARRAY, 8, 0, 0); /* shorter than what is done */
	serve();
	assert_int_equal(used_index(BALLOON_INFLATE), 1);
	assert_int_equal(vm->memory.ballooned_pages, 512);
	/* The next one starts at its beginning. */
	send_range(BALLOON_INFLATE, 3001, 2);
	assert_int_equal(vm->memory.ballooned_pages, 514);
	/* And one that goes away under the device, with its queue. */
	for (u32 i = 0; i < 600; i++) {
		number = 2801 + 2 * i;
		guest_write(ARRAY + i * 4u, &number, 4);
	}
	set_desc(BALLOON_INFLATE, 0, ARRAY, 4 * 100, 0, 0);
	offer(BALLOON_INFLATE, 0);
	set_reg(SLOT, 0x030, BALLOON_INFLATE);
	set_reg(SLOT, 0x044, 0);
	notify(BALLOON_INFLATE);
	assert_int_equal(vm->memory.ballooned_pages, 514);
	assert_int_equal(reg(SLOT, 0x070), 15);
}

static void no_frame_for_a_table(void **state)
{
	static mfn_t held[MIB(64) / PAGE_SIZE];
	unsigned count = 0;
	u32 number = 2060;
	mfn_t frame;
	(void)state;

	assert_non_null(memory_page(vm, gfn(2048)));
	while (!mfn_is_none(frame = frame_alloc(FRAME_DEVICE, 0, 0)))
		held[count++] = frame;
	send_numbers(BALLOON_INFLATE, &number, 1);
	assert_int_equal(vm->memory.ballooned_pages, 0);
	assert_int_equal(reg(SLOT, 0x070), 15); /* not its fault */
	frame_free(held[--count], 0);
	serve();
	assert_int_equal(vm->memory.ballooned_pages, 1);
	assert_int_equal(used_index(BALLOON_INFLATE), 1);
	while (count > 0)
		frame_free(held[--count], 0);
}

static void a_stopped_guest_is_left_alone(void **state)
{
	(void)state;
	vm->stop_reason = STOP_SHUTDOWN;
	send_range(BALLOON_INFLATE, 2000, 4);
	ticks(3);
	assert_int_equal(vm->memory.ballooned_pages, 0);
	vm->stop_reason = STOP_NONE;
}

int main(void)
{
#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(what_the_registers_say),
		TEST(pages_go_and_come_back),
		TEST(arrays_may_lie_in_any_buffers),
		TEST(blocks_go_as_one),
		TEST(runs_are_cut_at_blocks),
		TEST(work_is_bounded),
		TEST(free_pages_are_reported),
		TEST(pages_that_are_not_its_own),
		TEST(the_same_page_twice),
		TEST(ranges_that_cannot_be),
		TEST(arrays_that_cannot_be),
		TEST(broken_queues),
		TEST(chains_that_change),
		TEST(no_frame_for_a_table),
		TEST(a_stopped_guest_is_left_alone),
	};

	return cmocka_run_group_tests_name("balloon", tests, NULL, NULL);
}
