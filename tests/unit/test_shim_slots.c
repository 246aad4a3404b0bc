/*
 * The map of swap slots against a plain array of booleans.
 */
#include "guest-shim/slots.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static void make(struct slots *slots, u32 count)
{
	u64 *map = calloc(1, slots_map_bytes(count) ? slots_map_bytes(count) : 1);

	assert_non_null(map);
	slots_init(slots, map, count);
}

static void test_every_slot_is_handed_out_once(void **state)
{
	(void)state;
	for (u32 count = 1; count <= 200; count++) {
		bool *seen = calloc(count, sizeof(*seen));
		struct slots slots;

		make(&slots, count);
		for (u32 i = 0; i < count; i++) {
			u32 slot = slots_take(&slots);

			assert_true(slot < count);
			assert_false(seen[slot]);
			seen[slot] = true;
		}
		assert_int_equal(slots_take(&slots), SLOT_NONE);
		assert_int_equal(slots.taken, count);
		free(seen);
		free(slots.map);
	}
}

static void test_no_slots_at_all(void **state)
{
	struct slots slots;

	(void)state;
	slots_init(&slots, NULL, 0);
	assert_int_equal(slots_take(&slots), SLOT_NONE);
	assert_false(slots_give(&slots, 0));
	assert_false(slots_are_scarce(&slots));
}

static void test_what_was_not_taken_is_refused(void **state)
{
	struct slots slots;
	u32 slot;

	(void)state;
	make(&slots, 100);
	slot = slots_take(&slots);
	assert_true(slots_give(&slots, slot));
	assert_false(slots_give(&slots, slot));
	assert_false(slots_give(&slots, 99));
	assert_false(slots_give(&slots, 100));
	assert_false(slots_give(&slots, SLOT_NONE));
	assert_int_equal(slots.taken, 0);
	free(slots.map);
}

static void test_pages_swapped_out_together_lie_together(void **state)
{
	struct slots slots;

	(void)state;
	make(&slots, 1000);
	for (u32 i = 0; i < 500; i++)
		assert_int_equal(slots_take(&slots), i);
	/* A hole behind the cursor is not taken before the end was reached. */
	assert_true(slots_give(&slots, 7));
	for (u32 i = 500; i < 1000; i++)
		assert_int_equal(slots_take(&slots), i);
	assert_int_equal(slots_take(&slots), 7);
	free(slots.map);
}

static void test_scarce_above_one_half(void **state)
{
	struct slots slots;

	(void)state;
	make(&slots, 10);
	for (u32 i = 0; i < 5; i++)
		slots_take(&slots);
	assert_false(slots_are_scarce(&slots));
	slots_take(&slots);
	assert_true(slots_are_scarce(&slots));
	free(slots.map);
}

static void test_random_operations(void **state)
{
	enum { COUNT = 777 };
	static bool taken[COUNT];
	struct slots slots;
	u32 held = 0;

	(void)state;
	make(&slots, COUNT);
	srand(1);
	for (unsigned step = 0; step < 400000; step++) {
		/* Long runs of taking and of giving, so that full and empty are both reached. */
		bool take = rand() % 100 < ((step / 3000) % 2 ? 90 : 10);
		u32 slot = (u32)rand() % COUNT;

		if (take) {
			slot = slots_take(&slots);
			assert_int_equal(slot == SLOT_NONE, held == COUNT);
			if (slot == SLOT_NONE)
				continue;
			assert_true(slot < COUNT && !taken[slot]);
			taken[slot] = true;
			held++;
		} else {
			assert_int_equal(slots_give(&slots, slot), taken[slot]);
			held -= taken[slot];
			taken[slot] = false;
		}
		assert_int_equal(slots.taken, held);
	}
	free(slots.map);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_slot_is_handed_out_once),
		cmocka_unit_test(test_no_slots_at_all),
		cmocka_unit_test(test_what_was_not_taken_is_refused),
		cmocka_unit_test(test_pages_swapped_out_together_lie_together),
		cmocka_unit_test(test_scarce_above_one_half),
		cmocka_unit_test(test_random_operations),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
