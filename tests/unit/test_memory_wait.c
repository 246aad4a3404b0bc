/*
 * More RAM promised than there is: who may take from the reserve, who waits, and who is woken.
 * Who is stopped because nothing came in time: test_memory_patience.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include <abi/errno.h>

#include "fake/waiting_guests.h"

static void the_reserve_is_for_the_entitled(void **state)
{
	u64 got, half = frames_reserve() / 2;
	(void)state;

	got = touch_all(&rich_vcpu, 0);
	assert_true(got > rich->entitled_pages && got < RAM / PAGE_SIZE);
	assert_true(rich_vcpu.waits_for_memory && rich_vcpu.blocking);
	assert_int_equal(frames_free(), half); /* more is not for it */
	assert_true(memory_is_short(rich));
	/* Who has less than it was promised goes on. */
	got = touch_all(&poor_vcpu, 0);
	/* Some became tables, and a few are kept for more of them. */
	assert_true(got + guest_frame_floor(poor) + 4 >= half);
	assert_true(memory_is_entitled(poor));
	assert_int_equal(frames_free(), guest_frame_floor(poor));
	assert_in_range(frames_free(), 1, half / 2);
	assert_int_equal(memory_fault(&poor_vcpu, gpa(0), ACCESS_READ), DONE); /* it has that */
}

static void frames_wake_whom_they_are_for(void **state)
{
	(void)state;
	touch_all(&rich_vcpu, 0);
	touch_all(&poor_vcpu, 0);
	assert_true(rich_vcpu.blocking && poor_vcpu.blocking);
	memory_wake_waiters(); /* nothing is free */
	assert_true(rich_vcpu.blocking && poor_vcpu.blocking);
	assert_false(memory_wait_is_over_soon());
	/* The rich guest gives a page back, beside one that pays for the table of the split: as
	 * soon as they have left limbo, the poor one may try. */
	assert_int_equal(memory_inflate(rich, gfn(3), 0), 0);
	assert_int_equal(memory_inflate(rich, gfn(4), 0), 0);
	memory_wake_waiters();
	assert_true(poor_vcpu.blocking);
	assert_true(memory_wait_is_over_soon());
	epoch_quiescent(epoch_now());
	limbo_drain();
	memory_wake_waiters();
	assert_false(poor_vcpu.blocking || poor_vcpu.waits_for_memory);
	assert_true(rich_vcpu.blocking); /* not before the reserve is half full again */
	assert_false(memory_wait_is_over_soon());
	assert_int_equal(memory_inflate(rich, gfn(0), BLOCK_ORDER), -SLUICE_EINVAL);
	assert_int_equal(memory_inflate(rich, gfn(512), BLOCK_ORDER), 0);
	epoch_quiescent(epoch_now());
	limbo_drain();
	memory_wake_waiters();
	assert_false(rich_vcpu.blocking);
}

/* Some of the last frames but those for tables: with nothing at all its driver could do nothing. */
static void who_is_to_give_may_go_on(void **state)
{
	u64 kept;
	(void)state;

	touch_all(&rich_vcpu, 0);
	touch_all(&poor_vcpu, 0);
	kept = frames_free();
	memory_wake_waiters();
	assert_true(rich_vcpu.blocking);
	memory_ask(rich, rich->memory.ram_pages - 100, true);
	memory_wake_waiters();
	assert_false(rich_vcpu.blocking);
	assert_int_equal(touch_all(&rich_vcpu, RAM / PAGE_SIZE - 1), 1);
	touch_all(&rich_vcpu, rich->memory.populated_pages);
	assert_in_range(frames_free(), 1, kept - 1);
	assert_int_equal(frames_free(), kept / 2);
	/* It has given what was asked for. */
	for (u64 i = 0; i < 100; i++)
		assert_int_equal(memory_inflate(rich, gfn(512 + i), 0), 0);
	epoch_quiescent(epoch_now());
	limbo_drain();
	assert_false(guest_may_have_frame(rich));
	assert_int_equal(guest_frame_floor(rich), frames_reserve() / 2);
}

/* What it gets in advance is little, however often it is asked, until it gives. */
static void who_is_to_give_takes_nothing_from_the_entitled(void **state)
{
	u64 half = frames_reserve() / 2, got;
	(void)state;

	memory_ask(rich, rich->memory.ram_pages - 100, true);
	touch_all(&rich_vcpu, 0);
	assert_in_range(half - frames_free(), 1, 33); /* a table may have come with them */
	for (u64 asked = rich->memory.ram_pages - 100; asked > 7000; asked -= 100) {
		memory_ask(rich, asked, true);
		assert_int_equal(touch_all(&rich_vcpu, rich->memory.populated_pages), 0);
	}
	got = touch_all(&poor_vcpu, 0);
	assert_true(got + guest_frame_floor(poor) + 4 + 32 >= half);
	/* As many as it gives, it may have again. */
	for (u64 i = 0; i < 10; i++)
		assert_int_equal(memory_inflate(rich, gfn(512 + i), 0), 0);
	epoch_quiescent(epoch_now());
	limbo_drain();
	got = touch_all(&rich_vcpu, rich->memory.populated_pages + 10);
	assert_in_range(got, 8, 10);
}

/* Who has all that its balloon leaves it, and does not listen, gets nothing that others may need;
 * and beyond what all may have together nothing at all. */
static void who_has_all_that_is_left_to_it_comes_last(void **state)
{
	u64 asked = MIB(12) / PAGE_SIZE, got;
	(void)state;

	memory_ask(rich, asked, false);
	got = touch_all(&rich_vcpu, 0);
	assert_true(got > asked);
	assert_int_equal(frames_free(), frames_reserve());
	assert_int_equal(guest_frame_floor(rich), frames_reserve());
	assert_int_equal(touch_all(&poor_vcpu, 0) > frames_reserve() / 2, true);
}

static void who_has_all_that_is_left_to_it_keeps_to_the_sum(void **state)
{
	u64 asked = MIB(12) / PAGE_SIZE, got;
	(void)state;

	memory_set_together(MIB(16) / PAGE_SIZE);
	memory_ask(rich, asked, false);
	memory_ask(poor, MIB(8) / PAGE_SIZE, true);
	got = touch_all(&rich_vcpu, 0);
	assert_in_range(got, MIB(16) / PAGE_SIZE, MIB(16) / PAGE_SIZE + 2 * DISCARD_PAGES);
	assert_true(frames_free() > frames_reserve());
	/* What was left to the other it gets all the same. */
	got = touch_all(&poor_vcpu, 0);
	assert_true(got >= MIB(8) / PAGE_SIZE);
	memory_set_together(~0UL);
}

static void ephemeral_pages_end_the_wait(void **state)
{
	mfn_t frame;
	(void)state;

	touch_all(&rich_vcpu, 0);
	fake_store_reset(true);
	/* A page that tmem had all the while: found at the next try, which a tick allows. */
	frame = frame_alloc(FRAME_DEVICE, 0, 0);
	frame_change_class(frame, FRAME_DEVICE, FRAME_TMEM, 0);
	fake_store_add(mfn_to_ptr(frame));
	memory_wait_tick();
	assert_false(rich_vcpu.blocking);
	assert_int_equal(touch_all(&rich_vcpu, RAM / PAGE_SIZE - 1), 1);
	assert_false(memory_is_short(rich));
}

static void services_tell_want_from_wrong(void **state)
{
	u64 last = RAM / PAGE_SIZE - 1;
	mfn_t host;
	u8 byte = 1;
	(void)state;

	touch_all(&rich_vcpu, 0);
	assert_null(memory_page(rich, gfn(last)));
	assert_true(memory_lacks_frame(rich, gfn(last)));
	assert_int_equal(memory_read(rich, gpa(last << PAGE_SHIFT), &byte, 1), -SLUICE_ENOMEM);
	assert_int_equal(memory_write(rich, gpa(last << PAGE_SHIFT), &byte, 1), -SLUICE_ENOMEM);
	assert_int_equal(memory_pin(rich, gfn(last), &host), -SLUICE_ENOMEM);
	/* What is not its RAM, or given away, is wrong all the same. */
	assert_false(memory_lacks_frame(rich, gfn(last + 1)));
	/* Another vCPU may have been luckier since. */
	assert_true(memory_lacks_frame(rich, gfn(0)));
	assert_int_equal(
		memory_read(rich, gpa((last + 1) << PAGE_SHIFT), &byte, 1), -SLUICE_EFAULT);
	assert_int_equal(memory_inflate(rich, gfn(last), 0), 0);
	assert_false(memory_lacks_frame(rich, gfn(last)));
	assert_int_equal(memory_pin(rich, gfn(last), &host), -SLUICE_EFAULT);
}

static void promises_are_minima_and_tables(void **state)
{
	u64 min = MIB(8) / PAGE_SIZE, max = MIB(64) / PAGE_SIZE, before = memory_lendable();
	unsigned count = 0;
	(void)state;

	/* Maxima may exceed the machine, minima may not. */
	while (memory_commit("one", min, max) == 0)
		count++;
	assert_int_equal(count, 3);
	assert_non_null(
		strstr(fake_log_last, "guest \"one\": does not fit: its minimum and tables"));
	/* The tables for all of its RAM are promised with it. */
	assert_in_range(before - memory_lendable(), count * (min + 2 * max / 512),
		count * (min + 2 * max / 512 + 8));
	while (count-- > 0)
		memory_uncommit(min, max);
	assert_int_equal(memory_lendable(), before);
	assert_int_equal(memory_committed(), 0);
}

int main(void)
{
#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(the_reserve_is_for_the_entitled),
		TEST(frames_wake_whom_they_are_for),
		TEST(who_is_to_give_may_go_on),
		TEST(who_is_to_give_takes_nothing_from_the_entitled),
		TEST(who_has_all_that_is_left_to_it_comes_last),
		TEST(who_has_all_that_is_left_to_it_keeps_to_the_sum),
		TEST(ephemeral_pages_end_the_wait),
		TEST(services_tell_want_from_wrong),
		TEST(promises_are_minima_and_tables),
	};

	return cmocka_run_group_tests_name("memory_wait", tests, NULL, NULL);
}
