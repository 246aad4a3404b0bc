/*
 * More RAM promised than there is, and none that comes: how long a guest waits, and which one is
 * stopped.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "fake/waiting_guests.h"

/* Ticks ten times a second for @seconds, and the guest tries again after each. */
static void wait_for(struct vcpu *vcpu, unsigned seconds)
{
	for (unsigned i = 0; i < seconds * 10 && !vm_is_stopped(vcpu->vm); i++) {
		fake_tsc += SECOND / 10;
		memory_wait_tick();
		if (!vm_is_stopped(vcpu->vm))
			(void)memory_fault(vcpu, gpa(RAM - PAGE_SIZE), ACCESS_READ);
	}
}

static void patience_ends(void **state)
{
	(void)state;
	touch_all(&rich_vcpu, 0);
	wait_for(&rich_vcpu, 9);
	assert_false(vm_is_stopped(rich));
	wait_for(&rich_vcpu, 2);
	assert_int_equal(rich->stop_reason, STOP_NO_MEMORY);
	assert_non_null(
		strstr(fake_log_text, "guest \"rich\": no memory came within 10 s: it has"));
	assert_non_null(strstr(fake_log_text, "KiB of 32768 and is entitled to 8192"));
	assert_false(vm_is_stopped(poor));
	rich->stop_reason = STOP_NONE;
}

/* One at a time is stopped, and not the one that was promised what it lacks. */
static void the_entitled_is_stopped_last(void **state)
{
	(void)state;
	touch_all(&rich_vcpu, 0);
	touch_all(&poor_vcpu, 0);
	for (unsigned i = 0; i < 190; i++) {
		fake_tsc += SECOND / 10;
		memory_wait_tick();
		if (!vm_is_stopped(rich))
			(void)memory_fault(&rich_vcpu, gpa(RAM - PAGE_SIZE), ACCESS_READ);
		(void)memory_fault(&poor_vcpu, gpa(RAM - PAGE_SIZE), ACCESS_READ);
		assert_false(vm_is_stopped(poor));
		if (i < 99)
			assert_false(vm_is_stopped(rich));
	}
	assert_int_equal(rich->stop_reason, STOP_NO_MEMORY);
	wait_for(&poor_vcpu, 3);
	assert_int_equal(poor->stop_reason, STOP_NO_MEMORY);
	rich->stop_reason = poor->stop_reason = STOP_NONE;
}

/* Who took what another is entitled to and lies down with it is stopped, not the other. */
static void who_keeps_what_another_is_entitled_to_is_stopped(void **state)
{
	(void)state;
	touch_all(&rich_vcpu, 0);
	rich_vcpu.waits_for_memory = false;
	rich->memory.short_since = 0;
	touch_all(&poor_vcpu, 0);
	wait_for(&poor_vcpu, 9);
	assert_false(vm_is_stopped(rich));
	wait_for(&poor_vcpu, 3);
	assert_int_equal(rich->stop_reason, STOP_NO_MEMORY);
	assert_false(vm_is_stopped(poor));
	assert_non_null(
		strstr(fake_log_text, "guest \"poor\": too little memory came within 10 s"));
	assert_non_null(strstr(fake_log_text, "guest \"rich\": gave too little back of what others "
					      "have a claim to within 10 s: it has"));
	rich->stop_reason = STOP_NONE;
}

/* Two have more than they are entitled to. The one that does what it is asked, although it has
 * more, is left alone; asked again, it has as long as those who wait. */
static void who_gives_what_it_is_asked_for_is_not_stopped(void **state)
{
	struct vm *idle = fake_vm(2);
	struct vcpu idle_vcpu = {.vm = idle};
	u64 has;
	(void)state;

	assert_int_equal(memory_create(idle, RAM, &fake_ept), 0);
	idle->entitled_pages = MIB(1) / PAGE_SIZE;
	for (u64 at = 0; at < MIB(10) / PAGE_SIZE; at++)
		assert_int_equal(
			memory_fault(&idle_vcpu, gpa(at << PAGE_SHIFT), ACCESS_WRITE), DONE);
	touch_all(&rich_vcpu, 0);
	rich_vcpu.waits_for_memory = false;
	rich->memory.short_since = 0;
	has = rich->memory.populated_pages;
	assert_true(has > idle->memory.populated_pages);
	touch_all(&poor_vcpu, 0);
	memory_ask(rich, has, true);
	memory_ask(idle, idle->memory.populated_pages, true);
	wait_for(&poor_vcpu, 12);
	assert_false(vm_is_stopped(rich) || vm_is_stopped(poor) || vm_is_stopped(idle));
	/* One is asked for more and does nothing: after as long a time it is stopped, though it has
	 * less than the other. */
	memory_ask(idle, idle->entitled_pages, true);
	wait_for(&poor_vcpu, 9);
	assert_false(vm_is_stopped(idle));
	wait_for(&poor_vcpu, 2);
	assert_true(vm_is_stopped(idle));
	assert_false(vm_is_stopped(rich) || vm_is_stopped(poor));
	idle->stop_reason = STOP_NONE;
}

/* Within what its balloon leaves it, a guest has a claim, too. */
static void who_exceeds_its_target_is_stopped_before_who_does_not(void **state)
{
	(void)state;
	touch_all(&poor_vcpu, 0);
	assert_false(memory_is_entitled(poor));
	memory_ask(poor, MIB(16) / PAGE_SIZE + 100, false); /* and exceeds it */
	poor_vcpu.waits_for_memory = false;
	poor->memory.short_since = 0;
	rich->entitled_pages = 100;
	memory_ask(rich, RAM / PAGE_SIZE, true);
	touch_all(&rich_vcpu, 0);
	assert_false(memory_is_entitled(rich));
	assert_true(memory_is_due(rich));
	wait_for(&rich_vcpu, 12);
	assert_true(vm_is_stopped(poor));
	assert_false(vm_is_stopped(rich));
	poor->stop_reason = STOP_NONE;
}

/* A page now and then is not what was promised. */
static void a_drip_gives_no_new_time(void **state)
{
	(void)state;
	touch_all(&rich_vcpu, 0);
	rich_vcpu.waits_for_memory = false;
	rich->memory.short_since = 0;
	touch_all(&poor_vcpu, 0);
	for (unsigned i = 0; i < 12; i++) {
		assert_int_equal(vm_is_stopped(rich), i >= 10);
		assert_int_equal(memory_inflate(rich, gfn(4096 + 2 * i), 0), 0);
		assert_int_equal(memory_inflate(rich, gfn(4097 + 2 * i), 0), 0);
		epoch_quiescent(epoch_now());
		limbo_drain();
		(void)touch_all(&poor_vcpu, poor->memory.populated_pages);
		wait_for(&poor_vcpu, 1);
	}
	assert_true(vm_is_stopped(rich));
	rich->stop_reason = STOP_NONE;
}

static void whatever_comes_gives_new_time(void **state)
{
	(void)state;
	touch_all(&rich_vcpu, 0);
	for (unsigned i = 0; i < 5; i++) {
		wait_for(&rich_vcpu, 8);
		assert_false(vm_is_stopped(rich));
		assert_int_equal(memory_report(rich, gfn(i * BLOCK_PAGES), BLOCK_ORDER), 0);
		epoch_quiescent(epoch_now());
		limbo_drain();
		assert_int_equal(memory_fault(&rich_vcpu, gpa(i * BLOCK_SIZE), ACCESS_READ), DONE);
	}
}

static void who_tries_no_more_is_not_stopped(void **state)
{
	(void)state;
	touch_all(&rich_vcpu, 0);
	/* A disk request that its driver took back, say. */
	for (unsigned i = 0; i < 200; i++) {
		fake_tsc += SECOND / 10;
		memory_wait_tick();
	}
	assert_false(vm_is_stopped(rich));
	assert_false(memory_is_short(rich));
}

/* Guests try on other processors, while this one looks whose patience has ended. */
static void a_try_after_the_clock_was_read_changes_nothing(void **state)
{
	(void)state;
	touch_all(&rich_vcpu, 0);
	fake_tsc -= 100;
	memory_wait_tick();
	assert_false(vm_is_stopped(rich));
	assert_true(memory_is_short(rich));
	for (unsigned i = 0; i < 110 && !vm_is_stopped(rich); i++) {
		assert_true(i <= 101);
		fake_tsc += SECOND / 10 + 100;
		(void)memory_fault(&rich_vcpu, gpa(RAM - PAGE_SIZE), ACCESS_READ);
		fake_tsc -= 100;
		memory_wait_tick();
	}
	assert_int_equal(rich->stop_reason, STOP_NO_MEMORY);
	rich->stop_reason = STOP_NONE;
}

int main(void)
{
#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(patience_ends),
		TEST(the_entitled_is_stopped_last),
		TEST(who_keeps_what_another_is_entitled_to_is_stopped),
		TEST(who_gives_what_it_is_asked_for_is_not_stopped),
		TEST(who_exceeds_its_target_is_stopped_before_who_does_not),
		TEST(a_drip_gives_no_new_time),
		TEST(whatever_comes_gives_new_time),
		TEST(who_tries_no_more_is_not_stopped),
		TEST(a_try_after_the_clock_was_read_changes_nothing),
	};

	return cmocka_run_group_tests_name("memory_patience", tests, NULL, NULL);
}
