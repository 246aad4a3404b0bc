/*
 * Range lists against a plain model: one flag a unit of address space.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "arch/x86/ranges.h"

#define UNITS 64

static struct boot_range storage[UNITS], avoid_storage[UNITS];
static unsigned count, avoid_count;
static const struct ranges list = {storage, &count, UNITS};
static const struct ranges avoid = {avoid_storage, &avoid_count, UNITS};

static int reset(void **state)
{
	(void)state;
	count = avoid_count = 0;
	return 0;
}

/* The one form of a set: ascending, not empty, no two that touch. */
static void check_against(const bool *model)
{
	bool covered[UNITS] = {false};

	for (unsigned i = 0; i < count; i++) {
		assert_true(storage[i].bytes > 0);
		if (i > 0)
			assert_true(storage[i].start.raw >
				    storage[i - 1].start.raw + storage[i - 1].bytes);
		for (u64 at = 0; at < storage[i].bytes; at++)
			covered[storage[i].start.raw + at] = true;
	}
	assert_memory_equal(covered, model, sizeof(covered));
}

static void random_adds_and_removes_match_a_model(void **state)
{
	(void)state;
	srand(1);
	for (int round = 0; round < 200; round++) {
		bool model[UNITS] = {false};

		count = 0;
		for (int step = 0; step < 50; step++) {
			unsigned start = (unsigned)rand() % UNITS;
			unsigned end = start + (unsigned)rand() % (UNITS - start + 1);
			bool adds = rand() % 2;

			memset(model + start, adds, end - start);
			assert_int_equal(adds ? ranges_add(list, start, end)
					      : ranges_remove(list, start, end),
				0);
			check_against(model);
		}
	}
}

static void a_full_list_says_so_and_still_merges(void **state)
{
	const struct ranges small = {storage, &count, 2};

	(void)state;
	assert_int_equal(ranges_add(small, 0, 10), 0);
	assert_int_equal(ranges_add(small, 20, 30), 0);
	assert_true(ranges_add(small, 40, 50) < 0);
	assert_true(ranges_remove(small, 4, 6) < 0);
	assert_int_equal(ranges_add(small, 10, 20), 0);
	assert_int_equal(count, 1);
	assert_int_equal(storage[0].bytes, 30);
}

static void finding_skips_what_is_used_and_keeps_alignment(void **state)
{
	(void)state;
	assert_int_equal(ranges_add(list, 0x1000, 0x9000), 0);
	assert_int_equal(ranges_add(list, 0x20000, 0x30000), 0);
	assert_int_equal(ranges_add(avoid, 0x2000, 0x3000), 0);
	assert_int_equal(ranges_add(avoid, 0x8000, 0x21000), 0);
	assert_int_equal(ranges_find(list, avoid, 0, 0x1000, 0x1000), 0x1000);
	assert_int_equal(ranges_find(list, avoid, 0, 0x2000, 0x1000), 0x3000);
	assert_int_equal(ranges_find(list, avoid, 0, 0x1000, 0x4000), 0x4000);
	assert_int_equal(ranges_find(list, avoid, 0x7000, 0x1000, 0x1000), 0x7000);
	assert_int_equal(ranges_find(list, avoid, 0, 0x6000, 0x1000), 0x21000);
	assert_int_equal(ranges_find(list, avoid, 0, 0xf000, 0x1000), 0x21000);
	assert_true(ranges_find(list, avoid, 0, 0x10000, 0x1000) == ~0UL);
	assert_true(ranges_find(list, avoid, 0x30000, 0x1000, 0x1000) == ~0UL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(random_adds_and_removes_match_a_model, reset),
		cmocka_unit_test_setup(a_full_list_says_so_and_still_merges, reset),
		cmocka_unit_test_setup(finding_skips_what_is_used_and_keeps_alignment, reset),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
