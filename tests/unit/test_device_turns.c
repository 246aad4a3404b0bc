/*
 * How much of a full queue one turn of a disk moves, in an exit or at a timer.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "fake/busy_guest.h"

#define LARGE 255u /* the most pages of a request, its status apart */

static u64 copied_before;

/* Pages that were copied since the last call. */
static u64 copied(void)
{
	u64 pages = fake_pages_copied - copied_before;

	copied_before = fake_pages_copied;
	return pages;
}

/* A driver with the same large request in each entry of the available ring. */
static void fill_with_large(unsigned slot)
{
	describe(slot, 0, LARGE);
	while ((u16)(offered[slot] - used_index(slot)) < QUEUE)
		offer(slot, 0);
}

static void is_worked_off_in_steps(unsigned slot)
{
	u16 done = 0;

	fill_with_large(slot);
	copied();
	set_reg(slot, 0x050, 0);
	assert_in_range(copied(), 0, LARGE);
	for (unsigned turn = 0; used_index(slot) < QUEUE; turn++) {
		assert_in_range(turn, 0, 2 * QUEUE);
		assert_true(used_index(slot) >= done);
		for (; done < used_index(slot); done++)
			assert_int_equal(used_bytes(slot, done), LARGE * PAGE_SIZE + 1);
		fake_tsc += SECOND / 100;
		timers_serve();
		assert_in_range(copied(), 0, LARGE);
	}
	assert_int_equal(vm->devices[slot]->work, 0);
}

/* A full queue is no longer a step than its largest request, with and without service time. */
static void large_requests_one_a_turn(void **state)
{
	(void)state;
	fake_copy_ticks = 500;
	is_worked_off_in_steps(0);
	is_worked_off_in_steps(DISKS - 1);
}

/* A vCPU elsewhere has a next one, and rings, while the device is at work on the last. */
static unsigned rings_left;

static void large_again(unsigned slot)
{
	if (rings_left == 0)
		return;
	rings_left--;
	offer(slot, 0);
	set_reg(slot, 0x050, 0);
}

static void rings_do_not_make_a_turn_longer(void **state)
{
	const unsigned slot = DISKS - 1;

	(void)state;
	fake_copy_ticks = 500;
	on_interrupt = large_again;
	for (unsigned pages = LARGE; pages >= 1; pages /= 5) {
		const u16 before = used_index(slot);
		const unsigned turn = pages == LARGE ? 1 : pages == 51 ? 3 : 8;

		/* Small ones are all done at once, up to the eight rounds that a turn has. */
		rings_left = 12;
		describe(slot, 0, pages);
		offer(slot, 0);
		copied();
		set_reg(slot, 0x050, 0);
		assert_int_equal(copied(), turn * pages);
		for (unsigned i = 0; i < 20; i++) {
			fake_tsc += SECOND / 100;
			timers_serve();
			assert_in_range(copied(), 0, turn * pages);
		}
		assert_int_equal((u16)(used_index(slot) - before), 13);
		assert_int_equal(rings_left, 0);
	}
}

int main(void)
{
#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(large_requests_one_a_turn),
		TEST(rings_do_not_make_a_turn_longer),
	};

	return cmocka_run_group_tests_name("device_turns", tests, NULL, NULL);
}
