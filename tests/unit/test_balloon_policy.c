/*
 * What each policy is for, in the smallest situation that shows it (balloon_three.h). What of a
 * guest's hunger is believed has test_balloon_evidence.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "balloon_three.h"

static void static_never_moves(void **state)
{
	(void)state;
	start("static");
	hungry(1, 1000);
	ticks(20);
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(plan.target[i].ram, 8000);
		assert_int_equal(plan.target[i].share, 2000);
	}
}

/* Guests begin with more than there is: whatever the policy, they come down until all fits. */
static void who_has_too_much_gives_until_all_fits(void **state)
{
	(void)state;
	for (unsigned policy = 0; balloon_policy_name(policy); policy++) {
		u64 sum = 0;

		start(balloon_policy_name(policy));
		samples[0].actual = 20000;
		samples[1].actual = 20000;
		samples[2].responsive = false;
		ticks(40);
		for (unsigned i = 0; i < 3; i++)
			sum += plan.target[i].ram;
		assert_true(sum <= 30000);
		assert_true(plan.target[0].ram >= 8000 && plan.target[1].ram >= 8000);
		assert_int_equal(plan.target[2].ram, 8000);
	}
}

static void selfballoon_follows_what_is_said(void **state)
{
	(void)state;
	start("selfballoon");
	for (unsigned i = 0; i < 3; i++)
		samples[i].free = samples[i].caches = 0;
	samples[0].caches = 4000;
	ticks(1);
	assert_int_equal(plan.target[0].ram, 8000 - 4000 / 8);
	assert_int_equal(plan.target[1].ram, 8000);
	samples[1].swap_in = 700;
	ticks(1);
	assert_int_equal(plan.target[1].ram, 8700);
}

static void shares_taxes_idle_memory(void **state)
{
	(void)state;
	start("shares");
	samples[2].idle[7] = 0;
	ticks(40);
	assert_true(plan.target[2].ram > 2 * plan.target[0].ram);
	assert_in_range(plan.target[0].ram, plan.target[1].ram - 1, plan.target[1].ram + 1);
}

static void refault_feeds_the_hungry(void **state)
{
	(void)state;
	start("refault");
	hungry(1, 1000);
	ticks(2);
	assert_true(holds(1) >= 12000);
	assert_true(plan.move_count > 0);
	ticks(10);
	assert_in_range(holds(1), 12000, 13000);
}

static void who_gave_who_got_and_why(void **state)
{
	bool seen = false;

	(void)state;
	start("refault");
	ticks(1);
	hungry(1, 1000);
	ticks(1);
	for (unsigned i = 0; i < plan.move_count; i++) {
		const struct balloon_move *move = &plan.moves[i];

		if (move->to != 1 || move->from == 1)
			continue;
		seen = true;
		assert_int_equal(move->reason, BALLOON_REFAULTS);
		assert_true(move->gain > move->loss);
	}
	assert_true(seen);
}

/* Between its RAM and its share: one gives RAM that another needs more, and that one makes RAM of
 * its share as it asks for its pages. */
static void what_a_guest_does_with_its_own_has_a_reason(void **state)
{
	u32 given = 0, taken = 0;

	(void)state;
	start("refault");
	hungry(1, 1000);
	for (unsigned tick = 0; tick < 40; tick++) {
		ticks(1);
		for (unsigned i = 0; i < plan.move_count; i++) {
			const struct balloon_move *move = &plan.moves[i];

			if (move->from == move->to && move->from == 0)
				given |= 1U << move->reason;
			if (move->from == 1 && move->to == 1)
				taken |= 1U << move->reason;
		}
	}
	assert_true(given & 1U << BALLOON_EVIDENCE);
	assert_true(taken & 1U << BALLOON_PROBE_END);
}

/* Nobody reads, nobody moves. */
static void refault_is_quiet_without_need(void **state)
{
	(void)state;
	start("refault");
	ticks(2);
	for (unsigned tick = 0; tick < 50; tick++) {
		ticks(1);
		assert_int_equal(plan.move_count, 0);
	}
}

static void used_memory_is_not_taken(void **state)
{
	(void)state;
	start("refault");
	hungry(1, 1000);
	/* Guest 0 uses all of its RAM in every tick, so a page there saves more than any at
	 * guest 1. */
	samples[0].idle[7] = 0;
	for (unsigned tick = 0; tick < 20; tick++) {
		samples[0].touched[0] = samples[0].actual;
		ticks(1);
	}
	assert_int_equal(plan.target[0].ram, 8000);
	assert_true(plan.target[2].ram < 8000);
}

/* Guest @i works for some ticks with all that it holds, finding every page in RAM or in the pool.
 */
static void work(unsigned i, unsigned count)
{
	u64 hold = samples[i].actual + samples[i].pool, idle = samples[i].idle[7];

	ghosts[i].found[(hold - 1) / ghosts[i].step] = 64 * 256;
	samples[i].idle[7] = 0;
	samples[i].touched[7] = samples[i].actual;
	while (count-- > 0) {
		samples[i].tmem[0].gets = samples[i].tmem[0].hits = samples[i].pool;
		ticks(1);
		samples[i].touched[0] = samples[i].actual;
		samples[i].touched[7] = 0;
	}
	samples[i].tmem[0].gets = samples[i].tmem[0].hits = 0;
	samples[i].touched[0] = 0;
	samples[i].idle[7] = idle ? samples[i].actual : 0;
}

/* A read in 33 ticks for each page is more than nothing, and less than what moving all of them is
 * worth: if the others used them lately. */
static void what_does_not_pay_is_left_where_it_is(void **state)
{
	(void)state;
	for (unsigned used = 0; used < 2; used++) {
		start("refault");
		ticks(1);
		for (unsigned i = 0; used && i < 3; i += 2) {
			samples[i].pool = 2000;
			work(i, 3);
		}
		ticks(20);
		hungry(1, 60);
		ticks(10);
		if (used)
			assert_int_equal(holds(1), 10000);
		else
			assert_in_range(holds(1), 12000, 13000);
	}
	start("refault");
	hungry(1, 400);
	ticks(10);
	assert_true(holds(1) >= 12000);
}

/* But a need that stays is met in the end, though the others go on using what they hold. */
static void what_pays_late_moves_late(void **state)
{
	(void)state;
	start("refault");
	hungry(1, 60);
	for (unsigned i = 0; i < 3; i += 2) {
		ghosts[i].found[9999 / ghosts[i].step] = 64 * 256;
		samples[i].pool = 2000;
		samples[i].tmem[0].gets = samples[i].tmem[0].hits = 20;
		samples[i].idle[7] = 0;
		samples[i].touched[0] = samples[i].actual;
	}
	ticks(25);
	assert_int_equal(holds(1), 10000);
	ticks(50);
	assert_in_range(holds(1), 12000, 13000);
}

/* Guest @i uses its 1000 pages of RAM all the time and finds @hits a tick in its share of the pool:
 * distances are spread evenly between @from and @to. */
static void spread(unsigned i, u64 from, u64 to, u64 hits)
{
	u64 step = ghosts[i].step, first = from / step, last = to / step;

	for (u64 bucket = first; bucket < last; bucket++)
		ghosts[i].found[bucket] += (u32)(hits * 64 / (last - first));
	samples[i].tmem[0].gets += hits;
	samples[i].tmem[0].hits += hits;
}

/* A loop of 18500 pages is less steep than what guest 0 holds and a little of what guest 2 does,
 * and beside both there is no room for it; but for the little it is worth far more. */
static void a_loop_displaces_what_is_steeper_but_worth_less(void **state)
{
	(void)state;
	start("refault");
	for (unsigned i = 0; i < 3; i++) {
		samples[i].idle[7] = 0;
		samples[i].actual = samples[i].touched[0] = 1000;
		samples[i].pool = 9000;
	}
	spread(0, 1000, 10000, 1300);
	spread(2, 1000, 2500, 200);
	spread(2, 2500, 10000, 150);
	ghosts[1].found[18500 / ghosts[1].step] = 64 * 256;
	samples[1].tmem[0].gets = samples[1].tmem[0].puts = 2000;
	samples[1].disk_reads = samples[1].refaults = 2000;
	ticks(1);
	assert_true(holds(1) >= 18500);
	assert_true(holds(0) >= 9000);
	assert_in_range(holds(2), 2000, 2500);
}

/* Guests 0 and 2 work in turns; when guest 1 needs memory, the one that had its turn last gives. */
static void who_will_be_back_later_gives_first(void **state)
{
	(void)state;
	for (unsigned last = 0; last < 3; last += 2) {
		start("refault");
		ticks(1);
		samples[0].pool = samples[2].pool = 2000;
		for (unsigned turn = 0; turn < 6; turn++) {
			work((turn + 1) % 2 * (2 - last) + turn % 2 * last, 30);
			if (turn < 5)
				ticks(30);
		}
		ticks(2);
		hungry(1, 800);
		ticks(3);
		assert_true(holds(1) > 11000);
		assert_true(holds(last) < 9500);
		assert_true(holds(2 - last) > holds(last));
	}
}

static void priority_decides_between_equals(void **state)
{
	(void)state;
	start("refault");
	hungry(0, 1000);
	hungry(1, 1000);
	ghosts[0].found[12000 / ghosts[0].step] = ghosts[1].found[12000 / ghosts[1].step] = 0;
	ghosts[0].found[19000 / ghosts[0].step] = ghosts[1].found[19000 / ghosts[1].step] = 64 *
											    256;
	samples[1].priority = 300;
	ticks(30);
	assert_true(holds(1) > holds(0) + 5000);
}

static void a_missed_goal_comes_first(void **state)
{
	bool named = false;

	(void)state;
	start("refault");
	hungry(0, 1000);
	hungry(1, 600);
	ghosts[0].found[12000 / ghosts[0].step] = ghosts[1].found[12000 / ghosts[1].step] = 0;
	ghosts[0].found[19000 / ghosts[0].step] = ghosts[1].found[19000 / ghosts[1].step] = 64 *
											    256;
	samples[1].max_refaults_per_second = 50;
	for (unsigned tick = 0; tick < 30; tick++) {
		ticks(1);
		for (unsigned i = 0; i < plan.move_count; i++)
			named |= plan.moves[i].reason == BALLOON_GOAL && plan.moves[i].to == 1;
	}
	assert_true(named);
	assert_true(holds(1) > holds(0) + 5000);
}

/* Who reads ever new pages misses no goal: no memory could keep it from that. */
static void first_reads_miss_no_goal(void **state)
{
	(void)state;
	start("refault");
	hungry(1, 600);
	samples[1].refaults = 0;
	samples[1].max_refaults_per_second = 50;
	for (unsigned tick = 0; tick < 30; tick++) {
		ticks(1);
		for (unsigned i = 0; i < plan.move_count; i++)
			assert_int_not_equal(plan.moves[i].reason, BALLOON_GOAL);
	}
}

/* Nobody knows whether the RAM is in use, so it is the guest's own share for a while, and comes
 * back when the guest asks for it. */
static void without_accessed_bits_ram_is_taken_on_trial(void **state)
{
	u64 held_at_first;

	(void)state;
	start("refault");
	for (unsigned i = 0; i < 3; i++)
		samples[i].idle_known = false;
	hungry(1, 1000);
	ticks(1);
	held_at_first = holds(0);
	assert_in_range(plan.target[0].ram, 7200, 7999);
	assert_true(plan.target[0].share >= 8000 - plan.target[0].ram);
	ticks(1);
	assert_true(held_at_first - holds(0) <= 800);
	/* It used what was taken: now those are hits in the pool, more often than guest 1 misses.
	 */
	ghosts[0].found[(plan.target[0].ram + 200) / ghosts[0].step] = 64 * 256;
	samples[0].tmem[0].gets = samples[0].tmem[0].hits = 3000;
	ticks(4);
	assert_true(plan.target[0].ram > 7200);
}

static void a_silent_guest_keeps_its_size_and_the_plan_goes_on(void **state)
{
	(void)state;
	start("refault");
	hungry(1, 1000);
	samples[0].responsive = false;
	ticks(20);
	assert_int_equal(plan.target[0].ram, 8000);
	assert_int_equal(plan.unresponsive, 1);
	assert_true(holds(1) >= 12000);
}

static void switching_at_run_time_starts_from_where_guests_are(void **state)
{
	u64 ram;

	(void)state;
	start("refault");
	hungry(1, 1000);
	ticks(10);
	ram = plan.target[0].ram;
	assert_true(ram < 8000);
	assert_int_equal(balloon_policy_set(&balloon, "static"), 0);
	ticks(5);
	assert_int_equal(plan.target[0].ram, ram);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(static_never_moves),
		cmocka_unit_test(who_has_too_much_gives_until_all_fits),
		cmocka_unit_test(selfballoon_follows_what_is_said),
		cmocka_unit_test(shares_taxes_idle_memory),
		cmocka_unit_test(refault_feeds_the_hungry),
		cmocka_unit_test(who_gave_who_got_and_why),
		cmocka_unit_test(what_a_guest_does_with_its_own_has_a_reason),
		cmocka_unit_test(refault_is_quiet_without_need),
		cmocka_unit_test(used_memory_is_not_taken),
		cmocka_unit_test(what_does_not_pay_is_left_where_it_is),
		cmocka_unit_test(what_pays_late_moves_late),
		cmocka_unit_test(a_loop_displaces_what_is_steeper_but_worth_less),
		cmocka_unit_test(who_will_be_back_later_gives_first),
		cmocka_unit_test(priority_decides_between_equals),
		cmocka_unit_test(a_missed_goal_comes_first),
		cmocka_unit_test(first_reads_miss_no_goal),
		cmocka_unit_test(without_accessed_bits_ram_is_taken_on_trial),
		cmocka_unit_test(a_silent_guest_keeps_its_size_and_the_plan_goes_on),
		cmocka_unit_test(switching_at_run_time_starts_from_where_guests_are),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
