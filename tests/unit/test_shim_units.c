/*
 * Units of frames that are wholly free: what may be reported, and when.
 */
#include "guest-shim/units.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define UNITS  6u
#define FRAMES ((UNITS - 1) * BLOCK_PAGES + 100) /* the last one is never whole */
#define AGE    10u

static struct unit all[UNITS];
static struct units units;

static void make(void)
{
	assert_true(units_bytes(FRAMES) == sizeof(all));
	assert_true(units_bytes(FRAMES - 100) == sizeof(all) - sizeof(all[0]));
	memset(all, 0, sizeof(all));
	units_init(&units, all, FRAMES);
}

static void give_unit(u32 first, bool backed)
{
	for (u32 i = 0; i < BLOCK_PAGES; i++)
		unit_give(&units, first + i, backed);
}

static void test_a_unit_is_found_when_it_stayed_free(void **state)
{
	(void)state;
	make();
	assert_int_equal(units_find(&units, 1, AGE, 0), UNIT_NONE);
	give_unit(BLOCK_PAGES, true);
	assert_int_equal(units_find(&units, 1, AGE, 0), UNIT_NONE);
	assert_int_equal(units_find(&units, AGE, AGE, 0), UNIT_NONE);
	assert_int_equal(units_find(&units, AGE + 1, AGE, 0), BLOCK_PAGES);
	/* With one frame taken it is not free, and with that given again it begins anew. */
	unit_take(&units, BLOCK_PAGES + 7, true);
	assert_int_equal(units_find(&units, 2 * AGE, AGE, 0), UNIT_NONE);
	unit_give(&units, BLOCK_PAGES + 7, true);
	assert_int_equal(units_find(&units, 3 * AGE, AGE, 0), UNIT_NONE);
	/* Even if nobody looked in between. */
	unit_take(&units, 2 * BLOCK_PAGES - 1, true);
	unit_give(&units, 2 * BLOCK_PAGES - 1, true);
	assert_int_equal(units_find(&units, 4 * AGE, AGE, 0), UNIT_NONE);
	assert_int_equal(units_find(&units, 5 * AGE - 1, AGE, 0), UNIT_NONE);
	assert_int_equal(units_find(&units, 5 * AGE, AGE, 0), BLOCK_PAGES);
}

static void test_what_is_bare_has_nothing_to_give(void **state)
{
	(void)state;
	make();
	give_unit(0, false);
	(void)units_find(&units, 1, AGE, 0);
	assert_int_equal(units_find(&units, 100, AGE, 0), UNIT_NONE);
	/* One page that was used is enough. */
	unit_take(&units, 3, false);
	unit_give(&units, 3, true);
	assert_int_equal(units_find(&units, 101, AGE, 0), UNIT_NONE);
	assert_int_equal(units_find(&units, 101 + AGE, AGE, 0), 0);
	/* Reported: it is bare again. */
	unit_take(&units, 3, true);
	unit_give(&units, 3, false);
	(void)units_find(&units, 200, AGE, 0);
	assert_int_equal(units_find(&units, 300, AGE, 0), UNIT_NONE);
}

static void test_the_one_that_is_free_for_longest_comes_first(void **state)
{
	(void)state;
	make();
	give_unit(3 * BLOCK_PAGES, true);
	(void)units_find(&units, 1, AGE, 0);
	give_unit(0, true);
	(void)units_find(&units, 2, AGE, 0);
	assert_int_equal(units_find(&units, 2 + AGE, AGE, 0), 3 * BLOCK_PAGES);
	unit_take(&units, 3 * BLOCK_PAGES, true);
	assert_int_equal(units_find(&units, 2 + AGE, AGE, 0), 0);
}

static void test_the_last_part_of_a_unit_is_never_found(void **state)
{
	(void)state;
	make();
	for (u32 frame = FRAMES - 100; frame < FRAMES; frame++)
		unit_give(&units, frame, true);
	(void)units_find(&units, 1, AGE, 0);
	assert_int_equal(units_find(&units, 100, AGE, 0), UNIT_NONE);
}

static void test_a_unit_that_is_nearly_free_needs_room_elsewhere(void **state)
{
	(void)state;
	make();
	give_unit(0, true);
	unit_take(&units, 5, true);
	unit_take(&units, 6, true);
	for (u64 now = 1; now < 100; now += AGE) {
		assert_int_equal(units_find(&units, now, AGE, 1), UNIT_NONE); /* holds two */
		assert_int_equal(units_find(&units, now, AGE, 2), UNIT_NONE); /* nowhere to go */
	}
	/* Only to where something was already: else another unit would be used for it. */
	unit_give(&units, 2 * BLOCK_PAGES, false);
	unit_give(&units, 2 * BLOCK_PAGES + 1, false);
	assert_int_equal(units_find(&units, 200, AGE, 2), UNIT_NONE);
	unit_give(&units, 2 * BLOCK_PAGES + 2, true);
	assert_int_equal(units_find(&units, 201, AGE, 2), UNIT_NONE);
	unit_give(&units, 2 * BLOCK_PAGES + 3, true);
	assert_int_equal(units_find(&units, 202, AGE, 2), 0);
	unit_put_off(&units, 0, 202);
	assert_int_equal(units_find(&units, 202 + AGE - 1, AGE, 2), UNIT_NONE);
	assert_int_equal(units_find(&units, 202 + AGE, AGE, 2), 0);
	/* One that is wholly free comes first. */
	give_unit(3 * BLOCK_PAGES, true);
	assert_int_equal(units_find(&units, 300, AGE, 2), 0);
	assert_int_equal(units_find(&units, 400, AGE, 2), 3 * BLOCK_PAGES);
}

/* Random frames come and go; a plain record of every frame and of when something was taken out of
 * each unit says what may be found. */
static void test_random_operations(void **state)
{
	static bool is_free[FRAMES], backed[FRAMES];
	u64 taken[UNITS] = {0}, looked = 0;
	unsigned found = 0, partly = 0;

	(void)state;
	make();
	srand(5);
	for (u64 now = 1; now < 30000; now++) {
		u32 unit = (u32)rand() % UNITS, first = unit * BLOCK_PAGES;
		u32 end = first + BLOCK_PAGES < FRAMES ? first + BLOCK_PAGES : FRAMES, got, most;
		bool give = rand() % 4;

		/* A stretch of one unit, mostly all of it. */
		if (rand() % 3 == 0)
			first += (u32)rand() % (end - first);
		for (u32 frame = first; frame < end; frame++) {
			if (is_free[frame] == give)
				continue;
			if (give)
				backed[frame] = rand() % 2;
			(give ? unit_give : unit_take)(&units, frame, backed[frame]);
			is_free[frame] = give;
			if (!give)
				taken[unit] = now;
		}
		if (rand() % 3)
			continue;
		most = rand() % 2 ? 0 : 300;
		got = units_find(&units, now, AGE, most);
		if (got != UNIT_NONE) {
			u32 held = 0, own = 0, elsewhere = 0;

			assert_true(got % BLOCK_PAGES == 0 && got + BLOCK_PAGES <= FRAMES);
			for (u32 frame = 0; frame < FRAMES; frame++) {
				bool mine = frame / BLOCK_PAGES == got / BLOCK_PAGES;

				held += mine && !is_free[frame];
				own += mine && is_free[frame] && backed[frame];
				elsewhere += !mine && is_free[frame] && backed[frame];
			}
			assert_true(held <= most && own > 0 && elsewhere >= held);
			partly += held > 0;
			assert_true(now - taken[got / BLOCK_PAGES] >= AGE);
			found++;
		}
		looked++;
	}
	assert_true(looked > 1000 && found > 100 && partly > 10);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_unit_is_found_when_it_stayed_free),
		cmocka_unit_test(test_what_is_bare_has_nothing_to_give),
		cmocka_unit_test(test_the_one_that_is_free_for_longest_comes_first),
		cmocka_unit_test(test_the_last_part_of_a_unit_is_never_found),
		cmocka_unit_test(test_a_unit_that_is_nearly_free_needs_room_elsewhere),
		cmocka_unit_test(test_random_operations),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
