/*
 * What the policy `refault` believes of a guest's hunger: gets, hits, first reads and idle memory
 * against each other (balloon_three.h).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "balloon_three.h"

/* Asking for pages without reading the disk is no hunger. */
static void misses_without_reads_are_not_believed(void **state)
{
	(void)state;
	start("refault");
	hungry(1, 1000);
	samples[1].disk_reads = 0;
	ticks(20);
	assert_in_range(holds(1), 0, 10000);
	assert_int_equal(plan.target[0].ram, 8000);
}

/* Nor does RAM grow by gets that brought nothing. */
static void ram_grows_by_what_was_brought(void **state)
{
	(void)state;
	start("refault");
	hungry(1, 10);
	samples[1].tmem[0].gets = 5000;
	ticks(10);
	assert_in_range(plan.target[1].ram, 0, 8000 + 10 * 10);
}

/* And not faster than by a 20th of its maximum a second, so that the rest of its share is at hand
 * for others when a short spell ends. */
static void ram_grows_in_steps(void **state)
{
	(void)state;
	start("refault");
	hungry(1, 5000);
	samples[1].tmem[0].hits = 5000;
	samples[1].pool = 2000;
	ticks(1);
	assert_int_equal(plan.target[1].ram, 8000 + 20000 / 20);
	start("refault");
	balloon.parameters.tick_ms = 100;
	hungry(1, 5000);
	samples[1].tmem[0].hits = 5000;
	samples[1].pool = 2000;
	ticks(1);
	assert_int_equal(plan.target[1].ram, 8000 + 20000 / 200);
}

/* RAM out of a share that is full costs the share its oldest pages: half a page a hit. */
static void ram_grows_by_half_of_the_hits_in_a_full_share(void **state)
{
	(void)state;
	for (u64 room = 0; room <= 100; room += 100) {
		start("refault");
		ticks(1);
		hungry(1, 200);
		samples[1].tmem[0].hits = 200;
		samples[1].disk_reads = samples[1].refaults = 0;
		samples[1].pool = 2000 - room;
		ticks(1);
		assert_int_equal(plan.target[1].ram, 8000 + 200 / 2 + room);
	}
}

/* Nor does a guest need more while it has RAM that it never touched, but for a 32nd. */
static void ram_grows_only_when_it_is_full(void **state)
{
	const u64 untouched[] = {0, 250, 350, ~0UL};
	const u64 growth[] = {1000, 1000, 900, 0};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(untouched); i++) {
		start("refault");
		ticks(1);
		hungry(1, 5000);
		samples[1].untouched = untouched[i];
		samples[1].tmem[0].hits = 5000;
		samples[1].pool = 2000;
		ticks(1);
		assert_int_equal(plan.target[1].ram, 8000 + growth[i]);
	}
}

/* Hits bring pages into RAM; where all RAM lies idle there were none, whatever was put and got. */
static void hits_that_leave_ram_idle_are_not_believed(void **state)
{
	u64 held[2];

	(void)state;
	for (unsigned idle = 0; idle < 2; idle++) {
		start("refault");
		hungry(0, 3000);
		ghosts[0].found[12000 / ghosts[0].step] = 0;
		ghosts[0].found[24000 / ghosts[0].step] = 64 * 256;
		hungry(1, 5000);
		samples[1].tmem[0].hits = 5000;
		samples[1].disk_reads = 0;
		samples[1].pool = 2000;
		ghosts[1].found[12000 / ghosts[1].step] = 0;
		ghosts[1].found[9000 / ghosts[1].step] = 64 * 256;
		if (idle) {
			samples[1].idle[7] = samples[1].actual;
			samples[1].touched[0] = 0;
		}
		ticks(40);
		held[idle] = holds(1);
	}
	assert_in_range(held[1], 1000, held[0] / 2);
}

/* A guest that reads for the first time has no distances. If its RAM is in use up to the edge it is
 * taken to go on like that, and if not, not. */
static void first_reads_count_beyond_a_busy_edge(void **state)
{
	(void)state;
	for (unsigned busy = 0; busy < 2; busy++) {
		start("refault");
		hungry(1, 1000);
		memset(ghosts[1].found, 0, sizeof(ghosts[1].found));
		ghosts[1].not_found = ghosts[1].first = 64 * 256;
		samples[1].idle[7] = busy ? 0 : 8000;
		samples[1].touched[0] = busy ? 8000 : 0;
		ticks(10);
		assert_true(busy ? holds(1) > 12000 : holds(1) <= 10000);
	}
}

/* A guest that has read all its files once reads them again. The sample remembers first reads for
 * long, but those are counted too, and so it is as hungry as it is. */
static void first_reads_of_before_do_not_hide_refaults(void **state)
{
	const struct balloon_guest *guest = &balloon.guest[1];

	(void)state;
	start("refault");
	for (unsigned tick = 0; tick < 20; tick++) {
		bool again = tick >= 10;

		samples[1].actual = 8000;
		hungry(1, 1000);
		samples[1].refaults = again ? 1000 : 0;
		ghosts[1].found[12000 / ghosts[1].step] = again ? 32 * 256 : 0;
		ghosts[1].not_found = ghosts[1].first = 32 * 256;
		ticks(1);
	}
	assert_true(
		guest->curve[12600 / guest->step] - guest->curve[11000 / guest->step] > 800 * 256);
}

/* Distances say that all it asks for lies within what it holds, and yet it misses: what is missing
 * lies beyond, but nobody knows where, so it is no steep stretch. And the other way round. */
static void what_distances_get_wrong_is_spread(void **state)
{
	const struct balloon_guest *guest = &balloon.guest[1];
	u64 at[3], total;

	(void)state;
	for (unsigned beyond = 0; beyond < 2; beyond++) {
		start("refault");
		samples[1].pool = 2000;
		hungry(1, 1000);
		samples[1].tmem[0].hits = beyond ? 900 : 100;
		samples[1].disk_reads = samples[1].refaults = beyond ? 100 : 900;
		memset(ghosts[1].found, 0, sizeof(ghosts[1].found));
		ghosts[1].found[(beyond ? 11500 : 8500) / ghosts[1].step] = 64 * 256;
		ticks(1);
		for (unsigned i = 0; i < 3; i++) /* on the other side of 10000, held */
			at[i] = guest->curve[10000 / guest->step + i - 2 * beyond];
		total = guest->curve[BALLOON_BUCKETS];
		assert_in_range(at[1] - at[0], total / 6, total / 3);
		assert_in_range(at[2] - at[1], total / 6, total / 3);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(misses_without_reads_are_not_believed),
		cmocka_unit_test(ram_grows_by_what_was_brought),
		cmocka_unit_test(ram_grows_in_steps),
		cmocka_unit_test(ram_grows_by_half_of_the_hits_in_a_full_share),
		cmocka_unit_test(ram_grows_only_when_it_is_full),
		cmocka_unit_test(hits_that_leave_ram_idle_are_not_believed),
		cmocka_unit_test(first_reads_count_beyond_a_busy_edge),
		cmocka_unit_test(first_reads_of_before_do_not_hide_refaults),
		cmocka_unit_test(what_distances_get_wrong_is_spread),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
