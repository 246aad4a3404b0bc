/*
 * Discarding volatile pages: whose go, how many, and for whom; the share of the pool. The last test
 * has a guest that obeys the rules on one CPU, and wants of frames on another.
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "fake/ending.h"
#include "fake/giver.h"
#include "kernel/vm/memory_nested.h"

static void pages_go_when_frames_are_wanted(void **state)
{
	u64 before, generation;
	(void)state;

	assert_int_equal(enrol(0, PAGES, STATES, MAGIC), 0);
	make_volatile(512, 100);
	before = giver->memory.populated_pages;
	/* As long as there are frames nothing happens. */
	assert_int_equal(touch(&taker_vcpu, 0, ACCESS_WRITE), DONE);
	assert_false(memory_discards_are_under_way());
	fill_machine(0);
	generation = giver->memory.generation;
	assert_int_equal(touch(&taker_vcpu, 1024, ACCESS_WRITE), DONE); /* from the reserve */
	assert_true(memory_discards_are_under_way());
	assert_true(giver->memory.generation > generation);
	assert_int_equal(giver->memory.discards.left, DISCARD_PAGES);
	/* Out of reach, but neither gone nor told. */
	assert_int_equal(giver->memory.populated_pages, before);
	assert_int_equal(state_in_table(512), GFN_DISCARDING);
	assert_false(is_mapped(512));
	assert_int_equal(*state_of(512), VOLATILE_VOLATILE);
	assert_int_equal(audit_run(), 0);
	memory_discards_finish();
	assert_int_equal(state_in_table(512), GFN_DISCARDING); /* not everybody has flushed */
	fake_run_as(1);
	epoch_quiescent(epoch_now());
	memory_discards_finish();
	assert_int_equal(state_in_table(512), GFN_DISCARDING);
	fake_run_as(0);
	epoch_quiescent(epoch_now());
	memory_wake_waiters();
	assert_int_equal(giver->memory.discarded, DISCARD_PAGES);
	assert_int_equal(giver->memory.populated_pages, before - DISCARD_PAGES);
	assert_int_equal(state_in_table(512), GFN_DISCARDED);
	assert_int_equal(*state_of(512), VOLATILE_DISCARDED);
	assert_true(frames_free() > frames_reserve());
	assert_int_equal(audit_run(), 0);
	/* And what was stable is as it was. */
	assert_int_equal(*word(512 + DISCARD_PAGES), 512 + DISCARD_PAGES);
}

static void used_pages_are_spared(void **state)
{
	unsigned level;
	(void)state;

	assert_int_equal(enrol(0, PAGES, STATES, MAGIC), 0);
	make_volatile(512, 2 * DISCARD_PAGES);
	for (u64 frame = 512; frame < 512 + DISCARD_PAGES; frame++) {
		assert_int_equal(nested_split(&giver->memory, frame, 1), 0);
		*nested_lookup(&giver->memory, frame, &level) |= fake_npt.accessed;
	}
	fill_machine(0);
	memory_discard(taker);
	assert_int_equal(state_in_table(512), GFN_RAM);
	assert_int_equal(state_in_table(512 + DISCARD_PAGES), GFN_DISCARDING);
	discard_all(&taker_vcpu);
	assert_int_equal(giver->memory.discarded, 2 * DISCARD_PAGES);
}

/* What a guest is promised is not taken for another, but may be for itself. */
static void the_entitled_keep_theirs(void **state)
{
	(void)state;
	assert_int_equal(enrol(0, PAGES, STATES, MAGIC), 0);
	make_volatile(512, 10);
	giver->entitled_pages = PAGES;
	fill_machine(0);
	discard_all(&taker_vcpu);
	assert_int_equal(giver->memory.discarded, 0);
	giver->entitled_pages = giver->memory.populated_pages - 1;
	discard_all(&taker_vcpu);
	/* A group is taken while there is anything above. */
	assert_int_equal(giver->memory.discarded, 10);
	make_volatile(1536, 10);
	giver->entitled_pages = PAGES;
	discard_all(&giver_vcpu);
	assert_int_equal(giver->memory.discarded, 20);
}

/* One hand goes round all of them, and takes what was not used, whoever has more. */
static void guests_give_in_turn(void **state)
{
	unsigned level;
	(void)state;

	assert_int_equal(enrol(0, PAGES, STATES, MAGIC), 0);
	assert_int_equal(
		call(&taker_vcpu, HYPERCALL_VOLATILE_REGISTER, 0, PAGES, STATES, MAGIC), 0);
	make_volatile(512, 100);
	make_volatile_in_taker(512, 200);
	/* Ten of the pages are in use. */
	for (u64 frame = 512; frame < 522; frame++) {
		assert_int_equal(nested_split(&giver->memory, frame, 1), 0);
		*nested_lookup(&giver->memory, frame, &level) |= fake_npt.accessed;
	}
	fill_machine(0);
	for (unsigned i = 0; i < 12; i++) {
		memory_discard(giver);
		all_pass();
		memory_discards_finish();
		fill_machine(0);
		/* Those ten are not taken before the hand comes by again. */
		if (giver->memory.discarded > 90)
			assert_int_equal(taker->memory.discarded, 200);
	}
	assert_int_equal(taker->memory.discarded, 200);
	assert_int_equal(giver->memory.discarded, 100);
}

/* Looking for pages makes processors forget, or they would not tell of the next use. */
static void who_is_looked_at_flushes(void **state)
{
	u64 generation;
	unsigned level;
	(void)state;

	assert_int_equal(enrol(0, PAGES, STATES, MAGIC), 0);
	make_volatile(512, 4);
	for (u64 frame = 512; frame < 516; frame++) {
		assert_int_equal(nested_split(&giver->memory, frame, 1), 0);
		*nested_lookup(&giver->memory, frame, &level) |= fake_npt.accessed;
	}
	assert_int_equal(
		call(&taker_vcpu, HYPERCALL_VOLATILE_REGISTER, 0, PAGES, STATES, MAGIC), 0);
	make_volatile_in_taker(512, 4);
	fill_machine(0);
	generation = giver->memory.generation;
	memory_discard(giver);
	assert_int_equal(giver->memory.discards.left, 0);
	assert_int_equal(taker->memory.discards.left, 4);
	assert_true(giver->memory.generation > generation);
	assert_int_equal(*nested_lookup(&giver->memory, 512, &level) & fake_npt.accessed, 0);
}

/* Frames are free, but those with volatile pages are not to have them. */
static void all_together_have_no_more(void **state)
{
	u64 limit, got = 0;
	(void)state;

	assert_int_equal(enrol(0, PAGES, STATES, MAGIC), 0);
	make_volatile(512, 100);
	limit = frames_of_class(FRAME_GUEST) + frames_of_class(FRAME_TMEM);
	memory_set_together(limit);
	assert_false(guest_has_room(giver, 1));
	/* Who has none is the policies' affair. */
	assert_true(guest_has_room(taker, 1));
	assert_int_equal(touch(&taker_vcpu, 0, ACCESS_WRITE), DONE);
	assert_false(memory_discards_are_under_way());
	assert_int_equal(memory_report(taker, gfn(0), BLOCK_ORDER), 0);
	all_pass();
	assert_int_equal(touch(&giver_vcpu, 1536, ACCESS_WRITE), DONE);
	assert_int_equal(giver->memory.discards.left, DISCARD_PAGES);
	all_pass();
	memory_discards_finish();
	assert_int_equal(giver->memory.discarded, DISCARD_PAGES);
	assert_true(guest_has_room(giver, 1));
	/* Without anything left to discard there is an end to it, but not to what is promised. */
	for (u64 frame = 1537; frame < 2048; frame++) {
		if (touch(&giver_vcpu, frame, ACCESS_WRITE) != DONE)
			break;
		all_pass();
		memory_discards_finish();
		got++;
	}
	assert_int_equal(giver->memory.discarded, 100);
	assert_int_equal(got + 1, 100 + 2 * DISCARD_PAGES);
	assert_true(giver_vcpu.waits_for_memory);
	memory_wake_waiters();
	assert_true(giver_vcpu.waits_for_memory);
	giver->entitled_pages = PAGES;
	memory_wake_waiters();
	assert_false(giver_vcpu.waits_for_memory);
	assert_int_equal(touch(&giver_vcpu, 2047, ACCESS_WRITE), DONE);
	memory_set_together(~0UL);
}

/* The pool takes what is free. */
static u64 pool_takes(void)
{
	u64 count = 0;

	for (mfn_t frame; !mfn_is_none(frame = pool_frame_alloc(0)); count++)
		fake_store_add(mfn_to_ptr(frame));
	return count;
}

/* As a tick goes by in which the pool asked for a frame. */
static u64 pool_gets_in_a_tick(void)
{
	assert_int_equal(pool_takes(), 0);
	pool_tick();
	all_pass();
	memory_discards_finish();
	return pool_takes();
}

static void the_pool_gets_what_nobody_uses(void **state)
{
	unsigned level;
	u64 had;
	(void)state;

	fake_store_reset(true);
	assert_int_equal(enrol(0, PAGES, STATES, MAGIC), 0);
	make_volatile(512, 1024);
	fill_machine(0);
	for (unsigned ticks = 1; ticks <= 5; ticks++) {
		/* All but what the tables of splits take. */
		assert_in_range(pool_gets_in_a_tick(), DISCARD_PAGES - 1, DISCARD_PAGES);
		assert_int_equal(giver->memory.discarded, ticks * DISCARD_PAGES);
	}
	/* Pages in use stay, whatever the pool wants, but not if a guest is in need. */
	for (u64 frame = 512; frame < 1536; frame++)
		if (state_in_table(frame) == GFN_RAM && !nested_split(&giver->memory, frame, 1))
			*nested_lookup(&giver->memory, frame, &level) |= fake_npt.accessed;
	assert_int_equal(pool_gets_in_a_tick(), 0);
	had = frames_of_class(FRAME_TMEM);
	pool_tick();
	for (u64 frame = 512; frame < 1536; frame++)
		if (state_in_table(frame) == GFN_RAM)
			*nested_lookup(&giver->memory, frame, &level) |= fake_npt.accessed;
	assert_int_equal(touch(&taker_vcpu, 0, ACCESS_WRITE), DONE);
	assert_true(memory_discards_are_under_way());
	assert_int_equal(frames_of_class(FRAME_TMEM), had);
	/* It has more than is always its own, and did not ask again: it gives first. */
	all_pass();
	memory_discards_finish();
	fill_machine(0);
	pool_tick();
	assert_int_equal(touch(&taker_vcpu, 1, ACCESS_WRITE), DONE);
	assert_false(memory_discards_are_under_way());
	assert_int_equal(frames_of_class(FRAME_TMEM), had - 32);
}

/* What a guest with volatile pages has is what it claims of all; of others it is their size. */
static void the_pool_has_what_is_left(void **state)
{
	u64 has;
	(void)state;

	fake_store_reset(true);
	assert_int_equal(enrol(0, PAGES, STATES, MAGIC), 0);
	make_volatile(512, 100);
	has = giver->memory.populated_pages;
	memory_set_together(has + PAGES + 500);
	pool_tick();
	assert_int_equal(pool_takes(), 500);
	memory_set_together(has + PAGES + 400);
	pool_tick();
	assert_in_range(frames_of_class(FRAME_TMEM), 400 - 31, 400);
	memory_set_together(~0UL);
}

/* ---- Two CPUs ------------------------------------------------------------------------------- */

#define CACHE_FIRST 1024u
#define CACHE_PAGES 1024u

static u32 running;
static u64 lost, kept, faults;

/* The guest: each page of its cache holds its number and a count of its writes. Every access goes
 * through the nested tables like a processor's, with translations kept between exits. */
static u64 cached_translation[CACHE_PAGES];

static void exit_and_enter(void)
{
	u64 epoch = epoch_now();

	memset(cached_translation, 0, sizeof(cached_translation));
	epoch_quiescent(epoch);
}

static u64 *access_page(u64 index, u32 access)
{
	u64 frame = CACHE_FIRST + index;
	unsigned level;

	while (!cached_translation[index]) {
		u64 at = fake_translate(&giver->memory, frame << PAGE_SHIFT, &level);

		if (at != ~0UL) {
			cached_translation[index] = at;
			break;
		}
		if (touch(&giver_vcpu, frame, access) == WAIT)
			exit_and_enter(); /* what is to come needs this CPU to pass */
		if (giver_vcpu.event.valid) {
			giver_vcpu.event.valid = false;
			faults++;
			return NULL;
		}
	}
	return (u64 *)(fake_ram + cached_translation[index]);
}

static void *guest_thread(void *argument)
{
	static u64 count[CACHE_PAGES];
	u64 random = 7;

	(void)argument;
	fake_run_as(1);
	epoch_leave_idle();
	while (__atomic_load_n(&running, __ATOMIC_SEQ_CST)) {
		u64 index, *page;
		u8 *byte;

		random = random * 6364136223846793005 + 1442695040888963407;
		index = (random >> 33) % CACHE_PAGES;
		byte = state_of(CACHE_FIRST + index);
		if (volatile_hold(byte)) {
			kept += count[index] > 0;
		} else {
			lost++;
			count[index] = 0; /* as after reading it from the disk */
			page = access_page(index, ACCESS_WRITE);
			if (!page || *page != 0)
				return (void *)"what was discarded is not zeros";
		}
		page = access_page(index, ACCESS_WRITE);
		if (!page)
			return (void *)"a stable page faults";
		if (*page != count[index])
			return (void *)"a write to a stable page was lost";
		__atomic_store_n(page, ++count[index], __ATOMIC_SEQ_CST);
		volatile_release(byte);
		if (random >> 61 == 0)
			exit_and_enter();
	}
	epoch_enter_idle();
	return NULL;
}

static void no_stable_page_is_lost(void **state)
{
	pthread_t thread;
	(void)state;

	assert_int_equal(enrol(0, PAGES, STATES, MAGIC), 0);
	for (u64 i = 0; i < CACHE_PAGES; i++)
		assert_int_equal(touch(&giver_vcpu, CACHE_FIRST + i, ACCESS_WRITE), DONE);
	lost = kept = faults = 0;
	memset(cached_translation, 0, sizeof(cached_translation));
	fill_machine(0);
	running = 1;
	assert_int_equal(pthread_create(&thread, NULL, guest_thread, NULL), 0);
	for (unsigned i = 0; i < 20000000 && giver->memory.discarded < 20000; i++) {
		memory_discard(taker);
		if (__atomic_load_n(&lost, __ATOMIC_RELAXED) > 20000)
			break;
		epoch_quiescent(epoch_now());
		memory_discards_finish();
		limbo_drain();
		fill_machine(0);
	}
	__atomic_store_n(&running, 0, __ATOMIC_SEQ_CST);
	fake_join(thread);
	assert_true(giver->memory.discarded >= 20000);
	assert_true(lost > 10000 && kept > 0);
	assert_int_equal(faults, 0);
}

int main(void)
{
#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(pages_go_when_frames_are_wanted),
		TEST(used_pages_are_spared),
		TEST(the_entitled_keep_theirs),
		TEST(guests_give_in_turn),
		TEST(who_is_looked_at_flushes),
		TEST(all_together_have_no_more),
		TEST(the_pool_gets_what_nobody_uses),
		TEST(the_pool_has_what_is_left),
		TEST(no_stable_page_is_lost),
	};

	return cmocka_run_group_tests_name("memory_discard", tests, NULL, NULL);
}
