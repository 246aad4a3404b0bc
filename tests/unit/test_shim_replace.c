/*
 * The replacement policy: its lists stay whole under random use, every choice is bounded, and it
 * does what it is there for: streams leave hot pages alone, working sets that fit stay, refaults
 * within reach are kept.
 */
#include "guest-shim/replace.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define PAGES 1000u

static struct replace_node nodes[PAGES];
static struct replace r;
static bool young[PAGES];
static unsigned young_tests;

bool replace_test_young(u32 page)
{
	bool was = young[page];

	young_tests++;
	young[page] = false;
	return was;
}

static int setup(void **state)
{
	(void)state;
	memset(nodes, 0, sizeof(nodes));
	memset(young, 0, sizeof(young));
	replace_init(&r, nodes, PAGES, 60);
	r.anon_evictable = true;
	return 0;
}

static enum replace_class class_of(u32 page)
{
	return nodes[page].list <= LIST_FILE_ACTIVE ? REPLACE_FILE : REPLACE_ANON;
}

/* Every list reads the same in both directions, has its length, and holds only its own. */
static void assert_whole(u32 expected)
{
	u32 total = 0;

	for (unsigned list = 0; list < LISTS; list++) {
		u32 length = 0, before = REPLACE_NONE;

		for (u32 page = r.chains[list].newest; page != REPLACE_NONE;
			page = nodes[page].next) {
			assert_int_equal(nodes[page].list, list);
			assert_int_equal(nodes[page].prev, before);
			before = page;
			assert_true(++length <= PAGES);
		}
		assert_int_equal(r.chains[list].oldest, before);
		assert_int_equal(r.chains[list].length, length);
		total += length;
	}
	assert_int_equal(total, expected);
}

/* As if a file page had come back this moment: file pages alone do not suffice. */
static void files_fall_short(void)
{
	r.clock = MAX(r.clock, 1u);
	r.file_refault = r.clock;
}

static void test_oldest_unused_page_leaves_first(void **state)
{
	(void)state;
	for (u32 page = 0; page < 100; page++)
		replace_add(&r, page, REPLACE_FILE, STAMP_NEW);
	for (u32 page = 0; page < 100; page++)
		assert_int_equal(replace_victim(&r), page);
	assert_int_equal(replace_victim(&r), REPLACE_NONE);
	assert_whole(0);
}

static void test_pages_used_twice_outlive_a_stream(void **state)
{
	u32 stream = 100;

	(void)state;
	for (u32 page = 0; page < 100; page++) {
		replace_add(&r, page, REPLACE_FILE, STAMP_NEW);
		replace_touch(&r, page);
		replace_touch(&r, page);
	}
	for (; stream < 300; stream++) {
		replace_add(&r, stream, REPLACE_FILE, STAMP_NEW);
		replace_touch(&r, stream);
	}
	/* Once through: the stream's pages pass, half of the hot ones are safe whatever happens. */
	for (unsigned i = 0; i < 200; i++) {
		u32 page = replace_victim(&r);

		assert_true(page >= 100);
		replace_add(&r, page, REPLACE_FILE, STAMP_NEW);
		replace_touch(&r, page);
	}
	assert_whole(300);
}

static void test_accessed_anonymous_pages_stay(void **state)
{
	(void)state;
	for (u32 page = 0; page < 60; page++)
		replace_add(&r, page, REPLACE_ANON, STAMP_NEW);
	for (u32 page = 0; page < 30; page++)
		young[page] = true;
	for (u32 page = 30; page < 60; page++)
		assert_int_equal(replace_victim(&r), page);
	assert_whole(30);
}

static void test_anonymous_pages_stay_if_they_cannot_leave(void **state)
{
	(void)state;
	r.anon_evictable = false;
	replace_add(&r, 1, REPLACE_ANON, STAMP_NEW);
	replace_add(&r, 2, REPLACE_FILE, STAMP_NEW);
	assert_int_equal(replace_victim(&r), 2);
	assert_int_equal(replace_victim(&r), REPLACE_NONE);
	assert_whole(1);
}

static void test_locked_pages_are_never_chosen(void **state)
{
	(void)state;
	for (u32 page = 0; page < 10; page++)
		replace_add(&r, page, page % 2 ? REPLACE_FILE : REPLACE_ANON, STAMP_NEW);
	nodes[4].locked = nodes[5].locked = true;
	for (unsigned i = 0; i < 8; i++) {
		u32 page = replace_victim(&r);

		assert_true(page < 10 && page != 4 && page != 5);
	}
	assert_int_equal(replace_victim(&r), REPLACE_NONE);
	nodes[4].locked = false;
	assert_int_equal(replace_victim(&r), 4);
}

static void test_refault_within_reach_is_active(void **state)
{
	u32 near, far;

	(void)state;
	for (u32 page = 0; page < 100; page++) {
		replace_add(&r, page, REPLACE_FILE, STAMP_NEW);
		replace_touch(&r, page);
		replace_touch(&r, page);
	}
	far = replace_stamp(&r);
	for (u32 page = 100; page < 300; page++) {
		replace_add(&r, page, REPLACE_FILE, STAMP_NEW);
		assert_int_equal(replace_victim(&r) < 300, true);
	}
	near = (replace_stamp(&r) - 10) & STAMP_MASK;
	assert_true(replace_add(&r, 900, REPLACE_FILE, near));
	assert_int_equal(nodes[900].list, LIST_FILE_ACTIVE);
	assert_false(replace_add(&r, 901, REPLACE_FILE, far));
	assert_int_equal(nodes[901].list, LIST_FILE_INACTIVE);
}

static void test_a_choice_is_bounded(void **state)
{
	(void)state;
	for (u32 page = 0; page < PAGES; page++)
		replace_add(&r, page, REPLACE_ANON, STAMP_NEW);
	for (unsigned i = 0; i < PAGES; i++) {
		u32 page;

		memset(young, true, sizeof(young));
		young_tests = 0;
		page = replace_victim(&r);
		assert_int_not_equal(page, REPLACE_NONE);
		assert_true(young_tests <= 64 * 33);
	}
	assert_whole(0);
}

static void test_swappiness_0_spares_anonymous_pages(void **state)
{
	unsigned anon = 0;

	(void)state;
	r.swappiness = 0;
	for (u32 page = 0; page < 400; page++)
		replace_add(&r, page, page < 200 ? REPLACE_FILE : REPLACE_ANON, STAMP_NEW);
	for (unsigned i = 0; i < 200; i++) {
		files_fall_short();
		anon += replace_victim(&r) >= 200;
	}
	assert_int_equal(anon, 0);
}

static void test_both_classes_share_the_pressure(void **state)
{
	unsigned left[2] = {0, 0};

	(void)state;
	r.swappiness = 100;
	for (u32 page = 0; page < 800; page++)
		replace_add(&r, page, page < 400 ? REPLACE_FILE : REPLACE_ANON, STAMP_NEW);
	for (unsigned i = 0; i < 200; i++) {
		u32 page;

		files_fall_short();
		page = replace_victim(&r);
		left[page < 400 ? REPLACE_FILE : REPLACE_ANON]++;
	}
	assert_in_range(left[REPLACE_FILE], 80, 120);
	assert_in_range(left[REPLACE_ANON], 80, 120);
}

/* A loop over as many file pages as fit in three quarters of memory beside idle anonymous pages
 * must come to live in memory. */
static void test_a_working_set_that_fits_settles(void **state)
{
	enum { MEMORY = 400, LOOP = 300 };
	static u32 frame_of[LOOP], stamp_of[LOOP], owner[PAGES];
	u32 used = 0;
	unsigned misses = 0;

	(void)state;
	for (u32 i = 0; i < LOOP; i++) {
		frame_of[i] = REPLACE_NONE;
		stamp_of[i] = STAMP_NEW;
	}
	for (; used < MEMORY; used++) {
		replace_add(&r, used, REPLACE_ANON, STAMP_NEW);
		owner[used] = REPLACE_NONE;
	}
	for (unsigned round = 0; round < 20; round++) {
		misses = 0;
		for (u32 i = 0; i < LOOP; i++) {
			if (frame_of[i] == REPLACE_NONE) {
				u32 frame = replace_victim(&r);

				misses++;
				assert_int_not_equal(frame, REPLACE_NONE);
				if (owner[frame] != REPLACE_NONE) {
					frame_of[owner[frame]] = REPLACE_NONE;
					stamp_of[owner[frame]] = replace_stamp(&r);
				}
				replace_add(&r, frame, REPLACE_FILE, stamp_of[i]);
				frame_of[i] = frame;
				owner[frame] = i;
			}
			replace_touch(&r, frame_of[i]);
		}
	}
	assert_true(misses < LOOP / 20);
	assert_whole(MEMORY);
}

/* Pages that move to other frames leave in the order in which they would have left. */
static void test_renamed_pages_keep_their_place(void **state)
{
	(void)state;
	for (u32 page = 0; page < 100; page++)
		replace_add(&r, page, page % 2 ? REPLACE_FILE : REPLACE_ANON, STAMP_NEW);
	/* Both ends, the middle, the only one of its list, and one that was renamed before. */
	replace_keep(&r, 500, REPLACE_FILE);
	nodes[51].referenced = true;
	replace_rename(&r, 0, 600);
	replace_rename(&r, 1, 601);
	replace_rename(&r, 51, 602);
	replace_rename(&r, 99, 603);
	replace_rename(&r, 500, 604);
	replace_rename(&r, 602, 605);
	assert_whole(101);
	assert_int_equal(nodes[602].list, LIST_NONE);
	assert_true(nodes[605].referenced);
	assert_int_equal(r.chains[LIST_ANON_INACTIVE].oldest, 600);
	assert_int_equal(r.chains[LIST_FILE_INACTIVE].oldest, 601);
	assert_int_equal(r.chains[LIST_FILE_INACTIVE].newest, 603);
	assert_int_equal(r.chains[LIST_FILE_ACTIVE].oldest, 604);
	assert_int_equal(nodes[49].prev, 605);
	assert_int_equal(nodes[53].next, 605);
	/* A name that is free again is as good as new. */
	replace_add(&r, 51, REPLACE_FILE, STAMP_NEW);
	assert_whole(102);
}

static void test_random_use(void **state)
{
	static bool present[PAGES];
	u32 count = 0;

	(void)state;
	srand(1);
	for (unsigned step = 0; step < 300000; step++) {
		u32 page = (u32)rand() % PAGES;
		unsigned what = (unsigned)rand() % 10;

		if (!present[page] && what < 7) {
			u32 stamp = rand() % 2 ? STAMP_NEW : (u32)rand() & STAMP_MASK;

			replace_add(&r, page, rand() % 2 ? REPLACE_FILE : REPLACE_ANON, stamp);
			present[page] = true;
			count++;
		} else if (present[page] && what < 4) {
			if (class_of(page) == REPLACE_FILE)
				replace_touch(&r, page);
			else
				young[page] = true;
		} else if (present[page] && what == 4) {
			nodes[page].locked = !nodes[page].locked && rand() % 50 == 0;
		} else if (present[page] && what == 5) {
			replace_remove(&r, page);
			nodes[page].locked = present[page] = false;
			count--;
		} else if (what >= 6) {
			u32 victim = replace_victim(&r);

			if (victim == REPLACE_NONE)
				continue;
			assert_true(present[victim] && !nodes[victim].locked);
			if (rand() % 20 == 0) {
				replace_keep(&r, victim, REPLACE_ANON);
				continue;
			}
			present[victim] = false;
			count--;
		}
		if (step % 1000 == 0)
			assert_whole(count);
	}
	assert_whole(count);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_oldest_unused_page_leaves_first, setup),
		cmocka_unit_test_setup(test_pages_used_twice_outlive_a_stream, setup),
		cmocka_unit_test_setup(test_accessed_anonymous_pages_stay, setup),
		cmocka_unit_test_setup(test_anonymous_pages_stay_if_they_cannot_leave, setup),
		cmocka_unit_test_setup(test_locked_pages_are_never_chosen, setup),
		cmocka_unit_test_setup(test_refault_within_reach_is_active, setup),
		cmocka_unit_test_setup(test_a_choice_is_bounded, setup),
		cmocka_unit_test_setup(test_swappiness_0_spares_anonymous_pages, setup),
		cmocka_unit_test_setup(test_both_classes_share_the_pressure, setup),
		cmocka_unit_test_setup(test_a_working_set_that_fits_settles, setup),
		cmocka_unit_test_setup(test_renamed_pages_keep_their_place, setup),
		cmocka_unit_test_setup(test_random_use, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
