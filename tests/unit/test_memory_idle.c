/*
 * Idle memory by accessed bits: what ages and what is young again, what does not count, that
 * estimates are near the truth, that a tick's work is bounded, and that nothing but accessed bits
 * changes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include <abi/platform.h>

#include "fake/idle_guest.h"
#include "kernel/core/frame.h"
#include "kernel/vm/audit.h"

#define PLACES 512u

static const struct nested_layout *const layouts[] = {&fake_ept, &fake_npt};

/* ---- What ages ------------------------------------------------------------------------ */

static void pages_age_and_are_young_again(void **state)
{
	(void)state;
	for (unsigned l = 0; l < ARRAY_SIZE(layouts); l++) {
		/* 4 MiB in two large pages: 256 places each. */
		start(MIB(32), MIB(4), layouts[l]);
		assert_false(memory_idle_sample(vm, idle, touched));
		populate(0, 2 * BLOCK_PAGES);
		use(0, 2 * BLOCK_PAGES);
		tick(1);
		assert_false(memory_idle_sample(vm, idle, touched)); /* one tick says nothing */
		/* The first block in each tick, the second never again. */
		for (unsigned age = 1; age < 300; age++) {
			use(3, 1);
			tick(1);
			look();
			for (unsigned k = 0; k < BALLOON_AGES; k++) {
				bool mine = k == 7 ? age >= 128 : age >> k == 1;

				assert_int_equal(idle[k], mine ? BLOCK_PAGES : 0);
				assert_int_equal(touched[k], k == 0 ? BLOCK_PAGES : 0);
			}
		}
		/* Used again, it says how long it was not: longer than can be counted. */
		use(3, 1);
		use(BLOCK_PAGES, 1);
		tick(1);
		look();
		assert_int_equal(touched[7], BLOCK_PAGES);
		assert_int_equal(touched[0], BLOCK_PAGES);
		assert_int_equal(sum(idle), 0);
		tick(5);
		use(0, 1);
		tick(1); /* the first was used in the sixth tick after */
		look();
		assert_int_equal(touched[2], BLOCK_PAGES);
		assert_int_equal(idle[2], BLOCK_PAGES);
		assert_int_equal(audit_run(), 0);
	}
}

static void only_accessed_bits_change_and_flushes_are_few(void **state)
{
	(void)state;
	for (unsigned l = 0; l < ARRAY_SIZE(layouts); l++) {
		u64 before[4], generation;

		start(MIB(32), MIB(4) + KIB(8), layouts[l]);
		populate(0, BLOCK_PAGES);
		populate_small(BLOCK_PAGES);
		populate(2 * BLOCK_PAGES, 2);
		for (u64 frame = 0; frame < vm->memory.gfn_count; frame++)
			assert_int_equal(*leaf(frame) & layouts[l]->accessed, 0);
		generation = vm->memory.generation;
		tick(3); /* nothing was used: no CPU has to flush */
		assert_int_equal(vm->memory.generation, generation);
		use(0, vm->memory.gfn_count);
		for (unsigned i = 0; i < 4; i++)
			before[i] = *leaf(i * 341);
		tick(1);
		assert_int_equal(vm->memory.generation, generation + 1);
		for (unsigned i = 0; i < 4; i++)
			assert_int_equal(*leaf(i * 341) | layouts[l]->accessed, before[i]);
		assert_int_equal(*leaf(0) & layouts[l]->accessed, 0);
		tick(1);
		assert_int_equal(vm->memory.generation, generation + 1);
		vm->stop_reason = STOP_SHUTDOWN;
		use(0, 1);
		tick(1); /* a guest that stopped is left alone */
		assert_int_equal(vm->memory.generation, generation + 1);
		assert_true(*leaf(0) & layouts[l]->accessed);
		assert_int_equal(audit_run(), 0);
	}
}

static void without_accessed_bits_nothing_is_known(void **state)
{
	static struct nested_layout layout;
	struct vm *other;
	u64 frames;

	(void)state;
	layout = fake_ept;
	layout.accessed = layout.dirty = 0;
	start(MIB(32), MIB(4), &layout);
	frames = frames_of_class(FRAME_HYPERVISOR);
	assert_non_null(strstr(fake_log_text, "idle memory is not known here: EPT"));
	fake_log_reset();
	other = fake_vm(1);
	assert_int_equal(memory_create(other, MIB(4), &layout), 0);
	assert_int_equal(fake_log_lines, 0);                             /* said once */
	assert_int_equal(frames_of_class(FRAME_HYPERVISOR), frames + 3); /* table of gfns, root */
	populate(0, BLOCK_PAGES);
	tick(3);
	assert_false(memory_idle_sample(vm, idle, touched));
	assert_int_equal(audit_run(), 0);
}

/* ---- What does not count --------------------------------------------------------------- */

static void only_what_has_a_frame_counts(void **state)
{
	(void)state;
	start(MIB(64), MIB(16), &fake_npt);
	tick(4);
	assert_false(memory_idle_sample(vm, idle, touched)); /* nothing is populated */
	populate(0, 4 * BLOCK_PAGES);
	tick(1);
	look();
	assert_int_equal(sum(idle) + sum(touched), 0); /* new, and not again */
	tick(2);
	look();
	assert_int_equal(idle[1], 4 * BLOCK_PAGES);
	assert_int_equal(sum(idle), 4 * BLOCK_PAGES);
	assert_int_equal(memory_inflate(vm, gfn(BLOCK_PAGES), BLOCK_ORDER), 0);
	assert_int_equal(memory_report(vm, gfn(2UL * BLOCK_PAGES), BLOCK_ORDER), 0);
	tick(1);
	look();
	assert_int_equal(idle[1], 2 * BLOCK_PAGES);
	assert_int_equal(sum(idle), 2 * BLOCK_PAGES);
	/* What comes back is new, however old it was. */
	assert_int_equal(memory_deflate(vm, gfn(BLOCK_PAGES), BLOCK_ORDER), 0);
	populate(BLOCK_PAGES, 1);
	use(BLOCK_PAGES, 1);
	tick(1);
	look();
	assert_int_equal(sum(touched), 0);
	assert_int_equal(sum(idle), 2 * BLOCK_PAGES);
	tick(1);
	look();
	assert_int_equal(idle[0], BLOCK_PAGES);
	assert_int_equal(idle[2], 2 * BLOCK_PAGES);
	assert_int_equal(audit_run(), 0);
}

static void the_device_hole_is_no_ram(void **state)
{
	u64 hole = PLATFORM_HOLE_START >> PAGE_SHIFT, beyond = PLATFORM_HOLE_END >> PAGE_SHIFT;

	(void)state;
	start(MIB(64), GIB(3) + MIB(8), &fake_npt);
	/* A stretch is a little more than 6 MiB: these hold two places at least. */
	populate(hole - 4 * BLOCK_PAGES, 4 * BLOCK_PAGES);
	populate(beyond, 4 * BLOCK_PAGES);
	tick(2);
	look();
	assert_int_equal(sum(idle), 8 * BLOCK_PAGES);
	use(beyond, 4 * BLOCK_PAGES);
	tick(1);
	look();
	assert_true(touched[1] > 0 && touched[1] < 8 * BLOCK_PAGES);
	assert_in_range(touched[1] + idle[1], 8 * BLOCK_PAGES - 1, 8 * BLOCK_PAGES);
}

/* ---- How near the truth, at what cost ---------------------------------------------------- */

static u64 random_state;

static u32 random_below(u32 limit)
{
	random_state = random_state * 6364136223846793005 + 1442695040888963407;
	return (u32)((random_state >> 33) % limit);
}

/* Of 32 small pages one is looked at: whatever @used says, the part that it is true of must be
 * found, within four standard errors of a sample of 512. */
static void estimate(bool (*used)(u64 frame), u32 permille)
{
	u64 pages = vm->memory.ram_pages, found, error;

	for (u64 frame = 0; frame < pages; frame++)
		if (used(frame))
			use(frame, 1);
	tick(1);
	look();
	found = sum(touched) * 1000 / pages;
	error = 4 * 22; /* sqrt(p (1 - p) / 512) is at most 22 permille */
	if (found > permille + error || found + error < permille)
		fail_msg("%u permille are used, %lu were found", permille, (unsigned long)found);
	assert_in_range(sum(idle) + sum(touched), pages - BALLOON_AGES, pages);
	tick(1);
	look();
	assert_int_equal(sum(touched), 0);
	/* Clear the rest, for the next. */
	for (u64 frame = 0; frame < pages; frame++)
		*leaf(frame) &= ~vm->memory.layout->accessed;
}

static bool used_at_random(u64 frame)
{
	(void)frame;
	return random_below(100) < 30;
}

static bool used_at_the_pace_of_places(u64 frame)
{
	return frame % 32 < 16;
}

static bool used_at_one_of_32(u64 frame)
{
	return frame % 32 == 0;
}

static bool used_in_a_quarter(u64 frame)
{
	return frame < vm->memory.ram_pages / 4;
}

static void estimates_are_near_the_truth(void **state)
{
	(void)state;
	start(MIB(160), MIB(64), &fake_ept);
	for (u64 base = 0; base < vm->memory.ram_pages; base += BLOCK_PAGES)
		populate_small(base);
	tick(2);
	estimate(used_at_random, 300);
	estimate(used_at_the_pace_of_places, 500);
	estimate(used_at_one_of_32, 31);
	estimate(used_in_a_quarter, 250);
	fake_limbo_empty();
}

static void a_tick_looks_at_512_entries_at_most(void **state)
{
	u64 cleared = 0;

	(void)state;
	start(MIB(160), MIB(64), &fake_npt);
	for (u64 base = 0; base < vm->memory.ram_pages; base += BLOCK_PAGES)
		populate_small(base);
	for (unsigned round = 1; round <= 3; round++) {
		cleared = 0;
		use(0, vm->memory.ram_pages);
		tick(1);
		for (u64 frame = 0; frame < vm->memory.ram_pages; frame++)
			cleared += !(*leaf(frame) & vm->memory.layout->accessed);
		assert_int_equal(cleared, PLACES);
	}
	/* The same ones in each tick. */
	tick(1);
	for (u64 frame = 0; frame < vm->memory.ram_pages; frame++)
		cleared -= !(*leaf(frame) & vm->memory.layout->accessed);
	assert_int_equal(cleared, 0);
	fake_limbo_empty();
}

static void a_guest_with_fewer_pages_than_places(void **state)
{
	(void)state;
	start(MIB(32), KIB(400), &fake_ept);
	populate(0, 100);
	tick(3);
	use(0, 37);
	tick(1);
	look();
	assert_int_equal(sum(touched), 37);
	assert_int_equal(idle[1], 63);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pages_age_and_are_young_again),
		cmocka_unit_test(only_accessed_bits_change_and_flushes_are_few),
		cmocka_unit_test(without_accessed_bits_nothing_is_known),
		cmocka_unit_test(only_what_has_a_frame_counts),
		cmocka_unit_test(the_device_hole_is_no_ram),
		cmocka_unit_test(estimates_are_near_the_truth),
		cmocka_unit_test(a_tick_looks_at_512_entries_at_most),
		cmocka_unit_test(a_guest_with_fewer_pages_than_places),
	};

	return cmocka_run_group_tests_name("memory_idle", tests, NULL, NULL);
}
