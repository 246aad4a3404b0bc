/*
 * Timers of a CPU and the hardware behind them: it is armed for the head of the list, and a timer
 * that fired without an event (QEMU loses one now and then) does not end all others.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fake/machine.h"
#include "fake/vm.h"
#include "kernel/core/percpu.h"
#include "kernel/core/timer.h"

static struct timer early = {.kind = TIMER_TICK}, late = {.kind = TIMER_SLICE};

static int start(void **state)
{
	(void)state;
	fake_core_start(MIB(16), 1);
	fake_run_as(0);
	fake_tsc = 1000;
	return 0;
}

static void hardware_follows_the_head(void **state)
{
	(void)state;
	timer_arm(&late, 9000);
	assert_int_equal(fake_timer_deadline, 9000);
	timer_arm(&early, 5000);
	assert_int_equal(fake_timer_deadline, 5000);
	/* It fires, the event comes, and what is left is armed. */
	fake_tsc = 5000;
	fake_timer_armed = false;
	assert_ptr_equal(timer_pop(fake_tsc), &early);
	timer_fired();
	assert_true(fake_timer_armed);
	assert_int_equal(fake_timer_deadline, 9000);
	timer_cancel(&late);
}

static void a_missed_timer_does_not_end_the_next_one(void **state)
{
	(void)state;
	timer_arm(&early, 5000);
	fake_tsc = 6000;
	fake_timer_armed = false; /* fired, and nobody was told */
	assert_ptr_equal(timer_pop(fake_tsc), &early);
	timer_arm(&late, 9000);
	assert_true(fake_timer_armed);
	assert_int_equal(fake_timer_deadline, 9000);
	timer_cancel(&late);
}

/* Whoever is about to enter a guest hears of it, until what comes next is armed. */
static void a_missed_timer_is_overdue(void **state)
{
	(void)state;
	assert_false(timer_is_overdue(&this_percpu()->timers));
	timer_arm(&early, 5000);
	assert_false(timer_is_overdue(&this_percpu()->timers));
	fake_tsc = 5000;
	fake_timer_armed = false;
	assert_true(timer_is_overdue(&this_percpu()->timers));
	assert_ptr_equal(timer_pop(fake_tsc), &early);
	timer_arm(&late, 9000);
	assert_false(timer_is_overdue(&this_percpu()->timers));
	timer_cancel(&late);
}

/* It fired a moment before its deadline, so that nothing pops, and no event came. */
static void a_cpu_does_not_sleep_on_a_missed_timer(void **state)
{
	(void)state;
	timer_arm(&early, 5000);
	fake_tsc = 4000;
	fake_timer_armed = false;
	assert_null(timer_pop(fake_tsc));
	timer_hear_missed();
	assert_true(fake_timer_armed);
	assert_int_equal(fake_timer_deadline, 5000);
	/* With nothing armed there is nothing to miss. */
	timer_cancel(&early);
	fake_timer_armed = false;
	timer_fired();
	timer_hear_missed();
	assert_false(fake_timer_armed);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(hardware_follows_the_head, start),
		cmocka_unit_test_setup(a_missed_timer_does_not_end_the_next_one, start),
		cmocka_unit_test_setup(a_missed_timer_is_overdue, start),
		cmocka_unit_test_setup(a_cpu_does_not_sleep_on_a_missed_timer, start),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
