/*
 * The glue of the balloon policies: sizes at start, the policy for tests, and the rule that who
 * lacks what he was promised gets it from whoever has most above his own promise.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <abi/platform.h>

#include "fake/policy_guests.h"
#include "kernel/policy.h"

static void guests_start_as_large_as_fits(void **state)
{
	(void)state;
	add(0, 16, 0, 64); /* all of it fits */
	assert_int_equal(target(0), 64);
	add(1, 16, 0, 100); /* what is left */
	assert_in_range(target(1), 48, 64);
	assert_int_equal(target(1) % 2, 0);
	add(2, 16, 0, 64); /* what it was promised, though it is lent */
	assert_in_range(target(2), 16, 18);
	add(3, 8, 30, 64); /* what the manifest says */
	assert_int_equal(target(3), 30);
}

static void what_ended_guests_had_can_be_had(void **state)
{
	(void)state;
	add(0, 16, 0, 100);
	assert_in_range(target(0), 90, 100);
	vms[0]->stop_reason = STOP_SHUTDOWN;
	add(1, 16, 0, 90);
	assert_int_equal(target(1), 90);
}

static void a_tick_comes_when_the_manifest_says(void **state)
{
	struct policy_cost before = policy_cost(), after;

	(void)state;
	assert_int_equal(policy_tick(), 50000);
	assert_int_equal(policy_tick(), 50000);
	after = policy_cost();
	assert_int_equal(after.ticks, before.ticks + 2);
	assert_true(after.tsc_ticks > before.tsc_ticks);
	assert_true(after.longest > 0 && after.longest <= after.tsc_ticks);
}

static void static_never_moves(void **state)
{
	(void)state;
	add(0, 8, 20, 32);
	add(1, 8, 0, 32);
	for (unsigned i = 0; i < 100; i++)
		policy_tick();
	assert_int_equal(target(0), 20);
	assert_int_equal(target(1), 32);
}

static void alternate_moves_all(void **state)
{
	unsigned swaps = 0;
	u64 last;
	(void)state;

	start(BALLOON_POLICY_ALTERNATE, 0);
	add(0, 8, 20, 32);
	add(1, 10, 20, 30);
	last = target(0);
	for (unsigned i = 0; i < 200; i++) {
		policy_tick();
		if (target(0) != 20) /* it has begun */
			assert_true((target(0) == 32 && target(1) == 10) ||
				    (target(0) == 8 && target(1) == 30));
		swaps += target(0) != last;
		last = target(0);
	}
	assert_in_range(swaps, 9, 11);
}

static void the_richest_gives_what_another_was_promised(void **state)
{
	(void)state;
	add(0, 8, 24, 32);
	add(1, 8, 32, 32);
	add(2, 16, 16, 16);
	tick_and_obey(2);
	lacks_a_frame(2);
	policy_tick();
	assert_int_equal(target(1), 29); /* 24 above its promise: an eighth */
	/* No more is asked for before that has come; for a while, then another one has to help. */
	for (unsigned i = 0; i < 9; i++)
		policy_tick();
	assert_int_equal(target(1), 29);
	assert_int_equal(target(0), 24);
	assert_int_equal(target(2), 16);
	policy_tick();
	assert_int_equal(target(1), 29);
	assert_int_equal(target(0), 22);
	obey(1);
	obey(0);
	tick_and_obey(9);
	/* Now and then the other one has more, and at least 2 MiB go. */
	assert_in_range(target(0) + target(1), 28, 38);
	tick_and_obey(40);
	assert_int_equal(target(0), 8);
	assert_int_equal(target(1), 8);
	policy_tick(); /* nobody has anything left to give */
	assert_int_equal(target(0) + target(1) + target(2), 32);
}

static void who_has_what_he_was_promised_gets_nothing(void **state)
{
	(void)state;
	add(0, 8, 32, 32);
	add(1, 8, 16, 16);
	vms[1]->entitled_pages = 0; /* it has more than that */
	lacks_a_frame(1);
	policy_tick();
	assert_int_equal(target(0), 32);
	vms[1]->entitled_pages = MIB(8) / PAGE_SIZE;
}

static void who_does_not_listen_is_not_asked(void **state)
{
	(void)state;
	add(0, 8, 32, 32);
	add(1, 8, 20, 32);
	add(2, 16, 16, 16);
	vms[0]->devices[PLATFORM_BALLOON_SLOT]->status = 0; /* no driver */
	lacks_a_frame(2);
	obey(1);
	policy_tick();
	assert_int_equal(target(0), 32);
	assert_int_equal(target(1), 18);
	/* The one with a driver never moves: after a while a third one is asked. */
	add(3, 8, 12, 12);
	for (unsigned i = 0; i < 8; i++)
		policy_tick();
	assert_int_equal(target(3), 12);
	for (unsigned i = 0; i < 4; i++)
		policy_tick();
	assert_int_equal(target(3), 10);
	assert_int_equal(target(0), 32);
	assert_int_equal(target(1), 18);
	vms[0]->stop_reason = vms[1]->stop_reason = STOP_SHUTDOWN;
	policy_tick();
}

/* A driver that gives a page now and then, statistics and all, is asked for more, then left aside.
 */
static void who_gives_drop_by_drop_does_not_listen(void **state)
{
	struct balloon_status hog;
	u64 given = 0;
	(void)state;

	add(0, 8, 32, 32);
	add(1, 16, 16, 16);
	for (unsigned i = 0; i < 200; i++) {
		lacks_a_frame(1);
		policy_tick();
		if (i % 45 == 44)
			assert_int_equal(memory_inflate(vms[0], gfn(8191 - given++), 0), 0);
		if (i < 45)
			assert_true(balloon_status(vms[0], &hog) && hog.responsive);
	}
	assert_true(balloon_status(vms[0], &hog));
	assert_false(hog.responsive || vms[0]->memory.answers);
	assert_in_range(target(0), 8, 20);
	/* All that it holds above its minimum is what others have a claim to. */
	vms[0]->memory.populated_pages += 5000;
	assert_int_equal(memory_keeps(vms[0]), 5000 - vms[0]->entitled_pages);
	vms[0]->memory.populated_pages -= 5000;
}

int main(void)
{
#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(guests_start_as_large_as_fits),
		TEST(what_ended_guests_had_can_be_had),
		TEST(a_tick_comes_when_the_manifest_says),
		TEST(static_never_moves),
		TEST(alternate_moves_all),
		TEST(the_richest_gives_what_another_was_promised),
		TEST(who_has_what_he_was_promised_gets_nothing),
		TEST(who_does_not_listen_is_not_asked),
		TEST(who_gives_drop_by_drop_does_not_listen),
	};

	return cmocka_run_group_tests_name("policy", tests, NULL, NULL);
}
