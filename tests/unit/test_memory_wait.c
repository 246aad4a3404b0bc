/*
 * More RAM promised than there is: who may take from the reserve, who waits, who is woken, and who
 * is stopped because nothing came in time.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include <abi/errno.h>

#include "fake/machine.h"
#include "fake/store.h"
#include "fake/vm.h"
#include "kernel/core/frame.h"
#include "kernel/core/percpu.h"
#include "kernel/vm/audit.h"
#include "kernel/vm/limbo.h"

#define RAM     MIB(32)
#define SECOND  1000000000UL /* ticks, at 1 GHz */
#define FOREVER (10 * SECOND)

static struct vm *rich, *poor;
static struct vcpu rich_vcpu, poor_vcpu;

/* Two guests who see 32 MiB each, and are entitled to 16 and 8. */
static int setup(void **state)
{
	(void)state;
	fake_core_start(RAM, 1);
	fake_store_reset(true);
	epoch_quiescent(epoch_now());
	rich = fake_vm(0);
	poor = fake_vm(1);
	strcpy(((struct guest_config *)rich->config)->name, "rich");
	strcpy(((struct guest_config *)poor->config)->name, "poor");
	assert_int_equal(memory_create(rich, RAM, &fake_ept), 0);
	assert_int_equal(memory_create(poor, RAM, &fake_npt), 0);
	rich->entitled_pages = MIB(8) / PAGE_SIZE;
	poor->entitled_pages = MIB(16) / PAGE_SIZE;
	rich_vcpu = (struct vcpu){.vm = rich};
	poor_vcpu = (struct vcpu){.vm = poor};
	rich->vcpus[0] = &rich_vcpu;
	poor->vcpus[0] = &poor_vcpu;
	rich->vcpu_count = poor->vcpu_count = 1;
	memory_set_wait(FOREVER / 1000);
	fake_log_reset();
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	memory_wait_tick(); /* nobody waits into the next test */
	assert_int_equal(audit_run(), 0);
	fake_store_reset(false);
	return 0;
}

/* Touches pages from @from on until the vCPU has to wait; how many it got. */
static u64 touch_all(struct vcpu *vcpu, u64 from)
{
	u64 at = from;

	while (at < RAM / PAGE_SIZE &&
		memory_fault(vcpu, gfn_to_gpa(gfn(at)), ACCESS_WRITE) == DONE)
		at++;
	return at - from;
}

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
		TEST(patience_ends),
		TEST(the_entitled_is_stopped_last),
		TEST(who_keeps_what_another_is_entitled_to_is_stopped),
		TEST(who_gives_what_it_is_asked_for_is_not_stopped),
		TEST(who_exceeds_its_target_is_stopped_before_who_does_not),
		TEST(a_drip_gives_no_new_time),
		TEST(whatever_comes_gives_new_time),
		TEST(who_tries_no_more_is_not_stopped),
		TEST(a_try_after_the_clock_was_read_changes_nothing),
		TEST(services_tell_want_from_wrong),
		TEST(promises_are_minima_and_tables),
	};

	return cmocka_run_group_tests_name("memory_wait", tests, NULL, NULL);
}
